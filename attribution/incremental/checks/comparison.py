"""Whether there is a comparison: what all customers get alike is told from the first months alone.

Customers who came in the same period are compared in the same period. Where a channel's stock hardly differs
between them, its effect rests on the months in which it builds up, and what would be "never" is far outside
all that was seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.panel import Panel

LEAST_SPREAD = 0.25
"""Standard deviation between customers of an age and a period, over the mean, from which there is one."""


def spread_of_stocks(panel: Panel, stocks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Standard deviation of each stock between customers of an age and a period, over its mean, shape (C,).

    Infinite for a channel without touches.

    Parameters
    ----------
    panel, stocks
        Customers, and their decayed stocks, shape (N, P, C).
    """
    within = np.zeros(panel.n_channels)
    total = np.zeros(panel.n_channels)
    rows = 0
    for came in np.unique(panel.entry):
        same = panel.entry == came
        there = panel.at_risk[same][:, came:]
        held = np.where(there[:, :, None], stocks[same][:, came:], 0.0).astype(np.float64)
        count = there.sum(axis=0)
        sums = held.sum(axis=0)
        within += ((held**2).sum(axis=0) - sums**2 / np.maximum(count, 1)[:, None]).sum(axis=0)
        total += sums.sum(axis=0)
        rows += int(count.sum())
    mean, deviation = total / max(rows, 1), np.sqrt(np.maximum(within, 0.0) / max(rows, 1))
    return np.divide(deviation, mean, out=np.full_like(mean, np.inf), where=mean > 0)


def alike_channels(panel: Panel, stocks: NDArray[np.floating]) -> dict[str, str]:
    """Channels without a comparison, with the reason."""
    spreads = spread_of_stocks(panel, stocks)
    return {
        name: (
            f"no comparison: customers of the same age and month differ by {spread:.0%} of the mean in what "
            f"they got, below {LEAST_SPREAD:.0%}"
        )
        for name, spread in zip(panel.channels, spreads, strict=True)
        if spread < LEAST_SPREAD
    }
