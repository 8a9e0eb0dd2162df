"""segment_table: incremental credit of every segment, beside the credit of all customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from attribution.credits.schemas import CREDITS_SCHEMA
from attribution.incremental.estimate import CreditEstimate
from attribution.incremental.segments.credit import segment_credits
from attribution.incremental.table import credit_table
from attribution.settings import INCREMENTAL_OUTCOMES, AttributionSettings
from histories.arrays import Float, Labels
from histories.panel import Panel


def segment_table(
    panel: Panel,
    estimate: CreditEstimate,
    columns: Mapping[str, Labels],
    *,
    settings: AttributionSettings,
    outcomes: Sequence[str] = INCREMENTAL_OUTCOMES,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
    seed: int = 1,
) -> pl.DataFrame:
    """Credit of every channel in every segment, in CREDITS_SCHEMA, with `segment` as "column: label".

    Segments with common effects add up to the credit of all customers. Those of a column whose effects differ
    need not: see `docs/attribution.md`.

    Parameters
    ----------
    panel, estimate
        All customers, and what `estimate_credit` found of them.
    columns
        Label of each customer, shape (N,), by name of the column.
    settings, residual_value, gross_margin
        Those of the estimate.
    outcomes
        Of "retention", "spend" and "lifetime_value".
    seed
        Of all randomness.
    """
    wanted = [name for name in INCREMENTAL_OUTCOMES if name in outcomes]
    found = segment_credits(
        panel,
        estimate,
        columns,
        settings=settings,
        residual_value=residual_value,
        gross_margin=gross_margin,
        rng=np.random.default_rng([seed, 1]),
    )
    parts = [
        credit_table(
            panel.take(part.customers),
            part.estimate,
            outcomes=wanted,
            interval=settings.interval,
            segment=f"{part.column}: {part.label}",
            standing=part.standing,
        )
        for part in found
    ]
    return pl.concat(parts) if parts else pl.DataFrame(schema=CREDITS_SCHEMA)
