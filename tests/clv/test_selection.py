"""How forecasts are judged and models are compared."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from benchmarks.buyers import simulate_gamma_gamma
from clv.challenger import Tilt, history_features, learn_boosting
from clv.clock import Clock
from clv.evaluate import (
    Forecast,
    Window,
    compare_models,
    decile_of,
    decile_table,
    evaluate_forecast,
    metrics_of,
    poisson_deviance,
    rolling_windows,
)
from clv.fitting import estimate_trend
from clv.tables import VALIDATION_SCHEMA
from histories.errors import ModelError

ORIGIN, UNTIL = date(2026, 1, 1), date(2026, 7, 1)


def forecast(model: str, predicted: np.ndarray, actual: np.ndarray, origin: date = ORIGIN) -> Forecast:
    return Forecast(
        origin=origin,
        until=UNTIL,
        model=model,
        predicted=predicted,
        actual=actual,
        predicted_revenue=10.0 * predicted,
        actual_revenue=10.0 * actual,
    )


def truth_and_counts(n: int = 2000) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(1)
    rate = rng.gamma(0.5, 2.0, n)
    return rate, rng.poisson(rate).astype(float), rng


def test_metrics_by_hand() -> None:
    metrics = metrics_of(forecast("bg_nbd", np.array([1.0, 2.0, 0.5, 0.5]), np.array([2.0, 2.0, 0.0, 0.0])))
    assert metrics["total_predicted"] == 4.0
    assert metrics["total_actual"] == 4.0
    assert metrics["total_error"] == 0.0
    assert metrics["mae"] == pytest.approx(0.5)
    assert metrics["rmse"] == pytest.approx(np.sqrt(1.5 / 4.0))
    assert metrics["revenue_error"] == 0.0
    assert metrics["spearman"] == pytest.approx(0.9428, abs=1e-3)


def test_deviance_is_least_at_the_true_mean() -> None:
    rate, counts, _ = truth_and_counts()
    right = poisson_deviance(rate, counts).mean()
    for wrong in (0.8 * rate, 1.25 * rate, np.full_like(rate, rate.mean())):
        assert poisson_deviance(wrong, counts).mean() > right


def test_validation_rows_carry_intervals_around_their_value() -> None:
    rate, counts, rng = truth_and_counts()
    table = evaluate_forecast(forecast("bg_nbd", rate, counts), interval=0.9, rng=rng)
    assert dict(table.schema) == VALIDATION_SCHEMA
    sums = table.filter(pl.col("metric") != "calibration_error")
    assert (sums["low"] <= sums["value"]).all()
    assert (sums["value"] <= sums["high"]).all()


def test_large_companies_are_bootstrapped_on_a_part_with_intervals_as_narrow() -> None:
    rate, counts, rng = truth_and_counts(40_000)
    table = evaluate_forecast(forecast("bg_nbd", rate, counts), interval=0.9, rng=rng)
    total = table.row(by_predicate=pl.col("metric") == "total_actual", named=True)
    expected = 2.0 * 1.645 * counts.std() * np.sqrt(counts.size)
    assert total["high"] - total["low"] == pytest.approx(expected, rel=0.25)


def test_a_worse_model_is_told_apart_with_its_interval() -> None:
    rate, counts, rng = truth_and_counts()
    flat = forecast("bg_nbd", np.full_like(rate, rate.mean()), counts)
    differences = compare_models([flat, forecast("stack", rate, counts)], interval=0.9, rng=rng)
    assert differences["stack"]["value"] == 0.0
    assert differences["bg_nbd"]["low"] > 0.0


def test_models_are_compared_on_the_origins_they_share() -> None:
    rate, counts, rng = truth_and_counts()
    earlier = ORIGIN - timedelta(days=90)
    # at the earlier origin bg_nbd is far off, which must not count against it
    both = [forecast("bg_nbd", rate, counts), forecast("bg_nbd", 5.0 * rate, counts, earlier)]
    once = forecast("gradient_boosting", rate, counts)
    differences = compare_models([*both, once], interval=0.9, rng=rng)
    assert differences["bg_nbd"]["value"] == 0.0


def test_windows_step_back_while_history_lasts() -> None:
    windows = rolling_windows(
        first=date(2024, 1, 1),
        calibration_end=date(2025, 6, 30),
        observation_end=date(2025, 12, 31),
        origins=9,
    )
    assert windows[0] == Window(origin=date(2025, 6, 30), until=date(2025, 12, 31))
    lengths = {(w.until - w.origin).days for w in windows}
    assert lengths == {184}
    assert all((w.origin - date(2024, 1, 1)).days >= 184 for w in windows)
    assert len(windows) == 4


def test_deciles_put_the_best_customers_first() -> None:
    assert decile_of(np.array([5.0, 1.0, 9.0, 9.0, 0.0])).tolist() == [5, 7, 1, 3, 9]
    rate, counts, _ = truth_and_counts()
    table = decile_table(forecast("bg_nbd", rate, counts))
    assert table["decile"].to_list() == list(range(1, 11))
    assert table["customers"].sum() == counts.size
    assert table["predicted"].is_sorted(descending=True)


def shoppers(n: int = 800) -> pl.LazyFrame:
    """Customers who buy at their own rates over a year and a half, in amounts of ten."""
    rng = np.random.default_rng(7)
    rows = []
    for customer in range(n):
        start, rate = int(rng.integers(0, 90)), float(rng.gamma(1.0, 0.05))
        days = {start} | {
            int(d) for d in start + np.cumsum(rng.exponential(1.0 / max(rate, 1e-3), 60)) if d < 540
        }
        rows += [(customer, day) for day in days]
    base = date(2024, 1, 1)
    return pl.LazyFrame(
        {
            "customer_id": [r[0] for r in rows],
            "date": [base + timedelta(days=r[1]) for r in rows],
            "timestamp": [datetime(2024, 1, 1) + timedelta(days=r[1]) for r in rows],
            "amount": [100_000] * len(rows),
            "margin": pl.Series([None] * len(rows), dtype=pl.Int64),
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    )


def test_the_challenger_learns_from_one_window_further_back_only() -> None:
    asked: list[date] = []

    def known_at(day: date) -> pl.LazyFrame:
        asked.append(day)
        return shoppers().filter(pl.col("date") <= day)

    origin = date(2024, 12, 31)
    clock = Clock(first=date(2024, 1, 1), end=origin, time_unit="day")
    boosting = learn_boosting(known_at, clock=clock, origin=origin, days=150)
    boosted = boosting.forecast(known_at(origin), clock=clock, origin=origin, days=150)
    assert max(asked) == origin
    assert (boosted >= 0.0).all()
    actual = (
        shoppers().filter(pl.col("date") > origin, pl.col("date") <= origin + timedelta(days=150)).collect()
    )
    assert boosted.sum() == pytest.approx(actual.height, rel=0.2)


def test_on_a_short_history_the_challenger_learns_on_half_of_it() -> None:
    origin = date(2024, 7, 1)
    clock = Clock(first=date(2024, 1, 1), end=origin, time_unit="day")
    half, whole = (
        learn_boosting(lambda day: shoppers(), clock=clock, origin=origin, days=days).forecast(
            shoppers(), clock=clock, origin=origin, days=days
        )
        for days in (91, 182)
    )
    assert whole.sum() == pytest.approx(2.0 * half.sum())


def test_the_challenger_learns_where_nobody_had_bought_twice() -> None:
    day = date(2024, 1, 1)
    once = pl.LazyFrame(
        {"customer_id": range(600), "date": [day] * 600, "amount": [10_000] * 600, "margin": [0] * 600}
    )
    again = once.with_columns(date=pl.lit(day + timedelta(days=200))).filter(pl.col("customer_id") % 2 == 0)
    known = pl.concat([once, again]).with_columns(timestamp=pl.col("date").cast(pl.Datetime("us")))
    origin = day + timedelta(days=300)
    clock = Clock(first=day, end=origin, time_unit="day")
    boosting = learn_boosting(
        lambda until: known.filter(pl.col("date") <= until), clock=clock, origin=origin, days=150
    )
    forecast = boosting.forecast(known, clock=clock, origin=origin, days=150)
    assert forecast.sum() == pytest.approx(300, rel=0.05)


def test_the_challenger_says_what_it_lacks() -> None:
    start = date(2024, 1, 1)
    with pytest.raises(ModelError, match="at least 28 days"):
        learn_boosting(
            lambda day: shoppers(),
            clock=Clock(first=start, end=date(2024, 2, 1), time_unit="day"),
            origin=date(2024, 2, 1),
            days=300,
        )
    with pytest.raises(ModelError, match="needs 500 customers"):
        learn_boosting(
            lambda day: shoppers(20),
            clock=Clock(first=start, end=date(2024, 12, 31), time_unit="day"),
            origin=date(2024, 12, 31),
            days=150,
        )


def test_history_features_count_recent_days() -> None:
    features = history_features(shoppers(30), origin=date(2024, 12, 31))
    assert (features["purchases_30"] <= features["purchases_90"]).all()
    assert (features["purchases_365"] <= features["frequency"] + 1).all()
    assert features["customer_id"].is_sorted()


def test_a_tilt_follows_a_forecast_and_keeps_its_total() -> None:
    expected = np.array([1.0, 2.0, 4.0])
    forecast = np.array([2.0, 1.0, 4.0])
    followed = Tilt.of(forecast, expected)
    assert (followed.factor(forecast, expected) * expected).tolist() == pytest.approx([2.0, 1.0, 4.0])
    wild = np.array([0.0, 0.0, 700.0])
    moved = Tilt.of(wild, expected).factor(wild, expected) * expected
    assert moved.sum() == pytest.approx(700.0)
    assert moved[0] > 0.0


@pytest.mark.parametrize(("slope", "found"), [(0.0, False), (0.4, True)])
def test_spend_that_depends_on_frequency_is_found(slope: float, found: bool) -> None:
    rng = np.random.default_rng(2)
    x = rng.geometric(0.3, 4000).astype(float)
    mean, _ = simulate_gamma_gamma(rng, x, p=4.0, q=4.0, v=15.0)
    trend = estimate_trend(pl.DataFrame({"frequency": x, "monetary_value": mean * (1.0 + x) ** slope}))
    assert trend is not None
    assert trend.slope == pytest.approx(slope, abs=4.0 * trend.std_error)
    assert trend.matters is found
