"""Facts of a run, read once from its tables: what was added, what it cost, what was tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl

from attribution.credits.rows import one_row_per_group
from histories.cuts import ALL
from reports.sources import ReportSources
from reports.words import DESIGNS, inside, upper_first

SOCIAL: Final = "social"
EVERYTHING: Final = "all channels"

State = Literal["positive", "negative", "covers", "no_interval", "not_supported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its interval, and whether it may be quoted."""

    value: float | None
    low: float | None = None
    high: float | None = None
    supported: bool = True
    reason: str | None = None

    @property
    def state(self) -> State:
        """What a sentence may claim of it."""
        if not self.supported or self.value is None:
            return "not_supported"
        if self.low is None or self.high is None:
            return "no_interval"
        return "positive" if self.low > 0 else "negative" if self.high < 0 else "covers"

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        scaled = [None if x is None else x * factor for x in (self.value, self.low, self.high)]
        return Estimate(
            value=scaled[0], low=scaled[1], high=scaled[2], supported=self.supported, reason=self.reason
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Incremental credit of one outcome: what would have come anyway, and what each group added.

    Attributes
    ----------
    groups
        By group, largest first; `channels` by channel with the group of each.
    level
        Of the intervals, 0 to 1.
    """

    outcome: str
    total: float
    baseline: Estimate
    groups: Mapping[str, Estimate]
    channels: Mapping[str, Estimate]
    group_of: Mapping[str, str]
    customers: int
    level: float
    tested: tuple[str, ...] = ()

    @property
    def supported(self) -> bool:
        """Whether every group has a figure."""
        return all(estimate.supported for estimate in self.groups.values())

    @property
    def told(self) -> bool:
        """Whether there is a figure to draw: some group has one, and the baseline does."""
        some = any(estimate.supported for estimate in self.groups.values())
        return some and self.baseline.value is not None and bool(self.total)

    @property
    def reason(self) -> str:
        """Why it is not supported."""
        return next((e.reason or "" for e in self.groups.values() if not e.supported), "")

    def share(self, estimate: Estimate) -> float | None:
        """A figure's share of the total."""
        return None if estimate.value is None or not self.total else estimate.value / self.total

    @property
    def everything(self) -> float:
        """What all groups together added."""
        return self.total - (self.baseline.value or 0.0)


def whole(credits: pl.DataFrame) -> pl.DataFrame:
    """Rows of all customers over all periods."""
    if credits.is_empty():
        return credits
    return credits.filter((pl.col("segment") == ALL) & (pl.col("period") == ALL))


def main_outcome(rows: pl.DataFrame) -> str | None:
    """The outcome that path credit is told of: spend where there is any, else the first with a total."""
    totals = rows.filter((pl.col("level") == "total") & (pl.col("credit") > 0))["outcome"].to_list()
    return "spend" if "spend" in totals else next(iter(totals), None)


def _estimate(row: Mapping[str, Any]) -> Estimate:
    return Estimate(
        value=row["credit"],
        low=row["low"],
        high=row["high"],
        supported=bool(row["supported"]) and row["credit"] is not None,
        reason=row["reason"],
    )


def added(credits: pl.DataFrame, outcome: str) -> Added | None:
    """Incremental credit of an outcome from rows of one segment and period; None where none was made."""
    if credits.is_empty():
        return None
    rows = credits.filter((pl.col("kind") == "incremental") & (pl.col("outcome") == outcome))
    by_level = {level: rows.filter(pl.col("level") == level) for level in rows["level"].unique()}
    if "total" not in by_level or "channel" not in by_level:
        return None
    groups = one_row_per_group(rows)
    order = groups.sort("credit", descending=True, nulls_last=True)
    total = by_level["total"].row(0, named=True)
    baseline = by_level["baseline"].row(0, named=True) if "baseline" in by_level else None
    return Added(
        outcome=outcome,
        total=float(total["credit"] or 0.0),
        baseline=Estimate(value=None, supported=False) if baseline is None else _estimate(baseline),
        groups={row["channel_group"]: _estimate(row) for row in order.iter_rows(named=True)},
        channels={row["channel"]: _estimate(row) for row in by_level["channel"].iter_rows(named=True)},
        group_of=dict(by_level["channel"].select("channel", "channel_group").iter_rows()),
        customers=int(total["customers"] or 0),
        level=float(groups["interval_level"].drop_nulls().max() or 0.95),  # type: ignore[arg-type]
        tested=tuple(
            groups.filter(pl.col("level_source") == "experiment")["channel_group"].unique(maintain_order=True)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Margin added against cost, of one group or of all together.

    Attributes
    ----------
    net
        Margin less cost with its interval.
    chance
        That the margin exceeds the cost, over sampling error.
    care
        Whether the group is there to serve.
    """

    name: str
    margin: float
    cost: float
    net: Estimate
    chance: float | None
    care: bool

    @property
    def per_unit(self) -> float:
        """Margin for each unit of cost."""
        return self.margin / self.cost

    @property
    def per_unit_range(self) -> tuple[float, float] | None:
        """The same at both ends of the interval."""
        if self.net.low is None or self.net.high is None:
            return None
        return (self.net.low + self.cost) / self.cost, (self.net.high + self.cost) / self.cost


def returns(sources: ReportSources) -> dict[str, Return]:
    """Return of each group with a cost, by name; "all channels" where every channel has one."""
    table = sources.table("roi")
    if table.is_empty():
        return {}
    care = care_groups(sources)
    found = {}
    for row in table.filter(pl.col("period") == ALL).iter_rows(named=True):
        cost, margin = float(row["cost"] or 0.0), row["incremental_margin"]
        if margin is None or cost <= 0:
            continue
        ends = [None if row[end] is None else row[end] * cost for end in ("roi_low", "roi_high")]
        found[row["scenario"]] = Return(
            name=row["scenario"],
            margin=float(margin),
            cost=cost,
            net=Estimate(value=float(margin) - cost, low=ends[0], high=ends[1]),
            chance=row["probability_positive"],
            care=row["scenario"] in care,
        )
    return found


def care_groups(sources: ReportSources) -> frozenset[str]:
    """Groups that are there to serve: every touch in them is kind care."""
    touches = sources.table("touchpoints")
    if touches.is_empty() or "kind" not in touches.columns:
        return frozenset()
    number = pl.col("touches") if touches.schema.get("touches", pl.String).is_integer() else pl.lit(1)
    kinds = (
        touches.with_columns(number=number)
        .group_by("channel_group")
        .agg(
            care=pl.col("number").filter(pl.col("kind") == "care").sum() / pl.col("number").sum(),
            known=pl.col("kind").is_not_null().any(),
        )
    )
    served = kinds.filter((pl.col("care") > 0.9) & pl.col("known"))["channel_group"]
    return frozenset(served.drop_nulls().to_list()) - {SOCIAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFact:
    """One estimate of what a treatment did, ready to be named, drawn and told."""

    name: str
    treatment: str
    control: str
    outcome: str
    segment: str
    design: str
    estimator: str
    estimand: str
    estimate: Estimate
    std_error: float | None
    n_treated: int
    n_control: int
    e_value: float | None
    placebo_passed: bool | None
    direct_to_zero: float | None = None
    direct_allowed: float | None = None
    one_of_several: bool = False

    @property
    def rungs(self) -> int:
        """How far up the ladder of evidence its design stands."""
        return 1 if self.estimator == "naive" else DESIGNS.get(self.design, (1, ""))[0]

    @property
    def design_words(self) -> str:
        """The design in a word."""
        return DESIGNS.get(self.design, (1, inside(self.design)))[1]

    @property
    def sizes(self) -> str:
        """How many customers on each side."""
        if self.n_treated and self.n_control:
            return f"{self.n_treated:,} and {self.n_control:,} customers"
        both = self.n_treated + self.n_control
        return f"{both:,} customers" if both else ""

    @property
    def called(self) -> str:
        """The effect's name inside a sentence; with its arm where the comparison has several."""
        return f"{inside(self.name)}, {inside(self.treatment)}," if self.one_of_several else inside(self.name)

    @property
    def title(self) -> str:
        """The effect's name as it stands alone."""
        return upper_first(self.called).rstrip(",")


def effects_of(table: pl.DataFrame) -> tuple[EffectFact, ...]:
    """Every row of the effects table."""
    arms: dict[str, set[str]] = {}
    for name, treatment in table.select("name", "treatment").iter_rows() if not table.is_empty() else ():
        arms.setdefault(name, set()).add(treatment)
    return tuple(
        EffectFact(
            one_of_several=len(arms[row["name"]]) > 1,
            **{key: row[key] for key in ("name", "treatment", "control", "outcome", "segment", "design")},
            estimator=row["estimator"],
            estimand=row["estimand"],
            estimate=Estimate(
                value=row["estimate"],
                low=row["low"],
                high=row["high"],
                supported=bool(row["supported"]) and row["estimate"] is not None,
                reason=row["reason"],
            ),
            std_error=row["std_error"],
            n_treated=int(row["n_treated"] or 0),
            n_control=int(row["n_control"] or 0),
            e_value=row["e_value"],
            placebo_passed=_placebo(row),
            direct_to_zero=row.get("direct_to_zero"),
            direct_allowed=row.get("direct_allowed"),
        )
        for row in table.iter_rows(named=True)
    )


def _placebo(row: Mapping[str, Any]) -> bool | None:
    low, high = row["placebo_low"], row["placebo_high"]
    return None if low is None or high is None else bool(low <= 0 <= high)


def preferred(effects: tuple[EffectFact, ...]) -> tuple[EffectFact, ...]:
    """The row chosen beforehand for each effect, treatment and outcome, for everybody."""
    first: dict[tuple[str, str, str], EffectFact] = {}
    for effect in effects:
        if effect.segment == ALL:
            first.setdefault((effect.name, effect.treatment, effect.outcome), effect)
    return tuple(first.values())
