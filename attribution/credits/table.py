"""Credit by channel, which always adds up to the total.

Descriptive: channels + `(untouched)` = `(total)`. Incremental: channels + `(baseline)` = `(total)`. Rows of
level `group` are subtotals of their channels. A table that does not add up cannot be made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from attribution.credits.rows import (
    Bounds,
    Counts,
    Evidence,
    Kind,
    Subject,
    credit_rows,
)
from attribution.credits.schemas import (
    CREDITS_SCHEMA,
)
from histories.cuts import ALL
from histories.errors import DataError, ModelError, SchemaError

DESCRIPTIVE_REASON = "descriptive: it says who was there, not what it did"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credits:
    """Credit of any number of outcomes and methods, in CREDITS_SCHEMA.

    `credit` is in units of the outcome: conversions, repeat purchases and retained customers are counts,
    spend and lifetime value are in currency. A row without a figure has a null credit and says why in
    `reason`.

    Raises
    ------
    SchemaError
        A column is missing, misplaced or of another type than in CREDITS_SCHEMA.
    ModelError
        Channels and remainder do not add up to the total, or a group's row is not the sum of its channels.
    """

    frame: pl.DataFrame

    def __post_init__(self) -> None:
        found = dict(self.frame.schema)
        if list(found.items()) != list(CREDITS_SCHEMA.items()):
            wrong = [name for name in CREDITS_SCHEMA if found.get(name) != CREDITS_SCHEMA[name]]
            raise SchemaError(f"credits: columns {wrong or list(found)} differ from CREDITS_SCHEMA.")
        refuse_unbalanced(self.frame)
        refuse_wrong_subtotals(self.frame)

    def by_channel(self, *, outcome: str, method: str, level: str = "channel") -> dict[str, float]:
        """Credit by channel of one outcome and method, over all segments and periods together."""
        rows = self.frame.filter(
            (pl.col("outcome") == outcome)
            & (pl.col("method") == method)
            & (pl.col("level") == level)
            & (pl.col("segment") == ALL)
            & (pl.col("period") == ALL)
        )
        return dict(zip(rows["channel"], rows["credit"], strict=True))


def descriptive_credits(
    credit: Mapping[str, float],
    *,
    outcome: str,
    method: str,
    untouched: float,
    total: float,
    groups: Mapping[str, str],
    segment: str = ALL,
    period: str = ALL,
    counts: Counts | None = None,
    group_counts: Counts | None = None,
    costs: Mapping[str, float] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    group_bounds: Mapping[str, Bounds] | None = None,
    interval_level: float | None = None,
    reason: str = DESCRIPTIVE_REASON,
    too_few: str | None = None,
) -> Credits:
    """Credit by channel, in units of the outcome, that hands out all of it where there was a touch.

    `untouched` is the part of the outcome whose journeys held no touch. `groups` maps channels to groups; a
    channel without an entry is its own. `costs` are in currency by channel; `roas`, credit per cost, is made
    for spend only. `bounds` is keyed by channel, `(untouched)` or `(total)`, `group_bounds` by group.
    `too_few` says why the figures are not supported, where they are not.

    >>> made = descriptive_credits({"forum": 3.0, "chat": 1.0}, outcome="conversion", method="last",
    ...                            untouched=1.0, total=5.0, groups={"forum": "social"})
    >>> made.frame.select("level", "channel", "credit", "share_of_total").rows()[-2:]
    [('untouched', '(untouched)', 1.0, 0.2), ('total', '(total)', 5.0, 1.0)]
    """
    subject = Subject(
        outcome=outcome, method=method, kind="descriptive", groups=groups, segment=segment, period=period
    )
    evidence = Evidence(
        counts=counts or Counts(),
        group_counts=group_counts or Counts(),
        costs=costs or {},
        bounds=bounds or {},
        group_bounds=group_bounds or {},
        interval_level=interval_level,
        supported=too_few is None,
        reason=too_few or reason,
    )
    return Credits(frame=credit_rows(subject, credit, remainder=untouched, total=total, evidence=evidence))


def incremental_credits(
    credit: Mapping[str, float],
    *,
    outcome: str,
    baseline: float,
    total: float,
    groups: Mapping[str, str],
    method: str = "incremental",
    segment: str = ALL,
    period: str = ALL,
    bounds: Mapping[str, Bounds] | None = None,
    group_bounds: Mapping[str, Bounds] | None = None,
    interval_level: float | None = None,
    counts: Counts | None = None,
    group_counts: Counts | None = None,
    costs: Mapping[str, float] | None = None,
    level_source: str | Mapping[str, str] = "observational",
    supported: bool | Mapping[str, bool] = True,
    reason: str | Mapping[str, str | None] | None = None,
) -> Credits:
    """Credit by channel above `baseline`, what would have happened without any of them.

    Negative credit stays. `bounds` is keyed by channel, `(baseline)` or `(total)`, `group_bounds` by group:
    low and high are sampling intervals of level `interval_level`, range_low and range_high the hull over
    estimators. `level_source`, `supported` and `reason` are one value for all rows, or by channel, group,
    `(baseline)` and `(total)`; a name that is absent from a mapping is "observational", True and None.
    """
    subject = Subject(
        outcome=outcome, method=method, kind="incremental", groups=groups, segment=segment, period=period
    )
    evidence = Evidence(
        counts=counts or Counts(),
        group_counts=group_counts or Counts(),
        costs=costs or {},
        bounds=bounds or {},
        group_bounds=group_bounds or {},
        interval_level=interval_level,
        level_source=level_source,
        supported=supported,
        reason=reason,
    )
    return Credits(frame=credit_rows(subject, credit, remainder=baseline, total=total, evidence=evidence))


def unavailable_credits(
    channels: Iterable[str],
    *,
    outcome: str,
    method: str,
    kind: Kind,
    groups: Mapping[str, str],
    reason: str,
    segment: str = ALL,
    period: str = ALL,
) -> Credits:
    """A row per channel without a figure, each with the reason why there is none."""
    subject = Subject(
        outcome=outcome, method=method, kind=kind, groups=groups, segment=segment, period=period
    )
    evidence = Evidence(supported=False, reason=reason)
    nothing = dict.fromkeys(channels)
    return Credits(frame=credit_rows(subject, nothing, remainder=None, total=None, evidence=evidence))


def concat_credits(parts: Iterable[Credits]) -> Credits:
    """Several tables as one, in the order given."""
    frames = [part.frame for part in parts]
    return Credits(frame=pl.concat(frames) if frames else pl.DataFrame(schema=CREDITS_SCHEMA))


def compare_credits(credits: Credits, *, measure: str = "credit") -> pl.DataFrame:
    """Methods side by side: a row per outcome, segment, period and channel, a column per method.

    `lowest` and `highest` span the methods that have a figure. `measure` is a numeric column of the credits,
    e.g. `share_of_total`; any other raises DataError.
    """
    numeric = [name for name, dtype in CREDITS_SCHEMA.items() if dtype in (pl.Float64, pl.Int64)]
    if measure not in numeric:
        raise DataError(
            f"compare_credits: {measure!r} is not a numeric column. Allowed: {', '.join(numeric)}."
        )
    keys = ["outcome", "segment", "period", "level", "channel", "channel_group"]
    methods = credits.frame["method"].unique(maintain_order=True).to_list()
    wide = credits.frame.pivot("method", index=keys, values=measure, maintain_order=True)
    return wide.with_columns(lowest=pl.min_horizontal(methods), highest=pl.max_horizontal(methods))


CONSERVATION_TOLERANCE = 1e-9
"""Largest |sum of parts - whole|, relative to the sum of absolute parts: room for rounding, no more."""

_TABLE = ("outcome", "method", "kind", "segment", "period")
_SMALLEST = 1e-300


def refuse_unbalanced(frame: pl.DataFrame) -> None:
    """Raise ModelError unless each table in `frame` has one total, equal to its channels and remainder.

    A table whose credits are all null, because there is no figure, passes.
    """
    part = pl.col("level").is_in(["channel", "baseline", "untouched"])
    whole = pl.col("level") == "total"
    credit = pl.col("credit")
    gap = (pl.col("parts") - pl.col("total")).abs()
    wrong = (
        frame.group_by(_TABLE, maintain_order=True)
        .agg(
            parts=credit.filter(part).sum(),
            size=credit.filter(part).abs().sum(),
            total=credit.filter(whole).sum(),
            totals=whole.sum(),
            infinite=(~credit.is_finite()).sum(),
            absent=credit.filter(part | whole).is_null().sum(),
            rows=(part | whole).sum(),
        )
        .filter(
            (pl.col("totals") != 1)
            | (pl.col("infinite") > 0)
            | ((pl.col("absent") > 0) & (pl.col("absent") < pl.col("rows")))
            | (gap > CONSERVATION_TOLERANCE * pl.col("size").clip(_SMALLEST))
        )
    )
    if wrong.height:
        row = wrong.row(0, named=True)
        raise ModelError(
            f"credits of {row['outcome']} by {row['method']}, segment {row['segment']}, "
            f"period {row['period']}: channels and remainder sum to {row['parts']!r}, {row['totals']} total "
            f"row(s) to {row['total']!r}; of {row['rows']} credits {row['absent']} are missing and "
            f"{row['infinite']} not finite. "
            "One total, all finite, equal to 1e-9 is required."
        )


def refuse_wrong_subtotals(frame: pl.DataFrame) -> None:
    """Raise ModelError unless each row of level group is the sum of the channels of that group."""
    keys = [*_TABLE, "channel_group"]
    credit = pl.col("credit")
    channels = (
        frame.filter(pl.col("level") == "channel")
        .group_by(keys)
        .agg(parts=credit.sum(), size=credit.abs().sum())
    )
    agrees = (credit - pl.col("parts")).abs() <= CONSERVATION_TOLERANCE * pl.col("size").clip(_SMALLEST)
    wrong = (
        frame.filter((pl.col("level") == "group") & credit.is_not_null())
        .join(channels, on=keys, how="left")
        .filter(~agrees.fill_null(False))
    )
    if wrong.height:
        row = wrong.row(0, named=True)
        raise ModelError(
            f"credits of {row['outcome']} by {row['method']}: group {row['channel_group']!r} has "
            f"{row['credit']!r}, its channels sum to {row['parts']!r}. A group's row is their subtotal."
        )
