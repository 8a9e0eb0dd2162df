"""What speaks against a credit: silence, touches to come, no comparison, values that cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from attribution.incremental import estimate
from attribution.incremental.bootstrap import CreditDraws
from attribution.incremental.chain import HiddenChain, Structure
from attribution.incremental.checks.comparison import alike_channels, spread_of_stocks
from attribution.incremental.checks.future_touches import future_touches
from attribution.incremental.checks.placebo import PlaceboCheck, run_placebo
from attribution.incremental.checks.possible import impossible_values, values_without
from attribution.incremental.checks.silence import interior_silence
from attribution.incremental.plan import Plan, plan_for
from attribution.incremental.regression import STATIC, PanelRegressionFit
from attribution.incremental.stocks import panel_stocks
from attribution.incremental.table import credit_table
from attribution.settings import AttributionSettings
from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.simulate import simulate_panel
from histories.errors import ConvergenceError
from histories.panel import Panel


def company(name: str, n: int = 2_000, seed: int = 1) -> tuple[SimulatedPanel, np.ndarray]:
    made = simulate_panel(name, n=n, periods=18, seed=seed)
    return made, panel_stocks(made.panel)


def gamma_of(made: SimulatedPanel) -> np.ndarray:
    effects = made.truth.parameters["gamma"]
    assert isinstance(effects, dict)
    return np.array(list(effects.values()))


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("plain", None),
        ("hidden30", None),
        ("episodes", None),
        ("no_proxy", None),
        ("regular", "buy regularly"),
        ("clockwork", "buy regularly"),
        ("clumpy", None),
        ("retargeting", "customers pause"),
    ],
)
def test_silence_between_purchases_tells_who_buys_by_chance(scenario: str, words: str | None) -> None:
    made, stocks = company(scenario)
    found = interior_silence(made.panel, stocks, gamma_of(made))
    assert found.problems == () if words is None else words in found.problems[0]
    assert bool(found.cautions) == (scenario == "clumpy")


def test_acts_that_follow_purchases_are_no_sign_of_pauses() -> None:
    made, stocks = company("plain")
    panel, rng = made.panel, np.random.default_rng(1)
    asked = rng.poisson(0.5 * np.asarray(panel.purchases)).astype(np.float32)
    chat = panel.channels.index("chat")
    touches = panel.touches.copy()
    touches[:, :, chat] = asked
    others = panel.own_acts - panel.touches[:, :, chat]
    panel = replace(panel, touches=touches, own_acts=others + asked, reacts=("chat",))
    assert not interior_silence(panel, stocks, gamma_of(made)).pauses
    assert interior_silence(replace(panel, reacts=()), stocks, gamma_of(made)).pauses


def test_expected_silence_is_that_of_a_multinomial_draw() -> None:
    panel = simulate_panel("hidden30", n=2, periods=5, seed=1).panel
    bought = np.array([[1.0, 2.0, 0.0, 1.0, 0.0], [3.0, 0.0, 2.0, 1.0, 0.0]])
    panel = replace(panel, purchases=bought)
    found = interior_silence(panel, np.zeros(panel.touches.shape), np.zeros(panel.n_channels))
    assert (found.n, found.seen) == (2, 2.0)  # between the first and the last: two purchases in two periods
    assert found.expected == pytest.approx(2 * 2 * 0.5**2)


@pytest.mark.parametrize(
    ("scenario", "verdict"),
    [("plain", "nothing"), ("hidden60", "nothing"), ("heavy", "level"), ("no_proxy", "satisfaction")],
)
def test_touches_to_come_tell_what_is_hidden(scenario: str, verdict: str) -> None:
    made, stocks = company(scenario, n=3_000)
    found = future_touches(made.panel, stocks)
    assert found is not None
    assert found.verdict == verdict


def test_touches_to_come_say_nothing_of_few_customers() -> None:
    made, stocks = company("plain", n=40)
    assert future_touches(made.panel, stocks) is None


def test_a_channel_sent_to_all_alike_has_no_comparison() -> None:
    made, stocks = company("alike", n=800)
    assert set(alike_channels(made.panel, stocks)) == {"letter"}
    made, stocks = company("plain", n=800)
    assert alike_channels(made.panel, stocks) == {}


def test_customers_of_one_age_are_compared_with_each_other() -> None:
    made, _ = company("plain", n=4)
    stocks = np.zeros(made.panel.touches.shape)
    stocks[:2, 3:, 0] = 1.0  # the first two customers came in period 3 and hold the same
    panel = replace(made.panel, entry=np.array([3, 3, 0, 0]))
    assert spread_of_stocks(panel, stocks)[0] == 0.0
    assert np.isinf(spread_of_stocks(panel, stocks)[1])


@pytest.fixture(scope="module")
def contract() -> tuple[Panel, np.ndarray, PanelRegressionFit]:
    panel = simulate_panel("plain_contract", n=600, periods=10, seed=1).panel
    stocks = panel_stocks(panel)
    return panel, stocks, STATIC.fit(panel, stocks, rng=np.random.default_rng(1))


def test_values_without_channels_are_those_of_the_set_function(contract: tuple) -> None:
    panel, stocks, fit = contract
    found = estimate.estimate_credit(
        panel, settings=AttributionSettings(replicates=0), plan=Plan(default=STATIC)
    )
    values = values_without(fit, panel, stocks, rng=np.random.default_rng(1))
    assert values[0, -1] == pytest.approx(found.credit.retention.empty, rel=1e-5)
    assert values[1, -1] == pytest.approx(found.credit.spend.empty, rel=1e-5)
    assert impossible_values(panel, values) == ()


def test_more_survivors_than_customers_are_impossible(contract: tuple) -> None:
    panel, stocks, fit = contract
    leaving = fit.leaving.copy()
    leaving[-1] = 3.0  # push drives everybody away: without it there would be several of each
    values = values_without(replace(fit, leaving=leaving), panel, stocks, rng=np.random.default_rng(1))
    assert impossible_values(panel, values)[0].startswith("impossible: without")
    assert "10 times the 600 customers kept that there can be" in impossible_values(panel, values)[0]


@pytest.mark.parametrize(
    ("error", "told"), [(1e4, ", 10,000, exceeds the whole"), (1e23, " is over 1,000 times the whole")]
)
def test_an_error_above_the_outcome_leaves_no_interval(contract: tuple, error: float, told: str) -> None:
    panel, _, _ = contract
    found = estimate.estimate_credit(
        panel, settings=AttributionSettings(replicates=0), plan=Plan(default=STATIC)
    )
    wide = np.zeros((3, panel.n_channels))
    wide[:, 0] = [-error, 0.0, error]
    draws = CreditDraws(deviations={"retention": wide, "spend": wide * 0.0}, failed=0)
    table = credit_table(panel, replace(found, draws=draws), outcomes=["retention"], interval=0.95)
    row = table.filter(pl.col("channel") == panel.channels[0]).row(0, named=True)
    assert row["low"] is None
    assert not row["supported"]
    assert row["reason"].startswith(f"not measured: the standard error{told} outcome")


def test_an_outcome_whose_draws_are_no_numbers_is_not_supported(contract: tuple) -> None:
    panel, _, _ = contract
    found = estimate.estimate_credit(
        panel, settings=AttributionSettings(replicates=0), plan=Plan(default=STATIC)
    )
    draws = replace(
        found.draws, deviations={**found.draws.deviations, "spend": np.full((3, panel.n_channels), np.nan)}
    )
    table = credit_table(panel, replace(found, draws=draws), outcomes=("retention", "spend"), interval=0.95)
    spend = table.filter(outcome="spend")
    assert not spend["supported"].any()
    assert spend["reason"].str.contains("no standard error could be worked out").all()
    assert table.filter(outcome="retention", channel="(baseline)")["supported"].all()


def test_a_channel_refused_for_a_reason_of_its_own_costs_the_others_nothing() -> None:
    share, error = np.array([0.01, 0.08]), np.array([0.01, 0.01])
    placebo = PlaceboCheck(
        channels=("forum", "letter"),
        retention=share,
        spend=share,
        retention_sd=error,
        spend_sd=error,
    )
    assert len(placebo.problems) == 2
    assert placebo.leaving_out({"letter"}).problems == ()
    assert placebo.leaving_out({"forum"}).problems == placebo.problems
    assert placebo.leaving_out({"forum", "letter"}).problems == ()


@pytest.mark.parametrize(("later", "fails"), [(0.0, False), (0.12, True)])
def test_a_placebo_that_fails_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, later: float, *, fails: bool
) -> None:
    made, stocks = company("plain", n=400)
    fit = HiddenChain(structure=Structure()).fit(made.panel, stocks, rng=np.random.default_rng(1))
    shape, asked = (2, made.panel.n_channels), []

    def simulated(*_: object) -> tuple[np.ndarray, np.ndarray]:
        asked.append(1)
        return np.full(shape, 0.12 if len(asked) <= 2 else later), np.full(shape, 0.05**2)

    monkeypatch.setattr("attribution.incremental.checks.placebo._one_company", simulated)
    check = run_placebo(fit, made.panel, stocks, rng=np.random.default_rng(1), customers=400)
    assert len(asked) == 6
    assert bool(check.problems) == fails


def test_touches_that_announce_leaving_have_no_supported_credit() -> None:
    made = simulate_panel("r7", n=400, periods=9, seed=1).panel
    panel = replace(made, announces={made.channels[0]: "its touches crowd"})
    stocks = panel_stocks(panel)
    fit = HiddenChain(structure=Structure(shared=False)).fit(panel, stocks, rng=np.random.default_rng(1))
    check = plan_for(panel).check
    assert check is not None
    assert check(fit, panel, stocks, np.random.default_rng(1)).by_channel == panel.announces
    assert not fit.design.acting[0]
    assert fit.beta[0] == fit.gamma[0] == 0.0
    assert np.array_equal(stocks[:, :, 1:], panel_stocks(made)[:, :, 1:])


def test_a_check_that_fails_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("lam value too large")

    monkeypatch.setattr("attribution.incremental.plan.run_placebo", fails)
    made, stocks = company("plain", n=400)
    fit = HiddenChain(structure=Structure()).fit(made.panel, stocks, rng=np.random.default_rng(1))
    check = plan_for(made.panel).check
    assert check is not None
    checked = check(fit, made.panel, stocks, np.random.default_rng(1))
    assert checked.notes == ("the zero-effect placebo could not be done: lam value too large",)


def test_a_refused_company_of_regular_buyers_hears_why() -> None:
    class Failing(HiddenChain):
        def fit(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise FloatingPointError("overflow")

    made, _ = company("clockwork", n=400)
    with pytest.raises(ConvergenceError, match=r"buy regularly .*ended_at"):
        estimate.estimate_credit(
            made.panel, settings=AttributionSettings(replicates=0), plan=Plan(default=Failing())
        )


def test_what_is_impossible_has_no_credit_at_all(contract: tuple) -> None:
    panel, _, _ = contract
    found = estimate.estimate_credit(
        panel, settings=AttributionSettings(replicates=0), plan=Plan(default=STATIC)
    )
    reason = "impossible: without push the model expects more than 10 times the 600 customers kept"
    table = credit_table(
        panel, replace(found, impossible=(reason,)), outcomes=("retention", "spend"), interval=0.95
    )
    assert table["credit"].null_count() == table.height
    assert not table["supported"].any()
    assert set(table["reason"]) == {reason}


def test_effects_that_never_moved_are_no_credit_of_nothing(contract: tuple) -> None:
    panel, _, _ = contract
    found = estimate.estimate_credit(
        panel, settings=AttributionSettings(replicates=0), plan=Plan(default=STATIC)
    )
    still, why = np.zeros_like(found.fit.spending), "had not converged after 60 passes"
    for problems in ((), (why,)):
        fit = replace(found.fit, leaving=still, spending=still, problems=problems)
        table = credit_table(panel, replace(found, fit=fit), outcomes=("retention", "spend"), interval=0.95)
        assert table["credit"].null_count() == (table.height if problems else 0)
        assert (set(table["reason"]) == {why}) == bool(problems)


def test_touches_that_announce_a_purchase_are_no_cause_and_cost_the_others_nothing() -> None:
    made, _ = company("hidden30", n=300)
    bought = np.asarray(made.panel.purchases) > 0
    touches = np.array(made.panel.touches)
    own, sent = (made.panel.origins.index(origin) for origin in ("customer", "firm"))
    touches[:, :, own], touches[:, :, sent] = bought, bought + (touches[:, :, sent] > 2)
    apart = {"touches": touches, "own_acts": np.asarray(made.panel.own_acts) + bought}
    panel = replace(made.panel, **apart)
    announces = {panel.channels[k]: "on the way" for k in (own, sent)}
    stocks, told = panel_stocks(panel), replace(panel, announces=announces, at_any_moment=True)
    nothing = np.zeros(panel.n_channels)
    assert interior_silence(panel, stocks, nothing).pauses
    assert not interior_silence(told, stocks, nothing).pauses
    fit = HiddenChain(structure=Structure(shared=False)).fit(
        told, panel_stocks(told), rng=np.random.default_rng(1)
    )
    assert fit.beta[[own, sent]].tolist() == fit.gamma[[own, sent]].tolist() == [0.0, 0.0]
    check = plan_for(told).check
    assert check is not None
    against = check(fit, told, panel_stocks(told), np.random.default_rng(1)).by_channel
    assert announces.items() <= against.items()
