"""Response curves: today and nothing are met exactly, the truth lies inside, where data end is said."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from attribution.incremental.aumann_shapley import creditable_share
from attribution.incremental.checks.possible import values_without
from attribution.incremental.estimate import CreditEstimate, estimate_credit
from attribution.incremental.experiment import ChannelExperiment
from attribution.incremental.plan import Plan
from attribution.incremental.regression import STATIC
from attribution.incremental.response import STEPS, TODAY, response_curves, response_table
from attribution.incremental.stocks import decayed_stocks, panel_stocks
from attribution.incremental.table import credit_table
from attribution.settings import AttributionSettings
from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.scenarios import scenario_named
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel

SETTINGS = AttributionSettings(replicates=30)
OUTCOMES = ("retention", "spend", "lifetime_value")
ROUNDING = 1e-5
"""Stocks and log-odds are kept in single precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    made: SimulatedPanel
    panel: Panel
    estimate: CreditEstimate
    credits: pl.DataFrame
    table: pl.DataFrame

    def row(self, outcome: str, channel: str, scale: float) -> dict[str, float]:
        rows = self.table.filter(
            (pl.col("outcome") == outcome) & (pl.col("channel") == channel) & (pl.col("scale") == scale)
        )
        return rows.row(0, named=True)


def company(panel: Panel, made: SimulatedPanel, **about: object) -> Company:
    residual = np.full(panel.n_customers, 80.0)
    estimate = estimate_credit(
        panel,
        settings=SETTINGS,
        residual_value=residual,
        gross_margin=0.4,
        plan=Plan(default=STATIC),
        **about,
    )  # type: ignore[arg-type]
    credits = credit_table(panel, estimate, outcomes=OUTCOMES, interval=0.95)
    curves = response_curves(panel, estimate, residual_value=residual, gross_margin=0.4)
    table = response_table(estimate, curves, credits, interval=0.95, costs={"care": 5_000.0})
    return Company(made=made, panel=panel, estimate=estimate, credits=credits, table=table)


@pytest.fixture(scope="module")
def plain() -> Company:
    """No hidden satisfaction: the regression is the right model."""
    scenario = replace(scenario_named("r7"), selection=0.0)
    made = simulate_panel(scenario, n=5_000, periods=12, seed=2)  # type: ignore[arg-type]
    return company(made.panel, made)


def test_todays_touches_bring_todays_outcome_exactly(plain: Company) -> None:
    today = plain.table.filter(pl.col("scale") == 1.0)
    assert STEPS[TODAY] == 1.0
    totals = dict(plain.credits.filter(pl.col("level") == "total").select("outcome", "credit").iter_rows())
    assert today.height == 3 * 8
    for row in today.iter_rows(named=True):
        assert (row["value"], row["change"]) == (totals[row["outcome"]], 0.0)
        assert (row["low"], row["high"]) == (0.0, 0.0)


def test_without_touches_the_outcome_is_the_models_without_the_channel(plain: Company) -> None:
    few = plain.panel.take(np.arange(1_500))
    found = company(few, plain.made)
    stocks = panel_stocks(few, decay=found.estimate.decay.value)
    without = values_without(found.estimate.fit, few, stocks, rng=np.random.default_rng(0))
    for k, channel in enumerate(few.channels):
        for o, outcome in enumerate(("retention", "spend")):
            assert found.row(outcome, channel, 0.0)["value"] == pytest.approx(without[o, k], rel=ROUNDING)


