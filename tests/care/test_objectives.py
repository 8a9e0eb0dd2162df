"""Attainment and score by hand; targets that fall, figures that are not, weights of nothing."""

from __future__ import annotations

import polars as pl
import pytest

from care.objectives import attainment, objective_scores, objectives_table
from care.tables import CARE_SCHEMA


@pytest.mark.parametrize(
    ("baseline", "target", "now", "expected"),
    [(120, 60, 90, 0.5), (0.70, 0.80, 0.82, 1.2), (0, 10, 4, 0.4), (5.0, 4.0, 5.5, -0.5), (1, 1, 1, None)],
)
def test_attainment(baseline: float, target: float, now: float, expected: float | None) -> None:
    assert attainment(now, baseline, target) == (None if expected is None else pytest.approx(expected))


def test_the_score_caps_each_and_stands_beside_the_uncapped_one() -> None:
    capped, plain = objective_scores(pl.Series([0.5, 1.2, 0.4, -0.5]), pl.Series([2.0, 1.0, 1.0, 1.0]))
    assert (capped, plain) == (pytest.approx(0.48), pytest.approx(0.42))
    assert objective_scores(pl.Series([0.5]), pl.Series([0.0])) == (None, None)


def test_objectives_are_held_against_the_figures_on_their_clock() -> None:
    rows = [
        {"kpi": "first_response_p50", "clock": "calendar", "value": 90.0},
        {"kpi": "first_response_p50", "clock": "business", "value": 30.0},
        {"kpi": "csat", "clock": None, "value": None},
    ]
    place = dict.fromkeys(("channel", "team", "segment", "period"), "(all)")
    figures = pl.DataFrame([place | row for row in rows], schema=CARE_SCHEMA)
    table = pl.DataFrame(
        {
            "objective": ["speed", "speed at work", "joy", "luck", "Product ideas", "fame", "same"],
            "kpi": ["first_response_p50", "first_response_p50 business", "csat", "csta", None, None, "x"],
            "baseline": [120.0, 60.0, 0.7, 0.0, 0.0, 0.0, 1.0],
            "target": [60.0, 20.0, 0.8, 1.0, 10.0, 1.0, 1.0],
            "weight": [2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            "now": [None, None, None, None, 4.0, None, 3.0],
        }
    )
    held = objectives_table(table, figures)
    assert held["attainment"].to_list() == [0.5, 0.75, None, None, 0.4, None, None]
    assert '"fame" has no default figure' in held["reason"][5]
    assert held["reason"][6] == "target and baseline are the same"
    assert "could not be made" in held["reason"][2]
    assert 'did you mean "csat"' in held["reason"][3]
