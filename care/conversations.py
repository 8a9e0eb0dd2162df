"""Posts to cases: one conversation, one customer, one matter; and every wait in it.

Everything here works on the complete posts of some customers (the `key` of `link_posts`), so customers may be
dealt to buckets. Times are instants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from care.repeated_replies import repeated_reply_note
from care.settings import CareSettings
from care.words import channel_patterns, matches, needs_reply, redirection_reason, redirection_target

POST_CASE: Final = "post:"
"""Prefix of the id of a case that posts make: the id of its first post follows."""

_ORDER: Final = ["at", "is_brand_post", "post_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """Cases that posts make, or what posts say of cases that the desk has named.

    Attributes
    ----------
    cases
        One row per case: case_id, key, customer_id (where known), channel, closed_channel, brand, product,
        topic, team, agent, opened_at, last_at, needs_reply, waiting_since, first_response_at,
        first_automatic_at, answered, turns, replies, stations, audience, sentiment_first, sentiment_last,
        redirected_at, redirection_target, redirection_reason, joined_at, last_customer_at.
    waits
        One row per wait after the first: case_id, started_at, ended_at (null while open).
    publications
        Brand posts that belong to no case.
    doubt
        What to ask about replies that look like a robot's; None where none do.
    """

    cases: pl.DataFrame
    waits: pl.DataFrame
    publications: int
    doubt: str | None = None


def build_conversations(posts: pl.DataFrame, settings: CareSettings) -> Conversations:
    """Cases and waits of the linked posts of complete customers."""
    known = posts.filter(pl.col("key").is_not_null())
    described = _split(_describe(known, settings), settings)
    named = _join_redirected(described, settings)
    waits = _waits(named)
    return Conversations(
        cases=_summarize(named, waits),
        waits=waits.filter(pl.col("number") > 0).select("case_id", "started_at", "ended_at"),
        publications=posts.height - known.height,
        doubt=repeated_reply_note(named),
    )


def _describe(posts: pl.DataFrame, settings: CareSettings) -> pl.DataFrame:
    """What each post is: automatic, in need of a reply, private, a request to move."""
    authors = [author.removeprefix("@").lower() for author in settings.automatic_authors]
    since = (pl.col("at") - pl.col("answers_at")).dt.total_microseconds()
    at_once = (since >= 0) & (since <= settings.automatic_seconds * 1_000_000)
    automatic = (
        pl.col("is_automatic").fill_null(False)
        | pl.col("author").str.strip_prefix("@").str.to_lowercase().is_in(authors)
        | matches(pl.col("text"), settings.automatic_texts)
        | at_once.fill_null(False)
    )
    by_rule = needs_reply(settings.needs_reply, pl.col("text"), pl.col("sentiment"))
    return (
        posts.with_columns(
            (~pl.col("is_customer")).alias("is_brand_post"),  # at the same moment, the customer spoke first
            (~pl.col("is_customer") & automatic).alias("automatic"),
            (pl.col("is_customer") & pl.coalesce("needs_reply", by_rule)).alias("needs"),
            (pl.col("visibility") == "private").fill_null(False).alias("private"),
            (~pl.col("is_customer") & ~automatic).alias("human"),
        )
        .with_columns(
            pl.when("human").then(redirection_target(settings.redirection, pl.col("text"))).alias("target"),
            pl.when("human").then(redirection_reason(settings.redirection, pl.col("text"))).alias("reason"),
        )
        .with_columns(
            # Who already talks in private is not sent there.
            pl.when(~pl.col("private") | (pl.col("target") != "private message"))
            .then("target")
            .alias("target")
        )
    )


def _split(posts: pl.DataFrame, settings: CareSettings) -> pl.DataFrame:
    """Name the case of each post: the desk's own, else conversation and customer, anew after a long silence.

    A conversation is over when the brand had the last word more than `quiet_days` ago; who still waits does
    not open a second case by asking again. Robots have no word.
    """
    group = [
        "key",
        pl.coalesce(pl.format("case:{}", pl.col("case_id")), pl.col("conversation")).alias("thread"),
    ]
    rows = posts.with_columns(group).sort("key", "thread", *_ORDER).with_row_index("row")
    over = "group"  # numbers are compared faster than texts
    rows = rows.with_columns(pl.struct("key", "thread").rle_id().alias(over))
    human, customer = pl.when("human"), pl.when("is_customer")
    rows = rows.with_columns(
        human.then("row").forward_fill().shift(1).over(over).alias("spoke"),
        human.then("at").forward_fill().shift(1).over(over).alias("spoke_at"),
        customer.then("row").forward_fill().shift(1).over(over).alias("asked"),
    )
    silence = (pl.col("at") - pl.col("spoke_at")).dt.total_microseconds() > settings.quiet_days * 86_400e6
    had_last_word = pl.col("asked").is_null() | (pl.col("spoke") > pl.col("asked"))
    anew = pl.col("is_customer") & had_last_word & silence & pl.col("case_id").is_null()
    rows = rows.with_columns(anew.fill_null(False).cum_sum().over(over).alias("part"))
    # A conversation that the brand began has a part before the customer's first word; it is the same case.
    first = pl.when("is_customer").then("post_id").drop_nulls().first().over(over, "part")
    return rows.with_columns(
        pl.coalesce("case_id", pl.format(f"{POST_CASE}{{}}", first)).alias("case")
    ).filter(pl.col("case").is_not_null())


def _join_redirected(posts: pl.DataFrame, settings: CareSettings) -> pl.DataFrame:
    """Let a case that begins where its customer was sent be part of the case that sent them."""
    hours = settings.join_hours * 3600e6
    opens = (
        posts.filter("is_customer")
        .sort(*_ORDER)
        .group_by("case", maintain_order=True)
        .agg(pl.col("key", "at", "platform", "private", "case_id").first())
        .filter(pl.col("case_id").is_null())
    )
    asks = posts.filter(pl.col("target").is_not_null()).select(
        "key", pl.col("at").alias("asked_at"), "target", pl.col("case").alias("sent_by")
    )
    since = (pl.col("at") - pl.col("asked_at")).dt.total_microseconds()
    joined = (
        opens.join(asks, on="key")
        .filter(pl.col("case") != pl.col("sent_by"), since >= 0, since <= hours, _is_there(settings))
        .sort("asked_at", "sent_by")
        .group_by("case", maintain_order=True)
        .agg(pl.col("sent_by").last())
    )
    whole = dict(zip(joined["case"].to_list(), joined["sent_by"].to_list(), strict=True))
    for case in list(whole):
        seen = {case}
        while whole[case] in whole and whole[whole[case]] not in seen:
            seen.add(whole[case])
            whole[case] = whole[whole[case]]
    return (
        posts.with_columns(
            pl.col("case").replace(list(whole), list(whole.values())) if whole else pl.col("case"),
            pl.col("platform").alias("channel"),
        )
        .sort("case", *_ORDER)
        .with_columns(pl.col("case").rle_id().alias("group"))
    )


def _is_there(settings: CareSettings) -> pl.Expr:
    """Whether a post is where a redirection points: private, or in a channel of that kind."""
    patterns = channel_patterns(settings.redirection)
    found = [
        (pl.col("target") == target) & pl.col("platform").str.contains(f"(?i){pattern}")
        for target, pattern in patterns.items()
    ]
    return pl.any_horizontal((pl.col("target") == "private message") & pl.col("private"), *found)


def _waits(posts: pl.DataFrame) -> pl.DataFrame:
    """Every wait of a case: from a customer's post that needs a reply to the next human one.

    Returns
    -------
    DataFrame
        case_id, number (0 is the first), started_at, ended_at (null while open).
    """
    rows = posts.drop("row").with_row_index("row")
    rows = rows.with_columns(
        pl.when("needs").then("row").forward_fill().shift(1).over("group").alias("needed"),
        pl.when("human").then("row").forward_fill().shift(1).over("group").alias("spoke"),
        pl.when("human").then("at").backward_fill().over("group").alias("ended_at"),
    )
    begins = pl.col("needs") & (pl.col("needed").is_null() | (pl.col("spoke") > pl.col("needed")))
    return rows.filter(begins.fill_null(False)).select(
        pl.col("case").alias("case_id"),
        pl.int_range(pl.len(), dtype=pl.Int64).over("group").alias("number"),
        pl.col("at").alias("started_at"),
        "ended_at",
    )


def _summarize(posts: pl.DataFrame, waits: pl.DataFrame) -> pl.DataFrame:
    """One row per case."""
    customer, human = pl.col("is_customer"), pl.col("human")
    asked = pl.col("target").is_not_null()
    # A robot's greeting between two messages makes no second turn.
    spoke_last = pl.when(~pl.col("automatic")).then(customer).forward_fill().shift(1).over("group")
    run = customer & ~spoke_last.fill_null(False)
    opened = pl.when(customer).then("at").min().over("group")
    after = (pl.col("at") >= opened).fill_null(True)  # of the desk's cases only replies may be known
    posts = posts.with_columns(
        run.alias("turn"),
        (human & after).alias("replies_to"),
        (pl.col("automatic") & after).alias("greets"),
        pl.when(asked).then("at").min().over("group").alias("redirected_at"),
    ).with_columns(pl.col("redirected_at").min().over("group"))
    to_private = (pl.col("target") == "private message").any().over("group")
    there = to_private & customer & pl.col("private") & (pl.col("at") >= pl.col("redirected_at"))
    elsewhere = customer & (pl.col("platform") != pl.col("platform").first().over("group"))
    moved = there | (elsewhere & (pl.col("at") >= pl.col("redirected_at")))
    summary = posts.group_by("group", maintain_order=True).agg(
        pl.col("case").first(),
        pl.when(customer).then("key").first(ignore_nulls=True),
        *(
            [pl.when(customer).then("customer_id").first(ignore_nulls=True)]
            if "customer_id" in posts.columns
            else []
        ),
        pl.when(customer).then("platform").first(ignore_nulls=True).alias("channel"),
        pl.when(pl.col("private").last() & ~pl.col("private").first())
        .then(pl.format("{} (private)", pl.col("platform").last()))
        .otherwise(pl.col("platform").last())
        .alias("closed_channel"),
        *(pl.col(name).first(ignore_nulls=True) for name in ("brand", "product", "topic")),
        *(pl.when(human).then(name).first(ignore_nulls=True) for name in ("team", "agent")),
        pl.col("at").filter(customer).min().alias("opened_at"),
        pl.col("at").max().alias("last_at"),
        pl.col("at").filter(customer).max().alias("last_customer_at"),
        pl.when(customer.any()).then(pl.col("needs").any()).alias("needs_reply"),
        pl.col("at").filter(pl.col("greets")).min().alias("first_automatic_at"),
        pl.col("at").filter(pl.col("replies_to")).min().alias("first_human_at"),
        (human & (pl.col("at") < pl.col("answers_at"))).fill_null(False).any().alias("early"),
        pl.col("turn").sum().cast(pl.Int64).alias("turns"),
        human.sum().cast(pl.Int64).alias("replies"),
        pl.col("agent")
        .filter(human & pl.col("agent").is_not_null())
        .n_unique()
        .cast(pl.Int64)
        .alias("stations"),
        pl.col("followers").filter(customer).max().alias("audience"),
        pl.when(customer).then("sentiment").first(ignore_nulls=True).alias("sentiment_first"),
        pl.when(customer).then("sentiment").last(ignore_nulls=True).alias("sentiment_last"),
        pl.col("redirected_at").first(),
        pl.col("target").first(ignore_nulls=True).alias("redirection_target"),
        pl.when(asked).then("reason").first(ignore_nulls=True).alias("redirection_reason"),
        pl.col("at").filter(moved).min().alias("joined_at"),
    )
    first = waits.filter(pl.col("number") == 0).select(
        pl.col("case_id").alias("case"),
        pl.col("started_at").alias("waiting_since"),
        pl.col("ended_at").alias("first_response_at"),
    )
    timed = summary.drop("group").join(first, on="case", how="left", maintain_order="left")
    # A reply dated before the post it answers: answered, but when is not known.
    answered_early = pl.col("early") & pl.col("waiting_since").is_not_null()
    return (
        timed.with_columns(
            pl.coalesce("waiting_since", "opened_at").alias("waiting_since"),
            pl.when(answered_early)
            .then(None)
            .otherwise(
                pl.coalesce(
                    "first_response_at",
                    pl.when(~pl.col("needs_reply").fill_null(False)).then("first_human_at"),
                )
            )
            .alias("first_response_at"),
        )
        .with_columns(
            (pl.col("first_response_at").is_not_null() | answered_early).alias("answered"),
            pl.when(pl.col("stations") > 0).then("stations").alias("stations"),
        )
        .rename({"case": "case_id"})
        .drop("early", "first_human_at")
    )
