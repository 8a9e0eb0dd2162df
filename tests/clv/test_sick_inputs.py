"""Customers that break other packages: a right answer, or a refusal that names the remedy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks.buyers import simulate_gamma_gamma, simulate_geometric
from clv.purchases import BgBb, BgNbd, MbgNbd, Observations, ParetoNbd
from clv.spend import GammaGamma
from histories.errors import ConvergenceError, DataError

MODELS = [BgNbd, MbgNbd, ParetoNbd]


def ages(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(180, 540, n) / 7.0


def plain() -> Observations:
    rng = np.random.default_rng(5)
    return simulate_geometric(rng, ages(rng, 1000), r=0.25, alpha=4.4, a=0.8, b=2.4).observations


def heavy_buyers() -> Observations:
    rng = np.random.default_rng(6)
    return simulate_geometric(rng, ages(rng, 1000), r=5.0, alpha=0.3, a=0.5, b=30.0).observations


def alike_customers() -> Observations:
    rng = np.random.default_rng(7)
    return simulate_geometric(rng, ages(rng, 1000), r=4000.0, alpha=40_000.0, a=200.0, b=1800.0).observations


def sixty_customers() -> Observations:
    rng = np.random.default_rng(8)
    return simulate_geometric(rng, ages(rng, 60), r=0.5, alpha=6.0, a=0.8, b=2.4).observations


def one_with_5000_purchases() -> Observations:
    data = plain()
    x, t_x = data.frequency.copy(), data.recency.copy()
    x[0], t_x[0] = 5000.0, 0.99 * data.T[0]
    return Observations.from_arrays(x, t_x, data.T)


def no_dropout() -> Observations:
    rng = np.random.default_rng(9)
    return simulate_geometric(rng, ages(rng, 1000), r=2.0, alpha=20.0, a=1e-6, b=10.0).observations


CASES = [plain, heavy_buyers, alike_customers, sixty_customers, one_with_5000_purchases, no_dropout]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", CASES)
def test_predictions_are_finite_and_add_up_to_the_past(
    case: Callable[[], Observations], model: Callable[..., Any]
) -> None:
    data = case()
    fit = model().fit(data)
    x, t_x, T = data.frequency, data.recency, data.T
    alive = fit.predict_alive(x, t_x, T)
    assert ((alive >= 0.0) & (alive <= 1.0)).all()
    expected = fit.predict_purchases(np.array([10.0, 100.0]), x, t_x, T)
    assert np.isfinite(expected).all()
    assert (expected[1] >= expected[0]).all()
    # a maximum reproduces the purchases it was fitted on, unless one customer outweighs all the others
    if case is not one_with_5000_purchases:
        lengths, inverse = np.unique(T, return_inverse=True)
        assert fit.expected_purchases(lengths)[inverse].sum() == pytest.approx(x.sum(), rel=0.15)


@pytest.mark.parametrize("model", MODELS)
def test_seconds_give_the_same_model_as_weeks(model: Callable[..., Any]) -> None:
    week = 604_800.0
    by_week, by_second = model().fit(plain()), model().fit(plain().rescale_time(week))
    times = [week if name in ("alpha", "beta") else 1.0 for name in by_week.parameter_names]
    assert by_second.vector() == pytest.approx(by_week.vector() * times, rel=1e-4)
    # densities of purchase times: each is a factor of `week` smaller in seconds
    shift = plain().frequency.sum() * np.log(week)
    assert by_second.report.log_likelihood + shift == pytest.approx(by_week.report.log_likelihood, rel=1e-9)


def test_heavy_buyers_recover_their_truth() -> None:
    fit = BgNbd().fit(heavy_buyers())
    errors = fit.standard_errors()
    assert errors is not None
    for name, truth in {"r": 5.0, "alpha": 0.3, "a": 0.5, "b": 30.0}.items():
        assert abs(getattr(fit, name) - truth) < 3.0 * errors[name]


def test_alike_customers_end_at_a_limiting_case_that_is_named() -> None:
    fit = BgNbd().fit(alike_customers())
    assert fit.r / fit.alpha == pytest.approx(0.1, rel=0.03)
    assert fit.a / (fit.a + fit.b) == pytest.approx(0.1, rel=0.2)  # dropout is never seen
    assert set(fit.report.at_bound) <= {"r", "a"}


@pytest.mark.parametrize("model", [BgNbd, MbgNbd, ParetoNbd, BgBb])
def test_a_company_where_nobody_bought_twice_is_refused_with_a_remedy(model: Callable[..., Any]) -> None:
    nobody = Observations.from_arrays(np.zeros(50), np.zeros(50), np.full(50, 30.0))
    with pytest.raises(ConvergenceError, match=r"none of 50 customers bought again.*Observe for longer"):
        model().fit(nobody)


BROKEN = {
    "no customers": ([], [], [], "no customers"),
    "recency beyond T": ([1.0], [9.0], [8.0], "1 of 1 .* recency below 0 or above T"),
    "recency without a repeat": ([0.0, 1.0], [2.0, 2.0], [8.0, 8.0], "1 of 2 .* without a repeat purchase"),
    "half a purchase": ([1.5], [2.0], [8.0], "negative or broken frequency"),
    "not a number": ([1.0], [float("nan")], [8.0], "not finite"),
    "nobody observed": ([0.0], [0.0], [0.0], "set a later observation_end"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_impossible_customers_are_refused(case: str) -> None:
    x, t_x, T, message = BROKEN[case]
    with pytest.raises(DataError, match=message):
        Observations.from_arrays(x, t_x, T)


def test_bg_bb_refuses_fractions_of_an_opportunity() -> None:
    with pytest.raises(DataError, match='set time_unit = "day"'):
        BgBb().fit(Observations.from_arrays([1.0, 2.0], [1.0, 2.5], [4.0, 4.0]))


def spenders(q: float) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    x = rng.integers(1, 8, 3000).astype(float)
    mean, _ = simulate_gamma_gamma(rng, x, p=4.0, q=q, v=15.0)
    return pl.DataFrame({"frequency": x, "monetary_value": mean})


def test_spend_without_a_population_mean_is_refused_with_a_remedy() -> None:
    with pytest.raises(ConvergenceError, match=r"q = 0.7.*smallest_q = 1.5"):
        GammaGamma().fit(spenders(q=0.75))


def test_the_remedy_gives_positive_spend() -> None:
    fit = GammaGamma(smallest_q=1.5).fit(spenders(q=0.75))
    assert fit.report.at_bound == ("q",)
    assert (fit.predict_spend(np.array([0.0, 1.0, 9.0]), np.array([np.nan, 0.5, 1e6])) > 0).all()


def test_spend_recovers_its_truth() -> None:
    fit = GammaGamma().fit(spenders(q=3.5))
    covariance = fit.report.log_covariance()
    assert covariance is not None
    errors = np.sqrt(np.diag(covariance))
    assert np.abs(np.log(fit.vector() / np.array([4.0, 3.5, 15.0]))) == pytest.approx(
        0.0, abs=3.0 * errors.max()
    )


def test_spend_needs_two_repeat_customers() -> None:
    with pytest.raises(DataError, match="1 of 2 customers"):
        GammaGamma().fit(pl.DataFrame({"frequency": [1, 0], "monetary_value": [3.0, None]}))
