"""The tables of a bundle, each declared once: its columns, what it is, and how the service answers from it.

A schema belongs to the package that fills it. From an entry of `TABLES` follow the reference of
`docs/tables.md` and, where it has a `route`, the address, its query, its answer and the client's method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from attribution.credits.schemas import (
    CREDIT_PERIODS_SCHEMA,
    CREDITS_SCHEMA,
    CUSTOMER_CREDITS_SCHEMA,
    PATHS_SCHEMA,
    REMOVAL_EFFECTS_SCHEMA,
    RESPONSE_SCHEMA,
    TRANSITIONS_SCHEMA,
)
from attribution.effects.effect import EFFECTS_SCHEMA
from care.allocation import ALLOCATED_SCHEMA
from care.declared import DECLARED_SCHEMA
from care.ledger import FORECASTS_SCHEMA
from care.quotes import QUOTES_SCHEMA
from care.tables import ALERTS_SCHEMA, CARE_SCHEMA, CASES_SCHEMA, RETURNS_SCHEMA, ROI_SCHEMA
from clv.referrals import ENGAGEMENT_SCHEMA
from clv.tables import CUSTOMERS_SCHEMA, VALIDATION_SCHEMA
from histories.errors import BundleError, nearest
from histories.purchases import PURCHASES_SCHEMA
from histories.touchpoints import TOUCHPOINTS_SCHEMA

Schema = Mapping[str, pl.DataType | type[pl.DataType]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleTable:
    """One table.

    Attributes
    ----------
    schema
        Types by column; `customer_id` is Int64 or String, as the input was.
    words
        What it holds, as a sentence.
    route
        Where the service answers with its rows, below `/v1/`. Empty where it does not.
    method
        The client's method; the first word of the route where none is named.
    filters
        Text columns by which these rows can be asked for.
    examples
        Values of filters, for the documentation.
    interval_level
        Probability inside the intervals of every row, where that is fixed.
    interval_of
        Section of the configuration whose `interval` it is otherwise; the run's own where empty.
    small
        Whether it is kept in memory by who serves or draws it.
    follows_input
        Whether a column that the input lacks is null throughout, rather than an error.
    open
        Whether it may have further columns of its own, as the input had them.
    """

    schema: Schema
    words: str
    route: str = ""
    method: str = ""
    filters: tuple[str, ...] = ()
    examples: Mapping[str, str] = field(default_factory=dict)
    interval_level: float | None = None
    interval_of: str = ""
    small: bool = False
    follows_input: bool = False
    open: bool = False

    @property
    def called(self) -> str:
        """The client's method that asks for its rows."""
        return self.method or self.route.partition("/")[0]


