"""Who answers whom, as a forest: posts in the order of time, each with the place of the one it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from histories.arrays import Flags, Integer
from histories.compiled import compiled

__all__ = ["Parents", "cut_cycles", "parents_of", "roots_of"]


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
    """

    at: Integer
    lost: Flags
    own: Flags


def parents_of(posts: pl.DataFrame) -> Parents:
    """Find the post that each answers, by `post_id` and `in_reply_to`."""
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
