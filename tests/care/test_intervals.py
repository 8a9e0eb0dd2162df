"""Shares, waits, limits and funnels against figures computed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from care.charts import control_limits, funnel_limits, signals
from care.intervals import design_effect, mean_interval, net_score, share_interval, wilson
from care.waits import kaplan_meier, quantile_of, share_by


def test_wilson_at_a_share_and_at_none() -> None:
    assert wilson(47 / 60, 60) == pytest.approx((0.6638, 0.8688), abs=5e-5)
    assert wilson(0.0, 12) == pytest.approx((0.0, 0.2425), abs=5e-5)


def test_customers_whose_cases_agree_count_once() -> None:
    """Two cases of each customer, always the same outcome: the sample is half as large as it looks."""
    hits = np.array([1.0, 1, 0, 0, 1, 1, 0, 0])
    customers = np.array([1, 1, 2, 2, 3, 3, 4, 4])
    assert design_effect(hits, customers) == pytest.approx(2.0)
    assert share_interval(hits, customers).low == pytest.approx(wilson(0.5, 4)[0])
    assert design_effect(hits, np.arange(8)) == 1.0


def test_a_design_effect_never_makes_a_sample_larger() -> None:
    assert design_effect(np.array([1.0, 0, 1, 0]), np.array([1, 1, 2, 2])) == 1.0


def test_a_share_by_value_is_of_the_value() -> None:
    kept = np.array([1.0, 0, 1, 1, 0])
    worth = np.array([40.0, 400, 120, 60, 80])
    assert share_interval(kept, np.arange(5)).value == pytest.approx(0.60)
    found = share_interval(kept, np.arange(5), weights=worth)
    assert found.value == pytest.approx(0.3143, abs=5e-5)
    assert found.high is not None
    assert found.high - found.value > 0.3, "five customers, one of whom is most of the value, say little"


def test_net_promoters() -> None:
    assert net_score(30, 18, 80) == pytest.approx((0.15, 0.0850), abs=5e-5)


def test_a_mean_of_one_case_has_no_interval() -> None:
    found = mean_interval(np.array([3.0]), np.array([1]))
    assert (found.value, found.low, found.n) == (3.0, None, 1)


WAITS = np.array([5.0, 12, 20, 20, 45, 61, 90, 200])
ENDED = np.array([True, True, True, False, True, True, False, False])


def test_open_cases_are_censored_and_not_dropped() -> None:
    curve = kaplan_meier(WAITS, ENDED)
    assert curve.survival.tolist() == pytest.approx([0.875, 0.75, 0.625, 0.46875, 0.3125])
    assert quantile_of(curve, 0.5).value == 45
    assert quantile_of(curve, 0.9).value is None
    assert np.median(WAITS[ENDED]) == 20
    assert share_by(curve, 44) == pytest.approx(0.375)


def test_the_interval_of_the_curve_is_log_log() -> None:
    """By hand at 5: log S = -.1335, Greenwood 1 / (8 x 7), so .875 to the powers 7.11 and .1407."""
    first = kaplan_meier(WAITS, ENDED)
    assert (first.low[0], first.high[0]) == pytest.approx((0.3870, 0.9814), abs=5e-5)


def test_the_interval_where_one_still_waits_is_log_log_too() -> None:
    """By hand at 20: S = 1/4, Greenwood 1 / (4 x 3) + 1 / (3 x 2) + 1 / (2 x 1) = .75."""
    curve = kaplan_meier(np.array([5.0, 12, 20, 20]), np.array([True, True, True, False]))
    power = np.exp(1.959964 * np.sqrt(0.75) / np.log(4.0))
    assert curve.low[-1] == pytest.approx(0.25**power, rel=1e-5)
    assert curve.high[-1] == pytest.approx(0.25 ** (1 / power), rel=1e-5)


def test_a_wait_that_ended_at_the_very_length_had_ended_and_none_had_before_the_first() -> None:
    curve = kaplan_meier(WAITS, ENDED)
    assert share_by(curve, 12) == pytest.approx(0.25)
    assert share_by(curve, 4.9) == 0.0


def test_nothing_waits_when_there_is_no_case() -> None:
    curve = kaplan_meier(np.zeros(0), np.zeros(0, dtype=bool))
    assert curve.seconds.size == 0
    assert quantile_of(curve, 0.5).value is None


def test_limits_from_moving_ranges() -> None:
    found = control_limits([0.62, 0.65, 0.61, 0.66, 0.64, 0.63, 0.67, 0.62, 0.65])
    assert (found.mean, found.low, found.high) == pytest.approx((0.6389, 0.549, 0.729), abs=5e-4)
    assert signals([0.55], found) == [None]
    assert signals([0.65] * 8, found) == [None] * 7 + ["eight on one side"]
    assert signals([0.65] * 7 + [0.60] + [0.65] * 7, found) == [None] * 15


def test_the_funnel_at_forty() -> None:
    assert funnel_limits(0.6, 40, 0.95) == pytest.approx((0.448, 0.752), abs=5e-4)
    assert funnel_limits(0.6, 40, 0.998) == pytest.approx((0.361, 0.839), abs=5e-4)
