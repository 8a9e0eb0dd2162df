"""Predictions against sums, integrals and simulations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from clv.purchases import BgBbFit, GeometricFit, ParetoNbdFit, PurchaseFit
from clv.purchases.base import UNFITTED
from clv.purchases.observations import Observations

FITS: dict[str, PurchaseFit] = {
    "bg_nbd": GeometricFit(r=0.2426, alpha=4.4136, a=0.7929, b=2.4259, report=UNFITTED),
    "mbg_nbd": GeometricFit(birth=1, r=0.5248, alpha=6.1831, a=0.8914, b=1.614, report=UNFITTED),
    "pareto_nbd": ParetoNbdFit(r=0.5533, alpha=10.5777, s=0.6062, beta=11.6687, report=UNFITTED),
    "pareto_nbd, beta < alpha": ParetoNbdFit(r=0.5, alpha=9.0, s=1.4, beta=2.0, report=UNFITTED),
    "bg_bb": BgBbFit(alpha=1.204, beta=0.75, gamma=0.657, delta=2.783, report=UNFITTED),
    "bg_cnbd_2": GeometricFit(r=0.6, alpha=3.0, a=0.5, b=3.0, k=2, report=UNFITTED),
    "mbg_cnbd_3": GeometricFit(birth=1, r=0.9, alpha=2.0, a=0.5, b=3.0, k=3, report=UNFITTED),
}
# frequency, recency, T; whole numbers so that they suit BG/BB too
X = np.array([0.0, 0.0, 1.0, 2.0, 7.0, 20.0])
T_X = np.array([0.0, 0.0, 3.0, 30.0, 38.0, 39.0])
T = np.array([4.0, 39.0, 39.0, 39.0, 39.0, 39.0])
HORIZON = 12.0
OBSERVED = Observations(frequency=X, recency=T_X, T=T, weights=np.array([3.0, 1.0, 2.0, 1.0, 1.0, 1.0]))
everywhere = pytest.mark.parametrize("name", FITS)


@everywhere
def test_probabilities_of_counts_sum_to_one_and_to_the_expectation(name: str) -> None:
    fit = FITS[name]
    chances = np.array([fit.predict_count(n, HORIZON, X, T_X, T) for n in range(200)])
    assert chances.sum(axis=0) == pytest.approx(1.0, abs=1e-6)
    mean = (np.arange(200)[:, None] * chances).sum(axis=0)
    assert mean == pytest.approx(fit.predict_purchases(np.array([HORIZON]), X, T_X, T)[0], rel=1e-4)


@everywhere
def test_no_purchase_is_a_count_of_zero(name: str) -> None:
    fit = FITS[name]
    assert fit.predict_no_purchase(HORIZON, X, T_X, T) == pytest.approx(
        fit.predict_count(0, HORIZON, X, T_X, T), abs=1e-12
    )


@everywhere
def test_simulated_customers_buy_what_is_expected(name: str) -> None:
    fit, rng, copies = FITS[name], np.random.default_rng(4), 40_000
    if not fit.memoryless:
        pytest.skip("a simulated regular buyer starts at a renewal, an expected one where it is on the way")
    for x, age in zip(X[[1, 3, 4]], T[[1, 3, 4]], strict=True):
        drawn = fit.simulate_alive(HORIZON, np.full(copies, x), np.full(copies, age), rng=rng)
        expected = fit.predict_purchases_alive(
            np.array([HORIZON]), np.array([x]), np.array([0.0]), np.array([age])
        )[0, 0]
        assert drawn.mean() == pytest.approx(expected, abs=4.0 * drawn.std() / np.sqrt(copies))


@everywhere
def test_the_residual_value_is_the_discounted_sum_of_purchases(name: str) -> None:
    # integration by parts: integral of rate e^(-rate u) E[X(u)] du; opportunities are summed instead
    fit, rate = FITS[name], 0.15 / 52.0
    if not fit.memoryless:
        pytest.skip("for regular buyers the formula is an approximation; its bound is tested below")
    for i in (1, 3, 5):
        row = (X[i : i + 1], T_X[i : i + 1], T[i : i + 1])
        if name == "bg_bb":
            steps = np.arange(0.0, 40_001.0)
            gained = np.diff(fit.predict_purchases(steps, *row)[:, 0])
            expected = float((np.exp(-rate * steps[1:]) * gained).sum())
        else:
            expected = quad(
                lambda u, row=row: (
                    rate * np.exp(-rate * u) * fit.predict_purchases(np.array([u]), *row)[0, 0]
                ),
                0.0,
                40.0 / rate,
                limit=400,
            )[0]
        assert fit.predict_residual(rate, *row)[0] == pytest.approx(expected, rel=1e-4)


def test_the_next_purchase_comes_at_its_median() -> None:
    for name in ("bg_nbd", "mbg_nbd", "pareto_nbd", "bg_cnbd_2", "mbg_cnbd_3"):
        fit = FITS[name]
        median = fit.predict_median_alive(X, T_X, T)
        half = fit.predict_tail_alive(1, median, X, T_X, T) / fit.predict_ever_alive(X, T)
        assert half == pytest.approx(0.5, abs=1e-6)


def test_there_is_no_next_purchase_of_a_customer_who_has_probably_left() -> None:
    gone = (np.array([20.0]), np.array([5.0]), np.array([39.0]))
    here = (np.array([20.0]), np.array([39.0]), np.array([39.0]))
    for fit in FITS.values():
        assert np.isnan(fit.predict_next_purchase(*gone)).all()
        assert np.isfinite(fit.predict_next_purchase(*here)).all()


def test_regular_buyers_with_k_1_are_the_plain_models() -> None:
    plain = FITS["bg_nbd"]
    once = GeometricFit(r=0.2426, alpha=4.4136, a=0.7929, b=2.4259, k=1, report=UNFITTED)
    for ours, theirs in (
        (once.predict_alive(X, T_X, T), plain.predict_alive(X, T_X, T)),
        (
            once.predict_purchases(np.array([HORIZON]), X, T_X, T),
            plain.predict_purchases(np.array([HORIZON]), X, T_X, T),
        ),
    ):
        assert ours == pytest.approx(theirs, rel=1e-12)


def test_the_sum_over_tails_and_the_quadrature_agree() -> None:
    # k > 1 uses the sum of P(at least m); here both ways for k = 1
    from clv.purchases import geometric

    fit = FITS["mbg_nbd"]
    assert isinstance(fit, GeometricFit)
    t = np.array([1.0, HORIZON])
    by_sum = geometric._sum_of_tails(fit.vector(), t, X, T_X, T, fit.family)
    assert by_sum == pytest.approx(
        geometric.purchases_alive(fit.vector(), t, X, T_X, T, fit.family), rel=1e-8
    )


def test_a_customer_bought_more_often_and_later_is_worth_more() -> None:
    for fit in FITS.values():
        later = fit.predict_alive(np.full(3, 5.0), np.array([10.0, 25.0, 39.0]), np.full(3, 39.0))
        assert (np.diff(later) > 0).all()


def test_dropout_probability_of_exactly_one_half_has_no_pole() -> None:
    # lifetimes divides by a - 1
    at, near = (
        GeometricFit(r=0.5, alpha=5.0, a=a, b=2.0, report=UNFITTED).predict_purchases(
            np.array([20.0]), X, T_X, T
        )
        for a in (1.0, 1.0 + 1e-7)
    )
    assert at == pytest.approx(near, rel=1e-6)
    at, near = (
        ParetoNbdFit(r=0.5, alpha=5.0, s=s, beta=2.0, report=UNFITTED).predict_purchases(
            np.array([20.0]), X, T_X, T
        )
        for s in (1.0, 1.0 + 1e-7)
    )
    assert at == pytest.approx(near, rel=1e-6)


sizes = st.floats(0.05, 50.0)


@settings(max_examples=60, deadline=None)
@given(
    r=sizes,
    alpha=sizes,
    s=sizes,
    beta=sizes,
    x=st.integers(0, 400),
    T=st.floats(0.5, 500.0),
    share=st.floats(0.01, 1.0),
    t=st.floats(0.01, 500.0),
)
def test_every_prediction_is_possible(
    r: float, alpha: float, s: float, beta: float, x: int, T: float, share: float, t: float
) -> None:
    row = (np.array([float(x)]), np.array([share * T if x else 0.0]), np.array([T]))
    fits: list[PurchaseFit] = [
        GeometricFit(r=r, alpha=alpha, a=s, b=beta, report=UNFITTED),
        GeometricFit(birth=1, r=r, alpha=alpha, a=s, b=beta, report=UNFITTED),
        ParetoNbdFit(r=r, alpha=alpha, s=s, beta=beta, report=UNFITTED),
    ]
    for fit in fits:
        alive = fit.predict_alive(*row)[0]
        none = fit.predict_no_purchase(t, *row)[0]
        expected = fit.predict_purchases(np.array([t, 2.0 * t]), *row)[:, 0]
        assert 0.0 <= alive <= 1.0
        assert 0.0 <= none <= 1.0
        assert 0.0 <= expected[0] <= expected[1] + 1e-9
        # at least one purchase is expected at least as often as one happens (Markov)
        assert 1.0 - none <= expected[0] * (1.0 + 1e-6) + 1e-9


@everywhere
def test_the_gradient_is_the_slope_of_the_log_likelihood(name: str) -> None:
    fit = FITS[name]
    score = fit.scorer(OBSERVED)
    at = fit.vector()
    for place, value in enumerate(at):
        step = 1e-5 * value * np.eye(len(at))[place]
        slope = (score(at + step)[0] - score(at - step)[0]) / (2.0 * step[place])
        assert score(at)[1][place] == pytest.approx(slope, rel=1e-6, abs=1e-5)


@everywhere
def test_many_parameter_vectors_score_as_one_by_one(name: str) -> None:
    fit = FITS[name]
    vectors = fit.vector() * np.random.default_rng(2).uniform(0.7, 1.4, (9, len(fit.vector())))
    many, one = fit.many_scorer(OBSERVED)(vectors), fit.scorer(OBSERVED)
    apart = np.array([one(vector)[0] for vector in vectors])
    assert many - many[0] == pytest.approx(apart - apart[0], rel=1e-9, abs=1e-9)
