"""Experiments test the model; they do not rescale it.

A channel was open to some customers and withheld from others by chance. The model predicts the same
contrast, for the same customers and window: their observed outcome less what it would have been without
the channel's touches since the start. With the experiment's estimate e (standard error s) and the model's
m (standard deviation d),

    z = (e - m) / sqrt(s^2 + d^2)

|z| < 2: both are combined by inverse variance, for this channel and outcome only. Beyond: the
observational credits of the outcome are refuted. The level of one channel says nothing of another's,
because selection differs between channels even in its sign; so nothing else is scaled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import CHUNK, PanelCredit
from attribution.incremental.bootstrap import CreditDraws
from attribution.incremental.setfunction import FittedPanelModel
from attribution.incremental.stocks import Timing, panel_stocks
from histories.arrays import Float
from histories.mapped import empty_beside
from histories.panel import Panel

REFUTED = 2.0
"""Standard deviations between experiment and model beyond which the model is refuted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelExperiment:
    """A randomised comparison of one channel, open against withheld."""

    name: str
    channel: str
    outcome: str
    """"retention" (share of customers) or "spend" (currency per customer)."""
    estimate: float
    """Difference per customer between open and withheld, from the start to the end of observation."""
    std_error: float
    treated: NDArray[np.bool_]
    """Customers to whom the channel was open, in the panel's order, shape (N,)."""
    first_period: int
    """First period of the experiment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentReading:
    """What an experiment says of the model, per customer in the units of the outcome."""

    experiment: ChannelExperiment
    model: float
    """The model's prediction of the same contrast."""
    model_std: float
    z: float
    combined: float
    """Mean of both weighted by inverse variance; means nothing when the model is refuted."""
    combined_std: float

    @property
    def refuted(self) -> bool:
        """Whether experiment and model are too far apart for sampling error."""
        return abs(self.z) >= REFUTED

    def bears_on(self, outcome: str) -> bool:
        """Whether a credit of the outcome rests on what was tested: lifetime value rests on both others."""
        return outcome in (self.experiment.outcome, "lifetime_value")

    def replaces(self, outcome: str) -> bool:
        """Whether the channel's credit of the outcome is combined with the experiment."""
        return outcome == self.experiment.outcome and not self.refuted and self.model != 0.0

    @property
    def scale(self) -> float:
        """What multiplies the channel's credit where both are combined."""
        return self.combined / self.model

    @property
    def narrowing(self) -> float:
        """What multiplies its standard error there."""
        return self.combined_std / self.model_std if self.model_std else 1.0

    @property
    def words(self) -> str:
        """The reading in one clause."""
        e = self.experiment
        figures = (
            f"{e.estimate:.4g} ± {e.std_error:.2g} measured, {self.model:.4g} ± {self.model_std:.2g} modelled"
        )
        if self.refuted:
            return f'refuted by the experiment "{e.name}": {figures} per customer (z = {self.z:.1f})'
        return f'combined with the experiment "{e.name}": {figures} per customer (z = {self.z:.1f})'


