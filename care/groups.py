"""Which cases must stay together, so that they may be dealt to buckets.

Cases of one author belong together, and everything of one customer. So do a case and its parent, and a case
of the desk and the posts that name it, whosever they are: their authors form one *group*, named by the first
of them. Nearly every group is one customer.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

GROUP: Final = "group"
_PAIR: Final = {"key": pl.String(), "other": pl.String()}


def customer_key() -> pl.Expr:
    """The author's key of a known customer, from `customer_id`."""
    return pl.format("customer:{}", pl.col("customer_id"))


def with_keys(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Cases with the `key` of their author: that of posts, a customer's; of nobody known, the case's own."""
    have = rows.collect_schema().names()
    known = pl.col("key") if "key" in have else customer_key() if "customer_id" in have else pl.lit(None)
    return rows.with_columns(
        pl.coalesce(known.cast(pl.String), pl.format("case:{}", pl.col("case_id"))).alias("key")
    )


def find_groups(desk: pl.LazyFrame | None, posts: pl.LazyFrame | None) -> pl.DataFrame:
    """key, group of the authors who are not a group alone; what names no other case is not held.

    Parameters
    ----------
    desk
        Rows of the desk's table with their `key`.
    posts
        Cases of posts with theirs.
    """
    both = [rows for rows in (desk, posts) if rows is not None]
    owners = pl.concat([rows.select(_text("case_id"), other="key") for rows in both])
    pairs = []
    for rows in both:
        have = rows.collect_schema().names()
        if "parent_case_id" in have:
            parent = _text("parent_case_id").alias("case_id")
            pairs.append(owners.join(rows.select("key", parent).drop_nulls("case_id"), on="case_id"))
        if "customer_id" in have:
            known = rows.filter(pl.col("customer_id").is_not_null())
            pairs.append(known.select("key", other=customer_key()))
    if len(both) > 1:
        pairs.append(owners.join(both[1].select("key", _text("case_id")), on="case_id"))
    apart = [rows.select(*_PAIR).filter(pl.col("key") != pl.col("other")).unique() for rows in pairs]
    return _joined(pl.concat([rows.collect() for rows in apart]) if apart else pl.DataFrame(schema=_PAIR))


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String)


def _joined(pairs: pl.DataFrame) -> pl.DataFrame:
    """Authors in the order of their keys, each with the first of those that pairs join."""
    keys = pl.concat([pairs["key"], pairs["other"].alias("key")]).unique().sort()
    first, second = (keys.search_sorted(pairs[name]).to_numpy() for name in _PAIR)
    joined = coo_array((np.ones(len(first)), (first, second)), shape=(keys.len(), keys.len()))
    _, whose = connected_components(joined, directed=False) if keys.len() else (0, np.zeros(0))
    return pl.DataFrame({"key": keys, "whose": whose}).select(
        "key", pl.col("key").first().over("whose").alias(GROUP)
    )


def grouped(rows: pl.LazyFrame, groups: pl.DataFrame) -> pl.LazyFrame:
    """Rows with a `key`, with their group beside it."""
    if groups.is_empty():
        return rows.with_columns(pl.col("key").alias(GROUP))
    joined = rows.join(groups.lazy(), on="key", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(GROUP, "key").alias(GROUP))
