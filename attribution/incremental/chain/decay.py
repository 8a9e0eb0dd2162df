"""How well the chain explains a panel under any decay of the channel stocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.fitted import REFIT_TOLERANCE, HiddenChainFit
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel


class ChainProfile:
    """The maximised log-likelihood; each point climbs from the point before, the settings stay."""

    def __init__(self, panel: Panel, fit: HiddenChainFit) -> None:
        """Start from a fit to this panel."""
        self._panel, self._fit = panel, fit
        self._stocks = panel_stocks(panel, decay=fit.design.decay, by_day=fit.design.by_day)
        self._theta = fit.theta

    def __call__(self, decay: float) -> float:
        """The maximised log-likelihood at this decay, up to a constant of the data."""
        return self._at(panel_stocks(self._panel, decay=decay, by_day=self._fit.design.by_day), decay=decay)

    def without_effects(self) -> float:
        """The maximised log-likelihood of a model in which no channel does anything."""
        return self._at(np.zeros_like(self._stocks), decay=self._fit.design.decay)

    def _at(self, stocks: NDArray[np.float32], *, decay: float) -> float:
        fit, before = self._fit, self._stocks if stocks.any() else None
        design = replace(fit.design, decay=decay, decays=(decay,) * len(fit.channels))
        moved = replace(fit, design=design, theta=self._theta)
        found, _ = moved.with_stocks(self._panel, stocks, before=before, tolerance=REFIT_TOLERANCE)
        if stocks.any():
            self._stocks, self._theta = stocks, found.theta
        return found.loglik
