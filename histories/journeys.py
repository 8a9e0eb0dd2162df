"""Journeys: a customer's touches before each purchase, and the paths that led to none.

*Conversion*: the touches strictly before a purchase, after the previous one and within the lookback; a
purchase without such touches has an empty path. *Null path*: consecutive touches with gaps within the
lookback and no purchase within the lookback of the last. Paths whose lookback is not over at the end of the
data are left out and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from histories.money import to_currency
from histories.timeline import CONVERSION, NULL, OPEN, UNTOUCHED, JourneyWindow, build_timeline

PATH_WORD_SEPARATOR = "\x1f"
"""Between the channels of a path that is one word; no channel holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyCounts:
    """How the purchases were divided; the counts of several partitions add up."""

    conversions: int
    untouched: int
    null_paths: int
    open_windows: int

    def __add__(self, other: JourneyCounts) -> JourneyCounts:
        return JourneyCounts(
            **{name: getattr(self, name) + getattr(other, name) for name in JourneyCounts.__slots__}
        )

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in JourneyCounts.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyWalk:
    """One walk along every customer's line, read three ways.

    Attributes
    ----------
    journeys
        One row per purchase and per null path: customer_id, journey_id (a hash, the same however customers
        are split), start, end (of the first touch; the purchase or last touch), path (channels in order;
        empty for an untouched purchase), n_touches, converted, amount (minor units), value (currency; 0 for
        a null path).
    touches
        One row per touch of a journey, in order: customer_id, journey_id, position (from 0), n_touches,
        channel, timestamp, hours_before (the journey's end), converted, value (of the conversion, currency;
        0 for a null path), and what was kept.
    counts
        How purchases were divided; None where journeys are not of purchases.
    """

    journeys: pl.LazyFrame
    touches: pl.LazyFrame
    counts: JourneyCounts | None = None


def walk_journeys(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, window: JourneyWindow, *, keep: Sequence[str] = ()
) -> JourneyWalk:
    """Journeys, their touches and the counts of both, from one timeline that is built once.

    Parameters
    ----------
    touchpoints, purchases
        As `build_touchpoints` and `build_purchases` return them, of complete customers.
    window
        Which touches may earn credit.
    keep
        Further columns of the touchpoints that `touches` carries along.
    """
    line = build_timeline(touchpoints, purchases, window, keep=keep).collect().lazy()
    rows = _journey_rows(line, window).collect().lazy()
    return JourneyWalk(
        journeys=_journeys(rows).collect().lazy(),
        touches=_touches(rows, keep).collect().lazy(),
        counts=_counts(line),
    )


def _journeys(rows: pl.LazyFrame) -> pl.LazyFrame:
    return (
        rows.group_by("number", maintain_order=True)
        .agg(
            pl.col("customer_id", "journey_id").first(),
            pl.col("timestamp").first().alias("start"),
            pl.col("end").first(),
            pl.col("channel").drop_nulls().alias("path"),
            pl.col("channel").count().cast(pl.Int32).alias("n_touches"),
            (pl.col("status").first() != NULL).alias("converted"),
            pl.col("amount").first().fill_null(0),
        )
        .with_columns(to_currency(pl.col("amount")).alias("value"))
        .select(
            "customer_id", "journey_id", "start", "end", "path", "n_touches", "converted", "amount", "value"
        )
    )


def _touches(rows: pl.LazyFrame, keep: Sequence[str]) -> pl.LazyFrame:
    row = pl.int_range(pl.len(), dtype=pl.Int32)
    number = pl.col("number")
    is_first, is_last = number != number.shift(1), number != number.shift(-1)
    first_row = pl.when(is_first.fill_null(True)).then(row).forward_fill()
    last_row = pl.when(is_last.fill_null(True)).then(row).backward_fill()
    return rows.filter(pl.col("status") != UNTOUCHED).select(
        "customer_id",
        "journey_id",
        (row - first_row).alias("position"),
        (last_row - first_row + 1).alias("n_touches"),
        "channel",
        "timestamp",
        ((pl.col("end") - pl.col("at")).dt.total_microseconds() / 3.6e9).alias("hours_before"),
        (pl.col("status") == CONVERSION).alias("converted"),
        to_currency(pl.col("amount").fill_null(0)).alias("value"),
        *keep,
    )


