"""The joint likelihood of life and satisfaction against brute force, closed forms and differences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.special import expit, gammaln, logsumexp, psi

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.design import learn_design
from attribution.incremental.frailty.parameters import Parameters
from attribution.incremental.frailty.scores import digamma
from attribution.incremental.joint.data import JointDesign, joint_data, measurements_in_use, other_acts
from attribution.incremental.joint.lives import PossibleLives, possible_lives
from attribution.incremental.joint.mix import mix_log_likelihood
from attribution.incremental.joint.posterior import LifePosterior
from attribution.incremental.latent.design import LatentDesign
from attribution.incremental.stocks import decayed_stocks
from histories.panel import Panel
from histories.simulate import simulate_panel
from histories.simulation.scenarios import HiddenLifeScenario

Array = NDArray[np.float64]

SETTLED = 40
"""Newton steps after which a posterior no longer moves."""
NO_VARIANCE = float(np.log(1e-8))
"""Log variance of a frailty that nobody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A small silent company as the joint model reads it, every month after the last sign possible."""

    panel: Panel
    stocks: NDArray[np.float32]
    design: JointDesign
    lives: PossibleLives
    data: FrailtyData


def company(*, use_problems: bool = True, n: int = 14) -> Company:
    scenario = HiddenLifeScenario(name="small", satisfaction=True, staggered=True)
    panel = simulate_panel(scenario, n=n, periods=7, seed=3).panel
    rng = np.random.default_rng(0)
    there = np.arange(7) >= panel.entry[:, None]
    last_sign = np.where(panel.own_acts + panel.purchases > 0, np.arange(7), 0).max(axis=1)
    more = rng.poisson(0.4, panel.own_acts.shape) * there * (np.arange(7) <= last_sign[:, None])
    problems = (rng.random(panel.problems.shape) < 0.2) * there * use_problems
    proxies = np.where(rng.random((n, 1)) < 0.3, np.nan, rng.standard_normal((n, 1)))
    panel = replace(
        panel,
        own_acts=panel.own_acts + more,
        problems=problems.astype(np.float64),
        proxies=proxies,
        proxy_names=("nps",),
    )
    stocks = decayed_stocks(panel.touches)
    life = LatentDesign.measure(panel, harmonics=1, decay=0.6)
    design = JointDesign(
        life=life,
        columns=learn_design(panel, use_proxies=use_problems, proxy_last=False),
        use=measurements_in_use(panel, life),
    )
    even = np.full((n, panel.n_periods + 1), 1.0 / (panel.n_periods + 1))
    lives = possible_lives(even, life.inputs(panel, stocks).last)
    return Company(
        panel=panel, stocks=stocks, design=design, lives=lives, data=joint_data(panel, stocks, design, lives)
    )


def some_parameters(data: FrailtyData, seed: int = 0) -> Parameters:
    """Anything, but gamma levels of moderate spread, rates below one and rare leaving."""
    rng = np.random.default_rng(seed)
    vector = 0.2 * rng.standard_normal(data.shape.size)
    places = data.shape.slices()
    vector[places["factor_variance"]] = np.log(0.6)
    vector[places["log_variances"]] = np.log(0.3)
    vector[places["persistence"]] = np.arctanh(0.8)
    p = Parameters.from_vector(vector, data.shape, 1.0, gamma_levels=True)
    p.covariates[:, 0] = -1.0
    p.covariates[0, 0] = -1.5
    p.months[:] = 0.0
    p.loadings[2:-1, 1] = 1.0
    unused = ~data.rows.use
    for block in (p.covariates, p.period_covariates, p.loadings):
        block[unused] = 0.0
    p.stocks[:, -1] = 0.0
    return p


def settled(data: FrailtyData, lives: PossibleLives, parameters: Parameters) -> LifePosterior:
    posterior = LifePosterior.blank(data, lives)
    posterior.improve(data, parameters, dynamic=True, steps=SETTLED)
    return posterior


@pytest.fixture(scope="module")
def small() -> Company:
    return company()


def test_no_life_ends_before_the_last_sign_and_the_likeliest_is_always_kept() -> None:
    rng = np.random.default_rng(1)
    dropout = rng.dirichlet(np.full(11, 0.1), size=400)
    last = rng.integers(0, 10, 400)
    lives = possible_lives(dropout, last)
    assert (lives.month >= last[lives.who]).all()
    found = np.zeros_like(dropout, dtype=bool)
    found[lives.who, lives.month] = True
    allowed = np.arange(11) >= last[:, None]
    np.testing.assert_array_equal(found, allowed & (found | (dropout >= 3e-3)))
    assert (found | ~allowed | (dropout < 3e-3)).all()
    likeliest = np.where(allowed, dropout, -1.0).argmax(axis=1)
    assert found[np.arange(400), likeliest].all()
    unlikely = np.where(allowed, dropout, 0.0).max(axis=1) < 3e-3
    assert unlikely.any()  # somebody is kept although every month is unlikely
    assert (found[unlikely].sum(axis=1) == 1).all()
    np.testing.assert_array_equal(lives.who[lives.begin], np.arange(400))


def test_chances_are_a_softmax_within_each_customer_however_unlikely_the_data() -> None:
    rng = np.random.default_rng(2)
    lives = possible_lives(rng.dirichlet(np.ones(6), size=30), rng.integers(0, 6, 30))
    loglik = rng.normal(-2_000.0, 30.0, len(lives.who))
    chance, total = lives.chances(loglik)
    for i in range(30):
        own = lives.who == i
        assert total[i] == pytest.approx(logsumexp(loglik[own]), rel=1e-12)
        np.testing.assert_allclose(chance[own], np.exp(loglik[own] - logsumexp(loglik[own])), rtol=1e-9)


def test_a_life_has_rows_up_to_the_month_in_which_it_ends(small: Company) -> None:
    data, lives, periods = small.data, small.lives, small.panel.n_periods
    np.testing.assert_array_equal(data.rows.left, lives.month < periods)
    np.testing.assert_array_equal(data.rows.stop, np.minimum(lives.month + 1, periods))
    signs = (small.panel.purchases + small.panel.own_acts > 0)[lives.who]
    assert not signs[~data.at_risk].any()


def test_acts_that_were_no_treatment_are_a_measurement_of_their_own(small: Company) -> None:
    panel, life = small.panel, small.design.life
    own = np.array(life.own)
    rest = other_acts(panel, life)
    assert rest.sum() > 0
    np.testing.assert_allclose(rest + panel.touches[:, :, own].sum(axis=2), panel.own_acts)
    np.testing.assert_array_equal(small.data.rows.touches[:, :, -1], rest)
    fewer = replace(panel, own_acts=np.zeros_like(panel.own_acts))
    assert not other_acts(fewer, life).any()
    assert panel.problems.any()
    use = measurements_in_use(panel, life)
    assert use == (True, True, *life.own, True, False)  # problems are acts already
    assert measurements_in_use(fewer, life)[-2] is False


@pytest.mark.parametrize("dynamic", [True, False])
def test_the_score_is_the_slope_of_the_bound_over_lives_and_latents(small: Company, dynamic: bool) -> None:
    """By the envelope theorem; central differences with posteriors of every life settled again."""
    data, lives = small.data, small.lives
    parameters = some_parameters(data)
    vector, places = parameters.to_vector(), data.shape.slices()
    posterior = LifePosterior.blank(data, lives)
    posterior.improve(data, parameters, dynamic=dynamic, steps=SETTLED)
    slope, step = posterior.slope.copy(), 1e-3

    def bound(at: Array) -> float:
        moved = Parameters.from_vector(at, data.shape, 1.0, gamma_levels=True)
        posterior.improve(data, moved, dynamic=dynamic, steps=8)
        return float(posterior.bound.sum())

    moving = 0
    for name in (
        "stocks",
        "loadings",
        "factor_variance",
        "log_variances",
        "persistence",
        "covariates",
        "proxies",
    ):
        place = places[name]
        every = 1 if name == "loadings" else max(1, (place.stop - place.start) // 5)
        for k in range(place.start, place.stop, every):
            ahead, behind = vector.copy(), vector.copy()
            ahead[k] += step
            behind[k] -= step
            difference = (bound(ahead) - bound(behind)) / (2.0 * step)
            assert slope[k] == pytest.approx(difference, rel=2e-2, abs=2e-2), (name, k - place.start)
            moving += abs(difference) > 0.2
    assert moving > 20


def test_spend_enters_as_counts_whose_variance_is_the_last_frailty(small: Company) -> None:
    """The same slope for the level of purchases, which stands last among the variances."""
    data, lives = small.data, small.lives
    parameters = some_parameters(data, seed=2)
    k = data.shape.slices()["log_variances"].stop - 1
    posterior = settled(data, lives, parameters)
    slope, found = float(posterior.slope[k]), []
    for sign in (1.0, -1.0):
        vector = parameters.to_vector()
        vector[k] += sign * 1e-3
        moved = Parameters.from_vector(vector, data.shape, 1.0, gamma_levels=True)
        found.append(settled(data, lives, moved).bound.sum())
    assert abs(slope) > 0.3
    assert slope == pytest.approx((found[0] - found[1]) / 2e-3, rel=1e-3)


@pytest.mark.parametrize("x", [1e-3, 0.02, 0.5, 1.0, 5.99, 6.0, 41.0, 3e4])
def test_digamma_is_that_of_scipy(x: float) -> None:
    assert digamma(x) == pytest.approx(psi(x), rel=1e-9, abs=1e-9)


def closed_form(small: Company, parameters: Parameters) -> tuple[Array, Array]:
    """Exact log-likelihood of each life, and the gap of its Gaussian bound, levels integrated out."""
    rows, data = small.data.rows, small.data
    linear = rows.covariates @ parameters.covariates.T
    eta = linear[:, None, :] + rows.period_covariates @ parameters.period_covariates.T
    eta[:, :, :2] += rows.stocks @ parameters.stocks.T
    acts = [2 + c for c in range(data.shape.channels) if rows.use[2 + c]]
    exact, gap = np.zeros(data.n_lives), np.zeros(data.n_lives)
    for d in range(data.n_lives):
        i, window = rows.who[d], slice(rows.first[d], rows.stop[d])
        leaving = expit(eta[i, window, 0])
        if rows.left[d]:
            exact[d] += np.log(leaving[-1]) + np.log1p(-leaving[:-1]).sum()
        else:
            exact[d] += np.log1p(-leaving).sum()
        buying = rows.spend[i, window][:, None], eta[i, window, 1:2]
        acting = rows.touches[i, window][:, [m - 2 for m in acts]], eta[i, window][:, acts]
        shapes = 1.0 / parameters.latent_variances[[-1, 0]]
        for (counts, log_rate), r in zip((buying, acting), shapes, strict=True):
            a, exposure = r + counts.sum(), np.exp(log_rate).sum()
            exact[d] += (counts * log_rate).sum() + r * np.log(r) - gammaln(r)
            exact[d] += gammaln(a) - a * np.log(r + exposure)
            gap[d] += gammaln(a) - ((a - 0.5) * np.log(a) - a + 0.5 * np.log(2.0 * np.pi))
    return exact, gap


def levels_alone(small: Company, variance: float) -> Parameters:
    """No satisfaction, no frailties, and levels of acts and purchases with this variance."""
    parameters = some_parameters(small.data, seed=4)
    parameters.loadings[:] = 0.0
    parameters.loadings[2:-1, 1] = small.data.rows.use[2:-1]
    return replace(
        parameters,
        log_variances=np.append(np.full(small.data.shape.channels, NO_VARIANCE), np.log(variance)),
        factor_variance=float(np.log(0.9)),
    )


@pytest.mark.parametrize("variance", [0.3, 0.9, 1.4, 6.0, 40.0])
def test_gamma_levels_without_satisfaction_have_the_closed_form_less_stirlings_gap(variance: float) -> None:
    """A Gaussian for log Gamma(a) misses log Gamma(a) by what Stirling's formula does, whatever the exposure.

    All lives of a customer hold the same counts, so their chances are exact. A variance above 1 leaves
    customers without purchases on less than one count.
    """
    small = company(use_problems=False, n=40)
    parameters = levels_alone(small, variance)
    exact, gap = closed_form(small, parameters)
    posterior = settled(small.data, small.lives, parameters)
    chance, loglik = small.lives.chances(exact)
    np.testing.assert_allclose(posterior.inner.bound, exact - gap, atol=1e-3)
    np.testing.assert_allclose(posterior.chance, chance, atol=1e-3)
    np.testing.assert_allclose(loglik - posterior.bound, gap[small.lives.begin], atol=1e-3)
    assert gap.min() > 0.0
    assert gap.max() > 0.05  # far more than the tolerance: the bound is one
    assert 0.05 < np.median(chance) < 0.95
    assert len(small.lives.who) > 2 * small.lives.n_customers


def test_a_few_steps_settle_the_levels_of_customers_without_acts() -> None:
    small = company(use_problems=False, n=40)
    parameters = levels_alone(small, 20.0)
    few = LifePosterior.blank(small.data, small.lives)
    few.improve(small.data, parameters, dynamic=True, steps=8)
    many = settled(small.data, small.lives, parameters)
    np.testing.assert_allclose(few.inner.bound, many.inner.bound, atol=0.01)
    np.testing.assert_allclose(few.chance, many.chance, atol=0.01)


def test_the_level_of_a_gamma_prior_is_not_that_of_a_log_normal_one(small: Company) -> None:
    parameters = some_parameters(small.data)
    other = replace(parameters, gamma_levels=False)
    one, two = (settled(small.data, small.lives, p).bound.sum() for p in (parameters, other))
    assert abs(one - two) > 1.0


def splits(*, n: int = 300, periods: int = 8, tilt: float = 0.0, channels: int = 3, seed: int = 0) -> Array:
    """Acts of customers with mixes of their own; `tilt` moves the company's mix from period to period."""
    rng = np.random.default_rng(seed)
    own = rng.dirichlet(np.array([2.0, 1.0, 0.7])[:channels], size=n)
    move = np.exp(tilt * np.arange(periods)[:, None] * np.linspace(-1.0, 1.0, channels))
    shares = own[:, None, :] * move
    shares /= shares.sum(axis=2, keepdims=True)
    totals = rng.poisson(1.2, (n, periods))
    return np.asarray(rng.multinomial(totals, shares), dtype=np.float64)


