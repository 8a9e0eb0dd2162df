"""From panel to table: credits add up, carry interval and range, and say why they are not supported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from attribution.credits.rows import one_row_per_group
from attribution.credits.schemas import CREDITS_SCHEMA
from attribution.incremental.aumann_shapley import panel_credit, scaled_to_all
from attribution.incremental.chain import HiddenChain
from attribution.incremental.estimate import estimate_credit
from attribution.incremental.plan import Checked, Plan, plan_for
from attribution.incremental.range import bounds_around
from attribution.incremental.regression import OWN_MEANS, POISSON_SPEND, STATIC, PanelRegression
from attribution.incremental.setfunction import FittedPanelModel
from attribution.incremental.stocks import panel_stocks
from attribution.incremental.table import incremental_credit
from attribution.settings import AttributionSettings
from benchmarks.panels.simulate import simulate_panel
from histories.errors import ConvergenceError
from histories.panel import Panel

SETTINGS = AttributionSettings(replicates=12)
QUICK = Plan(default=STATIC, companions=(OWN_MEANS,))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulate_panel("r7", n=1_500, periods=10, seed=1).panel


@pytest.fixture(scope="module")
def table(panel: Panel) -> pl.DataFrame:
    residual = np.full(panel.n_customers, 80.0)
    return incremental_credit(panel, settings=SETTINGS, plan=QUICK, residual_value=residual, gross_margin=0.4)


def of(table: pl.DataFrame, outcome: str, level: str) -> pl.DataFrame:
    return table.filter((pl.col("outcome") == outcome) & (pl.col("level") == level))


@pytest.mark.parametrize("outcome", ["retention", "spend", "lifetime_value"])
def test_channels_and_baseline_add_up_to_the_total(table: pl.DataFrame, outcome: str) -> None:
    total = of(table, outcome, "total")["credit"].item()
    parts = of(table, outcome, "channel")["credit"].sum() + of(table, outcome, "baseline")["credit"].item()
    assert parts == pytest.approx(total, rel=1e-9)
    groups = one_row_per_group(table.filter(pl.col("outcome") == outcome))
    assert groups["credit"].sum() == pytest.approx(of(table, outcome, "channel")["credit"].sum(), rel=1e-9)


def test_totals_are_what_was_observed(panel: Panel, table: pl.DataFrame) -> None:
    assert panel.exit is not None
    stayed = int((panel.exit >= panel.n_periods).sum())
    assert of(table, "retention", "total")["credit"].item() == pytest.approx(stayed, rel=1e-12)
    assert of(table, "spend", "total")["credit"].item() == pytest.approx(panel.spend.sum(), rel=1e-12)
    margin = 0.4 * panel.spend.sum() + 80.0 * stayed
    assert of(table, "lifetime_value", "total")["credit"].item() == pytest.approx(margin, rel=1e-9)


def test_the_table_has_the_published_columns(table: pl.DataFrame) -> None:
    assert dict(table.schema) == dict(CREDITS_SCHEMA)
    assert set(table["method"]) == {"incremental"}


def test_the_range_holds_the_interval_and_every_companion(table: pl.DataFrame) -> None:
    channels = table.filter(pl.col("level").is_in(["channel", "group", "baseline"]))
    assert (channels["range_low"] < channels["low"]).all()
    assert (channels["range_high"] > channels["high"]).all()
    alone = incremental_credit_of(OWN_MEANS)
    joined = of(table, "spend", "channel").join(
        alone.filter(pl.col("level") == "channel").select("channel", other="credit"), on="channel"
    )
    assert ((joined["range_low"] < joined["other"]) & (joined["other"] < joined["range_high"])).all()


def incremental_credit_of(estimator: PanelRegression) -> pl.DataFrame:
    panel = simulate_panel("r7", n=1_500, periods=10, seed=1).panel
    settings = AttributionSettings(replicates=0)
    return incremental_credit(panel, settings=settings, outcomes=["spend"], plan=Plan(default=estimator))


def test_a_groups_interval_is_its_own_and_not_the_sum_of_its_channels(table: pl.DataFrame) -> None:
    social = of(table, "spend", "group").filter(pl.col("channel") == "social")
    members = of(table, "spend", "channel").filter(pl.col("channel_group") == "social")
    width = (social["high"] - social["low"]).item()
    assert 0 < width < (members["high"] - members["low"]).sum()
    assert social["customers"].item() < members["customers"].sum()


def test_the_same_seed_gives_the_same_table(panel: Panel) -> None:
    first, again = (incremental_credit(panel, settings=SETTINGS, plan=QUICK, seed=3) for _ in range(2))
    assert first.equals(again)


def test_without_residual_values_there_is_no_lifetime_value_and_a_reason(panel: Panel) -> None:
    found = incremental_credit(panel, settings=SETTINGS, plan=QUICK, outcomes=["lifetime_value"])
    assert found["credit"].is_null().all()
    assert found["reason"].str.contains("no residual lifetime values").all()


def test_a_regression_of_spend_alone_states_its_limits_and_is_not_supported() -> None:
    silent = simulate_panel("hidden30", n=800, periods=10, seed=1).panel
    unsaid = replace(silent, origins=(None,) * silent.n_channels)
    assert plan_for(unsaid).default is POISSON_SPEND
    found = incremental_credit(unsaid, settings=SETTINGS)
    spend = found.filter(pl.col("outcome") == "spend")
    assert spend["credit"].is_not_null().all()
    assert not spend["supported"].any()
    assert spend["reason"].str.contains("no correction for hidden satisfaction or hidden dropout").all()
    retention = found.filter(pl.col("outcome") == "retention")
    assert retention["credit"].is_null().all()
    assert retention["reason"].str.contains("does not model leaving").all()


def test_estimators_follow_from_what_is_recorded(panel: Panel) -> None:
    assert isinstance(plan_for(panel).default, HiddenChain)
    assert plan_for(panel).companions == (OWN_MEANS,)
    silent = simulate_panel("hidden30", n=50, periods=10, seed=1).panel
    assert isinstance(plan_for(silent).default, HiddenChain)
    assert plan_for(silent.take(slice(0, 50))).problems == ()
    short = simulate_panel("hidden30", n=50, periods=4, seed=1).panel
    assert "4 periods" in plan_for(short).problems[0]


def test_a_channel_whose_problems_were_all_answered_is_not_supported(panel: Panel) -> None:
    answered = replace(panel, answered=(0.99, *(None,) * 7))
    found = incremental_credit(answered, settings=SETTINGS, plan=QUICK, outcomes=["spend"])
    rows = {row["channel"]: row for row in of(found, "spend", "channel").to_dicts()}
    assert not rows["care"]["supported"]
    assert "no unanswered problems to compare: 99%" in rows["care"]["reason"]
    assert rows["chat"]["supported"]
    assert not of(found, "spend", "group").filter(pl.col("channel") == "social")["supported"].item()


def test_a_failed_check_withholds_all_credit_or_that_of_a_channel(panel: Panel) -> None:
    def check(*_: object) -> Checked:
        return Checked(by_channel={"ads": "contrary sign"})

    found = incremental_credit(panel, settings=SETTINGS, plan=replace(QUICK, check=check), outcomes=["spend"])
    unsupported = of(found, "spend", "channel").filter(~pl.col("supported"))
    assert unsupported["channel"].to_list() == ["ads"]


def test_a_companion_that_finds_no_optimum_leaves_the_range_without_it(panel: Panel) -> None:
    class Failing:
        name, limits = "failing", ""

        def fit(self, *_: object, **__: object) -> FittedPanelModel:
            raise ConvergenceError("no optimum")

        def at_decay(self, *_: object, **__: object) -> object:
            return self

    plan = Plan(default=STATIC, companions=(Failing(),))
    found = incremental_credit(panel, settings=SETTINGS, plan=plan, outcomes=["spend"])
    rows = of(found, "spend", "channel")
    wider = (rows["credit"] - rows["range_low"]) / (rows["credit"] - rows["low"])
    assert wider.to_list() == pytest.approx([2.0 / 1.645] * len(rows), rel=0.25)


def test_totals_far_from_the_observed_are_a_reason(panel: Panel) -> None:
    class Inflated(PanelRegression):
        def fit(self, *arguments: object, **options: object) -> FittedPanelModel:
            fit = super().fit(*arguments, **options)  # type: ignore[arg-type]
            spending = fit.spending.copy()
            spending[0] += 0.1
            return replace(fit, spending=spending)

    plan = Plan(default=Inflated(name="inflated", limits=""))
    found = incremental_credit(
        panel, settings=AttributionSettings(replicates=0), plan=plan, outcomes=["spend"]
    )
    assert not found["supported"].any()
    assert found["reason"].str.contains(r"spend are \+10\.5% off").all()


@pytest.mark.parametrize(
    ("companions", "std_error", "expected"),
    [
        ([], float("nan"), (None, None, None, None)),
        ([], 1.0, (-1.96, 1.96, -2.0, 2.0)),
        ([float("nan")], 1.0, (-1.96, 1.96, -2.0, 2.0)),
        ([-3.0, 2.0], 1.0, (-1.96, 1.96, -5.0, 4.0)),
        ([0.5], 0.0, (0.0, 0.0, 0.0, 0.5)),
    ],
)
def test_bounds(companions: list[float], std_error: float, expected: tuple[float | None, ...]) -> None:
    found = bounds_around(0.0, companions=companions, std_error=std_error, interval=0.95)
    assert (found.low, found.high, found.range_low, found.range_high) == pytest.approx(expected, abs=1e-3)


def test_what_spans_the_range_is_credited_on_the_customers_fitted_to_and_brought_to_all(panel: Panel) -> None:
    settings = AttributionSettings(replicates=0, fit_customers=500)
    found = estimate_credit(panel, settings=settings, plan=QUICK)
    stocks, rng = panel_stocks(panel), np.random.default_rng(1)
    whole = panel_credit(found.companion_fits[OWN_MEANS.name], panel, stocks, rng=rng)
    for outcome in ("retention", "spend"):
        told, true = found.companions[OWN_MEANS.name].require(outcome), whole.require(outcome)
        assert told.total == pytest.approx(true.total, rel=1e-9)
        assert np.abs(told.credit - true.credit).max() < 0.01 * true.total  # error of 500 customers
        assert told.baseline == pytest.approx(true.baseline, rel=0.04)
    here = panel_credit(found.fit, panel.take(found.fitted), stocks[found.fitted], rng=rng)
    uncredited = replace(here.retention, staying=np.zeros(panel.n_channels))
    moved = scaled_to_all(replace(here, retention=uncredited), here, found.credit, times=3.0)
    assert not moved.retention.credit.any()
    assert moved.retention.total == 3.0 * here.retention.total
