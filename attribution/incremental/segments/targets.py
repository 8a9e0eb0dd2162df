"""The effects that a segment is credited with where segments differ, and its fit moved to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.bootstrap import Key, Replicates
from attribution.incremental.segments.own import OwnFit
from attribution.incremental.setfunction import FittedPanelModel, PanelEstimator
from histories.arrays import Float
from histories.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTarget:
    """A segment credited with effects of its own."""

    own: OwnFit
    effects: Float
    """Effects it is credited with, shape (2C,)."""
    free: NDArray[np.bool_]
    """Which of them are its own and vary with its own fit; the others with the common one, shape (2C,)."""

    def moved(
        self,
        estimator: PanelEstimator,
        panel: Panel,
        stocks: NDArray[np.float32],
        *,
        rng: np.random.Generator,
        weights: Float | None = None,
        common_shift: Float | float = 0.0,
    ) -> FittedPanelModel:
        """The segment's fit with these effects, everything else following; of reweighted customers.

        In a replicate other parameters move only as far as the effects take them along: the rest of their
        error may lie where the data say next to nothing, and one step there can go anywhere.

        Parameters
        ----------
        estimator, panel, stocks
            The estimator, and the segment's customers that it was fitted to.
        rng
            Passed on.
        weights
            Weights of a replicate, shape (n,); None for ones.
        common_shift
            How far the common effects moved in the replicate, shape (2C,).
        """
        mine = self.own.effects
        own_shift = 0.0 if weights is None else (weights - 1.0) @ mine.influence
        shift = np.where(self.free, own_shift, common_shift)
        towards = mine.weights_towards(self.effects + shift)
        return estimator.fit(panel, stocks, weights=towards, start=self.own.fit, rng=rng)


def moved_models(
    targets: Mapping[Key, OwnTarget],
    replicates: Replicates,
    common: FittedPanelModel,
    weights: Float | None,
    rng: np.random.Generator,
) -> dict[Key, FittedPanelModel]:
    """The segments' own models: of one replicate, where weights are given, else as they are."""
    now, before = (np.concatenate([fit.beta, fit.gamma]) for fit in (common, replicates.fit))
    moved = {}
    for key, target in targets.items():
        rows = target.own.customers
        moved[key] = target.moved(
            replicates.estimator,
            replicates.panel.take(rows),
            replicates.stocks[rows],
            rng=rng,
            weights=None if weights is None else weights[rows],
            common_shift=now - before,
        )
    return moved
