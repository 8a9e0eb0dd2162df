"""The table of cases that a bundle keeps: one row each, without text, and who should be answered next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from care.cases import Cases, known_by
from care.clock import BusinessClock, calendar_seconds
from care.stake import priority_ranks, priority_reason
from care.tables import CASES_SCHEMA
from care.view import Desk

_RANKED: Final[dict[str, pl.DataType]] = {
    "customer_lifetime_value": pl.Float64(),
    "audience": pl.Int64(),
    "repeat_of": pl.String(),
    "reopened": pl.Boolean(),
    "escalated": pl.Boolean(),
    "sentiment_last": pl.Float64(),
    "waiting_seconds": pl.Int64(),
}
"""What the order of answers is found from; of the whole matter."""


def agent_pseudonyms(*names: pl.Series) -> dict[str, str]:
    """Each name's pseudonym, "agent 1", "agent 2"…, in the order of the alphabet.

    >>> agent_pseudonyms(pl.Series(["Zoe", "Ann", None]), pl.Series(["Ann"]))
    {'Ann': 'agent 1', 'Zoe': 'agent 2'}
    """
    found = sorted({str(name) for series in names for name in series.drop_nulls()})
    width = len(str(len(found)))
    return {name: f"agent {place:0{width}d}" for place, name in enumerate(found, start=1)}


def with_pseudonyms(names: Mapping[str, str]) -> pl.Expr:
    """The column `agent` with pseudonyms for names."""
    if not names:
        return pl.lit(None, dtype=pl.String).alias("agent")
    return pl.col("agent").replace_strict(names, default=None, return_dtype=pl.String)


def with_ranks(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of `case_rows` of all buckets in `CASES_SCHEMA`; only who waits is held to be ranked."""
    waiting = rows.filter("is_waiting").select("case_id", *_RANKED).collect()
    ranked = rows.drop("priority_rank").join(
        priority_ranks(waiting).lazy(), on="case_id", how="left", maintain_order="left"
    )
    return ranked.select(name for name in CASES_SCHEMA if name in ranked.collect_schema())


def case_rows(cases: Cases, desk: Desk) -> pl.DataFrame:
    """One row per case of a bucket: `CASES_SCHEMA` without ranks, and what those are found from."""
    whole = desk.frame.select(
        "journey_id", "repeat_of", "waiting", "waiting_seconds", pl.col("resolved").alias("whole_resolved"),
        "customer_lifetime_value", _still_gains(desk).alias("still_gains"),
    )  # fmt: skip
    known = known_by(cases.cases, desk.journeys.end)
    rows = known.join(whole, on="journey_id", how="left", maintain_order="left")
    is_first = pl.col("case_id") == pl.col("journey_id")
    rows = rows.with_columns(
        _minutes(rows["waiting_since"], rows["first_response_at"]).alias("first_response_minutes"),
        _minutes(rows["opened_at"], rows["resolved_at"]).alias("resolution_minutes"),
        *_business(rows, desk),
        (pl.col("waiting").fill_null(False) & is_first).alias("is_waiting"),
        pl.when(pl.col("waiting") & is_first).then(pl.col("waiting_seconds") / 60.0).alias("waiting_minutes"),
        pl.when(is_first).then("repeat_of").alias("repeat_of"),
        pl.col("redirected_at").is_not_null().alias("redirected"),
        _minutes(rows["redirected_at"], rows["joined_at"]).alias("redirection_minutes"),
    )
    waits, worth = pl.col("is_waiting"), pl.col("customer_lifetime_value")
    gains = waits & pl.col("still_gains")
    rows = rows.with_columns(
        _status().alias("status"),
        pl.when(gains).then(worth.clip(lower_bound=0.0) * desk.gain).alias("value_at_stake"),
        pl.when(gains)
        .then(priority_reason(desk.gain))
        .when(waits)
        .then(priority_reason(None))
        .alias("priority_reason"),
    )
    local = [
        pl.col(name).dt.convert_time_zone(desk.zone).dt.replace_time_zone(None).alias(name)
        for name, dtype in CASES_SCHEMA.items()
        if isinstance(dtype, pl.Datetime)
    ]
    told = rows.with_columns(local)
    absent = [pl.lit(None).alias(name) for name in CASES_SCHEMA if name not in told.columns]
    keep: dict[str, Any] = {**CASES_SCHEMA, "is_waiting": pl.Boolean(), **_RANKED}
    if "customer_id" in told.columns:
        keep["customer_id"] = told.schema["customer_id"]
    return told.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in keep.items())


def _still_gains(desk: Desk) -> pl.Expr:
    """Whether an answer now can be one that the gain is about: the first, and still in time."""
    if desk.gain_minutes is None:
        return pl.lit(True)
    waited = "first_business_seconds" if desk.gain_clock == "business" else "first_seconds"
    in_time = pl.col(waited) <= 60.0 * desk.gain_minutes
    return (pl.col("first_open") & in_time).fill_null(False)


def _minutes(start: pl.Series, end: pl.Series) -> pl.Series:
    return calendar_seconds(start, end) / 60.0


def _business(rows: pl.DataFrame, desk: Desk) -> list[pl.Expr | pl.Series]:
    """Minutes inside opening hours; the desk's own where it gives no other."""
    own = {
        "first_response_business_minutes": pl.col("first_business_seconds") / 60.0,
        "resolution_business_minutes": pl.col("resolution_business_seconds") / 60.0,
    }
    if desk.settings.hours is None:
        return [expression.alias(name) for name, expression in own.items()]
    clock = BusinessClock.spanning(
        desk.settings.hours, rows["opened_at"], rows["first_response_at"], rows["resolved_at"]
    )
    timed = {
        "first_response_business_minutes": clock.seconds(rows["waiting_since"], rows["first_response_at"]),
        "resolution_business_minutes": clock.seconds(rows["opened_at"], rows["resolved_at"]),
    }
    return [pl.coalesce(own[name], pl.lit(series) / 60.0).alias(name) for name, series in timed.items()]


def _status() -> pl.Expr:
    resolved = pl.col("resolved_at").is_not_null() | pl.col("resolution_business_seconds").is_not_null()
    return (
        pl.when(~pl.col("needs_reply"))
        .then(pl.lit("noise"))
        .when("is_waiting")
        .then(pl.lit("open"))
        .when(pl.col("abandoned_at").is_not_null())
        .then(pl.lit("abandoned"))
        .when(resolved)
        .then(pl.lit("resolved"))
        .when("answered")
        .then(pl.lit("answered"))
        .otherwise(pl.lit("open"))
    )
