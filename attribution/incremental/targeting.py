"""Whom a firm writes to: rates of its touches by customer, and where they end.

A firm writes most to its best customers, and who stops a newsletter is another kind of customer than who
reads it. Where leaving is silent the chain is told of both (`chain.design`), unless touches follow what a
customer has done: they are fewer for who has left then. Where leaving is recorded the firm stops with the
customer: a rate says something of how long he stayed, and a silence before the end nothing certain. Such
channels are not supported then.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Flags, Float, Integer
from histories.panel import Panel, last_true

BY_CHANCE = 0.01
"""Chance of so long a silence, at the rate before it, below which the firm has stopped with a customer."""
FOLLOWS, CLEAR, OVERDISPERSION = 0.15, 2.58, 1.5
"""Log ratio, and standard errors, from which touches follow what customers do; their variance to chance's."""
LONG, FEWEST = 6, 100
"""Periods and customers from which rates are compared."""
MOST_ALIKE, MOST_STOPPED = 0.3, 0.05
"""Correlation of rates of touches and purchases, and share of customers, from which that is no accident."""


def sent_by_firm(panel: Panel) -> Flags:
    """Channels with touches in which the firm acts, shape (C,)."""
    firm = np.array([origin == "firm" for origin in panel.origins])
    return np.asarray(firm & (np.asarray(panel.touches).sum(axis=(0, 1)) > 0))


def steadily_sent(panel: Panel) -> Flags:
    """Those of them whose touches follow neither purchases of the period nor signs of the one before, (C,).

    While he shows signs of life: touches after a period with acts or purchases and after one without, each
    to what the customer's own mean leaves to expect.
    """
    signs = (np.asarray(panel.own_acts) > 0) | (np.asarray(panel.purchases) > 0)
    t = np.arange(1, panel.n_periods)
    there = (t > panel.entry[:, None]) & (t <= last_true(signs, none=0)[:, None])
    touches = np.where(there[:, :, None], np.asarray(panel.touches, dtype=np.float64)[:, 1:], 0.0)
    mean = touches.sum(axis=1) / np.maximum(there.sum(axis=1), 1)[:, None]
    ratios, error = [], np.zeros(panel.n_channels)
    for rows in (there & signs[:, :-1], there & ~signs[:, :-1]):
        expected = (rows.sum(axis=1)[:, None] * mean).sum(axis=0)
        seen = (rows[:, :, None] * touches).sum(axis=(0, 1))
        ratios.append(np.log(np.maximum(seen, 0.5) / np.maximum(expected, 0.5)))
        error += OVERDISPERSION / np.maximum(seen, 0.5)
    apart = np.abs(ratios[0] - ratios[1])
    return np.asarray(
        sent_by_firm(panel) & ~panel.late & ~((apart > FOLLOWS) & (apart > CLEAR * np.sqrt(error)))
    )


def last_touch(panel: Panel) -> Integer:
    """Last period with a touch of each channel, its first where there is none, shape (N, C)."""
    t = np.arange(panel.n_periods)[:, None]
    return np.asarray(np.maximum((t * (panel.touches > 0)).max(axis=1), panel.entry[:, None]))


def has_stopped(panel: Panel) -> NDArray[np.bool_]:
    """Whether so long a silence before the end comes to one in a hundred at his rate, shape (N, C)."""
    last = last_touch(panel)
    rate = np.asarray(panel.touches, dtype=np.float64).sum(axis=1) / (last - panel.entry[:, None] + 1.0)
    return np.asarray(rate * (panel.last[:, None] - last) > -np.log(BY_CHANCE))


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
