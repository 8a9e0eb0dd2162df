"""Panel regressions: the arithmetic of the fit, and what they recover when nothing is hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.designs import DesignChoices, build_design
from attribution.incremental.glm import LOGIT, POISSON, Family, fit_glm
from attribution.incremental.regression import OWN_MEANS, POISSON_SPEND, STATIC
from attribution.incremental.stocks import decayed_stocks
from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.simulate import simulate_panel
from histories.errors import ConvergenceError

N = 6_000
SHARES = 0.12
"""Half summed difference of shares at 6,000 customers: about twice the oracle's own mean error."""


@pytest.fixture(scope="module")
def plain() -> SimulatedPanel:
    return simulate_panel("none", n=N, periods=18, seed=2)


@pytest.fixture(scope="module")
def hidden() -> SimulatedPanel:
    return simulate_panel("r0", n=N, periods=18, seed=2)


@pytest.mark.parametrize(("family", "draw"), [(POISSON, np.exp), (LOGIT, lambda eta: 1 / (1 + np.exp(-eta)))])
def test_score_is_zero_at_the_optimum(family: Family, draw: object) -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(4_000), rng.normal(size=(4_000, 2))])
    mean = draw(X @ [-1.0, 0.5, -0.3])  # type: ignore[operator]
    y = rng.poisson(mean) if family is POISSON else rng.random(4_000) < mean
    fit = fit_glm(X, y.astype(float), family)
    score = X.T @ (y - family.mean(X @ fit.coefficients))
    assert np.abs(score).max() < 0.05  # of 4,000 rows; the ridge of one pseudo-row is all that is left
    np.testing.assert_allclose(fit.coefficients, [-1.0, 0.5, -0.3], atol=0.15)  # 3 sd


def test_one_step_of_influence_is_close_to_a_refit(plain: SimulatedPanel) -> None:
    panel = plain.panel.take(slice(0, 2_000))
    stocks, rng = decayed_stocks(panel.touches), np.random.default_rng(0)
    fit = STATIC.fit(panel, stocks, rng=rng)
    weights = rng.exponential(1.0, panel.n_customers)
    step = STATIC.fit(panel, stocks, weights=weights, start=fit, rng=rng)
    refit = STATIC.fit(panel, stocks, weights=weights, rng=rng)
    for name in ("beta", "gamma"):
        moved, exact = (getattr(other, name) - getattr(fit, name) for other in (step, refit))
        assert np.linalg.norm(moved - exact) < 0.25 * np.linalg.norm(exact)


def test_a_response_that_never_varies_is_refused() -> None:
    with pytest.raises(ConvergenceError, match="nothing to fit"):
        fit_glm(np.ones((5, 1)), np.zeros(5), POISSON)


@pytest.mark.parametrize("outcome", ["retention", "spend"])
def test_without_selection_the_regression_finds_the_truth(plain: SimulatedPanel, outcome: str) -> None:
    stocks, rng = decayed_stocks(plain.panel.touches), np.random.default_rng(0)
    credit = panel_credit(STATIC.fit(plain.panel, stocks, rng=rng), plain.panel, stocks, rng=rng).require(
        outcome
    )
    truth = plain.truth.outcomes[outcome].credit
    assert credit.credit.sum() / truth.sum() == pytest.approx(1.0, abs=0.3)
    error = 0.5 * np.abs(credit.credit / credit.credit.sum() - truth / truth.sum()).sum()
    assert error < 2 * SHARES


def test_hidden_satisfaction_without_a_proxy_triples_the_credit(hidden: SimulatedPanel) -> None:
    stocks, rng = decayed_stocks(hidden.panel.touches), np.random.default_rng(0)
    credit = panel_credit(STATIC.fit(hidden.panel, stocks, rng=rng), hidden.panel, stocks, rng=rng)
    level = credit.retention.credit.sum() / hidden.truth.outcomes["retention"].credit.sum()
    assert level > 2.2


def test_own_means_repair_satisfaction_that_never_changes(hidden: SimulatedPanel) -> None:
    stocks, rng = decayed_stocks(hidden.panel.touches), np.random.default_rng(0)
    credit = panel_credit(OWN_MEANS.fit(hidden.panel, stocks, rng=rng), hidden.panel, stocks, rng=rng)
    level = credit.spend.credit.sum() / hidden.truth.outcomes["spend"].credit.sum()
    assert level == pytest.approx(0.95, abs=0.25)


def test_seen_satisfaction_as_a_changing_covariate_repairs_it_too(hidden: SimulatedPanel) -> None:
    seen = replace(hidden.panel, time_covariates=hidden.latent["u"][:, :, None], time_covariate_names=("u",))
    stocks, rng = decayed_stocks(seen.touches), np.random.default_rng(0)
    credit = panel_credit(STATIC.fit(seen, stocks, rng=rng), seen, stocks, rng=rng)
    level = credit.spend.credit.sum() / hidden.truth.outcomes["spend"].credit.sum()
    assert level == pytest.approx(1.0, abs=0.2)


def test_history_is_known_before_the_period() -> None:
    panel = simulate_panel("hidden30", n=300, periods=8, seed=1).panel
    later = replace(panel, purchases=panel.purchases.copy(), spend=panel.spend.copy())
    later.purchases[:, 5:] += 3.0
    later.spend[:, 5:] += 60.0
    design = build_design(panel, DesignChoices(history=True))
    before, after = design.rows(panel), design.rows(later)
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert (before[:, 6:] != after[:, 6:]).any()


def test_a_fit_on_a_sample_credits_everybody(plain: SimulatedPanel) -> None:
    panel = plain.panel
    stocks, rng = decayed_stocks(panel.touches), np.random.default_rng(0)
    fit = POISSON_SPEND.fit(panel.take(slice(0, 2_000)), stocks[:2_000], rng=rng)
    credit = panel_credit(fit, panel, stocks, rng=rng)
    assert credit.spend.total == pytest.approx(panel.spend.sum())
    assert credit.spend.credit.any()
    assert not credit.retention.credit.any()