TABLES: Final[dict[str, BundleTable]] = {
    "customers": BundleTable(
        schema=CUSTOMERS_SCHEMA, words="What each customer did, is expected to do, and is worth."
    ),
    "credits": BundleTable(
        schema=CREDITS_SCHEMA,
        small=True,
        words="Credit by channel, descriptive and incremental, with intervals and what they rest on.",
        route="attribution",
        filters=("outcome", "method", "kind", "level", "channel", "segment", "period"),
        examples={"outcome": "spend", "method": "incremental"},
    ),
    "credit_periods": BundleTable(
        schema=CREDIT_PERIODS_SCHEMA,
        small=True,
        words="Incremental credit of spend by the period it is spent in, of retention by that of the averted "
        "leaving.",
        route="attribution/periods",
        method="attribution_periods",
        filters=("outcome", "level", "channel", "period"),
        examples={"outcome": "spend"},
    ),
    "declared": BundleTable(
        schema=DECLARED_SCHEMA,
        small=True,
        words="Where customers say they heard of the company, beside what channels are credited with.",
        route="attribution/declared",
        method="declared_sources",
        filters=("source",),
        examples={"source": "friend"},
        interval_level=0.95,
    ),
    "response": BundleTable(
        schema=RESPONSE_SCHEMA,
        small=True,
        words="What each outcome would be with fewer or more touches of one channel, with marginal returns.",
        route="response",
        filters=("outcome", "channel"),
        examples={"outcome": "spend"},
    ),
    "effects": BundleTable(
        schema=EFFECTS_SCHEMA,
        small=True,
        words="Estimated effects with intervals, sample sizes and the checks they went through.",
        route="effects",
        filters=("name", "outcome", "segment", "design"),
        interval_level=0.95,
    ),
    "care": BundleTable(
        schema=CARE_SCHEMA,
        small=True,
        words="Service figures by channel, team, segment (`brand: acme`, `hour: Mon 09`), period and clock.",
        route="care/kpis",
        filters=("kpi", "group", "channel", "team", "segment", "period", "clock"),
        examples={"kpi": "service_level"},
    ),
    "engagement": BundleTable(
        schema=ENGAGEMENT_SCHEMA,
        words="Customers who referred others, wrote in public or helped: for ranking only, since values of "
        "the referred and of those who were helped are their own as well.",
    ),
    "alerts": BundleTable(
        schema=ALERTS_SCHEMA,
        small=True,
        words="What a desk should be told of: more requests than chance brings, critics who wait, a decline.",
        route="care/alerts",
        method="care_alerts",
        filters=("kind", "channel", "cause", "period"),
        examples={"kind": "volume"},
    ),
    "cases": BundleTable(schema=CASES_SCHEMA, words="Cases: a matter from first message to resolution."),
    "quotes": BundleTable(
        schema=QUOTES_SCHEMA,
        words="What customers wrote, where the configuration asks for quotes: chosen by rule, without words "
        "that few use.",
    ),
    "roi": BundleTable(
        schema=ROI_SCHEMA,
        small=True,
        words="Returns on cost by scenario, with the probability that they are positive.",
        route="roi",
        filters=("scenario", "period"),
        interval_of="attribution",
    ),
    "costs": BundleTable(
        schema=ALLOCATED_SCHEMA,
        small=True,
        words="What each channel cost, how much of it customers caused, and why the rest is nobody's.",
        route="costs",
        filters=("channel",),
    ),
    "returns": BundleTable(
        schema=RETURNS_SCHEMA,
        small=True,
        words="What care returns, line by line: by month, by segment, as planned; and what silence costs.",
        route="returns",
        filters=("scenario", "line", "segment", "period"),
        examples={"scenario": "actual", "period": "(all)"},
    ),
    "forecasts": BundleTable(
        schema=FORECASTS_SCHEMA,
        small=True,
        words="What this run and those before it promised, and what came of it where it has fallen due.",
        route="forecasts",
        filters=("kind", "what"),
        examples={"kind": "forecast"},
    ),
    "validation": BundleTable(
        schema=VALIDATION_SCHEMA,
        small=True,
        words="How each forecast of purchases fared on time that it had not seen.",
    ),
    "touchpoints": BundleTable(
        schema=TOUCHPOINTS_SCHEMA, words="Every contact, by customer and time.", follows_input=True
    ),
    "purchases": BundleTable(
        schema=PURCHASES_SCHEMA, words="Every purchase, by customer and time.", follows_input=True
    ),
    "identities": BundleTable(
        schema={"customer_id": pl.String(), "digest": pl.String()},
        words="Handles of customers as keyed digests, by which the service finds who is behind one.",
    ),
    "orders": BundleTable(
        schema={"customer_id": pl.String(), "order_id": pl.String()},
        words="Orders of the last 92 days that the run has read, so that none of them counts again where it "
        "arrives by itself.",
    ),
    "paths": BundleTable(schema=PATHS_SCHEMA, words="Counted paths towards each outcome."),
    "transitions": BundleTable(schema=TRANSITIONS_SCHEMA, words="Steps of the Markov chains, counted."),
    "removal_effects": BundleTable(
        schema=REMOVAL_EFFECTS_SCHEMA, words="What the Markov chains lose without a channel."
    ),
    "customer_credits": BundleTable(
        schema=CUSTOMER_CREDITS_SCHEMA, words="Credit by channel of each customer."
    ),
    "profiles": BundleTable(
        schema={"customer_id": pl.String()},
        words="What the input's customers table says of each customer.",
        open=True,
    ),
}


def conform_table(name: str, frame: pl.DataFrame | None) -> pl.DataFrame:
    """Return the table in its schema's columns, order and types; empty and typed when there is none.

    See `conform_rows` for the errors.
    """
    if frame is None:
        return conform_rows(name, None).collect()
    try:
        return conform_rows(name, frame.lazy()).collect()
    except pl.exceptions.PolarsError as error:
        found = {column: str(dtype) for column, dtype in frame.schema.items()}
        raise BundleError(f'Table "{name}" holds values of another type than its schema: {found}.') from error


def conform_rows(name: str, frame: pl.LazyFrame | None) -> pl.LazyFrame:
    """The same for rows that are read later; a value of another type is refused only then.

    Raises
    ------
    BundleError
        When the table is unknown, lacks a column, or has one too many.
    """
    if name not in TABLES:
        raise BundleError(f'A bundle has no table "{name}"; {nearest(name, TABLES)}')
    table = TABLES[name]
    schema = dict(table.schema)
    if frame is None:
        return pl.LazyFrame(schema=schema)
    given = frame.collect_schema()
    if "customer_id" in schema and "customer_id" in given:
        schema["customer_id"] = pl.String() if given["customer_id"] == pl.String() else pl.Int64()
    missing = [column for column in schema if column not in given]
    if table.follows_input and "customer_id" not in missing:
        frame = frame.with_columns(pl.lit(None, dtype=schema[column]).alias(column) for column in missing)
        missing = []
    if table.open:
        schema |= {column: dtype for column, dtype in given.items() if column not in schema}
    extra = [column for column in given if column not in schema]
    if missing or extra:
        raise BundleError(
            f'Table "{name}": missing columns {missing}, unknown columns {extra}. '
            f"Its columns are {', '.join(schema)}."
        )
    return frame.select(pl.col(column).cast(dtype) for column, dtype in schema.items())
