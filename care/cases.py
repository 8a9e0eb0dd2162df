"""The desk's cases and those that posts make, as one table; what joins them to one matter.

A case of the desk is the truth about itself; posts fill what it lacks. Times are instants.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from care.conversations import Conversations
from care.settings import CareSettings
from care.words import channel_patterns
from histories.replies import cut_cycles, roots_of

_INSTANT: Final = pl.Datetime("us", "UTC")

ALONE: Final = "served by nobody but themselves"
APART: Final = "at another time than their posts"
COUNTED: Final = frozenset({ALONE, APART})

CASE_COLUMNS: Final[dict[str, pl.DataType]] = {
    "case_id": pl.String(),
    "key": pl.String(),
    "channel": pl.String(),
    "closed_channel": pl.String(),
    "brand": pl.String(),
    "product": pl.String(),
    "topic": pl.String(),
    "team": pl.String(),
    "first_team": pl.String(),
    "agent": pl.String(),
    "priority": pl.String(),
    "parent_case_id": pl.String(),
    "opened_at": _INSTANT,
    "last_at": _INSTANT,
    "last_customer_at": _INSTANT,
    "needs_reply": pl.Boolean(),
    "waiting_since": _INSTANT,
    "first_response_at": _INSTANT,
    "first_automatic_at": _INSTANT,
    "from_desk": pl.Boolean(),  # a row of the desk's own table, which alone can say what is resolved
    "resolved_at": _INSTANT,
    "abandoned_at": _INSTANT,
    "first_business_seconds": pl.Int64(),  # where the desk gives no other time
    "resolution_business_seconds": pl.Int64(),
    "answered": pl.Boolean(),
    "turns": pl.Int64(),
    "contacts": pl.Int64(),
    "replies": pl.Int64(),
    "stations": pl.Int64(),
    "reopened": pl.Boolean(),
    "escalated": pl.Boolean(),
    "handling_seconds": pl.Float64(),
    "audience": pl.Int64(),
    "csat": pl.Float64(),
    "nps": pl.Float64(),
    "ces": pl.Float64(),
    "sentiment_first": pl.Float64(),
    "sentiment_last": pl.Float64(),
    "redirected_at": _INSTANT,
    "redirection_target": pl.String(),
    "redirection_reason": pl.String(),
    "joined_at": _INSTANT,
}
"""What is known of a case; every column may be null but the first, `channel`, `opened_at`, `needs_reply`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """All cases of some authors, and what there is to say about how they came together.

    Attributes
    ----------
    cases
        `CASE_COLUMNS`, `customer_id`, and `journey_id`: the first case of those that are one matter.
    waits
        Waits after the first: case_id, started_at, ended_at.
    columns
        Columns that some table gave; a figure that needs another cannot be said.
    counts
        How many rows were met of each kind that there is something to say about; they add up over buckets.
    """

    cases: pl.DataFrame
    waits: pl.DataFrame
    columns: frozenset[str]
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def combine_cases(
    conversations: Conversations | None,
    desk: pl.DataFrame | None,
    settings: CareSettings,
    *,
    touches: pl.DataFrame | None = None,
) -> Cases:
    """One row per case, from posts, the desk's own table, or both.

    Parameters
    ----------
    conversations
        What posts make.
    desk
        Valid rows of the cases table, times as instants.
    settings
        What needs a reply where nobody says, and where redirected customers are looked for.
    touches
        customer_id, at (instant), channel of the customers' touchpoints: a redirected customer may be found
        there.
    """
    counts: dict[str, int] = {}
    waits = pl.DataFrame(schema={"case_id": pl.String, "started_at": _INSTANT, "ended_at": _INSTANT})
    given: set[str] = set()
    parts = []
    made = None
    if conversations is not None:
        made, waits = conversations.cases, conversations.waits
        given |= {name for name in made.columns if made[name].null_count() < made.height}
    if desk is not None:
        given |= {name for name in desk.columns if desk[name].null_count() < desk.height}
        own, counts[ALONE] = _desk_cases(_by_people(desk, settings))
        if made is not None:
            own, counts[APART] = _filled(own, made)
            made = made.join(own, on="case_id", how="anti")
        parts.append(own.with_columns(pl.lit(True).alias("from_desk")))
    if made is not None:
        made = made.filter(pl.col("opened_at").is_not_null())  # replies to a case that no table has
        parts.append(made.with_columns(pl.lit(False).alias("from_desk")))
    cases = pl.concat([_conformed(part) for part in parts], how="diagonal_relaxed").sort(
        "opened_at", "case_id"
    )
    cases = cases.with_columns(pl.col("needs_reply").fill_null(settings.needs_reply.otherwise))
    linked = _journeys(_completed(cases, settings, touches), settings)
    return Cases(
        cases=linked,
        waits=waits,
        columns=frozenset(given),
        notes=case_notes(conversations, counts),
        counts=counts,
    )


