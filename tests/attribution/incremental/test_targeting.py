"""Whom the firm writes to is no accident: its best customers, say, and nobody who unsubscribed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.chain import HiddenChain, HiddenChainFit, Structure
from attribution.incremental.checks.receivers import chosen_receivers
from attribution.incremental.stocks import panel_stocks
from attribution.incremental.targeting import steadily_sent
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 1200, 16


def company(
    *,
    best: bool = False,
    stops: bool = False,
    follows: bool = False,
    tiers: bool = False,
    more: bool = False,
    seed: int = 1,
) -> Panel:
    """Letters that do nothing: to the best, to none who unsubscribes and leaves, after acts, to whoever
    has bought five times, or more and more of them to all."""
    rng = np.random.default_rng(seed)
    t = np.arange(P)
    level = rng.gamma(2.0, 0.5, (N, 1))
    low = rng.random((N, 1)) < (0.4 if stops else 0.0)
    leaves = rng.random((N, P)) < np.where(low, 0.12, 0.03)
    exit_ = np.where(leaves, t, P).min(axis=1)
    there = t <= exit_[:, None]
    posts = rng.poisson(rng.gamma(2.0, 0.5, (N, 1)), (N, P)) * there
    bought = rng.poisson(level, (N, P)) * there
    rate = np.full((N, P), 1.0)
    if best:
        rate = np.clip(level, 0.2, 4.0) * np.ones(P)
    if stops:
        rate = 1.5 * np.where(low & (t > rng.integers(0, 12, (N, 1))), 0.0, rate)
    if follows:
        rate[:, 1:] = np.where((posts + bought)[:, :-1] > 0, 2.0, 0.4)
    if tiers:
        rate = np.where(np.cumsum(bought, axis=1) - bought >= 5, 2.0, 0.4)
    if more:
        rate = rate * np.linspace(0.3, 2.0, P)
    letters = rng.poisson(rate)
    return panel_of({"forum": "customer", "letter": "firm"}, np.stack([posts, letters], axis=2), bought)


def fitted(panel: Panel, structure: Structure | None = None) -> HiddenChainFit:
    rng = np.random.default_rng(1)
    found = HiddenChain(structure=structure).choose(panel, panel_stocks(panel), rng).fit
    assert isinstance(found, HiddenChainFit)
    return found


def test_what_the_best_customers_buy_anyhow_is_not_credited_to_letters_that_go_to_them() -> None:
    panel = company(best=True)
    naive, found = fitted(panel, Structure()), fitted(panel)
    assert naive.gamma[1] > 10.0 * naive.gamma_sd[1]
    assert found.structure.targeted
    assert abs(found.gamma[1]) < 2.5 * found.gamma_sd[1]
    assert found.gamma_sd[1] < 0.1


def test_that_those_who_unsubscribe_leave_is_not_credited_to_the_newsletter() -> None:
    panel = company(stops=True)
    naive, found = fitted(panel, Structure()), fitted(panel)
    assert naive.beta[1] < -4.0 * naive.beta_sd[1]
    assert found.structure.targeted
    assert abs(found.beta[1]) < 2.5 * found.beta_sd[1]


def test_letters_to_all_alike_or_after_acts_need_no_such_setting() -> None:
    even, after = company(), company(follows=True)
    assert steadily_sent(even).tolist() == [False, True]
    assert not fitted(even).structure.targeted
    assert steadily_sent(after).tolist() == [False, False]
    assert steadily_sent(company(more=True)).tolist() == [False, True]
    assert steadily_sent(company(best=True, more=True)).tolist() == [False, True]


def test_letters_that_purchases_earn_say_nothing_of_what_a_customer_buys_as_a_rule() -> None:
    panel = company(tiers=True)
    assert steadily_sent(panel).tolist() == [False, False]
    found = fitted(panel)
    assert not found.structure.targeted
    assert abs(found.gamma[1]) < 2.5 * found.gamma_sd[1]
    assert abs(found.beta[1]) < 2.5 * found.beta_sd[1]


@pytest.mark.parametrize(
    ("kind", "words"), [("even", None), ("best", "most to those who buy most"), ("stops", "ended for")]
)
def test_where_leaving_is_recorded_such_channels_are_refused(kind: str, words: str | None) -> None:
    panel = simulate_panel("plain_contract", n=1_000, periods=16, seed=1).panel
    rng = np.random.default_rng(1)
    rate = np.ones((panel.n_customers, panel.n_periods))
    if kind == "best":
        level = panel.purchases.sum(axis=1) / np.maximum(panel.at_risk.sum(axis=1), 1)
        rate *= level[:, None]
    if kind == "stops":
        rate[:300, 5:] = 0.0
    touches = panel.touches.copy()
    letter = panel.channels.index("letter")
    touches[:, :, letter] = rng.poisson(rate) * panel.at_risk
    found = chosen_receivers(replace(panel, touches=touches))
    assert list(found) == ([] if words is None else ["letter"])
    assert words is None or words in found["letter"]
