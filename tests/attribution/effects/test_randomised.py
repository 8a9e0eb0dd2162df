"""Randomised experiments: the published mailing, arms, sample ratio, CUPED, sequential reading."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from attribution.effects.data.units import read_units, segment_labels, units_from_frame
from attribution.effects.design import EffectDesign
from attribution.effects.designs.randomised import anytime_half_width, cuped, estimate_randomised
from attribution.effects.effect import EFFECTS_SCHEMA, Effect, effects_frame, holm
from attribution.effects.estimators.regression import mean_difference
from attribution.effects.run import estimate_effect, estimate_effects
from histories.errors import ConfigError, DataError, SchemaError, TributaryError
from tests.honesty import claimed_over_seen

HILLSTROM = Path("../shared/data/hillstrom")
needs_hillstrom = pytest.mark.skipif(
    not HILLSTROM.exists(), reason="the public mailing data are read from ../shared/data, which is not here"
)


def mailing(**choices: object) -> EffectDesign:
    entry = {
        "name": "mailing test",
        "design": "randomised",
        "table": {"path": "hillstrom_email.parquet", "columns": {"unit": "customer_id"}},
        "treatment": {"column": "segment", "control": "No E-Mail"},
        "outcomes": ["visit", "conversion", "spend"],
    }
    return EffectDesign(**{**entry, **choices})


def experiment(
    n: int = 4000, *, effect: float = 1.0, seed: int = 3, arms: tuple[str, ...] = ("old", "new")
) -> pl.DataFrame:
    """y = 10 + 2 x + effect [arm new] + noise, with x measured before the start."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    arm = rng.permutation(np.resize(np.array(arms), n))
    y = 10 + 2 * x + effect * (arm == "new") + rng.normal(size=n)
    return pl.DataFrame({"unit": np.arange(n), "arm": arm, "y": y, "y_before": 2 * x, "x": x})


def design(**choices: object) -> EffectDesign:
    entry = {"name": "test", "design": "randomised", "treatment": {"control": "old"}, "outcomes": ["y"]}
    return EffectDesign(**{**entry, **choices})


def estimate(frame: pl.DataFrame, **choices: object) -> list[Effect]:
    chosen = design(**choices)
    found = estimate_randomised(units_from_frame(frame, chosen), chosen, rng=np.random.default_rng(0))
    return list(found.effects)


@needs_hillstrom
@pytest.mark.parametrize(
    ("treatment", "outcome", "estimate", "low", "high"),
    [
        ("(any)", "visit", 0.0609, 0.0554, 0.0663),
        ("(any)", "conversion", 0.00495, 0.00355, 0.00636),
        ("(any)", "spend", 0.597, 0.376, 0.817),
        ("Mens E-Mail", "visit", 0.0766, 0.0766 - 1.96 * 0.0034, 0.0766 + 1.96 * 0.0034),
        ("Womens E-Mail", "visit", 0.0452, 0.0452 - 1.96 * 0.0032, 0.0452 + 1.96 * 0.0032),
        ("Mens E-Mail", "spend", 0.770, 0.770 - 1.96 * 0.145, 0.770 + 1.96 * 0.145),
        ("Womens E-Mail", "spend", 0.424, 0.424 - 1.96 * 0.130, 0.424 + 1.96 * 0.130),
    ],
)
def test_effects_of_the_mailing_match_the_published_experiment(treatment, outcome, estimate, low, high):
    frame = estimate_effect(mailing(outcomes=[outcome]), base_dir=HILLSTROM).frame
    row = frame.filter(pl.col("treatment") == treatment, estimator="difference_in_means").row(0, named=True)
    figures = [row["estimate"], row["low"], row["high"]]
    # published to three digits
    assert figures == pytest.approx([estimate, low, high], rel=0.006)
    assert row["supported"]


@needs_hillstrom
def test_adjusted_estimators_agree_with_the_difference_in_means_on_the_experiment():
    covariates = ["history", "recency", "mens", "womens", "zip_code", "newbie", "channel"]
    result = estimate_effect(mailing(covariates=covariates), base_dir=HILLSTROM)
    by_estimator = result.frame.filter(treatment="(any)").pivot(
        "estimator", index="outcome", values="estimate"
    )
    assert by_estimator["lin"].to_list() == pytest.approx(
        by_estimator["difference_in_means"].to_list(), rel=0.01
    )


@needs_hillstrom
def test_a_result_prints_each_effect_with_interval_and_sample_size():
    text = str(estimate_effect(mailing(outcomes=["visit"]), base_dir=HILLSTROM))
    assert "0.06088" in text
    assert "[0.05544, 0.06633]" in text
    assert "42,694" in text


