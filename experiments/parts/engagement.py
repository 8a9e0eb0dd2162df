"""Customers by more than what they buy: whom they brought, whom they helped, whose words carry. To rank by.

    knowledge_value = answers to other customers x (1 - s) x cost of a contact

with s the share of them that the desk has answered or would have answered all the same, an assumption: what
others need not be told by the desk any more (Kumar et al. 2010; of knowledge only this part leaves a trace).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from care.assumptions import Assumptions
from care.audience import WEIGHTS, audience_index
from clv.referrals import ENGAGEMENT_SCHEMA, REFERRAL_COLUMNS, referral_values
from experiments.parts.accounting import whole_figure
from experiments.parts.histories import Histories
from experiments.parts.matters import AllCases
from experiments.parts.part import Part

ANYWAY: Final = "would_have_come_anyway"
ANSWERED_ANYWAY: Final = "would_have_been_answered_anyway"


def engagement_part(
    histories: Histories,
    customers: pl.DataFrame | None,
    cases: AllCases | None,
    figures: pl.DataFrame | None = None,
) -> Part:
    """The table `engagement`: everybody who referred somebody or wrote in public, where customers are valued.

    `figures` are those of service, with the cost of a contact.
    """
    people = histories.customers
    if customers is None:
        return Part()
    has_referrals = (
        people is not None and "referred_by" in people.columns and people["referred_by"].count() > 0
    )
    members = None if cases is None else cases.members
    if not has_referrals and (members is None or members.is_empty()):
        return Part()
    rows = histories.table("assumptions")
    assumed = Assumptions.of(
        [] if rows is None else rows.collect().to_dicts(), histories.inputs.observation_end
    )
    notes: list[str] = []
    parts = []
    if has_referrals and people is not None:
        parts.append(_referrals(assumed, people, customers, notes))
    if members is not None and not members.is_empty():
        told, firm = audience_index(members)
        weights = ", ".join(f"{name} {weight:g}" for name, weight in WEIGHTS.items() if told[name].count())
        notes.append(
            f"audience index: {told.height:,} customers who wrote in public, by weights {weights}; with "
            f"weights a fifth larger or smaller the order keeps a rank correlation of {firm:.2f} or more."
        )
        told = _knowledge(told, assumed, figures, notes)
        known = [name for name in ENGAGEMENT_SCHEMA if name.startswith("knowledge_value")]
        parts.append(told.select("customer_id", "posts", "followers", "answers", *known, "audience_index"))
    table = parts[0]
    for part in parts[1:]:
        table = table.join(part, on="customer_id", how="full", coalesce=True)
    return Part(tables={"engagement": _ranked(table, customers)}, notes=tuple(notes))


def _knowledge(
    members: pl.DataFrame, assumed: Assumptions, figures: pl.DataFrame | None, notes: list[str]
) -> pl.DataFrame:
    """The members with what their answers to others spared the desk."""
    share, price = assumed.get(ANSWERED_ANYWAY), assumed.value("cost_per_contact")
    if figures is not None:
        price = whole_figure(figures, "cost_per_contact") or price
    answers = int(members["answers"].sum() or 0)
    ends = ("", "_low", "_high")
    if share is None or price is None or not answers:
        if answers:
            lacking = f"the assumption {ANSWERED_ANYWAY}" if share is None else "a cost of a contact"
            notes.append(
                f"knowledge: customers answered others {answers:,} times; what that is worth needs {lacking}."
            )
        return members.with_columns(pl.lit(None, pl.Float64).alias(f"knowledge_value{end}") for end in ends)
    parts = {
        end: (1.0 - s) * price for end, s in zip(ends, (share.value, share.high, share.low), strict=True)
    }
    worth, low, high = (answers * parts[end] for end in ends)
    notes.append(
        f"knowledge: customers answered others {answers:,} times, worth {worth:,.0f} [{low:,.0f}, "
        f"{high:,.0f}] if {share.value:.0%} would have been answered by the desk anyway; for ranking only."
    )
    return members.with_columns(
        (pl.col("answers") * each).alias(f"knowledge_value{end}") for end, each in parts.items()
    )


def _referrals(
    assumed: Assumptions, people: pl.DataFrame, customers: pl.DataFrame, notes: list[str]
) -> pl.DataFrame:
    share = assumed.get(ANYWAY)
    ends = (1.0, 1.0, 1.0) if share is None else (share.value, share.low, share.high)
    found = referral_values(people, customers, anyway=ends)
    came = int(found["referred"].sum())
    if share is None:
        notes.append(
            f"referrals: {came:,} customers came by {found.height:,} others; what that is worth needs the "
            f"assumption {ANYWAY}, the share of them who would have come without it."
        )
        return found.with_columns(pl.lit(None, pl.Float64).alias(name) for name in REFERRAL_COLUMNS[1:])
    total, low, high = (float(found[name].sum()) for name in REFERRAL_COLUMNS[1:])
    notes.append(
        f"referrals: {came:,} customers came by {found.height:,} others, worth {total:,.0f} [{low:,.0f}, "
        f"{high:,.0f}] if {share.value:.0%} of them would have come anyway; for ranking, since each is "
        "counted with the customer as well."
    )
    return found


def _ranked(table: pl.DataFrame, customers: pl.DataFrame) -> pl.DataFrame:
    """The table in its schema, with both ranks among these customers."""
    worth = table.join(
        customers.select("customer_id", "customer_lifetime_value"), on="customer_id", how="left"
    )
    absent = [
        pl.lit(None, dtype).alias(name)
        for name, dtype in ENGAGEMENT_SCHEMA.items()
        if name not in worth.columns
    ]
    worth = worth.with_columns(absent)
    own = pl.col("customer_lifetime_value").fill_null(0.0)
    engaged = own + pl.col("referral_value").fill_null(0.0) + pl.col("knowledge_value").fill_null(0.0)
    kept = dict(ENGAGEMENT_SCHEMA) | {"customer_id": table.schema["customer_id"]}
    return (
        worth.with_columns(
            own.rank("min", descending=True).alias("rank_by_value"),
            engaged.rank("min", descending=True).alias("rank_engaged"),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in kept.items())
        .sort("rank_engaged", "customer_id")
    )
