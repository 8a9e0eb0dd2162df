"""Who leaves in the middle of a period is compared with who stays at the same moment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.bend import choose_bend
from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.decay import Decay
from attribution.incremental.designs import DesignChoices, build_design
from attribution.incremental.experiment import channel_contrast
from attribution.incremental.glm import POISSON, fit_glm
from attribution.incremental.regression import OWN_MEANS, STATIC, PanelRegressionFit
from attribution.incremental.stocks import decayed_stocks, moment_precision, panel_stocks
from attribution.incremental.thinned import EXACT, thinned_log
from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.contractual import simulate_contractual
from benchmarks.panels.scenarios import scenario_named
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def seen(company: SimulatedPanel) -> Panel:
    """With satisfaction in sight."""
    u = company.latent["u"][:, :, None]
    return replace(company.panel, time_covariates=u, time_covariate_names=("u",))


def test_levelled_stocks_of_who_stays_are_the_mean_over_moments_not_the_bend_of_the_mean() -> None:
    panel = two_customers()
    bent, straight = panel_stocks(panel, bend=1.5), panel_stocks(panel)
    carried = 0.6**0.5 * np.log(2.0) + np.log1p(rng().binomial(2, 0.5, 200_000))
    assert bent[1, 1, 0] == pytest.approx(float(np.mean(-np.expm1(-1.5 * carried) / 1.5)), abs=2e-3)
    assert bent[1, 1, 0] < -np.expm1(-1.5 * straight[1, 1, 0]) / 1.5 - 0.01
    assert bent[0, 1, 0] == pytest.approx(-np.expm1(-1.5 * straight[0, 1, 0]) / 1.5)


def test_effects_that_are_linear_stay_so_where_customers_leave_at_any_moment(continuous: Any) -> None:
    panel = seen(continuous).take(slice(0, 2_000))
    fit = HiddenChain(structure=Structure(shared=False)).fit(panel, panel_stocks(panel), rng=rng())
    decay = Decay.asked(0.6)
    start = fit.with_stocks(panel, decay.stocks(panel))
    assert choose_bend(start, panel, decay).decay.bend.value == 0.0


@pytest.fixture(scope="module")
def continuous() -> SimulatedPanel:
    return simulate_panel("continuous", n=8_000, periods=18, seed=12)


def fitted(panel: Panel, stocks: Any) -> PanelRegressionFit:
    return STATIC.fit(panel, stocks, rng=rng())


def levels(company: SimulatedPanel, panel: Panel, stocks: Any) -> list[float]:
    credit = panel_credit(fitted(panel, stocks), panel, stocks, rng=rng())
    truth = company.truth.outcomes
    return [credit.require(name).credit.sum() / truth[name].credit.sum() for name in ("retention", "spend")]


def two_customers() -> Panel:
    """The first leaves half-way through the second of three periods, the second stays."""
    whole = simulate_panel("r7", n=2, periods=3, seed=1).panel
    touches = np.zeros((2, 3, 8), dtype=np.float32)
    touches[:, :, 0] = [[1, 2, 0], [1, 2, 1]]
    return replace(
        whole, touches=touches, exit=np.array([1, 3]), exit_share=np.array([0.5, 1.0]), entry=np.zeros(2, int)
    )


def test_stocks_by_hand() -> None:
    stocks = panel_stocks(two_customers(), decay=0.25)[:, :, 0]
    one, two = np.log(2.0), np.log(3.0)
    half = {1: 0.5 * one, 2: 0.5 * one + 0.25 * two}  # of one and of two touches, before the middle
    np.testing.assert_allclose(stocks[0, :2], [half[1], 0.5 * one + two], rtol=1e-6)
    carried = 0.25 * one + two
    np.testing.assert_allclose(stocks[1], [half[1], 0.5 * one + half[2], 0.5 * carried + half[1]], rtol=1e-6)


def test_nothing_changes_where_all_leave_at_the_end_of_a_period() -> None:
    panel = simulate_panel("r7", n=200, periods=9, seed=1).panel
    assert panel.exit_share is None
    same = replace(panel, exit_share=np.ones(200))
    np.testing.assert_array_equal(panel_stocks(same), decayed_stocks(panel.touches))
    assert moment_precision(same) is None
    stocks = panel_stocks(panel)
    np.testing.assert_array_equal(fitted(panel, stocks).spending, fitted(same, stocks).spending)
    np.testing.assert_array_equal(same.exposure, panel.at_risk)


def test_silent_customers_have_the_plain_stocks() -> None:
    panel = simulate_panel("hidden30", n=50, periods=9, seed=1).panel
    np.testing.assert_array_equal(panel_stocks(panel), decayed_stocks(panel.touches))


def test_moments_spread_evenly_have_a_closed_form() -> None:
    counts = np.arange(40)
    even = (np.arange(400) + 0.5) / 400
    np.testing.assert_allclose(
        thinned_log(39, even), gammaln(counts + 2) / (counts + 1), atol=2e-5
    )  # B is uniform on 0..N
    few = (np.arange(16) + 0.5) / 16
    np.testing.assert_allclose(thinned_log(39, few), gammaln(counts + 2) / (counts + 1), atol=0.02)


def test_many_touches_follow_the_series() -> None:
    most, f = EXACT + 100, 0.3
    exact = stats.binom.pmf(np.arange(most + 1), most, f) @ np.log1p(np.arange(most + 1))
    assert thinned_log(most, np.array([f]))[-1] == pytest.approx(exact, abs=1e-4)


def test_a_slice_of_customers_keeps_its_shares() -> None:
    panel = two_customers().take(np.array([1, 0]))
    assert panel.exit_share is not None
    assert panel.exit_share.tolist() == [1.0, 0.5]
    assert panel.exposure.tolist() == [[1, 1, 1], [1, 0.5, 0]]


def with_letters(day: float, n: int = 6_000) -> Panel:
    """Half of the customers get a letter at the same moment of each month; nobody stays or leaves for it."""
    draws = np.random.default_rng(3)
    whole = simulate_panel("r7", n=n, periods=6, seed=1).panel
    exit_, share = draws.geometric(0.15, n) - 1, draws.random(n)
    exit_ = np.minimum(exit_, 6)
    sent = draws.random((n, 6)) < 0.5
    period = np.arange(6)
    got = sent & ((period < exit_[:, None]) | ((period == exit_[:, None]) & (share[:, None] >= day)))
    touches = np.zeros((n, 6, 8), dtype=np.float32)
    touches[:, :, 0] = got
    moments = np.zeros((6, 8, 64))
    moments[:, 0, int(day * 64)] = (got & (period < exit_[:, None])).sum(axis=0)
    left = exit_ < 6
    return replace(
        whole,
        touches=touches,
        spend=np.ones((n, 6)) * (period <= exit_[:, None]),
        entry=np.zeros(n, dtype=np.int64),
        exit=exit_,
        exit_share=np.where(left, share, 1.0),
        touch_moments=moments,
    )


@pytest.mark.parametrize("day", [3 / 32, 29 / 32])
def test_a_letter_that_all_get_on_the_same_day_of_the_month_keeps_nobody(day: float) -> None:
    panel = with_letters(day)
    found = fitted(panel, panel_stocks(panel))
    assert abs(found.beta[0]) < 0.2
    anywhere = replace(panel, touch_moments=None)
    assert abs(fitted(anywhere, panel_stocks(anywhere)).beta[0]) > 0.5


def members(n: int = 4_000) -> Panel:
    """Each leaves on a renewal of his own; half are reminded of it shortly before, and none leaves for it."""
    draws = np.random.default_rng(5)
    whole = simulate_panel("r7", n=n, periods=6, seed=1).panel
    own = draws.uniform(0.1, 0.95, n)
    exit_ = np.minimum(draws.geometric(0.15, n) - 1, 6)
    reminded = (draws.random((n, 6)) < 0.5) & (np.arange(6) <= exit_[:, None])
    touches = np.zeros((n, 6, 8), dtype=np.float32)
    touches[:, :, 0] = reminded
    return replace(
        whole,
        touches=touches,
        spend=np.ones((n, 6)) * (np.arange(6) <= exit_[:, None]),
        entry=np.zeros(n, dtype=np.int64),
        exit=exit_,
        exit_share=np.where(exit_ < 6, own, 1.0),
        renewal_share=np.repeat(own[:, None], 6, axis=1).astype(np.float32),
        before_renewal=touches,
    )


def test_a_reminder_before_each_customers_own_renewal_makes_nobody_leave() -> None:
    panel = members()
    found = fitted(panel, panel_stocks(panel))
    assert abs(found.beta[0]) < 0.2
    bent = panel_stocks(panel, bend=1.5)
    first = panel.exit != 0
    half = panel_stocks(panel, touches=0.5 * panel.touches)
    np.testing.assert_allclose(
        bent[first, 0, 0], -np.expm1(-1.5 * np.log1p(panel.touches[first, 0, 0])) / 1.5
    )
    np.testing.assert_allclose(half[first, 0, 0], np.log1p(0.5 * panel.touches[first, 0, 0]))
    anywhere = replace(panel, renewal_share=None, before_renewal=None)
    assert fitted(anywhere, panel_stocks(anywhere)).beta[0] > 0.5


def test_touches_at_any_time_of_the_month_are_thinned_as_if_nothing_were_known_of_them() -> None:
    panel = two_customers()
    known = replace(panel, touch_moments=np.full((3, 8, 64), 100.0))
    for bend in (0.0, 1.5):
        np.testing.assert_allclose(
            panel_stocks(known, bend=bend), panel_stocks(panel, bend=bend), rtol=2e-4, atol=1e-5
        )
    before, after = moment_precision(panel), moment_precision(known)
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after, before, rtol=1e-3)


def test_an_offset_stands_for_exposure() -> None:
    draws = rng()
    X = np.column_stack([np.ones(4_000), draws.standard_normal(4_000)])
    share = draws.uniform(0.2, 1.0, 4_000)
    y = draws.poisson(share * np.exp(X @ [1.0, 0.5])).astype(float)
    found = fit_glm(X, y, POISSON, offset=np.log(share))
    np.testing.assert_allclose(found.coefficients, [1.0, 0.5], atol=0.05)
    clusters = np.arange(4_000)
    moved = found.influence(X, y, POISSON, clusters, 4_000, offset=np.log(share)).sum(axis=0)
    np.testing.assert_allclose(moved, 0.0, atol=1e-4)


def test_own_means_are_per_period_lived() -> None:
    choices = DesignChoices(own_means=True, proxies=False)
    part, whole = (
        build_design(panel, choices) for panel in (two_customers(), replace(two_customers(), exit_share=None))
    )
    spread = [float(design.scale[design.kept][-1]) for design in (part, whole)]
    touched = np.log([2.0 * 3.0, 2.0 * 3.0 * 2.0])  # by the first customer, by the second
    for found, lived in zip(spread, (1.5, 2.0), strict=True):
        first, second = touched / [lived, 3.0]
        assert found == pytest.approx(np.std([first, first, second, second, second]), rel=1e-6)


def test_welcome_mails_do_not_tell_who_left_early() -> None:
    """Two at first and one in the next month, to all but some; nobody's leaving has to do with them."""
    draws, n, periods = rng(), 3_000, 12
    made = simulate_panel("none", n=n, periods=periods, seed=1).panel
    touches = draws.poisson(0.3, (n, periods, made.n_channels)).astype(np.float32)
    touches[:, :, 0] = 0
    touches[:, :2, 0] = draws.binomial(1, 0.8, (n, 2)) * [2, 1]
    exit_ = np.minimum(draws.geometric(0.1, n) - 1, periods)
    panel = replace(
        made,
        touches=touches,
        exit=exit_,
        entry=np.zeros(n, dtype=np.int64),
        exit_share=None,
        entry_share=None,
    )
    fit = OWN_MEANS.fit(panel, panel_stocks(panel), rng=rng())
    assert fit.beta[0] == pytest.approx(0.0, abs=0.15)


