"""A lottery of priority: which cases go first by chance, what it would find, and how it slows the others.

    arm = "priority" where the first 32 bits of HMAC-SHA-256(key, case id) / 2^32 < share, else "usual"

Any desk can work that out when a case opens, and it is the same whenever it is asked. The unit is the
customer, by the first case since the start. If the desk answers as many in time as today, priority takes the
others' places:

    in time, priority = min(1, now / share)         in time, usual = max(0, now - share) / (1 - share)

so that the arms differ by the effect of an answer in time times the difference of these two.
"""

from __future__ import annotations

import datetime as dt
import hmac
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from attribution.effects.design import OF_CASES
from attribution.effects.power import PowerPlan, detectable_effect
from care.asking import CareFacts, question_of
from care.evidence import effect_of
from experiments.assigned import randomised_entry
from histories.cuts import ALL
from histories.errors import ConfigError, DataError, nearest

PRIORITY, USUAL = "priority", "usual"
_WEEKS: Final = (2, 4, 8, 13, 26)
_RECENT: Final = 8
_SHORTEST_KEY: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LotteryPlan:
    """What a lottery of priority would find.

    Attributes
    ----------
    promise, share
        By whose limit an answer is in time, and the share of the cases that goes first.
    weekly
        channel, cases: those of known customers that need a reply, a week, over the last eight weeks.
    in_time_now, in_time_priority, in_time_usual
        Share answered in time today, and in each arm if the desk answers as many in time as today.
    outcome, spread
        What is measured, and its standard deviation between customers.
    by_weeks
        weeks, customers, difference (that the arms show with 80 % power at 5 %), effect (of an answer in time
        that this is, per customer).
    """

    promise: str
    share: float
    weekly: pl.DataFrame
    in_time_now: float
    in_time_priority: float
    in_time_usual: float
    outcome: str
    spread: float
    by_weeks: pl.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        frames = {"weekly": self.weekly.to_dicts(), "by_weeks": self.by_weeks.to_dicts()}
        return {name: getattr(self, name) for name in self.__slots__} | frames


def arm_of(case_id: str, key: str, share: float) -> str:
    """The arm of a case.

    >>> arms = [arm_of(f"case {n}", "a key of one's own", 0.25) for n in range(4000)]
    >>> round(arms.count("priority") / 4000, 2)
    0.25
    """
    number = int(hmac.digest(key.encode(), case_id.encode(), "sha256").hex()[:8], 16)
    return PRIORITY if number / 2**32 < share else USUAL


def plan_lottery(
    facts: CareFacts, *, share: float, outcome: str = "spend", promise: str | None = None
) -> LotteryPlan:
    """The plan from what a run has seen.

    Raises
    ------
    ConfigError
        When the share is not between 0 and 1, there is no promise, or nothing says how the outcome varies.
    DataError
        When no known customer has a case.
    """
    if not 0 < share < 1:
        raise ConfigError(f"lottery: share {share:g}; allowed: between 0 and 1, both excluded.")
    question = question_of(facts, promise=promise)
    cases = eligible_cases(facts.cases)
    if cases.is_empty():
        raise DataError("lottery: no case of a known customer needs a reply; there is nobody to draw.")
    now = question.share_now
    first, others = min(1.0, now / share), max(0.0, now - share) / (1.0 - share)
    spread = _spread(facts, outcome)
    start, last = cases["waiting_since"].min(), cases["waiting_since"].max()
    assert isinstance(start, dt.datetime)
    assert isinstance(last, dt.datetime)
    seen = (last - start).days
    rows = []
    for weeks in (w for w in _WEEKS if 7 * w <= seen + 1):
        customers = cases.filter(pl.col("waiting_since") > last - dt.timedelta(days=7 * weeks))
        n = customers["customer_id"].n_unique()
        if n * min(share, 1 - share) >= 2:
            found = detectable_effect(PowerPlan(baseline=0.0, std_dev=spread, treated_share=share), n)
            rows.append((weeks, n, found, found / (first - others) if first > others else None))
    recent = cases.filter(pl.col("waiting_since") > last - dt.timedelta(days=7 * _RECENT))
    span = min(_RECENT, max(seen + 1, 7) / 7)
    return LotteryPlan(
        promise=question.promise,
        share=share,
        weekly=recent.group_by("channel")
        .agg((pl.len() / span).alias("cases"))
        .sort("cases", "channel", descending=[True, False]),
        in_time_now=now,
        in_time_priority=first,
        in_time_usual=others,
        outcome=outcome,
        spread=spread,
        by_weeks=pl.DataFrame(
            rows,
            schema={"weeks": pl.Int64, "customers": pl.Int64, "difference": pl.Float64, "effect": pl.Float64},
            orient="row",
        ),
    )


