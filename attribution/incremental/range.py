"""Intervals of one estimator, and the range over several that fail in different ways.

The interval is sampling error alone. The range is the hull of the default's credit and of its
companions', each end widened by two standard errors: it contains the truth when any of them is close, and
agreement between them is no evidence that one is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from attribution.credits.rows import Bounds

WIDENING = 2.0
"""Standard errors by which each end of the hull is moved out."""


def bounds_around(
    estimate: float, *, companions: Sequence[float], std_error: float, interval: float
) -> Bounds:
    """Interval and range of one figure, in its own units.

    Parameters
    ----------
    estimate
        The default's figure.
    companions
        The same figure by other estimators within reach; empty: the range is the default's alone.
    std_error
        Bootstrap standard error of the default's; NaN: neither interval nor range.
    interval
        Level of the interval, e.g. .95.

    Examples
    --------
    >>> bounds = bounds_around(10.0, companions=[14.0], std_error=1.0, interval=0.95)
    >>> round(bounds.low, 2), round(bounds.high, 2), bounds.range_low, bounds.range_high
    (8.04, 11.96, 8.0, 16.0)
    """
    if not np.isfinite(std_error):
        return Bounds()
    z = float(stats.norm.ppf(0.5 + interval / 2.0)) * std_error
    hull = [estimate, *(value for value in companions if np.isfinite(value))]
    return Bounds(
        low=estimate - z,
        high=estimate + z,
        range_low=min(hull) - WIDENING * std_error,
        range_high=max(hull) + WIDENING * std_error,
    )
