"""Which model credits a company whose customers leave in silence: life alone, or life and satisfaction.

Both are fitted to the same few customers and their log-likelihoods compared, less Schwarz's charge of half a
logarithm of the number of customers for each parameter (1978). The model of life alone has acts that come in
spells, levels with a coupling and a frailty of leaving; the joint model has satisfaction that moves
customers between channels. Each is far ahead where the company is as it says (`docs/hidden-customers.md`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.checks.future_touches import future_touches
from attribution.incremental.joint import JointDropout
from attribution.incremental.joint.data import other_acts
from attribution.incremental.joint.mix import mix_log_likelihood
from attribution.incremental.joint.model import Pilot
from attribution.incremental.latent import LatentDropout, LatentDropoutFit
from attribution.incremental.setfunction import Chosen, FittedPanelModel, PanelEstimator
from histories.errors import ModelError
from histories.panel import Panel

__all__ = ["LifeOrSatisfaction", "choose_silent", "compare"]

Single = NDArray[np.float32]

NEAR = 50.0
"""Log-likelihood within which the loser stays in the range: the joint model's is a lower bound."""
PLAIN = "latent_dropout with Poisson acts"
"""The companion that the model of life finds on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeOrSatisfaction:
    """Log-likelihoods less Schwarz's charge on the same customers."""

    n: int
    """Customers compared."""
    life: float
    """Of the model of life alone, and of the mix of acts that goes with it."""
    joint: float
    """Of the joint model, a lower bound."""
    given_up: bool = False
    """Whether the climb of the joint model was given up when it could not reach life alone any more."""

    @property
    def satisfaction(self) -> bool:
        """Whether satisfaction is called for."""
        return self.joint > self.life

    @property
    def near(self) -> bool:
        """Whether the loser is so near that the approximation of its likelihood may have decided."""
        return not self.given_up and abs(self.joint - self.life) < NEAR

    @property
    def words(self) -> str:
        """The comparison in a sentence."""
        if self.given_up:
            return (
                f"a model without hidden satisfaction is ahead of one with it, whose climb was given up "
                f"{self.life - self.joint:,.0f} behind in log-likelihood on {self.n:,} customers"
            )
        ahead, behind = ("with", "without") if self.satisfaction else ("without", "with")
        return (
            f"a model {ahead} hidden satisfaction is ahead of one {behind} it by "
            f"{abs(self.joint - self.life):,.0f} in log-likelihood on {self.n:,} customers"
        )


def choose_silent(alone: PanelEstimator, panel: Panel, stocks: Single, rng: np.random.Generator) -> Chosen:
    """Fit the model of life, compare it with the joint model, and fit that one where it is called for.

    Parameters
    ----------
    alone
        The model of life, a `LatentDropout`.
    panel, stocks
        Customers without recorded leaving; decayed stocks of shape (N, P, C).
    rng
        Draws the few customers.

    Raises
    ------
    ConvergenceError
        If no optimum was found.
    """
    assert isinstance(alone, LatentDropout)
    joint = JointDropout()
    life = alone.fit(panel, stocks, rng=rng)
    pilot = joint.pilot(
        panel,
        stocks,
        life=life,
        rival=lambda few, few_stocks, weights, size: (
            _charged(life, few, few_stocks, weights) + 0.5 * np.log(few.n_customers) * size
        ),
        rng=rng,
    )
    comparison = compare(life, pilot)
    if not comparison.satisfaction:
        return _life(alone, life, comparison, panel, stocks, rng)
    fit = joint.fit(panel, stocks, life=life, pilot=pilot, rng=rng)
    return Chosen(estimator=joint, fit=fit, beside={alone.name: life}, notes=(comparison.words,))


def _life(
    alone: LatentDropout,
    life: LatentDropoutFit,
    comparison: LifeOrSatisfaction,
    panel: Panel,
    stocks: Single,
    rng: np.random.Generator,
) -> Chosen:
    """Life alone; satisfaction stays in the range where it is near, or touches to come speak for it."""
    to_come = future_touches(panel, stocks)
    hidden = to_come is not None and to_come.verdict == "satisfaction"
    beside: dict[str, FittedPanelModel] = {PLAIN: life.plain}
    notes = [comparison.words]
    if hidden or comparison.near:
        joint = JointDropout()
        try:
            beside[joint.name] = joint.fit(panel, stocks, life=life, rng=rng)
        except ModelError as error:
            notes.append(f"{joint.name} is missing from the range: {error}")
    caution = ""
    if hidden and to_come is not None:
        caution = f"hidden satisfaction is left out although {to_come.words}: the range has it"
    return Chosen(estimator=alone, fit=life, beside=beside, notes=tuple(notes), caution=caution)


def compare(life: LatentDropoutFit, pilot: Pilot) -> LifeOrSatisfaction:
    """Life alone against life and satisfaction, on the customers of the pilot."""
    panel = pilot.panel
    return LifeOrSatisfaction(
        n=panel.n_customers,
        life=_charged(life, panel, pilot.stocks, pilot.problem.weights),
        joint=pilot.loglik - 0.5 * np.log(panel.n_customers) * pilot.n_parameters,
        given_up=pilot.solution.lost,
    )


def _charged(life: LatentDropoutFit, panel: Panel, stocks: Single, weights: NDArray[np.float64]) -> float:
    """Log-likelihood of life alone and of the mix of acts that goes with it, less Schwarz's charge."""
    own = np.asarray(panel.touches, dtype=np.float64)[:, :, np.array(life.design.own)]
    acts = np.concatenate([own, other_acts(panel, life.design)[:, :, None]], axis=2)
    mix, of_mix = mix_log_likelihood(acts)
    alone = float(weights @ life.log_likelihood(panel, stocks)) + mix
    return float(alone - 0.5 * np.log(panel.n_customers) * (life.theta.size + of_mix))
