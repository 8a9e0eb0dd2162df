"""What the channels cost within the observation, when, for whom, and what they returned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from care.costs import daily_costs
from care.returns import Months, Timing, returns_of_credit
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from histories.money import to_currency
from histories.reading.plausibility import observed_days

__all__ = ["ChannelCosts", "channel_costs", "costs_by_quarter", "returns_part"]

_SCHEMA: Final = pl.Schema({"channel": pl.String, "month": pl.Int64, "cost": pl.Float64})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCosts:
    """Cost by channel and month of the observation, in currency; the first month is that of the first event.

    Attributes
    ----------
    by_month
        Columns channel, month (from 0), cost.
    months
        Number of months of the observation.
    from_table
        Channels whose cost stands in the costs table; that of the others is the sum over their touches.
    notes
        How much of the costs lies outside the observation.
    """

    by_month: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SCHEMA))
    months: int = 0
    from_table: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def by_channel(self) -> dict[str, float]:
        """Cost of each channel; a channel without any known cost is absent."""
        sums = self.by_month.group_by("channel", maintain_order=True).agg(pl.col("cost").sum())
        return dict(sums.sort("channel").iter_rows())

    def to_serve(self, touches: pl.DataFrame) -> pl.DataFrame | None:
        """Cost of each customer's contacts: customer_id, cost (currency); None where no cost is known.

        A channel of the costs table costs the same for each of its touches; any other touch its own cost.
        """
        if self.by_month.is_empty():
            return None
        sums = self.by_channel
        known = {name: sums.get(name, 0.0) for name in self.from_table}
        each = pl.col("channel").replace_strict(known, default=None, return_dtype=pl.Float64)
        own = to_currency(pl.col("cost")) if "cost" in touches.columns else pl.lit(None, dtype=pl.Float64)
        cost = pl.coalesce(each / pl.len().over("channel"), own)
        return (
            touches.select("customer_id", cost.alias("cost"))
            .group_by("customer_id")
            .agg(pl.col("cost").sum())
        )


def channel_costs(histories: Histories) -> ChannelCosts:
    """Costs of the observed days: of the costs table, and of touches of channels that it does not name."""
    days = observed_days(histories.inputs)
    if days is None:
        return ChannelCosts()
    start, end = days[0], histories.inputs.observation_end
    costs, touches = histories.table("costs"), histories.touchpoints
    rows: list[pl.DataFrame] = []
    notes: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    if costs is not None:
        table = costs.select("channel", "period_start", "period_end", "amount").collect()
        rows.append(daily_costs(table, first=start, last=end).select("channel", "day", "cost"))
        named = tuple(table["channel"].unique().sort())
        notes = _cut_notes(table, rows[0])
    if touches is not None and "cost" in touches.columns:
        own = touches.filter(pl.col("cost").is_not_null() & ~pl.col("channel").is_in(list(named)))
        day, cost = pl.col("timestamp").dt.date(), to_currency(pl.col("cost"))
        rows.append(own.select("channel", day.alias("day"), cost.alias("cost")))
    if not rows:
        return ChannelCosts()
    month = _month(pl.col("day")) - _month(pl.lit(start))
    by_month = pl.concat(rows).group_by("channel", month.alias("month")).agg(pl.col("cost").sum())
    return ChannelCosts(
        by_month=by_month.cast(_SCHEMA).sort("channel", "month"),
        months=(end.year - start.year) * 12 + end.month - start.month + 1,
        from_table=named,
        notes=notes,
    )


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
    config: RunConfig, histories: Histories, costs: ChannelCosts, credits: pl.DataFrame | None
) -> tuple[pl.DataFrame | None, dict[str, str]]:
    """The return of each channel group, or why there is none."""
    margin = config.value.gross_margin
    if credits is None or credits.filter(pl.col("kind") == "incremental").is_empty():
        return None, {"return on investment": "needs incremental credit of spend"}
    if not costs.by_channel:
        return None, {"return on investment": "no costs were given"}
    if margin is None:
        return None, {"return on investment": "[value] gross_margin is not set"}
    table = returns_of_credit(
        credits,
        gross_margin=margin,
        costs=costs.by_channel,
        groups=config.channel_groups,
        timing=_timing(config, histories, costs),
    )
    if table.is_empty():
        return None, {"return on investment": "no incremental credit with a cost is supported"}
    return table, {}


def _timing(config: RunConfig, histories: Histories, costs: ChannelCosts) -> Timing | None:
    """Costs and contacts by month of the observation."""
    days, touches = observed_days(histories.inputs), histories.touchpoints
    if days is None or touches is None:
        return None
    month = (_month(pl.col("timestamp").dt.date()) - _month(pl.lit(days[0]))).alias("month")
    contacts = touches.group_by("channel", month).agg(pl.len().cast(pl.Float64).alias("contacts"))
    return Timing(
        costs=_by_month(costs.by_month, costs.months),
        contacts=_by_month(contacts.select("channel", "month", "contacts"), costs.months),
        discount_rate=config.value.discount_rate,
    )


def _by_month(rows: pl.DataFrame, months: int) -> Mapping[str, Months]:
    """The third column of each channel, by month, shape (months,)."""
    found: dict[str, Months] = {}
    for channel, month, value in rows.iter_rows():
        found.setdefault(channel, np.zeros(months))[month] += value
    return found
