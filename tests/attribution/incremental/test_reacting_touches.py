"""A catalogue for who has not bought this month follows purchases; a level of all acts is no satisfaction."""

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.chain.design import ChainDesign
from attribution.incremental.chain.imitation import without_effects
from attribution.incremental.chain.search import Search
from attribution.incremental.stocks import decayed_stocks, earlier_stocks, new_stocks, panel_stocks
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 1500, 18


def company(*, seed: int, n: int = N) -> Panel:
    """Nothing has an effect; a catalogue goes to half of those who bought nothing this month."""
    rng = np.random.default_rng(seed)
    exit_ = rng.geometric(0.06, n) - 1
    there = np.arange(P) <= exit_[:, None]
    level = rng.gamma(2.0, 0.5, (n, 1))
    bought = rng.poisson(0.8 * rng.gamma(2.0, 0.5, (n, 1)), (n, P)) * there
    acts = np.stack(
        [rng.poisson(0.5 * level * rng.gamma(0.6, 1 / 0.6, (n, 1)), (n, P)) * there for _ in range(2)], axis=2
    )
    catalogue = (bought == 0) & (rng.random((n, P)) < 0.5)
    return panel_of(
        {"forum": "customer", "chat": "customer", "catalogue": "firm"},
        np.concatenate([acts, catalogue[:, :, None]], axis=2),
        bought,
        groups=("forum", "chat", "mail"),
        reacts=("catalogue",),
    )


def test_touches_that_follow_purchases_have_no_credit_for_their_absence() -> None:
    told, untold = [], []
    for seed in range(3):
        panel = company(seed=seed)
        for known, found in ((panel, told), (replace(panel, reacts=None), untold)):
            fit = HiddenChain(structure=Structure(shared=False)).fit(
                known, panel_stocks(known), rng=np.random.default_rng(1)
            )
            found.append([fit.beta[2] / fit.beta_sd[2], fit.gamma[2] / fit.gamma_sd[2]])
    assert np.abs(np.mean(told, axis=0)).max() < 1.3
    assert np.mean(untold, axis=0)[1] < -5.0


@pytest.mark.parametrize("anywhere", [False, True])
def test_effects_of_touches_that_follow_purchases_are_told_from_the_next_period(anywhere: bool) -> None:
    panel = replace(company(seed=1), at_any_moment=anywhere)
    others = panel_stocks(panel)
    stocks = earlier_stocks(panel, others)
    np.testing.assert_array_equal(stocks[:, :, :2], others[:, :, :2])
    carried = decayed_stocks(panel.touches)[:, :-1, 2]
    moments = (np.arange(16) + 0.5) / 16
    kept = np.mean(0.6**moments) if anywhere else 0.6
    np.testing.assert_allclose(stocks[:, 1:, 2], kept * carried, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stocks[:, 0, 2], 0.0, atol=1e-6)
    assert not new_stocks(panel, panel.touches[:, 0], 0)[:, 2].any()


def test_a_level_that_all_acts_share_is_not_taken_for_satisfaction() -> None:
    panel = company(seed=2, n=400)
    chosen = HiddenChain().choose(panel, panel_stocks(panel), np.random.default_rng(1))
    assert not chosen.fit.structure.satisfaction
    assert np.abs(chosen.fit.beta / chosen.fit.beta_sd).max() < 2.5


def test_an_imitated_company_keeps_the_order_of_events() -> None:
    panel = replace(company(seed=1), reacts=("forum", "catalogue"))
    stocks = panel_stocks(panel)
    fit = HiddenChain(structure=Structure(shared=False, follows=True)).fit(
        panel, stocks, rng=np.random.default_rng(1)
    )
    theta = fit.theta.copy()
    theta[fit.layout.after_buying[0]] = 2.0
    made = without_effects(replace(fit, theta=theta), panel, stocks, rng=np.random.default_rng(1))
    bought = made.purchases > 0
    forum, chat = (made.touches[bought, k].mean() / made.touches[~bought, k].mean() for k in range(2))
    assert forum > 3.0 * chat


def test_what_is_expected_of_all_channels_together_is_what_was_fitted() -> None:
    panel = company(seed=1)
    stocks, rng = panel_stocks(panel), np.random.default_rng(1)
    fit = HiddenChain(structure=Structure(shared=False)).fit(panel, stocks, rng=rng)
    theta = fit.theta.copy()
    theta[fit.layout.effects(0, 3)] += [0.0, 0.0, 0.4]
    fit = replace(fit, theta=theta)
    offset = fit.predict(panel, stocks, rng=rng).hazard_offset[0]
    problem = fit.likelihood(panel, stocks)
    np.testing.assert_allclose(offset + stocks @ fit.beta, problem.odds(theta), rtol=1e-4, atol=1e-4)


def test_where_ends_are_recorded_only_touches_that_follow_purchases_are_told_from_later_months() -> None:
    made = simulate_panel("r7", n=200, periods=8, seed=1).panel
    mirrored = np.array(made.touches)
    mirrored[:, :, 0] = 2 * (np.asarray(made.spend) > np.median(made.spend))
    panel = replace(made, touches=mirrored, reacts=made.channels[:1])
    stocks = panel_stocks(panel)
    fit = HiddenChain(structure=Structure(shared=False, follows=True)).fit(
        panel, stocks, rng=np.random.default_rng(1)
    )
    beside = fit.theta[fit.layout.beside(panel.n_channels)]
    assert beside[0] > 0.1
    assert not beside[1:].any()
    inputs = {
        reacts: ChainDesign.learn(panel, decay=0.6).inputs(replace(panel, reacts=reacts), stocks)
        for reacts in (None, (), made.channels[:1])
    }
    weights = np.ones(panel.n_customers)
    asked = {reacts: Search(inputs=found, weights=weights).may_follow for reacts, found in inputs.items()}
    assert asked == {None: True, (): False, made.channels[:1]: True}
