"""A fitted model with another estimator's effects on leaving put in the place of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.setfunction import FittedPanelModel, PanelPrediction
from histories.panel import Panel

__all__ = ["SubstitutedEffects"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubstitutedEffects:
    """The hazards that `fit` finds with all channels on, taken apart by other effects.

    Only the split between channels and baseline changes: hazards, survival and spend stay what they are.
    """

    fit: FittedPanelModel
    beta: NDArray[np.float64]
    """Effects on the log-odds of leaving per unit of stock, shape (C,)."""

    @property
    def gamma(self) -> NDArray[np.float64]:
        """Effects on log spend, those of the fit, shape (C,)."""
        return self.fit.gamma

    @property
    def problems(self) -> tuple[str, ...]:
        """Those of the fit."""
        return self.fit.problems

    def predict(
        self, panel: Panel, stocks: NDArray[np.float32], *, rng: np.random.Generator
    ) -> PanelPrediction:
        """The fit's prediction, its constant moved so that hazards with all channels on stay the same."""
        found = self.fit.predict(panel, stocks, rng=rng)
        if found.hazard_offset is None:
            return found
        moved = (stocks @ (self.fit.beta - self.beta)).astype(np.float32)
        return replace(found, hazard_offset=found.hazard_offset + moved)
