"""How large a share of work that can wait is done in time, by the fluid queue of `care.deferred`."""

from __future__ import annotations

from typing import Final

import numpy as np

from histories.arrays import Float

_STEPS: Final = 60  # moments of an open hour at which a fluid queue is looked at


def share_in_time(arrivals: Float, capacity: float, promise_hours: float) -> float:
    """Share of cases answered within a promise by a fluid queue, first come first served.

    Parameters
    ----------
    arrivals
        Cases of consecutive open hours, evenly spread within each; what is left at the end goes on with the
        same hours again.
    capacity
        Cases done an hour.
    promise_hours
        Longest wait that counts, in open hours.

    >>> round(share_in_time(np.array([30.0, 0.0]), capacity=15.0, promise_hours=0.5), 3)
    0.5
    """
    came = np.repeat(np.tile(arrivals, 2), _STEPS) / _STEPS  # the second round starts from a usual backlog
    if not came.sum():
        return 1.0
    balance = np.cumsum(came - capacity / _STEPS)
    left = balance - np.minimum(np.minimum.accumulate(balance), 0.0)
    waits = (np.concatenate([[0.0], left[:-1]]) + came / 2) / capacity
    half = came.size // 2
    return float(came[half:][waits[half:] <= promise_hours].sum() / came[half:].sum())


def agents_for_share(arrivals: Float, per_hour: float, promise_hours: float, share: float) -> float:
    """Agents, the same in every open hour and not rounded, with whom a share is answered in time.

    >>> week = np.array([20.0, 30, 40, 60])
    >>> [round(agents_for_share(week, 12, 1.0, share), 2) for share in (0.5, 0.9, 1.0)]
    [2.63, 2.9, 2.98]
    """
    low, high = 0.0, max(float(arrivals.max(initial=0.0)) / per_hour, 1e-9)
    for _ in range(40):
        middle = (low + high) / 2
        enough = share_in_time(arrivals, max(per_hour * middle, 1e-12), promise_hours) >= share - 1e-9
        low, high = (low, middle) if enough else (middle, high)
    return high
