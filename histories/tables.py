"""The two tables of a bundle that show a customer's history: touchpoints and purchases, with their credit."""

from __future__ import annotations

import polars as pl

from histories.money import to_currency
from histories.periods import wall_time
from histories.purchases import PURCHASES_SCHEMA
from histories.touchpoints import TOUCHPOINTS_SCHEMA

TOUCH = "touch_number"
_IN_ORDER = ["customer_id", "timestamp"]


def touchpoints_table(numbered: pl.LazyFrame, credit: pl.LazyFrame | None = None) -> pl.DataFrame:
    """Touchpoints in `TOUCHPOINTS_SCHEMA`, by customer and time.

    Parameters
    ----------
    numbered
        With a number for each in `touch_number`, by which credit finds its way back.
    credit
        `touch_number` with `conversion_credit` (share of a purchase) and `spend_credit` (currency); a touch
        may stand in several rows, or in none and then has 0. Without it both are null.
    """
    if credit is None:
        unknown = pl.lit(None, dtype=pl.Float64)
        rows = numbered.with_columns(unknown.alias("conversion_credit"), unknown.alias("spend_credit"))
    else:
        summed = credit.group_by(TOUCH).agg(pl.col("conversion_credit", "spend_credit").sum())
        rows = numbered.join(summed, on=TOUCH, how="left").with_columns(
            pl.col("conversion_credit", "spend_credit").fill_null(0.0)
        )
    ordered = rows.sort(*_IN_ORDER, TOUCH).with_columns(to_currency(pl.col("cost")).alias("cost"))
    return _typed(ordered, TOUCHPOINTS_SCHEMA)


def purchases_table(purchases: pl.LazyFrame, journeys: pl.LazyFrame | None = None) -> pl.DataFrame:
    """Purchases in `PURCHASES_SCHEMA`, by customer and time.

    With `journeys` (of `walk_journeys`), `touches` counts those before the purchase and `credit` is the
    share of the purchase that path methods give to them: 1, or 0 without any. Without it both are null.
    """
    rows = purchases
    if journeys is None:
        rows = rows.with_columns(
            pl.lit(None, dtype=pl.Int64).alias("touches"), pl.lit(None, dtype=pl.Float64).alias("credit")
        )
    else:
        touched = journeys.filter("converted").select(
            "customer_id",
            pl.col("end").alias("timestamp"),
            pl.col("n_touches").cast(pl.Int64).alias("touches"),
        )
        rows = rows.join(touched, on=_IN_ORDER, how="left").with_columns(
            pl.col("touches").fill_null(0),
            (pl.col("touches").fill_null(0) > 0).cast(pl.Float64).alias("credit"),
        )
    in_currency = rows.sort(*_IN_ORDER).with_columns(to_currency(pl.col("amount", "margin")))
    return _typed(in_currency, PURCHASES_SCHEMA)


def _typed(rows: pl.LazyFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Columns in the schema's order and types, times local; customer_id keeps the type of the input."""
    return rows.select(
        pl.col(name)
        if name == "customer_id"
        else (wall_time(name) if name == "timestamp" else pl.col(name)).cast(dtype)
        for name, dtype in schema.items()
    ).collect()
