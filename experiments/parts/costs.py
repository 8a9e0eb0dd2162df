"""What the channels cost within the observation, when, for whom, and what they returned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from care.allocation import Allocation, allocate_costs
from care.costs import daily_costs
from care.returns import Months, Timing, returns_of_credit
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from experiments.parts.part import Part
from histories.money import to_currency, to_minor
from histories.reading.plausibility import observed_days

_SCHEMA: Final = pl.Schema({"channel": pl.String, "month": pl.Int64, "cost": pl.Float64})
_ITEMS: Final = pl.Schema({"channel": pl.String, "item": pl.String, "month": pl.Int64, "cost": pl.Float64})
_POOLS: Final = pl.Schema({"channel": pl.String, "brand": pl.String, "minor": pl.Int64})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCosts:
    """Cost by channel and month of the observation, in currency; the first month is that of the first event.

    Attributes
    ----------
    by_month
        Columns channel, month (from 0), cost.
    months
        Number of months of the observation.
    by_item
        Columns channel, item (null where the table names none), month, cost.
    pools
        channel, brand (null: all), minor (Int64, minor units): the costs table within the observation. What
        other channels cost is the sum over their touches.
    notes
        How much of the costs lies outside the observation.
    """

    by_month: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SCHEMA))
    by_item: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_ITEMS))
    months: int = 0
    pools: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_POOLS))
    notes: tuple[str, ...] = ()

    @property
    def by_channel(self) -> dict[str, float]:
        """Cost of each channel; a channel without any known cost is absent."""
        sums = self.by_month.group_by("channel", maintain_order=True).agg(pl.col("cost").sum())
        return dict(sums.sort("channel").iter_rows())

    def allocated(self, cases: pl.DataFrame | None, touches: pl.LazyFrame | None) -> Allocation | None:
        """The costs by customer; None where no cost is known.

        `cases` are those of posts and desk together, `touches` the touchpoints.
        """
        if self.by_month.is_empty():
            return None
        rows = None
        if touches is not None:
            priced = "cost" in touches.collect_schema()
            worked = [] if cases is None else cases["channel"].unique().to_list()
            shared = set(self.pools["channel"]) - set(worked)  # by touches: all others by cases, or own costs
            counts = pl.col("channel").is_in(list(shared))
            counts = counts | pl.col("cost").is_not_null() if priced else counts
            own = [pl.col("cost").alias("minor")] if priced else []
            rows = touches.filter(counts).select("customer_id", "channel", *own).collect()
        return allocate_costs(self.pools, cases=cases, touches=rows)


def channel_costs(histories: Histories) -> ChannelCosts:
    """Costs of the observed days: of the costs table, and of touches of channels that it does not name."""
    days = observed_days(histories.inputs)
    if days is None:
        return ChannelCosts()
    start, end = days[0], histories.inputs.observation_end
    costs, touches = histories.table("costs"), histories.touchpoints
    rows: list[pl.DataFrame] = []
    notes: tuple[str, ...] = ()
    pools, named = pl.DataFrame(schema=_POOLS), list[str]()
    if costs is not None:
        table = costs.collect()
        daily = daily_costs(table, first=start, last=end)
        rows.append(daily.select("channel", "item", "day", "cost"))
        pools = daily.group_by("channel", "brand").agg(to_minor(pl.col("cost").sum()).alias("minor"))
        named = table["channel"].unique().to_list()
        notes = _cut_notes(table, rows[0])
    if touches is not None and "cost" in touches.collect_schema():
        own = touches.filter(pl.col("cost").is_not_null() & ~pl.col("channel").is_in(named))
        day, cost = pl.col("timestamp").dt.date(), to_currency(pl.col("cost"))
        no_item = pl.lit(None, dtype=pl.String).alias("item")
        rows.append(own.select("channel", no_item, day.alias("day"), cost.alias("cost")).collect())
    if not rows:
        return ChannelCosts()
    month = _month(pl.col("day")) - _month(pl.lit(start))
    by_item = pl.concat(rows).group_by("channel", "item", month.alias("month")).agg(pl.col("cost").sum())
    by_month = by_item.group_by("channel", "month").agg(pl.col("cost").sum())
    return ChannelCosts(
        by_month=by_month.cast(_SCHEMA).sort("channel", "month"),
        by_item=by_item.cast(_ITEMS).sort("channel", "item", "month"),
        months=(end.year - start.year) * 12 + end.month - start.month + 1,
        pools=pools.cast(_POOLS).sort("channel", "brand"),
        notes=notes,
    )


def unallocated_notes(allocation: Allocation) -> tuple[str, ...]:
    """What stays with no customer, and why; nothing where all is handed out."""
    rows = allocation.by_channel()
    rest, whole = float(rows["unallocated"].sum()), float(rows["cost"].sum())
    if not rest:
        return ()
    named = "; ".join(
        f"{channel}: {amount:,.2f}, since {reason}"
        for channel, amount, reason in rows.filter(pl.col("unallocated") != 0)
        .select("channel", "unallocated", "reason")
        .iter_rows()
    )
    return (f"costs: {rest:,.2f} of {whole:,.2f} belong to no known customer ({named}).",)


def costs_by_quarter(costs: ChannelCosts, groups: Mapping[str, str], *, end: dt.date) -> pl.DataFrame:
    """Cost of each channel group by calendar quarter: channel_group, quarter (its first day), cost.

    `end` is the last day that counts.
    """
    number = pl.lit(end.year * 12 + end.month - 1 - costs.months + 1) + pl.col("month")
    first = pl.date(number // 12, number % 12 + 1, 1)
    return (
        costs.by_month.group_by(
            channel_group=pl.col("channel").replace(dict(groups)), quarter=first.dt.truncate("1q")
        )
        .agg(pl.col("cost").sum())
        .sort("channel_group", "quarter")
    )


def _month(day: pl.Expr) -> pl.Expr:
    return day.dt.year().cast(pl.Int64) * 12 + day.dt.month()


def _cut_notes(table: pl.DataFrame, within: pl.DataFrame) -> tuple[str, ...]:
    whole = float(table.select(to_currency(pl.col("amount").sum())).item() or 0.0)
    counted = float(within["cost"].sum())
    if abs(whole - counted) < 0.005:
        return ()
    return (f"costs: {counted:,.2f} of {whole:,.2f} fall on observed days; the rest is not counted.",)


def returns_part(
    config: RunConfig, histories: Histories, costs: ChannelCosts, tables: Mapping[str, pl.DataFrame]
) -> Part:
    """The table `roi` by channel group, or why there is none; `tables` hold credits and credit_periods."""
    margin, credits = config.value.gross_margin, tables.get("credits")
    if credits is None or credits.filter(pl.col("kind") == "incremental").is_empty():
        return Part(left_out={"return on investment": "needs incremental credit of spend"})
    if not costs.by_channel:
        return Part(left_out={"return on investment": "no costs were given"})
    if margin is None:
        return Part(left_out={"return on investment": "[value] gross_margin is not set"})
    table = returns_of_credit(
        credits,
        gross_margin=margin,
        costs=costs.by_channel,
        groups=config.channel_groups,
        timing=_timing(config, histories, costs, tables.get("credit_periods")),
    )
    if table.is_empty():
        return Part(left_out={"return on investment": "no incremental credit with a cost is supported"})
    return Part(tables={"roi": table})


def _timing(
    config: RunConfig, histories: Histories, costs: ChannelCosts, periods: pl.DataFrame | None
) -> Timing | None:
    """Costs and credited spend by month of the observation; that of a period in the month that it ends in."""
    days = observed_days(histories.inputs)
    if days is None or periods is None:
        return None
    month = (_month(pl.col("period_end")) - _month(pl.lit(days[0]))).clip(0, costs.months - 1).alias("month")
    spend = (pl.col("outcome") == "spend") & (pl.col("level") == "channel") & pl.col("credit").is_not_null()
    return Timing(
        costs=_by_month(costs.by_month, costs.months),
        credited=_by_month(periods.filter(spend).select("channel", month, "credit"), costs.months),
        discount_rate=config.value.discount_rate,
    )


def _by_month(rows: pl.DataFrame, months: int) -> Mapping[str, Months]:
    """The third column of each channel, by month, shape (months,)."""
    found: dict[str, Months] = {}
    for channel, month, value in rows.iter_rows():
        found.setdefault(channel, np.zeros(months))[month] += value
    return found
