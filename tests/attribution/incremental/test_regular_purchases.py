"""Purchases with a clock of their own: the next one is due some time after the last."""

from dataclasses import replace

import numpy as np

from attribution.incremental.chain import HiddenChain
from attribution.incremental.plan import plan_for
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

N, P = 350, 18


def company(*, seed: int) -> Panel:
    """Gaps between purchases are Gamma(3) at own rates; 6 % leave a month, letters do nothing."""
    rng = np.random.default_rng(seed)
    exit_ = rng.geometric(0.06, N) - 1
    rate = rng.gamma(2.0, 0.5, N)
    gaps = rng.gamma(3.0, 1.0 / 3.0, (N, 120)) / rate[:, None]
    times = np.cumsum(gaps, axis=1) - 20.0 / rate[:, None]
    bought = np.zeros((N, P))
    for t in range(P):
        bought[:, t] = ((times >= t) & (times < t + 1)).sum(axis=1)
    bought *= np.arange(P) <= exit_[:, None]
    letters = rng.poisson(0.8, (N, P, 1)).astype(np.float32)
    return panel_of({"letter": "firm"}, letters, bought)


def test_purchases_with_a_clock_are_regular_and_what_waits_for_them_has_no_supported_credit() -> None:
    panel = replace(company(seed=1), reacts=("letter",))
    stocks, rng = panel_stocks(panel), np.random.default_rng(1)
    fit = HiddenChain().choose(panel, stocks, rng).fit
    assert fit.structure.regular
    check = plan_for(panel).check
    assert check is not None
    assert "clock of their own" in check(fit, panel, stocks, rng).by_channel["letter"]
    asked = replace(panel, origins=("customer",))
    assert "clock of their own" in check(fit, asked, stocks, rng).by_channel["letter"]
    unbidden = replace(panel, reacts=())
    assert "clock of their own" not in check(fit, unbidden, stocks, rng).by_channel.get("letter", "")
