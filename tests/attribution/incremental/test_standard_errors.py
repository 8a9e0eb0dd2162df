"""Standard errors of the hidden chain, and what random weights draw, where effects are known only roughly."""

from __future__ import annotations

import numpy as np
import pytest

from attribution.incremental.chain import HiddenChain, HiddenChainFit, Structure
from attribution.incremental.chain.likelihood import evaluate
from attribution.incremental.stocks import moment_precision, panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

N, P, PARTS = 600, 18, 10
CHAT, NEWS = -0.5, -0.2
"""Effects on the log-odds of leaving per unit of stock."""
KEPT = 0.6 ** (1.0 / PARTS)


def company(n: int, *, mood: float, recorded: bool, seed: int = 1) -> Panel:
    """Customers who leave at any moment; a mood that comes and goes moves who chats, and who leaves."""
    rng = np.random.default_rng(seed)
    buys, acts = rng.gamma(2.0, 0.5, n), rng.gamma(2.0, 0.2, n)
    feels, carried = rng.normal(0.0, 1.0, n), np.zeros((n, 2))
    touches, purchases = np.zeros((n, P, 2)), np.zeros((n, P))
    there, exit_, share = np.ones(n, dtype=bool), np.full(n, P), np.ones(n)
    last = np.zeros((n, P), dtype=np.float32)
    for t in range(P):
        feels = 0.9 * feels + np.sqrt(0.19) * rng.normal(0.0, 1.0, n)
        for part in range(PARTS):
            carried *= KEPT
            chats = there * rng.poisson(acts * np.exp(-mood * feels) / PARTS)
            touches[:, t, 0] += chats
            touches[:, t, 1] += rng.poisson(1.0 / PARTS, n) * (there | (not recorded))
            bought = there * rng.poisson(buys / PARTS)
            purchases[:, t] += bought
            last[:, t] = np.where(chats + bought > 0, (part + 0.5) / PARTS, last[:, t])
            stocks = carried + np.log1p(touches[:, t])
            hazard = 0.05 * np.exp(stocks @ [CHAT, NEWS] - 2.0 * mood * feels) / PARTS
            leaves = there & (rng.random(n) < hazard)
            exit_[leaves], share[leaves] = t, (part + 1) / PARTS
            there &= ~leaves
        carried += np.log1p(touches[:, t])
    known = {"exit": exit_, "exit_share": share} if recorded else {"at_any_moment": True, "last_moment": last}
    return panel_of({"chat": "customer", "news": "firm"}, touches, purchases, **known)


def fitted(panel: Panel, structure: Structure) -> HiddenChainFit:
    return HiddenChain(structure=structure).fit(panel, panel_stocks(panel), rng=np.random.default_rng(1))


@pytest.fixture(scope="module")
def moody() -> tuple[Panel, HiddenChainFit]:
    panel = company(N, mood=0.4, recorded=True)
    return panel, fitted(panel, Structure(nodes=5, drift=True, shared=False))


def by_curvature(panel: Panel, fit: HiddenChainFit) -> np.ndarray:
    """Standard errors from the curvature in every direction, by differences of slopes."""
    problem = fit.likelihood(panel, panel_stocks(panel))
    moving = np.flatnonzero(fit.errors > 0)
    bent = np.empty((len(moving), len(moving)))
    for row, k in enumerate(moving):
        ahead, behind = fit.theta.copy(), fit.theta.copy()
        ahead[k] += 1e-4
        behind[k] -= 1e-4
        slopes = [evaluate(problem, theta).scores[:, moving].sum(axis=0) for theta in (behind, ahead)]
        bent[row] = (slopes[0] - slopes[1]) / 2e-4
    precision, _ = problem.layout.prior(problem.inputs)
    errors = np.zeros(problem.layout.size)
    errors[moving] = np.sqrt(np.diag(np.linalg.inv(0.5 * (bent + bent.T) + np.diag(precision[moving]))))
    return errors


def test_errors_are_those_of_the_curvature_where_a_mood_and_effects_are_hardly_told_apart(moody):
    panel, fit = moody
    whole, effect = by_curvature(panel, fit), fit.layout.effects(0, 2)
    np.testing.assert_allclose(fit.errors[effect], whole[effect], rtol=0.15)
    scores = evaluate(fit.likelihood(panel, panel_stocks(panel)), fit.theta).scores[:, fit.errors > 0]
    precision, _ = fit.layout.prior(fit.likelihood(panel, panel_stocks(panel)).inputs)
    outer = np.linalg.inv(scores.T @ scores + np.diag(precision[fit.errors > 0]))
    assert np.sqrt(outer[effect.start, effect.start]) < 0.8 * whole[effect.start]


def test_random_weights_draw_effects_as_widely_as_their_errors_say(moody):
    _, fit = moody
    rng = np.random.default_rng(2)
    drawn = np.array([fit.reweighted(rng.exponential(1.0, N)).theta for _ in range(400)])
    effects = np.r_[np.arange(*fit.layout.effects(0, 2).indices(10**6)), fit.layout.loadings.start]
    np.testing.assert_allclose(drawn[:, effects].std(axis=0), fit.errors[effects], rtol=0.15)


def test_moments_that_are_not_seen_hold_effects_of_touches_that_leaving_ends():
    recorded, silent = (company(N, mood=0.0, recorded=known) for known in (True, False))
    assert (moment_precision(recorded) > 0).all()
    own, sent = moment_precision(silent)
    assert own > 0
    assert sent == 0


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [True, False])
def test_effects_on_leaving_at_any_moment_are_found(recorded):
    found, errors = [], []
    for seed in range(6):
        fit = fitted(company(5_000, mood=0.0, recorded=recorded, seed=seed), Structure(shared=False))
        found.append(fit.beta)
        errors.append(fit.beta_sd)
    missed = np.mean(found, axis=0) - [CHAT, NEWS]
    short = 0.0 if recorded else 0.1 * abs(CHAT)  # in silence a moment that is not seen takes a tenth of it
    assert (np.abs(missed) < short + 3.0 * np.mean(errors, axis=0) / np.sqrt(6)).all(), np.mean(found, axis=0)
