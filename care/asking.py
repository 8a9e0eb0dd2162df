"""From a bundle's tables to a question that can be answered: "what if a promise were kept more often"."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from care.arrivals import arrivals_by_hour, arrivals_of_open_hours
from care.assumptions import Assumptions
from care.curve import effects_by_speed, gain_of_next
from care.evidence import clock_of, find_effect, margin_effect
from care.in_time import agents_for_share
from care.settings import Hours
from care.view import Clock
from care.whatif import WhatIf, WhatIfQuestion, Work, what_if
from histories.arrays import Float
from histories.cuts import ALL
from histories.errors import ConfigError, nearest


class NoPromiseError(ConfigError):
    """The run holds nothing that a promise was kept or broken by."""


CASES_COLUMNS: Final = (
    "case_id", "journey_id", "customer_id", "channel", "needs_reply", "waiting_since", "handling_seconds",
    "answered", "first_response_minutes", "first_response_business_minutes",
)  # fmt: skip
"""What a question needs of the table of cases."""

FEWEST: Final = 30
"""Cases from which the share of a week, or of several in a row, counts as observed."""

_WEEK: Final = r"^\d{4}-W\d\d$"
_WEEKS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CareFacts:
    """What a run left that a question needs.

    Attributes
    ----------
    care, cases, effects
        Tables of the bundle.
    configuration
        Of the run, as plain values.
    assumptions
        Rows of the assumptions table.
    as_of
        Last day of the observation.
    """

    care: pl.DataFrame
    cases: pl.DataFrame
    effects: pl.DataFrame
    configuration: Mapping[str, Any]
    assumptions: tuple[Mapping[str, Any], ...]
    as_of: dt.date

    @classmethod
    def of(
        cls, manifest: Mapping[str, Any], *, care: pl.DataFrame, cases: pl.DataFrame, effects: pl.DataFrame
    ) -> CareFacts:
        """From a bundle's manifest and tables."""
        return cls(
            care=care,
            cases=cases,
            effects=effects,
            configuration=manifest.get("configuration") or {},
            assumptions=tuple(manifest.get("assumptions") or ()),
            as_of=dt.date.fromisoformat(manifest["as_of"]),
        )


def question_of(
    facts: CareFacts,
    *,
    share: float | None = None,
    promise: str | None = None,
    cost_per_hour: float | None = None,
) -> WhatIfQuestion:
    """The question with everything that is known.

    Parameters
    ----------
    facts
        What the run left.
    share
        Asked for; the highest observed without one.
    promise
        Its name; the only one, or the first, without one.
    cost_per_hour
        In currency; the assumption of that name without it.

    Raises
    ------
    NoPromiseError
        When the run has no promise on the first response, or no case to which it applied.
    ConfigError
        When there is no promise of this name.
    """
    told = _promise(facts, promise)
    within, name = float(told["within_minutes"]), str(told["name"])
    clock: Clock = "business" if told.get("clock") == "business" else "calendar"
    rows = facts.care.filter(
        (pl.col("kpi") == "promise") & (pl.col("segment") == f"promise: {name}") & (pl.col("clock") == clock)
    )
    whole = rows.filter((pl.col("period") == ALL) & pl.col("value").is_not_null())
    if whole.is_empty():
        raise NoPromiseError(f'what if "{name}": no case was kept or broken by it; nothing to start from.')
    now, cases = float(whole["value"][0]), float(whole["n"][0])
    weeks = rows.filter(pl.col("period").str.contains(_WEEK) & pl.col("value").is_not_null()).sort("period")
    top, where = max(_stretches(weeks), default=(now, "all of the time"))
    assumptions = Assumptions.of(facts.assumptions, facts.as_of)
    designs = facts.configuration.get("effects") or ()
    covered = _covered(facts, told)
    asked = max(float(top), now) if share is None else share
    margin = (facts.configuration.get("value") or {}).get("gross_margin")
    margin = margin or assumptions.value("gross_margin")
    effect = margin_effect(
        facts.effects,
        designs,
        minutes=within,
        clock=clock,
        gross_margin=margin,
    )
    by_speed = effects_by_speed(
        facts.effects, [one for one in designs if clock_of(one) == clock], gross_margin=margin
    )
    waits = _waits(covered, clock)
    drawn = gain_of_next(by_speed, waits, within=within, cases=np.inf)
    if drawn.usable and effect.design != "randomised":
        effect = drawn
    about = effect.covers(covered["channel"], _groups(facts))
    return WhatIfQuestion(
        promise=name,
        cases=cases,
        share_now=now,
        share=asked,
        highest_share=float(top),
        where=str(where),
        margin=effect,
        margin_next=gain_of_next(by_speed, waits, within=within, cases=cases * (asked - now)),
        retention=find_effect(facts.effects, designs, "retention", minutes=within, clock=clock),
        issues=find_effect(facts.effects, designs, "issues", minutes=within, clock=clock),
        about_share=_share(about),
        known_share=_share(about & covered["customer_id"].is_not_null()),
        cost_per_contact=_cost_per_contact(facts, assumptions),
        work=_work(
            facts,
            told,
            covered,
            shares=(now, asked),
            cost_per_hour=cost_per_hour or assumptions.value("cost_per_hour"),
            handling=assumptions.value("handling_seconds"),
        ),
    )


