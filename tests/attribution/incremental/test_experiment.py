"""Experiments test the credits: they confirm, combine for one channel, or refute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from attribution.incremental.experiment import ChannelExperiment, channel_contrast, read_experiment
from attribution.incremental.plan import Plan
from attribution.incremental.regression import STATIC, PanelRegressionFit
from attribution.incremental.stocks import DECAY, decayed_stocks
from attribution.incremental.table import incremental_credit
from attribution.settings import AttributionSettings
from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel

N = 5_000
SETTINGS = AttributionSettings(replicates=4)


@pytest.fixture(scope="module")
def company() -> SimulatedPanel:
    return simulate_panel("experiment", n=N, periods=18, seed=4)


@pytest.fixture(scope="module")
def seen(company: SimulatedPanel) -> Panel:
    """The panel with satisfaction seen, so that the regression is right."""
    return replace(
        company.panel, time_covariates=company.latent["u"][:, :, None], time_covariate_names=("u",)
    )


def measured(company: SimulatedPanel, outcome: str) -> ChannelExperiment:
    """The experiment as an analyst reads it: difference in means of the two halves."""
    panel = company.panel
    assert panel.exit is not None
    assert company.assignment is not None
    y = panel.exit >= panel.n_periods if outcome == "retention" else panel.spend.sum(axis=1)
    arms = [y[chosen].astype(float) for chosen in (company.assignment, ~company.assignment)]
    return ChannelExperiment(
        name="community closed",
        channel=str(company.experiment),
        outcome=outcome,
        estimate=float(arms[0].mean() - arms[1].mean()),
        std_error=float(np.sqrt(sum(arm.var(ddof=1) / len(arm) for arm in arms))),
        treated=company.assignment,
        first_period=0,
    )


def fitted(panel: Panel) -> PanelRegressionFit:
    return STATIC.fit(panel, decayed_stocks(panel.touches), rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def right(seen: Panel) -> PanelRegressionFit:
    return fitted(seen)


@pytest.mark.parametrize("outcome", ["retention", "spend"])
def test_the_contrast_of_a_right_model_is_the_true_one(
    company: SimulatedPanel, seen: Panel, right: PanelRegressionFit, outcome: str
) -> None:
    assert company.contrast is not None
    treated = seen.take(np.flatnonzero(company.assignment))
    found = channel_contrast(
        right, treated, channel="community", first_period=0, decay=DECAY, rng=np.random.default_rng(0)
    )
    assert found[outcome] == pytest.approx(company.contrast[outcome], rel=0.35)  # 2 sd of the fit


def test_withholding_from_the_last_period_loses_only_its_own_touches(
    seen: Panel, right: PanelRegressionFit
) -> None:
    rng = np.random.default_rng(0)
    whole = channel_contrast(right, seen, channel="community", first_period=0, decay=DECAY, rng=rng)
    tail = channel_contrast(right, seen, channel="community", first_period=17, decay=DECAY, rng=rng)
    assert 0 < tail["spend"] < 0.2 * whole["spend"]
    assert 0 < tail["retention"] < 0.2 * whole["retention"]


def test_a_right_model_agrees_and_a_selected_one_is_refuted(
    company: SimulatedPanel, seen: Panel, right: PanelRegressionFit
) -> None:
    experiment, rng = measured(company, "spend"), np.random.default_rng(0)
    agreeing = read_experiment(experiment, right, seen, relative_error=0.1, decay=DECAY, rng=rng)
    unaware = replace(company.panel, proxies=np.zeros((N, 0)), proxy_names=())
    wrong = read_experiment(experiment, fitted(unaware), unaware, relative_error=0.1, decay=DECAY, rng=rng)
    assert not agreeing.refuted
    assert wrong.refuted
    assert wrong.model > 2 * experiment.estimate
    assert "refuted" in wrong.words


def test_agreement_combines_one_channel_and_leaves_the_others(company: SimulatedPanel, seen: Panel) -> None:
    arguments = {"settings": SETTINGS, "outcomes": ["spend"], "plan": Plan(default=STATIC)}
    alone = incremental_credit(seen, **arguments)
    tested = incremental_credit(seen, **arguments, experiments=[measured(company, "spend")])
    both = tested.join(alone.select("level", "channel", before="credit"), on=["level", "channel"])
    channels = both.filter(pl.col("level") == "channel")
    changed = channels.filter((pl.col("credit") - pl.col("before")).abs() > 1e-6)
    assert changed["channel"].to_list() == ["community"]
    assert changed["level_source"].to_list() == ["experiment"]
    assert set(channels.filter(pl.col("channel") != "community")["level_source"]) == {"observational"}
    total = both.filter(pl.col("level") == "total")["credit"].item()
    rest = both.filter(pl.col("level") == "baseline")["credit"].item()
    assert channels["credit"].sum() + rest == pytest.approx(total, rel=1e-9)


def test_a_refuted_outcome_is_not_supported_and_another_is_untouched(
    company: SimulatedPanel, seen: Panel
) -> None:
    impossible = replace(measured(company, "spend"), estimate=-500.0)
    table = incremental_credit(seen, settings=SETTINGS, plan=Plan(default=STATIC), experiments=[impossible])
    supported = dict(table.group_by("outcome").agg(pl.col("supported").any()).iter_rows())
    assert not supported["spend"]
    assert supported["retention"]
    reason = table.filter(pl.col("outcome") == "spend")["reason"][0]
    assert 'refuted by the experiment "community closed"' in reason


@pytest.mark.parametrize(
    ("relative_error", "expected"),
    [(0.0, "model"), (1e6, "experiment")],
)
def test_the_surer_of_the_two_prevails(
    company: SimulatedPanel,
    seen: Panel,
    right: PanelRegressionFit,
    relative_error: float,
    expected: str,
) -> None:
    experiment = measured(company, "spend")
    reading = read_experiment(
        experiment,
        right,
        seen,
        relative_error=relative_error,
        decay=DECAY,
        rng=np.random.default_rng(0),
    )
    surer = reading.model if expected == "model" else experiment.estimate
    assert reading.combined == pytest.approx(surer, rel=1e-6)


def test_equal_errors_meet_half_way(company: SimulatedPanel, seen: Panel, right: PanelRegressionFit) -> None:
    rng = np.random.default_rng(0)
    experiment = measured(company, "spend")
    model = read_experiment(experiment, right, seen, relative_error=0.0, decay=DECAY, rng=rng).model
    alike = replace(experiment, estimate=1.2 * model, std_error=0.1 * abs(model))
    reading = read_experiment(alike, right, seen, relative_error=0.1, decay=DECAY, rng=rng)
    assert reading.combined == pytest.approx(1.1 * model, rel=1e-9)
    assert reading.z == pytest.approx(0.2 / np.sqrt(0.02), rel=1e-9)
    assert reading.combined_std == pytest.approx(0.1 * abs(model) / np.sqrt(2), rel=1e-9)
