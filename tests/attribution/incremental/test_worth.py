"""What a purchase is worth: touches that change it are credited for it, and bills say nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import PoissonRegressor

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.chain import HiddenChain, HiddenChainFit, Structure
from attribution.incremental.chain.design import ChainDesign
from attribution.incremental.chain.model import APART
from attribution.incremental.chain.worth import is_billed, worth_of_purchase
from attribution.incremental.plan import plan_for
from attribution.incremental.stocks import panel_stocks
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel

PLAIN = HiddenChain(structure=Structure(shared=False))


def company(effect: float, *, n: int = 1_500, seed: int = 1) -> tuple[Panel, NDArray[np.float32]]:
    """Customers whose baskets differ, and are larger by `effect` per unit of the first channel's stock."""
    panel = simulate_panel("hidden30", n=n, periods=12, seed=seed).panel
    stocks = panel_stocks(panel)
    rng = np.random.default_rng(seed)
    own = rng.lognormal(3.0, 1.0, n)[:, None]
    mean = own * np.exp(effect * stocks[:, :, 0])
    basket = mean * rng.gamma(2.0, 0.5, mean.shape)
    return replace(panel, spend=(panel.purchases * basket).astype(np.float32), margin=None), stocks


def test_the_effect_on_baskets_is_recovered_and_credit_of_purchases_alone_misses_it() -> None:
    panel, stocks = company(0.3, n=3_000)
    worth = worth_of_purchase(panel, stocks)
    assert worth is not None
    assert worth.shows
    assert np.abs((worth.gamma - np.eye(len(worth.gamma))[0] * 0.3) / worth.sd).max() < 3.3
    fit = PLAIN.fit(panel, stocks, rng=np.random.default_rng(1))
    whole, alone = (
        panel_credit(model, panel, stocks, rng=np.random.default_rng(2)).spend.credit[0]
        for model in (fit, replace(fit, worth=None))
    )
    added = float((panel.spend * -np.expm1(-0.3 * stocks[:, :, 0])).sum())
    assert whole - alone == pytest.approx(added, rel=0.35)


def test_errors_are_as_large_as_the_estimates_vary_and_chance_shows_rarely() -> None:
    found = [worth_of_purchase(*company(0.0, n=500, seed=seed)) for seed in range(30)]
    z = np.array([worth.gamma / worth.sd for worth in found if worth is not None])
    assert 0.85 < z.std() < 1.15
    assert sum(worth is not None and worth.shows for worth in found) <= 5


def test_it_is_the_poisson_regression_with_an_effect_of_each_customer() -> None:
    panel, stocks = company(0.2, n=120)
    worth = worth_of_purchase(panel, stocks)
    assert worth is not None
    bought = panel.purchases > 0
    bought &= bought.sum(axis=1, keepdims=True) > 1
    customer, period = np.nonzero(bought)
    number = np.unique(customer, return_inverse=True)[1]
    purchases, spend = panel.purchases[bought].astype(float), panel.spend[bought].astype(float)
    mean = np.bincount(number, spend) / np.bincount(number, purchases)
    rows = np.column_stack(
        [stocks[customer, period], np.eye(12)[period, 1:], np.eye(number.max() + 1)[number]]
    )
    peer = PoissonRegressor(alpha=0.0, fit_intercept=False, solver="newton-cholesky", tol=1e-10)
    peer.fit(rows, spend / mean[number] / purchases, sample_weight=purchases)
    np.testing.assert_allclose(worth.gamma, peer.coef_[: panel.n_channels], atol=1e-5)


def test_reweighted_customers_move_it_as_a_refit_does() -> None:
    panel, stocks = company(0.2, n=600)
    weights = np.random.default_rng(3).uniform(0.8, 1.2, 600)
    worth = worth_of_purchase(panel, stocks)
    again = worth_of_purchase(panel, stocks, weights=weights)
    assert worth is not None
    assert again is not None
    moved = worth.reweighted(weights).gamma
    assert np.abs(moved - again.gamma).max() < 0.2 * np.abs(again.gamma - worth.gamma).max()


