"""How long customers wait, those who still wait included: Kaplan & Meier (1958).

A case that is open when the observation ends has waited *at least* so long. It is censored, not dropped:
the median of the answered cases alone is too short, the more so the more are left lying. Intervals of the
curve are log-log (Kalbfleisch & Prentice 2002, section 1.4, with Greenwood's variance), those of a quantile
are where the curve's interval crosses it (Brookmeyer & Crowley 1982).

Counts by second are all that the curve needs, and they add up over buckets of customers.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from care.intervals import LEVEL, Interval, z_of


def count_waits(seconds: pl.Series, ended: pl.Series) -> pl.DataFrame:
    """Counts of waits by length.

    Parameters
    ----------
    seconds
        Length so far; nulls are left out.
    ended
        False where the wait was still open at the end of observation.

    Returns
    -------
    DataFrame
        seconds, ended (waits that ended after so many seconds), waiting (those still open after so many).
    """
    known = (seconds.is_not_null() & ended.is_not_null()).to_numpy()
    lengths = seconds.filter(known).to_numpy().astype(np.int64)
    over = ended.filter(known).to_numpy().astype(bool)
    found, place = np.unique(lengths, return_inverse=True)
    return pl.DataFrame(
        {
            "seconds": found,
            "ended": np.bincount(place[over], minlength=found.size),
            "waiting": np.bincount(place[~over], minlength=found.size),
        }
    )


def kaplan_meier(counts: pl.DataFrame) -> pl.DataFrame:
    """Share still waiting after each length at which a wait ended.

    Returns
    -------
    DataFrame
        seconds, at_risk, ended, survival, low, high; by length.

    >>> waits = count_waits(pl.Series([5, 12, 20, 20]), pl.Series([True, True, True, False]))
    >>> kaplan_meier(waits)["survival"].round(3).to_list()
    [0.75, 0.5, 0.25]
    """
    ended, waiting = (counts[name].to_numpy().astype(float) for name in ("ended", "waiting"))
    at_risk = np.cumsum((ended + waiting)[::-1])[::-1]
    happened = ended > 0
    d, n = ended[happened], at_risk[happened]
    survival = np.cumprod(1.0 - d / n)
    left = n - d
    greenwood = np.cumsum(np.where(left > 0, d / (n * np.maximum(left, 1.0)), 0.0))
    inside = survival > 0
    logs = np.log(np.where(inside, survival, 0.5))
    spread = z_of(LEVEL) * np.sqrt(greenwood) / -logs
    low = np.where(inside, survival ** np.exp(spread), 0.0)
    high = survival ** np.exp(-spread)
    # Where nobody is left, the formula has no upper end; the last one before it still holds.
    high = np.minimum.accumulate(np.where(inside, high, 1.0)) if len(high) else high
    return pl.DataFrame(
        {
            "seconds": counts["seconds"].to_numpy()[happened],
            "at_risk": n.astype(np.int64),
            "ended": d.astype(np.int64),
            "survival": survival,
            "low": low,
            "high": high,
        }
    )


def quantile_of(curve: pl.DataFrame, share: float) -> Interval:
    """First length after which at most 1 - `share` still wait, in seconds; null where the curve ends above.

    `n` is the number of waits.
    """
    n = int(curve["at_risk"].max() or 0) if curve.height else 0  # type: ignore[arg-type]
    limit = 1.0 - share + 1e-12

    def first(column: str) -> float | None:
        reached = np.flatnonzero(curve[column].to_numpy() <= limit)
        return float(curve["seconds"][int(reached[0])]) if reached.size else None

    return Interval(value=first("survival"), low=first("low"), high=first("high"), n=n)


def share_by(curve: pl.DataFrame, seconds: float) -> float:
    """Share whose wait had ended after so many seconds, by the curve."""
    before = curve.filter(pl.col("seconds") <= seconds)
    return 1.0 - float(before["survival"][-1]) if before.height else 0.0
