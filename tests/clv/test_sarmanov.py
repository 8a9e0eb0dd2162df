"""Purchase and dropout rates that are correlated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import gammaln, roots_genlaguerre

from clv.purchases import Observations, ParetoNbd, pareto
from clv.purchases.base import UNFITTED
from clv.purchases.fits import fit_from_dict, fit_purchases
from clv.purchases.sarmanov import COMPONENTS, SarmanovNbdFit, _mix
from tests.clv.data import Floats

TRUTH = SarmanovNbdFit(r=1.4, alpha=12.0, s=1.1, beta=25.0, odds=9.0, report=UNFITTED)
LA, LB = 2.0**-TRUTH.r, 2.0**-TRUTH.s
LOW = -1.0 / max(LA * LB, (1.0 - LA) * (1.0 - LB))
HIGH = 1.0 / max(LA * (1.0 - LB), (1.0 - LA) * LB)
M = LOW + (HIGH - LOW) * 0.9


def customers(n: int) -> pl.DataFrame:
    """Customers of the model, their rates drawn by rejection."""
    rng = np.random.default_rng(6)
    rate, leaving = np.empty(0), np.empty(0)
    while rate.size < n:
        buys, leaves = rng.gamma(1.4, 1 / 12.0, 4 * n), rng.gamma(1.1, 1 / 25.0, 4 * n)
        density = 1.0 + M * (np.exp(-12.0 * buys) - LA) * (np.exp(-25.0 * leaves) - LB)
        kept = rng.random(4 * n) * (1.0 + M) < density
        rate, leaving = np.append(rate, buys[kept]), np.append(leaving, leaves[kept])
    rate, leaving, T = rate[:n], leaving[:n], rng.uniform(50.0, 150.0, n)
    lived = np.minimum(rng.exponential(1.0, n) / leaving, T)
    x = rng.poisson(rate * lived).astype(float)
    last = np.where(x > 0, lived * rng.random(n) ** (1.0 / np.maximum(x, 1.0)), 0.0)
    return pl.DataFrame({"frequency": x, "recency": last, "T": T})


@pytest.fixture(scope="module")
def fitted() -> tuple[pl.DataFrame, SarmanovNbdFit]:
    frame = customers(6_000)
    fit = fit_purchases("pareto_nbd_sarmanov", frame)
    assert isinstance(fit, SarmanovNbdFit)
    return frame, fit


def test_the_correlation_is_recovered_and_the_plain_model_is_worse(
    fitted: tuple[pl.DataFrame, SarmanovNbdFit],
) -> None:
    frame, fit = fitted
    assert TRUTH.correlation == pytest.approx(0.16, abs=0.01)
    assert fit.correlation == pytest.approx(TRUTH.correlation, abs=0.06)
    assert fit.report.log_likelihood > ParetoNbd().fit(frame).report.log_likelihood + 3.0
    for name in ("r", "alpha", "s", "beta"):
        assert getattr(fit, name) == pytest.approx(getattr(TRUTH, name), rel=0.25), name
    back = fit_from_dict(fit.to_dict())
    assert isinstance(back, SarmanovNbdFit)
    assert back.correlation == fit.correlation


def test_without_correlation_it_is_pareto_nbd() -> None:
    free = SarmanovNbdFit(r=1.4, alpha=12.0, s=1.1, beta=25.0, odds=-LOW / HIGH, report=UNFITTED)
    plain = ParetoNbd.fitted(r=1.4, alpha=12.0, s=1.1, beta=25.0, report=UNFITTED)
    x, t_x, T = np.array([0.0, 3.0, 40.0]), np.array([0.0, 12.0, 88.0]), np.array([20.0, 60.0, 90.0])
    data, t = Observations.from_arrays(x, t_x, T), np.array([10.0, 52.0])
    assert free.correlation == pytest.approx(0.0, abs=1e-12)
    assert free.scorer(data)(free.vector())[0] == pytest.approx(plain.scorer(data)(plain.vector())[0])
    assert free.predict_purchases(t, x, t_x, T) == pytest.approx(plain.predict_purchases(t, x, t_x, T))
    assert free.predict_next_purchase(x, t_x, T) == pytest.approx(
        plain.predict_next_purchase(x, t_x, T), nan_ok=True
    )
    assert free.predict_residual(0.01, x, t_x, T) == pytest.approx(plain.predict_residual(0.01, x, t_x, T))


@pytest.mark.parametrize(("x", "t_x", "T"), [(0.0, 0.0, 20.0), (6.0, 30.0, 40.0)])
def test_p_alive_and_expectation_are_integrals_over_the_joint_density(x: float, t_x: float, T: float) -> None:
    def integral(of: Callable[[Floats, Floats], Floats]) -> float:
        """Of the joint density, by Gauss-Laguerre in both rates."""
        buys, first = roots_genlaguerre(120, TRUTH.r - 1.0)
        leaves, second = roots_genlaguerre(120, TRUTH.s - 1.0)
        rate, leaving = buys[:, None] / TRUTH.alpha, leaves[None, :] / TRUTH.beta
        joint = 1.0 + M * (np.exp(-TRUTH.alpha * rate) - LA) * (np.exp(-TRUTH.beta * leaving) - LB)
        return float(first @ (joint * rate**x * of(rate, leaving)) @ second)

    here = integral(lambda rate, leaving: np.exp(-(rate + leaving) * T))
    gone = integral(
        lambda rate, leaving: (
            leaving / (rate + leaving) * (np.exp(-(rate + leaving) * t_x) - np.exp(-(rate + leaving) * T))
        )
    )
    ahead = integral(
        lambda rate, leaving: np.exp(-(rate + leaving) * T) * rate * -np.expm1(-leaving * 30.0) / leaving
    )
    one, when, age = np.array([x]), np.array([t_x]), np.array([T])
    assert TRUTH.predict_alive(one, when, age)[0] == pytest.approx(here / (here + gone), rel=2e-3)
    found = TRUTH.predict_purchases(np.array([30.0]), one, when, age)[0, 0]
    assert found == pytest.approx(ahead / (here + gone), rel=2e-3)


def test_drawn_customers_buy_what_is_expected_of_them() -> None:
    x, T = np.repeat([0.0, 5.0], 40_000), np.full(80_000, 40.0)
    drawn = TRUTH.simulate_alive(52.0, x, T, rng=np.random.default_rng(2))
    expected = TRUTH.predict_purchases_alive(np.array([52.0]), x[[0, -1]], T[[0, -1]], T[[0, -1]])[0]
    assert [drawn[:40_000].mean(), drawn[40_000:].mean()] == pytest.approx(expected, rel=0.03)
    none = TRUTH.predict_tail_alive(1, np.array([52.0]), x[:1], T[:1], T[:1])[0]
    assert (drawn[:40_000] > 0).mean() == pytest.approx(none, abs=0.01)


APPAREL = Path(__file__).parents[3] / "shared" / "data" / "apparel"


@pytest.mark.skipif(not APPAREL.exists(), reason="needs ../shared/data/apparel")
def test_the_likelihood_is_that_of_clvtools_at_its_estimates() -> None:
    """CLVTools 0.12, pnbd(use.cor = TRUE) on apparelTrans, 104 weeks; its kernels are one week."""
    log = pl.read_parquet(APPAREL / "transactions.parquet").filter(pl.col("date") <= pl.date(2006, 12, 31))
    week = (pl.col("date") - pl.date(2005, 1, 2)).dt.total_days() / 7
    rows = log.unique(["customer_id", "date"]).group_by("customer_id").agg(x=pl.len() - 1.0, t_x=week.max())
    x, t_x = rows["x"].to_numpy(), rows["t_x"].to_numpy()
    r, alpha, s, beta, correlation = 1.4704880102, 48.5545689453, 0.2461867390, 11.2051845186, -0.000994711694
    la, lb = (alpha / (alpha + 1.0)) ** r, (beta / (beta + 1.0)) ** s
    m = correlation * (1.0 + alpha) * (1.0 + beta) / (np.sqrt(r * s) * la * lb)
    T = np.full(x.size, 104.0)
    logs = [pareto.score_rows(r, alpha + a, s, beta + b, x, t_x, T)[0] for a, b, _ in COMPONENTS]
    each = _mix(logs, m * la * lb)[0]
    assert (each + gammaln(r + x) - gammaln(r)).sum() == pytest.approx(-5850.8201910, abs=1e-5)
    frame = pl.DataFrame({"frequency": x, "recency": t_x, "T": np.full(x.size, 104.0)})
    found = fit_purchases("pareto_nbd_sarmanov", frame)
    assert found.report.log_likelihood > -5848.05  # CLVTools' search ends 2.7 below the plain model
