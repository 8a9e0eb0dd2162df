"""The lapse window as a check: who has not bought for long is taken to have left at the last purchase.

With W the 95 % quantile of the gaps between purchases, a customer whose last purchase lies at least W periods
before the end is taken to have left in the period of that purchase. The risk set ends at P - W, where every
verdict is in. Dating at the crossing (last purchase + W), or at the last act of any kind, would credit
touches with proof of life; dated at the last purchase the check keeps the signs and loses shares
(`docs/hidden-chain.md`). It stands beside the hidden chain and never replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.design import ChainInputs
from attribution.incremental.chain.fitted import HiddenChainFit
from attribution.incremental.glm import LOGIT, fit_glm
from histories.arrays import Float
from histories.errors import ModelError
from histories.panel import Panel, last_true

Verdict = Literal["agrees", "undecided", "differs"]
GAP_QUANTILE = 0.95
"""Share of the gaps between purchases that are no longer than the window."""
CLEAR = 1.96
"""Standard errors from zero at which a sign counts."""
TOLD = 1.0 - 1e-6
"""Share of a coefficient's own direction that the data hold, 1 for all of it, at which it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LapseCheck:
    """The hazard of lapsing, and whether it contradicts the hidden chain. Channels C."""

    channels: tuple[str, ...]
    """The C channels."""
    window: int
    """W, in periods."""
    beta: Float
    """Change of the log-odds of lapsing per unit of stock, shape (C,)."""
    beta_sd: Float
    """Standard errors, clustered by customer, shape (C,)."""
    verdicts: tuple[Verdict, ...]
    """Per channel: "agrees", "differs", or "undecided" (one is within 1.96 standard errors of zero)."""

    @property
    def contrary(self) -> dict[str, str]:
        """Channels whose sign the check contradicts, with the reason."""
        reason = f"the lapse check (window of {self.window} periods) gives the opposite sign"
        pairs = zip(self.channels, self.verdicts, strict=True)
        return {name: reason for name, verdict in pairs if verdict == "differs"}


def purchase_gaps(panel: Panel) -> Float:
    """Periods between a customer's periods with a purchase, all customers, first to first repeat included."""
    customer, period = np.nonzero(panel.purchases > 0)
    same = customer[1:] == customer[:-1]
    result: Float = (period[1:] - period[:-1])[same].astype(np.float64)
    return result


def lapse_window(panel: Panel) -> int:
    """The window in whole periods, at least 1; as many as the panel has when nobody bought twice."""
    gaps = purchase_gaps(panel)
    if gaps.size == 0:
        return panel.n_periods
    return max(1, int(np.ceil(np.quantile(gaps, GAP_QUANTILE))))


def check_lapse(fit: HiddenChainFit, panel: Panel, stocks: NDArray[np.float32]) -> LapseCheck:
    """Compare the signs of a fit with the lapse window's.

    Parameters
    ----------
    fit
        The hidden chain.
    panel, stocks
        Customers and their decayed stocks, shape (N, P, C).

    Raises
    ------
    ModelError
        If the panel is not longer than the lapse window.
    """
    window = lapse_window(panel)
    horizon = panel.n_periods - window
    if horizon < 1:
        raise ModelError(
            f"Lapse check: {panel.n_periods} periods for a window of {window}. "
            f"Give at least {3 * window} periods, or longer ones."
        )
    bought = panel.purchases > 0
    final = last_true(bought, none=panel.n_periods - 1)
    rows = bought.any(axis=1) & (panel.entry < horizon)
    inputs = fit.design.inputs(panel.take(np.flatnonzero(rows)), stocks[rows])
    beta, errors = _lapse_hazard(inputs, final[rows], horizon)
    channels = len(panel.channels)
    position = beta.size - inputs.leaving.cells.shape[2]
    effect, spread = (both[position : position + channels] for both in (beta, errors))
    return LapseCheck(
        channels=panel.channels,
        window=window,
        beta=effect,
        beta_sd=spread,
        verdicts=tuple(_verdict(*pair) for pair in zip(fit.beta, fit.beta_sd, effect, spread, strict=True)),
    )


def _lapse_hazard(inputs: ChainInputs, final: NDArray[np.int64], horizon: int) -> tuple[Float, Float]:
    """Coefficients of the columns of leaving on the log-odds of lapsing, and their standard errors.

    A column that is constant or repeats others has no coefficient of its own: its error is infinite.
    """
    columns = inputs.leaving
    period = np.arange(columns.cells.shape[1])
    at_risk = (period >= inputs.entry[:, None]) & (period <= final[:, None]) & (period < horizon)
    customer, t = np.nonzero(at_risk)
    design = np.concatenate(
        [columns.static[customer], columns.calendar[t], columns.cells[customer, t]], axis=1
    )
    lapsed = (t == final[customer]).astype(np.float64)
    found = fit_glm(design, lapsed, LOGIT)
    chance = LOGIT.mean(design @ found.coefficients)
    information = (design.T * LOGIT.curvature(chance)) @ design
    bread = np.linalg.pinv(information, hermitian=True)
    told = np.diag(bread @ information) > TOLD
    scores = np.zeros((inputs.n_customers, design.shape[1]))
    np.add.at(scores, customer, design * (lapsed - chance)[:, None])
    errors = np.linalg.norm(scores @ bread, axis=0)
    return found.coefficients, np.where(told, errors, np.inf)


def _verdict(latent: float, latent_sd: float, lapse: float, lapse_sd: float) -> Verdict:
    if abs(latent) <= CLEAR * latent_sd or abs(lapse) <= CLEAR * lapse_sd:
        return "undecided"
    return "agrees" if latent * lapse > 0 else "differs"
