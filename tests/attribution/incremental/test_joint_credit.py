"""Where life and satisfaction are both hidden, the joint model is chosen and credits better than life alone.

Of `hidden_both` a thousand customers are enough: at that size the choice was right by 78 or more in
log-likelihood, persistence was within .02, and both credits were nearer to the truth, with each of the seeds
1 to 4. Where satisfaction does nothing the joint model is left behind with each of these seeds too: by 138 or
more with eight hundred customers of `hidden30`, by 737 or more with five hundred of `episodes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from attribution.incremental import decayed_stocks, estimate_credit, plan, plan_for
from attribution.incremental.aumann_shapley import PanelCredit
from attribution.incremental.checks.joint_placebo import run_joint_placebo, without_effects
from attribution.incremental.checks.life_or_satisfaction import LifeOrSatisfaction, choose_silent, compare
from attribution.incremental.checks.placebo import PlaceboCheck
from attribution.incremental.estimate import CreditEstimate
from attribution.incremental.joint import JointDropout, JointDropoutFit, fitted
from attribution.incremental.joint.fitted import NEVER, posterior_of
from attribution.incremental.latent import LatentDropout, LatentDropoutFit
from attribution.incremental.setfunction import PanelPrediction
from attribution.incremental.table import credit_table
from attribution.settings import AttributionSettings
from histories.errors import ConfigError, DataError
from histories.panel import Panel
from histories.simulate import SimulatedPanel, simulate_panel

CUSTOMERS, SEED = 1_000, 1
POST = 4
"""A channel that the satisfied use and that keeps nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A company with both things hidden, and what was made of it."""

    company: SimulatedPanel
    stocks: NDArray[np.float32]
    estimate: CreditEstimate

    @property
    def panel(self) -> Panel:
        return self.company.panel

    @property
    def fit(self) -> JointDropoutFit:
        assert isinstance(self.estimate.fit, JointDropoutFit)
        return self.estimate.fit

    @property
    def alone(self) -> PanelCredit:
        """Credit by the model of life alone."""
        return self.estimate.companions[LatentDropout().name]


@cache
def both() -> Case:
    company = simulate_panel("hidden_both", n=CUSTOMERS, seed=SEED)
    quick = replace(plan_for(company.panel), companions=(), check=None)
    estimate = estimate_credit(company.panel, settings=AttributionSettings(replicates=4), plan=quick)
    return Case(company=company, stocks=decayed_stocks(company.panel.touches), estimate=estimate)


@cache
def prediction() -> PanelPrediction:
    case = both()
    return case.fit.predict(case.panel, case.stocks, rng=np.random.default_rng(0))


def distance(found: PanelCredit, outcome: str) -> float:
    """Summed absolute error of the credits as a share of the true credits'."""
    true = both().company.truth.outcomes[outcome].credit
    return float(np.abs(found.require(outcome).credit - true).sum() / np.abs(true).sum())


def level(found: PanelCredit, outcome: str) -> float:
    true = both().company.truth.outcomes[outcome].credit
    return float(found.require(outcome).credit.sum() / true.sum())


def test_the_joint_model_is_chosen_and_the_reason_is_noted() -> None:
    estimate = both().estimate
    assert plan_for(both().panel).choose is choose_silent
    assert estimate.estimator == JointDropout().name
    assert isinstance(estimate.fit, JointDropoutFit)
    assert isinstance(estimate.plan.default, JointDropout)
    assert "a model with hidden satisfaction is ahead of one without it by" in estimate.notes[0]
    assert "on 1,000 customers" in estimate.notes[0]
    assert "assumes that satisfaction shows in several channels" in estimate.limits


def test_persistence_of_satisfaction_is_recovered_though_leaving_is_never_seen() -> None:
    assert both().fit.dynamic
    assert both().fit.rho == pytest.approx(0.9, abs=0.04)
    assert both().fit.problems == ()


