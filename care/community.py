"""A community by its posts: who takes part, whom their peers help, and how few write how much."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from care.intervals import Interval, share_interval
from care.rows import care_frame, care_row
from care.settings import CareSettings
from care.words import needs_reply
from histories.cuts import ALL
from histories.replies import parents_of

ACTIVE_DAYS: Final = 28
_COUNTED: Final = ("followers", "likes", "shares")


def gini(counts: NDArray[np.int64]) -> float:
    """Gini coefficient of counts above 0: 0 where all are equal, towards 1 where one has them all.

    >>> gini(np.array([1, 2, 3, 4])), gini(np.array([5, 5, 5]))
    (0.25, 0.0)
    """
    ordered = np.sort(counts).astype(float)
    n = len(ordered)
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return round(float((ranks * ordered).sum() / (n * ordered.sum())), 12)


def community_figures(posts: pl.DataFrame, settings: CareSettings, *, end: dt.datetime) -> pl.DataFrame:
    """Rows of `CARE_SCHEMA` for all platforms and each.

    `members` wrote at least once, `active_members` in the last 28 days. `peer_answered`: of the opening posts
    of customers that need a reply, the share that another customer answered; `peer_first`: before the brand
    did. `posts_gini`: how unequal members are in the posts they wrote.

    Parameters
    ----------
    posts
        Linked posts: post_id, in_reply_to, at, platform, key, text, needs_reply, sentiment, is_customer.
    settings
        What needs a reply where nobody says.
    end
        Last instant of observation.
    """
    seen = posts.filter(pl.col("at") < end).sort("at", "post_id")
    if seen.filter("is_customer").is_empty():
        return care_frame()
    opening = _with_peers(seen, settings)
    rows = list(_rows(seen, opening, ALL, end))
    for platform in seen["platform"].unique().sort():
        rows += _rows(seen.filter(platform=platform), opening.filter(platform=platform), platform, end)
    return care_frame(rows)


def _with_peers(posts: pl.DataFrame, settings: CareSettings) -> pl.DataFrame:
    """Customers' opening posts that need a reply, with when a peer and when the brand first answered."""
    by_rule = needs_reply(settings.needs_reply, pl.col("text"), pl.col("sentiment"))
    rows = posts.with_columns(
        pl.Series("parent", parents_of(posts).at),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("place"),
        pl.coalesce("needs_reply", by_rule).alias("needs"),
    )
    opening = rows.filter("is_customer", "needs", pl.col("in_reply_to").is_null())
    answers = rows.select(
        pl.col("parent").alias("place"), pl.col("key").alias("by"), pl.col("at").alias("answered_at"),
        pl.col("is_customer").alias("by_customer"),
    )  # fmt: skip
    met = opening.select("place", "key").join(answers, on="place")
    is_peer = pl.col("by_customer") & (pl.col("by") != pl.col("key"))
    firsts = met.group_by("place").agg(
        pl.col("answered_at").filter(is_peer).min().alias("peer_at"),
        pl.col("answered_at").filter(~pl.col("by_customer")).min().alias("brand_at"),
    )
    return opening.select("place", "key", "platform").join(firsts, on="place", how="left")


def members_of(posts: pl.DataFrame) -> pl.DataFrame | None:
    """Known customers who wrote in public: customer_id, posts, followers, likes, shares, answers to others.

    A column that no post has is null; None where nobody is known. Posts are linked ones, as in
    `community_figures`.
    """
    if "customer_id" not in posts.columns:
        return None
    rows = posts.sort("at", "post_id")
    parents = parents_of(rows).at
    above = pl.Series(np.maximum(parents, 0))
    met = pl.Series(parents >= 0) & rows["is_customer"].gather(above)
    given = {name: pl.col(name) if name in rows.columns else pl.lit(None, pl.Int64) for name in _COUNTED}
    in_public = pl.lit(True)
    if "visibility" in rows.columns:
        in_public = (pl.col("visibility").str.to_lowercase() != "private").fill_null(True)
    sums = (pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in _COUNTED[1:])
    return (
        rows.with_columns((met & (rows["key"].gather(above) != rows["key"])).alias("helped"))
        .filter("is_customer", pl.col("customer_id").is_not_null(), in_public)
        .with_columns(value.cast(pl.Int64).alias(name) for name, value in given.items())
        .group_by("customer_id")
        .agg(
            pl.len().cast(pl.Int64).alias("posts"),
            pl.col("followers").max(),
            *sums,
            pl.col("helped").fill_null(False).sum().cast(pl.Int64).alias("answers"),
        )
        .sort("customer_id")
    )


def _rows(
    posts: pl.DataFrame, opening: pl.DataFrame, platform: str, end: dt.datetime
) -> Iterator[dict[str, Any]]:
    written = posts.filter("is_customer")
    if written.is_empty():
        return
    per_member = written.group_by("key").agg(pl.len().alias("posts"), pl.col("at").max())
    active = per_member.filter(pl.col("at") >= end - dt.timedelta(days=ACTIVE_DAYS)).height
    n = per_member.height
    about = partial(care_row, group="community", channel=platform)
    yield about("members", found=Interval(value=float(n), n=n), unit="people")
    yield about("active_members", found=Interval(value=float(active), n=n), unit="people")
    unequal = Interval(value=gini(per_member["posts"].to_numpy()), n=n)
    yield about("posts_gini", found=unequal, unit="score")
    about = partial(about, unit="share", direction="up")
    if posts["in_reply_to"].count() == 0:
        for kpi in ("peer_answered", "peer_first"):
            yield about(kpi, reason="needs in_reply_to, which no table gives")
        return
    customers = opening["key"].rank("dense").cast(pl.Int64).to_numpy()
    came = pl.col("peer_at").is_not_null()
    first = came & (pl.col("brand_at").is_null() | (pl.col("peer_at") < pl.col("brand_at")))
    for kpi, hit in (("peer_answered", came), ("peer_first", first)):
        hits = opening.select(hit.cast(pl.Float64)).to_series().to_numpy()
        yield about(kpi, found=share_interval(hits, customers))
