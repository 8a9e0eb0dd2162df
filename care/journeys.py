"""One row per matter: what every service figure is counted over.

Parts of one matter, such as a public post and the private messages it was sent to, share one clock, effort
and cost. Satisfaction given in any part belongs to the whole.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from care.cases import Cases, known_by
from care.clock import BusinessClock, calendar_seconds
from care.settings import CareSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Journeys:
    """Matters, with their waits on both clocks.

    Attributes
    ----------
    journeys
        One row per matter: the columns of cases, of the whole, and: `origin`, `parts`, `channel_changes`,
        `repeat_of`, `first_seconds` and `first_business_seconds` (to the first human reply; so far where
        `first_open`), `first_known` (whether the two may be used), the same for `resolution`, `age_seconds`,
        `waiting_seconds` (of the open wait; null when nobody waits), `waiting` (a customer waits for a
        human), `tool_seconds` (to the first reply of any kind), `returned` (the same customer about the
        same topic within the repeat days), `window_closed` (whether those days are over).
    waits
        Waits after the first: journey_id, seconds, business_seconds, ended.
    end
        Last instant of observation.
    """

    journeys: pl.DataFrame
    waits: pl.DataFrame
    end: dt.datetime


def build_journeys(cases: Cases, settings: CareSettings, *, end: dt.datetime) -> Journeys:
    """Sum the parts of each matter, find repeats, and measure its waits up to `end` (an instant)."""
    whole = _returns(_repeats(_summed(known_by(cases.cases, end)), settings), settings, end)
    waits = (
        cases.waits.join(cases.cases.select("case_id", "journey_id"), on="case_id")
        .join(whole.select("journey_id", "resolved_at", "abandoned_at"), on="journey_id")
        .with_columns(_ended(pl.col("ended_at"), end).alias("ended_at"))
        # A wait is over when the matter is closed after it began.
        .with_columns(
            pl.when(pl.col("resolved_at") >= pl.col("started_at"))
            .then(pl.min_horizontal("ended_at", "resolved_at"))
            .otherwise("ended_at")
            .alias("ended_at")
        )
        .filter(pl.col("started_at") < end)
    )
    clock = None
    if settings.hours is not None:
        clock = BusinessClock.spanning(
            settings.hours,
            whole["opened_at"],
            waits["started_at"],
            pl.Series([end], dtype=pl.Datetime("us", "UTC")),
        )
    measured = _measured(whole, clock, end)
    again = waits.filter(pl.col("ended_at").is_null()).group_by("journey_id").agg(pl.col("started_at").max())
    return Journeys(
        journeys=_waiting(measured, again, end), waits=_measured_waits(waits, clock, end), end=end
    )


def _ended(at: pl.Expr, end: dt.datetime) -> pl.Expr:
    """A time, if it was known by the end of observation."""
    return pl.when(at < end).then(at)


def _summed(cases: pl.DataFrame) -> pl.DataFrame:
    last_given = {name: pl.col(name).drop_nulls().last() for name in ("csat", "nps", "ces", "sentiment_last")}
    first_given = [
        pl.col(name).drop_nulls().first()
        for name in (
            *(["customer_id"] if "customer_id" in cases.columns else []),
            "brand", "product", "topic", "team", "first_team", "agent", "priority", "sentiment_first",
            "redirection_target", "redirection_reason", "first_business_seconds",
        )
    ]  # fmt: skip
    summed = [
        pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)
        for name in ("turns", "contacts", "replies", "handling_seconds")
    ]
    asking = pl.col("needs_reply")
    moved = pl.col("channel") != pl.col("closed_channel").last()
    return (
        cases.sort("opened_at", "case_id")
        .group_by("journey_id", maintain_order=True)
        .agg(
            pl.col("key").first(),
            pl.col("channel").first(),
            pl.col("channel").first().alias("origin"),
            pl.col("closed_channel").last(),
            *first_given,
            *summed,
            *(expression.alias(name) for name, expression in last_given.items()),
            pl.len().cast(pl.Int64).alias("parts"),
            (pl.col("channel").n_unique().cast(pl.Int64) - 1 + moved.all().cast(pl.Int64)).alias(
                "channel_changes"
            ),
            pl.col("opened_at").min(),
            pl.col("last_at").max(),
            asking.any(),
            pl.col("waiting_since").filter(asking).min(),
            pl.col("first_response_at").filter(asking).min(),
            pl.col("first_automatic_at").min(),
            pl.col("answered").filter(asking).any(),
            pl.col("from_desk").last(),
            pl.col("resolved_at").last(),
            pl.col("resolution_business_seconds").last(),
            pl.col("abandoned_at").last(),
            pl.col("stations").max(),
            *(
                pl.when(pl.col(name).count() > 0).then(pl.col(name).any()).alias(name)
                for name in ("reopened", "escalated")
            ),
            pl.col("audience").max(),
            pl.col("redirected_at").min(),
            pl.col("joined_at").min(),
        )
        .with_columns(pl.coalesce("waiting_since", "opened_at").alias("waiting_since"))
    )


def _repeats(journeys: pl.DataFrame, settings: CareSettings) -> pl.DataFrame:
    """`repeat_of`: the latest earlier matter of the same customer, if its last word is not too long ago."""
    rows = journeys.sort("key", "opened_at", "journey_id")
    latest = pl.col("last_at").cum_max().over("key")
    rows = rows.with_columns(latest.alias("latest")).with_columns(
        pl.when(pl.col("last_at") == pl.col("latest"))
        .then("journey_id")
        .forward_fill()
        .over("key")
        .alias("which")
    )
    before = pl.col("latest").shift(1).over("key")
    near = (pl.col("opened_at") - before).dt.total_microseconds() <= settings.repeat_days * 86_400e6
    return rows.with_columns(
        pl.when(near).then(pl.col("which").shift(1).over("key")).alias("repeat_of")
    ).drop("latest", "which")


def _returns(journeys: pl.DataFrame, settings: CareSettings, end: dt.datetime) -> pl.DataFrame:
    """`returned`: a matter of the customer about the same topic within the repeat days of the closing.

    A matter without a topic may be about any. Those of a customer are counted between two times, not paired.
    """
    span = pl.duration(seconds=round(settings.repeat_days * 86_400))
    closed = pl.coalesce("resolved_at", "opened_at")
    asked = journeys.select("key", "topic", "opened_at", "needs_reply", until=closed + span)
    later = asked.filter("needs_reply")
    about_it = _opened_within(asked, later.drop_nulls("topic"), by=["key", "topic"])
    about_any = _opened_within(asked, later.filter(pl.col("topic").is_null()), by=["key"])
    of_customer = _opened_within(asked, later, by=["key"])
    no_topic, itself = asked["topic"].is_null(), asked["needs_reply"] & (asked["until"] >= asked["opened_at"])
    found = pl.select(pl.when(no_topic).then(of_customer).otherwise(about_it + about_any)).to_series()
    return journeys.with_columns(
        (found > itself.fill_null(False).cast(pl.Int64)).alias("returned"),
        (closed + span < end).alias("window_closed"),
    )


def _opened_within(asked: pl.DataFrame, later: pl.DataFrame, *, by: list[str]) -> pl.Series:
    """How many of the later matters of the same key opened from `opened_at` to `until`, one for each row."""
    counted = (
        later.group_by(*by, "opened_at")
        .agg(pl.len().cast(pl.Int64).alias("at_once"))
        .sort("opened_at")
        .with_columns(pl.col("at_once").cum_sum().over(by).alias("so_far"))
    )
    before = counted.select(*by, "opened_at", (pl.col("so_far") - pl.col("at_once")).alias("before"))
    rows = asked.with_row_index("row").drop_nulls(by)
    first = rows.sort("opened_at").join_asof(
        before, on="opened_at", by=by, strategy="forward", check_sortedness=False
    )
    last = rows.sort("until").join_asof(
        counted.select(*by, until="opened_at", upto="so_far"),
        on="until",
        by=by,
        strategy="backward",
        check_sortedness=False,
    )
    both = first.select("row", "before").join(last.select("row", "upto"), on="row")
    whole = asked.with_row_index("row").select("row").join(both, on="row", how="left", maintain_order="left")
    between = pl.col("upto") - pl.col("before")
    return whole.select(pl.max_horizontal(between.fill_null(0), 0).alias("count")).to_series()


def _measured(journeys: pl.DataFrame, clock: BusinessClock | None, end: dt.datetime) -> pl.DataFrame:
    """Waits to the first reply and to the resolution, on both clocks."""
    limit = pl.coalesce("abandoned_at", pl.lit(end).cast(pl.Datetime("us", "UTC")))
    until = journeys.select(
        first=pl.coalesce("first_response_at", limit),
        resolution=pl.coalesce("resolved_at", limit),
        tool=pl.min_horizontal("first_response_at", "first_automatic_at"),
        end=pl.lit(end).cast(pl.Datetime("us", "UTC")),
    )
    since, opened = journeys["waiting_since"], journeys["opened_at"]
    given = journeys["first_business_seconds"]
    added = {
        "first_seconds": calendar_seconds(since, until["first"]),
        "resolution_seconds": calendar_seconds(opened, until["resolution"]),
        "tool_seconds": calendar_seconds(since, until["tool"]),
        "age_seconds": calendar_seconds(since, until["end"]),
    }
    nothing = pl.Series([None] * journeys.height, dtype=pl.Int64)
    business = {
        "first_business_seconds": nothing if clock is None else clock.seconds(since, until["first"]),
        "resolution_business": nothing if clock is None else clock.seconds(opened, until["resolution"]),
        "tool_business_seconds": nothing if clock is None else clock.seconds(since, until["tool"]),
        "age_business_seconds": nothing if clock is None else clock.seconds(since, until["end"]),
    }
    rows = journeys.drop("first_business_seconds").with_columns(
        *(series.alias(name) for name, series in added.items()),
        *(series.alias(name) for name, series in business.items()),
        given.alias("given_business"),
    )
    timed = pl.col("first_response_at").is_not_null()
    resolved = pl.col("resolved_at").is_not_null() | pl.col("resolution_business_seconds").is_not_null()
    open_first = ~pl.col("answered")
    return rows.with_columns(
        open_first.alias("first_open"),
        (timed | open_first).alias("first_known"),
        (timed | open_first | pl.col("given_business").is_not_null()).alias("first_business_known"),
        pl.coalesce("given_business", "first_business_seconds").alias("first_business_seconds"),
        resolved.alias("resolved"),
        (pl.col("resolved_at").is_not_null() | ~resolved).alias("resolution_known"),
        pl.coalesce("resolution_business_seconds", "resolution_business").alias(
            "resolution_business_seconds"
        ),
        pl.when(pl.col("tool_seconds") >= 0).then("tool_seconds").alias("tool_seconds"),
    ).drop("given_business", "resolution_business")


def _waiting(journeys: pl.DataFrame, again: pl.DataFrame, end: dt.datetime) -> pl.DataFrame:
    """Whether a customer waits for a human at the end, and since when."""
    rows = journeys.join(
        again.rename({"started_at": "asked_again_at"}), on="journey_id", how="left", maintain_order="left"
    )
    over = pl.col("resolved").fill_null(False) | pl.col("abandoned_at").is_not_null()
    first = pl.col("first_open") & ~over
    anew = pl.col("asked_again_at").is_not_null() & pl.col("abandoned_at").is_null()
    since = pl.when(first).then("waiting_since").when(anew).then("asked_again_at")
    rows = rows.with_columns((pl.col("needs_reply") & (first | anew)).alias("waiting"), since.alias("since"))
    waited = calendar_seconds(rows["since"], pl.Series([end] * rows.height, dtype=pl.Datetime("us", "UTC")))
    return rows.with_columns(pl.when("waiting").then(pl.lit(waited)).alias("waiting_seconds")).drop(
        "asked_again_at", "since"
    )


def _measured_waits(waits: pl.DataFrame, clock: BusinessClock | None, end: dt.datetime) -> pl.DataFrame:
    limit = pl.lit(end).cast(pl.Datetime("us", "UTC"))
    rows = waits.with_columns(pl.coalesce("ended_at", "abandoned_at", limit).alias("until"))
    nothing = pl.Series([None] * rows.height, dtype=pl.Int64)
    return rows.select(
        "journey_id",
        "started_at",
        calendar_seconds(rows["started_at"], rows["until"]).alias("seconds"),
        (nothing if clock is None else clock.seconds(rows["started_at"], rows["until"])).alias(
            "business_seconds"
        ),
        pl.col("ended_at").is_not_null().alias("ended"),
    )
