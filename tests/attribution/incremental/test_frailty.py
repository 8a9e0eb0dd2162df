"""The shared-frailty model finds effects that hidden satisfaction hides from simpler estimators.

Small companies leave much sampling error, so credits are compared with those of the oracle, a regression that
sees satisfaction, on the same customers.
"""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from attribution.incremental.aumann_shapley import PanelCredit, panel_credit
from attribution.incremental.frailty import (
    Parameters,
    SharedFrailty,
    SharedFrailtyFit,
)
from attribution.incremental.frailty.data import frailty_data
from attribution.incremental.frailty.influence import outer_product
from attribution.incremental.frailty.optimise import Optimum, maximise
from attribution.incremental.frailty.parameters import free_parameters
from attribution.incremental.frailty.posterior import Posterior
from attribution.incremental.frailty.structure import free_of
from attribution.incremental.regression import STATIC
from attribution.incremental.stocks import decayed_stocks
from histories.errors import ModelError
from histories.panel import Panel
from histories.simulate import SimulatedPanel, simulate_panel

CUSTOMERS = 3_000
SEED = 5
DEFAULT = SharedFrailty(starts=1)
ONE_STEP = 0.8
"""Standard errors by which one step may miss a refit in its worst effect, at 3,000 customers."""


@cache
def company(scenario: str) -> SimulatedPanel:
    return simulate_panel(scenario, n=CUSTOMERS, seed=SEED)


def stocks_of(panel: Panel) -> np.ndarray:
    return decayed_stocks(panel.touches)


@cache
def fitted(scenario: str, choices: SharedFrailty = DEFAULT) -> SharedFrailtyFit:
    panel = company(scenario).panel
    return choices.fit(panel, stocks_of(panel))


@cache
def credited(scenario: str, choices: SharedFrailty = DEFAULT) -> PanelCredit:
    panel = company(scenario).panel
    return panel_credit(fitted(scenario, choices), panel, stocks_of(panel), rng=np.random.default_rng(0))


@cache
def oracle(scenario: str) -> PanelCredit:
    """What a regression finds that sees satisfaction every month."""
    seen = company(scenario)
    panel = replace(
        seen.panel,
        proxies=np.zeros((CUSTOMERS, 0)),
        proxy_names=(),
        time_covariates=seen.latent["u"][:, :, None],
        time_covariate_names=("u",),
    )
    return regression_credit(panel)


@cache
def proxy_regression(scenario: str) -> PanelCredit:
    return regression_credit(company(scenario).panel)


def regression_credit(panel: Panel) -> PanelCredit:
    rng = np.random.default_rng(0)
    fit = STATIC.fit(panel, stocks_of(panel), rng=rng)
    return panel_credit(fit, panel, stocks_of(panel), rng=rng)


def level(found: PanelCredit, reference: PanelCredit, outcome: str) -> float:
    return float(found.require(outcome).credit.sum() / reference.require(outcome).credit.sum())


def distance(found: PanelCredit, reference: PanelCredit, outcome: str) -> float:
    """Summed absolute difference of credits as a share of the reference's summed absolute credit."""
    a, b = found.require(outcome).credit, reference.require(outcome).credit
    return float(np.abs(a - b).sum() / np.abs(b).sum())


@pytest.mark.parametrize("scenario", ["r7", "drift"])
@pytest.mark.parametrize(("outcome", "most"), [("retention", 0.35), ("spend", 0.25)])
def test_hidden_satisfaction_costs_little_where_a_proxy_regression_is_twice_too_high(
    scenario: str, outcome: str, most: float
) -> None:
    assert distance(credited(scenario), oracle(scenario), outcome) < most
    assert level(proxy_regression(scenario), oracle(scenario), outcome) > 1.6


def test_without_selection_the_credits_are_those_of_the_regression() -> None:
    for outcome in ("retention", "spend"):
        assert distance(credited("none"), proxy_regression("none"), outcome) < 0.15


def test_persistence_of_drifting_satisfaction_is_recovered() -> None:
    fit = fitted("drift")
    assert fit.dynamic
    assert fit.rho == pytest.approx(0.9, abs=0.03)