def test_intervals_cover_the_effect_in_nineteen_of_twenty_experiments():
    covered = {"difference_in_means": 0, "cuped": 0, "lin": 0}
    widths = dict.fromkeys(covered, 0.0)
    found = {name: ([], []) for name in covered}
    for seed in range(300):
        for effect in estimate(experiment(400, seed=seed), covariates=["x"]):
            covered[effect.estimator] += effect.low <= 1.0 <= effect.high
            widths[effect.estimator] += effect.high - effect.low
            found[effect.estimator][0].append(effect.estimate)
            found[effect.estimator][1].append(effect.std_error)
    assert all(275 <= count <= 295 for count in covered.values()), covered
    assert all(0.9 < claimed_over_seen(*pair) < 1.1 for pair in found.values())
    # y's variance is 5, of which the metric before explains 4
    assert widths["cuped"] == pytest.approx(widths["difference_in_means"] / np.sqrt(5), rel=0.05)
    assert widths["lin"] == pytest.approx(widths["cuped"], rel=0.05)


def test_a_sample_ratio_mismatch_marks_every_figure():
    frame = experiment().filter((pl.col("arm") != "new") | (pl.col("unit") % 10 != 0))
    effects = estimate(frame, treatment={"control": "old", "shares": {"old": 0.5, "new": 0.5}})
    assert all(effect.estimate is not None and not effect.supported for effect in effects)
    assert "sample ratio mismatch" in effects[0].reason


def of_stores(frame: pl.DataFrame, *, stores: int = 20) -> pl.DataFrame:
    """The same units in stores, half of which have each arm, with a tenth of the noise common to a store."""
    rng = np.random.default_rng(1)
    store = rng.integers(0, stores, frame.height)
    arm = np.where(rng.permutation(stores) < stores // 2, "new", "old")
    common = rng.normal(scale=0.7, size=stores)
    return frame.with_columns(
        pl.Series("store", store), pl.Series("arm", arm[store]), y=pl.col("y") + pl.Series(common[store])
    )


def test_units_of_stores_that_were_assigned_are_no_evidence_each():
    told = estimate(of_stores(experiment(effect=0.0)), treatment={"control": "old", "shares": None})
    (effect, *_) = told
    assert not effect.supported
    assert 'each of the 20 values of "store" has one arm alone' in effect.reason
    assert estimate(experiment().with_columns(store=pl.col("unit") % 20))[0].supported


def test_what_is_told_of_one_arm_alone_is_no_assignment():
    frame = experiment()
    treated = pl.col("arm") == "new"
    told = frame.with_columns(
        sent=pl.when(treated).then(pl.col("unit") % 7),
        discount=pl.when(treated).then(5 * (1 + pl.col("unit") % 3)).otherwise(0),
        letter=pl.when(treated).then(pl.lit("B")).otherwise(pl.lit("A")),
    )
    assert estimate(told)[0].supported


def test_a_small_arm_without_the_rare_giants_of_the_large_one_has_no_narrow_interval():
    missed = normal = tested = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        arm = np.where(rng.random(2000) < 0.05, "new", "old")
        y = (rng.random(2000) < 0.1) * rng.lognormal(3, 2, 2000)
        frame = pl.DataFrame({"unit": np.arange(2000), "arm": arm, "y": y, "x": rng.normal(size=2000)})
        shares = {"control": "old", "shares": {"old": 0.95, "new": 0.05}}
        plain, lin = estimate(frame, treatment=shares, covariates=["x"])
        missed += max(not effect.low <= 0 <= effect.high for effect in (plain, lin))
        normal += abs(plain.estimate) > 1.96 * mean_difference(y, arm == "new")[1]
        tested += plain.p_value < 0.05
        assert plain.supported
    assert normal > 15
    assert max(missed, tested) <= 8  # one in twenty


def test_unequal_arms_ask_for_the_planned_shares():
    frame = experiment().filter((pl.col("arm") != "new") | (pl.col("unit") % 10 != 0))
    effects = estimate(frame)
    assert all(effect.estimate is not None and not effect.supported for effect in effects)
    assert "say the planned ones in treatment.shares" in effects[0].reason
    assert estimate(experiment())[0].supported


def test_planned_unequal_shares_are_no_mismatch():
    frame = experiment().filter((pl.col("arm") != "new") | (pl.col("unit") % 10 != 0))
    effects = estimate(frame, treatment={"control": "old", "shares": {"old": 0.526, "new": 0.474}})
    assert effects[0].supported


def test_a_metric_that_differed_before_the_start_is_no_evidence():
    frame = experiment().with_columns(y_before=pl.col("y_before") + 0.8 * (pl.col("arm") == "new"))
    first = estimate(frame)[0]
    assert not first.supported
    assert "already differed before the start" in first.reason
    assert first.placebo_low > 0


def test_covariates_that_predict_the_arm_are_no_random_assignment():
    frame = experiment().with_columns(x=pl.col("x") + 0.5 * (pl.col("arm") == "new"))
    assert "predict the arm" in estimate(frame, covariates=["x"])[0].reason


def test_outcomes_missing_from_one_arm_are_no_evidence():
    lost = (pl.col("arm") == "new") & (pl.col("unit") % 5 == 0)
    frame = experiment().with_columns(y=pl.when(~lost).then("y"))
    assert "y is missing for" in estimate(frame)[0].reason


def test_a_handful_of_conversions_has_no_normal_interval():
    frame = experiment().with_columns(y=(pl.col("unit") < 8).cast(pl.Int8))
    assert "too few events" in estimate(frame)[0].reason


def test_several_arms_are_read_with_holm_and_together_first():
    frame = experiment(6000, arms=("old", "new", "other"))
    chosen = design()
    found = estimate_randomised(units_from_frame(frame, chosen), chosen, rng=np.random.default_rng(0))
    assert [e.treatment for e in found.effects if e.estimator == "difference_in_means"] == [
        "(any)",
        "new",
        "other",
    ]
    tests = found.pictures["tests"]
    assert tests["hypothesis"].to_list() == ["new", "other"]
    smallest = tests["p_value"].min()
    assert tests["p_holm"].min() == pytest.approx(2 * smallest)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [([], []), ([0.04], [0.04]), ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]), ([0.5, 0.9], [1.0, 1.0])],
)
def test_holm_steps_down(p_values, adjusted):
    assert holm(p_values) == pytest.approx(adjusted)


