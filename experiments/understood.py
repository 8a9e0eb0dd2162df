"""What the checks understood of the tables, so that a wrong reading is seen before anything is computed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import polars as pl

from attribution.effects.data.unit_table import read_table
from experiments.config import RunConfig
from histories.errors import TributaryError
from histories.money import to_currency
from histories.reading.inputs import Inputs
from histories.reading.plausibility import observed_days

CHANNELS_SHOWN = 8
_REPLY_TIMES = ("first_response_at", "first_response_minutes", "resolved_at", "resolution_minutes")
"""Columns of cases that show that somebody answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A company as its valid rows show it; None where no table says so.

    Attributes
    ----------
    customers
        Distinct customers with a transaction; without transactions, with a touch.
    first_day, last_day
        Of transactions, touches and cases.
    revenue
        Sum of all amounts, refunds taken off, in `currency`.
    touches_of_buyers
        Share of touches whose customer has a transaction.
    channels
        Touches by channel, the most used first.
    cases_with_reply
        Share of cases with first_response_at.
    effects
        Of each effect with a table of its own, the units by arm.
    """

    customers: int | None = None
    transactions: int | None = None
    first_day: date | None = None
    last_day: date | None = None
    revenue: float | None = None
    currency: str | None = None
    touches: int | None = None
    touches_of_buyers: float | None = None
    channels: dict[str, int] = field(default_factory=dict)
    cases: int | None = None
    cases_with_reply: float | None = None
    effects: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the names of the attributes."""
        return asdict(self)

    def to_frame(self) -> pl.DataFrame:
        """Columns figure and value, both text: what is known, in the order of reading."""
        lines = [
            ("customers", _count(self.customers)),
            ("transactions", _count(self.transactions)),
            ("first and last day", f"{self.first_day} to {self.last_day}" if self.first_day else None),
            (
                "revenue",
                None if self.revenue is None else f"{self.revenue:,.2f} {self.currency or ''}".strip(),
            ),
            ("touches", _count(self.touches)),
            ("touches whose customer bought", _share(self.touches_of_buyers)),
            ("channels", _channels(self.channels)),
            ("cases", _count(self.cases)),
            ("cases with a reply", _share(self.cases_with_reply)),
        ]
        lines += [(f"units of {name}", _arms(arms)) for name, arms in self.effects.items()]
        known = [line for line in lines if line[1] is not None]
        return pl.DataFrame(known, schema={"figure": pl.String, "value": pl.String}, orient="row")


def understand(inputs: Inputs, config: RunConfig | None = None) -> Understood:
    """Count what a reader can compare with what he knows of the company."""
    transactions, touches, cases = (inputs.get(name) for name in ("transactions", "touchpoints", "cases"))
    sums: dict[str, Any] = {}
    if transactions is not None:
        customer, amount = pl.col("customer_id"), pl.col("amount")
        found = transactions.select(customer.n_unique(), to_currency(amount.sum()).alias("revenue"), pl.len())
        customers, revenue, rows = found.collect().row(0)
        sums |= {"customers": customers, "revenue": float(revenue), "transactions": rows}
    if touches is not None:
        sums |= _of_touches(touches, transactions)
        sums.setdefault("customers", touches.select(pl.col("customer_id").n_unique()).collect().item())
    if cases is not None:
        answered = [
            pl.col(name).is_not_null() for name in _REPLY_TIMES if name in inputs.tables["cases"].columns
        ]
        answered += (
            [pl.col("answered").fill_null(False)] if "answered" in inputs.tables["cases"].columns else []
        )
        replies = pl.any_horizontal(answered).mean() if answered else pl.lit(0.0)
        rows, share = cases.select(pl.len(), replies.alias("share")).collect().row(0)
        sums |= {"cases": rows, "cases_with_reply": share if rows else None}
    first, last = observed_days(inputs) or (None, None)
    effects = {} if config is None else _units_by_arm(config)
    return Understood(first_day=first, last_day=last, currency=inputs.currency, effects=effects, **sums)


def _units_by_arm(config: RunConfig) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for effect in config.effects:
        column = effect.treatment.column
        if effect.table is None or column is None:
            continue
        try:
            arms = read_table(effect, config.base_dir)[column].cast(pl.String).drop_nulls()
        except (TributaryError, pl.exceptions.PolarsError):
            continue  # the check of the run says what is wrong
        found[effect.name] = dict(arms.value_counts(sort=True).head(CHANNELS_SHOWN).iter_rows())
    return found


def _of_touches(touches: pl.LazyFrame, transactions: pl.LazyFrame | None) -> dict[str, Any]:
    counted = touches.group_by("channel").len().sort("len", "channel", descending=[True, False]).collect()
    total = int(counted["len"].sum())
    found: dict[str, Any] = {"touches": total, "channels": dict(counted.iter_rows())}
    if transactions is not None and total:
        buyers = transactions.select("customer_id").unique()
        of_buyers = touches.join(buyers, on="customer_id", how="semi").select(pl.len()).collect().item()
        found["touches_of_buyers"] = of_buyers / total
    return found


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"


def _arms(arms: dict[str, int]) -> str:
    counted = ", ".join(f"{name} ({units:,})" for name, units in arms.items())
    return f"{sum(arms.values()):,}: {counted}"


def _channels(channels: dict[str, int]) -> str | None:
    if not channels:
        return None
    shown = ", ".join(f"{name} ({touches:,})" for name, touches in list(channels.items())[:CHANNELS_SHOWN])
    more = len(channels) - CHANNELS_SHOWN
    return f"{len(channels)}: {shown}{f' and {more} more' if more > 0 else ''}"
