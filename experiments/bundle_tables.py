"""The tables of a bundle: which there are, and what columns each has.

A schema belongs to the package that fills it; this module only collects them. `customer_id` is Int64 or
String, as the input was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from attribution.credits import (
    CREDITS_SCHEMA,
    CUSTOMER_CREDITS_SCHEMA,
    PATHS_SCHEMA,
    REMOVAL_EFFECTS_SCHEMA,
    TRANSITIONS_SCHEMA,
)
from attribution.effects.effect import EFFECTS_SCHEMA
from care.tables import CARE_SCHEMA, ROI_SCHEMA
from histories.errors import BundleError, nearest

__all__ = ["HISTORY_TABLES", "TABLES", "conform_table"]

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

_I, _F, _S, _B, _D, _T = pl.Int64(), pl.Float64(), pl.String(), pl.Boolean(), pl.Date(), pl.Datetime("us")

CUSTOMERS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "customer_id": _I,
    "first_purchase": _D,
    "frequency": _I,
    "recency": _F,
    "T": _F,
    "monetary_value": _F,
    "probability_alive": _F,
    "churn_probability": _F,
    "expected_purchases": _F,
    "expected_purchases_low": _F,
    "expected_purchases_high": _F,
    "expected_spend": _F,
    "customer_lifetime_value": _F,
    "customer_lifetime_value_low": _F,
    "customer_lifetime_value_high": _F,
    "historic_value": _F,
    "total_value": _F,
    "acquisition_cost": _F,
    "cost_to_serve": _F,
    "net_lifetime_value": _F,
    "expected_next_purchase": _D,
    "average_days_between_purchases": _F,
    "decile": _I,
    "model": _S,
}
VALIDATION_SCHEMA: Final[dict[str, pl.DataType]] = {
    "origin": _S,
    "model": _S,
    "metric": _S,
    "value": _F,
    "low": _F,
    "high": _F,
    "n": _I,
}
TOUCHPOINTS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "customer_id": _I,
    "timestamp": _T,
    "channel": _S,
    "channel_group": _S,
    "kind": _S,
    "credit": _F,
}
PURCHASES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "customer_id": _I,
    "timestamp": _T,
    "date": _D,
    "amount": _F,
    "margin": _F,
    "orders": _I,
}
TABLES: Final[dict[str, Schema]] = {
    "customers": CUSTOMERS_SCHEMA,
    "credits": CREDITS_SCHEMA,
    "effects": EFFECTS_SCHEMA,
    "care": CARE_SCHEMA,
    "roi": ROI_SCHEMA,
    "validation": VALIDATION_SCHEMA,
    "touchpoints": TOUCHPOINTS_SCHEMA,
    "purchases": PURCHASES_SCHEMA,
    "paths": PATHS_SCHEMA,
    "transitions": TRANSITIONS_SCHEMA,
    "removal_effects": REMOVAL_EFFECTS_SCHEMA,
    "customer_credits": CUSTOMER_CREDITS_SCHEMA,
}

HISTORY_TABLES: Final = frozenset({"touchpoints", "purchases"})
"""Tables whose optional columns follow the input; a column that the input lacks is null throughout."""


def conform_table(name: str, frame: pl.DataFrame | None) -> pl.DataFrame:
    """Return the table in its schema's columns, order and types; empty and typed when there is none.

    Raises
    ------
    BundleError
        When the table is unknown, lacks a column, has one too many, or holds a value of another type.
    """
    if name not in TABLES:
        raise BundleError(f'A bundle has no table "{name}"; {nearest(name, TABLES)}')
    schema = dict(TABLES[name])
    if frame is None:
        return pl.DataFrame(schema=schema)
    if "customer_id" in schema and "customer_id" in frame.columns:
        schema["customer_id"] = pl.String() if frame.schema["customer_id"] == pl.String() else pl.Int64()
    missing = [column for column in schema if column not in frame.columns]
    if name in HISTORY_TABLES and "customer_id" not in missing:
        frame = frame.with_columns(pl.lit(None, dtype=schema[column]).alias(column) for column in missing)
        missing = []
    extra = [column for column in frame.columns if column not in schema]
    if missing or extra:
        raise BundleError(
            f'Table "{name}": missing columns {missing}, unknown columns {extra}. '
            f"Its columns are {', '.join(schema)}."
        )
    try:
        return frame.select(pl.col(column).cast(dtype) for column, dtype in schema.items())
    except pl.exceptions.PolarsError as error:
        found = {column: str(frame.schema[column]) for column in schema}
        raise BundleError(f'Table "{name}" holds values of another type than its schema: {found}.') from error
