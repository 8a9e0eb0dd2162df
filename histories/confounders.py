"""Confounders of a panel: columns of customers and cases as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.errors import ConfigError, nearest

SATISFACTION_SCALES = ("csat", "nps", "ces", "satisfaction", "sentiment")
"""Columns that measure satisfaction: noisy witnesses of it, not causes of anything."""
MAX_LEVELS = 20
"""Levels of a text column that get an indicator of their own."""

COMING = timedelta(days=30)
"""Time up to the day of arrival whose touches tell how a customer came."""
FEWEST = 0.05
"""Share of customers who came through a channel, and who did not, from which they are told apart."""


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


def came_through(
    ids: pl.DataFrame, touchpoints: pl.LazyFrame, customers: pl.LazyFrame | None, channels: Sequence[str]
) -> Columns:
    """Indicators of the channels through which customers came, one row per customer in the order of `ids`.

    Members whom a community brought in stay longer than those whom an advertisement did, whatever is said to
    them later: a touch of the day of arrival, or shortly before it, tells who came before it does anything.
    There is a column for each channel through which neither too few nor nearly all came; none where nobody's
    day of arrival is known.
    """
    nothing = Columns(values=np.zeros((ids.height, 0)), names=())
    if ids.is_empty() or customers is None or "acquired_at" not in customers.collect_schema().names():
        return nothing
    arrived = pl.col("acquired_at").cast(pl.Date).alias("arrived")
    day = pl.col("timestamp").dt.date()
    near = touchpoints.filter(pl.col("channel").is_in(list(channels))).join(
        customers.select("customer_id", arrived), on="customer_id"
    )
    came = near.filter(day.is_between(pl.col("arrived") - COMING, "arrived"))
    found = came.select("customer_id", "channel").unique().collect()
    columns, names = [], []
    for name in channels:
        here = found.filter(pl.col("channel") == name)["customer_id"]
        there = ids["customer_id"].is_in(here.implode()).to_numpy().astype(np.float64)
        if FEWEST <= there.mean() <= 1.0 - FEWEST:
            columns.append(there)
            names.append(f"came through {name}")
    return Columns(values=np.column_stack(columns), names=tuple(names)) if columns else nothing


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
