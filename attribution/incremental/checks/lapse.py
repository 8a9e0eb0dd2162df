"""The lapse window as a check: who has not bought for long is taken to have left at the last purchase.

With W the 95 % quantile of the gaps between purchases, a customer whose last purchase lies at least W periods
before the end is taken to have left in the period of that purchase. The risk set ends at P - W, where every
verdict is in. Dating at the crossing (last purchase + W), or at the last act of any kind, would credit
touches with proof of life; dated at the last purchase the check keeps the signs and loses shares
(`docs/latent-dropout.md`). It stands beside the latent model and never replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from attribution.incremental.glm import LOGIT, fit_glm
from attribution.incremental.latent.arrays import FloatArray, Stocks
from attribution.incremental.latent.design import LatentInputs
from attribution.incremental.latent.fit import LatentDropoutFit
from histories.errors import ModelError
from histories.panel import Panel

__all__ = ["LapseCheck", "SignedFit", "check_lapse"]


class SignedFit(Protocol):
    """A fit whose signs can be compared. Channels C."""

    @property
    def beta(self) -> FloatArray:
        """Change of the log-odds of leaving per unit of stock, shape (C,)."""

    @property
    def beta_sd(self) -> FloatArray:
        """Standard errors of it, shape (C,)."""

    @property
    def life(self) -> LatentDropoutFit:
        """The model of life: its columns, and its lapse window."""


Verdict = Literal["agrees", "undecided", "differs"]
CLEAR = 1.96
"""Standard errors from zero at which a sign counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LapseCheck:
    """The hazard of lapsing, and whether it contradicts the latent model. Channels C."""

    channels: tuple[str, ...]
    """The C channels."""
    window: int
    """W, in periods."""
    horizon: int
    """Periods in the risk set, P - W."""
    n: int
    """Customers with a purchase within the horizon."""
    lapsed: int
    """Those taken to have left."""
    beta: FloatArray
    """Change of the log-odds of lapsing per unit of stock, shape (C,)."""
    beta_sd: FloatArray
    """Standard errors, clustered by customer, shape (C,)."""
    verdicts: tuple[Verdict, ...]
    """Per channel: "agrees", "differs", or "undecided" (one is within 1.96 standard errors of zero)."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Channels whose sign the check contradicts, in words."""
        against = [c for c, verdict in zip(self.channels, self.verdicts, strict=True) if verdict == "differs"]
        if not against:
            return ()
        names = ", ".join(against)
        return (f"the lapse check (window {self.window} periods) gives the opposite sign for {names}",)


def check_lapse(fit: SignedFit, panel: Panel, stocks: Stocks) -> LapseCheck:
    """Compare the signs of a fit with the lapse window's.

    Parameters
    ----------
    fit
        The latent model, or the joint one.
    panel, stocks
        Customers and their decayed stocks, shape (N, P, C).

    Raises
    ------
    ModelError
        If the panel is not longer than the lapse window.
    """
    window = fit.life.window
    horizon = panel.n_periods - window
    if horizon < 1:
        raise ModelError(
            f"Lapse check: {panel.n_periods} periods for a window of {window}. "
            f"Give at least {3 * window} periods, or longer ones."
        )
    bought = panel.purchases > 0
    final = panel.n_periods - 1 - bought[:, ::-1].argmax(axis=1)
    rows = bought.any(axis=1) & (panel.entry < horizon)
    inputs = fit.life.design.inputs(panel, stocks).take(np.flatnonzero(rows))
    beta, covariance = _lapse_hazard(inputs, final[rows], horizon)
    channels = len(panel.channels)
    position = beta.size - inputs.drivers.shape[2]
    effect = beta[position : position + channels]
    spread = np.sqrt(np.diag(covariance))[position : position + channels]
    return LapseCheck(
        channels=panel.channels,
        window=window,
        horizon=horizon,
        n=int(rows.sum()),
        lapsed=int((final[rows] < horizon).sum()),
        beta=effect,
        beta_sd=spread,
        verdicts=tuple(_verdict(*pair) for pair in zip(fit.beta, fit.beta_sd, effect, spread, strict=True)),
    )


def _lapse_hazard(inputs: LatentInputs, final: FloatArray, horizon: int) -> tuple[FloatArray, FloatArray]:
    """Coefficients (constant, static, season, drivers) of the log-odds of lapsing, and their covariance."""
    period = np.arange(inputs.n_periods)
    at_risk = (period >= inputs.entry[:, None]) & (period <= final[:, None]) & (period < horizon)
    customer, t = np.nonzero(at_risk)
    design = np.concatenate(
        [
            np.ones((customer.size, 1)),
            inputs.static[customer],
            inputs.season[t],
            inputs.drivers[customer, t],
        ],
        axis=1,
    )
    lapsed = (t == final[customer]).astype(np.float64)
    found = fit_glm(design, lapsed, LOGIT)
    chance = LOGIT.mean(design @ found.coefficients)
    bread = np.linalg.pinv((design.T * LOGIT.curvature(chance)) @ design)
    scores = np.zeros((inputs.n_customers, design.shape[1]))
    np.add.at(scores, customer, design * (lapsed - chance)[:, None])
    return found.coefficients, bread @ (scores.T @ scores) @ bread


def _verdict(latent: float, latent_sd: float, lapse: float, lapse_sd: float) -> Verdict:
    if abs(latent) < CLEAR * latent_sd or abs(lapse) < CLEAR * lapse_sd:
        return "undecided"
    return "agrees" if latent * lapse > 0 else "differs"
