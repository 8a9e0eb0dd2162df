"""The tables that customer value leaves in a bundle; each column of customers is declared here, once.

From a declaration follow the table's schema, the service's requests, answers, sort orders and short
filters, and the reference of `docs/tables.md`. A column with a `formula` needs nothing else: it is worked out
wherever a customers table is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import polars as pl


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes
    ----------
    unit
        "currency", "share" (0 to 1), "purchases", "days", "time_unit" (day or week, as the run says), or
        nothing.
    words
        What it means, as a sentence.
    sortable
        Whether lists are ordered by it without sorting on request.
    filterable
        Whether a query has short forms for it, `min_<name>` and `max_<name>`.
    example
        A value, as JSON has it, for documentation.
    formula
        The column from the ones before it, where it is no more than that.
    """

    name: str
    dtype: pl.DataType
    words: str
    unit: str = ""
    sortable: bool = False
    filterable: bool = False
    example: str | float | None = None
    formula: pl.Expr | None = None


_TEXT, _DAY, _WHOLE, _NUMBER = pl.String(), pl.Date(), pl.Int64(), pl.Float64()
_VALUE = pl.col("customer_lifetime_value")

CUSTOMERS: Final = (
    Column(name="customer_id", example="17", dtype=_TEXT, words="The id; in the type of the input."),
    Column(name="first_purchase", example="2025-11-03", dtype=_DAY, words="Day of the first purchase."),
    Column(
        name="frequency",
        example=3,
        dtype=_WHOLE,
        unit="purchases",
        filterable=True,
        words="Repeat purchases: the first is not counted.",
    ),
    Column(
        name="recency",
        example=20.4,
        dtype=_NUMBER,
        unit="time_unit",
        words="Time from first to last purchase, in time_unit.",
    ),
    Column(
        name="T",
        example=34.1,
        dtype=_NUMBER,
        unit="time_unit",
        words="Time from first purchase to as_of, in time_unit.",
    ),
    Column(
        name="monetary_value",
        example=42.5,
        dtype=_NUMBER,
        unit="currency",
        words="Mean value of repeat purchases, in currency; null at none.",
    ),
    Column(
        name="probability_alive",
        example=0.81,
        dtype=_NUMBER,
        unit="share",
        sortable=True,
        filterable=True,
        words="Belief that the customer can still buy.",
    ),
    Column(
        name="churn_probability",
        example=0.27,
        dtype=_NUMBER,
        unit="share",
        sortable=True,
        filterable=True,
        words="Probability of no purchase within the horizon.",
    ),
    Column(
        name="expected_purchases",
        example=4.2,
        dtype=_NUMBER,
        unit="purchases",
        sortable=True,
        words="Expected purchases within the horizon.",
    ),
    Column(
        name="expected_purchases_low",
        example=1.0,
        dtype=_NUMBER,
        unit="purchases",
        words="Lower end of the predictive interval.",
    ),
    Column(
        name="expected_purchases_high",
        example=9.0,
        dtype=_NUMBER,
        unit="purchases",
        words="Upper end of the predictive interval.",
    ),
    Column(
        name="expected_spend",
        example=41.9,
        dtype=_NUMBER,
        unit="currency",
        words="Expected revenue per purchase, in currency.",
    ),
    Column(
        name="customer_lifetime_value",
        example=76.3,
        dtype=_NUMBER,
        unit="currency",
        sortable=True,
        filterable=True,
        words="Expected discounted margin of future purchases within the horizon, in currency.",
    ),
    Column(
        name="customer_lifetime_value_low",
        example=18.2,
        dtype=_NUMBER,
        unit="currency",
        words="Lower end of its interval.",
    ),
    Column(
        name="customer_lifetime_value_high",
        example=163.5,
        dtype=_NUMBER,
        unit="currency",
        words="Upper end of its interval.",
    ),
    Column(
        name="historic_value",
        example=68.0,
        dtype=_NUMBER,
        unit="currency",
        sortable=True,
        words="Margin so far, undiscounted, in currency.",
    ),
    Column(
        name="total_value",
        example=144.3,
        dtype=_NUMBER,
        unit="currency",
        sortable=True,
        words="Historic plus lifetime value, in currency.",
        formula=pl.col("historic_value") + _VALUE.fill_null(0.0),
    ),
    Column(
        name="acquisition_cost",
        example=12.0,
        dtype=_NUMBER,
        unit="currency",
        words="What winning the customer cost, in currency.",
    ),
    Column(
        name="cost_to_serve",
        example=5.1,
        dtype=_NUMBER,
        unit="currency",
        words="Expected discounted cost of service, in currency.",
    ),
    Column(
        name="net_lifetime_value",
        example=59.2,
        dtype=_NUMBER,
        unit="currency",
        sortable=True,
        words="Lifetime value less these costs, in currency.",
        formula=_VALUE - pl.col("cost_to_serve").fill_null(0.0) - pl.col("acquisition_cost").fill_null(0.0),
    ),
    Column(
        name="expected_next_purchase",
        example="2026-08-14",
        dtype=_DAY,
        words="Median day of the next purchase; null when unlikely.",
    ),
    Column(
        name="average_days_between_purchases",
        example=47.6,
        dtype=_NUMBER,
        unit="days",
        words="Mean time between purchases so far, in days.",
    ),
    Column(
        name="decile", example=3, dtype=_WHOLE, words="1 to 10 by lifetime value; 1 is the tenth worth most."
    ),
    Column(name="model", example="stack", dtype=_TEXT, words="Purchase model."),
)
"""The columns of the customers table, in order."""

CUSTOMERS_SCHEMA: Final[dict[str, pl.DataType]] = {column.name: column.dtype for column in CUSTOMERS}
"""Their types; customer_id takes that of the input."""

VALIDATION_SCHEMA: Final[dict[str, pl.DataType]] = {
    "origin": pl.Date(),
    "model": pl.String(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n": pl.Int64(),
}


Table = TypeVar("Table", pl.DataFrame, pl.LazyFrame)


def work_out(table: Table) -> Table:
    """The table with every column that has a formula, each from those before it.

    >>> known = {"historic_value": 5.0, "customer_lifetime_value": 2.0, "cost_to_serve": 0.5}
    >>> row = pl.DataFrame(known).with_columns(acquisition_cost=pl.lit(None, dtype=pl.Float64))
    >>> work_out(row).select("total_value", "net_lifetime_value").row(0)
    (7.0, 1.5)
    """
    for column in CUSTOMERS:
        if column.formula is not None:
            table = table.with_columns(column.formula.alias(column.name))
    return table