def subscribers(n: int = 500) -> Panel:
    """A fee of each customer's own, twice where a month holds two bills, and none in the month of leaving."""
    panel = simulate_panel("r7", n=n, periods=12, seed=4).panel
    t = np.arange(panel.n_periods)
    bills = np.where((t + np.arange(n)[:, None]) % 11 == 0, 2.0, 1.0) * panel.at_risk
    bills[panel.leaves] = 0.0
    fee = np.random.default_rng(4).choice([29.0, 99.0], n)[:, None]
    return replace(panel, purchases=bills, spend=bills * fee, margin=None)


def test_a_bill_is_no_sign_of_satisfaction_and_the_settings_converge() -> None:
    panel = subscribers()
    assert is_billed(panel)
    stocks = panel_stocks(panel)
    design = ChainDesign.learn(panel, decay=0.6)
    assert design.billed
    chosen = HiddenChain().choose(panel, stocks, np.random.default_rng(1))
    assert chosen.fit.problems == ()
    np.testing.assert_allclose(chosen.fit.gamma, 0.0, atol=1e-6)
    assert np.abs(chosen.fit.beta).max() > 0.05


def test_amounts_that_vary_are_no_bill() -> None:
    assert not is_billed(simulate_panel("r7", n=300, periods=12, seed=4).panel)


def test_a_change_that_stays_is_told_from_one_that_fades() -> None:
    panel, stocks = company(0.3, n=3_000)
    fading = worth_of_purchase(panel, stocks)
    so_far = np.log1p(np.cumsum(panel.touches[:, :, 1], axis=1))
    staying = worth_of_purchase(replace(panel, spend=panel.spend * np.exp(0.6 * so_far)), stocks)
    assert fading is not None
    assert staying is not None
    assert fading.lasts.tolist() == [False] * panel.n_channels
    assert staying.lasts.tolist() == [k == 1 for k in range(panel.n_channels)]


def test_what_drifting_satisfaction_moves_is_not_supported_where_acts_alone_show_it() -> None:
    panel = subscribers()
    touches = panel.touches.copy()
    touches[:, :, 5] = np.random.default_rng(6).poisson(0.5, touches.shape[:2]) * panel.at_risk
    panel = replace(panel, touches=touches)
    stocks = panel_stocks(panel)
    drifting = HiddenChain(structure=Structure(nodes=5, drift=True, shared=False))
    fit = drifting.fit(panel, stocks, rng=np.random.default_rng(1))
    assert fit.layout.proxies
    assert fit.moved_alone == ()
    blind = replace(panel, proxies=panel.proxies[:, :0], proxy_names=())
    again = drifting.fit(blind, stocks, rng=np.random.default_rng(1))
    assert again.moved_alone
    assert panel.channels[5] not in again.moved_alone
    checked = plan_for(blind).check
    assert checked is not None
    found = checked(again, blind, stocks, np.random.default_rng(1))
    assert set(found.by_channel) == set(again.moved_alone)


def test_spend_that_drifts_by_itself_leaves_the_place_of_satisfaction_to_what_moves_acts() -> None:
    panel = simulate_panel("r7", n=500, periods=12, seed=4).panel
    drift, draws = np.zeros(panel.spend.shape), np.random.default_rng(5)
    drift[:, 0] = draws.normal(size=len(drift))
    for t in range(1, panel.n_periods):
        drift[:, t] = 0.9 * drift[:, t - 1] + draws.normal(0.0, 0.44, len(drift))
    spend = np.where(panel.at_risk, 50.0 * np.exp(drift + draws.normal(0.0, 0.2, drift.shape)), 0.0)
    blind = replace(panel, spend=spend, proxies=panel.proxies[:, :0], proxy_names=())
    stocks = panel_stocks(blind)
    drifting = HiddenChain(structure=Structure(nodes=5, drift=True, shared=False))
    together = drifting.fit(blind, stocks, rng=np.random.default_rng(1))
    assert together.spend_drifts_alone
    chosen = drifting.choose(blind, stocks, np.random.default_rng(1))
    assert isinstance(chosen.fit, HiddenChainFit)
    assert chosen.fit.design.billed
    assert chosen.fit.loadings["spend"] == 0.0
    assert chosen.fit.worth is not None
    assert APART in chosen.notes
    assert not drifting.fit(panel, panel_stocks(panel), rng=np.random.default_rng(1)).spend_drifts_alone
