"""Which model credits a company whose customers leave in silence: life alone, or life and satisfaction.

Both are fitted to the same few customers and their log-likelihoods compared, less Schwarz's charge of half a
logarithm of the number of customers for each parameter (1978). The model of life alone has acts that come in
spells, levels with a coupling and a frailty of leaving; the joint model has satisfaction that moves
customers between channels. Each is far ahead where the company is as it says (`docs/hidden-customers.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.joint import JointDropout, JointDropoutFit
from attribution.incremental.joint.data import other_acts
from attribution.incremental.joint.mix import mix_log_likelihood
from attribution.incremental.joint.model import Pilot
from attribution.incremental.latent import LatentDropout, LatentDropoutFit
from attribution.incremental.setfunction import FittedPanelModel, PanelPrediction
from histories.panel import Panel

__all__ = ["SilentComparison", "SilentLeaving", "SilentLeavingFit"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentComparison:
    """Log-likelihoods less Schwarz's charge on the same customers."""

    n: int
    """Customers compared."""
    life: float
    """Of the model of life alone, and of the mix of acts that goes with it."""
    joint: float
    """Of the joint model, a lower bound."""

    @property
    def satisfaction(self) -> bool:
        """Whether satisfaction is called for."""
        return self.joint > self.life


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentLeaving:
    """Choices for customers without recorded leaving."""

    life: LatentDropout = field(default_factory=LatentDropout)
    """The model of life alone."""
    joint: JointDropout = field(default_factory=JointDropout)
    """The model of life and satisfaction."""

    @property
    def name(self) -> str:
        """The estimator's name, as in tables."""
        return "silent leaving"

    @property
    def limits(self) -> str:
        """What the estimator assumes."""
        return "leaving is inferred from silence; who has left does not come back"

    def fit(
        self,
        panel: Panel,
        stocks: Single,
        *,
        weights: Array | None = None,
        start: FittedPanelModel | None = None,
        rng: np.random.Generator,
    ) -> SilentLeavingFit:
        """Fit the model of life, compare, and fit the joint model where it is called for.

        See `PanelEstimator.fit`; a start settles the choice.
        """
        if isinstance(start, SilentLeavingFit):
            again: FittedPanelModel
            if isinstance(start.chosen, JointDropoutFit):
                again = self.joint.fit(panel, stocks, weights=weights, start=start.chosen, rng=rng)
            else:
                again = self.life.fit(panel, stocks, weights=weights, start=start.chosen, rng=rng)
            return SilentLeavingFit(chosen=again, life=start.life, comparison=start.comparison)
        life = self.life.fit(panel, stocks, weights=weights, rng=rng)
        pilot = self.joint.pilot(panel, stocks, life=life, weights=weights, rng=rng)
        comparison = compare(life, pilot)
        chosen: FittedPanelModel = life
        if comparison.satisfaction:
            chosen = self.joint.fit(panel, stocks, weights=weights, life=life, pilot=pilot, rng=rng)
        return SilentLeavingFit(chosen=chosen, life=life, comparison=comparison)


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentLeavingFit:
    """The model that was chosen, and the one that was not."""

    chosen: FittedPanelModel
    """What credits: a `JointDropoutFit` or the fit of life alone."""
    life: LatentDropoutFit
    """The fit of life alone."""
    comparison: SilentComparison
    """Why."""

    @property
    def beta(self) -> Array:
        """Change of the log-odds of leaving per unit of stock, shape (C,)."""
        return self.chosen.beta

    @property
    def gamma(self) -> Array:
        """Change of the log rate of purchases per unit of stock, shape (C,)."""
        return self.chosen.gamma

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against the chosen fit."""
        return self.chosen.problems

    def predict(self, panel: Panel, stocks: Single, *, rng: np.random.Generator) -> PanelPrediction:
        """What the chosen model says of these customers when no channel acts."""
        return self.chosen.predict(panel, stocks, rng=rng)


def compare(life: LatentDropoutFit, pilot: Pilot) -> SilentComparison:
    """Life alone against life and satisfaction, on the customers of the pilot."""
    panel, weights = pilot.panel, pilot.problem.weights
    own = np.asarray(panel.touches, dtype=np.float64)[:, :, np.array(life.design.own)]
    acts = np.concatenate([own, other_acts(panel, life.design)[:, :, None]], axis=2)
    mix, of_mix = mix_log_likelihood(acts)
    alone = float(weights @ life.log_likelihood(panel, pilot.stocks)) + mix
    price = 0.5 * np.log(panel.n_customers)
    return SilentComparison(
        n=panel.n_customers,
        life=alone - price * (life.theta.size + of_mix),
        joint=pilot.loglik - price * pilot.n_parameters,
    )
