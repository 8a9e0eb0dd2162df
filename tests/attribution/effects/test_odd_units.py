"""Tables of units that are odd: covariates that nobody knows, outcomes that are the treatment."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from attribution.effects.data.units import units_from_frame
from attribution.effects.design import EffectDesign
from attribution.effects.designs.observational import estimate_adjusted
from attribution.effects.effect import Effect


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
