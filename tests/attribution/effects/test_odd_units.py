"""Tables of units that are odd: covariates that nobody knows, outcomes that are the treatment."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from attribution.effects.data.unit_table import require_columns
from attribution.effects.data.units import units_from_frame
from attribution.effects.design import EffectDesign
from attribution.effects.designs.observational import estimate_adjusted
from attribution.effects.designs.randomised import estimate_randomised
from attribution.effects.effect import Effect
from attribution.effects.run import estimate_effects
from histories.errors import DataError, SchemaError

LOT = EffectDesign(
    name="lot",
    design="randomised",
    table={"path": "units.parquet"},
    treatment={"column": "arm", "control": "none"},
    outcomes=("y",),
)


def table(n: int = 3000, seed: int = 1) -> pl.DataFrame:
    """A treatment of 2 that is given to those whose `x` is large, which raises the outcome as well."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    w = rng.random(n) < 1.0 / (1.0 + np.exp(-0.8 * x))
    y = 0.7 * x + 2.0 * w + rng.normal(size=n)
    return pl.DataFrame({"unit": range(n), "x": x, "z": rng.normal(size=n), "w": w.astype(int), "y": y})


def estimate(frame: pl.DataFrame, *covariates: str) -> Effect:
    design = EffectDesign(
        name="odd",
        design="observational",
        table={"path": "none"},
        treatment={"column": "w", "control": "0"},
        outcomes=("y",),
        covariates=covariates,
    )
    units = units_from_frame(frame, design)
    found = estimate_adjusted(units, design, treated=units.arm != "0", rng=np.random.default_rng(0))
    return found.effects[0]


def hide(frame: pl.DataFrame, every: int, **changes: Any) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(pl.col("unit") % every == 0).then(None).otherwise(pl.col("x")).alias("x"), **changes
    )


@pytest.mark.parametrize(("every", "words"), [(1, "up to 100% of the units"), (3, "up to 33% of the units")])
def test_what_nothing_adjusts_for_is_not_supported(every: int, words: str) -> None:
    effect = estimate(hide(table(), every), "x", "z")
    assert effect.estimate is not None
    assert effect.estimate > 2.08  # too much
    assert not effect.supported
    assert f"x unknown for {words}, where nothing adjusts for it" in str(effect.reason)


def test_a_covariate_that_is_unknown_of_few_or_moves_nothing_costs_nothing() -> None:
    few = estimate(hide(table(), 200), "x", "z")
    assert few.supported, few.reason
    assert few.low <= 2.0 <= few.high  # type: ignore[operator]
    idle = table().with_columns(z=pl.when(pl.col("unit") % 2 == 0).then(None).otherwise(pl.col("z")))
    half = estimate(idle, "x", "z")
    assert half.supported, half.reason
    assert half.low <= 2.0 <= half.high  # type: ignore[operator]


def test_a_text_that_nobody_knows_counts_as_unknown_too() -> None:
    level = pl.when(pl.col("x") > 0).then(pl.lit("high")).otherwise(pl.lit("low"))
    effect = estimate(
        table().with_columns(x=pl.when(pl.col("unit") % 4 == 0).then(None).otherwise(level)), "x"
    )
    assert not effect.supported
    assert "x unknown for up to 25% of the units" in str(effect.reason)


def test_an_outcome_that_is_the_treatment_and_one_that_hardly_happens_are_no_effect() -> None:
    same = estimate(table().with_columns(y=pl.col("w").cast(pl.Float64)), "x")
    rare = estimate(table().with_columns(y=(pl.col("unit") % 500 == 0).cast(pl.Float64)), "x")
    for effect in (same, rare):
        assert not effect.supported
        assert "too few events for an interval" in str(effect.reason)


def experiment(n: int = 1000) -> pl.DataFrame:
    rng = np.random.default_rng(2)
    sent = rng.random(n) < 0.5
    return pl.DataFrame(
        {
            "arm": np.where(sent, "mail", "none"),
            "copy": np.where(sent, "A", "B"),
            "same": [3.0] * n,
            "unknown": pl.Series([None] * n, dtype=pl.Float64),
            "age": rng.integers(18, 80, n),
            "y": rng.normal(10 + sent, 3),
        }
    )


def by_lot(frame: pl.DataFrame, *covariates: str, **treatment: Any) -> list[Effect]:
    design = EffectDesign(
        name="lot",
        design="randomised",
        table={"path": "none"},
        treatment={"column": "arm", "control": "none", **treatment},
        outcomes=("y",),
        covariates=covariates,
    )
    return list(
        estimate_randomised(units_from_frame(frame, design), design, rng=np.random.default_rng(0)).effects
    )


@pytest.mark.parametrize("covariate", ["same", "unknown"])
def test_a_covariate_that_is_the_same_for_all_speaks_against_no_experiment(covariate: str) -> None:
    plain, adjusted = by_lot(experiment(), covariate)
    assert plain.supported, plain.reason
    assert adjusted.supported, adjusted.reason
    assert adjusted.estimate == pytest.approx(plain.estimate)


