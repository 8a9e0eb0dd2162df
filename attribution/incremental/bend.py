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

from dataclasses import replace

import numpy as np

from attribution.incremental.along import fits_along, highest_of, near
from attribution.incremental.decay import Bend, Climbed, Decay, Making
from histories.panel import Panel

BENDS = (0.3, 0.6, 1.2, 2.4, 4.8)
"""Bends that are tried: at the last one, half of all that a stock can do is done at .14."""


def choose_bend(start: Climbed, panel: Panel, decay: Decay) -> Making:
    """The bend that the likelihood calls for.

    Parameters
    ----------
    start, panel, decay
        The model that credits the company, fitted to these customers, and the decay of its stocks.
    """
    straight = Making(decay=decay, fit=start)
    if not panel.contractual:
        return straight
    bent = [replace(decay, bend=Bend(value=value)) for value in BENDS]
    climbed = {decay: start} | fits_along(decay, start, panel, [bent])
    best = highest_of(climbed)
    gain = climbed[best][1] - start[1]
    if gain <= 0.5 * np.log(panel.n_customers):
        return straight
    taken = replace(best, bend=replace(best.bend, gain=gain))
    return Making(decay=taken, fit=climbed[best], beside=near(climbed, best))
