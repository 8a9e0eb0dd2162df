"""Stocks by the day of a touch are what a customer's days add up to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.days import MOST, Days
from attribution.incremental.stocks import (
    Timing,
    carried_on,
    carried_stocks,
    earlier_stocks,
    kept_stocks,
    moment_precision,
    new_stocks,
    panel_stocks,
)
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel

DECAY = 0.5
MIXED: Timing = (True, False) * 4
FINE = (np.arange(4_000) + 0.5) / 4_000
Moments = dict[tuple[int, int], list[float]]
"""When the touches of a customer's period came, as shares of it."""
TOUCHES: Moments = {
    (0, 0): [0.8],
    (0, 1): [0.25, 0.75],
    (1, 0): [0.1],
    (1, 2): [0.125, 0.375, 0.625, 0.875],
    (2, 1): [0.3],
    (2, 2): [1.0],
}


def panel_of(moments: Moments, **changes: object) -> Panel:
    """Three customers over three periods whose one channel touched them then."""
    whole = simulate_panel("r7", n=3, periods=3, seed=1).panel
    touches = np.zeros((3, 3, 8), dtype=np.float32)
    share = np.zeros(touches.shape, dtype=np.uint8)
    for cell, came in moments.items():
        touches[(*cell, 0)] = len(came)
        share[(*cell, 0)] = np.rint(255 * np.mean(came))
    entry = np.zeros(3, dtype=np.int64)
    given = {"touches": touches, "touch_share": share, "entry": entry, "exit": np.full(3, 3)}
    return replace(whole, **(given | changes))  # type: ignore[arg-type]


def by_hand(customer: int, period: int, at: float, moments: Moments = TOUCHES) -> float:
    """What the customer carries at a moment, summed over touches one by one."""
    total = 0.0
    for (who, t), came in moments.items():
        for k, f in enumerate(came):
            passed = period + at - t - f
            if who == customer and passed >= 0:
                total += DECAY**passed * (np.log(2 + k) - np.log(1 + k))
    return total


def mean_by_hand(customer: int, period: int, at: np.ndarray, bend: float = 0.0) -> float:
    paths = np.array([by_hand(customer, period, moment) for moment in at])
    return float(np.mean(-np.expm1(-bend * paths) / bend if bend else paths))


@pytest.mark.parametrize("bend", [0.0, 1.5])
def test_where_leaving_is_silent_every_row_is_the_mean_of_its_days(bend: float) -> None:
    panel = panel_of(TOUCHES, exit=None, at_any_moment=True)
    stocks = panel_stocks(panel, decay=DECAY, bend=bend, by_day=True)
    for i in range(3):
        for t in range(3):
            expected = mean_by_hand(i, t, FINE, bend)
            assert stocks[i, t, 0] == pytest.approx(expected, abs=0.006), (i, t)
    months = panel_stocks(panel, decay=DECAY, bend=bend)
    assert months[0, 0, 0] > stocks[0, 0, 0] + 0.1, "the month of the touch takes the 25th for any day"


@pytest.mark.parametrize("bend", [0.0, 1.5])
def test_who_leaves_is_taken_at_his_moment_and_who_stays_at_those_of_all_who_left(bend: float) -> None:
    shares = np.array([0.4, 0.9, 1.0])
    panel = panel_of(TOUCHES, exit=np.array([2, 1, 3]), exit_share=shares)
    stocks = panel_stocks(panel, decay=DECAY, bend=bend, by_day=True)
    moments = np.quantile(shares[:2], FINE)
    one = panel_stocks(panel, decay=DECAY, by_day=True)[0, 2, 0]
    assert one == pytest.approx(by_hand(0, 2, 0.4), abs=0.004)
    level = (lambda s: -np.expm1(-bend * s) / bend) if bend else (lambda s: s)
    assert stocks[0, 2, 0] == pytest.approx(level(by_hand(0, 2, 0.4)), abs=0.004)
    assert stocks[1, 1, 0] == pytest.approx(level(by_hand(1, 1, 0.9)), abs=0.004)
    for i, t in [(0, 0), (0, 1), (2, 1), (2, 2)]:
        assert stocks[i, t, 0] == pytest.approx(mean_by_hand(i, t, moments, bend), abs=0.01), (i, t)


def test_where_all_leave_at_the_end_of_a_period_stocks_are_the_mean_of_its_days() -> None:
    stocks = panel_stocks(panel_of(TOUCHES), decay=DECAY, by_day=True)
    for i in range(3):
        for t in range(3):
            assert stocks[i, t, 0] == pytest.approx(mean_by_hand(i, t, FINE), abs=0.006)


def test_a_renewal_sees_the_touches_until_its_day() -> None:
    renewal = np.zeros((3, 3), dtype=np.float32)
    renewal[:, :] = [[0.5], [0.5], [0.5]]
    until = np.zeros((3, 3, 8), dtype=np.float32)
    for (i, t), came in TOUCHES.items():
        until[i, t, 0] = sum(f <= 0.5 for f in came)
    panel = panel_of(
        TOUCHES,
        exit=np.array([3, 3, 2]),
        exit_share=np.array([1.0, 1.0, 0.5]),
        renewal_share=renewal,
        before_renewal=until,
    )
    stocks = panel_stocks(panel, decay=DECAY, by_day=True)
    for i, t in [(0, 0), (0, 1), (1, 0), (1, 2), (2, 1)]:
        assert stocks[i, t, 0] == pytest.approx(by_hand(i, t, 0.5), abs=0.004), (i, t)