@pytest.mark.parametrize(("outcome", "most"), [("retention", 0.75), ("spend", 0.5)])
def test_credit_is_nearer_to_the_truth_than_that_of_life_alone(outcome: str, most: float) -> None:
    found, alone = both().estimate.credit, both().alone
    assert distance(found, outcome) < most * distance(alone, outcome)
    assert abs(level(found, outcome) - 1.0) < 0.5
    assert level(alone, outcome) > 1.4


def test_life_alone_credits_a_channel_that_keeps_nobody_with_what_satisfaction_does() -> None:
    true = both().company.truth.outcomes["retention"].credit
    assert true[POST] == pytest.approx(0.0, abs=1e-6)
    assert both().alone.retention.credit[POST] > 0.2 * np.abs(true).sum()
    assert both().estimate.credit.retention.credit[POST] < 0.1 * np.abs(true).sum()


def test_the_range_holds_the_credit_of_the_model_that_was_not_chosen() -> None:
    case = both()
    assert set(case.estimate.companions) == {LatentDropout().name}
    assert isinstance(case.estimate.companion_fits[LatentDropout().name], LatentDropoutFit)
    table = credit_table(case.panel, case.estimate, outcomes=["retention", "spend"], interval=0.95)
    for outcome in ("retention", "spend"):
        rows = table.filter((table["outcome"] == outcome) & (table["level"] == "channel"))
        rows = rows.select("channel", "range_low", "range_high").sort("channel")
        credit = dict(zip(case.panel.channels, case.alone.require(outcome).credit, strict=True))
        rival = np.array([credit[name] for name in rows["channel"]])
        assert (rows["range_low"].to_numpy() < rival).all()
        assert (rival < rows["range_high"].to_numpy()).all()


def test_life_alone_is_chosen_where_satisfaction_does_nothing() -> None:
    panel = simulate_panel("hidden30", n=800, seed=SEED).panel
    stocks = decayed_stocks(panel.touches)
    chosen = choose_silent(LatentDropout(), panel, stocks, np.random.default_rng(0))
    assert isinstance(chosen.estimator, LatentDropout)
    assert isinstance(chosen.fit, LatentDropoutFit)
    assert chosen.beside == {}
    assert chosen.notes[0].startswith("a model without hidden satisfaction is ahead of one with it by")


def test_acts_in_spells_are_not_taken_for_satisfaction() -> None:
    panel = simulate_panel("episodes", n=500, periods=12, seed=SEED).panel
    stocks, rng = decayed_stocks(panel.touches), np.random.default_rng(0)
    life = LatentDropout().fit(panel, stocks, rng=rng)
    found = compare(life, JointDropout(starts=1).pilot(panel, stocks, life=life, rng=rng))
    assert life.emission == "episodes"
    assert not found.satisfaction
    assert found.life - found.joint > 400.0  # this is no close call


def test_the_comparison_says_by_how_much_and_a_draw_goes_to_life_alone() -> None:
    found = LifeOrSatisfaction(n=2_000, life=-1_500.0, joint=-2_600.4)
    assert not found.satisfaction
    assert found.words == (
        "a model without hidden satisfaction is ahead of one with it by 1,100 in log-likelihood "
        "on 2,000 customers"
    )
    assert not replace(found, joint=-1_500.0).satisfaction
    assert replace(found, joint=-1_499.0).words.startswith("a model with hidden satisfaction is ahead")


def test_log_likelihoods_of_customers_add_up_to_that_of_the_fit_and_need_no_order() -> None:
    case = both()
    life = case.fit.life
    each = life.log_likelihood(case.panel, case.stocks)
    assert each.sum() == pytest.approx(life.loglik, rel=1e-4)
    few = np.array([7, 3, 900])
    np.testing.assert_allclose(
        life.log_likelihood(case.panel.take(few), case.stocks[few]), each[few], rtol=1e-4
    )


def test_layers_weigh_the_lives_that_go_on_and_those_that_ended() -> None:
    found = prediction()
    share, staying = found.layer_weights
    assert found.hazard_offset is not None
    assert share.shape == staying.shape == found.hazard_offset.shape[:2]
    np.testing.assert_allclose(share.sum(axis=0), 1.0, atol=1e-12)
    np.testing.assert_allclose(staying.sum(axis=0), found.survival, atol=1e-12)
    half = len(share) // 2
    assert not staying[half:].any()  # nobody stays in a life that ended
    np.testing.assert_allclose(staying[:half], share[:half])
    assert share.min() >= 0.0
    assert 0.1 < found.survival.mean() < 0.9


