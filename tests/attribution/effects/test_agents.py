"""By who was at work: hidden anger, agents who differ in more than speed, who get other customers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from attribution.effects.data.desk import NEVER, agents_at_opening
from attribution.effects.effect import Effect
from attribution.effects.findings import Findings
from attribution.effects.held import hold_together
from attribution.effects.run import estimate_effect
from benchmarks.waiting import AGENT, Rota, RushWorld, simulate_rush, waiting_designs
from histories.errors import DataError

QUEUE, _ = waiting_designs()


def rows(world: RushWorld, **tables: object) -> dict[tuple[str, str], Effect]:
    held = replace(world.tables, **tables) if tables else world.tables
    found = estimate_effect(AGENT, tables=held, observation_end=world.end)
    return {(e.estimator, e.estimand): e for e in found.effects}


def company(seed: int, n: int = 12_000, **rota: float) -> RushWorld:
    return simulate_rush(n, np.random.default_rng(seed), rota=Rota(**rota))


@pytest.fixture(scope="module")
def world() -> RushWorld:
    return company(11)


def test_with_hidden_anger_the_agents_find_what_naive_and_adjusted_miss(world):
    """The truth is 5; the least angry wait longest."""
    found = rows(world)
    agents, adjusted, naive = found["two_stage", "LATE"], found["aipw", "ATO"], found["naive", "ATE"]
    assert agents.low < 5 < agents.high
    assert agents.low > 0
    assert agents.first_stage_f > 30
    assert naive.high < 2
    assert adjusted.high < 4
    assert agents.direct_to_zero is None


def test_without_shifts_who_answered_just_before_is_at_work(world):
    agents = rows(world, hours=None)["two_stage", "LATE"]
    assert agents.low < 5 < agents.high
    assert agents.first_stage_f > 10


def test_agents_who_differ_in_more_than_speed_are_refused():
    agents = rows(company(3, skill=1.0))["two_stage", "LATE"]
    assert not agents.supported
    assert "by more than their speed explains" in agents.reason


def test_fast_agents_who_get_better_customers_are_refused():
    agents = rows(company(4, better=0.5))["two_stage", "LATE"]
    assert not agents.supported
    assert "agents get different cases" in agents.reason
    assert "agents get cases from which other spend is to be expected" in agents.reason


def test_agents_of_one_speed_move_no_answer():
    agents = rows(company(5, 6000, spread=0.0))["two_stage", "LATE"]
    assert not agents.supported
    assert agents.reason.startswith("who is at work hardly moves the answer")
    assert "more than their speed" not in agents.reason


def test_where_queue_and_agents_lie_apart_neither_is_quoted():
    said = Effect(
        name="q", treatment="t", control="c", outcome="spend", design="queue", estimator="two_stage",
        estimand="LATE", estimate=5.0, std_error=0.5, low=4.0, high=6.0, first_stage_f=40.0,
    )  # fmt: skip
    other = replace(said, name="a", design="agent", estimate=8.0)

    def held(one: Effect, two: Effect) -> list[bool]:
        found = hold_together([QUEUE, AGENT], [Findings(effects=(e,)) for e in (one, two)])
        return [findings.effects[0].supported for findings in found]

    assert held(said, other) == [False, False]
    assert held(said, replace(other, estimate=6.0)) == [True, True]
    assert held(said, other.refused("agents get different cases")) == [True, False]


def test_at_work_are_those_of_the_line_by_their_shifts():
    minute = 60_000_000
    cases = pl.DataFrame(
        {
            "channel": ["chat", "phone"],
            "ended": [5 * minute, NEVER],
            "agent": ["ann", None],
            "started": [0, 10 * minute],
        }
    )
    bobs = cases.with_columns(channel=pl.lit("phone"), agent=pl.lit("bob"), ended=pl.lit(minute, pl.Int64))
    cases = pl.concat([cases, bobs])
    shifts = pl.DataFrame({"agent": ["ann", "bob"], "start": [0, 0], "end": [20 * minute, 5 * minute]})
    opened = pl.DataFrame({"channel": ["chat", "phone", "phone"], "started": [minute, minute, 9 * minute]})
    assert agents_at_opening(cases, shifts, opened).tolist() == [[True, False], [False, True], [False, False]]
    elsewhere = shifts.with_columns(agent=pl.lit("nobody of these"))
    by_answers = agents_at_opening(cases, elsewhere, opened)
    assert by_answers.tolist() == [[False], [False], [True]]
    assert agents_at_opening(cases.drop("agent"), None, opened) is None


def test_agents_need_names_and_four_of_them(world):
    with pytest.raises(DataError, match=r"nobody says who was at work; give inputs.hours"):
        rows(world, hours=None, cases=world.tables.cases.drop("agent"))
    few = world.tables.hours.filter(pl.col("agent").is_in(["chat 1", "phone 2"]))
    with pytest.raises(DataError, match=r"2 agents were at work .* 4 are needed"):
        rows(world, hours=few)
    with pytest.raises(ValidationError, match=r"agent needs treatment.first_response_minutes"):
        replace(AGENT, treatment={})