def test_touches_within_the_month_no_longer_seem_to_keep_customers(continuous: SimulatedPanel) -> None:
    panel = seen(continuous)
    matched = levels(continuous, panel, panel_stocks(panel))
    np.testing.assert_allclose(matched, 1.0, atol=0.3)
    blind = replace(panel, exit_share=None)
    naive = levels(continuous, blind, panel_stocks(blind))
    assert naive[0] > 4.0
    assert naive[1] > 2.5


def test_the_spread_of_moments_lowers_effects_on_leaving(continuous: SimulatedPanel) -> None:
    panel = seen(continuous)
    stocks = panel_stocks(panel)
    with_spread = fitted(panel, stocks).beta
    ends = replace(panel, exit_share=None)  # the same stocks, nothing unseen
    without = fitted(ends, stocks).beta
    strong = np.abs(without) > 0.1
    assert (np.abs(with_spread) < np.abs(without))[strong].all()


def test_channels_that_do_nothing_get_nothing() -> None:
    scenario = replace(scenario_named("continuous"), effects=False)
    panel = seen(simulate_contractual(scenario, n=6_000, periods=18, rng=np.random.default_rng(11)))
    credit = panel_credit(fitted(panel, panel_stocks(panel)), panel, panel_stocks(panel), rng=rng())
    assert abs(credit.retention.credit.sum()) < 0.08 * credit.retention.total
    assert abs(credit.spend.credit.sum()) < 0.06 * credit.spend.total


def test_models_expect_the_spend_that_was_seen(continuous: SimulatedPanel) -> None:
    panel = continuous.panel.take(slice(0, 400))
    stocks = panel_stocks(panel)
    chain = HiddenChain(structure=Structure(nodes=3, shared=False)).fit(panel, stocks, rng=rng())
    for model in (fitted(panel, stocks), chain):
        prediction = model.predict(panel, stocks, rng=rng())
        assert prediction.expected_spend == pytest.approx(panel.spend.sum(), rel=0.02)


def test_an_experiment_takes_the_moments_of_the_whole_company(continuous: SimulatedPanel) -> None:
    panel = continuous.panel
    model = fitted(panel, panel_stocks(panel))
    given: dict[str, Any] = {"channel": "community", "first_period": 0, "decay": 0.6}
    customers = np.arange(50)
    found = channel_contrast(model, panel, customers=customers, rng=rng(), **given)
    alone = channel_contrast(model, panel.take(customers), rng=rng(), **given)
    assert found["spend"] != alone["spend"]
    assert found["spend"] == pytest.approx(alone["spend"], rel=0.2)