def test_between_nothing_and_today_the_curve_follows_the_definition(plain: Company) -> None:
    """Half the touches of one channel, customer by customer, month by month."""
    panel, fit = plain.panel, plain.estimate.fit
    halved = panel.touches.copy()
    halved[:, :, 0] *= 0.5
    stocks, moved = (decayed_stocks(x, decay=plain.estimate.decay.value) for x in (panel.touches, halved))
    prediction = fit.predict(panel, stocks, rng=np.random.default_rng(0))
    assert prediction.hazard_offset is not None
    stays = [1.0 / (1.0 + np.exp(prediction.hazard_offset[0] + s @ fit.beta)) for s in (moved, stocks)]
    ratio = np.cumprod(np.where(panel.at_risk, stays[0] / stays[1], 1.0), axis=1)
    before = np.concatenate([np.ones((panel.n_customers, 1)), ratio[:, :-1]], axis=1)
    spend = panel.spend * before * np.exp((moved - stocks) @ fit.gamma)
    kept = float((ratio[:, -1] * prediction.survival).sum())
    assert (creditable_share(panel) == 1.0).all()
    assert plain.row("retention", "care", 0.5)["value"] == pytest.approx(kept, rel=ROUNDING)
    assert plain.row("spend", "care", 0.5)["value"] == pytest.approx(spend.sum(), rel=ROUNDING)
    margin = 0.4 * spend.sum() + 80.0 * kept
    assert plain.row("lifetime_value", "care", 0.5)["value"] == pytest.approx(margin, rel=ROUNDING)


def test_the_true_response_lies_inside(plain: Company) -> None:
    """Errors in standard errors of eight channels and two outcomes: neither wider nor narrower than said.

    Ten such companies have 460 of 480 true changes inside 95 % intervals (three steps, both outcomes).
    """
    assert plain.made.response is not None
    for scale in (0.0, 1.5):
        errors = []
        for channel in plain.panel.channels:
            true = plain.made.response(channel, scale) - plain.made.response(channel, 1.0)
            for truth, outcome in zip(true, ("retention", "spend"), strict=True):
                row = plain.row(outcome, channel, scale)
                errors.append((row["change"] - truth) / ((row["high"] - row["low"]) / (2 * 1.96)))
        assert 0.5 < np.sqrt(np.mean(np.square(errors))) < 1.5


def test_the_interval_is_that_of_the_credit_where_one_channel_is_all_there_is(plain: Company) -> None:
    """Delta method against refits on reweighted customers, whose own error is an eighth at 30."""
    for k, channel in enumerate(plain.panel.channels):
        alone = np.arange(8) == k
        for outcome in ("retention", "spend"):
            row = plain.row(outcome, channel, 0.0)
            error = (row["high"] - row["low"]) / (2 * 1.96)
            assert error == pytest.approx(plain.estimate.draws.std(outcome, alone), rel=0.5)


def test_marginal_return_is_the_slope_per_currency_where_there_is_a_cost(plain: Company) -> None:
    for outcome in OUTCOMES:
        around = plain.row(outcome, "care", 1.25)["value"] - plain.row(outcome, "care", 0.75)["value"]
        row = plain.row(outcome, "care", 1.0)
        assert row["marginal_return"] == pytest.approx(around / 0.5 / 5_000.0)
        assert row["marginal_low"] < row["marginal_return"] < row["marginal_high"]
    free = plain.table.filter(pl.col("channel") != "care")
    assert free["marginal_return"].is_null().all()
    assert free["marginal_low"].is_null().all()


def test_more_than_everybody_ever_had_is_marked() -> None:
    """One letter a month for all: nobody has more of it, and of anything else some have."""
    made = simulate_panel("r7", n=600, periods=10, seed=1)
    touches = made.panel.touches.copy()
    touches[:, :, 5] = made.panel.at_risk
    found = company(replace(made.panel, touches=touches), made)
    marked = {scale: found.row("spend", "newsletter", scale) for scale in (0.75, 1.0, 1.25)}
    assert [row["extrapolated"] for row in marked.values()] == [False, False, True]
    assert marked[1.25]["beyond_data"] > 0.3
    assert found.row("spend", "care", 1.0)["beyond_data"] < 0.02


