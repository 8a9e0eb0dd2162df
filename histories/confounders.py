"""Confounders of a panel: columns of customers and cases as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.errors import ConfigError, nearest

SATISFACTION_SCALES = ("csat", "nps", "ces", "satisfaction", "sentiment")
"""Columns that measure satisfaction: noisy witnesses of it, not causes of anything."""
MAX_LEVELS = 20
"""Levels of a text column that get an indicator of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Numeric columns, one row per customer."""

    values: NDArray[np.float64]
    names: tuple[str, ...]


def read_confounders(
    ids: pl.DataFrame, customers: pl.LazyFrame | None, cases: pl.LazyFrame | None, names: Sequence[str]
) -> tuple[Columns, Columns]:
    """Covariates and proxies, one row per customer in the order of `ids`.

    Parameters
    ----------
    ids
        customer_id of every customer.
    customers, cases
        Tables that may hold the columns.
    names
        Columns wanted. Satisfaction scales and columns of cases (means over cases) are proxies.

    Raises
    ------
    ConfigError
        For a name that neither table has.
    """
    of_customers = [] if customers is None else customers.collect_schema().names()
    of_cases = [] if cases is None else cases.collect_schema().names()
    unknown = [name for name in names if name not in of_customers and name not in of_cases]
    if unknown:
        hint = nearest(unknown[0], [*of_customers, *of_cases])
        raise ConfigError(f'attribution.confounders: no column "{unknown[0]}" in customers or cases; {hint}')
    direct = [name for name in names if name in of_customers]
    by_case = [name for name in names if name not in of_customers]
    frame = ids
    if customers is not None and direct:
        known = customers.select("customer_id", *direct).collect()
        frame = frame.join(known, on="customer_id", how="left", maintain_order="left")
    if cases is not None and by_case:
        means = cases.group_by("customer_id").agg(pl.col(by_case).mean()).collect()
        frame = frame.join(means, on="customer_id", how="left", maintain_order="left")
    proxies = [name for name in names if name in by_case or name in SATISFACTION_SCALES]
    plain = [name for name in names if name not in proxies]
    return _numeric(frame, plain), _numeric(frame, proxies)


def _numeric(frame: pl.DataFrame, names: Sequence[str]) -> Columns:
    """Numbers as they are, dates as days, text as one indicator per level but the commonest."""
    columns: list[NDArray[np.float64]] = []
    labels: list[str] = []
    for name in names:
        values = frame[name]
        if values.dtype.is_temporal():
            values = values.cast(pl.Date).to_physical()
        if values.dtype.is_numeric() or values.dtype == pl.Boolean:
            columns.append(values.cast(pl.Float64).to_numpy())
            labels.append(name)
            continue
        text = values.cast(pl.String).fill_null("missing")
        levels = text.value_counts(sort=True)[text.name].to_list()[1 : MAX_LEVELS + 1]
        columns += [(text == level).cast(pl.Float64).to_numpy() for level in sorted(levels)]
        labels += [f"{name}={level}" for level in sorted(levels)]
    stacked = np.column_stack(columns) if columns else np.zeros((frame.height, 0))
    return Columns(values=stacked, names=tuple(labels))
