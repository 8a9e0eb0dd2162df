"""Where leaving is recorded: whether the firm writes most to its best customers, or stops with some."""

from __future__ import annotations

import numpy as np

from attribution.incremental.targeting import has_stopped, sent_by_firm
from histories.arrays import Float
from histories.panel import Panel

LONG, FEWEST = 6, 100
"""Periods and customers from which rates are compared."""
MOST_ALIKE, MOST_STOPPED = 0.3, 0.05
"""Correlation of rates of touches and purchases, and share of customers, from which that is no accident."""


def chosen_receivers(panel: Panel) -> dict[str, str]:
    """The firm's channels whose receivers are no accident, where leaving is recorded, with the reason."""
    lived = np.asarray(panel.exposure * panel.at_risk).sum(axis=1)
    long = lived >= LONG
    if not panel.contractual or long.sum() < FEWEST:
        return {}
    stopped = has_stopped(panel)[long].mean(axis=0)
    bought = _rate(panel.purchases[long].sum(axis=1), lived[long])
    found = {}
    for k in np.flatnonzero(sent_by_firm(panel)):
        got = _rate(panel.touches[long, :, k].sum(axis=1), lived[long])
        alike = float(np.corrcoef(got, bought)[0, 1]) if got.std() > 0 and bought.std() > 0 else 0.0
        if alike > MOST_ALIKE:
            found[panel.channels[k]] = (
                f"the firm writes most to those who buy most (correlation {alike:.2f}): what they buy anyhow "
                "cannot be told from what its touches do"
            )
        elif MOST_STOPPED < stopped[k] < 1.0 - MOST_STOPPED:
            found[panel.channels[k]] = (
                f"its touches ended for {stopped[k]:.0%} of customers long before they left: who no longer "
                "gets them is another kind of customer"
            )
    return found


def _rate(count: Float, lived: Float) -> Float:
    return np.asarray(np.log((count + 0.5) / lived), dtype=np.float64)
