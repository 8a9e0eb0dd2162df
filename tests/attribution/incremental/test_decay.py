"""The decay of stocks: found where it shows, kept where it does not, and used wherever stocks are made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from attribution.incremental.chain import HiddenChain, HiddenChainFit, Structure
from attribution.incremental.chain.design import ChainDesign
from attribution.incremental.channel_decays import choose_by_channel
from attribution.incremental.common_decay import choose_decay
from attribution.incremental.decay import Climbed, Decay, Making, faint
from attribution.incremental.estimate import estimate_credit
from attribution.incremental.experiment import ChannelExperiment, channel_contrast
from attribution.incremental.plan import Checked, Plan, plan_for
from attribution.incremental.regression import STATIC
from attribution.incremental.stocks import DECAY, decayed_stocks, mean_ratio, panel_stocks
from attribution.settings import AttributionSettings
from benchmarks.panels.simulate import simulate_panel
from experiments.config import parse_config
from histories.errors import ConfigError, ModelError
from histories.panel import Panel

QUICK_RECORDED = HiddenChain(structure=Structure(nodes=3, shared=False))
QUICK_CHAIN = HiddenChain(structure=Structure())
UNUSUAL = 0.9


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def contractual() -> Panel:
    return simulate_panel("r7", n=400, periods=10, seed=1).panel


@pytest.fixture(scope="module")
def silent() -> Panel:
    return simulate_panel("hidden30", n=400, periods=12, seed=1).panel


@dataclass
class Listening:
    """An estimator that keeps the stocks it is given."""

    heard: list[Any] = field(default_factory=list)
    name: str = "listening"
    limits: str = "hears"

    def fit(self, panel: Panel, stocks: Any, **rest: Any) -> Any:
        self.heard.append((panel, stocks))
        return STATIC.fit(panel, stocks, **rest)

    def at_decay(self, *_: object, **__: object) -> Any:
        return self


def test_every_fit_check_and_companion_sees_the_decay_that_is_set(contractual: Panel) -> None:
    default, companion, checked = Listening(), Listening(), Listening()
    plan = Plan(
        default=default,
        companions=(companion,),
        check=lambda fit, panel, stocks, rng: checked.heard.append((panel, stocks)) or Checked(),
    )
    settings = AttributionSettings(replicates=2, decay=UNUSUAL)
    found = estimate_credit(contractual, settings=settings, plan=plan)
    heard = [*default.heard, *companion.heard, *checked.heard]
    assert len(heard) == 5
    for panel, stocks in heard:
        np.testing.assert_array_equal(stocks, decayed_stocks(panel.touches, decay=UNUSUAL))
    assert found.decay.value == UNUSUAL
    assert f"stocks keep {UNUSUAL} from period to period (given)" in found.limits


def test_an_experiment_is_compared_under_the_same_decay(contractual: Panel) -> None:
    test = ChannelExperiment(
        name="t",
        channel="community",
        outcome="spend",
        estimate=1.0,
        std_error=1.0,
        treated=np.ones(contractual.n_customers, dtype=bool),
        first_period=2,
    )
    settings = AttributionSettings(replicates=0, decay=UNUSUAL)
    found = estimate_credit(contractual, settings=settings, plan=Plan(default=STATIC), experiments=[test])
    about: dict[str, Any] = {"channel": "community", "first_period": 2, "rng": rng()}
    same, other = (
        channel_contrast(found.fit, contractual, decay=decay, **about)["spend"] for decay in (UNUSUAL, DECAY)
    )
    assert found.readings[0].model == pytest.approx(same, rel=1e-9)
    assert same != pytest.approx(other, rel=1e-3)


def test_the_plan_hands_the_decay_to_models_with_stocks_of_their_own(silent: Panel) -> None:
    plan = plan_for(silent).at_decay(UNUSUAL)
    assert getattr(plan.default, "decay", None) == UNUSUAL


def test_checks_refit_with_the_decay_of_the_fit(silent: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def holdout(fit: HiddenChainFit, *_: Any, **__: Any) -> Any:
        seen.append(fit.design.decay)
        raise ModelError("too short")

    monkeypatch.setattr("attribution.incremental.plan.run_holdout", holdout)
    monkeypatch.setattr("attribution.incremental.plan.run_placebo", lambda *_, **__: None)
    plan = plan_for(silent)
    stocks = decayed_stocks(silent.touches, decay=UNUSUAL)
    fit = replace(QUICK_CHAIN, decay=UNUSUAL).fit(silent, stocks, rng=rng())
    assert plan.check is not None
    plan.check(fit, silent, stocks, rng())
    assert seen == [UNUSUAL]


def test_effects_that_carry_over_push_as_far_as_before() -> None:
    touches = np.random.default_rng(1).poisson(0.5, (20, 6, 3)).astype(np.float32)
    touches[:, :, 2] = 0
    old, new = (decayed_stocks(touches, decay=decay) for decay in (0.3, 0.9))
    ratio = mean_ratio(old, new)
    np.testing.assert_allclose(ratio * new.mean(axis=(0, 1)), old.mean(axis=(0, 1)), rtol=1e-6)
    assert ratio[2] == 1.0


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5, "guess"])
def test_a_decay_outside_its_range_is_refused(decay: Any) -> None:
    with pytest.raises(ConfigError, match=r'"attribution.decay" is .*a number between 0 and 1'):
        parse_config({"attribution": {"decay": decay}})


def test_decays_that_explain_as_much_as_the_one_given_stand_beside_it() -> None:
    panel = simulate_panel("slow_decay", n=800, periods=14, seed=3).panel
    fit = QUICK_RECORDED.fit(panel, panel_stocks(panel), rng=np.random.default_rng(1))
    start = fit.with_stocks(panel, panel_stocks(panel))
    kept = choose_decay(start, panel, Decay.asked(0.6))
    assert kept.decay.value == 0.6
    assert "0.92 explains more" in kept.decay.words
    assert 0.85 in [other.value for other, _ in kept.beside]
    assert 0.15 not in [other.value for other, _ in kept.beside]
    found = choose_decay(start, panel, Decay.asked(None))
    assert found.decay.value == 0.92
    words = "stocks keep 0.92 from period to period (found; ahead of the customary 0.6"
    assert found.decay.words.startswith(words)
    assert found.fit[1] > start[1] + 10.0
    assert {other.value for other, _ in found.beside} <= {0.85}


def test_a_model_without_a_likelihood_has_no_decay_beside_it(contractual: Panel) -> None:
    settings = AttributionSettings(replicates=0)
    found = estimate_credit(contractual, settings=settings, plan=Plan(default=STATIC))
    assert found.decay == Decay.asked(None)
    assert not found.companions


@pytest.fixture
def straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bend is looked for."""

    def straight_on(start: Climbed, panel: Panel, decay: Decay) -> Making:
        del panel
        return Making(decay=decay, fit=start)

    monkeypatch.setattr("attribution.incremental.estimate.choose_bend", straight_on)


