"""The rows of one table of credits: channels, groups, remainder and total, with shares and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import polars as pl

from attribution.credits.schemas import CREDITS_SCHEMA
from histories.cuts import ALL

BASELINE = "(baseline)"
UNTOUCHED = "(untouched)"
TOTAL = "(total)"
START, CONVERSION, NULL = "(start)", "(conversion)", "(null)"
"""Where a journey begins and ends, in tables of transitions."""
RESERVED_CHANNELS = frozenset({ALL, BASELINE, TOTAL, UNTOUCHED, START, CONVERSION, NULL})
"""Names of rows of the tables of credit and transitions, which no channel may have."""

Kind = Literal["descriptive", "incremental"]
_T = TypeVar("_T")
_N = TypeVar("_N", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a table of credits is about. `groups` maps channels to groups; any other is its own group."""

    outcome: str
    method: str
    kind: Kind
    groups: Mapping[str, str]
    segment: str = ALL
    period: str = ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Uncertainty of one credit: a sampling interval (low, high) and the range over estimators."""

    low: float | None = None
    high: float | None = None
    range_low: float | None = None
    range_high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What credits rest on, by name of channel, group or `(total)`; a name that is absent is unknown.

    touches: touches of the channel in all journeys. customers: distinct customers touched. n: journeys
    (descriptive) or customer-periods (incremental) that it took part in.
    """

    touches: Mapping[str, int] = field(default_factory=dict)
    customers: Mapping[str, int] = field(default_factory=dict)
    n: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What stands behind the figures: counts, costs, intervals, source of the level, gates.

    `counts` and `bounds` are keyed by channel, `(baseline)`, `(untouched)` or `(total)`; `group_counts` and
    `group_bounds` by group; `costs`, in currency, by channel. `level_source`, `supported` and `reason` hold
    for all rows, or by any of these names.
    """

    counts: Counts = Counts()
    group_counts: Counts = Counts()
    costs: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    group_bounds: Mapping[str, Bounds] = field(default_factory=dict)
    interval_level: float | None = None
    level_source: str | Mapping[str, str] = "observational"
    supported: bool | Mapping[str, bool] = True
    reason: str | Mapping[str, str | None] | None = None


def group_members(channels: Sequence[str], groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Channels of each group, groups in order of their first channel."""
    members: dict[str, list[str]] = {}
    for channel in channels:
        members.setdefault(groups.get(channel, channel), []).append(channel)
    return members


def one_row_per_group(credits: pl.DataFrame) -> pl.DataFrame:
    """Of credit rows, one for each group: the subtotal, or the channel that is a group of its own."""
    keys = ["outcome", "method", "segment", "period", "channel_group"]
    subtotals = credits.filter(pl.col("level") == "group")
    alone = credits.filter(pl.col("level") == "channel").join(subtotals.select(keys), on=keys, how="anti")
    return pl.concat([subtotals, alone])


def credit_rows(
    subject: Subject,
    credit: Mapping[str, float] | Mapping[str, None],
    *,
    remainder: float | None,
    total: float | None,
    evidence: Evidence,
) -> pl.DataFrame:
    """The table of one outcome, method, segment and period, in CREDITS_SCHEMA, unchecked.

    A channel that no group was given has no row of level group: it would be the same figure again.
    """
    channels = list(credit)
    members = group_members(channels, subject.groups)
    rest = ("baseline", BASELINE) if subject.kind == "incremental" else ("untouched", UNTOUCHED)
    rows = [_row(subject, "channel", name, credit[name], [name], evidence) for name in channels]
    rows += [
        _row(subject, "group", name, _sum(credit, inside), inside, evidence)
        for name, inside in members.items()
        if inside != [name]
    ]
    rows.append(_row(subject, *rest, remainder, [], evidence))
    rows.append(_row(subject, "total", TOTAL, total, channels, evidence))
    return _with_shares(pl.DataFrame(rows, schema=CREDITS_SCHEMA), subject.kind)


def _row(
    subject: Subject, level: str, name: str, credit: float | None, channels: list[str], evidence: Evidence
) -> dict[str, object]:
    """One row, without its shares; `channels` are those it stands for."""
    is_group = level == "group"
    counts = evidence.group_counts if is_group else evidence.counts
    bounds = (evidence.group_bounds if is_group else evidence.bounds).get(name, Bounds())
    group = subject.groups.get(name, name) if level == "channel" else name
    return {
        "outcome": subject.outcome,
        "method": subject.method,
        "kind": subject.kind,
        "level": level,
        "channel": name,
        "channel_group": group,
        "segment": subject.segment,
        "period": subject.period,
        "credit": credit,
        "low": bounds.low,
        "high": bounds.high,
        "interval_level": None if bounds.low is None else evidence.interval_level,
        "range_low": bounds.range_low,
        "range_high": bounds.range_high,
        "touches": counts.touches.get(name, _sum(evidence.counts.touches, channels)),
        "customers": counts.customers.get(name),
        "n": counts.n.get(name),
        "cost": _sum(evidence.costs, channels),
        "level_source": _at(evidence.level_source, name, "observational"),
        "supported": _at(evidence.supported, name, True),
        "reason": _at(evidence.reason, name, None),
    }


def _with_shares(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Shares of the total and of what the channels earned together; spend credited per cost."""
    credit = pl.col("credit")
    of_channels = pl.col("level").is_in(["channel", "group"])
    total = credit.filter(pl.col("level") == "total").first()
    earned = credit.filter(pl.col("level") == "channel").sum()
    of_earned = pl.when(of_channels & (earned != 0)).then(credit / earned)
    has_cost = of_channels & (pl.col("outcome") == "spend") & (pl.col("cost") > 0)
    return frame.with_columns(
        share_of_total=pl.when(total != 0).then(credit / total),
        share_of_incremental=of_earned if kind == "incremental" else pl.lit(None, pl.Float64),
        roas=pl.when(has_cost).then(credit / pl.col("cost")),
    )


def _sum(values: Mapping[str, _N] | Mapping[str, None], names: Sequence[str]) -> _N | None:
    """Sum over the names with a value; None when there is none."""
    total: _N | None = None
    for name in names:
        value = values.get(name)
        if value is not None:
            total = value if total is None else total + value
    return total


def _at(choice: _T | Mapping[str, _T], name: str, default: _T) -> _T:
    """`choice` itself, or its entry for `name`."""
    return choice.get(name, default) if isinstance(choice, Mapping) else choice
