"""Data for the tests of customer value: CDNOW as the lifetimes package ships it, and simulated customers."""

from __future__ import annotations

import importlib.util
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from clv.purchases import Observations
from clv.summary import summarize_purchases

CALIBRATION_END = date(1997, 9, 30)
OBSERVATION_END = date(1998, 6, 30)


def shipped(name: str) -> Path:
    """A data file inside the lifetimes package, found without importing it (its import needs setuptools)."""
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets" / name


@cache
def cdnow_purchases(which: str = "sample") -> pl.DataFrame:
    """CDNOW's purchases: one row per customer and day, zero orders counted, amounts in 1/10,000 dollar."""
    lines = [line.split() for line in shipped(f"CDNOW_{which}.txt").read_text().splitlines()]
    rows = [(int(f[0]), f[-3], float(f[-1])) for f in lines if f and f[0].isdigit()]
    frame = pl.DataFrame(rows, schema=["customer_id", "day", "dollars"], orient="row")
    return (
        frame.with_columns(
            date=pl.col("day").str.to_date("%Y%m%d"),
            amount=(pl.col("dollars") * 10_000).round().cast(pl.Int64),
        )
        .group_by("customer_id", "date")
        .agg(pl.col("amount").sum(), orders=pl.len().cast(pl.Int64))
        .with_columns(
            timestamp=pl.col("date").cast(pl.Datetime("us")), margin=pl.lit(None, dtype=pl.Int64)
        )
        .sort("customer_id", "date")
    )


@cache
def cdnow_summary(which: str = "sample") -> pl.DataFrame:
    """The published calibration sample: weeks, to 1997-09-30."""
    purchases = cdnow_purchases(which).lazy()
    summary = summarize_purchases(purchases, observation_end=CALIBRATION_END, time_unit="week")
    return summary.sort("customer_id").collect()


def columns(summary: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frequency, recency and T as arrays."""
    x, t_x, T = (summary[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T"))
    return x, t_x, T


def simulate_geometric(
    rng: np.random.Generator,
    n: int,
    *,
    r: float,
    alpha: float,
    a: float,
    b: float,
    birth: int = 0,
    k: int = 1,
    longest: float = 78.0,
) -> Observations:
    """Customers of the family of `clv.purchases.geometric`, each seen for between half of `longest` and all of it."""
    T = np.round(rng.uniform(0.5 * longest, longest, n) * 7) / 7
    rate = rng.gamma(r, 1.0 / alpha, n)
    dropout = rng.beta(a, b, n)
    x, t_x, now = np.zeros(n), np.zeros(n), np.zeros(n)
    alive = rng.random(n) > dropout if birth else np.ones(n, dtype=bool)
    while alive.any():
        now = now + rng.gamma(k, 1.0, n) / np.maximum(rate, 1e-12)
        bought = alive & (now <= T)
        x, t_x = x + bought, np.where(bought, now, t_x)
        alive = bought & (rng.random(n) > dropout)
    return Observations.from_arrays(x, t_x, T)


def simulate_pareto(
    rng: np.random.Generator, n: int, *, r: float, alpha: float, s: float, beta: float, longest: float = 78.0
) -> Observations:
    """Customers of the Pareto/NBD model."""
    T = rng.uniform(0.5 * longest, longest, n)
    rate = rng.gamma(r, 1.0 / alpha, n)
    lived = np.minimum(rng.exponential(1.0, n) / np.maximum(rng.gamma(s, 1.0 / beta, n), 1e-12), T)
    x = rng.poisson(rate * lived).astype(float)
    latest = rng.random(n) ** (1.0 / np.maximum(x, 1.0))
    return Observations.from_arrays(x, np.where(x > 0, lived * latest, 0.0), T)
