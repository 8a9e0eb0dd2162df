"""The compiled passes against plain dense arithmetic on a handful of customers."""

import numpy as np
import pytest

from attribution.incremental.frailty.data import FrailtyData, frailty_data
from attribution.incremental.frailty.design import learn_design
from attribution.incremental.frailty.parameters import Parameters
from attribution.incremental.frailty.posterior import Posterior, draw_predictors
from attribution.incremental.stocks import decayed_stocks
from histories.simulate import simulate_panel

SETTLED = 40
"""Newton steps after which a posterior no longer moves."""
EXPANSION = 1e-5
"""Error of the fourth-order expansion of the Bernoulli terms, in posterior means."""


@pytest.fixture(scope="module")
def data() -> FrailtyData:
    panel = simulate_panel("drift", n=12, periods=7, seed=3).panel
    panel.entry[:4] = [2, 1, 0, 3]
    panel.exit[:4] = [4, 7, 1, 7]
    panel.proxies[::3] = np.nan
    keep = panel.at_risk
    for values in (panel.spend, panel.problems, panel.purchases):
        values[~keep] = 0.0
    panel.touches[~keep] = 0.0
    stocks = decayed_stocks(panel.touches)
    return frailty_data(panel, stocks, learn_design(panel, use_proxies=True, proxy_last=False))


def some_parameters(data: FrailtyData, seed: int = 0) -> Parameters:
    rng = np.random.default_rng(seed)
    vector = 0.2 * rng.standard_normal(data.shape.size)
    places = data.shape.slices()
    vector[places["loadings"]] = 0.5 * rng.standard_normal(2 * data.shape.measures)
    vector[places["log_variances"]] = np.log(0.2)
    vector[places["persistence"]] = np.arctanh(0.8)
    vector[places["covariates"]].reshape(data.shape.measures, -1)[1, 0] = 3.5
    parameters = Parameters.from_vector(vector, data.shape, 1.4)
    parameters.covariates[1, 0] = 3.5
    parameters.months[:, 0] = 0.0
    return parameters


def dense_design(data: FrailtyData, parameters: Parameters, i: int, dynamic: bool) -> np.ndarray:
    """Rows t x m of the map from (u, v, eta, xi) to every linear predictor of customer i."""
    first, stop = data.rows.first[i], data.rows.stop[i]
    n = stop - first if dynamic else 1
    m, channels = data.shape.measures, data.shape.channels
    design = np.zeros((stop - first, m, n + channels + 2))
    for t in range(stop - first):
        j = t if dynamic else 0
        design[t, :, j] = parameters.loadings[:, 0]
        design[t, :, n] = parameters.loadings[:, 1]
        for c in range(channels):
            design[t, 2 + c, n + 1 + c] = 1.0
        design[t, 1, -1] = 1.0
    return design


def prior_precision_of(parameters: Parameters, n: int) -> np.ndarray:
    rho = parameters.rho if n > 1 else 0.0
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    out = np.zeros((n + len(parameters.latent_variances),) * 2)
    out[:n, :n] = np.linalg.inv(rho**lag)
    out[n:, n:] = np.diag(1.0 / parameters.latent_variances)
    return out


@pytest.mark.parametrize("dynamic", [True, False])
def test_posterior_is_a_fixed_point_of_the_dense_variational_equations(
    data: FrailtyData, dynamic: bool
) -> None:
    """At the optimum Sigma^-1 = prior + E[curvature] and prior mean = E[slope], written out in full."""
    parameters = some_parameters(data)
    posterior = Posterior.blank(data)
    posterior.improve(data, parameters, dynamic=dynamic, steps=SETTLED)
    rows = data.rows
    for i in range(data.n_lives):
        first, stop = rows.first[i], rows.stop[i]
        n = stop - first if dynamic else 1
        design = dense_design(data, parameters, i, dynamic)
        mean = np.concatenate([posterior.satisfaction[i, :n], posterior.constant[i]])
        prior = prior_precision_of(parameters, n)
        eta = fixed_part(data, parameters, i) + design @ mean
        variance = posterior.variance[i, first:stop]
        slope, curvature = slopes(data, parameters, i, eta, variance)
        flat = design.reshape(-1, design.shape[2])
        precision = prior + (flat * curvature.reshape(-1, 1)).T @ flat
        gradient = flat.T @ slope.ravel() - prior @ mean
        j = 0
        if not np.isnan(rows.proxies[i, 0]):
            intercept, loading, log_variance = parameters.proxies[0]
            precision[j, j] += loading**2 * np.exp(-log_variance)
            gradient[j] += (
                loading * np.exp(-log_variance) * (rows.proxies[i, 0] - intercept - loading * mean[j])
            )
        assert np.abs(np.linalg.solve(precision, gradient)).max() < EXPANSION
        spread = np.einsum("rk,kl,rl->r", flat, np.linalg.inv(precision), flat).reshape(variance.shape)
        np.testing.assert_allclose(spread, variance, rtol=1e-4, atol=EXPANSION)


