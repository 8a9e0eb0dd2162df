"""Drift against what is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from experiments.bundle.drift import kolmogorov_smirnov, population_stability
from experiments.bundle.reading import load_bundle
from experiments.champion import promote_bundle
from tests.running import running
from tests.sample_bundle import sample_customers, write_sample


def test_the_distance_is_scipys() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.normal(size=300), rng.normal(0.4, 1.2, size=200).round(1)
    assert kolmogorov_smirnov(old, new) == pytest.approx(stats.ks_2samp(old, new).statistic, abs=1e-15)


def test_the_index_of_a_known_shift() -> None:
    reference = np.arange(1000.0)
    doubled = np.concatenate([reference, np.full(1000, 950.0)])
    p = np.array([0.05] * 9 + [0.55])
    expected = float(np.sum((p - 0.1) * np.log(p / 0.1)))
    assert population_stability(reference, doubled) == pytest.approx(expected, abs=2e-3)


def test_values_that_went_missing_count_as_drift() -> None:
    reference = np.arange(1000.0)
    half = np.where(reference < 500, np.nan, reference)
    assert population_stability(reference, half) > 0.25
    assert population_stability(np.array([np.nan]), np.array([np.nan])) == 0.0
    assert kolmogorov_smirnov(np.array([np.nan]), reference) == 0.0


def test_a_new_bundle_tells_how_far_it_is_from_the_one_served(tmp_path: Path) -> None:
    first = write_sample(tmp_path / "a", n=500)
    assert load_bundle(first).manifest["drift"] == []
    promote_bundle(tmp_path, first, "test")
    moved = sample_customers(500, seed=2).with_columns(pl.col("customer_lifetime_value") * 3)
    second = write_sample(tmp_path / "b", tables={"customers": moved})
    drift = {(row["column"], row["statistic"]): row for row in load_bundle(second).manifest["drift"]}
    assert len(drift) == 14
    assert drift["customer_lifetime_value", "psi"]["moved"]
    assert not drift["frequency", "psi"]["moved"]
    with running(bundle=second) as client:
        assert client.get("/v1/model").json()["drift"] == list(drift.values())
        assert (
            'tributary_drift{column="customer_lifetime_value",statistic="psi"}' in client.get("/metrics").text
        )
