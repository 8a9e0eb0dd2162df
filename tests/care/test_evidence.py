"""Which of several effects of an answer counts, and when designs that lie apart count for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from care.evidence import CareEffect, find_effect
from tests.care.facts import CONFIGURATION, effect_row, facts

FAST = CONFIGURATION["effects"][0]
LOT = FAST | {"name": "lottery", "design": "randomised", "control": None}
WIDE = {"estimator": "two_stage", "estimand": "LATE", "name": "lottery", "design": "randomised"}


def found(rows: list[dict[str, object]], designs: list[dict[str, object]]) -> CareEffect:
    return find_effect(facts(rows).effects, designs, "spend", minutes=60.0)


def named(count: int, **more: object) -> list[dict[str, object]]:
    return [FAST | {"name": f"design {k}"} | more for k in range(count)]


def test_an_experiment_counts_before_all_others_whatever_they_say() -> None:
    rows = [effect_row("spend", 7.0, 0.5), effect_row("spend", 2.0, 1.0, **WIDE)]
    by_lot = found(rows, [FAST | {"follow_up_days": 60}, LOT])
    assert (by_lot.name, by_lot.value, by_lot.usable) == ("lottery", 2.0, True)


def test_an_experiment_on_one_channel_counts_before_a_comparison_on_all() -> None:
    on_chat = LOT | {"treatment": {"first_response_minutes": 60.0, "channel": "chat"}}
    by_lot = found([effect_row("spend", 7.0, 0.5), effect_row("spend", 2.0, 1.0, **WIDE)], [FAST, on_chat])
    assert (by_lot.name, by_lot.where) == ("lottery", " on chat")


def test_an_experiment_that_is_not_supported_leaves_the_others() -> None:
    rows = [effect_row("spend", 7.0, 0.5), effect_row("spend", 2.0, 1.0, **WIDE | {"supported": False})]
    assert found(rows, [FAST, LOT]).name == "fast answers"


def test_two_experiments_that_lie_apart_count_for_nothing() -> None:
    again = LOT | {"name": "again"}
    rows = [effect_row("spend", 2.0, 1.0, **WIDE), effect_row("spend", 8.0, 1.0, **WIDE | {"name": "again"})]
    assert not found(rows, [LOT, again]).usable


def test_designs_that_say_the_same_are_refused_by_chance_in_five_of_a_hundred() -> None:
    """One truth, independent errors. Each held at 5 % alone, eight were refused in 23 of 100."""
    count, times = 8, 200
    rng = np.random.default_rng(count)
    refused = 0
    for _ in range(times):
        values = rng.normal(5.0, 1.0, count)
        rows = [effect_row("spend", float(x), 1.0, name=f"design {k}") for k, x in enumerate(values)]
        refused += not found(rows, named(count)).usable
    assert refused <= times * 0.05 + 3 * (times * 0.05 * 0.95) ** 0.5


def test_one_design_far_off_is_seen_among_many() -> None:
    rows = [effect_row("spend", 5.0, 1.0, name=f"design {k}") for k in range(7)]
    far = effect_row("spend", 11.0, 1.0, name="design 7")
    assert not found([*rows, far], named(8)).usable


@pytest.mark.parametrize(
    ("later", "is_usable"), [(5.0, True), (1.0, True), (0.0, True), (9.0, False), (-3.0, False)]
)
def test_what_counts_from_a_later_day_on_may_be_any_part_of_the_whole(later: float, is_usable: bool) -> None:
    """A landmark of four days leaves out what came before them: from nothing to 6 it says the same."""
    landmark = FAST | {"name": "landmark", "landmark_days": 4}
    rows = [effect_row("spend", 6.0, 0.5), effect_row("spend", later, 0.5, name="landmark")]
    first, last = found(rows, [FAST, landmark]), found(rows[::-1], [landmark, FAST])
    assert first.usable == last.usable == is_usable
