"""A table of units that nobody assigned: adjustment, its gates on every row, instruments, whom to treat."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from attribution.effects.design import EffectDesign
from attribution.effects.estimators.instrument import fit_two_stage
from attribution.effects.estimators.nuisance import own_learner
from attribution.effects.run import estimate_effect
from histories.errors import ConfigError


def table(
    path: Path, *, n: int = 4000, pull: float = 1.0, effect: float = 2.0, seed: int = 0
) -> pl.DataFrame:
    """Units moved into treatment by x, which also moves the outcome; the metric before is known."""
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=n), rng.integers(0, 2, n).astype(float)
    treated = rng.random(n) < 1.0 / (1.0 + np.exp(-pull * x))
    before = 3.0 * x + rng.normal(size=n)
    y = 3.0 * x + effect * treated * (1.0 + z) / 1.5 + rng.normal(size=n)
    frame = pl.DataFrame({"unit": np.arange(n), "got": treated, "x": x, "z": z, "y": y, "y_before": before})
    frame = frame.with_columns(pl.col("got").cast(pl.Float64))
    frame.write_parquet(path / "units.parquet")
    return frame


def design(**changes: object) -> EffectDesign:
    entry: dict[str, object] = {
        "name": "voucher",
        "design": "observational",
        "table": {"path": "units.parquet"},
        "treatment": {"column": "got", "control": "0"},
        "outcomes": ["y"],
        "covariates": ["x", "z"],
    }
    return EffectDesign(**(entry | changes))  # type: ignore[arg-type]


def test_the_truth_is_found_where_the_naive_difference_is_twice_as_high(tmp_path: Path) -> None:
    table(tmp_path)
    rows = {(e.estimator, e.estimand): e for e in estimate_effect(design(), base_dir=tmp_path).effects}
    for key in (("aipw", "ATE"), ("aipw", "ATO"), ("aipw", "ATT"), ("lin", "ATE")):
        assert rows[key].supported, rows[key].reason
        assert rows[key].low < 2.0 < rows[key].high
    assert rows["naive", "ATE"].estimate > 4.0
    assert not rows["naive", "ATE"].supported


def test_what_was_measured_after_the_start_is_no_covariate(tmp_path: Path) -> None:
    table(tmp_path).with_columns(visits_after="y").write_parquet(tmp_path / "units.parquet")
    with pytest.raises(ConfigError, match="by its name visits_after was measured after the start"):
        estimate_effect(design(covariates=["x", "visits_after"]), base_dir=tmp_path)


def test_a_treatment_of_whole_stores_is_no_treatment_of_their_customers(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    store = pl.Series("store", np.arange(4000) % 20)
    treated = pl.Series("got", (rng.permutation(20) < 10).astype(float)[store])
    table(tmp_path).with_columns(store, treated).write_parquet(tmp_path / "units.parquet")
    effect, *others = estimate_effect(design(), base_dir=tmp_path).effects
    assert not any(one.supported for one in (effect, *others))
    assert 'each of the 20 values of "store" has one arm alone' in effect.reason


def test_without_overlap_every_row_of_the_whole_is_refused_the_regression_too(tmp_path: Path) -> None:
    table(tmp_path, pull=8.0)
    rows = {(e.estimator, e.estimand): e for e in estimate_effect(design(), base_dir=tmp_path).effects}
    for key in (("aipw", "ATE"), ("lin", "ATE")):
        assert not rows[key].supported
        assert "no overlap" in rows[key].reason


def test_a_hidden_cause_shows_in_the_metric_before(tmp_path: Path) -> None:
    table(tmp_path)
    found = estimate_effect(design(covariates=["z"]), base_dir=tmp_path).effects
    assert not any(effect.supported for effect in found)
    assert any("differed before the start" in (effect.reason or "") for effect in found)


def test_nothing_to_adjust_for_is_refused(tmp_path: Path) -> None:
    table(tmp_path).drop("y_before").write_parquet(tmp_path / "units.parquet")
    with pytest.raises(Exception, match="nothing to adjust for"):
        estimate_effect(design(covariates=[]), base_dir=tmp_path)
    with pytest.raises(ValidationError, match=r"needs table = .* treatment\.control"):
        design(treatment={"column": "got"})


def test_learners_of_ones_own_take_part(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression, Ridge

    table(tmp_path)
    mine = own_learner(Ridge(), LogisticRegression(), name="mine")
    first = estimate_effect(design(), base_dir=tmp_path, learners=[mine]).effects[0]
    assert first.supported
    assert first.low < 2.0 < first.high


def hidden(n: int, strength: float, seed: int) -> tuple[np.ndarray, ...]:
    """A hidden cause moves treatment and outcome; the letter z moves the treatment alone. The effect is 1."""
    rng = np.random.default_rng(seed)
    u, z = rng.normal(size=n), rng.integers(0, 2, n).astype(float)
    t = (strength * z + u + rng.normal(size=n) > 0.5).astype(float)
    return 1.0 * t + 2.0 * u + rng.normal(size=n), t, z, rng.normal(size=(n, 1))


def test_an_instrument_finds_what_adjustment_cannot_and_its_interval_covers() -> None:
    held = []
    for seed in range(60):
        fit = fit_two_stage(*hidden(1500, 1.0, seed))
        held.append(fit.low <= 1.0 <= fit.high)
    assert sum(held) >= 52  # 51 or fewer of 60 at probability .95 happens twice in a thousand


def test_a_useless_instrument_bounds_nothing_and_is_refused(tmp_path: Path) -> None:
    y, t, z, x = hidden(1500, 0.0, 5)
    fit = fit_two_stage(y, t, z, x)
    assert not np.isfinite(fit.high)
    frame = pl.DataFrame({"unit": np.arange(1500), "got": t, "x": x[:, 0], "letter": z, "y": y})
    frame.write_parquet(tmp_path / "units.parquet")
    chosen = design(covariates=["x"], instrument="letter")
    last = estimate_effect(chosen, base_dir=tmp_path).effects[-1]
    assert (last.estimator, last.estimand, last.supported) == ("two_stage", "LATE", False)
    assert "hardly moves the treatment" in last.reason


def experiment(path: Path, *, differs: bool, seed: int = 3) -> None:
    """An experiment whose effect is +2 for one half and -1 for the other, or 0.5 for all."""
    rng = np.random.default_rng(seed)
    n = 4000
    likes, noise = rng.integers(0, 2, n), rng.normal(size=n)
    treated = rng.random(n) < 0.5
    effect = np.where(likes == 1, 2.0, -1.0) if differs else np.full(n, 0.5)
    y = effect * treated + rng.normal(size=n)
    pl.DataFrame(
        {"unit": np.arange(n), "got": treated.astype(int), "likes": likes, "noise": noise, "y": y}
    ).write_parquet(path / "units.parquet")


def test_the_value_of_treating_those_who_gain_is_found(tmp_path: Path) -> None:
    experiment(tmp_path, differs=True)
    found = estimate_effect(design(design="targeting", covariates=["likes", "noise"]), base_dir=tmp_path)
    rows = {effect.estimand: effect for effect in found.effects}
    truth = {
        "recommended - observed": 0.75,  # 1 if all who gain are treated, .25 as it was
        "recommended - everybody": 0.5,
        "recommended - nobody": 1.0,
        "above random order": 0.375,
    }
    for estimand, value in truth.items():
        assert rows[estimand].supported, rows[estimand].reason
        assert rows[estimand].low < value < rows[estimand].high, estimand
    targets = found.pictures["targets"]
    assert targets["treat"].mean() == pytest.approx(0.5, abs=0.03)
    assert found.pictures["qini"]["gain"].max() > found.pictures["qini"]["random"].max()


def test_where_individuals_cannot_be_told_apart_no_rule_is_recommended(tmp_path: Path) -> None:
    experiment(tmp_path, differs=False)
    found = estimate_effect(design(design="targeting", covariates=["likes", "noise"]), base_dir=tmp_path)
    assert not any(effect.supported for effect in found.effects)
    assert "cannot be told apart" in found.effects[0].reason


def test_a_cost_above_every_effect_recommends_nobody(tmp_path: Path) -> None:
    experiment(tmp_path, differs=True)
    chosen = design(design="targeting", covariates=["likes", "noise"], cost_per_treated=5.0)
    found = estimate_effect(chosen, base_dir=tmp_path)
    assert not found.pictures["targets"]["treat"].any()
    assert {e.estimand: e for e in found.effects}["recommended - observed"].estimate == pytest.approx(
        2.25, abs=0.2
    )