def test_a_covariate_that_is_a_copy_of_the_arm_leaves_no_figure_supported() -> None:
    effects = by_lot(experiment(), "copy", "age")
    assert not any(effect.supported for effect in effects)
    assert "covariates predict the arm" in str(effects[0].reason)


@pytest.mark.parametrize(
    ("covariates", "treatment", "said"),
    [
        (("arm",), {}, 'the covariate "arm" is the arm itself'),
        (("y",), {}, 'the covariate "y" is an outcome itself'),
        (
            (),
            {"shares": {"male": 0.5, "none": 0.5}},
            'names the arm "male", which no unit is in; did you mean "mail"?',
        ),
    ],
)
def test_what_no_experiment_can_mean_is_refused(
    covariates: tuple[str, ...], treatment: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        by_lot(experiment(), *covariates, **treatment)


def test_arms_that_differ_by_letter_case_alone_are_not_compared() -> None:
    some = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("arm").str.to_uppercase()).otherwise("arm")
    with pytest.raises(DataError, match="'MAIL', 'NONE', 'mail', 'none'"):
        by_lot(experiment().with_columns(arm=some))


def test_units_that_no_figure_rests_on_are_counted(tmp_path: Path) -> None:
    gone = pl.int_range(pl.len())
    frame = experiment().with_columns(
        arm=pl.when(gone >= 5).then("arm"), y=pl.when((gone < 5) | (gone >= 12)).then("y")
    )
    frame.write_parquet(tmp_path / "units.parquet")
    found = estimate_effects([LOT], base_dir=tmp_path)
    assert found.notes == (
        'effect "lot": 5 of 1000 rows have no arm and are left out',
        'effect "lot": 7 of 1000 rows have no y and are left out',
    )
    assert found.effects[0].n_treated + found.effects[0].n_control == 988


@pytest.mark.parametrize(
    ("column", "told"), [("survey_weight", True), ("wt", True), ("weighted_score", False), ("height", False)]
)
def test_weights_that_nothing_uses_are_said(tmp_path: Path, column: str, told: bool) -> None:
    experiment().with_columns(pl.lit(1.5).alias(column)).write_parquet(tmp_path / "units.parquet")
    notes = estimate_effects([LOT], base_dir=tmp_path).notes
    assert any(f'column "{column}" looks like weights' in note for note in notes) == told
    named = replace(LOT, covariates=(column,))
    assert not estimate_effects([named], base_dir=tmp_path).notes


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_unit_of_a_covariate_changes_nothing(unit: float) -> None:
    effect = estimate(table().with_columns(x=pl.col("x") * unit), "x")
    assert effect.supported, effect.reason
    assert effect.estimate == pytest.approx(estimate(table(), "x").estimate)


def test_an_estimate_that_no_two_units_differ_by_is_not_supported() -> None:
    far = pl.when(pl.col("unit") % 1000 == 7).then(1e12).otherwise(pl.col("x"))
    effect = estimate(table().with_columns(x=far), "x")
    assert effect.estimate is not None
    assert abs(effect.estimate) > 1e3
    assert not effect.supported
    assert "larger than any difference between two units" in str(effect.reason)


def written(tmp_path: Path, outcomes: list[str]) -> tuple[float | None, str]:
    """Estimate and reason of a small experiment whose outcome is written in these texts in turn."""
    rows = (f"{'mail' if k % 2 else 'none'},{outcomes[(k // 2) % len(outcomes)]}" for k in range(400))
    (tmp_path / "units.csv").write_text("arm,y\n" + "\n".join(rows) + "\n")
    effect = estimate_effects([replace(LOT, table={"path": "units.csv"})], base_dir=tmp_path).effects[0]
    return effect.estimate, str(effect.reason)


def test_an_outcome_of_yes_and_no_is_a_flag(tmp_path: Path) -> None:
    assert written(tmp_path, ["yes", "no", "No", "Y"])[0] == 0.0
    assert written(tmp_path, ["1", "0"])[0] == 0.0


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1"] * 199 + ["oops"], 'no number and no flag in 2 of 400 rows (first: "oops")'),
        (['"1,5"'], "If that is a decimal comma"),
        (["4%"], "A percentage is not read"),
        (["Ann Smith"], '(first: "Xxx Xxxxx")'),
    ],
)
def test_an_outcome_that_is_no_number_is_told_with_its_count(
    tmp_path: Path, texts: list[str], said: str
) -> None:
    assert said in written(tmp_path, texts)[1]


def test_a_table_with_another_separator_is_told_so() -> None:
    with pytest.raises(SchemaError, match='is separator = ";" missing'):
        require_columns(["arm;y"], ["y"], "x")
