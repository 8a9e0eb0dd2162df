"""Money as whole numbers, so that sums are exact and do not depend on the order of rows.

An amount is held as Int64 in 1/10,000 of the currency. It becomes a Float64 in the currency where a model
computes with it and in the tables that a run leaves.
"""

from __future__ import annotations

import polars as pl

MONEY_SCALE = 10_000
"""Minor units in one unit of the currency."""

LARGEST_AMOUNT = 9e11
"""Largest amount, in the currency, that a Float64 holds exactly to 1/10,000."""

LARGEST_SUM = 9e14
"""Largest sum of amounts, in the currency, that whole minor units hold."""


IN_THOUSANDTHS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
"""Currencies of which a thousandth is the smallest coin."""


def to_minor(amount: pl.Expr) -> pl.Expr:
    """Whole minor units of an amount in the currency; null where it is not finite or too large.

    >>> pl.select(to_minor(pl.lit(11.77))).item()
    117700
    """
    value = amount.cast(pl.Float64)
    fits = value.is_finite() & (value.abs() < LARGEST_AMOUNT)
    return pl.when(fits).then((value * MONEY_SCALE).round()).cast(pl.Int64)


def to_currency(minor: pl.Expr) -> pl.Expr:
    """Float64 in the currency from whole minor units.

    >>> pl.select(to_currency(pl.lit(117_700))).item()
    11.77
    """
    return minor.cast(pl.Float64) / MONEY_SCALE
