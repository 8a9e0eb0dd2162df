"""Who leaves in silence did so soon after the last sign: acts that show who is there keep nobody by that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.chain.design import ChainDesign
from attribution.incremental.stocks import panel_stocks
from histories.panel import Panel
from tests.silent_company import panel_of

DAYS, PERIODS, DECAY = 30, 12, 0.15


def shop(seed: int, effect: float, n: int = 1_500) -> Panel:
    """Customers who leave on any day, after which nobody hears of them; acts in a forum may keep them."""
    rng = np.random.default_rng(seed)
    rate, often, death = rng.gamma(4.0, 0.0125, n), rng.gamma(1.0, 0.03, n), rng.gamma(2.0, 0.5, n) / 300
    here, stock = np.ones(n, dtype=bool), np.zeros(n)
    touches, moments = np.zeros((2, n, PERIODS, 1))
    purchases, last = np.zeros((2, n, PERIODS))
    for day in range(PERIODS * DAYS):
        t, share = day // DAYS, (day % DAYS + 0.5) / DAYS
        acts, bought = rng.poisson(often) * here, rng.poisson(rate) * here
        stock = DECAY ** (1 / DAYS) * stock + np.log1p(acts)
        touches[:, t, 0] += acts
        moments[:, t, 0] += acts * share
        purchases[:, t] += bought
        last[:, t] = np.where(acts + bought > 0, share, last[:, t])
        here &= rng.random(n) >= death * np.exp(effect * stock)
    ticks = np.where(touches > 0, np.rint(255 * moments / np.maximum(touches, 1)), 0)
    return panel_of(
        {"forum": "customer"},
        touches,
        purchases,
        touch_share=ticks.astype(np.uint8),
        last_moment=last.astype(np.float32),
        at_any_moment=True,
        reacts=(),
    )


def effect_on_leaving(panel: Panel, *, by_day: bool) -> float:
    chain = HiddenChain(structure=Structure(shared=False), decay=DECAY, by_day=by_day)
    stocks = panel_stocks(panel, decay=DECAY, by_day=by_day)
    return float(chain.fit(panel, stocks, rng=np.random.default_rng(1)).beta[0])


@pytest.mark.parametrize("effect", [0.0, -1.0])
def test_acts_keep_customers_as_much_as_they_do_and_not_by_showing_who_is_there(
    effect: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    companies = [shop(seed, effect) for seed in range(4)]
    found = np.mean([effect_on_leaving(panel, by_day=True) for panel in companies])
    assert found == pytest.approx(effect, abs=0.25)
    none = lambda _, panel, *__: np.zeros(panel.touches.shape)  # noqa: E731
    monkeypatch.setattr(ChainDesign, "on_leaving", none)
    alike = np.mean([effect_on_leaving(panel, by_day=True) for panel in companies])
    assert abs(alike - effect) > 0.5


def test_who_leaves_has_the_stock_of_early_moments_from_the_last_sign_on() -> None:
    panel = shop(1, 0.0, n=200)
    for day in (True, False):
        stocks = panel_stocks(panel, decay=DECAY, by_day=day)
        inputs = ChainDesign.learn(panel, decay=DECAY, by_day=day).inputs(panel, stocks)
        beyond, t = inputs.on_leaving[:, :, 0], np.arange(PERIODS)
        assert not beyond[t < inputs.low[:, None]].any()
        silent = (t > inputs.low[:, None]) & (stocks[:, :, 0] > 1e-6)
        assert (beyond[silent] > 0.0).all()  # more is left of what was carried on
        assert (
            not ChainDesign.learn(replace(panel, at_any_moment=False), decay=DECAY)
            .inputs(replace(panel, at_any_moment=False), stocks)
            .on_leaving.any()
        )
