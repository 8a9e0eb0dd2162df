"""What stands beside a credit from the latent dropout model: lapse, placebo, holdout, residual value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from attribution.incremental.checks.holdout import HoldoutCheck, run_holdout
from attribution.incremental.checks.lapse import check_lapse
from attribution.incremental.checks.latent import run_checks
from attribution.incremental.checks.placebo import PlaceboCheck, run_placebo
from attribution.incremental.checks.replica import without_effects
from attribution.incremental.latent import LatentDropout, residual_value
from attribution.incremental.latent.windows import lapse_window, purchase_gaps
from attribution.incremental.stocks import decayed_stocks
from histories.errors import ModelError
from histories.simulation.panel import simulate_panel

PERIODS = 20


def company(scenario, n, seed=1):
    panel = simulate_panel(scenario, n=n, periods=PERIODS, seed=seed).panel
    return panel, decayed_stocks(panel.touches)


@pytest.fixture(scope="module")
def hidden():
    panel, stocks = company("hidden30", 4_000)
    return panel, stocks, LatentDropout(emission="poisson").fit(panel, stocks, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def spells():
    panel, stocks = company("episodes", 1_500)
    return panel, stocks, LatentDropout(emission="episodes").fit(panel, stocks, rng=np.random.default_rng(0))


def test_the_window_is_the_95_percent_quantile_of_gaps(hidden):
    panel = hidden[0].take(slice(0, 2))
    bought = np.zeros((2, PERIODS))
    bought[0, [0, 1, 2, 3, 9]] = 1
    bought[1, [4, 5]] = 2
    panel = replace(panel, purchases=bought)
    assert sorted(purchase_gaps(panel)) == [1, 1, 1, 1, 6]
    assert lapse_window(panel) == 5  # quantile 5.0 of the five gaps
    assert lapse_window(replace(panel, purchases=bought * 0)) == PERIODS


def test_the_lapse_window_agrees_on_the_signs_of_clear_effects(hidden):
    panel, stocks, fit = hidden
    check = check_lapse(fit, panel, stocks)
    assert check.horizon == PERIODS - fit.window
    assert check.verdicts[0] == "agrees"  # care, the strongest effect
    assert "differs" not in check.verdicts
    assert check.problems == ()


def test_a_lapse_window_that_contradicts_is_named(hidden):
    panel, stocks, fit = hidden
    theta = fit.theta.copy()
    care = fit.layout.hazard_drivers(6).start
    theta[care] = 0.5
    check = check_lapse(replace(fit, theta=theta), panel, stocks)
    assert check.verdicts[0] == "differs"
    assert "opposite sign for care" in check.problems[0]


def test_a_panel_shorter_than_the_window_is_refused(hidden):
    panel, stocks, fit = hidden
    with pytest.raises(ModelError, match="20 periods for a window of 25"):
        check_lapse(replace(fit, window=25), panel, stocks)


@pytest.mark.parametrize("case", ["hidden", "spells"])
def test_a_company_simulated_without_effects_resembles_the_one_it_was_fitted_to(case, request):
    panel, stocks, fit = request.getfixturevalue(case)
    twin = without_effects(fit, panel, stocks, rng=np.random.default_rng(3))
    assert twin.purchases.sum() == pytest.approx(panel.purchases.sum(), rel=0.1)
    assert twin.own_acts.sum() == pytest.approx(panel.own_acts.sum(), rel=0.15)
    ours, theirs = (p.touches.sum(axis=(0, 1)) for p in (twin, panel))
    assert np.allclose(ours / ours.sum(), theirs / theirs.sum(), atol=0.03)
    assert np.array_equal(twin.touches[:, :, 5], panel.touches[:, :, 5])  # the firm's e-mails stay


def test_the_placebo_credits_nothing_beyond_noise(hidden):
    panel, stocks, fit = hidden
    check = run_placebo(fit, panel, stocks, rng=np.random.default_rng(4), customers=5_000)
    assert check.companies == 2
    assert (np.abs(check.retention) < 3.5 * check.retention_sd).all()
    assert (np.abs(check.spend) < 3.5 * check.spend_sd).all()
    assert check.problems == ()


@pytest.mark.parametrize(
    ("share", "sd", "failing"), [(0.04, 0.001, 0), (0.06, 0.025, 0), (0.06, 0.01, 1), (-0.2, 0.01, 1)]
)
def test_the_placebo_gate_needs_a_large_and_a_clear_credit(share, sd, failing):
    check = PlaceboCheck(
        channels=("care", "mail"),
        retention=np.array([share, 0.0]),
        spend=np.zeros(2),
        retention_sd=np.array([sd, sd]),
        spend_sd=np.full(2, sd),
        companies=1,
        n=100,
    )
    assert len(check.problems) == failing
    assert all("care is credited with" in problem for problem in check.problems)


def test_the_holdout_is_foreseen_with_episodes_and_missed_without(spells):
    panel, stocks, _ = spells
    rng = np.random.default_rng(5)
    good = run_holdout(LatentDropout(emission="episodes"), panel, stocks, rng=rng)
    bad = run_holdout(LatentDropout(emission="poisson"), panel, stocks, rng=rng)
    assert good.predicted_heard == pytest.approx(good.observed_heard, rel=0.08)
    assert bad.predicted_heard < 0.9 * bad.observed_heard
    assert good.problems == ()


def test_a_small_miss_in_the_holdout_is_noise_and_a_large_one_is_told():
    check = HoldoutCheck(
        periods=5,
        n=50,
        predicted_purchases=12.0,
        observed_purchases=9.0,
        predicted_heard=10.0,
        observed_heard=9.0,
    )
    assert check.problems == ()
    missed = replace(check, predicted_heard=3_174.0, observed_heard=3_811.0)
    assert missed.problems == ("holdout of 5 periods: customers heard of foreseen 3,174, seen 3,811",)


def test_a_holdout_longer_than_half_the_panel_is_refused(hidden):
    panel, stocks, _ = hidden
    with pytest.raises(ModelError, match="20 periods, 10 of them kept back"):
        run_holdout(LatentDropout(), panel, stocks, rng=np.random.default_rng(0), periods=10)


def test_residual_value_is_the_discounted_margin_of_the_months_ahead(hidden):
    panel, stocks, fit = hidden
    one, three = (
        residual_value(fit, panel, stocks, horizon_months=h, discount_rate=0.0, gross_margin=0.5)
        for h in (1, 3)
    )
    level = fit.lives(panel, stocks).end_means[:, 0]
    layout = fit.layout
    theta = fit.theta[layout.purchase]
    inputs = fit.design.inputs(panel, stocks)
    angle = 2 * np.pi * PERIODS / 12
    rate = theta[0] + inputs.static @ theta[1:2] + np.array([np.cos(angle), np.sin(angle)]) @ theta[2:4]
    rate = rate + 0.6 * inputs.drivers[:, -1] @ theta[4:]
    assert np.allclose(one, 0.5 * 20.0 * level * np.exp(rate))
    assert (three > one).all()
    assert (three < 4 * one).all()
    discounted = residual_value(fit, panel, stocks, horizon_months=1, discount_rate=0.21, gross_margin=0.5)
    assert np.allclose(discounted, one / 1.21 ** (1 / 12))


def test_checks_come_as_one_table_and_as_reasons(hidden):
    panel, stocks, fit = hidden
    checks = run_checks(
        LatentDropout(), fit, panel, stocks, rng=np.random.default_rng(0), placebo=False, holdout=False
    )
    frame = checks.to_frame()
    assert frame.columns == ["check", "channel", "value", "low", "high"]
    survivors = frame.filter(pl.col("check") == "survivors")["value"].item()
    assert survivors == pytest.approx(fit.lives(panel, stocks).survival.sum())
    assert 0 < checks.undecided < panel.n_customers
    assert frame.filter(pl.col("check") == "lapse effect on leaving").height == 6
    worse = replace(checks, fit=replace(fit, n_periods=3))
    assert "too few periods" in worse.problems[0]
