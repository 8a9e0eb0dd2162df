"""The latent dropout model finds the truth of simulated companies, and the simple answers miss it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.glm import LOGIT, fit_glm
from attribution.incremental.latent import LatentDropout, LatentDropoutFit
from attribution.incremental.stocks import decayed_stocks
from histories.errors import ConfigError, DataError, ModelError
from histories.simulation.panel import simulate_panel

PERIODS = 20
CUSTOMERS = 4_000
SIGMAS = 3.5
"""Standard errors within which every effect has to be found: 12 effects of one seed."""


def company(scenario: str, n: int = CUSTOMERS, seed: int = 1) -> SimpleNamespace:
    sim = simulate_panel(scenario, n=n, periods=PERIODS, seed=seed)
    return SimpleNamespace(
        panel=sim.panel,
        stocks=decayed_stocks(sim.panel.touches),
        truth=sim.truth,
        survivors=float((sim.latent["exit"] == PERIODS).sum()),
        beta=np.array(list(sim.truth.parameters["beta"].values())),
        gamma=np.array(list(sim.truth.parameters["gamma"].values())),
    )


def fit_to(case: SimpleNamespace, **choices) -> LatentDropoutFit:
    return LatentDropout(**choices).fit(case.panel, case.stocks, rng=np.random.default_rng(0))


def credit_of(fit: LatentDropoutFit, case: SimpleNamespace):
    return panel_credit(fit, case.panel, case.stocks, rng=np.random.default_rng(0))


def share_error(credit: np.ndarray, truth: np.ndarray) -> float:
    return 0.5 * np.abs(credit / np.abs(credit).sum() - truth / np.abs(truth).sum()).sum()


@pytest.fixture(scope="module")
def hidden() -> SimpleNamespace:
    case = company("hidden30")
    case.fit = fit_to(case)
    assert case.fit.emission == "poisson"
    return case


@pytest.fixture(scope="module")
def spells() -> SimpleNamespace:
    case = company("episodes", n=1_500)
    case.fit = fit_to(case)
    return case


def test_effects_survivors_and_credit_are_recovered_though_leaving_is_never_seen(hidden):
    fit = hidden.fit
    assert (np.abs(fit.beta - hidden.beta) < SIGMAS * fit.beta_sd).all()
    assert (np.abs(fit.gamma - hidden.gamma) < SIGMAS * fit.gamma_sd).all()
    credit = credit_of(fit, hidden)
    assert credit.retention.total == pytest.approx(hidden.survivors, rel=0.05)
    for outcome in ("retention", "spend"):
        found, true = credit.outcome(outcome).credit, hidden.truth.outcomes[outcome].credit
        assert share_error(found, true) < 0.25
        assert 0.6 < found.sum() / true.sum() < 1.4
        assert found[3] < 0  # phone does harm


def test_purchases_alone_take_proof_of_life_for_an_effect(hidden):
    panel = replace(
        hidden.panel,
        origins=("firm",) * 6,
        own_acts=np.zeros_like(hidden.panel.own_acts),
    )
    naive = LatentDropout(emission="poisson").fit(panel, hidden.stocks, rng=np.random.default_rng(0))
    credit = panel_credit(naive, panel, hidden.stocks, rng=np.random.default_rng(0)).retention.credit
    true = hidden.truth.outcomes["retention"].credit
    assert share_error(credit, true) > 0.3
    assert credit.sum() > 2 * true.sum()
    assert credit[3] > 0  # the harmful channel looks helpful


@pytest.mark.slow
def test_an_email_flagged_as_the_customers_act_is_a_costly_mistake(hidden):
    panel = replace(
        hidden.panel, origins=("customer",) * 6, own_acts=hidden.panel.touches.sum(axis=2).astype(float)
    )
    wrong = LatentDropout(emission="poisson").fit(panel, hidden.stocks, rng=np.random.default_rng(0))
    survivors = panel_credit(wrong, panel, hidden.stocks, rng=np.random.default_rng(0)).retention.total
    assert survivors > 1.5 * hidden.survivors


def test_still_buying_regressed_on_touches_credits_a_channel_without_effect(hidden):
    panel = hidden.panel
    touches = np.log1p(panel.touches.sum(axis=1)).astype(np.float64)
    kept = (panel.purchases[:, -hidden.fit.window :] > 0).any(axis=1).astype(np.float64)
    design = np.column_stack([np.ones(len(kept)), panel.covariates, touches])
    naive = fit_glm(design, kept, LOGIT).coefficients[-6:]
    assert naive[4] > 0.2  # post does nothing at all, and is credited more than chat
    assert naive[4] > naive[2]
    assert share_error(naive, -hidden.beta) > 0.3


def test_totals_of_the_model_are_the_totals_observed(hidden):
    totals = hidden.fit.totals
    assert totals.expected_purchases == pytest.approx(totals.purchases, rel=1e-3)
    assert totals.expected_survivors == pytest.approx(totals.survivors, rel=1e-3)
    credit = credit_of(hidden.fit, hidden)
    assert credit.expected_spend == pytest.approx(hidden.panel.spend.sum(), rel=1e-3)
    assert hidden.fit.problems == ()


def test_no_effect_is_found_where_none_exists_though_idle_customers_are_written_to():
    case = company("idle")
    fit = fit_to(case, emission="poisson")
    assert (np.abs(fit.beta) < SIGMAS * fit.beta_sd).all()
    assert (np.abs(fit.gamma) < SIGMAS * fit.gamma_sd).all()
    draws = [credit_of(draw, case) for draw in fit.draws(count=8, rng=np.random.default_rng(1))]
    credit = credit_of(fit, case)
    for outcome in ("retention", "spend"):
        spread = np.std([draw.outcome(outcome).credit.sum() for draw in draws])
        assert abs(credit.outcome(outcome).credit.sum()) < SIGMAS * spread


def test_episodes_are_noticed_and_quiet_spells_are_not_taken_for_goodbyes(spells):
    assert spells.fit.emission == "episodes"
    survivors = credit_of(spells.fit, spells).retention.total
    poisson = replace(spells.fit, emission="poisson", theta=spells.fit.poisson)
    assert survivors == pytest.approx(spells.survivors, rel=0.05)
    assert credit_of(poisson, spells).retention.total < 0.85 * spells.survivors
    assert "survivors" in spells.fit.cautions[0]
    assert spells.fit.levels["logit stay on"] == pytest.approx(np.log(0.8 / 0.2), abs=0.35)


def test_heavy_buyers_who_touch_more_are_told_from_touches_that_sell():
    case = company("heavy")
    coupled = fit_to(case, emission="coupled")
    gain = coupled.comparison.loglik["coupled"] - coupled.comparison.loglik["poisson"]
    assert gain > np.log(case.panel.n_customers)
    assert coupled.levels["coupling"] > 0.2
    true = case.truth.outcomes["spend"].credit.sum()
    uncoupled = replace(coupled, emission="poisson", theta=coupled.poisson)
    plain = credit_of(uncoupled, case).spend.credit.sum() / true
    level = credit_of(coupled, case).spend.credit.sum() / true
    assert plain - level > 0.3
    assert abs(level - 1) < 0.5


def test_customers_who_enter_later_are_fitted_alike(hidden):
    panel = hidden.panel
    late = np.random.default_rng(5).integers(0, 8, panel.n_customers)
    shifted = {}
    for name in ("touches", "own_acts", "problems", "spend", "purchases"):
        values = np.asarray(getattr(panel, name))
        moved = np.zeros_like(values)
        for lag in range(8):
            rows = late == lag
            moved[rows, lag:] = values[rows, : PERIODS - lag]
        shifted[name] = moved
    staggered = replace(panel, entry=late, **shifted)
    stocks = decayed_stocks(staggered.touches)
    fit = LatentDropout(emission="poisson").fit(staggered, stocks, rng=np.random.default_rng(0))
    assert (np.abs(fit.beta - hidden.beta) < SIGMAS * fit.beta_sd).all()
    assert (np.abs(fit.gamma - hidden.gamma) < SIGMAS * fit.gamma_sd).all()


@pytest.mark.parametrize("case_name", ["hidden", "spells"])
def test_one_step_of_influence_is_the_fit_to_reweighted_customers(case_name, request):
    case = request.getfixturevalue(case_name)
    weights = np.random.default_rng(2).exponential(size=case.panel.n_customers)
    rng = np.random.default_rng(0)
    step = LatentDropout().fit(case.panel, case.stocks, weights=weights, start=case.fit, rng=rng)
    climb = LatentDropout(one_step=False).fit(
        case.panel, case.stocks, weights=weights, start=case.fit, rng=rng
    )
    assert (np.abs(step.beta - climb.beta) < 0.35 * case.fit.beta_sd).all()
    assert (np.abs(climb.beta - case.fit.beta) > 0.2 * case.fit.beta_sd).any()


def test_draws_have_the_spread_of_the_covariance(hidden):
    draws = hidden.fit.draws(count=400, rng=np.random.default_rng(0))
    spread = np.std([draw.beta for draw in draws], axis=0)
    assert np.allclose(spread, hidden.fit.beta_sd, rtol=0.2)


def test_a_sample_of_customers_is_fitted_and_all_are_scored(hidden):
    rng = np.random.default_rng(0)
    model = LatentDropout(sample=1_500, emission="poisson")
    fit = model.fit(hidden.panel, hidden.stocks, rng=rng)
    assert fit.n == 1_500
    assert fit.predict(hidden.panel, hidden.stocks, rng=rng).survival.shape == (CUSTOMERS,)
    weights = np.full(CUSTOMERS, 1.0)
    again = model.fit(hidden.panel, hidden.stocks, weights=weights, start=fit, rng=rng)
    assert np.allclose(again.theta, fit.theta)


def test_a_prediction_does_not_depend_on_the_other_customers(spells):
    rng = np.random.default_rng(0)
    some = slice(100, 300)
    all_of_them = spells.fit.predict(spells.panel, spells.stocks, rng=rng)
    part = spells.fit.predict(spells.panel.take(some), spells.stocks[some], rng=rng)
    assert np.allclose(all_of_them.survival[some], part.survival)
    assert np.allclose(all_of_them.hazard_offset[:, some], part.hazard_offset)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"origins": ("customer", None, "firm")}, ConfigError, "1 of 3 channels have no origin"),
        ({"exit": np.array([1, 2])}, DataError, "says when customers left"),
        ({"purchases": np.zeros((2, 3))}, DataError, "0 purchases"),
    ],
)
def test_a_panel_that_cannot_be_fitted_is_refused_in_words(hidden, change, error, words):
    panel = replace(
        hidden.panel.take(slice(0, 2)),
        channels=("a", "b", "c"),
        groups=("a", "b", "c"),
        origins=("customer",) * 3,
    )
    with pytest.raises(error, match=words):
        LatentDropout().fit(replace(panel, **change), hidden.stocks[:2], rng=np.random.default_rng(0))


def test_weights_of_other_customers_are_refused(hidden):
    with pytest.raises(ModelError, match="3 weights for the influence of 4000 customers"):
        hidden.fit.reweighted(np.ones(3))


def test_too_few_periods_for_the_lapse_window_are_a_problem(hidden):
    short = replace(hidden.fit, n_periods=8)
    assert "too few periods: 8" in short.problems[0]
    assert "two starts" in replace(hidden.fit, start_gap=4.0).problems[0]
