"""Time-varying contact in a survival model, and synthetic control for a single market."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.designs.synthetic_control import fit_synthetic_control
from attribution.effects.designs.time_varying import fit_hazard
from attribution.effects.run import estimate_effects
from benchmarks.worlds import simulate_care_world

START = date(2024, 1, 1)


def test_a_letter_without_effect_has_a_hazard_ratio_of_one_where_ever_contacted_has_less():
    made = simulate_care_world(5000, np.random.default_rng(2), idle_contacts=0.8)
    design = EffectDesign(
        name="letters",
        design="time_varying",
        treatment={"channel": "letter"},
        outcomes=["retention"],
        covariates=["score", "region"],
    )
    (effect,) = estimate_effects([design], tables=made.tables, observation_end=made.end.date()).effects
    assert effect.low <= 0 <= effect.high
    assert effect.supported, effect.reason
    customers = made.tables.customers.collect()
    ever = customers["customer_id"].is_in(made.tables.touchpoints.collect()["customer_id"].implode())
    days = (customers["ended_at"].fill_null(made.end.date()) - START).dt.total_days()
    rates = [
        customers["ended_at"].is_not_null().filter(side).sum() / days.filter(side).sum()
        for side in (ever, ~ever)
    ]
    assert rates[0] / rates[1] < 0.6


def test_the_hazard_ratio_of_a_contact_that_halves_leaving_is_found():
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(4000), 6)
    treated = rng.random(24_000) < 0.5
    p = 1 / (1 + np.exp(-(-2.0 - 0.7 * treated)))
    left = (rng.random(24_000) < p).astype(float)
    fit = fit_hazard(np.column_stack([np.ones(24_000), treated]), left, who)
    assert fit.coefficients[1] == pytest.approx(-0.7, abs=3 * np.sqrt(fit.covariance[1, 1]))


def test_a_survival_model_is_refused_where_leaving_is_not_recorded():
    made = simulate_care_world(500, np.random.default_rng(2), idle_contacts=0.8)
    design = EffectDesign(
        name="letters", design="time_varying", treatment={"channel": "letter"}, outcomes=["retention"]
    )
    tables = EffectTables(purchases=made.tables.purchases, touchpoints=made.tables.touchpoints)
    (effect,) = estimate_effects([design], tables=tables, observation_end=made.end.date()).effects
    assert "nobody knows who left" in effect.reason


def markets(rng: np.random.Generator, effect: float, steps: int = 40, change: int = 28) -> np.ndarray:
    """Twelve markets that load on two common courses; the first gains `effect` from the change on."""
    courses = np.cumsum(rng.normal(size=(steps, 2)), axis=0)
    y = 20 + courses @ rng.uniform(0, 1, size=(2, 12)) + 0.3 * rng.normal(size=(steps, 12))
    y[change:, 0] += effect
    return y


def test_the_weights_sum_to_one_and_follow_the_market():
    y = markets(np.random.default_rng(1), 0.0)
    mixed = 5 + 0.3 * y[:, 1] + 0.7 * y[:, 2]
    fit = fit_synthetic_control(mixed, y[:, 1:], 28)
    assert fit.weights[:2] == pytest.approx([0.3, 0.7], abs=0.01)
    assert fit.weights.sum() == pytest.approx(1, abs=1e-3)
    assert fit.fit < 0.01


def test_placebos_in_space_give_intervals_that_cover():
    covered = 0
    for seed in range(60):
        y = markets(np.random.default_rng(seed), 2.0)
        fits = [
            fit_synthetic_control(y[:, j], np.delete(y[:, 1:], j - 1, axis=1), 28).effect
            for j in range(1, 12)
        ]
        effect = fit_synthetic_control(y[:, 0], y[:, 1:], 28).effect
        covered += abs(effect - 2.0) < 2.2 * np.sqrt(np.mean(np.square(fits)))
    assert covered >= 52


def test_one_market_is_read_against_the_others(tmp_path: Path):
    y = markets(np.random.default_rng(4), 3.0)
    rows = [
        {"market": f"m{j}", "week": START + timedelta(weeks=t), "sales": y[t, j]}
        for t in range(40)
        for j in range(12)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "markets.csv")
    design = EffectDesign(
        name="pilot",
        design="synthetic_control",
        table={"path": "markets.csv", "columns": {"unit": "market", "date": "week"}},
        treatment={"arms": ["m0"], "intervention": "pilot"},
        outcomes=["sales"],
    )
    log = pl.LazyFrame({"name": ["pilot"], "date": [START + timedelta(weeks=28)]})
    result = estimate_effects([design], tables=EffectTables(interventions=log), base_dir=tmp_path)
    (effect,) = result.effects
    assert effect.low <= 3.0 <= effect.high
    assert effect.low > 0
    assert result.pictures["series"].filter("after").height == 12
