"""The tables of a bundle: which there are, and what columns each has.

A schema belongs to the package that fills it; this module only collects them. `customer_id` is Int64 or
String, as the input was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from attribution.credits.table import (
    CREDITS_SCHEMA,
    CUSTOMER_CREDITS_SCHEMA,
    PATHS_SCHEMA,
    REMOVAL_EFFECTS_SCHEMA,
    TRANSITIONS_SCHEMA,
)
from attribution.effects.effect import EFFECTS_SCHEMA
from care.tables import CARE_SCHEMA, CASES_SCHEMA, ROI_SCHEMA
from clv.tables import CUSTOMERS_SCHEMA, VALIDATION_SCHEMA
from histories.errors import BundleError, nearest
from histories.purchases import PURCHASES_SCHEMA
from histories.touchpoints import TOUCHPOINTS_SCHEMA

__all__ = ["HISTORY_TABLES", "OPEN_TABLES", "TABLES", "conform_table"]

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

TABLES: Final[dict[str, Schema]] = {
    "customers": CUSTOMERS_SCHEMA,
    "credits": CREDITS_SCHEMA,
    "effects": EFFECTS_SCHEMA,
    "care": CARE_SCHEMA,
    "cases": CASES_SCHEMA,
    "roi": ROI_SCHEMA,
    "validation": VALIDATION_SCHEMA,
    "touchpoints": TOUCHPOINTS_SCHEMA,
    "purchases": PURCHASES_SCHEMA,
    "paths": PATHS_SCHEMA,
    "transitions": TRANSITIONS_SCHEMA,
    "removal_effects": REMOVAL_EFFECTS_SCHEMA,
    "customer_credits": CUSTOMER_CREDITS_SCHEMA,
    "profiles": {"customer_id": pl.String()},
}

HISTORY_TABLES: Final = frozenset({"touchpoints", "purchases"})
"""Tables whose optional columns follow the input; a column that the input lacks is null throughout."""


OPEN_TABLES: Final = frozenset({"profiles"})
"""Tables that may have further columns of their own, as the input had them."""


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
    if name in OPEN_TABLES:
        schema |= {column: dtype for column, dtype in frame.schema.items() if column not in schema}
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
