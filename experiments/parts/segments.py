"""Segments of customers: the values of the columns that the configuration names."""

from __future__ import annotations

from typing import Final

import polars as pl

from attribution.effects.data.units import segment_labels as cut_labels
from histories.errors import ConfigError, nearest

UNKNOWN: Final = "unknown"
"""The segment of customers without a value."""


def segment_labels(customers: pl.DataFrame | None, column: str) -> pl.DataFrame:
    """customer_id and label: the customer's value of the column, cut as effects cut it.

    Raises
    ------
    ConfigError
        If customers have no such column (the message names the nearest), or if it is their identity.
    """
    if column == "customer_id":
        raise ConfigError(
            'attribution.segments: "customer_id" tells every customer from every other; '
            "name a column whose values many customers share"
        )
    if customers is None or column not in customers.columns:
        known = customers.columns if customers is not None else []
        raise ConfigError(
            f'attribution.segments: customers have no column "{column}"; {nearest(column, known)}'
        )
    return customers.select("customer_id", label=pl.Series(cut_labels(customers, column), dtype=pl.String))
