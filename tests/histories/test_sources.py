"""The parts of the configuration that the histories need refuse what they do not know."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from histories.reading.sources import Channel, Limits, TableSource, without_password
from histories.reading.times import has_time


@pytest.mark.parametrize(
    "settings",
    [
        {"path": "a.csv", "seperator": ";"},
        {"path": "a.csv", "separator": "ab"},
        {"path": "a.csv", "format": "xls"},
        {},
    ],
)
def test_a_wrong_setting_of_a_source_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(TableSource).validate_python(settings)


def test_a_password_is_neither_shown_nor_stored() -> None:
    source = TableSource(path="postgresql://ann:secret@host/shop")
    assert source.path == "postgresql://ann:secret@host/shop"
    assert "secret" not in repr(source)
    assert TypeAdapter(TableSource).dump_python(source)["path"] == "postgresql://...@host/shop"


def test_a_word_of_any_length_is_searched_for_passwords_in_one_pass() -> None:
    """A pass for each letter takes half an hour."""
    word = "a" * 300_000
    assert without_password(f"{word} my_{word}_password = secret") == f"{word} my_{word}_password = ..."


@pytest.mark.parametrize("memory", ["2", "two GB", "2PB", "-1GB"])
def test_memory_without_a_unit_is_refused(memory: str) -> None:
    with pytest.raises(ValidationError, match="a number with KB, MB, GB or TB"):
        Limits(memory=memory)


@pytest.mark.parametrize(("memory", "expected"), [("2GB", 2 * 1024**3), ("512 mb", 512 * 1024**2)])
def test_memory_in_bytes(memory: str, expected: int) -> None:
    assert Limits(memory=memory).bytes == expected


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValidationError, match="allowed: 0 to 1"):
        Limits(max_rejected_share=share)


def test_an_origin_is_customer_or_firm() -> None:
    with pytest.raises(ValidationError):
        Channel(origin="company")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("%Y%m%d", False),
        ("%d.%m.%Y", False),
        ("%m/%d/%y %I:%M %p", True),
        ("%Y-%m-%dT%T", True),
        ("%s", True),
    ],
)
def test_a_format_has_a_time_of_day_or_not(form: str, expected: bool) -> None:
    assert has_time(form) is expected
