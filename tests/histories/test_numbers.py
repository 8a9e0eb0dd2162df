"""Numbers and lengths of time as people write them, and what is said of those that cannot be read."""

import polars as pl
import pytest

from histories.reading.numbers import NumberOptions, durations, numbers, why_unreadable

COMMA_AND_POINT = NumberOptions(decimal=",", thousands=".")
COMMA = NumberOptions(decimal=",")


@pytest.mark.parametrize(
    ("text", "given", "minutes"),
    [
        ("2", "days", 2880.0),
        ("1.5", "hours", 90.0),
        ("90", "seconds", 1.5),
        ("60000", "milliseconds", 1.0),
        ("1 day 0:30:00", None, 1470.0),
        ("2 d 1 h", None, 2940.0),
        ("22:15", "hours:minutes", 1335.0),
        ("22:15", "minutes:seconds", 22.25),
        ("1:02:03", None, 62.05),
        ("PT1H5M3S", None, 65.05),
        ("P1DT0H", None, 1440.0),
        ("PT", None, None),
        ("22:15", None, None),
        ("", None, None),
    ],
)
def test_lengths_of_time_in_every_unit(text: str, given: str | None, minutes: float | None) -> None:
    found = durations(pl.lit(text), NumberOptions(), ours="minutes", given=given)
    assert pl.select(found).item() == minutes


@pytest.mark.parametrize(
    ("value", "options", "said"),
    [
        ("1 234,5", NumberOptions(), 'thousands = " " and k.decimal = ","'),
        ("1 234,5", COMMA, 'thousands = " ".'),
        ("1 234", NumberOptions(), 'thousands = " ".'),
        ("1.234,5", NumberOptions(), 'decimal = "," and k.thousands = "."'),
        ("12,5", NumberOptions(), 'decimal = ",".'),
        ("1,234,567", NumberOptions(), 'thousands = ","'),
        ("1'234.5", NumberOptions(), "If ' groups the digits"),
        ("1'234'567", NumberOptions(), "If ' groups the digits"),
        ("12 %", NumberOptions(), "A percentage is not read"),
        ("12,50 EUR", NumberOptions(), 'decimal = ",".'),
        ("R$ 1.234,50", NumberOptions(), 'decimal = "," and k.thousands = "."'),
        ("12.50 XYZ", NumberOptions(), "XYZ is none"),
        ("twelve", NumberOptions(), ""),
    ],
)
def test_what_to_set_so_that_a_number_is_read(value: str, options: NumberOptions, said: str) -> None:
    told = why_unreadable(value, options, "k")
    assert said in told
    assert bool(said) == bool(told)


@pytest.mark.parametrize(
    ("text", "options", "value"),
    [
        ("(12.5)", NumberOptions(), -12.5),
        ("12.5-", NumberOptions(), -12.5),
        ("-12.5-", NumberOptions(), -12.5),
        ("€ 12,5", COMMA, 12.5),
        ("-€12.5", NumberOptions(), -12.5),
        ("1.234", NumberOptions(thousands=".", decimal=","), 1234.0),
        ("1.23", NumberOptions(thousands=".", decimal=","), None),
        ("1,2,3", NumberOptions(thousands=","), None),
        ("12,34,567", NumberOptions(thousands=","), 1_234_567.0),
        ("1e3", NumberOptions(), 1000.0),
        ("12 EUR", NumberOptions(), 12.0),
        ("-USD 12.50", NumberOptions(), -12.5),
        ("(CHF 12.5)", NumberOptions(), -12.5),
        ("US$12.5", NumberOptions(), 12.5),
        ("1.234,5 zł", COMMA_AND_POINT, 1234.5),
        ("￥1200", NumberOptions(), 1200.0),
        ("٢٧٫٥", NumberOptions(), 27.5),
        ("١٬٢٣٤٫٥", COMMA, 1234.5),
        ("12 XYZ", NumberOptions(), None),
        ("INV12", NumberOptions(), None),
        ("EUR 12 €", NumberOptions(), None),
    ],
)
def test_numbers_are_read_one_way_or_not_at_all(
    text: str, options: NumberOptions, value: float | None
) -> None:
    assert pl.select(numbers(pl.lit(text), options)).item() == value
