"""The check that credit adds up: channels and remainder to the total, groups to their channels."""

from __future__ import annotations

import polars as pl

from histories.errors import ModelError

__all__ = ["CONSERVATION_TOLERANCE", "refuse_unbalanced", "refuse_wrong_subtotals"]

CONSERVATION_TOLERANCE = 1e-9
"""Largest |sum of parts - whole|, relative to the sum of absolute parts: room for rounding, no more."""

_TABLE = ("outcome", "method", "kind", "segment", "period")
_SMALLEST = 1e-300


def refuse_unbalanced(frame: pl.DataFrame) -> None:
    """Raise ModelError unless each table in `frame` has one total, equal to its channels and remainder.

    A table whose credits are all null, because there is no figure, passes.
    """
    part = pl.col("level").is_in(["channel", "baseline", "untouched"])
    whole = pl.col("level") == "total"
    credit = pl.col("credit")
    gap = (pl.col("parts") - pl.col("total")).abs()
    wrong = (
        frame.group_by(_TABLE, maintain_order=True)
        .agg(
            parts=credit.filter(part).sum(),
            size=credit.filter(part).abs().sum(),
            total=credit.filter(whole).sum(),
            totals=whole.sum(),
            infinite=(~credit.is_finite()).sum(),
            absent=credit.filter(part | whole).is_null().sum(),
            rows=(part | whole).sum(),
        )
        .filter(
            (pl.col("totals") != 1)
            | (pl.col("infinite") > 0)
            | ((pl.col("absent") > 0) & (pl.col("absent") < pl.col("rows")))
            | (gap > CONSERVATION_TOLERANCE * pl.col("size").clip(_SMALLEST))
        )
    )
    if wrong.height:
        row = wrong.row(0, named=True)
        raise ModelError(
            f"credits of {row['outcome']} by {row['method']}, segment {row['segment']}, "
            f"period {row['period']}: channels and remainder sum to {row['parts']!r}, {row['totals']} total "
            f"row(s) to {row['total']!r}; of {row['rows']} credits {row['absent']} are missing and "
            f"{row['infinite']} not finite. "
            "One total, all finite, equal to 1e-9 is required."
        )


def refuse_wrong_subtotals(frame: pl.DataFrame) -> None:
    """Raise ModelError unless each row of level group is the sum of the channels of that group."""
    keys = [*_TABLE, "channel_group"]
    credit = pl.col("credit")
    channels = (
        frame.filter(pl.col("level") == "channel")
        .group_by(keys)
        .agg(parts=credit.sum(), size=credit.abs().sum())
    )
    agrees = (credit - pl.col("parts")).abs() <= CONSERVATION_TOLERANCE * pl.col("size").clip(_SMALLEST)
    wrong = (
        frame.filter((pl.col("level") == "group") & credit.is_not_null())
        .join(channels, on=keys, how="left")
        .filter(~agrees.fill_null(False))
    )
    if wrong.height:
        row = wrong.row(0, named=True)
        raise ModelError(
            f"credits of {row['outcome']} by {row['method']}: group {row['channel_group']!r} has "
            f"{row['credit']!r}, its channels sum to {row['parts']!r}. A group's row is their subtotal."
        )
