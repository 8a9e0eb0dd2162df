"""What the account of care is made of: months, rate, volume, costs, and what was avoided."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from care.account import Account, Input
from care.assumptions import Assumptions
from care.evidence import CareEffect, find_effect
from care.statement import Told
from care.view import Desk
from experiments.config import RunConfig
from experiments.parts.costs import ChannelCosts
from experiments.parts.histories import Histories
from histories.arrays import Float
from histories.cuts import ALL
from histories.reading.plausibility import observed_days

ASSISTED: Final = "assisted_contacts"
"""Outcome of a design that measures contacts which self-service or social care takes the place of."""
_CLAIM_DAYS: Final = 7
_STEP_DAYS: Final = {"day": 1, "week": 7, "month": 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Which effect the margin rests on, and the minutes within which an answer is one (None: any)."""

    effect: CareEffect
    minutes: float | None
    rate: Input


def months_of(histories: Histories, costs: ChannelCosts) -> list[str]:
    """Labels of the months of the observation."""
    days = observed_days(histories.inputs)
    if days is None:
        return []
    first, last = days[0], histories.inputs.observation_end
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    start = first.year * 12 + first.month - 1
    return [f"{(start + k) // 12:04d}-{(start + k) % 12 + 1:02d}" for k in range(count)]


def margin_rate(config: RunConfig, assumptions: Assumptions) -> Input:
    """The gross margin: configured, else assumed, else 0."""
    assumed = assumptions.get("gross_margin")
    if config.value.gross_margin is not None:
        return Input(value=config.value.gross_margin)
    return Input(value=0.0) if assumed is None else Input.assumed(assumed)


def basis_of(
    config: RunConfig, assumptions: Assumptions, effects: pl.DataFrame, designs: list[dict[str, Any]]
) -> Basis:
    """The effect of an answer at all, else of one within the promise, else of one within any limit."""
    limits: list[float | None] = [None]
    limits += [one.within_minutes for one in config.care.promises if one.kpi == "first_response"]
    limits += [
        limit for one in designs if (limit := (one.get("treatment") or {}).get("first_response_minutes"))
    ]
    rate = margin_rate(config, assumptions)
    candidates = []
    for minutes in dict.fromkeys(limits):
        own = find_effect(effects, designs, "margin", minutes=minutes, estimand="ATT")
        if own.usable:
            return Basis(effect=own, minutes=minutes, rate=Input(value=1.0))
        spend = find_effect(effects, designs, "spend", minutes=minutes, estimand="ATT")
        if spend.usable and rate.value:
            return Basis(effect=spend, minutes=minutes, rate=rate)
        candidates.append(Basis(effect=spend, minutes=minutes, rate=rate))
    estimated = [one for one in candidates if one.effect.design]
    return (estimated or candidates)[0]


def actual_account(
    config: RunConfig,
    histories: Histories,
    costs: ChannelCosts,
    desk: Desk,
    figures: pl.DataFrame,
    assumptions: Assumptions,
    basis: Basis,
    effects: pl.DataFrame,
    designs: list[dict[str, Any]],
    months: list[str],
) -> tuple[Account, Told]:
    """The account of what was observed, and what is said beside it."""
    known, handled = volume_of(desk, basis.minutes, months, basis.effect)
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


def volume_of(
    desk: Desk, minutes: float | None, months: list[str], effect: CareEffect
) -> tuple[Float, Float]:
    """Answered matters that the effect is about, by month: of known customers, and of everybody."""
    view = desk.view()
    about = effect.covers(desk.column("channel"), desk.groups).to_numpy()
    answered = view.needs & (view["answered"] == 1.0) & about
    if minutes is not None:
        seconds, ended, known_time = view.first_wait(effect.clock)
        answered = answered & ended & known_time & (seconds <= minutes * 60)
    known = answered & view["known_customer"]
    within = [desk.among("month", [month]) for month in months]
    return (
        np.array([float((known & month).sum()) for month in within]),
        np.array([float((answered & month).sum()) for month in within]),
    )


def _costs_by_item(costs: ChannelCosts, desk: Desk, months: int, effect: CareEffect) -> dict[str, Float]:
    """Costs of the channels whose cases the effect is about, by item and month."""
    channels = (
        desk.column("channel").filter(effect.covers(desk.column("channel"), desk.groups)).unique().to_list()
    )
    rows = costs.by_item.filter(pl.col("channel").is_in(channels))
    found: dict[str, Float] = {}
    for item, month, cost in rows.select("item", "month", "cost").iter_rows():
        by_month = found.setdefault(item or "not named", np.zeros(months))
        if 0 <= month < months:
            by_month[month] += cost
    return dict(sorted(found.items()))


def whole_figure(figures: pl.DataFrame, kpi: str) -> float | None:
    """A service figure of all matters."""
    cuts = (pl.col(name) == ALL for name in ("channel", "team", "segment", "period"))
    values = figures.filter(pl.col("kpi") == kpi, *cuts)["value"].drop_nulls()
    return float(values[0]) if values.len() else None


def _contact_cost(figures: pl.DataFrame, assumptions: Assumptions) -> Input | None:
    """As measured, else as assumed."""
    measured, assumed = whole_figure(figures, "cost_per_contact"), assumptions.get("cost_per_contact")
    if measured is not None:
        return Input(value=measured)
    return None if assumed is None else Input.assumed(assumed)


def _recontact(figures: pl.DataFrame, assumptions: Assumptions) -> Input:
    """Share who come back: as assumed, else the share of matters that repeat another."""
    assumed = assumptions.get("recontact_share")
    if assumed is not None:
        return Input.assumed(assumed)
    return Input(value=whole_figure(figures, "repeat_rate") or 0.0)


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


def _since(first: dt.date, days: int, months: list[str]) -> Float | None:
    """How so many days from the first on fall on the months, summing to 1; None where none does.

    >>> _since(dt.date(2026, 1, 25), 14, ["2025-12", "2026-01", "2026-02"]).tolist()
    [0.0, 0.5, 0.5]
    """
    labels = [(first + dt.timedelta(days=day)).strftime("%Y-%m") for day in range(days)]
    counts = np.array([labels.count(month) for month in months], dtype=np.float64)
    return counts / counts.sum() if counts.sum() else None


def claimed_inputs(
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


def measured_inputs(
    account: Account, basis: Basis, figures: pl.DataFrame, answered: Float
) -> dict[str, Input]:
    """What was measured of the things that may have been assumed."""
    months = max(account.cases.size, 1)
    found = {"cases_per_month": Input(value=float(answered.sum()) / months)}
    if account.spent > 0:
        found["cost_per_month"] = Input(value=account.spent / months)
    if basis.effect.usable and basis.effect.outcome == "spend":
        found["spend_per_case"] = account.spend_per_case
    if account.issues_per_case is not None:
        found["issues_per_case"] = account.issues_per_case
    handling, contact = whole_figure(figures, "handling_time"), whole_figure(figures, "cost_per_contact")
    if handling is not None:
        found["handling_seconds"] = Input(value=60.0 * handling)
    if contact is not None:
        found["cost_per_contact"] = Input(value=contact)
    return found