def test_a_life_that_ended_has_no_hazard_afterwards() -> None:
    found = prediction()
    assert found.hazard_offset is not None
    half = len(found.hazard_offset) // 2
    over = found.hazard_offset == NEVER
    assert (np.diff(over.astype(int), axis=2) >= 0).all()  # nobody comes back
    likely = found.survival > 0.5
    assert not over[:half, likely].any()
    assert over[half:, ~likely, -1].mean() > 0.9


def test_four_steps_weigh_the_lives_of_new_customers() -> None:
    case = both()
    _, cold = posterior_of(case.fit, case.panel, case.stocks)
    _, settled = posterior_of(case.fit, case.panel, case.stocks, steps=40)
    np.testing.assert_allclose(cold.chance, settled.chance, atol=0.01)


def test_survivors_and_totals_are_those_of_the_company() -> None:
    case, found = both(), prediction()
    survivors = float((case.company.latent["exit"] == case.panel.n_periods).sum())
    assert found.survival.sum() == pytest.approx(survivors, rel=0.12)
    assert found.expected_survivors == pytest.approx(found.survival.sum(), rel=0.05)
    assert found.expected_spend == pytest.approx(case.panel.spend.sum(), rel=0.05)
    credit = case.estimate.credit
    for outcome, total in (("retention", found.survival.sum()), ("spend", case.panel.spend.sum())):
        of = credit.require(outcome)
        assert of.total == pytest.approx(total, rel=1e-6)
        assert of.credit.sum() + of.baseline == pytest.approx(of.total, rel=1e-12)
        assert of.empty == pytest.approx(of.baseline, rel=1e-5)


def test_a_prediction_does_not_depend_on_how_customers_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    case = both()
    monkeypatch.setattr(fitted, "CHUNK", 300)
    again = case.fit.predict(case.panel, case.stocks, rng=np.random.default_rng(0))
    np.testing.assert_allclose(again.survival, prediction().survival, atol=1e-9)
    assert again.expected_spend == pytest.approx(prediction().expected_spend, rel=0.02)
    some = np.arange(40, 90)
    part = case.fit.predict(case.panel.take(some), case.stocks[some], rng=np.random.default_rng(0))
    np.testing.assert_allclose(part.survival, prediction().survival[some], atol=1e-9)


def test_unit_weights_move_nothing_and_doubled_ones_move_effects_as_a_refit_does() -> None:
    case = both()
    fit, panel, stocks = case.fit, case.panel, case.stocks
    same = fit.reweighted(np.ones(CUSTOMERS))
    np.testing.assert_array_equal(same.parameters.to_vector(), fit.parameters.to_vector())
    weights = 1.0 + (np.arange(CUSTOMERS) % 2)
    step = JointDropout().fit(panel, stocks, weights=weights, start=fit, rng=np.random.default_rng(0))
    problem = JointDropout().problem(panel, stocks, fit.design, fit.life, weights)
    refit = problem.climb(fit.parameters, None, dynamic=fit.dynamic).parameters
    errors = np.stack([fit.beta_sd, fit.gamma_sd])
    moved = (np.stack([step.beta, step.gamma]) - np.stack([fit.beta, fit.gamma])) / errors
    wanted = (refit.stocks[:, :-1] - np.stack([fit.beta, fit.gamma])) / errors
    assert np.corrcoef(moved.ravel(), wanted.ravel())[0, 1] > 0.8
    assert np.abs(moved).max() > 0.3


def test_weights_of_other_customers_are_refused() -> None:
    with pytest.raises(ValueError, match="influence of 1000 customers is needed for 3 weights"):
        both().fit.reweighted(np.ones(3))


