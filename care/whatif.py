"""What if more customers were answered in time: what it would bring, what it would take, and the chance.

    cases that become fast = cases x (share - share now)
    margin                 = those of known customers x effect of being fast on those who were not (ATU)
    margin_next            = the same, had those become fast who waited least beyond the promise
    induced contacts       = cases that become fast x effect on issues, each at the cost of a contact
    cost                   = extra hours at work x cost of an hour
    net                    = margin - induced contacts - cost

Who becomes fast is taken as drawn at random from those who waited longer: with more agents it is rather those
who are next, so both stand side by side where a response curve tells the second.

Nothing is said beyond what was observed: an effect at a share that the desk never reached is a guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import polars as pl
from scipy.special import ndtr

from care.evidence import LEVEL, CareEffect, Z, settled_by
from histories.errors import ConfigError

_DRAWN: Final = (
    "those who become fast count as drawn at random from those who waited longer; if they are those who "
    "waited least beyond the promise, as more agents at work would have it, the margin is margin_next"
)

COURSE_SCHEMA: Final[dict[str, pl.DataType]] = {
    "promise": pl.String(),
    "share_now": pl.Float64(),
    "share": pl.Float64(),
    "cases": pl.Float64(),
    "hours": pl.Float64(),
    **{
        f"{name}{end}": pl.Float64()
        for name in ("margin", "induced_cost", "cost", "net")
        for end in ("", "_low", "_high")
    },
    "chance": pl.Float64(),
    "supported": pl.Boolean(),
    "reason": pl.String(),
    "settled_by": pl.String(),
}
"""Answers over rising shares, for a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with its interval; `reason` says why it is absent."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Extra work for a share.

    Attributes
    ----------
    hours
        Extra hours at work, over the same time as the cases.
    agents_now, agents
        At work in the busiest day's open hours, today and then; None where nobody knows.
    cost_per_hour
        In currency; None where nobody said.
    """

    hours: float
    agents_now: float | None = None
    agents: float | None = None
    cost_per_hour: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfQuestion:
    """What is asked, and what is known.

    Attributes
    ----------
    promise
        Its name.
    cases
        Matters that the promise covers.
    share_now, share
        Answered in time today, and then.
    highest_share, where
        Highest share that was observed, and when.
    margin
        Effect of being fast on margin, per case of a known customer that was not, in currency.
    margin_next
        What being fast adds to the margin of those who waited least beyond the promise; None: not asked.
    retention, issues
        The effect on retention (share) and on further contacts.
    about_share, known_share
        Share of the cases that the effect on margin is about, and of those also of a known customer.
    cost_per_contact
        In currency; None where nobody knows.
    work
        Extra work; None where it cannot be computed.
    """

    promise: str
    cases: float
    share_now: float
    share: float
    margin: CareEffect
    highest_share: float = 1.0
    where: str = ""
    margin_next: CareEffect | None = None
    retention: CareEffect | None = None
    issues: CareEffect | None = None
    about_share: float = 1.0
    known_share: float = 1.0
    cost_per_contact: float | None = None
    work: Work | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """The answer.

    Attributes
    ----------
    supported, reason, settled_by
        Whether the effect may be used; if not, why, and the experiment that would settle it. Margin, net and
        chance are then absent, volume and cost stay.
    cases
        That become fast.
    chance
        That the net is above 0, over the errors of the effects.
    margin_unknown_authors
        What authors who are no known customers would bring if they were like them; beside, not in the net.
    notes
        What was taken for granted.
    """

    promise: str
    share_now: float
    share: float
    supported: bool
    cases: float
    margin: Figure
    margin_next: Figure
    margin_unknown_authors: Figure
    retained: Figure
    induced_contacts: Figure
    induced_cost: Figure
    hours: float | None
    agents_now: float | None
    agents: float | None
    cost: Figure
    net: Figure
    chance: float | None
    basis: str = ""
    reason: str | None = None
    settled_by: str | None = None
    interval_level: float = LEVEL
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def what_if(question: WhatIfQuestion) -> WhatIf:
    """Answer the question.

    Raises
    ------
    ConfigError
        When the share is below today's, above 1, or beyond what was observed; with the nearest allowed.

    >>> fast = CareEffect(name="fast", outcome="spend", value=7.0, std_error=2.0).times(0.45, "margin")
    >>> again = CareEffect(name="fast", outcome="issues", value=0.05)
    >>> found = what_if(WhatIfQuestion(promise="within the hour", cases=3000, share_now=0.44, share=0.64,
    ...     margin=fast, issues=again, cost_per_contact=4.0, work=Work(hours=50, cost_per_hour=25.0)))
    >>> round(found.cases), [round(x) for x in (found.margin.value, found.margin.low, found.margin.high)]
    (600, [1890, 832, 2948])
    >>> [round(one.value) for one in (found.induced_cost, found.cost, found.net)], round(found.chance, 3)
    ([120, 1250, 520], 0.832)
    """
    _check(question)
    faster = question.cases * (question.share - question.share_now)
    known = faster * question.known_share
    margin = _scaled(question.margin, known)
    induced, induced_cost, induced_error, notes = _induced(question, faster)
    if question.margin.usable:
        notes += (_DRAWN,)
    if question.about_share < 1.0:
        notes += (
            f"margin is that of {question.about_share:.0%} of the cases: what fast answers bring was "
            f"estimated{question.margin.where} alone",
        )
    cost = _cost(question.work)
    outgo = (induced_cost.value or 0.0) + (cost.value or 0.0)
    net, chance = _net(question, known, margin, outgo, induced_error, cost)
    smallest = outgo / known if known > 0 and outgo > 0 else None
    usable = question.margin.usable
    return WhatIf(
        promise=question.promise,
        share_now=question.share_now,
        share=question.share,
        supported=usable,
        cases=faster,
        margin=margin,
        margin_next=_scaled(question.margin_next, known),
        margin_unknown_authors=_scaled(question.margin, faster * question.about_share - known),
        retained=_scaled(question.retention, known),
        induced_contacts=induced,
        induced_cost=induced_cost,
        hours=None if question.work is None else question.work.hours,
        agents_now=None if question.work is None else question.work.agents_now,
        agents=None if question.work is None else question.work.agents,
        cost=cost,
        net=net,
        chance=chance,
        basis=question.margin.basis,
        reason=None if usable else question.margin.reason,
        settled_by=None if usable else settled_by(question.margin, smallest=smallest),
        notes=notes,
    )


def _check(question: WhatIfQuestion) -> None:
    now, asked, top = question.share_now, question.share, question.highest_share
    place = f'what if "{question.promise}"'
    first, last = _ceil(now), _floor(min(top, 1.0))
    span = f"{first:.2f} (just above today's {now:.3f}) to {last:.2f}"
    allowed = span if first <= last else f"today's {now:.3f} alone"
    if not asked <= 1.0:
        raise ConfigError(f"{place}: share {asked:g}; allowed: {allowed}.")
    if asked < now:
        raise ConfigError(
            f"{place}: share {asked:g} is below today's; allowed: {allowed}. "
            "What being slower costs is read from the effects."
        )
    if asked > top + 1e-9:
        when = f" ({question.where})" if question.where else ""
        raise ConfigError(
            f"{place}: share {asked:g} was never observed; the highest is {top:.3f}{when}. The nearest "
            f"allowed is {_floor(max(top, now)):.2f}: beyond it nothing was seen of what answers bring."
        )


def _floor(share: float) -> float:
    return math.floor(share * 100 + 1e-9) / 100


def _ceil(share: float) -> float:
    return math.ceil(share * 100 - 1e-9) / 100


def _scaled(effect: CareEffect | None, count: float) -> Figure:
    if effect is None:
        return Figure(value=None, reason="no such effect is estimated")
    if not effect.usable or effect.value is None:
        return Figure(value=None, reason=effect.reason)
    value, half = effect.value * count, Z * effect.error * abs(count)
    return Figure(value=value, low=value - half, high=value + half)


def _induced(question: WhatIfQuestion, faster: float) -> tuple[Figure, Figure, float, tuple[str, ...]]:
    """Contacts that answers make, what they cost, the error of that, and what was taken for granted."""
    induced = _scaled(question.issues, faster)
    if induced.value is None or question.issues is None:
        reason = f"whether fast answers make people ask again is not known: {induced.reason}"
        return induced, Figure(value=None, reason=induced.reason), 0.0, (reason,)
    each = question.cost_per_contact
    if each is None:
        reason = "no cost of a contact is known"
        return (
            induced,
            Figure(value=None, reason=reason),
            0.0,
            (f"induced contacts cost nothing here: {reason}",),
        )
    ends = [None if x is None else x * each for x in (induced.low, induced.high)]
    cost = Figure(value=induced.value * each, low=ends[0], high=ends[1])
    return induced, cost, question.issues.error * faster * each, ()


def _cost(work: Work | None) -> Figure:
    if work is None:
        return Figure(value=None, reason="the agents needed are not known")
    if work.cost_per_hour is None:
        return Figure(value=None, reason="no cost of an hour is known: add the assumption cost_per_hour")
    return Figure(value=work.hours * work.cost_per_hour)


def _net(
    question: WhatIfQuestion, known: float, margin: Figure, outgo: float, induced_error: float, cost: Figure
) -> tuple[Figure, float | None]:
    """Net with its interval, and the chance that it is above 0."""
    if margin.value is None or cost.value is None:
        return Figure(value=None, reason=margin.reason if margin.value is None else cost.reason), None
    value = margin.value - outgo
    error = math.hypot(question.margin.error * known, induced_error)
    chance = float(ndtr(value / error)) if error > 0 else float(value > 0)
    return Figure(value=value, low=value - Z * error, high=value + Z * error), chance


def course_frame(answers: Iterable[WhatIf]) -> pl.DataFrame:
    """Answers as rows of `COURSE_SCHEMA`."""
    rows = []
    for one in answers:
        row = {name: getattr(one, name) for name in COURSE_SCHEMA if hasattr(one, name)}
        for name in ("margin", "induced_cost", "cost", "net"):
            figure: Figure = getattr(one, name)
            row |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
        rows.append(row)
    return pl.DataFrame(rows, schema=COURSE_SCHEMA)