def eligible_cases(cases: pl.DataFrame) -> pl.DataFrame:
    """First parts of matters of known customers that need a reply."""
    return cases.filter(
        pl.col("needs_reply")
        & (pl.col("case_id") == pl.col("journey_id"))
        & pl.col("customer_id").is_not_null()
    )


def lottery_assignments(
    cases: pl.DataFrame, *, name: str, key: str, share: float, since: dt.date
) -> pl.DataFrame:
    """Who was in which arm, as the table `assignments` has it: each customer by the first case since a day.

    Raises
    ------
    DataError
        When no case was opened since.
    """
    if len(key) < _SHORTEST_KEY:
        raise ConfigError(f"lottery: the key has {len(key)} characters; allowed: {_SHORTEST_KEY} or more.")
    opened = eligible_cases(cases).filter(pl.col("waiting_since").dt.date() >= since)
    if opened.is_empty():
        raise DataError(f"lottery: no case of a known customer was opened since {since}.")
    first = opened.sort("waiting_since", "case_id").unique("customer_id", keep="first", maintain_order=True)
    return first.select(
        pl.lit(name).alias("experiment"),
        "customer_id",
        pl.Series("arm", [arm_of(str(case), key, share) for case in first["case_id"]], dtype=pl.String),
        pl.col("waiting_since").dt.date().alias("assigned_at"),
    )


def effect_entry(
    facts: CareFacts, *, path: str, name: str, share: float, outcome: str, promise: str | None = None
) -> str:
    """What a configuration needs to read the lottery: the table, and the effect of an answer by lot."""
    question = question_of(facts, promise=promise)
    chosen = {str(one["name"]): one for one in (facts.configuration.get("care") or {})["promises"]}
    told = chosen[question.promise]
    return randomised_entry(
        path,
        name,
        outcomes=[outcome],
        days=30,
        shares={PRIORITY: share, USUAL: 1 - share},
        clock=told.get("clock", "calendar"),
        answered_within=float(told["within_minutes"]),
    )


def _spread(facts: CareFacts, outcome: str) -> float:
    """Standard deviation of the outcome between customers with a case, from the run's plain differences."""
    designs = {one["name"]: one for one in facts.configuration.get("effects") or ()}
    effects = facts.effects
    if not effects.is_empty():
        rows = effects.filter(
            (pl.col("estimator") == "naive") & (pl.col("segment") == ALL) & pl.col("std_error").is_not_null()
        )
        for row in rows.filter(pl.col("outcome") == outcome).iter_rows(named=True):
            design = designs.get(row["name"], {})
            found = effect_of(row, design).spread
            if found and design.get("design") in ("landmark", *OF_CASES):
                return found
        known = rows["outcome"].unique().sort().to_list()
        if outcome not in known and known:
            raise ConfigError(f'lottery: no effect on "{outcome}" is estimated; {nearest(outcome, known)}')
    raise ConfigError(
        f"lottery: nothing says how {outcome} varies between customers; add an [[effects]] design on cases "
        f'with outcomes = ["{outcome}"] and run.'
    )
