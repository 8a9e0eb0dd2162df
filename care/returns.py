"""Return on what conversations cost: incremental margin against cost, with the chance that it pays.

    ROI = (incremental margin + cost avoided - cost) / cost

Only incremental spend that is supported counts as a gain; credited revenue never does. The chance of a
positive return is taken over the sampling error of the incremental margin. Over time, costs fall in the month
they are for and the margin in that of the credited spend; both are discounted to the start at month ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import ndtr, ndtri

from care.cash_flows import net_present_value, payback_months
from care.tables import ROI_SCHEMA

Months = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When costs fell and credited spend came, by channel.

    Attributes
    ----------
    costs
        Cost in each month since the start, in currency, shape (months,).
    credited
        Credit of spend in each month, in currency, shape (months,).
    discount_rate
        Per year.
    """

    costs: Mapping[str, Months]
    credited: Mapping[str, Months]
    discount_rate: float

    def flows(self, channels: Iterable[str], gross_margin: float) -> Months | None:
        """Margin less cost of the channels at each month end, after 0 at the start; None when unknown."""
        names = list(channels)
        credited = [self.credited[name] for name in names if name in self.credited]
        spent = sum((self.costs[name] for name in names if name in self.costs), np.zeros(1))
        if not credited:
            return None
        return np.concatenate([[0.0], gross_margin * np.sum(credited, axis=0) - spent])


def returns_of_credit(
    credits: pl.DataFrame,
    *,
    gross_margin: float,
    costs: Mapping[str, float],
    groups: Mapping[str, str],
    timing: Timing | None = None,
) -> pl.DataFrame:
    """Return of every channel group with a known cost, and of all channels together.

    Parameters
    ----------
    credits
        Rows of the credits table; the incremental ones of spend for all customers and periods are used.
    gross_margin
        Share of revenue that is margin.
    costs
        Cost by channel over the same time, in currency.
    groups
        Group of each channel; a channel without an entry is its own.
    timing
        When costs fell and credited spend came; without it `npv` and `payback_period` are null.

    Returns
    -------
    DataFrame
        `ROI_SCHEMA`; empty where nothing incremental is supported or no cost is known. Scenarios are
        groups, then "all channels" where every credited channel has a cost. `payback_period` is in months
        from the start, null where the margin has not covered the cost by the end.
    """
    added = credits.filter(
        (pl.col("kind") == "incremental")
        & (pl.col("outcome") == "spend")
        & (pl.col("segment") == "(all)")
        & (pl.col("period") == "(all)")
        & pl.col("credit").is_not_null()
    )
    members: dict[str, list[str]] = {}
    for channel in costs:
        members.setdefault(groups.get(channel, channel), []).append(channel)
    by_group = {group: sum(costs[name] for name in names) for group, names in members.items()}
    channels = added.filter(pl.col("level") == "channel")
    rows = [
        _row(row, by_group[row["channel_group"]], gross_margin, timing, members[row["channel_group"]])
        for row in _of_groups(added).filter(pl.col("supported")).iter_rows(named=True)
        if by_group.get(row["channel_group"], 0.0) > 0
    ]
    everything = _all_channels(added, channels, costs)
    if everything is not None:
        names = channels["channel"].to_list()
        rows.append(_row(everything, sum(costs[name] for name in names), gross_margin, timing, names))
    return pl.DataFrame(rows, schema=ROI_SCHEMA, orient="row")


def _of_groups(added: pl.DataFrame) -> pl.DataFrame:
    """One row per group: its subtotal, or its only channel where that is a group of its own."""
    subtotals = added.filter(pl.col("level") == "group")
    alone = (pl.col("level") == "channel") & ~pl.col("channel_group").is_in(
        subtotals["channel_group"].implode()
    )
    return pl.concat([subtotals, added.filter(alone)])


def _all_channels(
    added: pl.DataFrame, channels: pl.DataFrame, costs: Mapping[str, float]
) -> dict[str, object] | None:
    """All channels as one row: total less baseline, whose interval is that of the baseline turned round."""
    baseline = added.filter(pl.col("level") == "baseline")
    total = added.filter(pl.col("level") == "total")
    known = not channels.is_empty() and all(costs.get(name, 0.0) > 0 for name in channels["channel"])
    if not known or baseline.is_empty() or total.is_empty() or not channels["supported"].all():
        return None
    whole, rest = float(total["credit"][0]), baseline.row(0, named=True)
    turned = {
        end: None if rest[other] is None else whole - rest[other]
        for end, other in (("low", "high"), ("high", "low"))
    }
    return {
        "channel_group": "all channels",
        "credit": whole - rest["credit"],
        "interval_level": rest["interval_level"],
        **turned,
    }


def _row(
    row: Mapping[str, object],
    cost: float,
    gross_margin: float,
    timing: Timing | None,
    channels: Iterable[str],
) -> dict[str, object]:
    margin = gross_margin * float(str(row["credit"]))
    low, high = row["low"], row["high"]
    ends: tuple[float, float] | None = None
    chance = None
    if low is not None and high is not None and row["interval_level"] is not None:
        ends = gross_margin * float(str(low)), gross_margin * float(str(high))
        std_error = (ends[1] - ends[0]) / (2 * float(ndtri(0.5 + float(str(row["interval_level"])) / 2)))
        chance = chance_above(cost, mean=margin, std_error=std_error)
    flows = None if timing is None else timing.flows(channels, gross_margin)
    return {
        "scenario": row["channel_group"],
        "period": "(all)",
        "incremental_margin": margin,
        "cost_avoided": 0.0,
        "cost": cost,
        "roi": (margin - cost) / cost,
        "roi_low": None if ends is None else (ends[0] - cost) / cost,
        "roi_high": None if ends is None else (ends[1] - cost) / cost,
        "npv": None
        if flows is None or timing is None
        else net_present_value(flows.tolist(), discount_rate=timing.discount_rate),
        "payback_period": None if flows is None else payback_months(flows.tolist()),
        "probability_positive": chance,
    }


def chance_above(limit: float, *, mean: float, std_error: float) -> float:
    """Chance that a normal figure lies above a limit.

    >>> chance_above(0.0, mean=1.96, std_error=1.0).__round__(3)
    0.975
    """
    if not np.isfinite(std_error) or std_error <= 0:
        return float(mean > limit)
    return float(ndtr((mean - limit) / std_error))
