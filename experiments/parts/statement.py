"""What care returned by month and segment, what silence cost, and the plan beside it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from attribution.effects.findings import EffectsResult
from care.account import Account, Input
from care.asking import CASES_COLUMNS, CareFacts, course_of
from care.assumptions import Assumptions
from care.curve import effects_by_speed
from care.evidence import ANY_ANSWER, CareEffect, margin_effect
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
from experiments.parts.accounting import (
    Basis,
    actual_account,
    basis_of,
    claimed_inputs,
    margin_rate,
    measured_inputs,
    months_of,
    volume_of,
)
from experiments.parts.care import CarePart
from experiments.parts.costs import ChannelCosts
from experiments.parts.histories import Histories
from experiments.parts.part import Part
from histories.cuts import ALL
from histories.errors import ConfigError

_OF_ANY: Final = "any answer: "  # before the hypotheses of a curve's row of any answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Part):
    """The table `returns`, its pictures, and assumptions that measurement contradicts, both in words."""

    refuted: Mapping[str, str] = field(default_factory=dict)


def statement_part(
    config: RunConfig,
    histories: Histories,
    costs: ChannelCosts,
    care: CarePart,
    effects: EffectsResult | None,
) -> Statement:
    """Rows of all that can be said; nothing where there is neither a desk nor a plan.

    Parameters
    ----------
    config, histories, costs
        Of the run.
    care
        Matters, figures and cases, as far as there are any.
    effects
        Of the run; None without a design.
    """
    desk, figures, cases = care.desk, care.tables.get("care"), care.cases
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
    months = months_of(histories, costs)
    if desk is not None and figures is not None:
        lines += _silence(desk, found, designs, margin_rate(config, assumptions).value or None)
        basis = basis_of(config, assumptions, found, designs)
        account, told = actual_account(
            config, histories, costs, desk, figures, assumptions, basis, found, designs, months
        )
        answered = volume_of(desk, None, months, basis.effect)
        measured = measured_inputs(account, basis, figures, answered[0])
        if account.spent > 0:
            lines += account_rows(account, months, told=told)
            segments = basis_of(config, assumptions, found, [d for d in designs if d["segments"]])
            lines += _by_segment(account, segments, effects, float(answered[1].sum()))
            if not {"margin", "net"} & set(told.absent):
                actual, pictures["tornado"] = account, tornado_frame(account)
        else:
            left_out["returns"] = "no cost of a channel with cases is known"
        lines += claimed_inputs(histories, figures, assumptions)
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
        return Statement()
    wrong = refuted(assumptions, measured)
    notes += _assumption_notes(assumptions, wrong)
    if desk is not None and figures is not None and cases is not None:
        asked = cases.select(*CASES_COLUMNS, "opened_at").collect().sort("opened_at", "case_id")
        pictures |= _what_if(config, assumptions.as_of, rows, figures, asked, found)
    return Statement(
        tables={"returns": returns_table(lines)},
        pictures=pictures,
        notes=tuple(notes),
        refuted=wrong,
        left_out=left_out,
    )


def _silence(
    desk: Desk, effects: pl.DataFrame, designs: list[dict[str, Any]], gross_margin: float | None
) -> Iterator[dict[str, Any]]:
    """What silence cost: by the effect of any answer, and by speed where a curve tells it."""
    view = desk.view()

    def lines(effect: CareEffect, segment: str = ALL) -> Iterator[dict[str, Any]]:
        about = effect.covers(desk.column("channel"), desk.groups).to_numpy()
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


def _by_segment(
    account: Account, basis: Basis, effects: EffectsResult | None, answered: float
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
    row: Mapping[str, Any], basis: Basis, each: float, p_value: float | None, p_holm: float | None
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
