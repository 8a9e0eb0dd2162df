"""A mood that drifts and moves who writes and who leaves, but not what is bought."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from attribution.incremental.chain import HiddenChain, HiddenChainFit, Structure
from attribution.incremental.chain.model import _best, _within_reach
from attribution.incremental.plan import MOVED_ALONE, plan_for
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

CHANNELS = ("chat", "forum", "post", "newsletter")
LOADINGS = np.array([-0.7, 0.7, 0.5, 0.0])
RATES = np.array([0.5, 0.5, 0.4, 1.0])
MOODY = Structure(nodes=5, drift=True, shared=False)
LEVEL = replace(MOODY, acts_only=True)


def company(*, recorded: bool = False, n: int = 600, periods: int = 14, seed: int = 1) -> Panel:
    """Touches do nothing; the mood keeps customers, fills the forum and empties the chat."""
    draws = np.random.default_rng(seed)
    mood, there = draws.normal(size=n), np.ones(n, dtype=bool)
    touches, purchases = np.zeros((n, periods, len(CHANNELS))), np.zeros((n, periods))
    gone = np.full(n, periods)
    levels = draws.gamma(2.0, 0.5, (n, len(CHANNELS)))
    for t in range(periods):
        mood = 0.85 * mood + np.sqrt(1 - 0.85**2) * draws.normal(size=n)
        rates = levels * RATES * np.exp(LOADINGS * mood[:, None])
        touches[:, t] = draws.poisson(rates) * there[:, None]
        touches[:, t, 3] = draws.poisson(1.0, n) * (there | (not recorded))
        purchases[:, t] = draws.poisson(0.8 * levels[:, 0] ** 0.3, n) * there
        leaves = there & (draws.random(n) < 1.0 / (1.0 + np.exp(2.6 + 0.9 * mood)))
        gone[leaves] = t
        there &= ~leaves
    return panel_of(
        dict(zip(CHANNELS, ("customer", "customer", "customer", "firm"), strict=True)),
        touches,
        purchases,
        exit=gone if recorded else None,
    )


def fitted(panel: Panel, structure: Structure) -> HiddenChainFit:
    return HiddenChain(structure=structure).fit(panel, panel_stocks(panel), rng=np.random.default_rng(1))


@pytest.fixture(scope="module")
def silent() -> Panel:
    return company()


@pytest.fixture(scope="module")
def mood(silent: Panel) -> HiddenChainFit:
    return fitted(silent, MOODY)


@pytest.fixture(scope="module")
def level(silent: Panel) -> HiddenChainFit:
    return fitted(silent, LEVEL)


def z(fit: HiddenChainFit) -> NDArray[np.float64]:
    return np.abs(fit.beta / fit.beta_sd)


def test_without_its_loading_on_leaving_a_mood_passes_for_effects_of_acts(
    mood: HiddenChainFit, level: HiddenChainFit
) -> None:
    assert z(level)[:3].max() > 4.0
    assert z(mood)[:3].max() < 3.0
    assert mood.beta_sd[1] > 1.5 * level.beta_sd[1]


def test_what_moves_acts_both_ways_is_no_level_and_its_loading_stays_free(
    mood: HiddenChainFit, level: HiddenChainFit
) -> None:
    assert not level.one_way
    ahead = replace(level, score=mood.score + 5.0)
    assert _best([ahead, mood]) is mood
    theta = level.theta.copy()
    theta[level.layout.loadings] = np.abs(theta[level.layout.loadings])
    shared = replace(ahead, theta=theta, score=mood.score - 5.0)
    assert shared.one_way
    assert _best([mood, shared]) is shared


def test_a_mood_that_acts_alone_show_refuses_them_unless_it_clearly_moves_leaving(
    silent: Panel, mood: HiddenChainFit
) -> None:
    start = mood.layout.loadings.start
    errors = mood.errors.copy()
    errors[start] = abs(mood.theta[start]) / 2.0
    unclear = replace(mood, errors=errors)
    assert set(unclear.moved_alone) >= {"chat", "forum"}
    assert "newsletter" not in unclear.moved_alone
    check = plan_for(silent).check
    assert check is not None
    reasons = check(unclear, silent, panel_stocks(silent), np.random.default_rng(1)).by_channel
    assert reasons["chat"] == MOVED_ALONE
    errors[start] = abs(mood.theta[start]) / 5.0
    assert replace(mood, errors=errors).moved_alone == ()


def stub(structure: Structure, loglik: float, charge: float) -> Any:
    return SimpleNamespace(
        structure=structure,
        optimum=SimpleNamespace(loglik=loglik),
        score=loglik - charge,
        problem=SimpleNamespace(inputs=SimpleNamespace(n_customers=2_000)),
    )


def test_settings_that_the_few_hardly_show_are_climbed_on_all_with_their_twin() -> None:
    nothing = stub(Structure(shared=False), -1_000.0, 50.0)
    shared = stub(Structure(), -1_001.0, 50.0)
    moody, alike = stub(MOODY, -985.0, 73.0), stub(LEVEL, -988.0, 65.0)
    lasts = stub(Structure(nodes=7, shared=False), -1_000.0, 70.0)
    tried = [nothing, shared, moody, alike, lasts]
    assert _within_reach(tried, 2_000)[0] is nothing
    assert _within_reach(tried, 12_000) == [moody, alike]