@pytest.mark.usefixtures("straight")
def test_the_customary_decay_gives_way_and_one_that_was_asked_for_is_held_beside_better_ones() -> None:
    panel = simulate_panel("slow_decay", n=800, periods=14, seed=3).panel
    asked, unasked = (
        estimate_credit(
            panel, settings=AttributionSettings(replicates=0, decay=decay), plan=Plan(default=QUICK_RECORDED)
        )
        for decay in (0.6, None)
    )
    assert asked.decay.value == 0.6
    assert "decay 0.92" in asked.companions
    assert unasked.decay.value == 0.92
    assert "decay 0.6" not in unasked.companions
    for name in ("spend", "retention"):
        whole = [abs(found.credit.require(name).credit).sum() for found in (asked, unasked)]
        assert whole[1] > whole[0]


@pytest.fixture(scope="module")
def unlike() -> Panel:
    """Spend follows the first channel for a month and the second for a year; the third does nothing."""
    panel = simulate_panel("r7", n=500, periods=14, seed=2).panel
    stocks = panel_stocks(panel, decay=np.array([0.15, 0.92, *(panel.n_channels - 2) * [0.6]]))
    push = np.clip(0.3 * stocks[:, :, 0] + 0.15 * stocks[:, :, 1], 0.0, 3.0)
    spend = 20.0 * np.exp(push) * np.random.default_rng(5).gamma(3.0, 1 / 3.0, push.shape)
    return replace(panel, spend=np.where(panel.at_risk, spend, 0.0).astype(np.float32))


