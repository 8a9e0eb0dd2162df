"""Fits of one company at other stocks, each climbed from the one before, as long as they are within reach."""

from __future__ import annotations

from collections.abc import Mapping

from attribution.incremental.setfunction import FittedPanelModel
from histories.arrays import Single
from histories.panel import Panel

REACH = 2.0
"""Log-likelihood by which a fit may be behind the best and stay in the range (a 95 % interval's)."""
HOPELESS = 6.0
"""The same of what one step promises, from which on it is not climbed."""

Climbed = tuple[FittedPanelModel, float]
"""A fit and its log-likelihood."""


def fits_along(
    start: Climbed, panel: Panel, stocks: Mapping[float, Single], *, before: Single, highest: float
) -> dict[float, Climbed]:
    """Fits at these stocks by the name of each, until one is out of reach of the highest.

    Parameters
    ----------
    start, panel, before
        The fit to start from, its customers, and its stocks.
    stocks
        Ordered away from those, each of shape (N, P, C).
    highest
        Log-likelihood of the best so far.
    """
    found: dict[float, Climbed] = {}
    last, own = start, before
    look = start[0].outlook(panel, before)
    here = look(before) if look else 0.0
    for name, other in stocks.items():
        if look and start[1] + look(other) - here < highest - HOPELESS:
            break
        again = last[0].with_stocks(panel, other, before=own)
        if again is None or again[1] < highest - REACH:
            break
        last, own, found[name] = again, other, again
        highest = max(highest, again[1])
    return found
