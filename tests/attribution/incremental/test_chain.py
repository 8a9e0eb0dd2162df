"""The hidden chain on companies whose truth is known: settings, effects, survivors, credit, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.chain import HiddenChain, HiddenChainFit, Structure
from attribution.incremental.chain.design import ChainDesign
from attribution.incremental.chain.imitation import onwards, without_effects
from attribution.incremental.chain.search import Candidate, Search, believed
from attribution.incremental.chain.start import quieter
from attribution.incremental.checks.holdout import run_holdout
from attribution.incremental.checks.lapse import check_lapse
from attribution.incremental.checks.placebo import run_placebo
from attribution.incremental.stocks import panel_stocks
from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.simulate import simulate_panel
from benchmarks.truth import error_of_shares
from histories.errors import ConfigError, DataError, ModelError
from histories.panel import Panel


class Case:
    """A company, and a fit with the settings given, or with those that the likelihood calls for."""

    def __init__(self, scenario: str, *, structure: Structure | None = None, n: int = 1_000) -> None:
        self.company: SimulatedPanel = simulate_panel(scenario, n=n, periods=18, seed=1)
        self.panel: Panel = self.company.panel
        self.stocks = panel_stocks(self.panel)
        chain = HiddenChain(structure=structure)
        self.chosen = chain.choose(self.panel, self.stocks, np.random.default_rng(1))

    @property
    def fit(self) -> HiddenChainFit:
        assert isinstance(self.chosen.fit, HiddenChainFit)
        return self.chosen.fit

    def credit(self, outcome: str) -> tuple[float, float]:
        """Error of shares, and level."""
        found = panel_credit(self.fit, self.panel, self.stocks, rng=np.random.default_rng(2))
        truth = self.company.truth.outcomes[outcome].credit
        credit = found.require(outcome).credit
        return error_of_shares(credit, truth), float(credit.sum() / truth.sum())


@pytest.fixture(scope="module")
def hidden() -> Case:
    return Case("hidden30")


@pytest.fixture(scope="module")
def both() -> Case:
    return Case("hidden_both", structure=Structure(nodes=7, drift=True), n=1_500)


def test_life_alone_is_chosen_where_nothing_else_is_hidden(hidden):
    structure = hidden.fit.structure
    assert (structure.nodes, structure.quiet, structure.shared, structure.regular) == (1, False, True, False)
    assert "ahead of" in hidden.chosen.notes[0]


def test_survivors_are_found_though_leaving_is_never_seen(hidden):
    there = (hidden.company.latent["exit"] >= 18).sum()
    credit = panel_credit(hidden.fit, hidden.panel, hidden.stocks, rng=np.random.default_rng(2))
    assert credit.retention.total == pytest.approx(there, rel=0.06)
    assert credit.expected_survivors == pytest.approx(credit.retention.total, rel=1e-3)
    assert credit.expected_spend == pytest.approx(credit.spend.total, rel=1e-3)


@pytest.mark.parametrize("scenario", ["loyal", "loyal_contract"])
def test_where_nobody_leaves_spend_is_credited_and_nothing_is_said_of_leaving(scenario):
    loyal = Case(scenario, n=200)
    assert not loyal.fit.structure.leaving
    assert loyal.fit.why_no_leaving == "nobody is seen to leave"
    assert not loyal.fit.problems
    credit = panel_credit(loyal.fit, loyal.panel, loyal.stocks, rng=np.random.default_rng(2))
    assert credit.retention.total == pytest.approx(200)
    assert np.all(credit.retention.credit == 0)
    gamma = [loyal.company.truth.parameters["gamma"][name] for name in loyal.panel.channels]
    assert np.all(np.abs(loyal.fit.gamma - gamma) < 3.0 * loyal.fit.gamma_sd)
    assert check_lapse(loyal.fit, loyal.panel, loyal.stocks).contrary == {}


def test_effects_are_within_their_errors_of_the_truth(hidden):
    effects = hidden.company.truth.parameters
    for found, error, name in (
        (hidden.fit.beta, hidden.fit.beta_sd, "beta"),
        (hidden.fit.gamma, hidden.fit.gamma_sd, "gamma"),
    ):
        true = np.array([effects[name][channel] for channel in hidden.panel.channels])
        assert np.all(np.abs(found - true) < 3.5 * error)


def test_satisfaction_that_drifts_is_found_with_its_persistence_and_its_signs(both):
    assert both.fit.rho == pytest.approx(0.9, abs=0.06)
    loadings = both.fit.loadings
    assert loadings["leaving"] < -0.3
    assert loadings["community"] > 0.3 > loadings["care"]
    assert loadings["phone"] < -0.1


def test_credit_with_both_hidden_is_of_the_right_size(both):
    for outcome, error, level in (("retention", 0.35, (0.5, 1.6)), ("spend", 0.3, (0.6, 1.5))):
        found, size = both.credit(outcome)
        assert found < error
        assert level[0] < size < level[1]


def test_a_rival_within_reach_stays_in_the_range_and_one_far_behind_does_not(hidden):
    names = " ".join(hidden.chosen.beside)
    assert "differ in leaving" in names
    assert "a level for each channel" not in names


@pytest.mark.slow
def test_satisfaction_that_drifts_is_chosen_where_it_does():
    assert Case("hidden_both").fit.structure.drift


@pytest.mark.slow
def test_pauses_are_told_from_leaving():
    case = Case("retargeting", n=1_500)
    assert case.fit.structure.asleep
    there = (case.company.latent["exit"] >= 18).mean()
    assert case.fit.predict(
        case.panel, case.stocks, rng=np.random.default_rng(1)
    ).survival.mean() == pytest.approx(there, rel=0.08)


@pytest.mark.slow
def test_regular_buyers_are_told_from_others():
    case = Case("regular")
    assert case.fit.structure.regular
    assert case.fit.elasticity < 1.0


def test_two_kinds_of_customers_that_nothing_tells_apart_are_found_in_what_they_do():
    case = Case("regions", n=600)
    assert (case.fit.structure.nodes, case.fit.structure.free_masses) == (2, True)
    assert case.fit.loadings["leaving"] < -0.3


@pytest.mark.slow
def test_two_kinds_of_customers_get_free_masses():
    case = Case("klass")
    assert case.fit.structure.nodes > 1
    assert case.fit.structure.free_masses
    assert case.fit.loadings["leaving"] < -0.3


@pytest.mark.parametrize("name", ["hidden", "both"])
def test_one_step_of_influence_is_close_to_a_climb_on_reweighted_customers(name, request):
    case = request.getfixturevalue(name)
    weights = np.random.default_rng(5).exponential(size=case.panel.n_customers)
    step = case.chosen.estimator.fit(
        case.panel, case.stocks, weights=weights, start=case.fit, rng=np.random.default_rng(6)
    )
    whole = HiddenChain(structure=case.fit.structure).fits(
        case.panel, case.stocks, weights=weights, rng=np.random.default_rng(6)
    )[0]
    for near, far, before, error in (
        (step.beta, whole.beta, case.fit.beta, case.fit.beta_sd),
        (step.gamma, whole.gamma, case.fit.gamma, case.fit.gamma_sd),
    ):
        assert np.abs(near - far).max() < 0.8 * error.max()
        assert np.abs(near - far).mean() < np.abs(near - before).mean()


@pytest.mark.parametrize("name", ["hidden", "both"])
def test_a_prediction_does_not_depend_on_the_other_customers(name, request):
    case = request.getfixturevalue(name)
    some = np.arange(40)
    few = case.fit.predict(case.panel.take(some), case.stocks[some], rng=np.random.default_rng(1))
    everybody = case.fit.predict(case.panel, case.stocks, rng=np.random.default_rng(1))
    np.testing.assert_allclose(few.survival, everybody.survival[:40], rtol=1e-9)
    for share, total in ((few.share, np.ones(40)), (few.staying, few.survival)):
        assert share is not None
        np.testing.assert_allclose(share.sum(axis=0), total, rtol=1e-9)


def test_a_company_simulated_without_effects_resembles_the_one_it_was_fitted_to(both):
    again = without_effects(both.fit, both.panel, both.stocks, rng=np.random.default_rng(3))
    assert again.purchases.sum() == pytest.approx(both.panel.purchases.sum(), rel=0.12)
    assert again.touches.sum() == pytest.approx(both.panel.touches.sum(), rel=0.12)
    own = np.array([origin == "customer" for origin in both.panel.origins])
    np.testing.assert_array_equal(again.touches[:, :, ~own], both.panel.touches[:, :, ~own])


def test_the_placebo_credits_nothing_beyond_noise(hidden):
    check = run_placebo(
        hidden.fit, hidden.panel, hidden.stocks, rng=np.random.default_rng(4), customers=3_000
    )
    assert not check.problems
    assert np.abs(check.spend).max() < 0.06


def test_the_holdout_is_foreseen(hidden):
    check = run_holdout(hidden.fit, hidden.panel, hidden.stocks, rng=np.random.default_rng(5))
    assert check.predicted_purchases == pytest.approx(check.observed_purchases, rel=0.08)
    assert check.predicted_heard == pytest.approx(check.observed_heard, rel=0.05)


def test_a_holdout_missed_by_no_more_than_customers_differ_speaks_against_nothing(hidden):
    check = run_holdout(hidden.fit, hidden.panel, hidden.stocks, rng=np.random.default_rng(5))
    few = replace(check, predicted_purchases=0.78 * check.observed_purchases)
    assert few.problems
    assert not replace(few, purchases_error=0.1 * check.observed_purchases).problems
    bought = hidden.panel.purchases[:, -5:].sum()
    assert check.purchases_error > np.sqrt(bought)


def test_what_a_model_of_another_company_foresees_is_missed_in_the_holdout(hidden):
    theta = hidden.fit.theta.copy()
    theta[0] += 2.0
    cut = hidden.panel.n_periods - 5
    past = replace(
        hidden.panel,
        **{
            name: getattr(hidden.panel, name)[:, :cut]
            for name in ("touches", "own_acts", "problems", "spend", "purchases")
        },
    )
    wrong = replace(hidden.fit, theta=theta)
    purchases, _ = onwards(wrong, hidden.panel, past, hidden.stocks, rng=np.random.default_rng(5))
    assert purchases.sum() < 0.8 * hidden.panel.purchases[:, cut:].sum()


def test_the_lapse_window_agrees_on_the_signs_of_clear_effects(hidden):
    assert "differs" not in check_lapse(hidden.fit, hidden.panel, hidden.stocks).verdicts


def test_the_lapse_window_says_nothing_of_a_channel_without_stock(hidden):
    stocks = hidden.stocks.copy()
    stocks[:, :, 0] = 0.0
    found = check_lapse(hidden.fit, hidden.panel, stocks)
    assert found.beta_sd[0] == np.inf
    assert found.verdicts[0] == "undecided"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"origins": (None, *(5 * ["customer"]))}, ConfigError, "have no origin"),
        ({"purchases": 0.0}, DataError, "0 purchases"),
    ],
)
def test_a_panel_that_cannot_be_fitted_is_refused_in_words(hidden, change, error, words):
    changed = {
        name: np.zeros_like(hidden.panel.purchases) if name == "purchases" else value
        for name, value in change.items()
    }
    with pytest.raises(error, match=words):
        HiddenChain().fit(replace(hidden.panel, **changed), hidden.stocks, rng=np.random.default_rng(1))


def test_weights_of_other_customers_are_refused(hidden):
    with pytest.raises(ModelError, match="3 weights"):
        hidden.fit.reweighted(np.ones(3))


def test_months_of_their_own_are_found_on_all_customers_where_a_few_cannot_show_them(monkeypatch):
    panel = simulate_panel("december", n=1_000, periods=18, seed=1).panel
    monkeypatch.setattr("attribution.incremental.chain.model.PILOT", 150)
    words = []
    for some in (panel, panel.take(np.sort(np.random.default_rng(1).permutation(1_000)[:150]))):
        found = HiddenChain().choose(some, panel_stocks(some), np.random.default_rng(1))
        words.append(found.fit.structure.periods)
    assert words == [True, False]


def test_a_setting_whose_effects_can_be_goes_before_one_hardly_ahead_whose_effects_cannot():
    case = Case("plain", structure=Structure(), n=300)
    search = Search(inputs=case.fit.design.inputs(case.panel, case.stocks), weights=np.ones(300))
    modest = search.on_from(Structure(), case.fit.theta)
    theta = modest.optimum.theta.copy()
    theta[modest.problem.layout.effects(0, 1)] = -9.0
    optimum = replace(modest.optimum, theta=theta)
    hardly, far = (
        Candidate(problem=modest.problem, optimum=replace(optimum, loglik=modest.optimum.loglik + ahead))
        for ahead in (5.0, 50.0)
    )
    assert believed([modest, hardly]) == [modest]
    assert believed([modest, far]) == [modest, far]


def test_pauses_that_nobody_comes_back_from_are_no_pauses():
    case = Case("plain", structure=Structure(), n=300)
    search = Search(inputs=case.fit.design.inputs(case.panel, case.stocks), weights=np.ones(300))
    found = search.climb(Structure(quiet=True, asleep=True), search.alone(shared=True), shift=quieter)

    def coming_back(chance: float) -> Candidate:
        theta = found.optimum.theta.copy()
        theta[found.problem.layout.chain] = [0.0, 3.0, np.log(chance / (1.0 - chance)), 3.0]
        for k in range(2):
            theta[found.problem.layout.effects(k, len(case.panel.channels))] = 0.0
        return Candidate(problem=found.problem, optimum=replace(found.optimum, theta=theta))

    hardly, often = coming_back(0.02), coming_back(0.2)  # in each of 18 months
    assert believed([hardly, often]) == [often]


def test_acts_on_the_way_to_a_purchase_are_still_signs_of_life():
    company = simulate_panel("hidden30", n=800, periods=18, seed=1)
    told = replace(company.panel, announces={"post": "customers meet it on the way to a purchase"})
    stocks = panel_stocks(told)
    fit = HiddenChain(structure=Structure()).fit(told, stocks, rng=np.random.default_rng(1))
    found = fit.predict(told, stocks, rng=np.random.default_rng(1)).expected_survivors
    assert found == pytest.approx(company.truth.outcomes["retention"].total, rel=0.03)  # 7 % more without


def test_a_closed_shop_has_months_of_its_own_before_anything_else_is_asked():
    panel = simulate_panel("plain", n=300, periods=18, seed=1).panel
    purchases, spend = np.array(panel.purchases), np.array(panel.spend)
    purchases[:, 7:9] = spend[:, 7:9] = 0.0
    closed = replace(panel, purchases=purchases, spend=spend)
    design = ChainDesign.learn(closed, decay=0.6)
    search = Search(inputs=design.inputs(closed, panel_stocks(closed)), weights=np.ones(300))
    assert all(candidate.structure.periods for candidate in search.compare())
    open_all_year = Search(inputs=design.inputs(panel, panel_stocks(panel)), weights=np.ones(300))
    assert not all(candidate.structure.periods for candidate in open_all_year.compare())