def test_segments_are_read_with_one_global_test_and_the_small_ones_withheld():
    frame = experiment(4000).with_columns(
        region=pl.when(pl.col("unit") < 50).then(pl.lit("c")).otherwise(pl.lit("a"))
    )
    frame = frame.with_columns(
        region=pl.when(pl.col("unit") > 2000).then(pl.lit("b")).otherwise("region"),
        y=pl.col("y") + 2 * ((pl.col("unit") > 2000) & (pl.col("arm") == "new")),
    )
    chosen = design(segments=["region"])
    found = estimate_randomised(units_from_frame(frame, chosen), chosen, rng=np.random.default_rng(0))
    by_segment = {e.segment: e for e in found.effects if e.segment != "(all)"}
    assert by_segment["region: b"].estimate - by_segment["region: a"].estimate == pytest.approx(2, abs=0.4)
    assert by_segment["region: c"].estimate is None
    assert "segment too small" in by_segment["region: c"].reason
    global_test = found.pictures["tests"].filter(pl.col("test").str.starts_with("equal effects"))
    assert global_test["p_value"][0] < 1e-6


def test_cuped_leaves_the_effect_alone_when_the_metric_before_is_noise():
    rng = np.random.default_rng(5)
    y, noise, treated = rng.normal(size=2000), rng.normal(size=2000), np.arange(2000) % 2 == 0
    assert np.std(cuped(y, noise, treated)) == pytest.approx(np.std(y), rel=0.01)


def test_an_interval_read_after_every_batch_still_covers():
    """Read 100 times without any effect, a fixed interval excludes 0 at some reading far too often."""
    fixed = anytime = 0
    for seed in range(200):
        x = np.random.default_rng(seed).normal(size=5000)
        n = np.arange(50, 5001, 50)
        mean, error = np.cumsum(x)[n - 1] / n, 1 / np.sqrt(n)
        half = [anytime_half_width(e, int(k), 5000) for e, k in zip(error, n, strict=True)]
        fixed += bool((np.abs(mean) > 1.96 * error).any())
        anytime += bool((np.abs(mean) > half).any())
    assert fixed > 60
    assert anytime <= 10


def test_a_sequential_design_has_wider_intervals():
    fixed, always = estimate(experiment())[0], estimate(experiment(), sequential=4000)[0]
    assert always.high - always.low > 1.4 * (fixed.high - fixed.low)
    assert always.estimate == fixed.estimate


def test_a_design_that_cannot_be_estimated_is_listed_with_its_reason():
    result = estimate_effects([mailing(name="lost", table={"path": "missing.parquet"})])
    (row,) = result.frame.filter(outcome="visit").rows(named=True)
    assert row["supported"] is False
    assert row["estimate"] is None
    assert 'effect "lost", table: no file "missing.parquet"' in row["reason"]


def units_csv(separator: str = ",", decimal: str = ".") -> str:
    rows = [
        separator.join([f"00{k}", "new" if k % 2 else "old", f"{k % 7}{decimal}5", "" if k == 3 else "yes"])
        for k in range(200)
    ]
    return "\n".join([separator.join(["id", "arm", "y", "note"]), *rows])


