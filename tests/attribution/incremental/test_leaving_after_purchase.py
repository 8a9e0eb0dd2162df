"""Customers who leave after a purchase: those who stayed write afterwards, and nothing follows from it."""

import numpy as np
import pytest
from scipy.special import expit

from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.chain.leaving import AFTER_ACT, AFTER_PURCHASE, leaves, stays
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 600, 18
LEAVING = 0.12
"""Chance of leaving after a purchase."""


def company(*, seed: int) -> Panel:
    """BG/NBD's customers, a third of whose purchases are followed by a question within the month."""
    rng = np.random.default_rng(seed)
    bought, asked = np.zeros((N, P)), np.zeros((N, P))
    last, by_purchase = np.zeros((N, P)), np.zeros((N, P), dtype=bool)
    rates, forum = rng.gamma(2.0, 0.5, N), rng.gamma(2.0, 0.75, N)
    for i in range(N):
        times = np.cumsum(rng.exponential(1.0 / rates[i], 120))
        gone = times[min(rng.geometric(LEAVING) - 1, 119)]
        orders = times[(times <= min(gone, P - 1e-9))]
        staying = orders[orders < gone]
        questions = (staying + 0.4 * rng.random(len(staying)))[rng.random(len(staying)) < 1 / 3]
        posts = rng.random(rng.poisson(forum[i] * min(gone, P))) * min(gone, P)
        acts = np.concatenate([questions, posts])
        acts = acts[acts < min(gone, P)]
        for found, times_of in ((bought, orders), (asked, acts)):
            np.add.at(found[i], times_of.astype(int), 1.0)
        for moment, purchase in sorted([*((t, True) for t in orders), *((t, False) for t in acts)]):
            last[i, int(moment)], by_purchase[i, int(moment)] = moment % 1.0, purchase
    return panel_of(
        {"service": "customer"},
        asked[:, :, None],
        bought,
        last_moment=last.astype(np.float32),
        last_is_purchase=by_purchase,
        at_any_moment=True,
    )


@pytest.mark.parametrize("odds", [-3.0, 0.0, 9.0])
@pytest.mark.parametrize("bought", [1, 2, 5])
def test_the_ways_through_a_month_add_up_whatever_the_chances(odds: float, bought: int) -> None:
    after = 2.0
    one = sum(leaves(odds, 0.0, after, float(k), AFTER_PURCHASE) for k in range(1, bought + 1))
    other = leaves(odds, 0.0, after, float(bought), AFTER_ACT)
    assert one + other + stays(odds, after, float(bought)) == pytest.approx(1.0)


def test_a_question_after_an_order_does_not_keep_those_who_ask_it() -> None:
    told, plain = [], []
    for seed in range(3):
        panel = company(seed=seed)
        stocks = panel_stocks(panel)
        for structure, found in ((Structure(after_purchase=True, follows=True), told), (Structure(), plain)):
            fit = HiddenChain(structure=structure).fit(panel, stocks, rng=np.random.default_rng(1))
            found.append((fit.beta[0] / fit.beta_sd[0], fit.gamma[0] / fit.gamma_sd[0]))
    assert np.abs(np.mean(told, axis=0)).max() < 1.3
    assert np.abs(np.mean(plain, axis=0)).max() > 4.0


def test_the_chance_of_leaving_after_a_purchase_is_found_by_the_settings_that_the_likelihood_calls_for():
    panel = company(seed=1)
    stocks = panel_stocks(panel)
    fit = HiddenChain().choose(panel, stocks, np.random.default_rng(1)).fit
    assert fit.structure.after_purchase
    assert fit.structure.follows
    after_purchase = expit(fit.likelihood(panel, stocks).odds(fit.theta)[panel.purchases > 0])
    assert after_purchase.mean() == pytest.approx(LEAVING, abs=0.015)
