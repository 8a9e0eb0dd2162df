"""Whether effects level off: one bend of all channel stocks, by profile likelihood.

The more a customer carries, the less one touch more may do. With b the bend, 0 for effects linear in stocks,

    f_b(S) = (1 - exp(-b S)) / b,    f_0(S) = S

takes the place of every stock. The model that credits the company is climbed at each b of a grid from its
optimum at b = 0, and the best is taken where it is ahead of f_0 by more than Schwarz's charge for a parameter
(half a logarithm of the customers). Bends within reach of the best stay in the range of credits. Where
leaving is silent the likelihood is flat (a company of 4,000 whose effects do level off has .3 between b = 0
and .3, less beyond), and effects are taken as linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from attribution.incremental.setfunction import FittedPanelModel
from histories.arrays import Real, Single
from histories.mapped import empty_beside
from histories.panel import Panel

__all__ = ["STRAIGHT", "Bend", "choose_bend", "levelled"]

BENDS = (0.3, 0.6, 1.2, 2.4, 4.8)
"""Bends that are tried: at the last one, half of all that a stock can do is done at .14."""
REACH = 2.0
"""Log-likelihood by which a bend may be behind the best and stay in the range (a 95 % interval's)."""
CHUNK = 20_000
"""Customers whose stocks are bent at a time: bounds memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """The bend of all stocks, and how it is known."""

    value: float = 0.0
    """b, per unit of stock."""
    beside: Mapping[float, FittedPanelModel] = field(default_factory=dict)
    """Fits at other bends within reach of the best."""
    gain: float = 0.0
    """Log-likelihood above that of linear effects."""

    @property
    def words(self) -> str:
        """The bend in one clause; empty where effects are linear."""
        if not self.value:
            return ""
        half = np.log(2.0) / self.value
        return f"effects level off, half of what a stock can do is done at {half:.2g} (by {self.gain:.0f})"


STRAIGHT = Bend()


def levelled(stocks: Single, bend: float) -> Single:
    """f_b(S), element by element.

    Examples
    --------
    >>> levelled(np.array([0.5, 2.0], dtype=np.float32), 1.0).round(2).tolist()
    [0.38999998569488525, 0.8600000143051147]
    """
    if not bend:
        return stocks
    found = empty_beside(stocks, np.float32)
    for start in range(0, len(stocks), CHUNK):
        rows = slice(start, start + CHUNK)
        found[rows] = -np.expm1(-bend * np.asarray(stocks[rows], dtype=np.float64)) / bend
    return found


def choose_bend(fit: FittedPanelModel, panel: Panel, stocks: Real) -> Bend:
    """The bend that the likelihood calls for.

    Parameters
    ----------
    fit
        Fitted to these customers and stocks.
    panel, stocks
        The customers, and their decayed stocks, shape (N, P, C).
    """
    if not panel.contractual:
        return STRAIGHT
    start = fit.with_stocks(panel, stocks)
    if start is None:
        return STRAIGHT
    fits: dict[float, FittedPanelModel] = {}
    heights = {0.0: start[1]}
    for bend in BENDS:
        found = fit.with_stocks(panel, levelled(stocks, bend))
        if found is not None:
            fits[bend], heights[bend] = found
    best = max(heights, key=lambda bend: heights[bend])
    gain = heights[best] - heights[0.0]
    if gain <= 0.5 * np.log(panel.n_customers):
        return STRAIGHT
    near = {bend: fits[bend] for bend in fits if bend != best and heights[best] - heights[bend] < REACH}
    return Bend(value=best, beside=near, gain=gain)
