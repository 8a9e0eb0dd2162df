"""How well the shared-frailty model explains a panel under any decay of the channel stocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.optimise import Optimum, maximise
from attribution.incremental.frailty.posterior import Posterior
from attribution.incremental.frailty.structure import Solution, free_of
from attribution.incremental.stocks import mean_ratio, panel_stocks
from histories.panel import Panel

__all__ = ["FrailtyProfile"]

ITERATIONS = 15
"""Steps of a climb from the optimum at another decay; three to six are the rule."""


class FrailtyProfile:
    """The bound at its maximum over everything but the decay; each point climbs from the point before.

    The structure (drift, second factor) and the shape of spend stay those of the first fit, so that bounds
    compare.
    """

    def __init__(self, panel: Panel, data: FrailtyData, first: Solution) -> None:
        """Start from a fit.

        Parameters
        ----------
        panel
            Customers fitted to.
        data
            Their arrays; their stocks give the decay that effects start from.
        first
            The fit to them.
        """
        self._panel = panel
        self._data = data
        self._optimum: Optimum[Posterior] = first.optimum
        self._dynamic = first.dynamic
        self._free: NDArray[np.bool_] = free_of(
            data, dynamic=first.dynamic, second_factor=first.second_factor
        )

    def __call__(self, decay: float) -> float:
        """The maximised bound at this decay, up to a constant of the data."""
        return self._at(panel_stocks(self._panel, decay=decay).astype(np.float64))

    def without_effects(self) -> float:
        """The maximised bound of a model in which no channel does anything."""
        return self._at(np.zeros_like(self._data.rows.stocks))

    def _at(self, stocks: NDArray[np.float64]) -> float:
        before, rows = self._optimum, self._data.rows
        effects = before.parameters.stocks * (mean_ratio(rows.stocks, stocks) if stocks.any() else 0.0)
        self._data = replace(self._data, rows=rows._replace(stocks=stocks))
        self._optimum = maximise(
            self._data,
            replace(before.parameters, stocks=effects),
            before.posterior,
            self._free,
            dynamic=self._dynamic,
            weights=np.ones(self._data.n_lives),
            max_iterations=ITERATIONS,
            hold_shape=True,
            warm_up=1,
        )
        return self._optimum.bound
