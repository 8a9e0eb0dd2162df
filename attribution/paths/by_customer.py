"""Credit per customer and channel, for the methods that are sums over journeys.

Markov chains and the rate game describe all journeys together and have no share of a single one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from attribution.credits.schemas import customer_credits_schema
from attribution.paths.rules import RULES, RuleSettings, touch_credits


def customer_credits(
    touches: pl.LazyFrame,
    *,
    methods: Sequence[str],
    outcome: str,
    groups: Mapping[str, str],
    segment: str,
    settings: RuleSettings | None = None,
) -> pl.LazyFrame:
    """What each channel earned with each customer, in CUSTOMER_CREDITS_SCHEMA; rows of no credit left out.

    Methods other than rules are passed over. `touches` holds the touches of complete journeys (see
    `touch_credits`); partitions of customers may be concatenated.
    """
    earned = pl.col("spend_credit" if outcome == "spend" else "conversion_credit")
    schema = customer_credits_schema(touches.collect_schema()["customer_id"])
    converted = touches.filter("converted")
    channel = pl.col("channel").cast(pl.String)
    parts = [
        touch_credits(converted, rule=method, settings=settings)
        .group_by("customer_id", channel)
        .agg(credit=earned.sum(), touches=pl.len())
        .filter(pl.col("credit") != 0)
        .with_columns(method=pl.lit(method))
        for method in methods
        if method in RULES
    ]
    if not parts:
        return pl.LazyFrame(schema=schema)
    return (
        pl.concat(parts)
        .with_columns(
            outcome=pl.lit(outcome),
            segment=pl.lit(segment),
            channel_group=channel.replace(dict(groups)),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        .sort("customer_id", "method", "channel")
    )
