"""Touches that work from their day on are credited by the day, those that work by the month are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.chain.imitation import without_effects
from attribution.incremental.checks.holdout import run_holdout
from attribution.incremental.decay import Decay
from attribution.incremental.estimate import estimate_credit
from attribution.incremental.plan import Plan
from attribution.incremental.stocks import panel_stocks
from attribution.incremental.timing import choose_timing
from attribution.settings import AttributionSettings
from histories.panel import Panel
from tests.silent_company import AMOUNT, panel_of

DAYS, PERIODS, DECAY, EFFECT = 30, 10, 0.3, 0.6
Truth = Literal["day", "period", "none"]


def shop(truth: Truth, flyers: Truth = "none", n: int = 1_500) -> tuple[Panel, dict[str, float]]:
    """Customers who leave in silence, letters and flyers late in the month, and what each sold.

    They decay from their day on, or work for the whole of their month, or do nothing.
    """
    rng = np.random.default_rng(7)
    touches = np.zeros((n, PERIODS, 3), dtype=np.float32)
    ticks = np.zeros(touches.shape, dtype=np.uint8)
    touches[:, :, :2] = rng.random((n, PERIODS, 2)) < 0.4
    day = rng.integers(12, DAYS, (n, PERIODS, 2))
    ticks[:, :, :2] = np.where(touches[:, :, :2] > 0, np.rint(255 * day / DAYS), 0)
    leaves = rng.geometric(0.05, n)
    rate, chat = rng.gamma(4.0, 0.25, n), rng.gamma(4.0, 0.1, n)
    purchases, sold = np.zeros((n, PERIODS)), np.zeros(2)
    stock, by_period = np.zeros((2, n, 2))
    for t in range(PERIODS):
        here = leaves > t
        by_period = DECAY * by_period + np.log1p(touches[:, t, :2])
        for d in range(DAYS):
            today = (day[:, t] == d) & (touches[:, t, :2] > 0)
            stock = DECAY ** (1.0 / DAYS) * stock + np.log(2.0) * today
            ways = {"day": stock, "period": by_period, "none": 0.0 * stock}
            push = EFFECT * np.stack([ways[truth][:, 0], ways[flyers][:, 1]], axis=1)
            bought = rng.poisson(rate * np.exp(push.sum(axis=1)) / DAYS) * here
            purchases[:, t] += bought
            share = push / np.maximum(push.sum(axis=1, keepdims=True), 1e-9)
            sold += (bought * -np.expm1(-push.sum(axis=1))) @ share
        touches[:, t, 2] = rng.poisson(chat) * here
    ticks[:, :, 2] = np.where(touches[:, :, 2] > 0, rng.integers(0, 256, (n, PERIODS)), 0)
    origins = {"letter": "firm", "flyer": "firm", "chat": "customer"}
    panel = panel_of(origins, touches, purchases, touch_share=ticks, reacts=())
    return panel, dict(zip(panel.channels, AMOUNT * sold, strict=False))


CHAIN = HiddenChain(structure=Structure(shared=False))


def credit_of(panel: Panel, **made: Any) -> dict[str, float]:
    """Without what goes through leaving, on which letters and flyers have no effect."""
    stocks = panel_stocks(panel, **made)
    fit = replace(CHAIN, by_day=made.get("by_day", False)).fit(panel, stocks, rng=np.random.default_rng(1))
    credit = panel_credit(fit, panel, stocks, rng=np.random.default_rng(1))
    return dict(zip(panel.channels, credit.spend.spending.tolist(), strict=True))


def test_an_effect_from_the_day_on_is_found_by_the_day_and_missed_by_the_period() -> None:
    panel, sold = shop("day")
    assert credit_of(panel, decay=DECAY, by_day=True)["letter"] == pytest.approx(sold["letter"], rel=0.1)
    assert credit_of(panel, decay=DECAY)["letter"] < 0.8 * sold["letter"]


def test_a_channel_that_works_for_its_month_does_so_beside_one_that_works_from_its_day_on() -> None:
    panel, sold = shop("day", "period")
    settings = AttributionSettings(replicates=0)
    found = estimate_credit(panel, settings=settings, plan=Plan(default=CHAIN))
    assert found.decay.days(panel)[:2] == (True, False)
    assert "flyer" in found.decay.words
    own = dict(zip(panel.channels, found.credit.spend.spending.tolist(), strict=True))
    for name, true in sold.items():
        assert own[name] == pytest.approx(true, rel=0.15), name
    for by_day, missed in ((True, "flyer"), (False, "letter")):
        assert abs(credit_of(panel, decay=DECAY, by_day=by_day)[missed] / sold[missed] - 1.0) > 0.2


@pytest.mark.parametrize("truth", ["day", "period", "none"])
def test_the_likelihood_says_whether_it_is_the_day(truth: Truth) -> None:
    panel, _ = shop(truth)
    decay = Decay(value=DECAY, source="found")
    fit = CHAIN.fit(panel, decay.stocks(panel), rng=np.random.default_rng(1))
    making = choose_timing(fit.with_stocks(panel, decay.stocks(panel)), panel, decay)
    found, beside = making.decay, making.beside
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
    assert found.credit.spend.spending[0] == pytest.approx(sold["letter"], rel=0.15)
    assert getattr(found.plan.default, "by_day", None) == (True, True, True)
    given = estimate_credit(panel, settings=replace(settings, decay=0.45), plan=Plan(default=CHAIN))
    assert (given.decay.value, given.decay.by_day) == (0.45, True)
    unknown = estimate_credit(replace(panel, touch_share=None), settings=settings, plan=Plan(default=CHAIN))
    assert not unknown.decay.by_day


def test_months_that_are_kept_back_are_foreseen_by_the_day_as_well() -> None:
    panel, _ = shop("day", n=600)
    stocks = panel_stocks(panel, decay=DECAY, by_day=True)
    fit = replace(CHAIN, decay=DECAY, by_day=True).fit(panel, stocks, rng=np.random.default_rng(1))
    check = run_holdout(fit, panel, stocks, rng=np.random.default_rng(1), periods=3)
    assert check.predicted_purchases == pytest.approx(check.observed_purchases, rel=0.15)


def test_acts_that_are_simulated_have_moments_of_their_own_and_letters_keep_theirs() -> None:
    panel, _ = shop("day", n=600)
    panel = replace(panel, at_any_moment=True)
    stocks = panel_stocks(panel, decay=DECAY, by_day=True)
    fit = replace(CHAIN, decay=DECAY, by_day=True).fit(panel, stocks, rng=np.random.default_rng(1))
    made = without_effects(fit, panel, stocks, rng=np.random.default_rng(1))
    assert made.touch_share is not None
    assert panel.touch_share is not None
    np.testing.assert_array_equal(made.touch_share[:, :, 0], panel.touch_share[:, :, 0])
    chats, when = made.touches[:, :, 2], made.touch_share[:, :, 2] / 255
    assert not when[chats == 0].any()
    assert when[chats == 1].mean() == pytest.approx(0.5, abs=0.04)
    assert when[chats == 1].std() == pytest.approx(12**-0.5, abs=0.03)
    assert when[chats > 2].std() < 0.2
    by_period = replace(fit, design=replace(fit.design, by_day=False))
    assert without_effects(by_period, panel, stocks, rng=np.random.default_rng(1)).touch_share is None
