"""What care returned by month and segment, what silence cost, and the plan beside it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from attribution.effects.findings import EffectsResult
from care.account import Account, Input
from care.asking import CareFacts, course_of
from care.assumptions import Assumptions
from care.curve import effects_by_speed
from care.evidence import ANY_ANSWER, CareEffect, find_effect, margin_effect
from care.silence import ignored_matters, silence_lines
from care.statement import (
    Told,
    account_rows,
    difference_rows,
    plan_account,
    refuted,
    returns_table,
    tornado_frame,
)
from care.view import Desk
from care.whatif import course_frame
from experiments.config import RunConfig
from experiments.parts.costs import ChannelCosts
from experiments.parts.histories import Histories
from histories.arrays import Float
from histories.cuts import ALL
from histories.errors import ConfigError
from histories.reading.plausibility import observed_days

ASSISTED: Final = "assisted_contacts"
"""Outcome of a design that measures contacts which self-service or social care takes the place of."""

_CLAIM_DAYS: Final = 7
_OF_ANY: Final = "any answer: "  # before the hypotheses of a curve's row of any answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The table `returns`, its pictures, and what is to be said.

    `refuted` holds assumptions that measurement contradicts, with both in words.
    """

    table: pl.DataFrame
    pictures: dict[str, pl.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    refuted: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """Which effect the margin rests on, and the minutes within which an answer is one (None: any)."""

    effect: CareEffect
    minutes: float | None
    rate: Input


def statement_part(
    config: RunConfig,
    histories: Histories,
    costs: ChannelCosts,
    desk: Desk | None,
    tables: Mapping[str, pl.DataFrame],
    effects: EffectsResult | None,
) -> Statement | None:
    """Rows of all that can be said; None where there is neither a desk nor a plan.

    Parameters
    ----------
    config, histories, costs
        Of the run.
    desk, tables
        Matters, and the tables of figures (`care`) and `cases`; None and nothing without any.
    effects
        Of the run; None without a design.
    """
    figures, cases = tables.get("care"), tables.get("cases")
    table = histories.table("assumptions")
    rows = [] if table is None else table.collect().to_dicts()
    assumptions = Assumptions.of(rows, histories.inputs.observation_end)
    designs = config.to_dict()["effects"]
    found = pl.DataFrame() if effects is None else effects.frame
    lines: list[dict[str, Any]] = []
    notes: list[str] = []
    left_out: dict[str, str] = {}
    pictures: dict[str, pl.DataFrame] = {}
    actual: Account | None = None
    measured: dict[str, Input] = {}
    months = _months(histories, costs)
    if desk is not None and figures is not None:
        lines += _silence(desk, found, designs, _rate(config, assumptions).value or None)
        basis = _basis(config, assumptions, found, designs)
        account, told = _actual(
            config, histories, costs, desk, figures, assumptions, basis, found, designs, months
        )
        answered = _volume(desk, None, months, basis.effect)
        measured = _measured(account, basis, figures, answered[0])
        if account.spent > 0:
            lines += account_rows(account, months, told=told)
            segments = _basis(config, assumptions, found, [d for d in designs if d["segments"]])
            lines += _by_segment(account, segments, effects, float(answered[1].sum()))
            if not {"margin", "net"} & set(told.absent):
                actual, pictures["tornado"] = account, tornado_frame(account)
        else:
            left_out["returns"] = "no cost of a channel with cases is known"
        lines += _claimed(histories, figures, assumptions)
    plan = plan_account(
        assumptions,
        gross_margin=config.value.gross_margin,
        discount_rate=config.value.discount_rate,
        months=len(months) if desk is not None and months else None,
        seed=config.seed,
    )
    if isinstance(plan, str):
        notes.append(f"returns: {plan}.")
    elif plan is not None:
        labels = months if desk is not None and months else [f"month {k + 1}" for k in range(plan.cases.size)]
        lines += account_rows(plan, labels, scenario="plan", told=_plan_told(plan))
        pictures["tornado_plan"] = tornado_frame(plan)
        if actual is not None:
            lines += difference_rows(actual, plan)
    if not lines:
        return None
    wrong = refuted(assumptions, measured)
    notes += _assumption_notes(assumptions, wrong)
    if desk is not None and figures is not None and cases is not None:
        pictures |= _what_if(config, assumptions.as_of, rows, figures, cases, found)
    return Statement(
        table=returns_table(lines), pictures=pictures, notes=tuple(notes), refuted=wrong, left_out=left_out
    )


def _silence(
    desk: Desk, effects: pl.DataFrame, designs: list[dict[str, Any]], gross_margin: float | None
) -> Iterator[dict[str, Any]]:
    """What silence cost: by the effect of any answer, and by speed where a curve tells it."""
    view = desk.view()

    def lines(effect: CareEffect, segment: str = ALL) -> Iterator[dict[str, Any]]:
        about = effect.covers(desk.frame["channel"], desk.groups).to_numpy()
        return silence_lines(ignored_matters(view, about), effect, segment=segment)

    yield from lines(margin_effect(effects, designs, gross_margin=gross_margin))
    for label, effect in effects_by_speed(effects, designs, gross_margin=gross_margin).items():
        yield from lines(effect, f"first answer in minutes: {label}")


def _what_if(
    config: RunConfig,
    as_of: dt.date,
    assumptions: list[dict[str, Any]],
    figures: pl.DataFrame,
    cases: pl.DataFrame,
    effects: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """A promise from today's share to that of its best week: the first that has an answer, else the first."""
    facts = CareFacts(
        care=figures,
        cases=cases,
        effects=effects,
        configuration=config.to_dict(),
        assumptions=tuple(assumptions),
        as_of=as_of,
    )
    courses = []
    for promise in config.care.promises:
        with suppress(ConfigError):  # on another figure than the first response, or without a case
            courses.append(course_frame(course_of(facts, promise=promise.name)))
    if not courses:
        return {}
    answered = (course for course in courses if course["supported"].all())
    return {"what_if": next(answered, courses[0])}


def _plan_told(plan: Account) -> Told:
    """A plan rests on assumptions alone; what nobody assumed is not there."""
    absent = {}
    if plan.issues_per_case is None or plan.cost_per_contact is None:
        absent["induced"] = "not planned: the assumptions issues_per_case and cost_per_contact would"
    if plan.contacts_avoided is None or plan.cost_per_assisted_contact is None:
        absent["avoided"] = (
            "not planned: the assumptions contacts_avoided_per_month and cost_per_assisted_contact would"
        )
    return Told(basis={"margin": "assumptions alone"}, absent=absent)


def _months(histories: Histories, costs: ChannelCosts) -> list[str]:
    """Labels of the months of the observation."""
    days = observed_days(histories.inputs)
    if days is None:
        return []
    first, last = days[0], histories.inputs.observation_end
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    start = first.year * 12 + first.month - 1
    return [f"{(start + k) // 12:04d}-{(start + k) % 12 + 1:02d}" for k in range(count)]


def _rate(config: RunConfig, assumptions: Assumptions) -> Input:
    """The gross margin: configured, else assumed, else 0."""
    assumed = assumptions.get("gross_margin")
    if config.value.gross_margin is not None:
        return Input(value=config.value.gross_margin)
    return Input(value=0.0) if assumed is None else Input.assumed(assumed)


def _basis(
    config: RunConfig, assumptions: Assumptions, effects: pl.DataFrame, designs: list[dict[str, Any]]
) -> _Basis:
    """The effect of an answer at all, else of one within the promise, else of one within any limit."""
    limits: list[float | None] = [None]
    limits += [one.within_minutes for one in config.care.promises if one.kpi == "first_response"]
    limits += [
        limit for one in designs if (limit := (one.get("treatment") or {}).get("first_response_minutes"))
    ]
    rate = _rate(config, assumptions)
    candidates = []
    for minutes in dict.fromkeys(limits):
        own = find_effect(effects, designs, "margin", minutes=minutes, estimand="ATT")
        if own.usable:
            return _Basis(effect=own, minutes=minutes, rate=Input(value=1.0))
        spend = find_effect(effects, designs, "spend", minutes=minutes, estimand="ATT")
        if spend.usable and rate.value:
            return _Basis(effect=spend, minutes=minutes, rate=rate)
        candidates.append(_Basis(effect=spend, minutes=minutes, rate=rate))
    estimated = [one for one in candidates if one.effect.design]
    return (estimated or candidates)[0]


def _actual(
    config: RunConfig,
    histories: Histories,
    costs: ChannelCosts,
    desk: Desk,
    figures: pl.DataFrame,
    assumptions: Assumptions,
    basis: _Basis,
    effects: pl.DataFrame,
    designs: list[dict[str, Any]],
    months: list[str],
) -> tuple[Account, Told]:
    """The account of what was observed, and what is said beside it."""
    known, handled = _volume(desk, basis.minutes, months, basis.effect)
    issues = find_effect(effects, designs, "issues", minutes=basis.minutes, estimand="ATT")
    contact = _contact_cost(figures, assumptions)
    avoided = _avoided(histories, effects, designs, months)
    there = assumptions.get("cost_per_assisted_contact")
    effect, rate = basis.effect, basis.rate
    absent: dict[str, str] = {}
    if not effect.usable:
        absent["margin"] = effect.reason or "the effect of an answer is not supported"
    elif not rate.value:
        absent["margin"] = "no gross margin is known: set [value] gross_margin or the assumption gross_margin"
    elif basis.minutes is not None:
        absent["net"] = (
            f"the margin is only what answers within {basis.minutes:g} minutes add to later ones, and "
            "the cost that of all answers: an effect of answers against none would tell"
        )
    if not issues.usable or contact is None:
        absent["induced"] = issues.reason or "no cost of a contact is known"
    if avoided is None or there is None:
        absent["avoided"] = (
            f'not measured: a design with outcomes = ["{ASSISTED}"] (interrupted series, experiment) and the '
            "assumption cost_per_assisted_contact would"
        )
    account = Account(
        cases=known,
        handled=handled,
        spend_per_case=Input(value=effect.value or 0.0, std_error=effect.error)
        if effect.usable
        else Input(value=0.0),
        gross_margin=rate,
        issues_per_case=Input(value=issues.value or 0.0, std_error=issues.error) if issues.usable else None,
        cost_per_contact=contact,
        contacts_avoided=avoided.contacts if avoided is not None and there is not None else None,
        avoided=None if avoided is None else avoided.weights,
        cost_per_assisted_contact=None if there is None else Input.assumed(there),
        recontact_share=_recontact(figures, assumptions),
        costs=_costs_by_item(costs, desk, len(months), effect),
        discount_rate=config.value.discount_rate,
        seed=config.seed,
    )
    what = "any answer" if basis.minutes is None else f"answers within {basis.minutes:g} minutes"
    told = Told(
        basis={
            "margin": f"{effect.basis}; {what} to {known.sum():,.0f} matters of known customers{effect.where}"
        }
        | ({"induced": issues.basis} if issues.usable else {})
        | ({} if avoided is None else {"avoided": avoided.basis}),
        absent=absent,
    )
    return account, told


def _volume(desk: Desk, minutes: float | None, months: list[str], effect: CareEffect) -> tuple[Float, Float]:
    """Answered matters that the effect is about, by month: of known customers, and of everybody."""
    view = desk.view()
    about = effect.covers(desk.frame["channel"], desk.groups).to_numpy()
    answered = view.needs & (view["answered"] == 1.0) & about
    if minutes is not None:
        seconds, ended, known_time = view.first_wait(effect.clock)
        answered = answered & ended & known_time & (seconds <= minutes * 60)
    month = desk.frame["month"].to_numpy()
    place = {label: position for position, label in enumerate(months)}
    known, handled = np.zeros(len(months)), np.zeros(len(months))
    for label, is_known in zip(month[answered], view["known_customer"][answered], strict=True):
        if label in place:
            handled[place[label]] += 1.0
            known[place[label]] += float(is_known)
    return known, handled


def _costs_by_item(costs: ChannelCosts, desk: Desk, months: int, effect: CareEffect) -> dict[str, Float]:
    """Costs of the channels whose cases the effect is about, by item and month."""
    channels = (
        desk.frame["channel"].filter(effect.covers(desk.frame["channel"], desk.groups)).unique().to_list()
    )
    rows = costs.by_item.filter(pl.col("channel").is_in(channels))
    found: dict[str, Float] = {}
    for item, month, cost in rows.select("item", "month", "cost").iter_rows():
        by_month = found.setdefault(item or "not named", np.zeros(months))
        if 0 <= month < months:
            by_month[month] += cost
    return dict(sorted(found.items()))


def _whole(figures: pl.DataFrame, kpi: str) -> float | None:
    """A service figure of all matters."""
    cuts = (pl.col(name) == ALL for name in ("channel", "team", "segment", "period"))
    values = figures.filter(pl.col("kpi") == kpi, *cuts)["value"].drop_nulls()
    return float(values[0]) if values.len() else None


def _contact_cost(figures: pl.DataFrame, assumptions: Assumptions) -> Input | None:
    """As measured, else as assumed."""
    measured, assumed = _whole(figures, "cost_per_contact"), assumptions.get("cost_per_contact")
    if measured is not None:
        return Input(value=measured)
    return None if assumed is None else Input.assumed(assumed)


def _recontact(figures: pl.DataFrame, assumptions: Assumptions) -> Input:
    """Share who come back: as assumed, else the share of matters that repeat another."""
    assumed = assumptions.get("recontact_share")
    if assumed is not None:
        return Input.assumed(assumed)
    return Input(value=_whole(figures, "repeat_rate") or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Avoided:
    """Contacts avoided over all of the time after, by what was measured, and how they fall on the months."""

    contacts: Input
    weights: Float | None
    basis: str


def _avoided(
    histories: Histories, effects: pl.DataFrame, designs: list[dict[str, Any]], months: list[str]
) -> _Avoided | None:
    """What a supported design measured; None where none did."""
    if effects.is_empty():
        return None
    rows = effects.filter(
        (pl.col("outcome") == ASSISTED)
        & pl.col("supported")
        & (pl.col("segment") == ALL)
        & (pl.col("estimator") != "naive")
        & pl.col("design").is_in(["interrupted_series", "randomised", "synthetic_control"])
    )
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    steps = int(row["n_treated"])
    contacts = Input(value=-row["estimate"] * steps, std_error=(row["std_error"] or 0.0) * steps)
    basis = f"{row['name']} ({row['design'].replace('_', ' ')})"
    if row["design"] != "interrupted_series":
        return _Avoided(contacts=contacts, weights=None, basis=basis)
    step = next((one.get("series") or "week" for one in designs if one["name"] == row["name"]), "week")
    changes = histories.table("interventions")
    assert changes is not None
    began = changes.filter(pl.col("name") == row["treatment"]).select(pl.col("date").min()).collect().item()
    basis += f': {steps} {step}s after "{row["treatment"]}"'
    return _Avoided(contacts=contacts, weights=_since(began, steps * _STEP_DAYS[step], months), basis=basis)


_STEP_DAYS: Final = {"day": 1, "week": 7, "month": 30}


def _since(first: dt.date, days: int, months: list[str]) -> Float | None:
    """How so many days from the first on fall on the months, summing to 1; None where none does.

    >>> _since(dt.date(2026, 1, 25), 14, ["2025-12", "2026-01", "2026-02"]).tolist()
    [0.0, 0.5, 0.5]
    """
    labels = [(first + dt.timedelta(days=day)).strftime("%Y-%m") for day in range(days)]
    counts = np.array([labels.count(month) for month in months], dtype=np.float64)
    return counts / counts.sum() if counts.sum() else None


def _claimed(
    histories: Histories, figures: pl.DataFrame, assumptions: Assumptions
) -> Iterator[dict[str, Any]]:
    """What is often claimed: self-served matters without an assisted one within a week, at its full price."""
    cases, there = histories.table("cases"), assumptions.value("cost_per_assisted_contact")
    if cases is None or "self_served" not in cases.collect_schema().names():
        return
    columns = cases.collect_schema().names()
    if "customer_id" not in columns:
        return
    frame = cases.select("customer_id", "opened_at", "self_served").collect().drop_nulls("customer_id")
    alone = pl.col("self_served").fill_null(False)
    assisted = frame.filter(~alone).select("customer_id", "opened_at", next_at="opened_at").sort("opened_at")
    served = frame.filter(alone).sort("opened_at")
    if served.is_empty():
        return
    joined = served.join_asof(
        assisted, on="opened_at", by="customer_id", strategy="forward",
        tolerance=dt.timedelta(days=_CLAIM_DAYS),
        check_sortedness=False,
    )  # fmt: skip
    count = joined["next_at"].null_count()
    yield {
        "line": "cost avoided, claimed",
        "value": None if there is None else count * there,
        "unit": "currency",
        "n": count,
        "supported": False,
        "reason": "claimed, not measured: many would not have called"
        + ("" if there is not None else "; no cost_per_assisted_contact is assumed"),
    }


def _measured(account: Account, basis: _Basis, figures: pl.DataFrame, answered: Float) -> dict[str, Input]:
    """What was measured of the things that may have been assumed."""
    months = max(account.cases.size, 1)
    found = {"cases_per_month": Input(value=float(answered.sum()) / months)}
    if account.spent > 0:
        found["cost_per_month"] = Input(value=account.spent / months)
    if basis.effect.usable and basis.effect.outcome == "spend":
        found["spend_per_case"] = account.spend_per_case
    if account.issues_per_case is not None:
        found["issues_per_case"] = account.issues_per_case
    handling, contact = _whole(figures, "handling_time"), _whole(figures, "cost_per_contact")
    if handling is not None:
        found["handling_seconds"] = Input(value=60.0 * handling)
    if contact is not None:
        found["cost_per_contact"] = Input(value=contact)
    return found


def _by_segment(
    account: Account, basis: _Basis, effects: EffectsResult | None, answered: float
) -> Iterator[dict[str, Any]]:
    """Effect, margin, cost and net of each segment of the effect that the margin rests on.

    A case costs what care cost over the `answered` matters.
    """
    if effects is None or not basis.effect.design:
        return
    each = account.spent / answered if answered else 0.0
    rows = effects.frame.filter(
        (pl.col("name") == basis.effect.name)
        & (pl.col("outcome") == basis.effect.outcome)
        & (pl.col("segment") != ALL)
        & (pl.col("estimator") != "naive")
        & (pl.col("bin").is_null() | (pl.col("bin") == ANY_ANSWER))
    ).unique("segment", keep="first", maintain_order=True)
    whose = _OF_ANY if basis.effect.design == "response_curve" else ""
    tests = effects.pictures["tests"].filter(
        (pl.col("name") == basis.effect.name)
        & (pl.col("outcome") == basis.effect.outcome)
        & pl.col("hypothesis").str.starts_with(whose)
    )
    tests = tests.with_columns(pl.col("hypothesis").str.strip_prefix(whose))
    holm = dict(tests.filter(pl.col("p_holm").is_not_null()).select("hypothesis", "p_holm").iter_rows())
    raw = dict(tests.filter(pl.col("p_holm").is_not_null()).select("hypothesis", "p_value").iter_rows())
    for row in rows.iter_rows(named=True):
        yield from _segment_lines(row, basis, each, raw.get(row["segment"]), holm.get(row["segment"]))
    for test in tests.filter(pl.col("test").str.starts_with("equal effects")).iter_rows(named=True):
        yield {
            "line": test["test"],
            "segment": test["hypothesis"],
            "p_value": test["p_value"],
            "basis": basis.effect.basis,
        }


def _segment_lines(
    row: Mapping[str, Any], basis: _Basis, each: float, p_value: float | None, p_holm: float | None
) -> Iterator[dict[str, Any]]:
    n, rate, cost = int(row["n_treated"]), basis.rate.value, each * int(row["n_treated"])
    usable = bool(row["supported"]) and row["estimate"] is not None and basis.rate.value > 0
    about = {
        "segment": row["segment"], "n": n, "supported": usable, "basis": basis.effect.basis,
        "reason": None if usable else row["reason"],
    }  # fmt: skip
    ends = [row[end] if usable else None for end in ("estimate", "low", "high")]
    margin = [None if x is None else x * rate * n for x in ends]
    partial = basis.minutes is not None
    net = [None if x is None or partial else x - cost for x in margin]
    roi = [None if x is None or not cost else x / cost for x in net]
    tested = {"p_value": p_value, "p_holm": p_holm}
    yield about | _ends("effect per case", "currency", ends) | tested
    yield about | _ends("incremental margin", "currency", margin)
    yield about | {"line": "cost", "unit": "currency", "value": cost, "supported": True, "reason": None}
    if partial and usable:
        about |= {"supported": False, "reason": "the margin is that of fast answers, the cost that of all"}
    yield about | _ends("net", "currency", net)
    yield about | _ends("roi", "share", roi)


def _ends(line: str, unit: str, ends: list[Any]) -> dict[str, Any]:
    value, low, high = ends
    level = None if low is None else 0.95
    return {"line": line, "unit": unit, "value": value, "low": low, "high": high, "interval_level": level}


def _assumption_notes(assumptions: Assumptions, wrong: Mapping[str, str]) -> Iterator[str]:
    expired = assumptions.expired(one.name for one in assumptions)
    if expired:
        yield (
            f"returns: {len(expired)} of {len(assumptions.by_name)} assumptions had expired by "
            f"{assumptions.as_of}: {', '.join(expired)}."
        )
    for name, words in wrong.items():
        yield f"returns: the assumption {name} is refuted: {words}."