def count_paths(journeys: pl.LazyFrame) -> pl.LazyFrame:
    """How often each path converted, for how much, and how often it did not.

    Takes the journeys of a walk. The counts of several partitions add up.

    Returns
    -------
    path List(String) (empty: untouched purchases), conversions Int64, value Float64 (currency), nulls Int64;
    sorted by path, so that the table does not depend on how customers are split.
    """
    return merge_paths(count_path_texts(journeys))


def count_path_texts(journeys: pl.LazyFrame) -> pl.LazyFrame:
    """The counts of `count_paths` in the form that adds up exactly, for `merge_paths`.

    Returns
    -------
    text (a path in one word), conversions, amount (minor units), nulls; Int64.
    """
    converted = pl.col("converted")
    return journeys.group_by(pl.col("path").list.join(PATH_WORD_SEPARATOR).alias("text")).agg(
        converted.sum().cast(pl.Int64).alias("conversions"),
        pl.col("amount").filter(converted).sum().alias("amount"),
        (~converted).sum().cast(pl.Int64).alias("nulls"),
    )


def merge_paths(counted: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of `count_path_texts`, of one partition or of several, in the columns of `count_paths`."""
    return merge_path_texts(counted).select(_as_list("text"), "conversions", "value", "nulls")


def merge_path_texts(counted: pl.LazyFrame) -> pl.LazyFrame:
    """The same with each path still in one word, `text`: a third of the memory where paths are long."""
    return (
        counted.group_by("text")
        .agg(pl.col("conversions", "amount", "nulls").sum())
        .sort("text")
        .select("text", "conversions", to_currency(pl.col("amount")).alias("value"), "nulls")
    )


def paths_from_table(paths: pl.LazyFrame) -> pl.LazyFrame:
    """The input table `paths` ("a > b") in the form of `count_paths`; equal paths are added up.

    A missing `value` counts each conversion as 0 and a missing `nulls` as none.
    """
    names = paths.collect_schema().names()

    def or_zero(name: str, dtype: pl.DataType) -> pl.Expr:
        given = pl.col(name).fill_null(0) if name in names else pl.lit(0)
        return given.cast(dtype).alias(name)

    channels = pl.col("path").str.split(">").list.eval(pl.element().str.strip_chars())
    return (
        paths.select(
            channels.list.join(PATH_WORD_SEPARATOR).alias("text"),
            or_zero("conversions", pl.Int64()),
            or_zero("value", pl.Float64()),
            or_zero("nulls", pl.Int64()),
        )
        .group_by("text")
        .agg(pl.col("conversions", "value", "nulls").sum())
        .sort("text")
        .select(_as_list("text"), "conversions", "value", "nulls")
    )


def _counts(line: pl.LazyFrame) -> JourneyCounts:
    status = pl.col("status")
    starts = _starts_journey()
    counted = line.select(
        (starts & (status == CONVERSION)).sum().alias("conversions"),
        (status == UNTOUCHED).sum().alias("untouched"),
        (starts & (status == NULL)).sum().alias("null_paths"),
        (starts & (status == OPEN)).sum().alias("open_windows"),
    )
    return JourneyCounts(**counted.collect().row(0, named=True))


def _as_list(name: str) -> pl.Expr:
    text = pl.col(name)
    channels = text.str.split(PATH_WORD_SEPARATOR)
    return pl.when(text == "").then(channels.list.head(0)).otherwise(channels).alias("path")


def _journey_rows(line: pl.LazyFrame, window: JourneyWindow) -> pl.LazyFrame:
    """Touches of closed journeys and untouched purchases, with the journey's `number` here and its id."""
    status = pl.col("status")
    identity = pl.struct("customer_id", "end", status == NULL).hash().reinterpret(signed=True)
    rows = line.filter(status.is_in([CONVERSION, NULL, UNTOUCHED])).with_columns(
        _starts_journey().cum_sum().set_sorted().alias("number"), identity.alias("journey_id")
    )
    if window.unique_channels:
        rows = rows.filter(pl.struct("number", "channel").is_first_distinct())
    return rows


def _starts_journey() -> pl.Expr:
    """Whether a row of the timeline is the first of its journey."""
    same = [pl.col(name) == pl.col(name).shift(1) for name in ("customer_id", "end", "status")]
    return ~pl.all_horizontal(same).fill_null(False)
