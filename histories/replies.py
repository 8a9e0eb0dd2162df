"""Who answers whom, as a forest: posts in the order of time, each with the place of the one it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from histories.arrays import Flags, Integer
from histories.compiled import compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class Parents:
    """Links of posts to the posts they answer.

    Attributes
    ----------
    at
        Place of the post that each answers, -1 for none, shape (n,).
    lost
        Whether the post that each answers is not among them, shape (n,).
    own
        Whether each answers itself; that is taken as answering none, shape (n,).
    prefixed
        Whether links name the kind of post before its id (`t3_1abc`, of `1abc`), which was taken off.
    """

    at: Integer
    lost: Flags
    own: Flags
    prefixed: bool = False


def bare_id(name: str) -> pl.Expr:
    """An id without the kind before it.

    >>> pl.DataFrame({"id": ["t3_1abc", "1abc", "12_34"]}).select(bare_id("id"))["id"].to_list()
    ['1abc', '1abc', '12_34']
    """
    return pl.col(name).str.replace(r"^[A-Za-z]+\d?_", "")


def parents_of(posts: pl.DataFrame) -> Parents:
    """Find the post that each answers, by `post_id` and `in_reply_to`.

    Where most links lead nowhere as they stand, and most lead somewhere once a kind before the ids is taken
    off (Reddit's `t1_`, `t3_`), they are read so.
    """
    plain = _found(posts)
    if posts.schema["in_reply_to"] != pl.String or posts.schema["post_id"] != pl.String:
        return plain
    if 2 * plain.lost.sum() <= posts["in_reply_to"].count():
        return plain
    bare = posts.select(bare_id("post_id"), bare_id("in_reply_to"))
    found = _found(bare) if bare["post_id"].n_unique() == bare.height else plain
    return replace(found, prefixed=True) if 2 * found.lost.sum() < plain.lost.sum() else plain


def _found(posts: pl.DataFrame) -> Parents:
    places = posts.select(
        pl.col("post_id").alias("in_reply_to"), pl.int_range(pl.len(), dtype=pl.Int64).alias("parent")
    )
    found = posts.select("in_reply_to").join(places, on="in_reply_to", how="left", maintain_order="left")[
        "parent"
    ]
    own = (posts["in_reply_to"] == posts["post_id"]).fill_null(False).to_numpy()
    lost = (posts["in_reply_to"].is_not_null() & found.is_null()).to_numpy()
    return Parents(at=np.where(own, -1, found.fill_null(-1).to_numpy()).astype(np.int64), lost=lost, own=own)


@compiled
def cut_cycles(parents: Integer) -> int:
    """Take the link away from the earliest post of every cycle; rows are in the order of time."""
    n = len(parents)
    seen = np.zeros(n, dtype=np.int64)
    cycles = 0
    for start in range(n):
        at = start
        while at >= 0 and seen[at] == 0:
            seen[at] = start + 1
            at = parents[at]
        if at >= 0 and seen[at] == start + 1:
            first, step = at, parents[at]
            while step != at:
                first = min(first, step)
                step = parents[step]
            parents[first] = -1
            cycles += 1
    return cycles


@compiled
def roots_of(parents: Integer) -> Integer:
    """Topmost known post above each, itself where it answers none."""
    n = len(parents)
    roots = np.full(n, -1, dtype=np.int64)
    for start in range(n):
        top = start
        while roots[top] < 0 and parents[top] >= 0:
            top = parents[top]
        root = top if roots[top] < 0 else roots[top]
        at = start
        while at >= 0 and roots[at] < 0:
            roots[at] = root
            at = parents[at]
    return roots
