"""Phone numbers in the international form (E.164), from the forms in which one country writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import phonenumbers
import polars as pl

COUNTRIES: frozenset[str] = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""Two-letter codes (ISO 3166-1) whose plan of numbers is known."""
MESSENGERS = ("whatsapp", "signal")
"""Platforms that know numbers in the international form alone, and export them without the +."""


def international(number: str, country: str, *, abroad_first: bool = False) -> str:
    """A number as E.164 has it, or as it stands where it is none of a known plan.

    Of two readings, as a number of `country` and as an international one without its +, that counts which
    is a number in use, or else has the right length; the first where both do.

    Parameters
    ----------
    number
        As it was written.
    country
        Two letters, whose local form it may have.
    abroad_first
        Whether the international reading is the first.

    >>> international("07911 123456", "GB"), international("0044 (0)7911-123456", "US")
    ('+447911123456', '+447911123456')
    >>> international("06 1234 5678", "IT"), international("112", "GB")
    ('+390612345678', '112')
    """
    read = []
    for found in _readings(number, country, abroad_first=abroad_first):
        if phonenumbers.is_valid_number(found):
            return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
        read.append(found)
    for found in filter(_is_of_right_length, read):
        return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
    return number


def _readings(number: str, country: str, *, abroad_first: bool) -> Iterator[phonenumbers.PhoneNumber]:
    """The number as one of the country and as an international one, in the order that is asked."""
    digits = re.sub(r"\D", "", number)
    forms = [(number, country), ("+" + digits.removeprefix("00"), None)]
    for text, region in reversed(forms) if abroad_first else forms:
        try:
            yield phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue


def _is_of_right_length(number: phonenumbers.PhoneNumber) -> bool:
    reason = phonenumbers.is_possible_number_with_reason(number)
    return bool(reason == phonenumbers.ValidationResult.IS_POSSIBLE)


def with_country(handle: pl.Expr, platform: pl.Expr, *, phones: tuple[str, ...], country: str) -> pl.Expr:
    """Handles, of which those on `phones` are numbers in the international form; see `international`.

    >>> rows = pl.DataFrame({"platform": ["sms", "WhatsApp", "x"], "handle": ["07911 123456",
    ...     "447911123456", "07911 123456"]})
    >>> found = with_country(pl.col("handle"), pl.col("platform"), phones=("sms", "whatsapp"), country="GB")
    >>> rows.select(found).to_series().to_list()
    ['+447911123456', '+447911123456', '07911 123456']
    """
    where = platform.str.to_lowercase()
    told = [
        pl.when(where.is_in(names))
        .then(handle)
        .map_batches(change, return_dtype=pl.String, is_elementwise=True)
        for names, change in (
            ([name for name in phones if name not in MESSENGERS], _changed(country, abroad_first=False)),
            ([name for name in phones if name in MESSENGERS], _changed(country, abroad_first=True)),
        )
    ]
    return pl.coalesce(*told, handle)


def _changed(country: str, *, abroad_first: bool) -> Callable[[pl.Series], pl.Series]:
    """What gives each number of a column its international form; null stays null."""

    def change(numbers: pl.Series) -> pl.Series:
        known = numbers.drop_nulls().unique()
        if known.is_empty():
            return numbers
        told = [international(text, country, abroad_first=abroad_first) for text in known]
        return numbers.replace_strict(known, pl.Series(told, dtype=pl.String), default=None)

    return change