def fixed_part(data: FrailtyData, parameters: Parameters, i: int) -> np.ndarray:
    rows, last = data.rows, data.shape.measures - 1
    window = slice(rows.first[i], rows.stop[i])
    periodic = rows.period_covariates[i, window] @ parameters.period_covariates.T
    periodic[:, last] -= rows.period_covariates[i, window, 0] * parameters.period_covariates[last, 0]
    eta = rows.covariates[i] @ parameters.covariates.T + parameters.months[:, window].T + periodic
    eta[:, :2] += rows.stocks[i, window] @ parameters.stocks.T
    return np.asarray(eta)


def slopes(
    data: FrailtyData, parameters: Parameters, i: int, eta: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expected slope and minus curvature by 40-node Gauss-Hermite quadrature."""
    rows = data.rows
    window = slice(rows.first[i], rows.stop[i])
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    at = eta[..., None] + np.sqrt(variance)[..., None] * nodes
    first, second = np.zeros((2, *eta.shape))
    sigma = 1.0 / (1.0 + np.exp(-at))
    left = np.zeros(eta.shape[0])
    left[-1] = rows.left[i]
    events = {0: left, eta.shape[1] - 1: rows.period_covariates[i, window, 0]}
    for m, happened in events.items():
        first[:, m] = happened - (sigma[:, m] @ weights)
        second[:, m] = (sigma * (1 - sigma))[:, m] @ weights
    ratio = rows.spend[i, window] * (np.exp(-at[:, 1]) @ weights)
    first[:, 1] = parameters.shape_of_spend * (ratio - 1.0)
    second[:, 1] = parameters.shape_of_spend * ratio
    rate = np.exp(at[:, 2:-1]) @ weights
    first[:, 2:-1] = rows.touches[i, window] - rate
    second[:, 2:-1] = rate
    return first, second


@pytest.mark.parametrize("dynamic", [True, False])
def test_score_is_the_slope_of_the_optimal_bound(data: FrailtyData, dynamic: bool) -> None:
    """By the envelope theorem; central differences of the bound with posteriors re-optimised."""
    parameters = some_parameters(data, seed=1)
    posterior = Posterior.blank(data)
    posterior.improve(data, parameters, dynamic=dynamic, steps=SETTLED)
    slope, vector = posterior.slope.copy(), parameters.to_vector()
    places = data.shape.slices()
    step = 1e-4
    flag_on_itself = places["period_covariates"].stop - data.shape.period_covariates
    for name, place in places.items():
        for k in np.arange(place.start, place.stop)[:: max(1, (place.stop - place.start) // 6)]:
            found = []
            for sign in (1.0, -1.0):
                moved = vector.copy()
                moved[k] += sign * step
                again = Parameters.from_vector(moved, data.shape, parameters.shape_of_spend)
                posterior.improve(data, again, dynamic=dynamic, steps=SETTLED)
                found.append(posterior.bound.sum())
            difference = (found[0] - found[1]) / (2.0 * step)
            if name == "persistence" and not dynamic:
                assert difference == pytest.approx(0.0, abs=1e-5)
            elif k != flag_on_itself:
                assert slope[k] == pytest.approx(difference, rel=2e-2, abs=2e-2), name


def test_draws_have_the_mean_and_variance_of_the_posterior(data: FrailtyData) -> None:
    parameters = some_parameters(data)
    posterior = Posterior.blank(data)
    posterior.improve(data, parameters, dynamic=True, steps=SETTLED)
    leaving, spending = draw_predictors(
        data, parameters, posterior, dynamic=True, draws=4_000, rng=np.random.default_rng(0)
    )
    rows = data.rows
    for i in range(data.n_lives):
        window = slice(rows.first[i], rows.stop[i])
        expected = posterior.variance[i, window, :2]
        np.testing.assert_allclose(leaving[:, i, window].var(axis=0), expected[:, 0], rtol=0.12)
        np.testing.assert_allclose(spending[:, i, window].var(axis=0), expected[:, 1], rtol=0.12)
        n = rows.stop[i] - rows.first[i]
        mean = np.concatenate([posterior.satisfaction[i, :n], posterior.constant[i]])
        eta = fixed_part(data, parameters, i) + dense_design(data, parameters, i, True) @ mean
        eta[:, :2] -= rows.stocks[i, window] @ parameters.stocks.T
        np.testing.assert_allclose(leaving[:, i, window].mean(axis=0), eta[:, 0], atol=1e-5)
        np.testing.assert_allclose(spending[:, i, window].mean(axis=0), eta[:, 1], atol=1e-5)