def course_of(
    facts: CareFacts,
    *,
    share: float | None = None,
    promise: str | None = None,
    cost_per_hour: float | None = None,
    points: int = 12,
) -> list[WhatIf]:
    """Answers from today's share to the one asked for, in equal steps; its arguments are a question's.

    Raises
    ------
    ConfigError
        As `question_of` and `what_if` do.
    """

    def asked(at: float | None) -> WhatIf:
        return what_if(question_of(facts, share=at, promise=promise, cost_per_hour=cost_per_hour))

    last = asked(share)
    span = last.share - last.share_now
    return [*(asked(last.share_now + span * k / points) for k in range(points)), last]


def _stretches(weeks: pl.DataFrame) -> Iterator[tuple[float, str]]:
    """Share kept from each week on, over as many weeks as it takes for enough cases."""
    periods, shares, counts = weeks["period"], weeks["value"].to_numpy(), weeks["n"].to_numpy()
    total = np.concatenate([[0], np.cumsum(counts)])
    for first in range(weeks.height):
        enough = np.flatnonzero(total[first + 1 :] - total[first] >= FEWEST)
        if enough.size:
            last = first + int(enough[0])
            n = counts[first : last + 1]
            where = periods[first] if first == last else f"{periods[first]} to {periods[last]}"
            yield float(shares[first : last + 1] @ n / n.sum()), str(where)


def _promise(facts: CareFacts, name: str | None) -> Mapping[str, Any]:
    promises: list[Mapping[str, Any]] = (facts.configuration.get("care") or {}).get("promises") or []
    known = {
        str(one["name"]): one for one in promises if one.get("kpi", "first_response") == "first_response"
    }
    if not known:
        raise NoPromiseError(
            "What if: no promise on the first response is set. Add [[care.promises]] and run."
        )
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        raise ConfigError(f'What if: there is no promise "{name}"; {nearest(name, list(known))}')
    return known[name]


def _covered(facts: CareFacts, promise: Mapping[str, Any]) -> pl.DataFrame:
    """Matters that the promise covers."""
    cases = facts.cases.filter(pl.col("needs_reply") & (pl.col("case_id") == pl.col("journey_id")))
    channel, group, since = (promise.get(key) for key in ("channel", "group", "since"))
    if channel:
        cases = cases.filter(pl.col("channel") == channel)
    if group:
        members = [name for name, one in _groups(facts).items() if one == group]
        cases = cases.filter(pl.col("channel").is_in([*members, group]))
    if since:
        cases = cases.filter(pl.col("waiting_since").dt.date() >= dt.date.fromisoformat(str(since)))
    return cases


def _waits(covered: pl.DataFrame, clock: Clock) -> Float:
    """Minutes to the first answer, infinite without one; who was answered at an unknown time is left out."""
    name = "first_response_business_minutes" if clock == "business" else "first_response_minutes"
    minutes = pl.when(pl.col("answered")).then(pl.col(name)).otherwise(float("inf"))
    return covered.select(minutes).to_series().drop_nulls().to_numpy()


def _share(flags: pl.Series) -> float:
    return float(flags.sum()) / flags.len() if flags.len() else 1.0


def _groups(facts: CareFacts) -> dict[str, str]:
    """Group of each channel that has one."""
    about: Mapping[str, Any] = facts.configuration.get("channels") or {}
    return {name: one["group"] for name, one in about.items() if one and one.get("group")}


def _cost_per_contact(facts: CareFacts, assumptions: Assumptions) -> float | None:
    """As measured, else as assumed."""
    cuts = (pl.col(name) == ALL for name in ("channel", "team", "segment", "period"))
    rows = facts.care.filter(pl.col("kpi") == "cost_per_contact", *cuts)["value"].drop_nulls()
    return float(rows[0]) if rows.len() else assumptions.value("cost_per_contact")


def _work(
    facts: CareFacts,
    promise: Mapping[str, Any],
    covered: pl.DataFrame,
    *,
    shares: tuple[float, float],
    cost_per_hour: float | None,
    handling: float | None,
) -> Work | None:
    """Extra hours of agents by the fluid queue, over the weeks that the cases took."""
    mean = covered["handling_seconds"].mean()
    seconds = float(mean) if isinstance(mean, float) else handling
    if not seconds or covered.is_empty():
        return None
    told = (facts.configuration.get("care") or {}).get("hours")
    hours = None if told is None else Hours(**told)
    by_hour = arrivals_by_hour(covered["waiting_since"], weeks=_WEEKS)
    week = np.array([n for day in arrivals_of_open_hours(by_hour, hours).values() for n in day.values()])
    if not week.size or not week.sum():
        return None
    reachable = 1.0 if promise.get("clock") == "business" else _inside(by_hour, hours)
    per_hour, within = 3600.0 / seconds, float(promise["within_minutes"]) / 60.0
    now, then = (agents_for_share(week, per_hour, within, min(share / reachable, 1.0)) for share in shares)
    days = covered["waiting_since"].dt.date()
    weeks = ((days.max() - days.min()).days + 1) / 7  # type: ignore[operator, union-attr]
    return Work(
        hours=(then - now) * week.size * weeks, agents_now=now, agents=then, cost_per_hour=cost_per_hour
    )


def _inside(by_hour: pl.DataFrame, hours: Hours | None) -> float:
    """Share of the cases that come while the desk is open."""
    if hours is None:
        return 1.0
    is_open = {
        (day, hour)
        for day, name in enumerate(arrivals_of_open_hours(by_hour, None), start=1)
        for hour in arrivals_of_open_hours(by_hour, hours).get(name, {})
    }
    counts = {(day, hour): n for day, hour, n in by_hour.select("weekday", "hour", "arrivals").iter_rows()}
    total = sum(counts.values())
    return sum(n for place, n in counts.items() if place in is_open) / total if total else 1.0
