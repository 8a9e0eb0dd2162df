"""Before and after, staggered starts, doses, tracked customers: letters that work, or do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from attribution.effects.data.tables import EffectTables
from attribution.effects.design import EffectDesign
from attribution.effects.designs.before_after import event_study
from attribution.effects.designs.staggered import NEVER, group_time_effects
from attribution.effects.findings import EffectsResult
from attribution.effects.run import estimate_effect, estimate_effects
from benchmarks.worlds import CareWorld, simulate_care_world
from histories.errors import DataError
from tests.honesty import claimed_over_seen

LETTER_EFFECT = 0.3


@pytest.fixture(scope="module")
def random_letters() -> CareWorld:
    """Letters that work, sent to anybody: idle customers are no likelier to get one."""
    return simulate_care_world(
        3000, np.random.default_rng(3), idle_contacts=1e-9, letter_effect=LETTER_EFFECT
    )


@pytest.fixture(scope="module")
def letters_to_the_idle() -> CareWorld:
    return simulate_care_world(3000, np.random.default_rng(3), idle_contacts=0.8)


def estimate(world: CareWorld, **choices: object) -> EffectsResult:
    entry = {
        "name": "letters",
        "design": "matched_before_after",
        "treatment": {"channel": "letter"},
        "landmark_days": 0,
        "follow_up_days": 90,
        "series": "month",
        "outcomes": ["purchases"],
        "covariates": ["score", "region"],
    }
    design = EffectDesign(**{**entry, **choices})
    return estimate_effect(design, tables=world.tables, observation_end=world.end.date(), gross_margin=0.5)


def test_before_and_after_finds_what_the_letters_do(random_letters):
    result = estimate(random_letters)
    effect = result.headline("letters", "purchases")
    # a month is 30 / 7 weeks of mean rate .30 x (exp(.3) - 1), less who has left
    assert effect.supported, effect.reason
    assert 0.2 < effect.low < effect.high < 0.65
    study = result.pictures["event_study"]
    before, after = study.filter(pl.col("period") < 0), study.filter(pl.col("period") >= 0)
    assert (before["low"] <= 0).sum() >= 5
    assert (after["low"] > 0).all()


def test_group_and_time_agree_with_before_and_after(random_letters):
    did, staggered = estimate(random_letters).effects
    assert staggered.estimator == "group_time"
    assert staggered.estimate == pytest.approx(did.estimate, abs=2 * (did.std_error + staggered.std_error))


def test_letters_sent_after_a_dip_fail_the_pre_trend(letters_to_the_idle):
    result = estimate(letters_to_the_idle)
    effect = result.effects[0]
    assert not effect.supported
    assert "moved apart before the contact" in effect.reason
    assert not result.pictures["checks"].filter(check="pre-trend")["passed"].any()


def test_retention_has_no_before(random_letters):
    made = random_letters
    design = EffectDesign(
        name="letters",
        design="matched_before_after",
        treatment={"channel": "letter"},
        outcomes=["retention"],
    )
    (effect,) = estimate_effects([design], tables=made.tables, observation_end=made.end.date()).effects
    assert 'outcome "retention" has no before' in effect.reason


def test_event_study_of_parallel_groups_finds_only_the_effect():
    rng = np.random.default_rng(0)
    periods, treated = np.arange(-4, 3), np.arange(2000) < 800
    own = rng.normal(size=(2000, 1)) + 2 * treated[:, None]
    season = np.sin(periods)
    y = own + season + 0.5 * (treated[:, None] & (periods >= 0)) + rng.normal(size=(2000, 7))
    study = event_study(y, periods, treated, np.ones(2000), np.arange(2000))
    estimate, error = study.mean(periods >= 0)
    assert estimate == pytest.approx(0.5, abs=3 * error)
    assert study.pre_trend()[1] > 0.01
    drifting = study.estimates[periods < 0].sum()
    assert drifting == pytest.approx(0, abs=1e-9)


def test_pre_trend_is_found_in_one_of_twenty_without_any():
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        periods, treated = np.arange(-6, 2), np.arange(300) < 100
        y = rng.normal(size=(300, 1)) + rng.normal(size=(300, 8))
        study = event_study(y, periods, treated, np.ones(300), np.arange(300))
        found += study.pre_trend()[1] < 0.05
    # binomial(200, .05): 10 +- 9
    assert 2 <= found <= 22


def test_group_time_recovers_an_effect_that_grows_where_two_way_effects_fail():
    """Effect 1 + lag: the regression with unit and time effects is far below the mean effect of lags 0..3."""
    rng = np.random.default_rng(1)
    start = rng.choice([3, 5, 7, NEVER], size=3000)
    lag = np.arange(12)[None, :] - start[:, None]
    effect = np.where(lag >= 0, 1.0 + lag, 0.0)
    y = rng.normal(size=(3000, 1)) + 0.3 * np.arange(12) + effect + rng.normal(size=(3000, 12))
    found = group_time_effects(y, start, first_lag=0, last_lag=3)
    assert found.estimate == pytest.approx(2.5, abs=3 * found.std_error)
    within = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    d = (lag >= 0).astype(float)
    d_within = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0) + d.mean()
    two_way = (d_within * within).sum() / (d_within**2).sum()
    true_mean = effect[lag >= 0].mean()
    assert two_way < 0.8 * true_mean
    placebo = group_time_effects(y, start, first_lag=-3, last_lag=-2)
    assert abs(placebo.estimate) < 3 * placebo.std_error


def test_group_time_intervals_cover():
    covered = 0
    estimates, errors = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        start = rng.choice([3, 5, NEVER], size=300)
        lag = np.arange(8)[None, :] - start[:, None]
        y = rng.normal(size=(300, 1)) + (lag >= 0) + rng.normal(size=(300, 8))
        found = group_time_effects(y, start, first_lag=0, last_lag=2)
        covered += abs(found.estimate - 1) < 1.96 * found.std_error
        estimates.append(found.estimate)
        errors.append(found.std_error)
    assert 88 <= covered <= 100
    assert 0.9 < claimed_over_seen(estimates, errors) < 1.1


def roll_out(never: float) -> EffectTables:
    """1,500 customers of five regions called in turn; a call doubles 1.5 purchases in thirty days."""
    rng = np.random.default_rng(4)
    start, rows, calls = date(2024, 1, 1), [], []
    for customer in range(1500):
        called = 210 + 60 * (customer % 5) + int(rng.integers(0, 25)) if rng.random() >= never else 9999
        days = rng.uniform(0, 720, rng.poisson(0.1 * 720))
        kept = days[(days >= called) | (rng.random(days.size) < 0.5)].astype(int)
        rows += [(customer, start + timedelta(days=d)) for d in {0, *kept.tolist()}]
        calls += [(customer, start + timedelta(days=called))] if called < 720 else []
    bought = pl.DataFrame(rows, schema=["customer_id", "date"], orient="row").with_columns(
        timestamp=pl.col("date").cast(pl.Datetime("us")), amount=pl.lit(10_000)
    )
    touched = pl.DataFrame(calls, schema=["customer_id", "timestamp"], orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("us")), channel=pl.lit("letter"), direction=pl.lit("outbound")
    )
    return EffectTables(purchases=bought.lazy(), touchpoints=touched.lazy())


def test_who_was_called_before_is_no_comparison_and_who_is_called_soon_refuses_one() -> None:
    design = EffectDesign(
        name="calls",
        design="matched_before_after",
        treatment={"channel": "letter"},
        landmark_days=0,
        follow_up_days=60,
        series="month",
        outcomes=["purchases"],
    )
    end = date(2024, 1, 1) + timedelta(days=719)
    truth = 30 * (np.exp(-0.05) - np.exp(-0.1))  # days with a purchase
    found = estimate_effect(design, tables=roll_out(0.8), observation_end=end)
    difference, staggered = found.effects
    checks = found.pictures["checks"].filter(check="controls contacted")
    share = checks["value"].item()
    assert 0.02 < share < 0.1
    assert difference.supported, difference.reason
    assert difference.low <= (1 - share) * truth <= difference.high
    assert staggered.low <= truth <= staggered.high
    difference, staggered = estimate_effect(design, tables=roll_out(0.0), observation_end=end).effects
    assert not difference.supported
    assert "of the controls' follow-up lies behind a contact of their own" in difference.reason
    assert staggered.low <= truth <= staggered.high


def test_a_dose_is_read_where_customers_have_it(random_letters):
    result = estimate(random_letters, design="dose", landmark_days=60)
    per_contact, one = result.effects[0], result.effects[1]
    assert (per_contact.estimand, one.treatment) == ("per contact", "1 contact")
    assert one.low > 0
    dose = result.pictures["dose"]
    assert dose["dose"].to_list()[:2] == ["0", "1"]
    assert dose["n"].sum() <= per_contact.n_treated + per_contact.n_control
    rare = [e for e in result.effects if "out of reach" in (e.reason or "")]
    assert all(not e.supported for e in rare)


def test_tracked_against_untracked_is_a_description_only(letters_to_the_idle):
    result = estimate(letters_to_the_idle, design="tracked", treatment={})
    (effect,) = result.effects
    assert effect.low > 0, "the tracked stayed longer, without any effect"
    assert not effect.supported
    assert "a description" in effect.reason
    measures = result.pictures["tracked"]
    assert {"tenure_days", "score"} < set(measures["measure"])


def test_an_experiment_on_customers_reads_its_outcomes_from_the_histories(letters_to_the_idle):
    made, rng = letters_to_the_idle, np.random.default_rng(0)
    arms = pl.LazyFrame(
        {
            "experiment": "voucher",
            "customer_id": np.arange(3000),
            "arm": np.where(rng.random(3000) < 0.5, "voucher", "none"),
            "assigned_at": pl.Series([date(2025, 3, 3)] * 3000).cast(pl.Datetime("us")),
        }
    )
    given = made.tables.purchases.join(
        arms.filter(pl.col("arm") == "voucher").select("customer_id"), on="customer_id", how="semi"
    ).filter(pl.col("date") > date(2025, 3, 3))
    raised = pl.concat([made.tables.purchases, given.with_columns(amount=pl.col("amount") // 10)])
    world = replace(made, tables=replace(made.tables, purchases=raised, assignments=arms))
    result = estimate(
        world,
        name="voucher",
        design="randomised",
        treatment={"control": "none"},
        outcomes=["spend"],
        follow_up_days=120,
    )
    plain, cuped = result.effects[0], result.effects[1]
    assert (plain.estimator, cuped.estimator) == ("difference_in_means", "cuped")
    # a tenth on top of about 80
    assert cuped.low <= 8.0 <= cuped.high
    assert cuped.std_error < 0.8 * plain.std_error
    assert cuped.placebo_low <= 0 <= cuped.placebo_high


@pytest.mark.parametrize("unit", ["region", "day"])
def test_an_experiment_on_regions_or_days_is_none_on_customers(letters_to_the_idle, unit):
    made = letters_to_the_idle
    ids, group = np.arange(3000), np.arange(3000) % 12
    days = [date(2025, 3, 3 + (int(g) if unit == "day" else 0)) for g in group]
    arms = pl.LazyFrame(
        {
            "experiment": "voucher",
            "customer_id": ids,
            "arm": np.where(group % 2, "a", "b"),
            "assigned_at": pl.Series(days).cast(pl.Datetime("us")),
        }
    )
    customers = made.tables.customers
    if unit == "region":
        customers = customers.with_columns(region=pl.col("customer_id") % 12)
    world = replace(made, tables=replace(made.tables, customers=customers, assignments=arms))
    result = estimate(
        world, name="voucher", design="randomised", treatment={"control": "a"}, outcomes=["spend"]
    )
    assert f'each of the 12 values of "{unit}" has one arm alone' in result.effects[0].reason


def test_customers_in_two_arms_are_no_experiment(letters_to_the_idle):
    made = letters_to_the_idle
    arms = pl.LazyFrame(
        {
            "experiment": "voucher",
            "customer_id": [*range(2000), *range(100)],
            "arm": ["a", "b"] * 1000 + ["b", "a"] * 50,
            "assigned_at": pl.Series([date(2025, 3, 3)] * 2100).cast(pl.Datetime("us")),
        }
    )
    world = replace(made, tables=replace(made.tables, assignments=arms))
    result = estimate(
        world, name="voucher", design="randomised", treatment={"control": "a"}, outcomes=["spend"]
    )
    assert "5.0% of the customers were in more than one arm" in result.effects[0].reason


def test_arms_of_assignments_that_differ_by_letter_case_alone_are_no_arms(letters_to_the_idle):
    made = letters_to_the_idle
    arms = pl.LazyFrame(
        {
            "experiment": "voucher",
            "customer_id": range(2000),
            "arm": ["a", "b", "A", "b"] * 500,
            "assigned_at": pl.Series([date(2025, 3, 3)] * 2000).cast(pl.Datetime("us")),
        }
    )
    world = replace(made, tables=replace(made.tables, assignments=arms))
    with pytest.raises(DataError, match="letter case or blanks alone: 'A', 'a'"):
        estimate(world, name="voucher", design="randomised", treatment={"control": "a"}, outcomes=["spend"])
