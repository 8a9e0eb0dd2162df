"""Who answers whom: every post's conversation, and the customer whose case it belongs to.

Replies are followed to the topmost known post. A brand's post belongs to the customer of the nearest
customer's post above it; without one, in a conversation that the export names, to the customer who wrote
last before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.compiled import compiled
from histories.errors import DataError
from histories.identity import normal_handle

__all__ = [
    "LinkedPosts",
    "author_key",
    "check_sides",
    "cut_cycles",
    "is_customer",
    "link_posts",
    "roots_of",
]

Integer = NDArray[np.int64]

OPTIONAL: Final[dict[str, pl.DataType]] = {
    "in_reply_to": pl.String(),
    "conversation_id": pl.String(),
    "case_id": pl.String(),
    "text": pl.String(),
    "visibility": pl.String(),
    "is_automatic": pl.Boolean(),
    "agent": pl.String(),
    "team": pl.String(),
    "brand": pl.String(),
    "product": pl.String(),
    "topic": pl.String(),
    "needs_reply": pl.Boolean(),
    "followers": pl.Int64(),
    "sentiment": pl.Float64(),
}
CUT_SHARE: Final = 0.2
"""Share of replies whose post is not in the file, above which the export was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedPosts:
    """Posts with their conversation and customer.

    Attributes
    ----------
    posts
        The columns of posts, absent ones null, and: `is_customer`, `conversation`, `key` (whose case; null
        for a publication), `answers_at` (time of the customer's post above a brand's; null without one).
    notes
        What is odd about the links, one sentence each.
    """

    posts: pl.DataFrame
    notes: tuple[str, ...]


def author_key(columns: list[str]) -> pl.Expr:
    """One text per customer: the customer id where it is known, else platform and handle."""
    author = pl.format("author:{}:{}", pl.col("platform").str.to_lowercase(), normal_handle(pl.col("author")))
    if "customer_id" not in columns:
        return author
    return pl.coalesce(pl.format("customer:{}", pl.col("customer_id")), author)


def link_posts(posts: pl.DataFrame) -> LinkedPosts:
    """Follow replies to their roots, and give every brand's post to a customer.

    Parameters
    ----------
    posts
        Valid posts with `at` (instants); `is_brand` or `inbound`; `customer_id` where the author is known.

    Raises
    ------
    DataError
        When nobody says who is the brand, or all posts are the brand's, or none is.
    """
    absent = [
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in OPTIONAL.items() if name not in posts.columns
    ]
    rows = posts.with_columns(*absent, is_customer(posts)).sort("at", "post_id")
    check_sides(rows["is_customer"])
    parents, lost, own = _parents(rows)
    cycles = cut_cycles(parents)
    roots = roots_of(parents)
    above = _customer_above(parents, rows["is_customer"].to_numpy())
    return LinkedPosts(posts=_placed(rows, roots, above), notes=_notes(rows, lost, own, cycles))


def is_customer(posts: pl.DataFrame) -> pl.Series:
    """Whether each post is a customer's.

    Raises
    ------
    DataError
        When no column tells.
    """
    if "is_brand" in posts.columns:
        brand = pl.col("is_brand")
        if "inbound" in posts.columns:
            brand = pl.coalesce(brand, ~pl.col("inbound"))
        told = (~brand).fill_null(True)
    elif "inbound" in posts.columns:
        told = pl.col("inbound").fill_null(True)
    else:
        raise DataError(
            "posts: neither is_brand nor inbound says which posts are the brand's. Name the column in "
            "inputs.posts.columns, or turn the other side's round with negate."
        )
    return posts.select(told.alias("is_customer"))["is_customer"]


def check_sides(customers: pl.Series) -> None:
    """Refuse posts of one side only.

    Raises
    ------
    DataError
        When all are customers', or none is.
    """
    n, count = customers.len(), int(customers.sum())
    if n and count in (0, n):
        whose = "the brand's" if not count else "customers'"
        raise DataError(
            f"posts: all {n:,} posts are {whose}; allowed: both sides. Is inbound turned round? "
            'Set inputs.posts.negate = ["is_brand"] where the column says who is the customer.'
        )


