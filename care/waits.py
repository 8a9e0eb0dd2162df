"""How long customers wait, those who still wait included: Kaplan & Meier (1958).

A case that is open when the observation ends has waited *at least* so long. It is censored, not dropped:
the median of the answered cases alone is too short, the more so the more are left lying. Intervals of the
curve are log-log (Kalbfleisch & Prentice 2002, section 1.4, with Greenwood's variance), those of a quantile
are where the curve's interval crosses it (Brookmeyer & Crowley 1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from care.intervals import LEVEL, Interval, z_of
from histories.arrays import Flags, Float, Integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Share still waiting after each length at which a wait ended, by length; each of shape (lengths,).

    Attributes
    ----------
    seconds
        The lengths.
    at_risk
        Waits at least as long.
    survival, low, high
        The share, and its interval.
    """

    seconds: Integer
    at_risk: Integer
    survival: Float
    low: Float
    high: Float


def kaplan_meier(seconds: Float, ended: Flags) -> Curve:
    """Share still waiting after each length at which a wait ended.

    Parameters
    ----------
    seconds
        Length so far, shape (n,).
    ended
        False where the wait was still open at the end of observation, shape (n,).

    >>> waits = np.array([5.0, 12, 20, 20]), np.array([True, True, True, False])
    >>> kaplan_meier(*waits).survival.round(3).tolist()
    [0.75, 0.5, 0.25]
    """
    lengths, place = np.unique(seconds.astype(np.int64), return_inverse=True)
    over = np.bincount(place[ended], minlength=lengths.size)
    left_at = np.cumsum(np.bincount(place, minlength=lengths.size)[::-1])[::-1]
    happened = over > 0
    d, n = over[happened], left_at[happened]
    survival = np.cumprod(1.0 - d / n, dtype=np.float64)
    left = n - d
    greenwood = np.cumsum(np.where(left > 0, d / (n * np.maximum(left, 1.0)), 0.0))
    inside = survival > 0
    logs = np.log(np.where(inside, survival, 0.5))
    spread = z_of(LEVEL) * np.sqrt(greenwood) / -logs
    low = np.where(inside, survival ** np.exp(spread), 0.0)
    high = survival ** np.exp(-spread)
    # Where nobody is left, the formula has no upper end; the last one before it still holds.
    high = np.minimum.accumulate(np.where(inside, high, 1.0)) if len(high) else high
    return Curve(seconds=lengths[happened], at_risk=n, survival=survival, low=low, high=high)


def quantile_of(curve: Curve, share: float) -> Interval:
    """First length after which at most 1 - `share` still wait, in seconds; null where the curve ends above.

    `n` is the number of waits.
    """
    limit = 1.0 - share + 1e-12

    def first(values: Float) -> float | None:
        reached = np.flatnonzero(values <= limit)
        return float(curve.seconds[reached[0]]) if reached.size else None

    n = int(curve.at_risk[0]) if curve.at_risk.size else 0
    return Interval(value=first(curve.survival), low=first(curve.low), high=first(curve.high), n=n)


def share_by(curve: Curve, seconds: float) -> float:
    """Share whose wait had ended after so many seconds, by the curve."""
    before = np.searchsorted(curve.seconds, seconds, side="right")
    return 1.0 - float(curve.survival[before - 1]) if before else 0.0
