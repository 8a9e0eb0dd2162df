"""The statement of care: rows of the table `returns`, plan beside actual, and why they differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from care.account import Account, Input, Total
from care.assumptions import Assumption, Assumptions
from care.evidence import LEVEL
from care.tables import RETURNS_SCHEMA
from histories.cuts import ALL

Scenario = Literal["actual", "plan", "difference"]

PLAN: Final = ("cases_per_month", "spend_per_case")
"""Assumptions without which there is no plan; a cost comes with them."""

_LINES: Final = {
    "margin": "incremental margin",
    "avoided": "cost avoided",
    "induced": "induced contacts",
    "cost": "cost",
    "net": "net",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said beside an account's figures.

    Attributes
    ----------
    basis
        What a line rests on, by the names of `Account.lines`.
    absent
        Why a line is not there. Without a margin there is no net and no return either; the other lines
        count as 0 then.
    """

    basis: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


def returns_table(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows in `RETURNS_SCHEMA`; what a row does not say is null, its cut all, its scenario actual."""
    usual: dict[str, Any] = dict.fromkeys(RETURNS_SCHEMA) | {
        "scenario": "actual",
        "segment": ALL,
        "period": ALL,
        "counted": False,
        "supported": True,
    }
    return pl.DataFrame([usual | dict(row) for row in rows], schema=RETURNS_SCHEMA)


def account_rows(
    account: Account, months: Sequence[str], *, scenario: Scenario = "actual", told: Told | None = None
) -> Iterator[dict[str, Any]]:
    """Every line by month, cumulated, and in all; then the figures of the return."""
    told = told or Told()
    lines = {name: rows[0] for name, rows in account.lines().items()}
    unsaid = _unsaid(told)
    for name, title in _LINES.items():
        about: dict[str, Any] = {
            "scenario": scenario,
            "line": title,
            "unit": "currency",
            "basis": told.basis.get(name),
        }
        if name in unsaid:
            yield about | {"supported": False, "reason": unsaid[name]}
            continue
        about["counted"] = name != "net"
        total = account.total(name)
        uncertain = total.low < total.high
        yield about | {
            "value": total.value,
            "low": total.low if uncertain else None,
            "high": total.high if uncertain else None,
            "interval_level": LEVEL if uncertain else None,
        }
        so_far = np.cumsum(lines[name]) - (account.outlay if name == "net" else 0.0)
        for month, value, cumulated in zip(months, lines[name], so_far, strict=True):
            yield about | {"period": month, "value": float(value), "cumulated": float(cumulated)}
    if account.outlay:
        yield {
            "scenario": scenario,
            "line": "outlay",
            "unit": "currency",
            "value": account.outlay,
            "counted": True,
        }
    yield from _items(account, months, scenario)
    yield from _figures(account, scenario, unsaid)


def _unsaid(told: Told) -> dict[str, str]:
    """Lines that cannot be said, and why; without a margin there is no net."""
    unsaid = dict(told.absent)
    if "margin" in unsaid:
        unsaid["net"] = unsaid["margin"]
    return unsaid


def _items(account: Account, months: Sequence[str], scenario: Scenario) -> Iterator[dict[str, Any]]:
    """Costs by item, where there is more than one, as parts of the cost."""
    if len(account.costs) < 2:
        return
    for item, by_month in account.costs.items():
        about = {"scenario": scenario, "line": f"cost: {item}", "unit": "currency"}
        yield about | {"value": float(by_month.sum())}
        for month, value, cumulated in zip(months, by_month, np.cumsum(by_month), strict=True):
            yield about | {"period": month, "value": float(value), "cumulated": float(cumulated)}


def _figures(account: Account, scenario: Scenario, unsaid: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """ROI, present value, payback, break-even, chance; nothing is discounted but what says so."""
    reason = unsaid.get("net")
    late = "the net has not covered the outlay by the end"
    once = "the flows turn their sign more or less than once"
    free = "there is no cost"
    roi = None if reason else account.roi()
    figures: list[tuple[str, str, Any, str]] = [
        ("roi", "share", roi, free),
        ("npv", "currency", None if reason else account.present_value(), ""),
        ("payback", "months", None if reason else account.payback(), late),
        ("discounted payback", "months", None if reason else account.payback(discounted=True), late),
        ("internal rate", "share a month", None if reason else account.internal_rate(), once),
        ("chance above 0", "share", None if reason else account.chance(), ""),
    ]
    for line, unit, figure, otherwise in figures:
        ends = figure if isinstance(figure, Total) else None
        value = ends.value if ends else figure
        yield {
            "scenario": scenario,
            "line": line,
            "unit": unit,
            "value": value,
            "low": ends.low if ends else None,
            "high": ends.high if ends else None,
            "interval_level": LEVEL if ends else None,
            "supported": reason is None,
            "reason": reason or (otherwise if value is None else None),
        }
    partial = unsaid.get("net") if "margin" not in unsaid else None  # other cases than those of the cost
    needed = None if partial else account.break_even_effect()
    yield {
        "scenario": scenario,
        "line": "break-even spend per case",
        "unit": "currency",
        "value": needed,
        "supported": partial is None,
        "reason": partial
        or (None if needed is not None else "no case of a known customer, or no gross margin"),
    }


def tornado_frame(account: Account) -> pl.DataFrame:
    """name, at_low, at_high (net, in currency) of the five inputs that move it most, the largest first."""
    rows = [(swing.name, swing.at_low, swing.at_high) for swing in account.tornado()]
    return pl.DataFrame(
        rows, schema={"name": pl.String, "at_low": pl.Float64, "at_high": pl.Float64}, orient="row"
    )


def plan_account(
    assumptions: Assumptions,
    *,
    gross_margin: float | None,
    discount_rate: float,
    months: int | None = None,
    seed: int = 1,
) -> Account | str | None:
    """The account from assumptions alone; what it lacks, in words; None where nothing is planned.

    `months` are those of the observation, once there is one.
    """
    if not any(name in assumptions for name in (*PLAN, "cost_per_month", "cost_at_start")):
        return None
    margin = assumptions.get("gross_margin")
    lacking = [name for name in PLAN if name not in assumptions]
    if gross_margin is None and margin is None:
        lacking.append("gross_margin")
    if not ({"cost_per_month", "cost_at_start"} & set(assumptions.by_name)):
        lacking.append("cost_per_month")
    if lacking:
        return f"a plan needs the assumptions {', '.join(lacking)} as well"
    length = months or round(assumptions.value("plan_months") or 12)
    ones = np.ones(length)

    def given(name: str) -> Input | None:
        found = assumptions.get(name)
        return None if found is None else Input.assumed(found)

    cost = given("cost_per_month") or Input(value=0.0)
    saved = given("contacts_avoided_per_month")
    return Account(
        cases=ones,
        case_scale=given("cases_per_month") or Input(value=0.0),
        spend_per_case=given("spend_per_case") or Input(value=0.0),
        gross_margin=Input.assumed(margin)
        if gross_margin is None and margin
        else Input(value=gross_margin or 0.0),
        issues_per_case=given("issues_per_case"),
        cost_per_contact=given("cost_per_contact"),
        contacts_avoided=None if saved is None else _over(saved, length),
        cost_per_assisted_contact=given("cost_per_assisted_contact"),
        recontact_share=given("recontact_share") or Input(value=0.0),
        costs={"plan": ones},
        cost_scale=cost,
        outlay=assumptions.value("cost_at_start") or 0.0,
        discount_rate=discount_rate,
        seed=seed,
    )


def _over(monthly: Input, months: int) -> Input:
    low, high = monthly.ends
    return Input(value=monthly.value * months, low=low * months, high=high * months)


def difference_rows(actual: Account, plan: Account) -> Iterator[dict[str, Any]]:
    """Net of the actual less that of the plan, by cause; the three add up.

    Volume: more or fewer cases, each worth what was planned. Effect: each worth more or less than planned,
    contacts avoided included. Cost: what was spent.
    """
    (n, worth, other, cost), (n_plan, worth_plan, other_plan, cost_plan) = _parts(actual), _parts(plan)
    causes = {
        "volume": (n - n_plan) * worth_plan,
        "effect": n * (worth - worth_plan) + other - other_plan,
        "cost": cost_plan - cost,
    }
    for cause, value in causes.items():
        yield {"scenario": "difference", "line": cause, "unit": "currency", "value": value, "counted": True}
    yield {"scenario": "difference", "line": "net", "unit": "currency", "value": sum(causes.values())}


def _parts(account: Account) -> tuple[float, float, float, float]:
    """Cases, margin less induced contacts of each, contacts avoided, cost with outlay."""
    lines = {name: float(rows.sum()) for name, rows in account.lines().items()}
    n = float(account.cases.sum()) * account.case_scale.value
    worth = (lines["margin"] - lines["induced"]) / n if n else 0.0
    return n, worth, lines["avoided"], account.spent


def refuted(assumptions: Assumptions, measured: Mapping[str, Input]) -> dict[str, str]:
    """Assumptions whose range measurement lies outside of, with both in words.

    An estimate refutes with its whole interval, a count by itself.

    >>> import datetime as dt
    >>> row = {"name": "spend_per_case", "value": 9.0, "low": 8.0, "high": 10.0}
    >>> taken = Assumptions.of([row], dt.date(2026, 1, 1))
    >>> refuted(taken, {"spend_per_case": Input(value=6.0, std_error=0.5)})
    {'spend_per_case': 'assumed 8 to 10, measured 6 [5.02, 6.98]'}
    >>> refuted(taken, {"spend_per_case": Input(value=6.0, std_error=1.5)})
    {}
    """
    found = {}
    for name, figure in measured.items():
        assumed: Assumption | None = assumptions.get(name)
        low, high = figure.ends
        if assumed is None or (low <= assumed.high and high >= assumed.low):
            continue
        ends = f" [{low:.3g}, {high:.3g}]" if low < high else ""
        found[name] = f"assumed {assumed.low:g} to {assumed.high:g}, measured {figure.value:.3g}{ends}"
    return found