def test_a_company_imitated_without_effects_acts_and_buys_as_much_and_falls_silent_alike() -> None:
    case = both()
    four = np.tile(np.arange(CUSTOMERS), 4)
    panel, stocks = case.panel.take(four), case.stocks[four]
    twin = without_effects(case.fit, panel, stocks, rng=np.random.default_rng(3))
    own = np.array(case.fit.design.life.own)
    assert twin.purchases.sum() == pytest.approx(panel.purchases.sum(), rel=0.1)
    assert twin.own_acts.sum() == pytest.approx(panel.own_acts.sum(), rel=0.1)
    np.testing.assert_array_equal(twin.touches[:, :, ~own], panel.touches[:, :, ~own])
    assert not np.array_equal(twin.touches[:, :, own], panel.touches[:, :, own])
    np.testing.assert_array_equal(twin.own_acts, twin.touches[:, :, own].sum(axis=2))
    for theirs, ours in ((panel.own_acts, twin.own_acts), (panel.purchases, twin.purchases)):
        late, early = slice(12, 18), slice(0, 6)
        fade = theirs[:, late].sum() / theirs[:, early].sum()
        assert fade < 0.75  # who has left no longer acts
        assert ours[:, late].sum() / ours[:, early].sum() == pytest.approx(fade, rel=0.12)


def test_the_placebo_credits_nothing_beyond_noise() -> None:
    case = both()
    check = run_joint_placebo(
        case.fit, case.panel, case.stocks, rng=np.random.default_rng(4), customers=2 * CUSTOMERS
    )
    assert check.companies == 2
    assert (np.abs(check.retention) < 3.5 * check.retention_sd).all()
    assert (np.abs(check.spend) < 3.5 * check.spend_sd).all()
    assert check.problems == ()
    true = case.estimate.credit.spend
    assert check.spend.sum() < 0.5 * true.credit.sum() / true.total


def test_the_checks_of_a_silent_company_read_the_joint_model(monkeypatch: pytest.MonkeyPatch) -> None:
    case = both()
    nothing = np.zeros(6)
    failing = PlaceboCheck(
        channels=case.panel.channels,
        retention=np.array([0.2, *nothing[1:]]),
        spend=nothing,
        retention_sd=np.full(6, 0.01),
        spend_sd=np.full(6, 0.01),
        companies=1,
        n=CUSTOMERS,
    )
    asked: list[object] = []

    def placebo(fit: JointDropoutFit, *_: object, **__: object) -> PlaceboCheck:
        asked.append(fit)
        return failing

    monkeypatch.setattr(plan, "run_joint_placebo", placebo)
    check = plan_for(case.panel).check
    assert check is not None
    found = check(case.fit, case.panel, case.stocks, np.random.default_rng(0))
    assert asked == [case.fit]
    assert found.problems == failing.problems
    assert "care is credited with 20.0% of retention" in found.problems[0]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"origins": ("customer", None, *("firm",) * 4)}, ConfigError, "1 of 6 channels have no origin"),
        ({"purchases": np.zeros((50, 18))}, DataError, "0 purchases"),
    ],
)
def test_a_panel_that_cannot_be_fitted_is_refused_in_words(change, error, words) -> None:
    panel = replace(both().panel.take(slice(0, 50)), **change)
    with pytest.raises(error, match=words):
        JointDropout().fit(panel, both().stocks[:50], rng=np.random.default_rng(0))


def test_a_column_that_hardly_varies_may_be_constant_among_the_few_on_whom_the_search_sets_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = both()
    monkeypatch.setattr("attribution.incremental.joint.model.PILOT", 60)
    rare = np.zeros((CUSTOMERS, 1))
    rare[-1] = 1.0
    panel = replace(case.panel, covariates=np.column_stack([case.panel.covariates, rare]))
    panel = replace(panel, covariate_names=(*case.panel.covariate_names, "rare")).take(slice(-400, None))
    few = case.stocks[-400:]
    model = JointDropout(starts=1, max_iterations=2)
    fit = model.fit(panel, few, life=case.fit.life, rng=np.random.default_rng(1))
    assert fit.shape.covariates == 3
