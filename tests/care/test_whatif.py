"""What if more customers were answered in time: within what was seen, on effects that may be used."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from care.asking import question_of
from care.evidence import CareEffect, find_effect, settled_by
from care.in_time import agents_for_share, share_in_time
from care.silence import Ignored, silence_lines
from care.whatif import WhatIfQuestion, Work, what_if
from histories.errors import ConfigError
from tests.care.facts import CONFIGURATION, effect_row, facts, promise_rows

FAST = CareEffect(name="fast", outcome="spend", value=7.0, std_error=2.0).times(0.45, "margin")
QUESTION = WhatIfQuestion(
    promise="answer within the hour",
    cases=3000,
    share_now=0.44,
    share=0.64,
    margin=FAST,
    issues=CareEffect(name="fast", outcome="issues", value=0.05),
    cost_per_contact=4.0,
    work=Work(hours=50, cost_per_hour=25.0),
)


def test_the_worked_example_comes_out() -> None:
    found = what_if(QUESTION)
    assert found.cases == pytest.approx(600)
    margin = (found.margin.value, found.margin.low, found.margin.high)
    assert margin == pytest.approx((1890, 832, 2948), abs=0.5)
    assert (found.induced_contacts.value, found.induced_cost.value) == pytest.approx((30, 120))
    assert (found.cost.value, found.net.value) == pytest.approx((1250, 520))
    assert found.chance == pytest.approx(0.832, abs=5e-4)


def test_the_error_of_induced_contacts_widens_the_net() -> None:
    unsure = CareEffect(name="fast", outcome="issues", value=0.05, std_error=0.1)
    sure, wide = what_if(QUESTION), what_if(replace(QUESTION, issues=unsure))
    assert wide.net.value == sure.net.value
    assert (wide.net.high or 0) - (wide.net.low or 0) > (sure.net.high or 0) - (sure.net.low or 0)


@settings(deadline=None, max_examples=50)
@given(share=st.floats(0.44, 1.0), known=st.floats(0.0, 1.0))
def test_known_and_unknown_authors_are_all_cases_that_become_fast(share: float, known: float) -> None:
    found = what_if(replace(QUESTION, share=share, known_share=known))
    both = (found.margin.value or 0.0) + (found.margin_unknown_authors.value or 0.0)
    assert both == pytest.approx(found.cases * 7.0 * 0.45, abs=1e-6)


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (0.40, r"is below today's; allowed: 0.44 \(just above today's 0.440\) to 0.70"),
        (1.01, r"share 1.01; allowed: 0.44 \(just above today's 0.440\) to 0.70"),
        (0.71, r"never observed; the highest is 0.700 \(2026-W10\). The nearest allowed is 0.70"),
        (math.nan, "allowed: 0.44"),
    ],
)
def test_a_share_below_todays_above_one_or_never_seen_is_refused(share: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        what_if(question_of(facts(), share=share))


def test_the_share_that_a_refusal_allows_is_allowed() -> None:
    """Rounded to two digits, .3951 would be .40 and .4881 .48: both within."""
    odd = promise_rows(("(all)", 0.3951, 3000), ("2026-W10", 0.4881, 400))
    with pytest.raises(ConfigError, match=r"allowed: 0.40 \(just above today's 0.395\) to 0.48"):
        what_if(question_of(facts(care=odd), share=0.39))
    for share in (0.40, 0.48):
        assert what_if(question_of(facts(care=odd), share=share)).share == share


def test_a_week_of_few_cases_is_not_what_was_observed() -> None:
    assert question_of(facts()).highest_share == 0.70


def test_an_effect_that_is_not_supported_gives_the_reason_and_the_experiment() -> None:
    refused = [effect_row("spend", 7.0, 2.0, supported=False, reason="the placebo moved")]
    found = what_if(question_of(facts(refused), share=0.64))
    assert (found.supported, found.reason) == (False, "the placebo moved")
    assert (found.margin.value, found.net.value, found.chance) == (None, None, None)
    assert found.cases == pytest.approx(600)
    assert (found.cost.value or 0) > 0
    assert found.settled_by is not None
    assert "a lottery of priority by case id, about" in found.settled_by


def test_without_any_design_the_next_step_is_said() -> None:
    found = what_if(question_of(facts(configuration=CONFIGURATION | {"effects": []}), share=0.6))
    assert found.reason is not None
    assert "no effect of an answer within 60 minutes is estimated" in found.reason


def test_the_effect_on_those_who_waited_goes_before_the_designs_first_row() -> None:
    rows = [effect_row("spend", 3.0, 1.0, estimand="ATO"), effect_row("spend", 7.0, 2.0)]
    found = find_effect(facts(rows).effects, CONFIGURATION["effects"], "spend", minutes=60.0)
    assert (found.estimand, found.value) == ("ATU", 7.0)
    rows[1] |= {"supported": False, "reason": "no overlap"}
    found = find_effect(facts(rows).effects, CONFIGURATION["effects"], "spend", minutes=60.0)
    assert (found.estimand, found.value) == ("ATO", 3.0)


def test_a_design_whose_own_figure_is_refused_lends_none_of_its_others() -> None:
    rows = [
        effect_row("spend", 3.0, 1.0, estimand="LATE", supported=False, reason="the queue foretells"),
        effect_row("spend", 7.0, 2.0),
    ]
    found = find_effect(facts(rows).effects, CONFIGURATION["effects"], "spend", minutes=60.0)
    assert (found.usable, found.reason) == (False, "the queue foretells")


def test_designs_that_disagree_beyond_their_errors_answer_nothing() -> None:
    second = CONFIGURATION["effects"][0] | {"name": "queue", "design": "queue"}
    designs = [*CONFIGURATION["effects"], second]
    for value, is_usable in ((9.0, True), (14.0, False)):
        rows = [effect_row("spend", 7.0, 2.0), effect_row("spend", value, 2.0, name="queue", estimand="LATE")]
        found = find_effect(facts(rows).effects, designs, "spend", minutes=60.0)
        assert found.usable == is_usable
        assert found.name == "fast answers"
    assert found.reason is not None
    assert "lie apart beyond their errors" in found.reason


def test_naive_rows_and_segments_are_no_evidence() -> None:
    rows = [effect_row("spend", 9.0, 1.0, estimator="naive"), effect_row("spend", 9.0, 1.0, segment="a: b")]
    found = find_effect(facts(rows).effects, CONFIGURATION["effects"], "spend", minutes=60.0)
    assert not found.usable


def test_an_effect_by_the_calendar_answers_no_promise_in_opening_hours() -> None:
    (design,) = CONFIGURATION["effects"]
    on_calendar = CONFIGURATION | {"effects": [design | {"clock": "calendar"}]}
    found = what_if(question_of(facts(configuration=on_calendar), share=0.64))
    assert (found.supported, found.margin.value, found.retained.value) == (False, None, None)
    assert found.cases == pytest.approx(600)
    assert found.reason is not None
    assert found.reason.startswith(
        'the promise counts business minutes and the effect "fast answers" calendar'
    )
    assert found.settled_by is not None
    assert found.settled_by.startswith('clock = "business" in its [[effects]] entry')
    assert what_if(question_of(facts(), share=0.64)).supported


def by_speed() -> list[dict[str, Any]]:
    """The usual effects, and a curve: 8 within the hour, 6 within two, 1 later; waits are 30, 60, ... 270."""
    about: dict[str, Any] = {
        "name": "speed",
        "design": "response_curve",
        "control": "not answered",
        "estimand": "ATO",
    }
    bins = {"0-60": (8.0, 0.3), "60-120": (6.0, 0.4), "120-": (1.0, 0.5)}
    rows = [effect_row("spend", 7.0, 2.0, bin=None, control="slower")]
    return [
        *rows,
        *(effect_row("spend", *figures, **(about | {"bin": label})) for label, figures in bins.items()),
    ]


def test_who_is_next_in_the_queue_gains_less_than_a_random_draw_and_both_are_said() -> None:
    """A tenth waited 90 minutes, the next tenth 120: all of them come from the bin of 6."""
    speed = {"name": "speed", "design": "response_curve", "clock": "business"}
    given = CONFIGURATION | {"effects": [*CONFIGURATION["effects"], speed]}
    found = what_if(question_of(facts(by_speed(), configuration=given), share=0.45))
    cases = found.cases
    assert found.margin_next.value == pytest.approx(cases * 0.45 * (8.0 - 6.0))
    half = 1.96 * 0.45 * math.hypot(0.3, 0.4) * cases
    assert found.margin_next.high == pytest.approx((found.margin_next.value or 0) + half, rel=1e-3)
    drawn = 8.0 - (2 * 6.0 + 5 * 1.0 + 1 * 0.0) / 8  # of eight who waited longer one was never answered
    assert found.margin.value == pytest.approx(cases * 0.45 * drawn)
    assert found.net.value == pytest.approx((found.margin.value or 0) - (found.cost.value or 0))
    assert "drawn at random" in found.notes[-1]


@pytest.mark.parametrize("other", [{"bin": "0-45"}, {"supported": False}, {"control": "slower"}])
def test_without_a_bin_that_ends_with_the_promise_nothing_is_said_of_who_is_next(
    other: dict[str, object],
) -> None:
    speed = {"name": "speed", "design": "response_curve", "clock": "business"}
    given = CONFIGURATION | {"effects": [*CONFIGURATION["effects"], speed]}
    rows = by_speed()
    rows[1] |= other
    found = what_if(question_of(facts(rows, configuration=given), share=0.45))
    assert found.margin_next.value is None
    assert found.margin_next.reason is not None
    assert "supported bins that end at 60 minutes" in found.margin_next.reason
    assert found.supported


def test_designs_by_two_clocks_do_not_disagree() -> None:
    (design,) = CONFIGURATION["effects"]
    designs = [design | {"name": "calendar", "clock": "calendar"}, design]
    rows = [effect_row("spend", 70.0, 2.0, name="calendar"), effect_row("spend", 7.0, 2.0)]
    asked = facts(rows, configuration=CONFIGURATION | {"effects": designs})
    assert question_of(asked).margin.value == pytest.approx(7.0 * 0.45)
    either = find_effect(asked.effects, designs, "spend", minutes=60.0)
    assert (either.usable, either.clock, either.value) == (True, "calendar", 70.0)


def test_an_effect_of_another_limit_answers_no_other_question() -> None:
    found = find_effect(facts().effects, CONFIGURATION["effects"], "spend", minutes=15.0)
    assert found.reason is not None
    assert "within 15 minutes" in found.reason


def test_unknown_authors_bring_no_margin_but_take_work() -> None:
    known, half = (what_if(question_of(facts(known=share), share=0.64)) for share in (1.0, 0.5))
    assert half.margin.value == pytest.approx((known.margin.value or 0) / 2)
    assert half.cost == known.cost


def test_a_small_desk_may_ask_for_the_best_weeks_in_a_row_that_hold_thirty_cases() -> None:
    small = promise_rows(
        ("(all)", 0.5, 60), ("2026-W10", 0.7, 20), ("2026-W11", 0.9, 20), ("2026-W12", 0.1, 20)
    )
    found = question_of(facts(care=small))
    assert found.highest_share == pytest.approx(0.8)
    assert found.where == "2026-W10 to 2026-W11"


def test_an_effect_of_one_channel_says_nothing_of_the_others() -> None:
    (design,) = CONFIGURATION["effects"]
    social = design | {"treatment": design["treatment"] | {"group": "social"}}
    given = CONFIGURATION | {"effects": [social], "channels": {"twitter": {"group": "social"}}}
    cases = facts().cases.with_columns(
        channel=pl.when(pl.int_range(pl.len()) % 4 == 0).then(pl.lit("twitter")).otherwise(pl.lit("phone"))
    )
    whole, part = (
        what_if(question_of(one, share=0.64)) for one in (facts(), facts(configuration=given, cases=cases))
    )
    assert part.margin.value == pytest.approx((whole.margin.value or 0) / 4)
    assert part.margin_unknown_authors.value == 0
    assert part.cost == whole.cost
    assert "margin is that of 25% of the cases" in part.notes[-1]


def test_a_promise_that_nobody_made_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match='no promise "answer in the hour"; did you mean'):
        question_of(facts(), promise="answer in the hour")
    with pytest.raises(ConfigError, match="no case was kept or broken by it"):
        question_of(facts(care=promise_rows()))


def test_agents_for_all_cases_are_those_of_the_queue_and_fewer_serve_fewer() -> None:
    week = np.array([20.0, 30, 40, 60, 50, 40, 40, 50, 60, 40, 20, 10])
    shares = [share_in_time(week, 12 * agents, 1.0) for agents in (2.0, 3.0, 3.3, 3.6)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    agents = agents_for_share(week, 12, 1.0, 0.8)
    assert share_in_time(week, 12 * agents, 1.0) == pytest.approx(0.8, abs=0.02)
    assert agents_for_share(week, 12, 1.0, 1.0) == pytest.approx(3.571, abs=0.02)  # as care.deferred has it


def test_a_lottery_is_larger_for_a_smaller_effect() -> None:
    effect = CareEffect(name="fast", outcome="margin", std_error=0.9, sizes=(800, 800))
    assert settled_by(effect, smallest=1.0) > settled_by(effect, smallest=None)
    assert "about 5,087 cases in each arm" in settled_by(effect, smallest=1.0)
    assert "about 393 cases in each arm (to see an effect of 3.60" in settled_by(effect, smallest=67.9)


def test_silence_costs_what_answers_to_known_customers_would_have_brought() -> None:
    answer = CareEffect(name="answer", outcome="spend", value=6.20, low=1.00, high=11.40)
    lines = {
        line["line"]: line
        for line in silence_lines(
            Ignored(known=250, unknown=150, audience=90_000), answer.times(0.45, "margin")
        )
    }
    known = lines["silence: known customers"]
    assert (known["value"], known["low"], known["high"]) == pytest.approx((697.50, 112.50, 1282.50))
    assert lines["silence: all authors as if known"]["value"] == pytest.approx(1116.0)
    assert lines["silence: public audience"]["unit"] == "followers"


def test_silence_without_an_effect_is_counted_and_not_priced() -> None:
    none = CareEffect(name="an answer", outcome="margin", supported=False, reason="all were answered")
    known, *_ = silence_lines(Ignored(known=250, unknown=150), none)
    assert (known["value"], known["n"], known["reason"]) == (None, 250, "all were answered")