def known_by(cases: pl.DataFrame, end: dt.datetime) -> pl.DataFrame:
    """Cases as they were known at an instant: what came at it or later has not come yet."""
    late = pl.col("first_response_at") >= end
    untimed = pl.col("resolved_at") >= end
    came = [
        pl.when(pl.col(name) < end).then(name).alias(name)
        for name in (
            "first_response_at", "first_automatic_at", "resolved_at", "abandoned_at", "redirected_at",
            "joined_at",
        )
    ]  # fmt: skip
    # A reply without a time is known by the resolution that it made, if at all.
    answered = pl.col("answered") & ~late.fill_null(False)
    only_resolved = pl.col("first_response_at").is_null() & untimed.fill_null(False)
    return cases.with_columns(
        (answered & ~only_resolved).alias("answered"),
        pl.when(pl.col("waiting_since") < end)
        .then("waiting_since")
        .otherwise("opened_at")
        .alias("waiting_since"),
        *came,
    )


def case_notes(conversations: Conversations | None, counts: Mapping[str, int]) -> tuple[str, ...]:
    """What is to be known of how the cases came together."""
    alone, apart = counts.get(ALONE, 0), counts.get(APART, 0)
    publications = 0 if conversations is None else conversations.publications
    doubt = None if conversations is None else conversations.doubt
    notes = (
        publications and f"posts: {publications:,} posts of the brand answer nobody; they are publications.",
        doubt,
        alone and f"cases: {alone:,} were served by themselves or a robot alone; they are no messages.",
        apart
        and f"cases: {apart:,} tell another time than their posts do, by more than a minute; the case's own "
        "time is kept.",
    )
    return tuple(note for note in notes if note)


def _by_people(desk: pl.DataFrame, settings: CareSettings) -> pl.DataFrame:
    """The desk's rows, with what robots did told apart: an agent of `automatic_authors` is no human.

    What a robot resolved served itself; elsewhere its reply is an automatic one, and nobody has answered.
    """
    robots = [name.removeprefix("@").lower() for name in settings.automatic_authors]
    if "agent" not in desk.columns or not robots:
        return desk
    agent = pl.col("agent").cast(pl.String).str.strip_prefix("@").str.to_lowercase()
    robot = agent.is_in(robots).fill_null(False)
    if not desk.select(robot.any()).item():
        return desk
    done = [
        pl.col(name).is_not_null() for name in ("resolved_at", "resolution_minutes") if name in desk.columns
    ]
    alone = pl.col("self_served").fill_null(False) if "self_served" in desk.columns else pl.lit(False)
    told = ("first_response_at", "first_response_minutes", "answered")
    replied = pl.col("first_response_at") if "first_response_at" in desk.columns else pl.lit(None, _INSTANT)
    return desk.with_columns(
        (alone | (robot & pl.any_horizontal(pl.lit(False), *done))).alias("self_served"),
        pl.when(robot).then(replied).alias("first_automatic_at"),
        pl.when(~robot).then("agent").alias("agent"),
        *(pl.when(~robot).then(name).alias(name) for name in told if name in desk.columns),
    )