@pytest.mark.parametrize("moment", [True, False])
@pytest.mark.parametrize("day", [True, False, MIXED], ids=["all", "none", "some"])
def test_what_a_prediction_adds_up_is_the_stock(day: Timing, *, moment: bool) -> None:
    draws = np.random.default_rng(2)
    panel = simulate_panel("hidden30", n=200, periods=4, seed=1).panel
    ticks = draws.integers(0, 256, panel.touches.shape).astype(np.uint8)
    panel = replace(panel, at_any_moment=moment, touch_share=ticks)
    day = day if isinstance(day, bool) else day[: panel.n_channels]
    decay = np.linspace(0.2, 0.9, panel.n_channels)
    stocks = panel_stocks(panel, decay=decay, by_day=day)
    carried = np.zeros(stocks[:, 0].shape)
    for t in range(4):
        here = {"decay": decay, "by_day": day, "ticks": ticks[:, t]}
        new = new_stocks(panel, panel.touches[:, t], t, **here)
        np.testing.assert_allclose(
            stocks[:, t], kept_stocks(panel, carried, decay=decay, by_day=day) + new, rtol=1e-4, atol=1e-5
        )
        carried = decay * carried + carried_on(panel, panel.touches[:, t], **here)
    late = replace(panel, reacts=panel.channels[:1])
    felt = earlier_stocks(late, stocks, decay=decay, by_day=day)
    assert np.abs(felt[:, 0, 0]).max() < 1e-5
    np.testing.assert_allclose(felt[:, :, 1:], stocks[:, :, 1:])
    np.testing.assert_allclose(carried_stocks(panel, decay=decay, by_day=day), carried)


@pytest.mark.parametrize("bend", [0.0, 1.5])
@pytest.mark.parametrize("leaving", [None, np.array([0.4, 0.9, 1.0])], ids=["at the end", "within"])
def test_each_channel_has_the_stock_of_its_own_timing(bend: float, leaving: np.ndarray | None) -> None:
    panel = panel_of(TOUCHES, exit=np.array([2, 1, 3]), exit_share=leaving)
    touches, share = (np.repeat(x[:, :, :1], 8, axis=2) for x in (panel.touches, panel.touch_share))
    panel = replace(panel, touches=touches, touch_share=share)
    made = {"decay": DECAY, "bend": bend}
    mixed, by_day, by_period = (panel_stocks(panel, by_day=day, **made) for day in (MIXED, True, False))
    assert not np.allclose(by_day, by_period)
    np.testing.assert_allclose(mixed[:, :, ::2], by_day[:, :, ::2], rtol=1e-6)
    np.testing.assert_allclose(mixed[:, :, 1::2], by_period[:, :, 1::2], rtol=1e-6)
    if leaving is not None:
        precision = [moment_precision(panel, decay=DECAY, by_day=day) for day in (MIXED, True, False)]
        np.testing.assert_allclose(precision[0][:2], [precision[1][0], precision[2][1]])


def test_fewer_touches_keep_their_moments() -> None:
    panel = panel_of(TOUCHES, exit=None, at_any_moment=True)
    whole = panel_stocks(panel, decay=DECAY, by_day=True)
    assert not panel_stocks(panel, decay=DECAY, touches=0.0 * panel.touches, by_day=True).any()
    nearly = panel_stocks(panel, decay=DECAY, touches=0.9999 * panel.touches, by_day=True)
    np.testing.assert_allclose(nearly, whole, atol=1e-3)
    half = panel_stocks(panel, decay=DECAY, touches=0.5 * panel.touches, by_day=True)
    assert half[0, 0, 0] == pytest.approx(whole[0, 0, 0] * np.log(1.5) / np.log(2.0), rel=1e-4)


def test_very_many_touches_go_on_as_the_most_that_have_moments() -> None:
    days = Days(np.array([DECAY]), np.linspace(0.0, 1.0, 17), 500)
    counts, ticks = np.array([[float(MOST)], [500.0]]), np.full((2, 1), 128, dtype=np.uint8)
    left = days.staying(counts, ticks)[:, 0] / np.log1p(counts[:, 0])
    assert left[1] == pytest.approx(left[0], rel=1e-5)
    at = days.at(np.ones((2, 1)), counts, counts, ticks, all_until=True)[:, 0] / np.log1p(counts[:, 0])
    assert at[1] == pytest.approx(at[0], rel=1e-5)


def test_touches_whose_moments_nobody_knows_count_by_the_period() -> None:
    panel = panel_of(TOUCHES, exit=None, at_any_moment=True, touch_share=None)
    np.testing.assert_array_equal(panel_stocks(panel, by_day=True), panel_stocks(panel))


def test_a_moment_that_is_known_leaves_less_open_than_one_that_is_not() -> None:
    panel = panel_of(TOUCHES, exit=np.array([2, 1, 3]), exit_share=np.array([0.4, 0.9, 1.0]))
    known, unknown = moment_precision(panel, decay=DECAY, by_day=True), moment_precision(panel)
    assert known is not None
    assert unknown is not None
    assert 0.0 < known[0] < unknown[0]