def test_constant_satisfaction_is_recognised() -> None:
    fit = fitted("r7")
    assert not fit.dynamic
    assert fit.rho == 1.0


def test_constant_satisfaction_is_the_wrong_assumption_when_it_drifts() -> None:
    still = SharedFrailty(dynamic=False, second_factor=False, starts=1)
    assert level(credited("drift", still), oracle("drift"), "spend") > 1.4


def test_loadings_of_leaving_and_spend_are_recovered() -> None:
    parameters = fitted("drift").parameters
    leaving, spend = parameters.loadings[:2, 0]
    assert leaving == pytest.approx(-0.8, abs=0.15)
    assert spend == pytest.approx(0.35, abs=0.03)


def test_channels_alone_identify_satisfaction_when_no_proxy_was_measured() -> None:
    unproxied = SharedFrailty(use_proxies=False, starts=1)
    for outcome in ("retention", "spend"):
        assert distance(credited("r7", unproxied), credited("r7"), outcome) < 0.12


def test_a_second_hidden_factor_is_found_and_only_where_there_is_one() -> None:
    fit = fitted("two")
    assert fit.second_factor
    assert not fitted("r7").second_factor
    leaving, spend = fit.parameters.loadings[:2, 1] * np.sign(fit.parameters.loadings[1, 1])
    assert spend == pytest.approx(0.25, abs=0.05)
    assert leaving == pytest.approx(-0.3, abs=0.2)


def test_skewed_satisfaction_gives_finite_credits() -> None:
    found = credited("skew")
    assert np.isfinite(found.retention.credit).all()
    assert np.isfinite(found.spend.credit).all()
    assert level(found, oracle("skew"), "spend") < 1.5


def test_without_frailties_overdispersed_touches_ruin_the_credit() -> None:
    """Own levels of touch then pass for satisfaction: worse than doing nothing."""
    fit = fitted("od")
    panel = company("od").panel
    data = frailty_data(panel, stocks_of(panel), fit.design)
    free = free_parameters(
        data.shape, data.rows.use, dynamic=fit.dynamic, second_factor=fit.second_factor, frailties=False
    )
    places = data.shape.slices()["log_variances"]
    vector = fit.parameters.to_vector()
    vector[places] = -np.inf
    climbed = maximise(
        data,
        Parameters.from_vector(vector, data.shape, fit.parameters.shape_of_spend),
        Posterior.blank(data),
        free,
        dynamic=fit.dynamic,
        weights=np.ones(CUSTOMERS),
        max_iterations=12,
    )
    bare = replace(fit, parameters=climbed.parameters, cache=None)
    found = panel_credit(bare, panel, stocks_of(panel), rng=np.random.default_rng(0))
    for outcome in ("retention", "spend"):
        assert distance(credited("od"), oracle("od"), outcome) < 0.35
        assert distance(found, oracle("od"), outcome) > 2.0 * distance(credited("od"), oracle("od"), outcome)


def test_expected_totals_agree_with_the_observed() -> None:
    found = credited("drift")
    assert found.expected_spend == pytest.approx(found.spend.total, rel=0.02)
    assert found.expected_survivors == pytest.approx(found.retention.total, rel=0.02)


def test_a_company_without_contracts_is_refused() -> None:
    panel = replace(company("r7").panel, exit=None)
    with pytest.raises(ModelError, match="joint model of satisfaction and dropout"):
        SharedFrailty().fit(panel, stocks_of(panel))


def test_weights_count_customers() -> None:
    """Weight 2 is the same as the customer standing there twice."""
    panel = company("r7").panel.take(slice(0, 600))
    twice = panel.take(np.concatenate([np.arange(600), np.arange(200)]))
    weights = np.where(np.arange(600) < 200, 2.0, 1.0)
    few = SharedFrailty(dynamic=False, second_factor=False, starts=1, use_proxies=False)
    one = few.fit(panel, stocks_of(panel), weights=weights)
    two = few.fit(twice, stocks_of(twice))
    errors = one.beta_error
    assert np.abs((one.beta - two.beta) / errors).max() < 0.1


