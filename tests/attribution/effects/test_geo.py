"""Tests in some markets: planned on their own past, read against the others, refused where none helps."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy import optimize

from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.designs.geo import plan_markets
from attribution.effects.designs.synthetic_control import fit_synthetic_control, past_error
from attribution.effects.effect import Effect
from attribution.effects.findings import EffectsResult
from attribution.effects.run import estimate_effects
from histories.arrays import Float
from histories.errors import ConfigError, DataError, SchemaError
from tributary.cli import cli

START = date(2023, 1, 2)
STEPS, HISTORY = 8, 88


def company(seed: int, *, noise: float = 0.03, markets: int = 14, steps: int = HISTORY + STEPS) -> Float:
    """Sales of markets of very unequal size that share a season and two courses; small ones are louder."""
    rng = np.random.default_rng(seed)
    size = 1000.0 * np.exp(rng.normal(0.0, 0.8, markets))
    courses = np.cumsum(rng.normal(0.0, 0.02, (steps, 2)), axis=0) @ rng.normal(0.0, 0.5, (2, markets))
    season = np.outer(0.15 * np.sin(np.arange(steps) / 8.3), rng.uniform(0.5, 1.5, markets))
    own = np.zeros((steps, markets))
    for t in range(1, steps):
        own[t] = 0.5 * own[t - 1] + rng.normal(size=markets)
    return np.asarray(size * np.exp(courses + season + noise * own * np.sqrt(1000.0 / size)))


def table(y: Float) -> pl.DataFrame:
    steps, markets = y.shape
    return pl.DataFrame(
        {
            "unit": [f"m{j:02d}" for j in range(markets)] * steps,
            "date": [START + timedelta(weeks=t) for t in range(steps) for _ in range(markets)],
            "sales": y.ravel(),
        }
    )


def read(y: Float, arms: tuple[str, ...], folder: Path) -> Effect:
    table(y).write_parquet(folder / "markets.parquet")
    design = EffectDesign(
        name="pilot",
        design="synthetic_control",
        table={"path": "markets.parquet"},
        treatment={"arms": arms, "intervention": "pilot"},
        outcomes=("sales",),
    )
    log = pl.LazyFrame({"name": ["pilot"], "date": [START + timedelta(weeks=HISTORY)]})
    (effect,) = estimate_effects([design], tables=EffectTables(interventions=log), base_dir=folder).effects
    return effect


def test_weights_are_those_of_the_quadratic_programme() -> None:
    y = company(5)
    treated, donors, at = y[:, 0], y[:, 1:], HISTORY
    fit = fit_synthetic_control(treated, donors, at)
    target, others = ((part[:at] - part[:at].mean(axis=0)) / 1000.0 for part in (treated, donors))
    found = optimize.minimize(
        lambda w: float(((target - others @ w) ** 2).mean()),
        np.full(13, 1 / 13),
        jac=lambda w: -2.0 * others.T @ (target - others @ w) / at,
        bounds=[(0.0, 1.0)] * 13,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert (fit.fit / 1000.0) ** 2 == pytest.approx(found.fun, rel=1e-3)
    assert fit.weights == pytest.approx(found.x, abs=5e-3)


def test_a_planned_test_finds_the_lift_where_before_and_after_misses(tmp_path: Path) -> None:
    lift, errors, naive, covered, found, alarms, promised = 0.10, [], [], 0, 0, 0, []
    for seed in range(10):
        y = company(seed)
        plan = plan_markets(table(y[:HISTORY]), outcome="sales", steps=STEPS, lift=lift, sizes=(1,))
        if plan.drawn is None:
            assert plan.refusal is not None
            continue
        assert plan.refusal is None
        promised.append(plan.sets.filter(pl.col("markets") == " + ".join(plan.drawn))["power"][0])
        chosen = [int(name[1:]) for name in plan.drawn]
        lifted = y.copy()
        lifted[HISTORY:, chosen] *= 1.0 + lift
        truth = float((lifted - y)[HISTORY:, chosen].mean())
        effect = read(lifted, plan.drawn, tmp_path)
        assert effect.n_treated == len(chosen)
        assert effect.low is not None
        errors.append(effect.estimate / truth - 1.0)
        naive.append(
            (lifted[HISTORY:, chosen].mean() - lifted[HISTORY - STEPS : HISTORY, chosen].mean()) / truth - 1
        )
        covered += effect.low <= truth <= effect.high
        found += effect.low > 0.0
        nothing = read(y, plan.drawn, tmp_path)
        alarms += not nothing.low <= 0.0 <= nothing.high
    assert np.abs(errors).mean() < 0.5 * np.abs(naive).mean()
    assert len(errors) >= 8
    assert covered >= len(errors) - 1
    assert alarms <= 1
    assert found >= 0.7 * len(errors)
    assert min(promised) >= 0.8


def test_a_lift_that_no_set_finds_is_refused_with_the_smallest_that_one_does() -> None:
    plan = plan_markets(table(company(3)), outcome="sales", steps=STEPS, lift=0.005, sizes=(1, 2))
    assert plan.drawn is None
    assert plan.refusal is not None
    assert "no set of markets finds a lift of +0.5% in 8 steps" in plan.refusal
    smallest = plan.sets.filter(pl.col("false_alarms") <= 0.1)
    assert plan.sets["detectable"].is_sorted()
    assert smallest["detectable"][0] > 0.005
    assert smallest["markets"][0] in plan.refusal
    assert not plan.sets["finds"].any()


def test_louder_markets_find_less_and_a_treated_market_is_measured_by_its_own_noise() -> None:
    quiet, loud = (
        plan_markets(table(company(4, noise=noise)), outcome="sales", steps=STEPS, lift=0.1, sizes=(1,))
        for noise in (0.02, 0.08)
    )
    joined = quiet.sets.join(loud.sets, on="markets")
    assert (joined["detectable_right"] > joined["detectable"]).mean() > 0.8
    y = company(4)
    sizes = y.mean(axis=0)
    errors = [past_error(y[:, j], np.delete(y, j, axis=1), HISTORY, STEPS) / sizes[j] for j in range(14)]
    assert np.corrcoef(np.log(sizes), np.log(errors))[0, 1] < -0.3  # large ones are relatively quiet


def test_too_little_past_few_markets_and_odd_tables_are_said() -> None:
    y = company(1)
    with pytest.raises(DataError, match=r"9 markets and 51 steps of past"):
        plan_markets(table(y[:40]), outcome="sales", steps=STEPS, lift=0.1, sizes=(1,))
    with pytest.raises(DataError, match=r"7 markets with 96 steps each"):
        plan_markets(table(y[:, :7]), outcome="sales", steps=STEPS, lift=0.1)
    with pytest.raises(ConfigError, match=r"lift = 0\.0 cannot be"):
        plan_markets(table(y), outcome="sales", steps=STEPS, lift=0.0)
    with pytest.raises(SchemaError, match='no column "revenue"'):
        plan_markets(table(y), outcome="revenue", steps=STEPS, lift=0.1)
    words = table(y).with_columns(pl.col("sales").cast(pl.String))
    with pytest.raises(SchemaError, match="sales holds String"):
        plan_markets(words, outcome="sales", steps=STEPS, lift=0.1)
    bad = table(y).with_columns(date=pl.lit("soon"))
    with pytest.raises(SchemaError, match="1344 of 1344 dates are no days"):
        plan_markets(bad, outcome="sales", steps=STEPS, lift=0.1)
    late = table(y).filter((pl.col("unit") != "m03") | (pl.col("date") > START + timedelta(weeks=20)))
    plan = plan_markets(late, outcome="sales", steps=STEPS, lift=0.1, sizes=(1,))
    assert plan.left_out == ("m03",)
    assert "m03" not in plan.markets


def test_the_command_says_which_markets_to_treat_and_how_to_read_the_test(tmp_path: Path) -> None:
    made = table(company(0)[:HISTORY]).rename({"unit": "city", "date": "week"})
    made.write_csv(tmp_path / "cities.csv")
    asked = ["power", "--geo", str(tmp_path / "cities.csv"), "--unit", "city", "--date", "week"]
    asked += ["--outcome", "sales", "--markets", "1"]
    told = CliRunner().invoke(cli, [*asked, "--effect", "0.15"])
    assert told.exit_code == 0, told.output
    assert "A test of 8 steps in some of 14 markets" in told.output
    assert 'design = "synthetic_control", treatment = { arms = ["m' in told.output
    refused = CliRunner().invoke(cli, [*asked, "--effect", "0.001"])
    assert refused.exit_code != 0
    assert "no set of markets finds a lift of +0.1%" in str(refused.exception)
    config = tmp_path / "pilot.toml"
    config.write_text(
        '[inputs]\ntransactions = "none.csv"\n[[effects]]\nname = "pilot"\ndesign = "synthetic_control"\n'
        'table = { path = "cities.csv", columns = { unit = "city", date = "week" } }\noutcomes = ["sales"]\n'
    )
    by_config = CliRunner().invoke(
        cli, ["power", "--geo", str(config), "--effect", "0.15", "--markets", "1", "--json"]
    )
    assert by_config.exit_code == 0, by_config.output
    assert '"drawn"' in by_config.output
    without = CliRunner().invoke(cli, [*asked[:3], "--effect", "0.1"])
    assert "give --outcome" in str(without.exception)
    assert "give --baseline" in str(CliRunner().invoke(cli, ["power", "--units", "10"]).exception)


def of_log(y: Float, folder: Path, log: dict[str, list[object]], lost: int = 0) -> EffectsResult:
    """The effect on m00 by a log of changes; of the last market `lost` rows are missing."""
    table(y).filter((pl.col("unit") != "m13") | (pl.int_range(pl.len()).over("unit") >= lost)).write_parquet(
        folder / "markets.parquet"
    )
    design = EffectDesign(
        name="pilot",
        design="synthetic_control",
        table={"path": "markets.parquet"},
        treatment={"arms": ["m00"], "intervention": "pilot"},
        outcomes=("sales",),
    )
    return estimate_effects([design], tables=EffectTables(interventions=pl.LazyFrame(log)), base_dir=folder)


def test_markets_that_changed_themselves_or_lack_dates_are_no_comparison(tmp_path: Path) -> None:
    y, day = company(5), START + timedelta(weeks=HISTORY)
    for j in range(1, 6):  # the others of a roll-out begin two weeks later, and rise by a third
        y[HISTORY + 2 :, j] *= 4 / 3
    log = {
        "name": ["pilot", *[f"wave {j}" for j in range(1, 6)]],
        "date": [day, *[day + timedelta(weeks=2)] * 5],
        "channel": ["m00", *[f"m{j:02d}" for j in range(1, 6)]],
    }
    pure = of_log(np.delete(y, range(1, 6), axis=1), tmp_path, {**log, "channel": ["m00", *["x"] * 5]})
    result = of_log(y, tmp_path, log)
    (effect,) = result.effects
    assert effect.estimate == pytest.approx(pure.effects[0].estimate)
    assert effect.n_control == 8
    assert "5 other markets changed something themselves" in result.notes[0]
    wrong = of_log(y, tmp_path, {**log, "channel": [None] * 6}).effects[0]
    assert abs(wrong.estimate - effect.estimate) > 0.1 * abs(y[:, 0].mean())

    short = of_log(y, tmp_path, {**log, "channel": ["m00", *["m01"] * 5]}, lost=3)
    assert short.effects[0].n_control == 11
    assert "1 other markets lack a value on some date" in short.notes[0]


def test_a_change_with_two_days_or_beside_another_is_refused(tmp_path: Path) -> None:
    y, day = company(5), START + timedelta(weeks=HISTORY)
    later = day + timedelta(weeks=2)
    log = {"name": ["pilot", "pilot"], "date": [later, day], "channel": [None, None]}
    assert "is in the log on 2 days" in of_log(y, tmp_path, log).effects[0].reason
    log = {"name": ["pilot", "prices"], "date": [day, later], "channel": [None, "m00"]}
    (effect,) = of_log(y, tmp_path, log).effects
    assert not effect.supported
    assert '"prices" changed there from then on, too' in effect.reason
