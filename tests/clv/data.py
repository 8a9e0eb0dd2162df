"""Data for the tests of customer value: CDNOW as the lifetimes package ships it."""

from __future__ import annotations

import importlib.util
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from clv.summary import summarize_purchases

CALIBRATION_END = date(1997, 9, 30)
OBSERVATION_END = date(1998, 6, 30)

Floats = npt.NDArray[np.float64]


def shipped(name: str) -> Path:
    """A data file inside the lifetimes package, found without importing it (its import needs setuptools)."""
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / name


@cache
def cdnow_lines(which: str = "sample") -> pl.DataFrame:
    """The raw lines: customer_id, date and dollars."""
    lines = [line.split() for line in shipped(f"CDNOW_{which}.txt").read_text().splitlines()]
    rows = [(int(f[0]), f[-3], float(f[-1])) for f in lines if f and f[0].isdigit()]
    frame = pl.DataFrame(rows, schema=["customer_id", "day", "dollars"], orient="row")
    return frame.with_columns(date=pl.col("day").str.to_date("%Y%m%d"))


@cache
def cdnow_purchases(which: str = "sample") -> pl.DataFrame:
    """CDNOW's purchases: one row per customer and day, zero orders counted, amounts in 1/10,000 dollar."""
    return (
        cdnow_lines(which)
        .with_columns(amount=(pl.col("dollars") * 10_000).round().cast(pl.Int64))
        .group_by("customer_id", "date")
        .agg(pl.col("amount").sum(), orders=pl.len().cast(pl.Int64))
        .with_columns(timestamp=pl.col("date").cast(pl.Datetime("us")), margin=pl.lit(None, dtype=pl.Int64))
        .sort("customer_id", "date")
    )


@cache
def cdnow_summary(which: str = "sample") -> pl.DataFrame:
    """The published calibration sample: weeks, to 1997-09-30."""
    purchases = cdnow_purchases(which).lazy()
    summary = summarize_purchases(purchases, observation_end=CALIBRATION_END, time_unit="week")
    return summary.sort("customer_id").collect()


def columns(summary: pl.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Frequency, recency and T as arrays."""
    x, t_x, T = (summary[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T"))
    return x, t_x, T
