"""Numbers in the local form of a country meet international ones, and no others."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from experiments.config import parse_config
from histories.errors import ConfigError, DataError
from histories.phones import international
from histories.reading.ingest import ingest
from histories.reading.sources import IdentityLinks, TableSource


@pytest.mark.parametrize(
    ("written", "country", "expected"),
    [
        ("07911 123456", "GB", "+447911123456"),
        ("(0)7911-123456", "GB", "+447911123456"),
        ("011 44 7911 123456", "US", "+447911123456"),
        ("447911123456", "US", "+447911123456"),
        ("06 1234 5678", "IT", "+390612345678"),
        ("8 (912) 345-67-89", "RU", "+79123456789"),
        ("06 30 123 4567", "HU", "+36301234567"),
        ("1-212-555-0123", "US", "+12125550123"),
        ("+49 151 12345678", "GB", "+4915112345678"),
        ("555-0123", "US", "555-0123"),
        ("112", "GB", "112"),
        ("anonymous", "GB", "anonymous"),
    ],
)
def test_a_number_is_read_by_the_plan_of_its_country(written: str, country: str, expected: str) -> None:
    assert international(written, country) == expected


def test_what_may_be_local_or_international_is_international_where_messengers_export_it() -> None:
    assert international("15125550123", "DE") == "+4915125550123"
    assert international("15125550123", "DE", abroad_first=True) == "+15125550123"


def _customers(folder: Path, country: str | None) -> list[int]:
    (folder / "identities.csv").write_text(
        "platform,handle,customer_id\n"
        "phone,07911 123456,1\nphone,+447911123456,1\nsms,+447911123457,2\nx,07911 123458,3\n"
    )
    (folder / "touches.csv").write_text(
        "platform,handle,timestamp,channel\n"
        "whatsapp,447911123456,2026-01-01,chat\n"
        "phone,07911 123457,2026-01-02,phone\n"
        "x,+447911123458,2026-01-03,x\n"
    )
    inputs = ingest(
        {"touchpoints": TableSource(path="touches.csv"), "identities": TableSource(path="identities.csv")},
        base_dir=folder,
        observation_end=date(2026, 6, 30),
        identity=IdentityLinks(country=country),
    )
    assert inputs.tables["identities"].rows_valid == 4
    return inputs["touchpoints"].collect()["customer_id"].sort().to_list()


def test_with_a_country_local_and_international_numbers_are_one_customer_s(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    assert _customers(tmp_path / "with", "GB") == [1, 2]


def test_without_a_country_a_number_meets_only_what_is_written_alike(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="handle") as error:
        _customers(tmp_path, None)
    assert "447911" not in str(error.value)


def test_a_country_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'"identity.country" is "\+44"; allowed: two capital letters'):
        parse_config({"identity": {"country": "+44"}}, base_dir=tmp_path)