@pytest.mark.parametrize(
    ("name", "written", "options"),
    [
        ("units.csv", units_csv().encode(), {}),
        ("units.csv", units_csv(";", ",").encode("utf-16"), {"separator": ";", "decimal": ","}),
        ("units.csv", units_csv().replace("\n", "\r").encode(), {}),
        ("units.csv.gz", gzip.compress(b"Report\n" + units_csv().encode()), {"skip_rows": 1}),
        ("units.csv", units_csv().replace("yes", "é").encode("cp1252"), {"encoding": "windows-1252"}),
        ("units.csv", f"{units_csv()}\n7,old,1e9,total".encode(), {"where": {"note": ["yes", ""]}}),
    ],
)
def test_a_table_of_units_is_read_in_every_form_that_input_tables_are(
    tmp_path: Path, name: str, written: bytes, options: dict[str, object]
) -> None:
    (tmp_path / name).write_bytes(written)
    table = {"path": name, "columns": {"unit": "id"}, **options}
    found = read_units(design(table=table, treatment={"column": "arm", "control": "old"}), tmp_path)
    assert found.outcomes["y"].tolist() == [k % 7 + 0.5 for k in range(200)]
    assert found.arm.tolist() == ["new" if k % 2 else "old" for k in range(200)]


@pytest.mark.parametrize(
    ("written", "options", "said"),
    [
        (units_csv() + "\nann@x.com,old,1,00,yes", {}, "1 rows have more or fewer fields"),
        (units_csv().replace("old", '"old', 1), {}, "a quote in row 1 is not closed"),
        ("PK\x03\x04", {}, "is a zip archive or an Excel workbook"),
        (units_csv().replace("arm", "plan"), {}, 'no column "arm"'),
        (units_csv().replace("id,arm", "arm,arm"), {}, "it is none of the 200 there"),
        (units_csv(), {"where": {"nota": "yes"}}, 'no column "nota"; did you mean "note"'),
        (units_csv(), {"constants": {"a": 1}}, "table.constants is of input tables"),
    ],
)
def test_a_table_of_units_that_cannot_be_read_is_refused_without_its_values(
    tmp_path: Path, written: str, options: dict[str, object], said: str
) -> None:
    (tmp_path / "units.csv").write_text(written.replace("00", "ann@x.com "))
    chosen = {"path": "units.csv", **options}
    with pytest.raises((TributaryError, ValidationError), match=said) as refused:
        read_units(design(table=chosen, treatment={"column": "arm", "control": "old"}), tmp_path)
    assert "ann@" not in str(refused.value)


def test_a_repeated_unit_is_refused():
    frame = pl.concat([experiment(), experiment().head(3)])
    with pytest.raises(DataError, match="3 of 4003 rows repeat a unit"):
        units_from_frame(frame, design())


def test_a_misspelt_outcome_names_the_nearest_column():
    with pytest.raises(SchemaError, match='no column "y_befor"; did you mean "y_before"'):
        units_from_frame(experiment(), design(outcomes=["y_befor"]))


def test_an_unknown_control_arm_names_the_nearest_arm():
    with pytest.raises(DataError, match='no unit in arm "olt"; did you mean "old"'):
        units_from_frame(experiment(), design(treatment={"control": "olt"}))


def test_the_effects_table_has_its_columns_and_types_even_when_empty():
    assert effects_frame([]).schema == pl.Schema(EFFECTS_SCHEMA)
    assert effects_frame(estimate(experiment())).schema == pl.Schema(EFFECTS_SCHEMA)


def test_units_without_a_covariate_lose_it_in_the_placebo_too() -> None:
    units = replace(
        units_from_frame(experiment(), design(covariates=["x", "y_before"])),
        placebo_covariates=np.arange(8000.0).reshape(4000, 2),
    )
    left = units.without("x")
    assert left.covariate_names == ("y_before",)
    assert left.covariates[:, 0].tolist() == units.covariates[:, 1].tolist()
    assert left.placebo_covariates is not None
    assert left.placebo_covariates[0].tolist() == [1.0]
    assert replace(units, placebo_covariates=None).without("x").placebo_covariates is None


def test_a_table_of_units_needs_the_column_of_the_arm(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"treatment\.column, the column of the arm, is missing"):
        read_units(design(), tmp_path)
    with pytest.raises(DataError, match=r"one arm only \(old\)"):
        units_from_frame(experiment(arms=("old",)), design())


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 2, 1, 2], {"1", "2"}),
        ([1.0, 2.0, None, float("nan")], {"1", "2", "unknown"}),
        (["b", "a", "a", None], {"a", "b", "unknown"}),
        ([float(k) for k in range(13)], {"up to 3", "3 to 6", "6 to 9", "above 9"}),
        ([str(k) for k in range(13)], {str(k) for k in range(13)}),
    ],
)
def test_a_segment_is_a_value_and_of_many_numbers_a_quartile(values: list[object], labels: set[str]) -> None:
    assert set(segment_labels(pl.DataFrame({"s": values}, strict=False), "s").tolist()) == labels
