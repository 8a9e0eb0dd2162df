"""Do likes and followers go with retention and spend, once activity is held? An audit, not an effect.

Whoever writes and buys much collects likes and buys on, so the plain correlation is above zero with nothing
behind it. Here customers are described up to a day, and their purchases counted after it: the partial rank
correlation (Kendall & Gibbons 1990, ch. 8, with Spearman's ranks), given posts, purchases, spend and recency,
with Fisher's interval. These show activity with error, so a correlation that is left is no proof of more.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl

from care.intervals import LEVEL, Interval, z_of
from care.rows import care_frame, care_row
from histories.arrays import Float

DAYS: Final = 90
"""Purchases of so many days before the end of observation are the outcome."""
FEWEST: Final = 100
MEASURES: Final = ("likes", "followers")
OUTCOMES: Final = {"retention": "bought", "spend": "spent_after"}
HELD: Final = ("posts", "purchases", "spent", "silent")


def partial_rank_correlation(x: Float, y: Float, held: Float) -> Interval:
    """Correlation of the ranks of x and y, shape (n,), given those of `held`, shape (n, k).

    No value where one of the two does not vary beyond what is held.
    """
    n, k = held.shape
    ranks = [pl.Series(column).rank().to_numpy() for column in (x, y, *held.T)]
    base = np.column_stack([np.ones(n), *ranks[2:]])
    left = [v - base @ np.linalg.lstsq(base, v, rcond=None)[0] for v in ranks[:2]]
    size = [float(np.linalg.norm(v)) for v in left]
    if n - k < 4 or min(size) < 1e-6 * n:
        return Interval(value=None, n=n)
    value = float(left[0] @ left[1] / (size[0] * size[1]))
    half = z_of(LEVEL) / math.sqrt(n - k - 3)
    centre = math.atanh(min(max(value, -1 + 1e-12), 1 - 1e-12))
    return Interval(value=value, low=math.tanh(centre - half), high=math.tanh(centre + half), n=n)


def vanity_figures(posts: pl.DataFrame, purchases: pl.DataFrame | None, *, end: dt.datetime) -> pl.DataFrame:
    """Rows `likes_and_retention`, `likes_and_spend` and those of followers; `as_tool` with nothing held.

    Parameters
    ----------
    posts
        Linked posts: customer_id (null for unknown authors), at, is_customer; likes and followers, if given.
    purchases
        customer_id, at (instant), amount; None where none were given.
    end
        Last instant of observation.
    """
    given: list[str] = [name for name in MEASURES if name in posts.columns and posts[name].count()]
    if purchases is None or "customer_id" not in posts.columns or not given:
        return care_frame()
    people = _described(posts, purchases, given, end)
    return care_frame(_rows(people, given))


def _described(
    posts: pl.DataFrame, purchases: pl.DataFrame, given: list[str], end: dt.datetime
) -> pl.DataFrame:
    """Known customers who had written and bought before the outcome's days begin."""
    cut = end - dt.timedelta(days=DAYS)
    written = posts.filter("is_customer", pl.col("customer_id").is_not_null(), pl.col("at") < cut)
    by_customer = written.group_by("customer_id").agg(
        pl.len().alias("posts"),
        *([pl.col("likes").sum()] if "likes" in given else []),
        *([pl.col("followers").max()] if "followers" in given else []),
    )
    before = (
        purchases.filter(pl.col("at") < cut)
        .group_by("customer_id")
        .agg(
            pl.len().alias("purchases"),
            pl.col("amount").sum().alias("spent"),
            (cut - pl.col("at").max()).dt.total_seconds().alias("silent"),
        )
    )
    after = (
        purchases.filter(pl.col("at") >= cut, pl.col("at") < end)
        .group_by("customer_id")
        .agg(pl.lit(1.0).alias("bought"), pl.col("amount").sum().cast(pl.Float64).alias("spent_after"))
    )
    known = by_customer.join(before, on="customer_id").join(after, on="customer_id", how="left")
    return known.with_columns(pl.col("bought", "spent_after").fill_null(0.0)).sort("customer_id")


def _rows(people: pl.DataFrame, given: list[str]) -> Iterator[dict[str, Any]]:
    for measure in given:
        known = people.filter(pl.col(measure).is_not_null())
        held = known.select(pl.col(HELD).cast(pl.Float64)).to_numpy()
        for outcome, column in OUTCOMES.items():
            about = partial(care_row, f"{measure}_and_{outcome}", "vanity", unit="correlation")
            if known.height < FEWEST:
                reason = (
                    f"needs {FEWEST} known customers who wrote and bought {DAYS} days before the end; there "
                )
                yield about(n=known.height, reason=f"{reason}are {known.height}")
                continue
            x, y = (known[c].cast(pl.Float64).to_numpy() for c in (measure, column))
            found = partial_rank_correlation(x, y, held)
            plain = partial_rank_correlation(x, y, held[:, :0])
            yield about(found=found, as_tool=plain.value, reason=_reading(found))


def _reading(found: Interval) -> str | None:
    if found.value is None or found.low is None or found.high is None:
        return "does not vary beyond activity"
    return "no more than chance once activity is held" if found.low <= 0.0 <= found.high else None
