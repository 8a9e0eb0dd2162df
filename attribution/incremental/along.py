"""Fits of one company at other stocks, each climbed from the one before, as long as they are within reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    start: Climbed, panel: Panel, sides: Sequence[Mapping[float, Single]], *, before: Single
) -> dict[float, Climbed]:
    """Fits at these stocks by the name of each; on each side until one is out of reach of the highest.

    Parameters
    ----------
    start, panel, before
        The fit to start from on each side, its customers, and its stocks.
    sides
        Stocks ordered away from those, each of shape (N, P, C).
    """
    found: dict[float, Climbed] = {}
    look = start[0].outlook(panel, before)
    here, highest = look(before) if look else 0.0, start[1]
    for stocks in sides:
        last, own = start, before
        for name, other in stocks.items():
            if look and start[1] + look(other) - here < highest - HOPELESS:
                break
            again = last[0].with_stocks(panel, other, before=own)
            if again is None or again[1] < highest - REACH:
                break
            last, own, found[name] = again, other, again
            highest = max(highest, again[1])
    return found