def dirichlet_multinomial(counts: Array) -> float:
    """Largest log-likelihood by scipy's density, multinomial coefficients taken off again."""
    coefficients = gammaln(counts.sum(axis=1) + 1.0).sum() - gammaln(counts + 1.0).sum()
    seen = counts[counts.sum(axis=1) > 0].astype(np.int64)

    def negative(log_shape: Array) -> float:
        shape = np.exp(log_shape)
        return -float(stats.dirichlet_multinomial.logpmf(seen, shape, seen.sum(axis=1)).sum())

    found = optimize.minimize(
        negative, np.zeros(counts.shape[1]), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-7}
    )
    return -float(found.fun) - float(coefficients)


def test_the_mix_of_acts_has_the_likelihood_of_a_dirichlet_multinomial_at_its_optimum() -> None:
    acts = splits()
    assert mix_log_likelihood(acts) == pytest.approx((dirichlet_multinomial(acts.sum(axis=1)), 3), abs=1e-3)


def test_a_mix_that_moves_with_the_periods_is_charged_for_and_one_that_stays_is_not() -> None:
    still, moving = splits(), splits(tilt=0.15)
    assert mix_log_likelihood(still)[1] == 3
    found, parameters = mix_log_likelihood(moving)
    assert parameters == 3 + 7 * 2
    company = moving.sum(axis=0)
    shares, whole = company / company.sum(axis=1, keepdims=True), company.sum(axis=0) / company.sum()
    gain = (company * np.log(shares / whole)).sum()
    own = dirichlet_multinomial(moving.sum(axis=1))
    assert found == pytest.approx(own + gain, abs=1e-3)
    assert gain > 0.5 * 14 * np.log(300)


@pytest.mark.parametrize("channels", [0, 1])
def test_fewer_than_two_channels_have_no_mix(channels: int) -> None:
    acts = np.zeros((50, 6, 3))
    acts[:, :, :channels] = 1.0
    assert mix_log_likelihood(acts) == (0.0, 0)


def test_a_channel_without_acts_and_a_period_without_acts_change_nothing() -> None:
    acts = splits(tilt=0.15)
    wider = np.concatenate([acts, np.zeros((300, 8, 1))], axis=2)
    longer = np.concatenate([wider, np.zeros((300, 2, 4))], axis=1)
    assert mix_log_likelihood(longer) == pytest.approx(mix_log_likelihood(acts), rel=1e-12)
