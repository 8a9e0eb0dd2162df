"""By the queue: hidden anger, no effect, busy times that are bad by themselves, weak queues, other cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from attribution.effects.data.desk import NEVER, queue_at_opening, surge_days
from attribution.effects.design import EffectDesign
from attribution.effects.designs.moved_fit import agreement
from attribution.effects.designs.queue import QUEUE as QUEUE_MOVER
from attribution.effects.effect import Effect
from attribution.effects.estimators.instrument import fit_two_stage
from attribution.effects.run import estimate_effect, estimate_effects
from benchmarks.waiting import RushWorld, simulate_rush, waiting_designs
from histories.errors import DataError

QUEUE, CURVE = waiting_designs()


def rows(world: RushWorld, design: EffectDesign = QUEUE, **tables: object) -> dict[tuple[str, str], Effect]:
    held = replace(world.tables, **tables) if tables else world.tables
    found = estimate_effect(design, tables=held, observation_end=world.end)
    return {(e.estimator, e.estimand): e for e in found.effects}


@pytest.fixture(scope="module")
def rush() -> RushWorld:
    return simulate_rush(20_000, np.random.default_rng(1))


@pytest.fixture(scope="module")
def found(rush: RushWorld) -> dict[tuple[str, str], Effect]:
    return rows(rush)


def test_with_hidden_anger_the_queue_finds_what_naive_and_adjusted_miss(found):
    """The truth is 5."""
    queue, adjusted, naive = found["two_stage", "LATE"], found["aipw", "ATO"], found["naive", "ATE"]
    assert queue.low < 5 < queue.high
    assert queue.high - queue.low < 2
    assert queue.supported, queue.reason
    assert naive.high < 1
    assert 1 < adjusted.estimate < 3


def test_days_of_surge_stand_beside(found):
    beside = found["two_stage_all_days", "LATE"]
    calm = found["two_stage", "LATE"]
    assert beside.n_treated + beside.n_control > calm.n_treated + calm.n_control
    assert beside.low < 5 < beside.high


def test_without_an_effect_the_queue_finds_none():
    made = rows(simulate_rush(12_000, np.random.default_rng(2), effect=0.0))
    queue = made["two_stage", "LATE"]
    assert queue.low < 0 < queue.high
    assert made["naive", "ATE"].high < -3
    assert made["aipw", "ATO"].high < -1


def test_busy_times_that_are_bad_times_are_told_beside_the_figure():
    """Nothing in the tables tells: the estimate is far off, and a direct effect of 2 would bring it to 0."""
    made = rows(simulate_rush(12_000, np.random.default_rng(3), effect=0.0, busy=-1.0))
    queue = made["two_stage", "LATE"]
    assert queue.low > 2
    assert queue.direct_to_zero == pytest.approx(-2.2, abs=1.2)
    assert queue.direct_allowed > 0


def test_a_queue_that_brings_other_customers_is_refused(rush):
    """Past spend is made to rise with the queue: then busy times bring better customers."""
    cases = rush.tables.cases.collect()
    length = queue_at_opening(
        cases.with_columns(
            started=pl.col("opened_at").dt.epoch("us"),
            ended=pl.col("first_response_at").dt.epoch("us").fill_null(NEVER),
            person=pl.col("case_id"),
        ).sort("started"),
        None,
    ).waiting  # fmt: skip
    more = pl.DataFrame({"customer_id": cases.sort("opened_at")["customer_id"], "more": length * 40_000})
    opened = cases.select("customer_id", "opened_at")
    bought = rush.tables.purchases.collect().join(more, on="customer_id").join(opened, on="customer_id")
    moved = bought.with_columns(
        amount=(
            pl.col("amount") + pl.when(pl.col("timestamp") < pl.col("opened_at")).then("more").otherwise(0)
        ).cast(pl.Int64)
    ).select(rush.tables.purchases.collect_schema().names())
    queue = rows(rush, purchases=moved.lazy())["two_stage", "LATE"]
    assert not queue.supported
    assert "foretells" in queue.reason


def test_a_queue_that_moves_no_answer_is_refused(rush):
    slow = rush.tables.cases.with_columns(
        first_response_at=pl.col("opened_at")
        + pl.duration(minutes=pl.lit(np.random.default_rng(0).integers(1, 120, 20_000)))
    )
    queue = rows(rush, cases=slow)["two_stage", "LATE"]
    assert not queue.supported
    assert "hardly moves the answer" in queue.reason


def test_open_cases_are_counted_per_agent_without_ones_own():
    cases = pl.DataFrame(
        {
            "channel": ["chat"] * 4 + ["phone"],
            "started": np.array([0, 10, 20, 30, 40]) * 60_000_000,
            "ended": [35 * 60_000_000, 15 * 60_000_000, NEVER, NEVER, NEVER],
            "person": ["a", "b", "a", "c", "d"],
        }
    )
    shifts = pl.DataFrame({"start": [0, 0], "end": [25 * 60_000_000, 60 * 60_000_000]})
    queue = queue_at_opening(cases, shifts)
    assert queue.waiting.tolist() == [0, 1, 0, 2, 0]
    assert queue.agents.tolist() == [2, 2, 2, 1, 1]
    assert queue.length.tolist() == [0, 0.5, 0, 2, 0]


def test_channels_that_the_same_agents_answer_wait_in_one_line():
    cases = pl.DataFrame(
        {
            "channel": ["chat", "mail", "phone"],
            "started": [0, 60_000_000, 120_000_000],
            "ended": [180_000_000, 180_000_000, 180_000_000],
            "person": ["a", "b", "c"],
            "agent": ["ann", "ann", "bob"],
        }
    )
    assert queue_at_opening(cases, None).waiting.tolist() == [0, 1, 0]


def test_an_overlooked_case_does_not_keep_others_waiting_for_good():
    minute = 60_000_000
    cases = pl.DataFrame(
        {
            "channel": ["chat"] * 3,
            "started": [0, 10 * minute, 3000 * minute],
            "ended": [NEVER, 20 * minute, 3010 * minute],
            "person": ["a", "b", "c"],
        }
    )
    assert queue_at_opening(cases, None).waiting.tolist() == [0, 1, 0]


def test_a_day_of_surge_is_far_above_its_weekday():
    calm = np.repeat(np.arange(70), 20)
    flood = np.repeat(36, 60)
    assert surge_days(np.concatenate([calm, flood])).tolist() == [36]
    assert surge_days(calm).tolist() == []


def test_errors_of_one_day_go_together():
    """100 days share a shock in queue and outcome: errors by case are far too small, those by day are not."""
    rng, day = np.random.default_rng(4), np.repeat(np.arange(100), 30)
    beyond = {"case": 0, "day": 0}
    for _ in range(100):
        z = rng.normal(size=100)[day] + 0.3 * rng.normal(size=3000)
        t = (z + rng.normal(size=3000) > 0).astype(float)
        y = rng.normal(size=100)[day] + rng.normal(size=3000)
        for name, clusters in (("case", ()), ("day", (day,))):
            fit = fit_two_stage(y, t, z, np.empty((3000, 0)), clusters=clusters)
            beyond[name] += not fit.low <= 0 <= fit.high
    assert beyond["day"] <= 12
    assert beyond["case"] >= 40


def test_where_queue_and_adjusted_contradict_neither_is_a_headline():
    one = Effect(
        name="q", treatment="t", control="c", outcome="spend", design="queue", estimator="two_stage",
        estimand="LATE", estimate=5.0, std_error=0.5, low=4.0, high=6.0, first_stage_f=40.0,
    )  # fmt: skip
    two = replace(one, estimator="aipw", estimand="ATE", estimate=2.2, std_error=0.4)
    check = agreement(QUEUE_MOVER, one, (two,))
    assert not check.passed
    assert check.value == pytest.approx(2.8 / np.hypot(0.5, 0.4))
    assert agreement(QUEUE_MOVER, one, (replace(two, estimate=4.5),)).passed
    assert agreement(QUEUE_MOVER, one, (two.refused("no overlap"),)) is None
    assert agreement(QUEUE_MOVER, replace(one, first_stage_f=4.0), (two,)) is None
    assert not agreement(QUEUE_MOVER, one.refused("the queue foretells tone"), (two,)).passed


def test_what_the_queue_contradicts_is_refused_in_the_curve_too():
    """Agents choose by an anger of which no column tells: nothing warns of it but the queue."""
    world = simulate_rush(12_000, np.random.default_rng(5))
    held = replace(world.tables, cases=world.tables.cases.drop("sentiment_first"))
    found = estimate_effects(waiting_designs(), tables=held, observation_end=world.end)
    alone = estimate_effects([CURVE], tables=held, observation_end=world.end)
    assert any(e.supported for e in alone.effects)
    assert not any(e.supported for e in found.effects)
    curve = next(e for e in found.effects if e.name == CURVE.name)
    assert "by the queue: the queue says" in curve.reason
    assert next(e for e in found.effects if e.estimator == "two_stage").low > 4


def test_a_queue_needs_cases_with_customers_and_answers(rush):
    with pytest.raises(DataError, match="no case has a customer_id"):
        rows(rush, cases=rush.tables.cases.drop("customer_id"))
    with pytest.raises(DataError, match="first_response_at, the time of its first answer"):
        rows(rush, cases=rush.tables.cases.drop("first_response_at"))
    with pytest.raises(DataError, match="cases or posts, to know who waited"):
        rows(rush, cases=None)
    with pytest.raises(DataError, match="no case came by fax; allowed: chat, phone"):
        rows(rush, replace(QUEUE, treatment=replace(QUEUE.treatment, channel="fax")))
    with pytest.raises(DataError, match=r"none of 20,000 cases is left .*not followed to the end.*300"):
        rows(rush, replace(QUEUE, follow_up_days=300))
    with pytest.raises(ValidationError, match=r"treatment.first_response_minutes: up to when"):
        replace(QUEUE, treatment={})
