"""Touches that work from their day on are credited by the day, those that work by the month are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.chain.imitation import without_effects
from attribution.incremental.decay import Decay
from attribution.incremental.estimate import estimate_credit
from attribution.incremental.plan import Plan
from attribution.incremental.stocks import panel_stocks
from attribution.incremental.timing import choose_timing
from attribution.settings import AttributionSettings
from histories.panel import Panel

DAYS, PERIODS, DECAY, EFFECT = 30, 10, 0.3, 0.6
Truth = Literal["day", "period", "none"]


def shop(truth: Truth, n: int = 1_500) -> tuple[Panel, float]:
    """Customers who leave in silence, letters late in the month, and what the letters sold.

    A letter decays from its day on, or works for the whole of its month, or does nothing.
    """
    rng = np.random.default_rng(7)
    touches = np.zeros((n, PERIODS, 2), dtype=np.float32)
    ticks = np.zeros(touches.shape, dtype=np.uint8)
    touches[:, :, 0] = rng.random((n, PERIODS)) < 0.4
    day = rng.integers(12, DAYS, (n, PERIODS))
    ticks[:, :, 0] = np.where(touches[:, :, 0] > 0, np.rint(255 * day / DAYS), 0)
    leaves = rng.geometric(0.05, n)
    rate, chat = rng.gamma(4.0, 0.25, n), rng.gamma(4.0, 0.1, n)
    purchases, sold = np.zeros((n, PERIODS)), 0.0
    stock, by_period = np.zeros(n), np.zeros(n)
    for t in range(PERIODS):
        here = leaves > t
        by_period = DECAY * by_period + np.log1p(touches[:, t, 0])
        for d in range(DAYS):
            stock = DECAY ** (1.0 / DAYS) * stock + np.log(2.0) * ((day[:, t] == d) & (touches[:, t, 0] > 0))
            felt = {"day": stock, "period": by_period, "none": 0.0 * stock}[truth]
            bought = rng.poisson(rate * np.exp(EFFECT * felt) / DAYS) * here
            purchases[:, t] += bought
            sold += float((bought * -np.expm1(-EFFECT * felt)).sum())
        touches[:, t, 1] = rng.poisson(chat) * here
    ticks[:, :, 1] = np.where(touches[:, :, 1] > 0, rng.integers(0, 256, (n, PERIODS)), 0)
    panel = Panel(
        channels=("letter", "chat"),
        groups=("letter", "chat"),
        origins=("firm", "customer"),
        touches=touches,
        touch_share=ticks,
        own_acts=touches[:, :, 1].astype(np.float64),
        problems=np.zeros((n, PERIODS)),
        spend=10.0 * purchases,
        purchases=purchases,
        entry=np.zeros(n, dtype=np.int64),
        exit=None,
        covariates=np.zeros((n, 0)),
        covariate_names=(),
        proxies=np.zeros((n, 0)),
        proxy_names=(),
        reacts=(),
    )
    return panel, 10.0 * sold


CHAIN = HiddenChain(structure=Structure(shared=False))


def credit_of_letters(panel: Panel, **made: Any) -> float:
    """Without what goes through leaving, on which letters have no effect."""
    stocks = panel_stocks(panel, **made)
    fit = replace(CHAIN, by_day=made.get("by_day", False)).fit(panel, stocks, rng=np.random.default_rng(1))
    credit = panel_credit(fit, panel, stocks, rng=np.random.default_rng(1))
    return float(credit.spend.spending[0])


def test_an_effect_from_the_day_on_is_found_by_the_day_and_missed_by_the_period() -> None:
    panel, sold = shop("day")
    assert credit_of_letters(panel, decay=DECAY, by_day=True) == pytest.approx(sold, rel=0.1)
    assert credit_of_letters(panel, decay=DECAY) < 0.8 * sold


@pytest.mark.parametrize("truth", ["day", "period", "none"])
def test_the_likelihood_says_whether_it_is_the_day(truth: Truth) -> None:
    panel, _ = shop(truth)
    decay = Decay(value=DECAY, source="found")
    fit = CHAIN.fit(panel, decay.stocks(panel), rng=np.random.default_rng(1))
    found, beside = choose_timing(fit, panel, decay)
    assert found.by_day == (truth == "day")
    if truth == "day":
        assert found.by_day_gain > 10.0
        assert "touches work from their day on" in found.words
    if truth == "period":
        assert not beside
    if truth == "none":
        assert [other.by_day for other, _ in beside] == [True]


def test_credit_is_by_the_day_where_that_is_found() -> None:
    panel, sold = shop("day")
    settings = AttributionSettings(replicates=0)
    found = estimate_credit(panel, settings=settings, plan=Plan(default=CHAIN))
    assert found.decay.by_day
    assert found.credit.spend.spending[0] == pytest.approx(sold, rel=0.15)
    assert getattr(found.plan.default, "by_day", None) is True
    given = estimate_credit(panel, settings=replace(settings, decay=0.45), plan=Plan(default=CHAIN))
    assert (given.decay.value, given.decay.by_day) == (0.45, True)
    unknown = estimate_credit(replace(panel, touch_share=None), settings=settings, plan=Plan(default=CHAIN))
    assert not unknown.decay.by_day


def test_acts_that_are_simulated_have_moments_of_their_own_and_letters_keep_theirs() -> None:
    panel, _ = shop("day", n=600)
    panel = replace(panel, at_any_moment=True)
    stocks = panel_stocks(panel, decay=DECAY, by_day=True)
    fit = replace(CHAIN, decay=DECAY, by_day=True).fit(panel, stocks, rng=np.random.default_rng(1))
    made = without_effects(fit, panel, stocks, rng=np.random.default_rng(1))
    assert made.touch_share is not None
    assert panel.touch_share is not None
    np.testing.assert_array_equal(made.touch_share[:, :, 0], panel.touch_share[:, :, 0])
    chats, when = made.touches[:, :, 1], made.touch_share[:, :, 1] / 255
    assert not when[chats == 0].any()
    assert when[chats == 1].mean() == pytest.approx(0.5, abs=0.04)
    assert when[chats == 1].std() == pytest.approx(12**-0.5, abs=0.03)
    assert when[chats > 2].std() < 0.2
    by_period = replace(fit, design=replace(fit.design, by_day=False))
    assert without_effects(by_period, panel, stocks, rng=np.random.default_rng(1)).touch_share is None