def channel_contrast(
    model: FittedPanelModel,
    panel: Panel,
    *,
    channel: str,
    first_period: int,
    decay: float | Float,
    bend: float = 0.0,
    by_day: Timing = False,
    rng: np.random.Generator,
    customers: NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """Mean difference per customer between the channel as it was and withheld from a period on, by outcome.

    Parameters
    ----------
    model
        The fit to test.
    panel
        The company, or the customers to whom the channel was open alone.
    channel, first_period
        What is withheld, and since when.
    decay, bend, by_day
        Of the stocks that the model was fitted to.
    rng
        Draws latents where the model has any.
    customers
        Positions of the customers to whom the channel was open; None: all of the panel.
    """
    k = panel.channels.index(channel)
    withheld = empty_beside(panel.touches, np.float32)
    withheld[:] = panel.touches
    withheld[:, first_period:, k] = 0
    stocks, fewer = (
        panel_stocks(panel, decay=decay, touches=touches, bend=bend, by_day=by_day)
        for touches in (panel.touches, withheld)
    )
    chosen = np.arange(panel.n_customers) if customers is None else customers
    lost = np.zeros(2)
    for start in range(0, len(chosen), CHUNK):
        rows = chosen[start : start + CHUNK]
        lost += _lost(model, panel.take(rows), stocks[rows], fewer[rows], first_period, rng)
    kept, spend = lost / len(chosen)
    return {"retention": float(kept), "spend": float(spend)}


def _lost(
    model: FittedPanelModel,
    panel: Panel,
    stocks: NDArray[np.float32],
    fewer: NDArray[np.float32],
    first_period: int,
    rng: np.random.Generator,
) -> Float:
    """Customers and spend that are lost with fewer stocks from a period on, shape (2,)."""
    found = model.predict(panel, stocks, rng=rng)
    lost = np.exp((fewer - stocks) @ model.gamma)
    ratio = np.ones((1, *panel.spend.shape))
    if found.hazard_offset is not None:
        push, less = stocks @ model.beta, fewer @ model.beta
        stays = (1.0 + np.exp(found.hazard_offset + push)) / (1.0 + np.exp(found.hazard_offset + less))
        ratio = np.cumprod(np.where(panel.at_risk, stays, 1.0), axis=2)
    share, staying = found.layer_weights
    before = np.concatenate([np.ones_like(ratio[:, :, :1]), ratio[:, :, :-1]], axis=2)
    before = np.einsum("qi,qit->it", share, before)
    spend = panel.spend * (1.0 - before * lost)
    kept = (staying * (1.0 - ratio[:, :, -1])).sum()
    return np.array([kept, spend[:, first_period:].sum()])


def read_experiment(
    experiment: ChannelExperiment,
    model: FittedPanelModel,
    panel: Panel,
    *,
    relative_error: float,
    decay: float | Float,
    bend: float = 0.0,
    by_day: Timing = False,
    rng: np.random.Generator,
) -> ExperimentReading:
    """Compare an experiment with what the model predicts for the customers who had the channel.

    Parameters
    ----------
    experiment
        Estimate, standard error, and who had the channel.
    model, panel
        The fit to test, and all its customers.
    relative_error
        Standard error of the channel's credit over the credit: the model's contrast is as uncertain.
    decay, bend, by_day
        Of the stocks that the model was fitted to.
    rng
        Draws latents where the model has any.
    """
    contrast = channel_contrast(
        model,
        panel,
        channel=experiment.channel,
        first_period=experiment.first_period,
        decay=decay,
        bend=bend,
        by_day=by_day,
        rng=rng,
        customers=np.flatnonzero(experiment.treated),
    )
    predicted = contrast[experiment.outcome]
    spread = abs(predicted) * relative_error
    s2, d2 = experiment.std_error**2, spread**2
    z = (experiment.estimate - predicted) / np.sqrt(s2 + d2)
    weight = s2 / (s2 + d2)
    return ExperimentReading(
        experiment=experiment,
        model=predicted,
        model_std=spread,
        z=float(z),
        combined=float(weight * predicted + (1.0 - weight) * experiment.estimate),
        combined_std=float(np.sqrt(s2 * d2 / (s2 + d2))),
    )


def combine(
    credit: PanelCredit, draws: CreditDraws, reading: ExperimentReading
) -> tuple[PanelCredit, CreditDraws]:
    """Put the combined figure in the place of the channel's credit; unchanged where the model is refuted.

    The channel's credit and its deviations are scaled as the contrast and its error are; the total stays, so
    the baseline takes up the difference.
    """
    outcome = reading.experiment.outcome
    if not reading.replaces(outcome):
        return credit, draws
    k = credit.channels.index(reading.experiment.channel)
    factor, narrowed = np.ones((2, len(credit.channels)))
    factor[k], narrowed[k] = reading.scale, reading.narrowing
    own = credit.require(outcome)
    moved = replace(
        own,
        staying=own.staying * factor,
        spending=own.spending * factor,
        by_period=None if own.by_period is None else own.by_period * factor,
    )
    deviations = {**draws.deviations, outcome: draws.deviations[outcome] * narrowed}
    apart = {name: rows * narrowed if name == outcome else rows for name, rows in draws.by_period.items()}
    by_outcome = {outcome: moved}
    return (
        replace(
            credit,
            retention=by_outcome.get("retention", credit.retention),
            spend=by_outcome.get("spend", credit.spend),
        ),
        replace(draws, deviations=deviations, by_period=apart),
    )