def test_channels_that_work_for_longer_than_others_have_a_decay_of_their_own(unlike: Panel) -> None:
    fit = QUICK_RECORDED.fit(unlike, panel_stocks(unlike), rng=rng())
    start = fit.with_stocks(unlike, panel_stocks(unlike))
    making = choose_by_channel(Making(decay=Decay.asked(None), fit=start), unlike)
    found, beside = making.decay, making.beside
    first, second, *others = found.of(unlike)
    assert first <= 0.3
    assert second >= 0.85
    assert set(others) == {0.6}
    assert found.own_gain > 20.0
    assert f"but {first:g} of {unlike.channels[0]}, {second:g} of {unlike.channels[1]} (by" in found.words
    assert beside  # how long what does nothing works for is anybody's guess
    for ends, model in beside:
        assert ends.of(unlike)[:2] == pytest.approx([first, second], abs=0.16)
        assert model.gamma[2:] == pytest.approx(np.zeros(len(others)), abs=0.2)
    np.testing.assert_array_equal(
        found.stocks(unlike), panel_stocks(unlike, decay=np.array([first, second, *others]))
    )


@pytest.mark.usefixtures("straight")
def test_credit_is_told_with_each_channels_own_decay(unlike: Panel) -> None:
    settings, plan = AttributionSettings(replicates=0), Plan(default=QUICK_RECORDED)
    found = estimate_credit(unlike, settings=settings, plan=plan)
    asked = estimate_credit(unlike, settings=AttributionSettings(replicates=0, decay=0.6), plan=plan)
    assert asked.decay.own == ()
    assert dict(found.decay.own).keys() >= {unlike.channels[1]}
    assert "but " in found.limits
    assert any(name.startswith("decays ") for name in found.companions)
    assert 0.13 < found.fit.gamma[1] < 0.22 < asked.fit.gamma[1]  # .15 is true, of the longest stock


def test_stocks_of_who_leaves_within_months_have_each_channels_decay_as_well() -> None:
    panel = simulate_panel("continuous", n=60, periods=8, seed=1).panel
    own = np.linspace(0.1, 0.9, panel.n_channels)
    for bend in (0.0, 1.0):
        together = panel_stocks(panel, decay=own, bend=bend)
        for k, decay in enumerate(own):
            alone = panel_stocks(panel, decay=decay, bend=bend)
            np.testing.assert_allclose(together[:, :, k], alone[:, :, k], rtol=1e-5)


def test_later_months_say_little_of_touches_of_which_hardly_anything_is_left(silent: Panel) -> None:
    first, second = silent.channels[:2]
    panel = replace(silent, reacts=(first, second))
    decay = Decay(value=0.6, source="given", own=((first, 0.3),))
    assert faint(panel, decay.of(panel)).keys() == {first}
    assert "with 0.3 left after a month they say little" in faint(panel, decay.of(panel))[first]
    assert faint(silent, decay.of(silent)) == {}
    assert faint(panel, np.full(panel.n_channels, 0.15)).keys() == {first, second}


def test_a_channel_told_from_later_months_keeps_the_common_decay(silent: Panel) -> None:
    late = replace(silent, reacts=silent.channels)
    fit = QUICK_CHAIN.fit(late, panel_stocks(late), rng=rng())
    start = fit.with_stocks(late, panel_stocks(late))
    making = choose_by_channel(Making(decay=Decay.asked(None), fit=start), late)
    assert making.decay.own == ()
    assert making.beside  # how long they work is in the range


def test_what_a_step_with_other_stocks_promises_is_about_what_a_climb_finds(unlike: Panel) -> None:
    before, common = panel_stocks(unlike), unlike.n_channels * (0.6,)
    fit = QUICK_RECORDED.fit(unlike, before, rng=rng())
    ahead = fit.outlook(unlike, before)
    assert ahead is not None
    here, own = fit.with_stocks(unlike, before)[1], ahead(before, common, False)
    for channel, decay in ((0, 0.15), (0, 0.75), (1, 0.15), (1, 0.75)):
        decays = np.full(unlike.n_channels, 0.6)
        decays[channel] = decay
        other = panel_stocks(unlike, decay=decays)
        found = fit.with_stocks(unlike, other, before=before)[1] - here
        assert abs(found) > 10.0
        assert ahead(other, tuple(decays), False) - own == pytest.approx(found, rel=0.3)


def test_what_customers_do_says_nothing_of_how_long_touches_work() -> None:
    panel = simulate_panel("plain", n=60, periods=12, seed=1).panel
    assert panel.by_firm.any()
    short, long = (
        ChainDesign.learn(panel, decay=value).inputs(panel, panel_stocks(panel, decay=value))
        for value in (0.15, 0.85)
    )
    assert not np.array_equal(short.columns[0].cells, long.columns[0].cells)
    for one, other in zip(short.columns[1:], long.columns[1:], strict=True):
        assert np.array_equal(one.cells, other.cells)
