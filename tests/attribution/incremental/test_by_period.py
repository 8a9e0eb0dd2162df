"""Credit by period adds up to the credit of all, and falls where the spend is."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.by_period import credit_by_period
from attribution.incremental.estimate import estimate_credit
from attribution.incremental.experiment import ChannelExperiment
from attribution.incremental.plan import Plan
from attribution.incremental.regression import STATIC
from attribution.incremental.stocks import decayed_stocks
from attribution.incremental.table import credit_table
from attribution.settings import AttributionSettings
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel
from histories.period_index import PeriodIndex

PERIODS = PeriodIndex.of("month", dt.date(2026, 6, 30)).labels(10)
END = dt.date(2026, 1, 4)
KEYS = ["outcome", "level", "channel"]


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulate_panel("r7", n=1_200, periods=10, seed=1).panel


def tables(panel: Panel, **about: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    estimate = estimate_credit(
        panel, settings=AttributionSettings(replicates=12), plan=Plan(default=STATIC), **about
    )  # type: ignore[arg-type]
    credits = credit_table(panel, estimate, outcomes=("retention", "spend"), interval=0.95)
    return credits, credit_by_period(panel, estimate, credits, periods=PERIODS, interval=0.95)


def joined(credits: pl.DataFrame, apart: pl.DataFrame) -> pl.DataFrame:
    return apart.group_by(KEYS).agg(pl.col("credit").sum().alias("sum")).join(credits, on=KEYS)


def test_periods_add_up_to_the_credit_of_all(panel: Panel) -> None:
    credits, apart = tables(panel)
    both = joined(credits, apart)
    assert both.height == 2 * (8 + 1) + 2  # retention has neither baseline nor total by period
    np.testing.assert_allclose(both["sum"], both["credit"], rtol=1e-9)
    by_month = apart.filter((pl.col("outcome") == "spend") & (pl.col("level") == "total"))
    np.testing.assert_allclose(by_month["credit"], panel.spend.sum(axis=0), rtol=1e-12)
    assert by_month["period"].to_list()[::9] == ["2025-09", "2026-06"]


def test_credit_of_a_months_spend_is_that_of_a_company_that_spends_in_it_alone(panel: Panel) -> None:
    """v_spend is linear in the spend: the same fit on spend of one month only."""
    stocks = decayed_stocks(panel.touches)
    rng = np.random.default_rng
    fit = STATIC.fit(panel, stocks, rng=rng(0))
    whole = panel_credit(fit, panel, stocks, rng=rng(0), periods_apart=True, chunk=500)
    assert whole.spend.by_period is not None
    for t in (0, 4, 9):
        alone = replace(panel, spend=np.where(np.arange(10) == t, panel.spend, 0.0))
        expected = panel_credit(fit, alone, stocks, rng=rng(0)).spend.credit
        np.testing.assert_allclose(whole.spend.by_period[t], expected, rtol=1e-9)


def test_leaving_is_averted_where_a_channel_acts(panel: Panel) -> None:
    """A channel that stops after the third month averts nobody's leaving before it starts."""
    touches = panel.touches.copy()
    touches[:, :6, 0] = 0.0
    stocks = decayed_stocks(touches)
    rng = np.random.default_rng
    late = replace(panel, touches=touches)
    fit = STATIC.fit(late, stocks, rng=rng(0))
    found = panel_credit(fit, late, stocks, rng=rng(0), periods_apart=True).retention
    assert found.by_period is not None
    assert (found.by_period[:6, 0] == 0.0).all()
    assert (found.by_period[6:, 0] != 0.0).all()
    np.testing.assert_allclose(found.by_period.sum(axis=0), found.credit, rtol=1e-9)


def test_intervals_by_period_are_narrower_than_the_whole_and_not_narrower_than_its_share(
    panel: Panel,
) -> None:
    credits, apart = tables(panel)
    own = apart.filter((pl.col("outcome") == "spend") & (pl.col("channel") == "care"))
    widths = (own["high"] - own["low"]).to_numpy()
    whole = credits.filter((pl.col("outcome") == "spend") & (pl.col("channel") == "care"))
    width = (whole["high"] - whole["low"]).item()
    assert (widths < width).all()
    assert widths.sum() >= width


def test_an_experiment_scales_every_period(panel: Panel) -> None:
    treated = np.arange(panel.n_customers) % 2 == 0
    test = ChannelExperiment(
        name="test",
        channel="newsletter",
        outcome="spend",
        estimate=0.0,
        std_error=1e9,
        treated=treated,
        first_period=0,
    )
    settings, plan = AttributionSettings(replicates=12), Plan(default=STATIC)
    first = estimate_credit(panel, settings=settings, plan=plan, experiments=[test]).readings[0]
    measured = replace(test, estimate=first.model + first.model_std, std_error=first.model_std)
    credits, apart = tables(panel, experiments=[measured])
    mail, before = (
        table.filter((pl.col("channel") == "newsletter") & (pl.col("outcome") == "spend"))
        for table in (credits, tables(panel)[0])
    )
    assert mail["level_source"].item() == "experiment"
    moved = 1.0 + 0.5 * first.model_std / first.model
    assert mail["credit"].item() == pytest.approx(moved * before["credit"].item())
    assert moved > 1.05
    both = joined(credits, apart)
    np.testing.assert_allclose(both["sum"], both["credit"], rtol=1e-9)


def test_credit_that_is_not_there_is_not_there_by_period_either(panel: Panel) -> None:
    estimate = estimate_credit(panel, settings=AttributionSettings(replicates=0), plan=Plan(default=STATIC))
    credits = credit_table(panel, estimate, outcomes=("spend",), interval=0.95).with_columns(
        credit=pl.lit(None, dtype=pl.Float64), supported=pl.lit(False), reason=pl.lit("impossible")
    )
    found = credit_by_period(panel, estimate, credits, periods=PERIODS, interval=0.95)
    assert found["credit"].is_null().all()
    assert set(found["reason"]) == {"impossible"}


@pytest.mark.parametrize(
    ("period", "end", "labels"),
    [
        ("month", dt.date(2026, 2, 28), {"2026-01": dt.date(2026, 1, 31), "2026-02": dt.date(2026, 2, 28)}),
        ("month", dt.date(2026, 1, 9), {"2025-11": dt.date(2025, 11, 30), "2025-12": dt.date(2025, 12, 31)}),
        ("week", END, {"2025-12-22": dt.date(2025, 12, 28), "2025-12-29": END}),
    ],
)  # fmt: skip
def test_periods_are_named_by_the_calendar(period: str, end: dt.date, labels: dict[str, dt.date]) -> None:
    assert PeriodIndex.of(period, end).labels(2) == list(labels.items())
