"""Who is answered next: by value at stake, or by need and audience, never a sum of the two."""

from __future__ import annotations

import polars as pl
import pytest

from attribution.effects.effect import EFFECTS_SCHEMA
from care.queue import case_rows, with_ranks
from care.stake import gain_of_answer, priority_ranks
from experiments.parts.care import without_stake
from tests.care.desks import cases_of, desk_of, posts

ANSWERED = {"name": "answered", "design": "landmark", "control": "unanswered", "treatment": {}}
FAST = {"name": "fast", "control": "slower", "treatment": {"first_response_minutes": 60.0}}


def _effects(**changes: object) -> pl.DataFrame:
    row = dict.fromkeys(EFFECTS_SCHEMA) | {
        "name": "answered", "outcome": "retention", "segment": "(all)", "estimand": "ATU",
        "design": "landmark", "estimator": "aipw", "estimate": 0.05, "low": 0.01, "high": 0.09,
        "supported": True,
    }  # fmt: skip
    return pl.DataFrame([row | changes], schema=EFFECTS_SCHEMA)


def test_the_gain_is_what_those_who_wait_would_gain() -> None:
    found = gain_of_answer(_effects(), [ANSWERED])
    assert found is not None
    assert (found.name, found.value, found.low, found.high) == ("answered", 0.05, 0.01, 0.09)


@pytest.mark.parametrize(
    "changes",
    [
        {"estimand": "ATT"},
        {"supported": False},
        {"estimate": -0.05, "low": -0.09, "high": -0.01},
        {"low": -0.01},
        {"outcome": "spend"},
        {"segment": "channel: x"},
        {"name": "mailing"},
        {"bin": "15-60"},
    ],
)
def test_no_other_effect_says_what_an_answer_now_is_worth(changes: dict[str, object]) -> None:
    assert gain_of_answer(_effects(**changes), [ANSWERED]) is None


def test_an_effect_against_no_answer_is_asked_before_one_against_a_later_answer() -> None:
    both = pl.concat([_effects(name="fast", estimate=0.02), _effects()])
    found = gain_of_answer(both, [FAST, ANSWERED])
    assert found is not None
    assert found.name == "answered"
    alone = gain_of_answer(both.filter(pl.col("name") == "fast"), [FAST, ANSWERED])
    assert alone is not None
    assert (alone.value, alone.minutes) == (0.02, 60.0)


def _waiting(*rows: tuple[str, float | None, int | None, float | None, float]) -> pl.DataFrame:
    columns = ("case_id", "customer_lifetime_value", "audience", "sentiment_last", "waiting_seconds")
    frame = pl.DataFrame(
        [dict(zip(columns, row, strict=True)) for row in rows],
        schema={
            "case_id": pl.String, "customer_lifetime_value": pl.Float64, "audience": pl.Int64,
            "sentiment_last": pl.Float64, "waiting_seconds": pl.Float64,
        },
    )  # fmt: skip
    return frame.with_columns(
        pl.lit(None, dtype=pl.String).alias("repeat_of"),
        pl.lit(None, dtype=pl.Boolean).alias("reopened"),
        pl.lit(None, dtype=pl.Boolean).alias("escalated"),
    )


def test_a_case_comes_as_early_as_the_better_of_its_two_places() -> None:
    """By value dear, fair, cheap; by need and audience angry, loud, and the others fifth together."""
    order = priority_ranks(
        _waiting(
            ("cheap", 10.0, None, None, 60),
            ("angry", None, 5, -0.9, 60),
            ("dear", 500.0, None, None, 60),
            ("loud", None, 90_000, None, 60),
            ("fair", 50.0, None, None, 60),
        )
    )
    assert order["case_id"].to_list() == ["dear", "angry", "fair", "loud", "cheap"]


def test_among_equals_who_waits_longer_is_next_and_then_the_id() -> None:
    rows = (("b", None, None, None, 60.0), ("c", None, None, None, 90.0), ("a", None, None, None, 60.0))
    for turn in (rows, rows[::-1]):
        assert priority_ranks(_waiting(*turn))["case_id"].to_list() == ["c", "a", "b"]


def test_value_at_stake_is_the_gain_times_the_value_and_unknown_without_a_gain() -> None:
    frame = posts().with_columns(pl.when(pl.col("author") == "u3").then(7).alias("customer_id"))
    cases = cases_of(frame)
    worth = pl.DataFrame({"customer_id": [7], "customer_lifetime_value": [200.0]})

    def waiting(**known: object) -> dict[str, object]:
        table = with_ranks(case_rows(cases, desk_of(cases, values=worth, **known)).lazy())
        return table.filter(pl.col("case_id") == "post:p7").collect().row(0, named=True)

    told = waiting(gain=0.05)
    assert (told["value_at_stake"], told["priority_rank"]) == (pytest.approx(10.0), 1)
    assert told["priority_reason"] == "an answer is worth 10.0 (5.0% of 200.0)"
    late = waiting(gain=0.05, gain_minutes=60.0)
    assert (late["value_at_stake"], late["priority_reason"]) == (None, "customer worth 200.0")
    in_time = waiting(gain=0.05, gain_minutes=1e6)
    assert in_time["value_at_stake"] == pytest.approx(10.0)
    unknown = waiting()
    assert (unknown["value_at_stake"], unknown["priority_rank"]) == (None, 1)
    assert unknown["priority_reason"] == "customer worth 200.0"


def test_why_nothing_is_at_stake_is_said() -> None:
    worth = pl.DataFrame({"customer_id": [7], "customer_lifetime_value": [200.0]})
    cases = cases_of(posts())

    def told(**known: object) -> str:
        return without_stake(desk_of(cases, values=worth, **known)).get("value at stake", "")

    assert told().startswith("no supported effect says what an answer adds")
    assert "within 60 minutes adds to a later one, and all who wait have waited longer" in told(
        gain=0.05, gain_minutes=60.0
    )
    assert told(gain=0.05, gain_minutes=1e6) == told(gain=0.05) == ""
