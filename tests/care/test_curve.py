"""What silence costs by the bins of a response curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from care.curve import find_curve
from care.silence import Ignored, silence_lines
from tests.care.facts import effect_row

DESIGN = {"name": "speed", "design": "response_curve"}
WAITS = np.array([5.0, 15.0, 30.0, 30.0])


def bin_row(label: str, value: float, error: float, **more: Any) -> dict[str, Any]:
    """A bin of the curve against cases never answered."""
    about = {"name": "speed", "design": "response_curve", "estimand": "ATO", "control": "not answered"}
    return effect_row("spend", value, error, bin=label, **(about | more))


def curve_of(*rows: dict[str, Any]) -> Any:
    return find_curve(pl.DataFrame(list(rows), infer_schema_length=None), [DESIGN], gross_margin=0.5)


def test_answers_are_worth_the_mean_of_their_bins_and_err_together() -> None:
    curve = curve_of(bin_row("0-15", 8.0, 2.0), bin_row("15-60", 4.0, 1.0))
    whole = curve.at_speed_of(WAITS)
    assert whole.value == pytest.approx(0.5 * (8 + 4) / 2)
    assert whole.error == pytest.approx(0.5 * (2 + 1) / 2)
    known, *_ = silence_lines(Ignored(known=100, unknown=0), whole)
    assert known["value"] == pytest.approx(300)
    assert (known["low"], known["high"]) == pytest.approx((300 - 147, 300 + 147), abs=0.1)


def test_each_bin_has_a_line_of_its_own_with_its_simultaneous_interval() -> None:
    row = bin_row("0-15", 8.0, 2.0, low=2.0, high=14.0)
    lines = list(
        silence_lines(Ignored(known=10, unknown=5, audience=900), curve_of(row).bins["0-15"], segment="fast")
    )
    assert [line["segment"] for line in lines] == ["fast", "fast"]
    assert [lines[0][end] for end in ("value", "low", "high")] == pytest.approx([40, 10, 70])


def test_answers_in_bins_without_a_figure_leave_the_whole_to_the_landmark() -> None:
    unsupported = bin_row("15-60", 4.0, 1.0, supported=False, reason="no overlap")
    curve = curve_of(bin_row("0-15", 8.0, 2.0), unsupported)
    assert curve.at_speed_of(WAITS) is None
    assert curve.at_speed_of(WAITS[:2]).value == pytest.approx(4.0)
    assert curve.at_speed_of(np.array([])) is None


@pytest.mark.parametrize(
    "other", [{"control": "first answer after 1440 minutes"}, {"estimator": "naive"}, {"segment": "a: b"}]
)
def test_bins_against_slow_answers_naive_rows_and_segments_say_nothing_of_silence(
    other: dict[str, Any],
) -> None:
    assert curve_of(bin_row("0-15", 8.0, 2.0, **other)) is None
