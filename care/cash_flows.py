"""Money over time: present value, payback and internal rate of return of monthly flows.

`flows[0]` is paid now, `flows[k]` at the end of month k; outlays are negative. A yearly rate d is
(1 + d)^(1/12) - 1 a month.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

LOWEST_RATE, HIGHEST_RATE = -0.99, 10.0
"""A month, between which an internal rate of return is looked for."""


def monthly_rate(per_year: float) -> float:
    """Rate a month that compounds to `per_year`.

    >>> round(monthly_rate(0.10), 6)
    0.007974
    """
    return float((1.0 + per_year) ** (1.0 / 12.0) - 1.0)


def _discounted(flows: Sequence[float], discount_rate: float) -> npt.NDArray[np.float64]:
    """The flows in today's money, shape (n,)."""
    paid = np.asarray(flows, dtype=np.float64)
    return np.asarray(paid / (1.0 + monthly_rate(discount_rate)) ** np.arange(paid.size))


def net_present_value(flows: Sequence[float], *, discount_rate: float) -> float:
    """Sum of the flows in today's money; `discount_rate` per year.

    >>> round(net_present_value([-60_000] + 6 * [4_000] + 6 * [9_000], discount_rate=0.10), 2)
    13424.19
    """
    return float(_discounted(flows, discount_rate).sum())


def payback_months(flows: Sequence[float], *, discount_rate: float = 0.0) -> float | None:
    """Months until the flows so far have paid for themselves for good; None when they never do.

    Within a month money comes evenly. With a rate it is the discounted payback.

    >>> payback_months([-60_000] + 6 * [4_000] + 6 * [9_000])
    10.0
    >>> round(payback_months([-60_000] + 6 * [4_000] + 6 * [9_000], discount_rate=0.10), 2)
    10.36
    >>> payback_months([-10, 4, 4]) is None
    True
    """
    so_far = np.cumsum(_discounted(flows, discount_rate))
    owed = np.flatnonzero(so_far < 0)
    if owed.size == 0:
        return 0.0
    last = int(owed[-1])
    if last == so_far.size - 1:
        return None
    return float(last + so_far[last] / (so_far[last] - so_far[last + 1]))


def internal_rate(flows: Sequence[float]) -> float | None:
    """Rate a month at which the flows are worth nothing; None without one, or where there may be several.

    >>> round(100 * internal_rate([-60_000] + 6 * [4_000] + 6 * [9_000]), 3)
    3.577
    >>> internal_rate([100, 50]) is None
    True
    """
    paid = np.asarray(flows, dtype=np.float64)
    signs = np.sign(paid[paid != 0])
    if signs.size == 0 or int((np.diff(signs) != 0).sum()) != 1:
        return None

    def worth(rate: float) -> float:
        return float((paid / (1.0 + rate) ** np.arange(paid.size)).sum())

    if worth(LOWEST_RATE) * worth(HIGHEST_RATE) > 0:
        return None
    return float(brentq(worth, LOWEST_RATE, HIGHEST_RATE, xtol=1e-12))