def test_one_step_of_influence_approximates_a_refit() -> None:
    fit = fitted("r7")
    panel = company("r7").panel
    weights = np.random.default_rng(2).exponential(1.0, CUSTOMERS)
    near = SharedFrailty().fit(panel, stocks_of(panel), weights=weights, start=fit)
    climbed = SharedFrailty(one_step=False).fit(panel, stocks_of(panel), weights=weights, start=fit)
    for name, error in (("beta", fit.beta_error), ("gamma", fit.gamma_error)):
        shift = (getattr(climbed, name) - getattr(fit, name)) / error
        guess = (getattr(near, name) - getattr(fit, name)) / error
        assert np.abs(shift - guess).max() < ONE_STEP
        assert np.corrcoef(shift, guess)[0, 1] > 0.9


@cache
def lumpy() -> Panel:
    """Spend in a few months of large orders, with heavy tails: far more dispersed than any count."""
    made = simulate_panel("r7", n=1_600, periods=10, seed=1).panel
    rng = np.random.default_rng(1)
    orders = rng.poisson(0.25 * made.spend / made.spend[made.at_risk].mean())
    spend = np.zeros(orders.shape)
    some = np.nonzero(orders)
    spend[some] = [rng.lognormal(4.0, 1.2, count).sum() for count in orders[some]]
    return replace(made, spend=spend, purchases=orders.astype(np.float64))


PLAIN = SharedFrailty(dynamic=False, second_factor=False, starts=1, use_proxies=False)


def test_where_spend_is_lumpy_errors_are_as_wide_as_the_spread_between_random_halves() -> None:
    """The scores of a quasi-likelihood are no information: the outer product promises far too much."""
    panel = lumpy()
    fit = PLAIN.fit(panel, stocks_of(panel))
    assert fit.robust
    rng, halves = np.random.default_rng(0), []
    for _ in range(3):
        order = rng.permutation(panel.n_customers)
        pair = [panel.take(np.sort(rows)) for rows in np.split(order, 2)]
        first, second = (PLAIN.fit(half, stocks_of(half)).gamma for half in pair)
        halves.append(0.5 * (first - second))
    promised = outer_errors(fit, panel)
    assert (fit.gamma_error > 1.3 * promised).all()
    off, off_by_scores = (np.sqrt(np.mean((np.array(halves) / e) ** 2)) for e in (fit.gamma_error, promised))
    assert off == pytest.approx(1.0, abs=0.3)
    assert off_by_scores > 1.4


def outer_errors(fit: SharedFrailtyFit, panel: Panel) -> np.ndarray:
    """Standard errors of gamma with the outer product of scores as information."""
    data = frailty_data(panel, stocks_of(panel), fit.design)
    assert fit.cache is not None
    posterior = fit.cache.resume(data.shape.size)
    posterior.improve(data, fit.parameters, dynamic=fit.dynamic, steps=2)
    optimum = Optimum(
        parameters=fit.parameters,
        posterior=posterior,
        bound=fit.bound,
        iterations=fit.iterations,
        converged=True,
    )
    free = free_of(data, dynamic=fit.dynamic, second_factor=fit.second_factor)
    found = outer_product(data, optimum, free, np.ones(data.n_lives))
    assert not found.robust
    return found.errors.stocks[1]


def test_where_spend_is_seen_every_month_scores_are_information_enough() -> None:
    fit, panel = fitted("r7"), company("r7").panel
    assert not fit.robust
    np.testing.assert_allclose(fit.gamma_error, outer_errors(fit, panel), rtol=0.01)


def test_a_fit_remembers_whether_its_errors_are_robust_when_stored() -> None:
    fit = replace(fitted("r7"), robust=True)
    assert SharedFrailtyFit.from_dict(json.loads(json.dumps(fit.to_dict()))).robust


def test_a_stored_fit_predicts_the_same() -> None:
    fit = fitted("drift")
    again = SharedFrailtyFit.from_dict(json.loads(json.dumps(fit.to_dict())))
    panel = company("drift").panel.take(slice(100, 160))
    predictions = [
        f.predict(panel, stocks_of(panel), rng=np.random.default_rng(0)).hazard_offset for f in (fit, again)
    ]
    np.testing.assert_array_equal(*predictions)