def _parents(rows: pl.DataFrame) -> tuple[Integer, int, int]:
    """Row of the post that each answers (-1: none), replies to unknown posts, and replies to themselves."""
    places = rows.select(
        pl.col("post_id").alias("in_reply_to"), pl.int_range(pl.len(), dtype=pl.Int64).alias("parent")
    )
    found = rows.select("in_reply_to").join(places, on="in_reply_to", how="left", maintain_order="left")[
        "parent"
    ]
    is_own = (rows["in_reply_to"] == rows["post_id"]).fill_null(False)
    lost = rows.height - rows["in_reply_to"].null_count() - int(found.is_not_null().sum())
    parents = found.fill_null(-1).to_numpy().copy()
    parents[is_own.to_numpy()] = -1
    return parents, lost, int(is_own.sum())


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


@compiled
def _customer_above(parents: Integer, is_customer: NDArray[np.bool_]) -> Integer:
    """Nearest customer's post at or above each; -1 without one."""
    n = len(parents)
    found = np.full(n, -2, dtype=np.int64)
    for start in range(n):
        at = start
        while at >= 0 and found[at] == -2 and not is_customer[at]:
            at = parents[at]
        customer = -1 if at < 0 else (found[at] if found[at] != -2 else at)
        at = start
        while at >= 0 and found[at] == -2:
            found[at] = at if is_customer[at] else customer
            if is_customer[at]:
                break
            at = parents[at]
    return found


def _placed(rows: pl.DataFrame, roots: Integer, above: Integer) -> pl.DataFrame:
    """Conversation and key of each post."""
    root = rows.select(
        pl.coalesce(
            pl.format("conversation:{}", pl.col("conversation_id")), pl.format("post:{}", pl.col("post_id"))
        ).alias("root")
    )["root"].gather(roots)
    named = rows.with_columns(
        pl.coalesce(pl.format("conversation:{}", pl.col("conversation_id")), pl.lit(root)).alias(
            "conversation"
        ),
        author_key(rows.columns).alias("own_key"),
    )
    at = pl.Series(np.where(above < 0, 0, above))
    has = pl.Series(above >= 0)
    linked = named.with_columns(
        pl.when(pl.lit(has)).then(pl.lit(named["own_key"].gather(at))).alias("linked_key"),
        pl.when(pl.lit(has)).then(pl.lit(named["at"].gather(at))).alias("linked_at"),
    )
    # In a named conversation, or under a case id, a brand's post without a link answers whoever wrote last.
    place = pl.coalesce("case_id", pl.when(pl.col("conversation_id").is_not_null()).then("conversation"))
    is_named = place.is_not_null()
    wrote = pl.when("is_customer")
    last_key = wrote.then("own_key").forward_fill().over(place, order_by="row")
    last_at = wrote.then("at").forward_fill().over(place, order_by="row")
    next_key = wrote.then("own_key").backward_fill().over(place, order_by="row")
    return (
        linked.with_row_index("row")
        .with_columns(
            pl.when("is_customer")
            .then("own_key")
            .otherwise(
                pl.coalesce(
                    "linked_key",
                    pl.when(is_named).then(pl.coalesce(last_key, next_key)),
                    pl.format("case:{}", "case_id"),  # a case whose question only the desk has
                )
            )
            .alias("key"),
            pl.when(~pl.col("is_customer"))
            .then(pl.coalesce("linked_at", pl.when(is_named).then(last_at)))
            .alias("answers_at"),
        )
        .drop("own_key", "linked_key", "linked_at", "row")
    )


def _notes(rows: pl.DataFrame, lost: int, own: int, cycles: Any) -> tuple[str, ...]:
    notes = []
    replies = rows.height - rows["in_reply_to"].null_count()
    if lost:
        cut = " The export was cut: ask for whole threads." if lost > CUT_SHARE * replies else ""
        notes.append(
            f"posts: {lost:,} of {replies:,} replies answer a post that is not in the file; each starts a "
            f"conversation of its own.{cut}"
        )
    if own:
        notes.append(f"posts: {own:,} posts answer themselves; they are taken as answering none.")
    if cycles:
        notes.append(f"posts: {int(cycles):,} circles of replies are cut at their earliest post.")
    return tuple(notes)
