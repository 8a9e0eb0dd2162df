"""The walk along a customer's line of touches and purchases, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled

CONVERSION, NULL, OPEN, OUTSIDE, UNTOUCHED, TOUCHED = 0, 1, 2, 3, 4, 5
NOBODY = -1


@compiled
def walk_back(
    customer: NDArray[np.int64],
    at: NDArray[np.int64],
    is_purchase: NDArray[np.bool_],
    lookback: int,
    observed_until: int,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What each touch led to, by one walk from the last row to the first.

    A touch belongs to the next purchase if that is near enough, else to the run of touches that it starts or
    continues. A run ends before a purchase, at a gap longer than the lookback, or with the customer. It is a
    null path when no purchase follows its last touch within the lookback (open when the data end too early to
    know); otherwise its touches that are too early for that purchase lie outside every window.

    Parameters
    ----------
    customer, at, is_purchase
        Shape (n,), sorted by customer, then time; a purchase comes before touches of the same instant.
    lookback, observed_until
        In the unit of `at`; `observed_until` is the first instant that is not observed.

    Returns
    -------
    status
        Shape (n,): CONVERSION, NULL, OPEN or OUTSIDE for a touch, UNTOUCHED or TOUCHED for a purchase.
    end_row
        Shape (n,): row of the purchase, or of the run's last touch.
    """
    n = at.shape[0]
    status = np.empty(n, dtype=np.uint8)
    end_row = np.empty(n, dtype=np.int64)
    next_purchase = NOBODY
    next_touch = NOBODY
    for row in range(n - 1, -1, -1):
        if row + 1 < n and customer[row] != customer[row + 1]:
            next_purchase = NOBODY
            next_touch = NOBODY
        if is_purchase[row]:
            status[row] = UNTOUCHED
            end_row[row] = row
            next_purchase = row
            next_touch = NOBODY
            continue
        if next_purchase != NOBODY and at[next_purchase] - at[row] <= lookback:
            status[row] = CONVERSION
            end_row[row] = next_purchase
            status[next_purchase] = TOUCHED
        elif next_touch != NOBODY and at[next_touch] - at[row] <= lookback:
            status[row] = OUTSIDE if status[next_touch] == CONVERSION else status[next_touch]
            end_row[row] = end_row[next_touch]
        else:
            status[row] = OPEN if at[row] + lookback >= observed_until else NULL
            end_row[row] = row
        next_touch = row
    return status, end_row
