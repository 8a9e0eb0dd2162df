"""Regular buyers, subscriptions, and the frames behind pictures."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from benchmarks.buyers import simulate_geometric
from clv.contractual import ShiftedBetaGeometric, count_renewals
from clv.fitting import full_log_likelihood, sum_log_intervals
from clv.pictures import (
    alive_history,
    frequency_recency_matrix,
    tracking,
)
from clv.purchases import BgNbd, Geometric, MbgCnbd
from histories.errors import ConvergenceError, DataError
from tests.clv.data import CALIBRATION_END, OBSERVATION_END, cdnow_purchases, cdnow_summary

# Fader & Hardie (2007), table 1: percent of two cohorts still there after year 0 to 7
REGULAR = [100.0, 63.1, 46.8, 38.2, 32.6, 28.9, 26.2, 24.1]
HIGH_END = [100.0, 86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1]


def cohort(survivors: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Periods, left and weights of 1,000 customers."""
    share = np.array(survivors) * 10.0
    years = len(survivors) - 1
    return (
        np.array([*range(1, years + 1), years], dtype=float),
        np.array([True] * years + [False]),
        np.array([*-np.diff(share), share[-1]]),
    )


@pytest.mark.parametrize(
    ("survivors", "a", "b", "log_likelihood"),
    [(HIGH_END, 0.668, 3.806, -1611.2), (REGULAR, 0.704, 1.182, -1680.3)],
)
def test_subscriptions_match_fader_and_hardie_2007(
    survivors: list[float], a: float, b: float, log_likelihood: float
) -> None:
    fit = ShiftedBetaGeometric().fit(*cohort(survivors))
    assert fit.a == pytest.approx(a, abs=1e-3)
    assert fit.b == pytest.approx(b, abs=1e-3)
    assert fit.report.log_likelihood == pytest.approx(log_likelihood, abs=0.1)


def test_the_chance_to_renew_rises_with_age() -> None:
    fit = ShiftedBetaGeometric().fit(*cohort(HIGH_END))
    survival = fit.predict_survival(np.arange(13))
    assert survival[0] == 1.0
    assert (np.diff(survival[1:] / survival[:-1]) > 0).all()


def test_renewals_are_counted_by_complete_periods() -> None:
    start = date(2026, 1, 1)
    customers = pl.LazyFrame(
        {
            "customer_id": ["stays", "leaves", "new", "later"],
            "acquired_at": [start, start, start + timedelta(days=95), start + timedelta(days=400)],
            "ended_at": [None, start + timedelta(days=70), None, None],
        }
    )
    table = count_renewals(customers, observation_end=start + timedelta(days=100), period_days=30.0)
    assert table.rows() == [("stays", 3, False), ("leaves", 3, True), ("new", 0, False)]


def test_a_cohort_that_nobody_left_is_refused() -> None:
    with pytest.raises(ConvergenceError, match="nobody left"):
        ShiftedBetaGeometric().fit([3.0, 2.0], [False, False])
    with pytest.raises(DataError, match="1 of 2 customers left without"):
        ShiftedBetaGeometric().fit([0.0, 2.0], [True, False])


@pytest.mark.parametrize("k", [1, 2])
def test_the_regularity_of_simulated_buyers_is_recovered(k: int) -> None:
    rng = np.random.default_rng(k)
    truth = {"r": 1.5, "alpha": 2.0, "a": 0.5, "b": 5.0}
    logs = 0.0

    # the simulator returns counts only, so times are drawn here, customer by customer
    rows = []
    for _ in range(1500):
        rate, p, now, T = rng.gamma(1.5, 0.5), rng.beta(0.5, 5.0), 0.0, float(rng.uniform(20.0, 60.0))
        x, last = 0, 0.0
        while rng.random() >= p:
            gap = rng.gamma(k) / rate
            if now + gap > T:
                break
            now += gap
            logs, x, last = logs + float(np.log(gap)), x + 1, now
        rows.append((x, last, T))
    summary = pl.DataFrame(rows, schema=["frequency", "recency", "T"], orient="row")
    fits = [Geometric(k=shape, birth=1).fit(summary) for shape in (1, 2, 3)]
    found = max(fits, key=lambda fit: full_log_likelihood(fit, logs))
    assert found.k == k
    errors = found.standard_errors()
    assert errors is not None
    for name, value in truth.items():
        assert abs(getattr(found, name) - value) < 4.0 * errors[name]


def test_buyers_of_music_are_not_regular() -> None:
    logs = sum_log_intervals(cdnow_purchases().lazy(), observation_end=CALIBRATION_END, time_unit="week")
    plain, regular = (full_log_likelihood(Geometric(k=k, birth=0).fit(cdnow_summary()), logs) for k in (1, 2))
    assert plain == pytest.approx(-9582.429, abs=1e-3)
    assert regular < plain


def test_forecasts_of_regular_buyers_follow_their_future() -> None:
    rng = np.random.default_rng(3)
    drawn = simulate_geometric(
        rng, rng.uniform(20.0, 60.0, 4000), r=1.5, alpha=2.0, a=0.5, b=5.0, k=2, birth=1, horizon=20.0
    )
    data = drawn.observations
    fit = MbgCnbd(k=2).fit(data)
    expected = fit.predict_purchases(np.array([20.0]), data.frequency, data.recency, data.T)[0]
    assert expected.sum() == pytest.approx(drawn.future.sum(), rel=0.04)
    alive = fit.predict_alive(data.frequency, data.recency, data.T)
    assert alive.mean() == pytest.approx(drawn.alive.mean(), abs=0.03)


def test_the_matrix_holds_every_possible_pair() -> None:
    fit = BgNbd().fit(cdnow_summary())
    matrix = frequency_recency_matrix(fit, frequency=5, age=39, t=10.0).sort("expected_purchases")
    assert matrix.height == 1 + 5 * 39
    assert matrix.row(-1)[:2] == (5, 39.0)


def test_one_customer_fades_in_silence_and_revives_at_a_purchase() -> None:
    fit = BgNbd().fit(cdnow_summary())
    days = [date(1997, 1, 1), date(1997, 1, 18), date(1997, 8, 2)]
    line = alive_history(fit, days, until=date(1997, 9, 30), time_unit="week")
    assert line.filter("purchased")["date"].to_list() == days
    before = line.row(by_predicate=pl.col("date") == date(1997, 8, 1), named=True)["probability_alive"]
    after = line.row(by_predicate=pl.col("date") == date(1997, 8, 2), named=True)["probability_alive"]
    assert before < 0.6 < after
    assert line["date"].is_sorted()


def test_tracking_follows_the_published_course() -> None:
    # Fader, Hardie & Lee 2005, figure 2: cumulative repeat purchases within a few percent until week 39
    table = tracking(
        cdnow_purchases().lazy(),
        BgNbd().fit(cdnow_summary()),
        observation_end=OBSERVATION_END,
        time_unit="week",
    )
    at_39 = table.filter(pl.col("date") <= CALIBRATION_END).row(-1, named=True)
    assert at_39["cumulative_expected"] == pytest.approx(at_39["cumulative_observed"], rel=0.05)
    assert table["cumulative_observed"][-1] == 2457 + 1882
    assert table["observed"].sum() == 2457 + 1882
