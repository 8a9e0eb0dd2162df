"""Payback and internal rate by hand, at their edges."""

from __future__ import annotations

import pytest

from care.cash_flows import internal_rate, payback_months


@pytest.mark.parametrize(
    ("flows", "months"),
    [
        ([10.0, 5.0], 0.0),  # nothing is ever owed
        ([-10.0, 20.0], 0.5),  # money comes evenly within a month
        ([-10.0, 20.0, -15.0, 10.0], 2.5),  # owed again: paid back for good only then
        ([-10.0, 10.0], 1.0),
        ([-10.0, 9.0], None),
    ],
)
def test_a_payback_is_the_month_from_which_nothing_is_owed(flows: list[float], months: float | None) -> None:
    assert payback_months(flows) == months


@pytest.mark.parametrize("rate", [-0.985, -0.5, 0.0, 0.04, 9.0])
def test_an_internal_rate_is_found_however_bad_or_good(rate: float) -> None:
    found = internal_rate([-100.0, 100.0 * (1.0 + rate)])
    assert found == pytest.approx(rate, abs=1e-9)


@pytest.mark.parametrize("flows", [[-100.0, 0.5], [-1.0, 12.0], [], [0.0], [-1.0, 3.0, -1.0], [5.0, 5.0]])
def test_beyond_the_bounds_or_with_several_or_no_change_of_sign_there_is_no_rate(flows: list[float]) -> None:
    assert internal_rate(flows) is None
