"""Exports without those who stopped are told from companies that nobody leaves, and from slow customers."""

from __future__ import annotations

import numpy as np
import pytest

from histories.survivors import Survivors, find_survivors, nobody_stopped

DAYS = 900


def customers(life: float, gap: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last purchase and mean gap of 2,000 customers who come throughout."""
    rng = np.random.default_rng(seed)
    came = rng.integers(0, DAYS - 30, 2000)
    left = came + rng.exponential(life, 2000)
    pace = gap * rng.gamma(4.0, 0.25, 2000)
    last = np.maximum(np.minimum(left, DAYS) - rng.exponential(pace), came).astype(np.int64)
    return came, last, np.where(last > came, pace, np.nan)


def find(who: tuple[np.ndarray, np.ndarray, np.ndarray], kept: np.ndarray) -> Survivors | None:
    came, last, gap = who
    return find_survivors(came[kept], last[kept], gap[kept], end=DAYS - 1)


@pytest.mark.parametrize("silent", [180, 365])
def test_deleted_customers_are_missed(silent: int) -> None:
    who = customers(life=400, gap=20)
    kept = who[1] >= DAYS - silent
    found = find(who, kept)
    assert found is not None
    assert abs((found.since - np.datetime64("1970-01-01").astype(object)).days - (DAYS - silent)) < 10
    assert 0.15 * (~kept).sum() < found.missing < (~kept).sum()
    assert find(who, np.ones(2000, dtype=bool)) is None


def test_a_few_who_were_kept_by_mistake_change_nothing() -> None:
    who = customers(life=400, gap=20)
    kept = who[1] >= DAYS - 365
    kept[np.flatnonzero(~kept)[:5]] = True
    assert find(who, kept) is not None


@pytest.mark.parametrize(("life", "gap"), [(1e9, 30), (1e9, 365), (2000, 200), (100, 5)])
def test_companies_that_are_whole_miss_nobody(life: float, gap: float) -> None:
    assert find(customers(life, gap), np.ones(2000, dtype=bool)) is None


def test_an_export_of_present_customers_alone_is_asked_about() -> None:
    came, last, gap = customers(life=400, gap=20)
    present = (DAYS - 1 - last) < 3 * np.nan_to_num(gap, nan=0.0)
    told = nobody_stopped(came[present], last[present], gap[present], end=DAYS - 1)
    assert told is not None
    assert "0 have been silent for 6 of their usual gaps" in told
    assert nobody_stopped(came, last, gap, end=DAYS - 1) is None


def test_who_cannot_leave_for_a_year_is_not_missed() -> None:
    rng = np.random.default_rng(1)
    came = rng.integers(0, 300, 2000)
    left = np.where(rng.random(2000) < 0.4, came + 365 + rng.integers(0, 60, 2000), DAYS)
    assert find_survivors(came, left, np.full(2000, np.nan), end=DAYS - 1) is None
