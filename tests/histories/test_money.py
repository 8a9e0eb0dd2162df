"""Amounts in whole ten-thousandths of the currency, as far as a Float64 holds them."""

from __future__ import annotations

import polars as pl
import pytest

from histories.money import LARGEST_AMOUNT, to_currency, to_minor


@pytest.mark.parametrize(
    ("amount", "minor"),
    [
        (0.1 + 0.2, 3_000),
        (-11.77, -117_700),
        (0.00005, 0),  # half a unit goes to the even side
        (LARGEST_AMOUNT - 0.0001, 8_999_999_999_999_999),
        (LARGEST_AMOUNT, None),
        (-LARGEST_AMOUNT, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_an_amount_is_whole_minor_units_or_unknown(amount: float, minor: int | None) -> None:
    assert pl.select(to_minor(pl.lit(amount))).item() == minor


@pytest.mark.parametrize("minor", [8_999_999_999_999_999, -8_999_999_999_999_999, 1])
def test_every_amount_that_is_held_comes_back_to_the_unit(minor: int) -> None:
    assert LARGEST_AMOUNT == 9e11
    assert 10_000 * LARGEST_AMOUNT < 2.0**53
    assert pl.select(to_minor(to_currency(pl.lit(minor)))).item() == minor