def test_no_touch_in_a_channel_says_the_same_of_a_customer_in_any_company() -> None:
    """Two antithetic draws average to the posterior mean, whoever else is predicted."""
    fit = replace(fitted("r7"), draws=2, cache=None)
    panel = company("r7").panel
    few = np.flatnonzero(panel.touches[:, :, panel.channels.index("referral")].sum(axis=1) == 0)[:40]
    rng = np.random.default_rng(0)
    alone = fit.predict(panel.take(few), stocks_of(panel)[few], rng=rng).hazard_offset.mean(axis=0)
    among = fit.predict(panel, stocks_of(panel), rng=rng).hazard_offset.mean(axis=0)[few]
    np.testing.assert_allclose(alone, among, atol=1e-5)


def test_where_nobody_leaves_spend_alone_is_modelled() -> None:
    panel = company("r7").panel
    stayers = panel.take(np.flatnonzero(panel.exit == panel.n_periods)[:400])
    fit = SharedFrailty(dynamic=False, second_factor=False, starts=1).fit(stayers, stocks_of(stayers))
    prediction = fit.predict(stayers, stocks_of(stayers), rng=np.random.default_rng(0))
    assert prediction.hazard_offset is None
    assert prediction.expected_survivors == 400
    assert not fit.beta.any()


def test_two_starts_reach_the_same_optimum() -> None:
    panel = company("r7").panel.take(slice(0, 1_500))
    fit = SharedFrailty(dynamic=False, second_factor=False).fit(panel, stocks_of(panel))
    assert fit.start_disagreement == 0.0
    assert not fit.problems


def test_kept_posteriors_only_spare_work() -> None:
    fit = fitted("drift")
    panel = company("drift").panel
    warm = fit.predict(panel, stocks_of(panel), rng=np.random.default_rng(0)).hazard_offset
    cold = (
        replace(fit, cache=None).predict(panel, stocks_of(panel), rng=np.random.default_rng(0)).hazard_offset
    )
    np.testing.assert_allclose(warm, cold, atol=2e-3)


def test_missing_and_several_proxies_are_measurements() -> None:
    seen = company("r7")
    rng = np.random.default_rng(0)
    first = seen.panel.proxies[:, 0].copy()
    first[rng.random(CUSTOMERS) < 0.4] = np.nan
    second = 10.0 * seen.latent["u"][:, 0] + 10.0 * rng.standard_normal(CUSTOMERS)
    panel = replace(
        seen.panel, proxies=np.column_stack([first, second, np.zeros(CUSTOMERS)]), proxy_names=("a", "b", "c")
    )
    fit = SharedFrailty(dynamic=False, second_factor=False, starts=1).fit(panel, stocks_of(panel))
    found = panel_credit(fit, panel, stocks_of(panel), rng=rng)
    assert fit.shape.proxies == 2
    assert distance(found, oracle("r7"), "retention") < 0.35


def test_staggered_entry_is_handled() -> None:
    panel = company("drift").panel
    rng = np.random.default_rng(0)
    late = np.minimum(rng.integers(0, 6, CUSTOMERS), panel.last)
    before = np.arange(panel.n_periods) < late[:, None]
    cut = replace(
        panel,
        entry=late,
        touches=np.where(before[:, :, None], 0.0, panel.touches).astype(np.float32),
        spend=np.where(before, 0.0, panel.spend),
        problems=np.where(before, 0.0, panel.problems),
    )
    fit = SharedFrailty(dynamic=True, second_factor=False, starts=1).fit(cut, stocks_of(cut))
    assert not fit.problems
    assert fit.rho == pytest.approx(0.9, abs=0.04)
    assert fit.parameters.loadings[1, 0] == pytest.approx(0.35, abs=0.05)


def test_a_climb_that_was_cut_short_is_not_supported() -> None:
    panel = company("r7").panel.take(slice(0, 500))
    fit = SharedFrailty(max_iterations=2).fit(panel, stocks_of(panel))
    assert any("converged" in problem for problem in fit.problems)
