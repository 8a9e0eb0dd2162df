"""Who answers whom: every post's conversation, and the customer whose case it belongs to.

Replies are followed to the topmost known post. A brand's post belongs to the customer of the nearest
customer's post above it; without one, in a conversation that the export names, to the customer who wrote
last before it. In a log of messages that says to whom each went, and of none what it answers, everything
between one customer and the brand is one conversation.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.arrays import Integer
from histories.compiled import compiled
from histories.errors import DataError
from histories.identity import NOBODY, normal_handle
from histories.replies import bare_id, cut_cycles, parents_of, roots_of

OPTIONAL: Final[dict[str, pl.DataType]] = {
    "in_reply_to": pl.String(),
    "conversation_id": pl.String(),
    "case_id": pl.String(),
    "recipient": pl.String(),
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


def author_key(columns: list[str]) -> pl.Expr:
    """One text per customer: the customer id where it is known, else platform and handle."""
    author = pl.format("author:{}:{}", pl.col("platform").str.to_lowercase(), normal_handle(pl.col("author")))
    if "customer_id" not in columns:
        return author
    return pl.coalesce(pl.format("customer:{}", pl.col("customer_id")), author)


def link_posts(posts: pl.DataFrame) -> pl.DataFrame:
    """Follow replies to their roots, and give every brand's post to a customer.

    Parameters
    ----------
    posts
        Valid posts with `at` (instants); `is_brand` or `inbound`; `customer_id` where the author is known.

    Returns
    -------
    DataFrame
        The columns of posts, absent ones null, and: `is_customer`, `conversation`, `key` (whose case; null
        for a publication), `answers_at` (time of the customer's post above a brand's; null without one).

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
    parents = parents_of(rows).at
    cut_cycles(parents)
    rows = _with_roots_named(rows, parents)
    above = _customer_above(parents, rows["is_customer"].to_numpy())
    return _placed(rows, roots_of(parents), above)


def _with_roots_named(rows: pl.DataFrame, parents: Integer) -> pl.DataFrame:
    """The same posts; one without a conversation after whose id its replies name theirs belongs to it.

    So do exports that hold what opens a thread in one file and what follows in another.
    """
    above = pl.Series(parents)
    told = rows.select(
        pl.lit(above).alias("place"), "conversation_id", bare_id("conversation_id").alias("bare")
    ).with_columns(pl.lit(rows["post_id"].cast(pl.String).gather(above.clip(0))).alias("parent"))
    named = told.filter(
        (pl.col("place") >= 0)
        & ((pl.col("conversation_id") == pl.col("parent")) | (pl.col("bare") == pl.col("parent")))
    ).unique("place", keep="first", maintain_order=True)
    if named.is_empty():
        return rows
    places = pl.DataFrame({"place": np.arange(rows.height)})
    own = places.join(named, on="place", how="left", maintain_order="left")["conversation_id"]
    return rows.with_columns(pl.coalesce("conversation_id", pl.lit(own)).alias("conversation_id"))


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
            "inputs.posts.columns, turn the other side's round with negate, or name the agents in cases or "
            "hours as posts name their authors."
        )
    return posts.select(told.alias("is_customer"))["is_customer"]


def sides_by_staff(posts: pl.DataFrame, staff: Collection[str]) -> tuple[pl.DataFrame, str | None]:
    """Posts with `is_brand`, and what to tell where the names of the staff say it because no column does.

    A post is the brand's that has an `agent`, or whose author is one of `staff` (lower case, without @).
    """
    if {"is_brand", "inbound"} & {*posts.columns}:
        return posts, None
    is_brand = pl.col("author").cast(pl.String).str.strip_prefix("@").str.to_lowercase().is_in(list(staff))
    if "agent" in posts.columns:
        is_brand |= pl.col("agent").is_not_null()
    told = posts.with_columns(is_brand.fill_null(False).alias("is_brand"))
    count = int(told["is_brand"].sum())
    if not count:
        return posts, None
    return told, (
        f"posts: {count:,} of {posts.height:,} posts count as the brand's, since their authors are agents of "
        "posts, cases or hours, or automatic_authors; no column is_brand or inbound says so."
    )


def without_internal(posts: pl.DataFrame) -> tuple[pl.DataFrame, str | None]:
    """Posts without the notes that no customer sees, and what to tell of them."""
    if "visibility" not in posts.columns:
        return posts, None
    kept = posts.filter((pl.col("visibility") != "internal").fill_null(True))
    hidden = posts.height - kept.height
    return kept, f"posts: {hidden:,} are internal notes, and no messages." if hidden else None


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
    told = pl.coalesce(pl.format("conversation:{}", pl.col("conversation_id")), _between(rows))
    named = rows.with_columns(
        pl.coalesce(told, pl.lit(root)).alias("conversation"),
        told.alias("named_conversation"),
        author_key(rows.columns).alias("own_key"),
    )
    nobody = pl.col("author").str.to_lowercase().str.strip_chars().is_in(NOBODY)
    if "customer_id" in rows.columns:
        nobody &= pl.col("customer_id").is_null()
    named = named.with_columns(
        pl.when(nobody)
        .then(pl.format("{} in {}", "own_key", "conversation"))
        .otherwise("own_key")
        .alias("own_key")
    )
    at = pl.Series(np.where(above < 0, 0, above))
    has = pl.Series(above >= 0)
    linked = named.with_columns(
        pl.when(pl.lit(has)).then(pl.lit(named["own_key"].gather(at))).alias("linked_key"),
        pl.when(pl.lit(has)).then(pl.lit(named["at"].gather(at))).alias("linked_at"),
    )
    # In a named conversation, or under a case id, a brand's post without a link answers whoever wrote last.
    place = pl.coalesce("case_id", "named_conversation")
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
        .drop("own_key", "linked_key", "linked_at", "named_conversation", "row")
    )


def _between(rows: pl.DataFrame) -> pl.Expr:
    """The brand and one customer, where posts say to whom they went and none says what it answers."""
    if rows["in_reply_to"].count():
        return pl.lit(None, dtype=pl.String)
    customer = pl.when("is_customer").then("author").otherwise("recipient")
    return pl.when(pl.col("recipient").is_not_null()).then(
        pl.format("between:{}:{}", pl.col("platform").str.to_lowercase(), normal_handle(customer))
    )
