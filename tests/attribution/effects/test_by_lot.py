"""By lot: what an answer in time does, where chance decided who went first and agents among the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from attribution.effects.design import EffectDesign
from attribution.effects.effect import Effect
from attribution.effects.run import estimate_effect, estimate_effects
from benchmarks.waiting import RushWorld, simulate_rush

LOT = EffectDesign(
    name="lottery",
    design="randomised",
    treatment={
        "control": "usual",
        "first_response_minutes": 60,
        "shares": {"priority": 0.3, "usual": 0.7},
    },
    outcomes=("spend",),
    follow_up_days=30,
)
SLOWER = EffectDesign(
    name="fast against slow",
    design="landmark",
    control="slower",
    treatment={"first_response_minutes": 60},
    outcomes=("spend",),
    landmark_days=1,
    follow_up_days=30,
)


@pytest.fixture(scope="module")
def world() -> RushWorld:
    return simulate_rush(12_000, np.random.default_rng(21), drawn=0.3)


def rows(world: RushWorld, design: EffectDesign = LOT, **tables: object) -> dict[tuple[str, str], Effect]:
    held = replace(world.tables, **tables) if tables else world.tables
    found = estimate_effect(design, tables=held, observation_end=world.end)
    return {(e.estimator, e.estimand): e for e in found.effects}


def test_by_lot_an_answer_in_time_is_worth_its_truth_and_going_first_less(world):
    """The truth of an answer within the hour is 5; not all drawn are in time, and some of the others are."""
    found = rows(world)
    answer, arms = found["two_stage", "LATE"], found["difference_in_means", "ATE"]
    assert next(iter(found.values())) is answer
    assert answer.supported, answer.reason
    assert answer.low < 5 < answer.high
    assert arms.high < 5
    assert answer.first_stage_f > 100
    assert (answer.treatment, answer.control) == (
        "first response within 60 minutes",
        "answered later or never",
    )
    fast = (world.waited <= 60).sum()
    assert answer.n_treated <= fast


def test_without_an_effect_the_lot_finds_none_and_refutes_what_finds_one():
    made = simulate_rush(12_000, np.random.default_rng(23), effect=0.0, drawn=0.3)
    held = replace(made.tables, cases=made.tables.cases.drop("sentiment_first"))
    found = estimate_effects([LOT, SLOWER], tables=held, observation_end=made.end)
    answer = next(e for e in found.effects if e.name == "lottery")
    assert answer.low < 0 < answer.high
    alone = estimate_effect(SLOWER, tables=held, observation_end=made.end).effects[0]
    slower = next(e for e in found.effects if e.name == "fast against slow")
    assert alone.supported
    assert alone.high < -1
    assert not slower.supported
    assert 'refuted by the experiment "lottery"' in slower.reason


def test_unequal_arms_that_nobody_planned_are_no_evidence_of_answers_either(world):
    unplanned = replace(LOT, treatment=replace(LOT.treatment, shares=None))
    answer = rows(world, unplanned)["two_stage", "LATE"]
    assert not answer.supported
    assert "were these sizes planned?" in answer.reason


def test_a_lot_that_nobody_followed_moves_no_answer(world):
    shuffled = world.tables.assignments.with_columns(pl.col("arm").shuffle(seed=1))
    answer = rows(world, assignments=shuffled)["two_stage", "LATE"]
    assert not answer.supported
    assert "the lot hardly moved who was answered in time" in answer.reason


def test_any_answer_by_lot_is_held_against_none(world):
    treatment = replace(LOT.treatment, first_response_minutes=None)
    answer = rows(world, replace(LOT, treatment=treatment, control="unanswered"))["two_stage", "LATE"]
    assert answer.control == "not answered"
    assert not answer.supported  # going first leaves no fewer overlooked
    assert "hardly moved" in answer.reason


def test_an_experiment_that_is_read_while_it_runs_tells_what_the_arms_do_alone(world):
    found = rows(world, replace(LOT, sequential=12_000))
    assert "read while it runs" in found["two_stage", "LATE"].reason
    assert found["difference_in_means", "ATE"].supported


def test_without_a_limit_an_experiment_is_of_its_arms_alone(world):
    bare = replace(LOT, treatment=replace(LOT.treatment, first_response_minutes=None))
    assert ("two_stage", "LATE") not in rows(world, bare)