def test_what_is_not_supported_as_credit_is_not_as_response(plain: Company) -> None:
    refused = plain.credits.with_columns(supported=pl.lit(False), reason=pl.lit("refuted"))
    absent = refused.with_columns(
        credit=pl.when(pl.col("outcome") != "lifetime_value").then(pl.col("credit")),
        reason=pl.lit("unvalued"),
    )
    curves = response_curves(plain.panel, plain.estimate)
    for credits, reason in ((refused, "refuted"), (absent, "unvalued")):
        table = response_table(plain.estimate, curves, credits, interval=0.95)
        assert not table["supported"].any()
        assert set(table["reason"]) == {reason}
        assert table.height == plain.table.height
    values = table.filter(pl.col("outcome") == "lifetime_value").select("value", "change", "low")
    assert all(column.null_count() == column.len() for column in values)


def test_an_experiment_scales_the_curve_as_it_scales_the_credit(plain: Company) -> None:
    few = plain.panel.take(np.arange(1_500))
    usual = company(few, plain.made)
    first = usual.row("spend", "care", 0.0)
    treated = np.arange(few.n_customers) % 2 == 0
    of_all = ChannelExperiment(
        name="test",
        channel="care",
        outcome="spend",
        estimate=0.0,
        std_error=1e9,
        treated=treated,
        first_period=0,
    )
    useless = company(few, plain.made, experiments=[of_all])
    modelled = useless.estimate.readings[0].model
    better = company(few, plain.made, experiments=[replace(of_all, estimate=1.1 * modelled, std_error=0.01)])
    assert useless.row("spend", "care", 0.0)["change"] == pytest.approx(first["change"], rel=1e-6)
    found = better.row("spend", "care", 0.0)
    assert found["change"] == pytest.approx(1.1 * first["change"], rel=0.01)
    assert found["high"] - found["low"] < 0.1 * (first["high"] - first["low"])
    assert better.row("retention", "care", 0.0) == usual.row("retention", "care", 0.0)


def test_a_margin_by_period_takes_the_place_of_the_gross_margin(plain: Company) -> None:
    few = plain.panel.take(np.arange(800))
    given, rate = (company(panel, plain.made) for panel in (replace(few, margin=0.4 * few.spend), few))
    for column in ("change", "low", "high"):
        np.testing.assert_allclose(given.table[column], rate.table[column], rtol=1e-6)


def test_a_fit_to_some_customers_speaks_of_all(plain: Company) -> None:
    """Scaled up; the customers drawn are 40 % of all."""
    some = replace(SETTINGS, fit_customers=2_000)
    estimate = estimate_credit(plain.panel, settings=some, plan=Plan(default=STATIC))
    known = replace(estimate, fit=plain.estimate.fit)
    found, whole = (response_curves(plain.panel, one).change for one in (known, plain.estimate))
    np.testing.assert_allclose(found[:2, :, 0].sum(axis=1), whole[:2, :, 0].sum(axis=1), rtol=0.1)


def test_without_a_covariance_there_is_no_interval(plain: Company) -> None:
    bare = replace(plain.estimate, fit=replace(plain.estimate.fit, influence=None))  # type: ignore[type-var]
    table = response_table(bare, response_curves(plain.panel, bare), plain.credits, interval=0.95)
    assert table["change"].is_not_null().all()
    assert table.filter(pl.col("scale") != 1.0).select(pl.col("low", "high").is_null().all()).row(0) == (
        True,
        True,
    )


def test_half_a_touch_lies_between_none_and_one_also_where_leaving_has_moments() -> None:
    panel = simulate_panel("continuous", n=400, periods=8, seed=1).panel
    half, ends = (panel_stocks(panel, touches=panel.touches * np.float32(x)) for x in (0.5, 0.999999))
    whole = panel_stocks(panel)
    np.testing.assert_allclose(ends, whole, atol=1e-5)
    touched = whole > 0
    assert (half[touched] < whole[touched]).all()
    assert (half[touched] > 0.5 * whole[touched]).all()
