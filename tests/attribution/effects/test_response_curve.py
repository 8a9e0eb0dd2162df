"""Response curve: what is recovered, simultaneous intervals, the monotone curve, bins without support."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from attribution.effects.data.cases import build_case_units
from attribution.effects.data.tables import Setting
from attribution.effects.effect import Effect
from attribution.effects.estimators.bins import Bins, monotone, simultaneous_width
from attribution.effects.findings import EffectsResult
from attribution.effects.run import estimate_effect
from benchmarks.waiting import RushWorld, simulate_rush, waiting_designs
from histories.errors import DataError

_, CURVE = waiting_designs()
FAIR = replace(CURVE, bins=(60, 1440))


def rows(world: RushWorld, design: object = FAIR, **tables: object) -> dict[tuple[str | None, str], Effect]:
    held = replace(world.tables, **tables) if tables else world.tables
    found = estimate_effect(design, tables=held, observation_end=world.end)
    return {(e.bin, e.estimator): e for e in found.effects}


@pytest.fixture(scope="module")
def fair() -> RushWorld:
    """Nobody is answered for being angry."""
    return simulate_rush(8_000, np.random.default_rng(1), jump=0.0)


@pytest.fixture(scope="module")
def found(fair) -> EffectsResult:
    return estimate_effect(FAIR, tables=fair.tables, observation_end=fair.end)


@pytest.fixture(scope="module")
def by_bin(found) -> dict[tuple[str | None, str], Effect]:
    return {(e.bin, e.estimator): e for e in found.effects}


def test_what_a_fast_answer_is_worth_is_recovered_and_a_slow_one_is_worth_nothing(by_bin):
    fast, slow = by_bin["0-60", "aipw"], by_bin["60-1440", "aipw"]
    assert fast.supported, fast.reason
    assert fast.low < 5 < fast.high
    assert fast.low > 0
    assert slow.low < 0 < slow.high
    assert (fast.control, fast.estimand, fast.treatment) == (
        "not answered",
        "ATO",
        "first answer within 60 minutes",
    )


def test_naive_and_monotone_stand_beside_each_bin(by_bin):
    assert not by_bin["0-60", "naive"].supported
    curve = [by_bin[name, "isotonic"] for name in ("0-60", "60-1440")]
    assert curve[0].estimate >= curve[1].estimate
    assert all(e.low <= e.estimate <= e.high for e in curve)


def test_any_answer_is_held_against_none_for_the_answered_and_the_unanswered(fair, found):
    whole = {e.estimand: e for e in found.effects if (e.bin, e.estimator) == ("any", "aipw")}
    assert list(whole) == ["ATE", "ATO", "ATT", "ATU"]
    fast = (fair.waited <= 60)[np.isfinite(fair.waited)].mean()
    for effect in whole.values():
        assert effect.supported, effect.reason
        assert effect.low < 5 * fast < effect.high
        assert (effect.treatment, effect.control) == ("any answer", "not answered")
    bins = [e for e in found.effects if e.estimator == "naive" and e.bin != "any"]
    assert whole["ATT"].n_treated == sum(e.n_treated for e in bins)


def test_without_unanswered_cases_nothing_is_said_of_any_answer(fair):
    cases = fair.tables.cases.filter(pl.col("first_response_at").is_not_null())
    assert ("any", "aipw") not in rows(fair, cases=cases)


def test_an_outcome_that_is_the_same_for_all_says_nothing(fair):
    found = rows(fair, replace(FAIR, outcomes=("issues",)))
    assert found["0-60", "aipw"].reason.startswith(
        "issues is the same for all: there is nothing to tell apart"
    )
    assert found["0-60", "aipw"].estimate is None


def test_each_bin_is_read_by_segment(fair):
    found = estimate_effect(replace(FAIR, segments=("topic",)), tables=fair.tables, observation_end=fair.end)
    parts = [e for e in found.effects if e.segment != "(all)" and e.bin == "0-60"]
    assert sorted(e.segment for e in parts) == ["topic: advice", "topic: order", "topic: return"]
    assert all(abs(e.estimate - 5) < 3.5 * e.std_error for e in parts)
    assert any("within 60 minutes: topic" in name for name in found.pictures["tests"]["hypothesis"])
    assert found.pictures["segment_margins"].is_empty()


def test_crossed_segments_are_the_cells_of_both_and_hold_every_case(fair):
    design = replace(FAIR, segments=("topic x channel",), min_segment=20)
    found = estimate_effect(design, tables=fair.tables, observation_end=fair.end)
    cells = [e for e in found.effects if e.segment != "(all)" and e.bin == "any"]
    names = [f"topic x channel: {a} x {b}" for a in ("advice", "order", "return") for b in ("chat", "phone")]
    assert [e.segment for e in cells] == names
    whole = next(e for e in found.effects if (e.bin, e.segment) == ("any", "(all)"))
    assert sum(e.n_treated for e in cells) == whole.n_treated
    tests = found.pictures["tests"].filter(pl.col("hypothesis") == "any answer: topic x channel")
    assert tests["test"].to_list() == ["equal effects across topic x channel"]


def test_hidden_anger_bends_the_curve():
    """The angry are answered first, so that the first bin loses a good part of its 5."""
    found = rows(simulate_rush(8_000, np.random.default_rng(2)))
    assert found["0-60", "aipw"].estimate < 4


def test_a_bin_with_few_cases_says_so(fair):
    found = rows(fair, replace(CURVE, bins=(0.01, 60)))
    assert found["0-0.01", "aipw"].reason == "no support: 0 cases in this bin, 50 needed"
    assert found["0-0.01", "aipw"].estimate is None
    assert found["0.01-60", "aipw"].estimate is not None


def test_where_all_are_answered_the_slowest_are_the_reference(fair):
    cases = fair.tables.cases.filter(pl.col("first_response_at").is_not_null())
    found = rows(fair, cases=cases)
    assert found["0-60", "aipw"].control == "first answer after 1440 minutes"
    assert found["never", "aipw"].reason == "no support: 0 cases in this bin, 50 needed"
    asked = rows(fair, replace(FAIR, control="unanswered"), cases=cases)
    assert asked["0-60", "aipw"].reason.startswith("no unanswered cases to compare with: 0, 50 needed")


def test_a_wait_of_just_the_limit_belongs_to_the_faster_bin():
    bins = Bins(edges=(15.0, 60.0))
    assert bins.of(np.array([0.0, 15.0, 15.1, 60.0, 61.0, np.inf])).tolist() == [0, 0, 1, 1, 2, 3]
    assert bins.labels == ("0-15", "15-60", "60-", "never")


def test_all_bins_lie_within_their_intervals_at_once():
    """Independent estimates: the 95 % point of the largest of five is the .9898 quantile, 2.57 (Sidak)."""
    width = simultaneous_width(np.eye(5), np.random.default_rng(0))
    assert width == pytest.approx(2.569, abs=0.03)
    together = simultaneous_width(np.ones((5, 5)) + 1e-9 * np.eye(5), np.random.default_rng(0))
    assert together == pytest.approx(1.96, abs=0.03)


def test_the_monotone_curve_pools_what_is_out_of_order():
    """Barlow et al. (1972), pool adjacent violators; weights 1, 1, 2."""
    fit, rising = monotone(np.array([5.0, 1.0, 4.0]), np.array([1.0, 1.0, 2.0]))
    assert not rising
    assert fit.tolist() == [5.0, 3.0, 3.0]
    assert monotone(np.array([0.0, 1.0, 2.0]), np.ones(3))[1]


def test_satisfaction_is_that_of_the_case_where_it_was_rated(fair):
    cases = fair.tables.cases.collect()
    answered = cases["first_response_at"].is_not_null().to_numpy()
    rated = np.where(answered & (np.arange(cases.height) % 2 == 0), np.where(fair.waited <= 60, 5, 3), 0)
    held = cases.with_columns(csat=pl.Series(rated).replace(0, None)).lazy()
    found = rows(fair, replace(FAIR, outcomes=("csat",)), cases=held)
    assert found["0-60", "naive"].estimate == pytest.approx(1.0)
    assert found["0-60", "naive"].control == "first answer after 1440 minutes"
    with pytest.raises(DataError, match=r"needs cases.csat"):
        rows(fair, replace(FAIR, outcomes=("csat",)))


def test_cases_that_need_no_reply_or_follow_another_are_no_units(fair):
    cases = fair.tables.cases.with_columns(
        needs_reply=pl.int_range(pl.len()) % 4 != 0, journey_id=pl.col("case_id").shift(1).fill_null("0")
    )
    setting = Setting(
        tables=replace(fair.tables, cases=cases), base_dir=None, observation_end=fair.end, gross_margin=None
    )
    with pytest.raises(DataError, match="no case came by any channel"):
        build_case_units(FAIR, setting)
    kept = Setting(
        tables=replace(fair.tables, cases=cases.drop("journey_id")),
        base_dir=None,
        observation_end=fair.end,
        gross_margin=None,
    )
    assert len(build_case_units(FAIR, kept).minutes) == 6_000


def test_minutes_inside_opening_hours_are_asked_for_by_name(fair):
    with pytest.raises(DataError, match=r'clock = "business" needs \[care.hours\]'):
        rows(fair, replace(FAIR, clock="business"))
    minutes = pl.Series(fair.waited).replace([np.inf], None) / 10
    held = fair.tables.cases.with_columns(minutes.alias("first_response_business_minutes"))
    found = rows(fair, replace(FAIR, clock="business"), cases=held)
    assert found["0-60", "naive"].n_treated == int((fair.waited <= 600).sum())


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"bins": (60, 15)}, "bins = 60, 15; allowed: 1 to 12 rising numbers of minutes"),
        ({"bins": ()}, "bins = none; allowed"),
        ({"control": "no_contact"}, 'control = "unanswered" or "slower"'),
        ({"treatment": {"first_response_minutes": 60}}, "takes its limits from bins"),
        ({"design": "dose", "clock": "business"}, "bins belong to a design on cases"),
    ],
)
def test_a_curve_that_cannot_be_drawn_is_refused_when_it_is_read(choices, told):
    with pytest.raises(ValidationError, match=told):
        replace(FAIR, **{"bins": (60, 1440), **choices})
