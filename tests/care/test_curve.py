"""Any answer, and answers by their speed, as a response curve tells them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from care.curve import effects_by_speed
from care.evidence import CareEffect, find_effect
from care.silence import Ignored, silence_lines
from tests.care.facts import effect_row

CURVE = {"name": "speed", "design": "response_curve", "follow_up_days": 30}
LANDMARK = {"name": "any answer", "design": "landmark", "control": "unanswered", "follow_up_days": 30}


def bin_row(label: str, value: float, error: float, **more: Any) -> dict[str, Any]:
    """A bin of the curve against cases never answered."""
    about = {"name": "speed", "design": "response_curve", "estimand": "ATO", "control": "not answered"}
    return effect_row("spend", value, error, bin=label, **(about | more))


def landmark_row(value: float, error: float, **more: Any) -> dict[str, Any]:
    return effect_row(
        "spend", value, error, **({"name": "any answer", "estimand": "ATT", "bin": None} | more)
    )


def by_speed(*rows: dict[str, Any]) -> dict[str, CareEffect]:
    return effects_by_speed(pl.DataFrame(list(rows), infer_schema_length=None), [CURVE], gross_margin=0.5)


def any_answer(*rows: dict[str, Any], **landmark: Any) -> CareEffect:
    designs = [LANDMARK | landmark, CURVE]
    return find_effect(pl.DataFrame(list(rows), infer_schema_length=None), designs, "spend", estimand="ATT")


def test_each_bin_has_a_line_of_its_own_with_its_simultaneous_interval() -> None:
    row = bin_row("0-15", 8.0, 2.0, low=2.0, high=14.0)
    effects = by_speed(row, bin_row("any", 7.0, 1.0))
    assert list(effects) == ["0-15"]
    lines = list(silence_lines(Ignored(known=10, unknown=5, audience=900), effects["0-15"], segment="fast"))
    assert [line["segment"] for line in lines] == ["fast", "fast"]
    assert [lines[0][end] for end in ("value", "low", "high")] == pytest.approx([40, 10, 70])


@pytest.mark.parametrize(
    "other", [{"control": "first answer after 1440 minutes"}, {"estimator": "naive"}, {"segment": "a: b"}]
)
def test_bins_against_slow_answers_naive_rows_and_segments_say_nothing_of_silence(
    other: dict[str, Any],
) -> None:
    assert by_speed(bin_row("0-15", 8.0, 2.0, **other)) == {}


def test_any_answer_is_read_from_the_curve_before_the_landmark() -> None:
    rows = landmark_row(6.0, 2.0), bin_row("0-15", 8.0, 2.0), bin_row("any", 5.0, 2.0)
    assert any_answer(*rows).name == "speed"
    assert any_answer(*rows).value == 5.0
    refused = bin_row("any", 5.0, 2.0, supported=False, reason="no overlap")
    assert any_answer(*rows[:2], refused).name == "any answer"


def test_the_longer_follow_up_and_all_channels_come_before_the_curve() -> None:
    rows = landmark_row(26.0, 2.0), bin_row("any", 5.0, 2.0)
    assert any_answer(*rows, follow_up_days=90).value == 26.0  # other lengths do not contradict each other
    assert any_answer(*rows, follow_up_days=90, treatment={"channel": "chat"}).value == 5.0


def test_a_curve_and_a_landmark_that_lie_apart_beyond_their_errors_say_nothing() -> None:
    found = any_answer(landmark_row(26.0, 2.0), bin_row("any", 5.0, 2.0))
    assert not found.usable
    assert found.reason is not None
    assert "lie apart beyond their errors" in found.reason


def test_a_curve_against_slow_answers_says_why_it_knows_nothing_of_any() -> None:
    rows = pl.DataFrame([bin_row("0-15", 8.0, 2.0, control="first answer after 60 minutes")])
    found = find_effect(rows, [CURVE], "spend")
    assert found.reason == '"speed" holds answers against slow ones: too few cases were never answered'
