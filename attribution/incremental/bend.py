"""Whether effects level off: one bend of all channel stocks, by profile likelihood.

The more a customer carries, the less one touch more may do. With b the bend, 0 for effects linear in stocks,

    f_b(S) = (1 - exp(-b S)) / b,    f_0(S) = S

takes the place of every stock (`stocks.panel_stocks`). The model that credits the company is climbed at each
b of a grid from its optimum at b = 0, unless one step promises nothing at any of them, and the best is taken
where it is ahead of f_0 by more than Schwarz's charge for a parameter (half a logarithm of the customers).
Bends within reach of the best stay in the range of credits. Where leaving is silent the likelihood is flat (a
company of 4,000 whose effects do level off has .3 between b = 0 and .3, less beyond), and effects are taken
as linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from attribution.incremental.along import REACH, fits_along
from attribution.incremental.setfunction import FittedPanelModel
from attribution.incremental.stocks import panel_stocks
from histories.arrays import Float
from histories.panel import Panel

BENDS = (0.3, 0.6, 1.2, 2.4, 4.8)
"""Bends that are tried: at the last one, half of all that a stock can do is done at .14."""


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


def choose_bend(fit: FittedPanelModel, panel: Panel, *, decay: float | Float, by_day: bool = False) -> Bend:
    """The bend that the likelihood calls for.

    Parameters
    ----------
    fit
        Fitted to these customers and their stocks.
    panel
        The customers.
    decay, by_day
        Of the stocks (see `panel_stocks`).
    """
    if not panel.contractual:
        return STRAIGHT
    straight = panel_stocks(panel, decay=decay, by_day=by_day)
    start = fit.with_stocks(panel, straight)
    if start is None:
        return STRAIGHT
    bent = {bend: panel_stocks(panel, decay=decay, bend=bend, by_day=by_day) for bend in BENDS}
    climbed = fits_along(start, panel, [bent], before=straight)
    climbed[0.0] = start
    best = max(climbed, key=lambda bend: climbed[bend][1])
    gain = climbed[best][1] - start[1]
    if gain <= 0.5 * np.log(panel.n_customers):
        return STRAIGHT
    near = {b: f for b, (f, height) in climbed.items() if b != best and height > climbed[best][1] - REACH}
    return Bend(value=best, beside=near, gain=gain)
