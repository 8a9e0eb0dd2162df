"""The importance sampler, its gate, and the intervals it feeds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from benchmarks.buyers import simulate_geometric
from clv.intervals import predict_intervals, sampling_variance
from clv.posterior import PRIORS, log_prior, pareto_k, sample_posterior
from clv.purchases import BgNbd, MbgNbd, Observations
from clv.uncertainty import purchase_posterior
from clv.value import Horizon, discounted_purchases
from histories.arrays import Float
from histories.errors import ConfigError, ConvergenceError
from tests.clv.data import cdnow_summary

# PyMC-Marketing 0.19.2, BetaGeoModel with its default priors on lifetimes' cdnow_customers_summary.csv, NUTS
# with four chains of 1,000 + 1,000 draws: mean and standard deviation
PYMC = {
    "r": (0.24579, 0.01236),
    "alpha": (4.5183, 0.3755),
    "a": (0.7820, 0.1914),
    "b": (2.4120, 0.7566),
}


def normal_score(parameters: Float) -> tuple[float, Float]:
    """Logs of the parameters are normal around (0, 1) with deviations (.2, .5)."""
    z = (np.log(parameters) - np.array([0.0, 1.0])) / np.array([0.2, 0.5])
    return float(-0.5 * z @ z), -z / np.array([0.2, 0.5]) / parameters


def test_a_normal_posterior_is_recovered() -> None:
    posterior = sample_posterior(
        normal_score,
        np.array([1.1, 2.0]),
        names=["a", "b"],
        prior=log_prior("flat", ["a", "b"]),
        draws=4000,
        affordable=4000,
        rng=np.random.default_rng(1),
    )
    logs = np.log(posterior.draws)
    assert logs.mean(axis=0) == pytest.approx([0.0, 1.0], abs=0.04)
    assert logs.std(axis=0) == pytest.approx([0.2, 0.5], rel=0.06)
    assert posterior.k_hat < 0.5
    assert posterior.effective > 3000


def test_cdnow_under_the_priors_of_pymc_marketing() -> None:
    fit = BgNbd().fit(cdnow_summary())
    data = Observations.from_summary(cdnow_summary())
    posterior = purchase_posterior(fit, data, prior="pymc", draws=2000, rng=np.random.default_rng(2))
    for name, draws in zip(posterior.names, posterior.draws.T, strict=True):
        mean, deviation = PYMC[name]
        assert draws.mean() == pytest.approx(mean, abs=0.1 * deviation)
        assert draws.std() == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize("model", [BgNbd, MbgNbd])
def test_many_likelihoods_at_once_are_those_of_one_by_one(model: Callable[..., Any]) -> None:
    data = Observations.from_summary(cdnow_summary())
    fit = model().fit(data)
    vectors = fit.vector() * np.exp(0.3 * np.random.default_rng(1).standard_normal((25, 4)))
    one_by_one = [fit.scorer(data)(vector)[0] for vector in vectors]
    assert fit.many_scorer(data)(vectors) == pytest.approx(one_by_one, rel=1e-12)


def test_a_posterior_without_a_usable_shape_is_refused_with_figures() -> None:
    def far_tails(parameters: Float) -> tuple[float, Float]:
        # a narrow peak on a plateau that never ends: no t distribution covers both
        z = np.log(parameters)
        peak = np.exp(-0.5 * (z / 0.001) ** 2)
        plateau = np.exp(-np.abs(z) / 40.0)
        value = float(np.log(peak + plateau).sum())
        slope = (-peak * z / 0.001**2 - plateau * np.sign(z) / 40.0) / (peak + plateau) / parameters
        return value, slope

    with pytest.raises(ConvergenceError, match=r"no interval: .*effective, k-hat"):
        sample_posterior(
            far_tails,
            np.array([1.0]),
            names=["a"],
            prior=log_prior("flat", ["a"]),
            draws=1000,
            affordable=1000,
            rng=np.random.default_rng(1),
        )


@pytest.mark.parametrize(("shape", "allowed"), [(0.1, 0.15), (0.5, 0.2), (0.9, 0.25)])
def test_k_hat_finds_the_shape_of_pareto_weights(shape: float, allowed: float) -> None:
    drawn = stats.genpareto.rvs(shape, size=20_000, random_state=np.random.default_rng(3))
    assert pareto_k(np.log(drawn)) == pytest.approx(shape, abs=allowed)


def test_priors_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match='did you mean "flat"'):
        log_prior("flt", ["r"])
    with pytest.raises(ConfigError, match="not defined"):
        log_prior("pymc", ["gamma", "delta"])
    assert set(PRIORS) == {"weak", "flat", "pymc"}


def test_pymc_prior_integrates_like_its_parts() -> None:
    # phi and kappa are independent, so doubling both a and b changes the density by kappa^-2 x Jacobian only
    density = log_prior("pymc", ["r", "alpha", "a", "b"])
    low, high = (density(np.log([0.5, 5.0, a, b])) for a, b in ((0.8, 2.4), (1.6, 4.8)))
    assert high - low == pytest.approx(2.0 * np.log(2.0) - 3.0 * np.log(2.0))
    assert density(np.log([0.5, 5.0, 0.2, 0.3])) == -np.inf


@pytest.mark.parametrize("weeks", [0.3, 4.0])
def test_the_spread_of_a_total_of_few_purchases_is_that_of_few_events(weeks: float) -> None:
    rng = np.random.default_rng(1)
    T = rng.integers(30, 80, 170).astype(float)
    data = simulate_geometric(rng, T, r=0.6, alpha=6.0, a=0.7, b=2.4, horizon=weeks).observations
    fit = BgNbd().fit(data)
    frame = pl.DataFrame(
        {"frequency": data.frequency, "recency": data.recency, "T": T, "monetary_value": np.nan}
    )
    expected = fit.predict_purchases(np.array([weeks]), data.frequency, data.recency, T)[0].sum()
    variances = [
        sampling_variance(fit, None, frame, weeks, rng=np.random.default_rng(seed)).purchases
        for seed in range(8)
    ]
    # purchases of a few days are counts of rare events, 1 / n; one simulated total of 1.5 may be 0 or 6
    assert np.array(variances) * expected == pytest.approx(1.1, abs=0.35)


def test_intervals_of_simulated_companies_cover() -> None:
    """Six companies, each count and total against what came; benchmarks/clv_coverage.py has 600."""
    horizon = Horizon(months=6, discount_rate=0.1, time_unit="week")
    counts, totals = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        truth = {"r": 0.6, "alpha": 6.0, "a": 0.7, "b": 2.4}
        T = rng.integers(30, 80, 600).astype(float)
        drawn = simulate_geometric(rng, T, **truth, horizon=horizon.length)
        data = drawn.observations
        fit = BgNbd().fit(data)
        posterior = purchase_posterior(fit, data, prior="weak", draws=400, rng=rng)
        fits = [fit.with_vector(vector) for vector in posterior.thin(50)]
        known = {
            "frequency": data.frequency,
            "recency": data.recency,
            "T": data.T,
            "monetary_value": np.full(data.size, np.nan),
            "gross_margin": 1.0,
            "level": 0.9,
        }
        limits = predict_intervals(fits, [], horizon, **known, rng=rng)  # type: ignore[arg-type]
        counts.append((limits.purchases_low <= drawn.future) & (drawn.future <= limits.purchases_high))
        assert np.isnan(limits.value_high).all()
        frame = pl.DataFrame(
            {"frequency": data.frequency, "recency": data.recency, "T": data.T, "monetary_value": np.nan}
        )
        variance = sampling_variance(fit, None, frame, horizon.length, rng=rng).purchases
        forecast = discounted_purchases(fit, horizon, data.frequency, data.recency, data.T)[0].sum()
        totals.append(abs(np.log(drawn.future.sum() / forecast)) <= 1.645 * np.sqrt(variance))
    assert np.mean(counts) > 0.87
    assert sum(totals) >= 4  # 3 or fewer of 6 at probability .9 happens once in 60
    # a point forecast taken as certain would not do
    assert np.mean(limits.purchases_low == limits.purchases_high) < 0.5
