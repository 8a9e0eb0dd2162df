"""Sample sizes against R's power.prop.test and power.t.test, and the command that prints them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from attribution.effects.power import PowerPlan, detectable_effect, experiment_power, units_needed
from histories.errors import ConfigError
from tributary.commands.planning import power


@pytest.mark.parametrize(
    ("plan", "effect", "per_arm"),
    [
        # power.prop.test(p1 = .50, p2 = .75, power = .90): n = 76.7
        (PowerPlan(baseline=0.50, power=0.90), 0.25, 77),
        # power.prop.test(p1 = .10, p2 = .12, power = .80): n = 3840.8
        (PowerPlan(baseline=0.10), 0.02, 3841),
        # power.t.test(delta = .5, sd = 1, power = .80): n = 63.8
        (PowerPlan(baseline=0.0, std_dev=1.0), 0.5, 64),
        # power.t.test(delta = 1, sd = 1, power = .90): n = 22.02
        (PowerPlan(baseline=3.0, std_dev=1.0, power=0.90), 1.0, 23),
    ],
)
def test_sample_sizes_match_r(plan, effect, per_arm):
    assert units_needed(plan, effect) == 2 * per_arm


@pytest.mark.parametrize("plan", [PowerPlan(baseline=0.2), PowerPlan(baseline=9.0, std_dev=4.0, arms=3)])
def test_the_detectable_effect_of_the_units_needed_is_the_effect(plan):
    assert detectable_effect(plan, units_needed(plan, 0.05)) == pytest.approx(0.05, rel=1e-3)


def test_the_power_is_the_share_of_experiments_that_find_the_effect():
    rng, plan = np.random.default_rng(2), PowerPlan(baseline=0.0, std_dev=1.0)
    control, treated = rng.normal(size=(4000, 50)), rng.normal(0.5, size=(4000, 50))
    error = np.sqrt((control.var(axis=1, ddof=1) + treated.var(axis=1, ddof=1)) / 50)
    found = np.abs(treated.mean(axis=1) - control.mean(axis=1)) / error > 1.984
    # 4,000 experiments: three standard errors are .022
    assert found.mean() == pytest.approx(experiment_power(plan, 0.5, 100), abs=0.022)


def test_the_same_metric_before_saves_units():
    alone, helped = (PowerPlan(baseline=5.0, std_dev=10.0, correlation=r) for r in (0.0, 0.8))
    assert units_needed(helped, 0.5) == pytest.approx(0.36 * units_needed(alone, 0.5), rel=0.01)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"baseline": 1.2}, "a share lies between 0 and 1"),
        ({"baseline": 0.1, "std_dev": -1.0}, "above 0"),
        ({"baseline": float("nan"), "std_dev": 1.0}, "baseline = nan cannot be"),
        ({"baseline": 0.1, "power": 0.01}, "between alpha and 1"),
        ({"baseline": 0.1, "arms": 0}, "at least 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(choices, message):
    with pytest.raises(ConfigError, match=message):
        PowerPlan(**choices)


@pytest.mark.parametrize("std_dev", [None, 1.0])
def test_what_no_sample_finds_and_no_two_groups_are_is_refused(std_dev):
    plan = PowerPlan(baseline=0.1, std_dev=std_dev)
    with pytest.raises(ConfigError, match=r"needs more than 1e\+12 units"):
        units_needed(plan, 1e-9)
    with pytest.raises(ConfigError, match="an effect of nan cannot be found"):
        units_needed(plan, float("nan"))
    with pytest.raises(ConfigError, match="0 units are too few for two groups"):
        experiment_power(plan, 0.1, 0)


def test_an_effect_that_anybody_sees_needs_the_fewest_units():
    assert units_needed(PowerPlan(baseline=1.0, std_dev=1.0), 1e300) == 4


def test_the_command_prints_units_effect_and_power():
    text = CliRunner().invoke(power, ["--baseline", "0.10", "--effect", "0.02"]).output
    assert text.startswith("7,682 units in 2 arms find an effect of 0.02 (+20.0%)")


def test_the_command_prints_json():
    result = CliRunner().invoke(power, ["--baseline", "0.10", "--units", "7682", "--json"])
    assert json.loads(result.output) == pytest.approx({"effect": 0.02, "units": 7682, "power": 0.8}, rel=1e-3)


def test_the_command_needs_an_effect_or_units():
    result = CliRunner().invoke(power, ["--baseline", "0.10"])
    assert isinstance(result.exception, ConfigError)
