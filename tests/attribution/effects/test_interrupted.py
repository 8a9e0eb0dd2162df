"""Changes over time: recovery under autocorrelation, and what a change log can do wrong."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attribution.effects.data.series import Series
from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.designs.interrupted import estimate_change
from attribution.effects.estimators.segmented import fit_segmented
from attribution.effects.findings import EffectsResult
from attribution.effects.run import estimate_effects
from tests.honesty import claimed_over_seen

START = date(2024, 1, 1)


def autoregressive(n: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    noise = np.empty(n)
    noise[0] = rng.normal() / np.sqrt(1 - rho**2)
    for t in range(1, n):
        noise[t] = rho * noise[t - 1] + rng.normal()
    return noise


def series(n: int = 80, level: float = 6.0, rho: float = 0.4, seed: int = 0) -> np.ndarray:
    """y = 50 + .2 t + level from step 40 on + AR(1)."""
    noise = autoregressive(n, rho, np.random.default_rng(seed))
    return 50 + 0.2 * np.arange(n) + level * (np.arange(n) >= 40) + noise


def weekly(tmp_path: Path, values: np.ndarray, log: list[tuple[str, date]]) -> EffectsResult:
    dates = [START + timedelta(weeks=t) for t in range(len(values))]
    return of_table(tmp_path, pl.DataFrame({"day": dates, "complaints": values}), log)


def of_table(
    tmp_path: Path, frame: pl.DataFrame, log: list[tuple[str, date]], *, step: str = "week"
) -> EffectsResult:
    frame.write_csv(tmp_path / "series.csv")
    design = EffectDesign(
        name="changes",
        design="interrupted_series",
        table={"path": "series.csv", "columns": {"date": "day"}},
        outcomes=["complaints"],
        series=step,
    )
    changes = pl.LazyFrame({"name": [n for n, _ in log], "date": [d for _, d in log]})
    return estimate_effects([design], tables=EffectTables(interventions=changes), base_dir=tmp_path)


def test_what_follows_a_peak_is_no_effect_of_what_changed_then(tmp_path):
    values = series(n=104, level=0.0)
    values[47:50] += 40.0  # Christmas, and a change soon after
    log = [("new hours", START + timedelta(weeks=50))]
    mean, *_ = weekly(tmp_path, values, log).effects
    assert mean.high < 0
    assert not mean.supported
    assert "3 steps before the change are out of all proportion (2024-11-25, " in mean.reason
    values[47:50] -= 40.0
    values[10] += 40.0  # long before, and one step alone
    assert weekly(tmp_path, values, log).effects[0].supported


@pytest.mark.parametrize(("rho", "wider"), [(0.0, 1.35), (0.7, 1.1)])
def test_intervals_cover_the_level_change_under_autocorrelation(rho, wider):
    covered = ols = 0
    levels, errors = [], []
    for seed in range(600):
        y = series(rho=rho, seed=seed)
        fit = fit_segmented(y, 40)
        covered += fit.level.low < 6 < fit.level.high
        levels.append(fit.level.value)
        errors.append(fit.level.std_error)
        x = np.column_stack(
            [np.ones(80), np.arange(80), np.arange(80) >= 40, np.maximum(np.arange(80) - 40, 0)]
        )
        beta, rest = np.linalg.lstsq(x, y, rcond=None)[:2]
        plain = np.sqrt(rest[0] / 76 * np.linalg.inv(x.T @ x)[2, 2])
        ols += abs(beta[2] - 6) < 1.99 * plain
    # binomial(600, .95) is above 555 in 99.5 % of cases
    assert covered >= 556
    # white noise may be a random walk seen through noise
    assert 0.9 < claimed_over_seen(levels, errors) < wider
    if rho:
        assert ols < 0.85 * 600


def test_a_change_is_read_with_level_slope_and_counterfactual(tmp_path):
    result = weekly(tmp_path, series(), [("new team", START + timedelta(weeks=40))])
    assert [e.estimand for e in result.effects] == ["mean change", "level", "slope"]
    mean, level, slope = result.effects
    assert mean.low <= 6 <= mean.high
    assert level.low <= 6 <= level.high
    assert slope.low <= 0 <= slope.high
    assert mean.supported, mean.reason
    assert (mean.n_control, mean.n_treated) == (40, 40)
    picture = result.pictures["series"]
    assert picture.height == 80
    gap = picture.filter("after").select((pl.col("observed") - pl.col("counterfactual")).mean()).item()
    assert gap == pytest.approx(mean.estimate, abs=1)


def test_twelve_points_before_are_needed(tmp_path):
    result = weekly(tmp_path, series(), [("too early", START + timedelta(weeks=11))])
    (effect,) = result.effects
    assert effect.estimate is None
    assert "11 points before" in effect.reason


def test_short_series_cover_as_often_as_they_say_when_they_remember():
    covered = 0
    for seed in range(200):
        fit = fit_segmented(autoregressive(24, 0.6, np.random.default_rng(seed)), 12)
        covered += fit.mean.low < 0 < fit.mean.high
    # with rho at its best value 179
    assert covered >= 184


@pytest.mark.parametrize(("noise", "least"), [(0.0, 179), (2.0, 172)])
def test_a_course_that_never_comes_back_is_no_change(noise: float, least: int) -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        walk = np.cumsum(rng.normal(size=80)) + noise * rng.normal(size=80)
        fit = fit_segmented(walk, 46)
        covered += fit.mean.low < 0 < fit.mean.high
    # with a lag-one autocorrelation of .96 at most 154 and 130
    assert covered >= least


def test_a_season_that_is_too_short_to_be_told_is_no_change(tmp_path: Path) -> None:
    summer = 8 * np.sin(2 * np.pi * np.arange(70) / 52.18)
    calm = autoregressive(70, 0.3, np.random.default_rng(2))
    log = [("new hours", START + timedelta(weeks=40))]
    mean = weekly(tmp_path, 50 + summer + calm, log).effects[0]
    assert not mean.supported
    assert "with a yearly course the series is followed better" in mean.reason
    assert weekly(tmp_path, 50 + calm + 6 * (np.arange(70) >= 40), log).effects[0].supported


def test_two_changes_in_one_week_cannot_be_told_apart(tmp_path):
    log = [("new team", START + timedelta(weeks=40)), ("new prices", START + timedelta(weeks=40))]
    result = weekly(tmp_path, series(), log)
    assert '"new prices" changed in the same step' in result.effects[0].reason
    assert '"new team" changed in the same step' in result.effects[1].reason


def test_a_series_without_a_step_has_too_few_points_and_no_other_change() -> None:
    design = EffectDesign(name="changes", design="interrupted_series", outcomes=["spend_per_customer"])
    nothing = Series(outcome="spend", dates=np.array([], "datetime64[D]"), values=np.zeros(0), year=52.18)
    (effect,), *_ = estimate_change(design, nothing, "new prices", START, [("new prices", START)])
    assert effect.reason.startswith("0 points before and 0 after the change")


@pytest.mark.parametrize("weeks", [2, 5])
def test_two_changes_at_once_cannot_be_told_apart(tmp_path, weeks):
    log = [("new team", START + timedelta(weeks=40)), ("new prices", START + timedelta(weeks=40 + weeks))]
    result = weekly(tmp_path, series(), log)
    assert all(e.estimate is None and not e.supported for e in result.effects)
    assert f'{weeks} until "new prices"' in result.effects[0].reason
    assert f'{weeks} points since "new team"' in result.effects[1].reason


def test_a_change_is_not_credited_with_what_an_earlier_one_set_going(tmp_path):
    log = [("new team", START + timedelta(weeks=40)), ("new logo", START + timedelta(weeks=60))]
    wrong = 0
    for seed in range(20):
        slow = np.clip(np.arange(80) - 40, 0, 8) / 8
        logo = weekly(tmp_path, series(level=0.0, seed=seed) + 8 * slow, log).effects[3]
        assert logo.treatment == "new logo"
        assert (logo.n_control, logo.n_treated) == (20, 20)
        wrong += logo.low > 0
    assert wrong <= 1


def test_a_question_about_one_change_still_knows_the_others(tmp_path):
    pl.DataFrame({"date": [START + timedelta(weeks=t) for t in range(80)], "n": series()}).write_csv(
        tmp_path / "weekly.csv"
    )
    design = EffectDesign(
        name="one",
        design="interrupted_series",
        treatment={"intervention": "new team"},
        table={"path": "weekly.csv"},
        outcomes=["n"],
    )
    days = [START + timedelta(weeks=t) for t in (40, 43)]
    log = pl.LazyFrame({"name": ["new team", "new prices"], "date": days})
    (effect,) = estimate_effects([design], tables=EffectTables(interventions=log), base_dir=tmp_path).effects
    assert '3 until "new prices"' in effect.reason


def test_changes_beyond_the_ends_and_single_points_between_others_do_no_harm(tmp_path):
    log = [("a", START), ("b", START + timedelta(weeks=1)), ("c", START + timedelta(weeks=2))]
    log += [("new team", START + timedelta(weeks=40)), ("z", START + timedelta(weeks=99))]
    mean = weekly(tmp_path, series(), log).effects[3]
    assert mean.treatment == "new team"
    assert mean.low <= 6 <= mean.high


def test_a_break_before_the_change_fails_the_placebo_date(tmp_path):
    y = series() + 8.0 * (np.arange(80) >= 20)
    result = weekly(tmp_path, y, [("new team", START + timedelta(weeks=40))])
    assert not result.effects[0].supported
    assert "already differed before the start" in result.effects[0].reason


def test_an_unknown_change_names_the_nearest_one(tmp_path):
    design = EffectDesign(
        name="changes",
        design="interrupted_series",
        treatment={"intervention": "new taem"},
        outcomes=["spend"],
    )
    log = pl.LazyFrame({"name": ["new team"], "date": [START]})
    (effect,) = estimate_effects([design], tables=EffectTables(interventions=log)).effects
    assert 'did you mean "new team"' in effect.reason


def company(buyers: np.ndarray, *, each: float = 20.0, seed: int = 3) -> pl.DataFrame:
    """Purchases of so many customers in each week, of about the same amount each."""
    rng = np.random.default_rng(seed)
    rows = []
    for week, expected in enumerate(buyers):
        for customer in range(int(rng.poisson(expected))):
            day = START + timedelta(weeks=week, days=int(rng.integers(7)))
            rows.append((customer, day, int(rng.normal(each, 2.0) * 10_000)))
    return pl.DataFrame(rows, schema=["customer_id", "date", "amount"], orient="row")


def from_histories(purchases: pl.DataFrame, outcomes: list[str]) -> EffectsResult:
    design = EffectDesign(name="changes", design="interrupted_series", outcomes=outcomes)
    log = pl.DataFrame({"name": ["invented"], "date": [START + timedelta(weeks=60)]})
    tables = EffectTables(purchases=purchases.lazy(), interventions=log.lazy())
    return estimate_effects([design], tables=tables)


def test_a_growing_company_supports_no_change_of_its_totals():
    weeks = np.arange(100)
    grown = from_histories(company(50 + 1.5 * np.maximum(weeks - 56, 0)), ["spend", "purchases"])
    for effect in grown.effects:
        assert not effect.supported
        assert "customers who bought in a step went from" in effect.reason
        assert f"use {effect.outcome}_per_customer" in effect.reason


def test_per_customer_a_growing_company_shows_no_change_and_a_real_one_is_found():
    weeks = np.arange(100)
    buyers = 50 + 1.5 * np.maximum(weeks - 56, 0)
    mean = from_histories(company(buyers), ["spend_per_customer"]).effects[0]
    assert mean.low <= 0 <= mean.high
    dearer = company(buyers).with_columns(
        amount=pl.when(pl.col("date") >= START + timedelta(weeks=60))
        .then(pl.col("amount") + 50_000)
        .otherwise(pl.col("amount"))
    )
    found = from_histories(dearer, ["spend_per_customer"]).effects[0]
    assert found.supported, found.reason
    assert found.low <= 5 <= found.high


def test_totals_of_a_company_of_one_size_are_read():
    (first, *_) = from_histories(company(np.full(100, 60.0)), ["spend"]).effects
    assert first.supported, first.reason
    assert first.low <= 0 <= first.high


@pytest.mark.parametrize(
    ("form", "option"),
    [("%Y-%m-%d", {}), ("%d.%m.%Y", {"timestamp_format": "%d.%m.%Y"}), ("%b %d, %Y", None), ("soon", None)],
)
def test_a_series_of_its_own_is_dated_as_input_tables_are(
    tmp_path: Path, form: str, option: dict[str, str] | None
) -> None:
    dates = [START + timedelta(weeks=t) for t in range(80)]
    lines = [f"{day:{form}};{str(y).replace('.', ',')}" for day, y in zip(dates, series(), strict=True)]
    (tmp_path / "weekly.csv").write_text("\n".join(["date;n", *lines]))
    design = EffectDesign(
        name="one",
        design="interrupted_series",
        table={"path": "weekly.csv", "separator": ";", "decimal": ",", **(option or {})},
        outcomes=["n"],
    )
    log = pl.LazyFrame({"name": ["new team"], "date": [START + timedelta(weeks=40)]})
    found = estimate_effects([design], tables=EffectTables(interventions=log), base_dir=tmp_path).effects
    if option is not None:
        assert found[0].estimate == pytest.approx(6.0, abs=1.0)
        return
    assert "80 of 80 rows have no readable date" in found[0].reason
    assert ('timestamp_format = "%b %d, %Y"' in found[0].reason) == (form != "soon")


def daily(values: np.ndarray, first: date) -> pl.DataFrame:
    days = [first + timedelta(days=t) for t in range(7 * len(values))]
    return pl.DataFrame({"day": days, "complaints": np.repeat(values / 7, 7)})


NEW_TEAM = [("new team", START + timedelta(weeks=40))]


def test_weekends_are_neither_noise_nor_peaks_of_a_daily_series(tmp_path: Path) -> None:
    rng, days = np.random.default_rng(3), np.arange(200)
    values = 100 + 30.0 * np.isin(days % 7, (5, 6)) + 2.0 * (days >= 123) + rng.normal(size=200)
    dates = [START + timedelta(days=int(day)) for day in days]
    frame = pl.DataFrame({"day": dates, "complaints": values})
    mean, *_ = of_table(tmp_path, frame, [("new team", dates[123])], step="day").effects
    assert mean.supported, mean.reason
    assert mean.low <= 2.0 <= mean.high
    assert mean.high - mean.low < 4.0  # 23 where the days of the week are noise


def test_weeks_that_the_days_of_a_table_do_not_fill_do_not_count(tmp_path: Path) -> None:
    frame = daily(series(), START)  # begins on a Monday
    whole = of_table(tmp_path, frame, NEW_TEAM).effects[0]
    cut = of_table(tmp_path, frame.slice(0, frame.height - 5), NEW_TEAM).effects[0]
    assert (whole.n_treated, cut.n_treated) == (40, 39)
    assert cut.estimate == pytest.approx(whole.estimate, abs=whole.std_error)


def test_a_value_or_a_week_that_is_missing_is_not_nothing(tmp_path: Path) -> None:
    weeks = [START + timedelta(weeks=t) for t in range(80)]
    frame = pl.DataFrame({"day": weeks, "complaints": series()})
    gap = of_table(tmp_path, frame.filter(pl.col("day") != weeks[50]), NEW_TEAM).effects[0]
    assert gap.estimate is None
    assert f"1 of 80 steps have no row (first: week of {weeks[50]})" in gap.reason
    empty = frame.with_columns(complaints=pl.when(pl.col("day") != weeks[50]).then("complaints"))
    unknown = of_table(tmp_path, empty, NEW_TEAM).effects[0]
    assert f"complaints has no value in 1 of 80 rows (first: {weeks[50]})" in unknown.reason
