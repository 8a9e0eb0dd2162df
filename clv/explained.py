"""Forecasts of customers with their own covariates: further members of the stack.

Each model that takes covariates is fitted with them on the company's clock; the stack weighs its forecast by
past windows like any other, so covariates that say nothing move nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from clv.clock import Clock
from clv.purchases.covariates import Covariates, build_design
from histories.arrays import Float
from histories.errors import DataError, TributaryError

__all__ = ["WITH_COVARIATES", "explained_forecasts"]

#: Models that take covariates, and what their forecasts are called.
WITH_COVARIATES = {"bg_nbd": "bg_nbd_covariates", "pareto_nbd": "pareto_nbd_covariates"}
#: Customers are predicted pattern by pattern of their covariates.
MOST_PATTERNS = 5_000


def explained_forecasts(
    timed: pl.DataFrame,
    customers: pl.DataFrame,
    *,
    models: Sequence[str],
    columns: Sequence[str],
    clock: Clock,
    origin: date,
    days: float,
) -> tuple[dict[str, Float], tuple[str, ...]]:
    """Purchases of each customer in the window by models with covariates, and why one has no forecast.

    Parameters
    ----------
    timed
        Purchase summary on the clock.
    customers
        customer_id and the covariates, known before.
    models, columns
        Models that were fitted, and the covariates.
    clock, origin, days
        The window.
    """
    present = [column for column in columns if column in customers.columns]
    known = customers.select("customer_id", *present).unique("customer_id")
    frame = timed.join(known, on="customer_id", how="left", maintain_order="left")
    x, t_x, T = (frame[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T"))
    horizon = np.array([clock.ahead(origin, days)])
    found: dict[str, Float] = {}
    notes = []
    for model, name in WITH_COVARIATES.items():
        if model not in models:
            continue
        try:
            design = build_design(frame, columns)
            patterns = len(np.unique(design.matrix, axis=0))
            if patterns > MOST_PATTERNS:
                raise DataError(
                    f"{patterns:,} patterns of covariates, {MOST_PATTERNS:,} at most; use classes"
                )
            fit = Covariates(model=model, columns=tuple(columns)).fit(frame)
            forecast = fit.predict_purchases(horizon, x, t_x, T, design)[0]
        except TributaryError as error:
            notes.append(f"{name} by {origin}: {error}")
            continue
        if np.isfinite(forecast).all():
            found[name] = np.maximum(forecast, 0.0)
    return found, tuple(notes)
