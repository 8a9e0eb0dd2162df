"""The tables that attribution leaves in a bundle: columns, in order, with their types."""

from __future__ import annotations

import polars as pl

Schema = dict[str, "pl.DataType | type[pl.DataType]"]

CREDITS_SCHEMA: Schema = {
    "outcome": pl.String,
    "method": pl.String,
    "kind": pl.String,
    "level": pl.String,
    "channel": pl.String,
    "channel_group": pl.String,
    "segment": pl.String,
    "period": pl.String,
    "credit": pl.Float64,
    "share_of_total": pl.Float64,
    "share_of_incremental": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "interval_level": pl.Float64,
    "range_low": pl.Float64,
    "range_high": pl.Float64,
    "touches": pl.Int64,
    "customers": pl.Int64,
    "n": pl.Int64,
    "cost": pl.Float64,
    "roas": pl.Float64,
    "level_source": pl.String,
    "supported": pl.Boolean,
    "reason": pl.String,
}

CREDIT_PERIODS_SCHEMA: Schema = {
    "outcome": pl.String,
    "level": pl.String,
    "channel": pl.String,
    "channel_group": pl.String,
    "period": pl.String,
    "period_end": pl.Date,
    "credit": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "interval_level": pl.Float64,
    "supported": pl.Boolean,
    "reason": pl.String,
}

RESPONSE_SCHEMA: Schema = {
    "outcome": pl.String,
    "channel": pl.String,
    "channel_group": pl.String,
    "scale": pl.Float64,
    "value": pl.Float64,
    "change": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "marginal_return": pl.Float64,
    "marginal_low": pl.Float64,
    "marginal_high": pl.Float64,
    "interval_level": pl.Float64,
    "beyond_data": pl.Float64,
    "extrapolated": pl.Boolean,
    "supported": pl.Boolean,
    "reason": pl.String,
}

PATHS_SCHEMA: Schema = {
    "outcome": pl.String,
    "segment": pl.String,
    "path": pl.String,
    "length": pl.Int64,
    "conversions": pl.Int64,
    "value": pl.Float64,
    "nulls": pl.Int64,
}

TRANSITIONS_SCHEMA: Schema = {
    "outcome": pl.String,
    "segment": pl.String,
    "order": pl.Int64,
    "from_state": pl.String,
    "to_state": pl.String,
    "n": pl.Int64,
    "probability": pl.Float64,
}

REMOVAL_EFFECTS_SCHEMA: Schema = {
    "outcome": pl.String,
    "method": pl.String,
    "segment": pl.String,
    "order": pl.Int64,
    "channel": pl.String,
    "channel_group": pl.String,
    "removal_effect": pl.Float64,
    "share": pl.Float64,
}

CUSTOMER_CREDITS_SCHEMA: Schema = {
    "customer_id": pl.String,
    "outcome": pl.String,
    "method": pl.String,
    "segment": pl.String,
    "channel": pl.String,
    "channel_group": pl.String,
    "touches": pl.Int64,
    "credit": pl.Float64,
}


def customer_credits_schema(customer_id: pl.DataType | type[pl.DataType]) -> Schema:
    """CUSTOMER_CREDITS_SCHEMA with the id type of the input (Int64 or String)."""
    return {**CUSTOMER_CREDITS_SCHEMA, "customer_id": customer_id}
