"""Real events dealt out to random customers: whatever a model credits here, it invents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attribution.incremental.plan import Plan
from attribution.incremental.regression import POISSON_SPEND
from attribution.incremental.table import incremental_credit
from attribution.settings import AttributionSettings
from histories.panel import Panel

EVENTS = Path(__file__).parents[4] / "shared/data/attribution_scrambled/events_scrambled_ids.parquet"
pytestmark = pytest.mark.slow
needs_data = pytest.mark.skipif(
    not EVENTS.exists(), reason="../shared/data/attribution_scrambled is not there"
)
DAYS = 31


@pytest.fixture(scope="module")
def scrambled() -> Panel:
    """One row per id and day of July 2018: impressions by channel, conversions and their value."""
    events = pl.read_parquet(EVENTS).with_columns(
        pl.col("customer_id").rank("dense").cast(pl.Int64).sub(1).alias("i"),
        pl.col("event_ts").dt.day().cast(pl.Int64).sub(1).alias("t"),
    )
    channels = sorted(events["channel"].unique())
    n = events["i"].n_unique()
    touches = np.zeros((n, DAYS, len(channels)), dtype=np.float32)
    for k, channel in enumerate(channels):
        seen = events.filter((pl.col("channel") == channel) & (pl.col("conversion") == 0))
        np.add.at(touches[:, :, k], (seen["i"].to_numpy(), seen["t"].to_numpy()), 1)
    bought = events.filter(pl.col("conversion") == 1)
    purchases, spend = np.zeros((n, DAYS)), np.zeros((n, DAYS))
    where = bought["i"].to_numpy(), bought["t"].to_numpy()
    np.add.at(purchases, where, 1.0)
    np.add.at(spend, where, bought["conversion_value"].to_numpy())
    return Panel(
        channels=tuple(channels),
        groups=tuple(channels),
        origins=(None,) * len(channels),
        touches=touches,
        own_acts=np.zeros((n, DAYS)),
        problems=np.zeros((n, DAYS)),
        spend=spend,
        purchases=purchases,
        entry=np.zeros(n, dtype=np.int64),
        exit=None,
        covariates=np.zeros((n, 0)),
        covariate_names=(),
        proxies=np.zeros((n, 0)),
        proxy_names=(),
    )


@needs_data
def test_scrambled_events_yield_no_channel_effect(scrambled: Panel) -> None:
    assert scrambled.purchases.sum() == 1_838
    table = incremental_credit(
        scrambled,
        settings=AttributionSettings(replicates=40),
        outcomes=["spend"],
        plan=Plan(default=POISSON_SPEND),
    )
    channels = table.filter(pl.col("level") == "channel")
    covered = ((channels["low"] < 0) & (channels["high"] > 0)).sum()
    assert covered >= 4  # of five, each at 95 %
    incremental = channels["credit"].sum()
    total = table.filter(pl.col("level") == "total")["credit"].item()
    assert abs(incremental) < 0.15 * total  # 2 sd; path methods hand out most of it


@needs_data
def test_an_effect_put_in_by_hand_is_found(scrambled: Panel) -> None:
    planted = scrambled.touches[:, :, 0] > 0
    spend = scrambled.spend + 2.0 * planted * (np.random.default_rng(0).random(planted.shape) < 0.05)
    table = incremental_credit(
        replace(scrambled, spend=spend),
        settings=AttributionSettings(replicates=40),
        outcomes=["spend"],
        plan=Plan(default=POISSON_SPEND),
    )
    rows = table.filter(pl.col("level") == "channel")
    first = rows.row(0, named=True)
    assert first["low"] > 0
