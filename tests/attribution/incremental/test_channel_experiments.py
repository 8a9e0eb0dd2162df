"""Randomised effects become experiments on a channel only where the panel can repeat their contrast."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from attribution.effects.design import EffectDesign, Treatment
from attribution.effects.effect import Effect, effects_frame
from attribution.incremental.channel_experiments import channel_experiments
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel

END = date(2026, 6, 30)
DESIGN = EffectDesign(
    name="newsletter test",
    design="randomised",
    treatment=Treatment(control="without", channel="newsletter"),
    outcomes=("spend", "retention"),
    follow_up_days=90,
)
ASSIGNMENTS = pl.DataFrame(
    {
        "experiment": ["newsletter test"] * 4,
        "customer_id": [1, 2, 3, 4],
        "arm": ["with", "without", "with", "without"],
        "assigned_at": [datetime(2026, 4, 1)] * 4,
    }
)


def effects(**changes: object) -> pl.DataFrame:
    known = {
        "name": "newsletter test",
        "treatment": "newsletter",
        "control": "without",
        "design": "randomised",
        "estimator": "lin",
        "estimand": "ATE",
        "estimate": 3.0,
        "std_error": 1.0,
        **changes,
    }
    return effects_frame([Effect(outcome=name, **known) for name in ("spend", "retention")])  # type: ignore[arg-type]


@pytest.fixture
def panel() -> Panel:
    made = simulate_panel("r7", n=5, periods=12, seed=1).panel
    return replace(made, customer_ids=pl.Series("customer_id", [1, 2, 3, 4, 5]))


def found(panel: Panel, design: EffectDesign = DESIGN, frame: pl.DataFrame | None = None) -> list[str]:
    experiments = channel_experiments(
        [design],
        effects() if frame is None else frame,
        ASSIGNMENTS,
        panel,
        period="month",
        observation_end=END,
    )
    return [experiment.outcome for experiment in experiments]


def test_customers_window_and_estimate_are_those_of_the_experiment(panel: Panel) -> None:
    first, _ = channel_experiments(
        [DESIGN], effects(), ASSIGNMENTS, panel, period="month", observation_end=END
    )
    np.testing.assert_array_equal(first.treated, [True, False, True, False, False])
    assert first.first_period == 9  # April is the tenth of twelve months
    assert (first.channel, first.estimate, first.std_error) == ("newsletter", 3.0, 1.0)


def test_retention_is_tested_only_where_leaving_is_recorded(panel: Panel) -> None:
    assert found(panel) == ["retention", "spend"]
    assert found(replace(panel, exit=None)) == ["spend"]


@pytest.mark.parametrize(
    "changes",
    [
        {"treatment": Treatment(control="without")},
        {"treatment": Treatment(control="without", channel="letter")},
        {"follow_up_days": 30},
        {"design": "dose"},
    ],
)
def test_other_contrasts_test_nothing(panel: Panel, changes: dict[str, object]) -> None:
    assert found(panel, replace(DESIGN, **changes)) == []


def test_an_unsupported_effect_tests_nothing(panel: Panel) -> None:
    assert found(panel, frame=effects(supported=False, reason="arms crossed")) == []
