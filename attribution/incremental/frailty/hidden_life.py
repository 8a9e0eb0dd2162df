"""Hidden satisfaction of customers whose leaving nobody records: the satisfaction model on probable lives.

A model of hidden life says how likely each customer still was one, A_it. The satisfaction model then reads
every row with weight A_it and leaving with weight A_it - A_i,t+1. That is the factorised variational
posterior q(dropout month) q(satisfaction) of the joint model, with the first factor fixed where the model of
life alone puts it: satisfaction does not speak back to life.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.fitted import SharedFrailtyFit
from attribution.incremental.frailty.model import SharedFrailty
from attribution.incremental.setfunction import FittedPanelModel, PanelEstimator, PanelPrediction
from histories.errors import ModelError
from histories.panel import Panel

__all__ = ["SatisfactionOnHiddenLife", "SatisfactionOnHiddenLifeFit"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SatisfactionOnHiddenLife:
    """Choices for hidden satisfaction on top of a model of hidden life."""

    life: PanelEstimator
    """Estimator of the dropout month; its fit has `lives`."""
    satisfaction: SharedFrailty = field(default_factory=SharedFrailty)
    """Estimator of everything else."""

    @property
    def name(self) -> str:
        """The estimator's name, as in tables."""
        return f"{self.satisfaction.name} on {self.life.name}"

    @property
    def limits(self) -> str:
        """What the estimator assumes."""
        return f"leaving is inferred without satisfaction; {self.satisfaction.limits}"

    def fit(
        self,
        panel: Panel,
        stocks: Single,
        *,
        weights: Array | None = None,
        start: FittedPanelModel | None = None,
        rng: np.random.Generator,
    ) -> SatisfactionOnHiddenLifeFit:
        """Estimate life, then satisfaction given life (see `PanelEstimator.fit`).

        Raises
        ------
        ModelError
            If the estimator of life does not say who was there.
        """
        warm = start if isinstance(start, SatisfactionOnHiddenLifeFit) else None
        life = self.life.fit(
            panel, stocks, weights=weights, start=None if warm is None else warm.life, rng=rng
        )
        satisfaction = self.satisfaction.fit(
            panel,
            stocks,
            weights=weights,
            start=None if warm is None else warm.satisfaction,
            alive=_presence(life, panel, stocks),
            rng=rng,
        )
        return SatisfactionOnHiddenLifeFit(life=life, satisfaction=satisfaction)


@dataclass(frozen=True, slots=True, kw_only=True)
class SatisfactionOnHiddenLifeFit:
    """Both fits; effects and hazard are those of the satisfaction model."""

    life: FittedPanelModel
    satisfaction: SharedFrailtyFit

    @property
    def beta(self) -> Array:
        """Change of the log-odds of leaving per unit of stock, shape (C,)."""
        return self.satisfaction.beta

    @property
    def gamma(self) -> Array:
        """Change of log spend per unit of stock, shape (C,)."""
        return self.satisfaction.gamma

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against either fit."""
        return (*self.life.problems, *self.satisfaction.problems)

    def predict(self, panel: Panel, stocks: Single, *, rng: np.random.Generator) -> PanelPrediction:
        """What the models say of these customers when no channel acts."""
        alive = _presence(self.life, panel, stocks)
        return self.satisfaction.predict(panel, stocks, rng=rng, alive=alive)


def _presence(life: FittedPanelModel, panel: Panel, stocks: Single) -> Array:
    lives = getattr(life, "lives", None)
    if lives is None:
        raise ModelError(
            f"{type(life).__name__} does not say who was still a customer. Give an estimator of the dropout "
            "month, such as LatentDropout()."
        )
    presence: Array = lives(panel, stocks).presence
    return presence