def _desk_cases(desk: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The desk's rows, durations as instants and flags filled; how many customers served themselves."""
    alone = 0

    def column(name: str, dtype: pl.DataType) -> pl.Expr:
        return (pl.col(name) if name in desk.columns else pl.lit(None)).cast(dtype, strict=False)

    if "self_served" in desk.columns:
        alone = int(desk["self_served"].fill_null(False).sum())
        desk = desk.filter(~pl.col("self_served").fill_null(False))
    on_clock = column("clock", pl.String()).str.to_lowercase()
    in_hours = (on_clock == "business").fill_null(False)
    minutes = {name: column(name, pl.Float64()) for name in ("first_response_minutes", "resolution_minutes")}
    opened = pl.col("opened_at").cast(_INSTANT)

    def after(name: str) -> pl.Expr:
        seconds = (minutes[name] * 60.0).round().cast(pl.Int64)
        return opened + pl.duration(seconds=pl.when((on_clock == "calendar").fill_null(False)).then(seconds))

    rows = desk.with_columns(
        opened.alias("opened_at"),
        # Durations are elapsed time, also over a change of daylight saving; local times may not be.
        pl.coalesce(after("first_response_minutes"), column("first_response_at", _INSTANT)).alias(
            "first_response_at"
        ),
        pl.coalesce(after("resolution_minutes"), column("resolved_at", _INSTANT)).alias("resolved_at"),
        *(
            pl.when(in_hours).then((minutes[name] * 60.0).round().cast(pl.Int64)).alias(alias)
            for name, alias in (
                ("first_response_minutes", "first_business_seconds"),
                ("resolution_minutes", "resolution_business_seconds"),
            )
        ),
        (
            column("reopened", pl.Boolean()).fill_null(False)
            | (column("reopens", pl.Int64()) > 0).fill_null(False)
        ).alias("reopened"),
        (
            pl.format("customer:{}", pl.col("customer_id"))
            if "customer_id" in desk.columns
            else pl.lit(None, dtype=pl.String)
        ).alias("key"),
        column("needs_reply_at", _INSTANT).alias("waiting_since"),
    )
    early = (pl.col("resolved_at") < pl.col("first_response_at")).fill_null(False)
    resolved = pl.col("resolved_at").is_not_null() | pl.col("resolution_business_seconds").is_not_null()
    replied = pl.col("first_response_at").is_not_null() | pl.col("first_business_seconds").is_not_null()
    rows = rows.with_columns(
        # A desk closes what nobody answered, too; where it says so that is how it was.
        (replied | pl.coalesce(column("answered", pl.Boolean()), resolved)).alias("answered"),
    )
    return rows.with_columns(
        pl.when(early).then(None).otherwise("resolved_at").alias("resolved_at"), early.alias("odd_resolution")
    ), alone


def _filled(own: pl.DataFrame, made: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The desk's cases, with what their posts say where they are silent; how many tell another time."""
    shared = [name for name in made.columns if name != "case_id"]
    both = own.join(made, on="case_id", how="left", suffix=" of posts", maintain_order="left")
    apart = [
        (pl.col(name) - pl.col(f"{name} of posts")).dt.total_seconds().abs() > 60
        for name in ("opened_at", "first_response_at")
        if f"{name} of posts" in both.columns
    ]
    count = int(both.select(pl.any_horizontal(apart).fill_null(False).sum()).item()) if apart else 0
    filled = [
        pl.coalesce(name, f"{name} of posts").alias(name)
        for name in shared
        if f"{name} of posts" in both.columns and name not in {"answered", "key", "reopened"}
    ]
    answered = pl.col("answered") | pl.col("answered of posts").fill_null(False)
    key = pl.coalesce("key", "key of posts") if "key of posts" in both.columns else pl.col("key")
    return both.with_columns(*filled, answered.alias("answered"), key.alias("key")).drop(
        [name for name in both.columns if name.endswith(" of posts")]
    ), count


def _conformed(part: pl.DataFrame) -> pl.DataFrame:
    columns = [
        (pl.col(name) if name in part.columns else pl.lit(None)).cast(dtype, strict=False).alias(name)
        for name, dtype in CASE_COLUMNS.items()
    ]
    if "customer_id" in part.columns:
        columns.append(pl.col("customer_id"))
    rows = part.select(columns)
    # The posts' clock may be ahead of the desk's: a reply before the case has no time.
    early = (pl.col("first_response_at") < pl.col("opened_at")).fill_null(False)
    rows = rows.with_columns(
        (pl.col("answered").fill_null(False) | early).alias("answered"),
        pl.when(~early).then("first_response_at").alias("first_response_at"),
        pl.when(pl.col("first_automatic_at") >= pl.col("opened_at"))
        .then("first_automatic_at")
        .alias("first_automatic_at"),
    )
    late = pl.max_horizontal("opened_at", "last_at", "first_response_at", "resolved_at", "abandoned_at")
    after = pl.col("last_customer_at") > pl.col("resolved_at")
    asked = pl.coalesce("waiting_since", "opened_at")
    return rows.with_columns(
        pl.when(asked > pl.col("first_response_at"))
        .then("opened_at")
        .otherwise(asked)
        .alias("waiting_since"),
        late.alias("last_at"),
        (pl.col("reopened").fill_null(False) | after.fill_null(False)).alias("reopened"),
        pl.coalesce("closed_channel", "channel").alias("closed_channel"),
        pl.coalesce("key", pl.format("case:{}", pl.col("case_id"))).alias("key"),
    )


def _completed(cases: pl.DataFrame, settings: CareSettings, touches: pl.DataFrame | None) -> pl.DataFrame:
    """Whether a redirected customer is found again in a touch where they were sent."""
    if touches is None or touches.is_empty() or not cases["redirected_at"].count():
        return cases
    asked = cases.filter(pl.col("redirected_at").is_not_null(), pl.col("joined_at").is_null()).select(
        "case_id", "key", "redirected_at", "redirection_target"
    )
    there = _found_there(settings, pl.col("channel"))
    since = (pl.col("at") - pl.col("redirected_at")).dt.total_microseconds()
    met = (
        asked.join(
            touches.with_columns(pl.format("customer:{}", pl.col("customer_id")).alias("key")), on="key"
        )
        .filter(since >= 0, since <= settings.join_hours * 3600e6, there)
        .group_by("case_id")
        .agg(pl.col("at").min().cast(_INSTANT).alias("met_at"))
    )
    return (
        cases.join(met, on="case_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce("joined_at", "met_at").alias("joined_at"))
        .drop("met_at")
    )


def _found_there(settings: CareSettings, channel: pl.Expr) -> pl.Expr:
    return pl.any_horizontal(
        (pl.col("redirection_target") == target) & channel.str.contains(f"(?i){pattern}")
        for target, pattern in channel_patterns(settings.redirection).items()
    )


def _journeys(cases: pl.DataFrame, settings: CareSettings) -> pl.DataFrame:
    """`journey_id`: cases joined by the desk (`parent_case_id`), or by a redirection that was followed."""
    rows = cases.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    asked = rows.filter(pl.col("redirected_at").is_not_null()).select(
        "key",
        "redirected_at",
        "redirection_target",
        pl.col("row").alias("sender"),
        pl.col("case_id").alias("sent_by"),
    )
    since = (pl.col("opened_at") - pl.col("redirected_at")).dt.total_microseconds()
    followed = (
        rows.select("key", "row", "channel", "opened_at", "case_id")
        .join(asked, on="key")
        .filter(
            pl.col("row") != pl.col("sender"),
            since >= 0,
            since <= settings.join_hours * 3600e6,
            _found_there(settings, pl.col("channel")),
        )
        .sort("redirected_at", "sender")
        .group_by("row", maintain_order=True)
        .agg(pl.col("sender", "sent_by").last(), pl.col("opened_at").first().alias("met_at"))
    )
    places = rows.select(pl.col("case_id").alias("parent_case_id"), pl.col("row").alias("parent"))
    joined = rows.join(places, on="parent_case_id", how="left", maintain_order="left").join(
        followed.select("row", "sender"), on="row", how="left", maintain_order="left"
    )
    parents = (
        joined.select(pl.coalesce("parent", "sender").fill_null(-1))["parent"]
        .to_numpy()
        .astype(np.int64)
        .copy()
    )
    parents[parents == np.arange(len(parents))] = -1
    cut_cycles(parents)
    ids = rows["case_id"].gather(roots_of(parents)) if len(parents) else rows["case_id"]
    met = followed.group_by("sent_by").agg(pl.col("met_at").min()).rename({"sent_by": "case_id"})
    return (
        cases.with_columns(ids.alias("journey_id"))
        .join(met, on="case_id", how="left", maintain_order="left")
        .with_columns(pl.min_horizontal("joined_at", "met_at").alias("joined_at"))
        .drop("met_at")
    )
