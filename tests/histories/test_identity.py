"""Pseudonyms are stable, keyed and the same for a number and its text."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from histories.errors import ConfigError
from histories.identity import (
    check_key,
    customers_of_handles,
    identities_table,
    identity_key,
    key_check,
    normal_handle,
    pseudonym,
    pseudonyms,
)
from histories.reading.ingest import ingest
from histories.reading.sources import Limits, TableSource

KEY = b"0123456789abcdef"


def test_a_pseudonym_is_hmac_sha_256() -> None:
    assert pseudonym("ann", KEY) == hmac.new(KEY, b"ann", hashlib.sha256).hexdigest()[:32]


def test_a_number_and_its_decimal_have_one_pseudonym_and_keys_differ() -> None:
    assert pseudonym(17, KEY) == pseudonym("17", KEY)
    assert pseudonym(17, KEY) != pseudonym(17, KEY[::-1])


def test_a_column_of_ids_is_replaced_and_null_stays_null() -> None:
    frame = pl.DataFrame({"customer_id": [3, None, 3, 4]}).lazy().with_columns(pseudonyms("customer_id", KEY))
    three, four = pseudonym(3, KEY), pseudonym(4, KEY)
    assert frame.collect()["customer_id"].to_list() == [three, None, three, four]


def test_a_short_key_is_refused_without_showing_it() -> None:
    check_key(None)
    check_key(KEY)
    with pytest.raises(ConfigError, match="TRIBUTARY_ID_KEY has 7 bytes; allowed: 16 or more") as error:
        check_key(b"hunter2")
    assert "hunter2" not in str(error.value)


def test_the_key_of_handles_is_the_variable_s_or_else_the_file_s_and_none_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("a secret of the file\n")
    monkeypatch.delenv("TRIBUTARY_IDENTITY_KEY", raising=False)
    assert identity_key() is None
    assert identity_key(file) == b"a secret of the file"
    monkeypatch.setenv("TRIBUTARY_IDENTITY_KEY", "a secret of the shell")
    assert identity_key(file) == identity_key() == b"a secret of the shell"
    assert key_check(b"a secret of the file") != key_check(b"a secret of the shell")
    monkeypatch.setenv("TRIBUTARY_IDENTITY_KEY", "hunter2")
    with pytest.raises(ConfigError, match="TRIBUTARY_IDENTITY_KEY has 7 bytes"):
        identity_key(file)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "cannot be read"), ("", "0 bytes"), ("short", "5 bytes")]
)
def test_a_key_file_that_holds_no_key_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, told: str
) -> None:
    monkeypatch.delenv("TRIBUTARY_IDENTITY_KEY", raising=False)
    if content is not None:
        (tmp_path / "secret").write_text(content)
    with pytest.raises(ConfigError, match=f'"secret".*{told}'):
        identity_key(tmp_path / "secret")


def test_a_known_customer_is_not_replaced_by_the_handle() -> None:
    touches = pl.LazyFrame({"platform": ["x", "x"], "handle": ["ann", "ann"], "customer_id": [7, None]})
    identities = pl.LazyFrame({"platform": ["x"], "handle": ["ann"], "customer_id": [1]})
    assert customers_of_handles(touches, identities).collect()["customer_id"].sort().to_list() == [1, 7]


def test_an_address_or_number_is_the_same_however_it_is_written() -> None:
    written = [
        ("email", " Ada@Example.com"),
        ("E-Mail", hashlib.sha256(b"ada@example.com").hexdigest().upper()),
        ("phone", "0044 7700-900123"),
        ("whatsapp", "+44 (0)7700 900 123"),
        ("phone", "112"),
        ("forum", "0044 7700-900123"),
    ]
    rows = pl.DataFrame(written, schema=["platform", "handle"], orient="row")
    found = rows.select(normal_handle(pl.col("handle"))).to_series().to_list()
    assert found[0] == found[1] == hashlib.sha256(b"ada@example.com").hexdigest()
    assert found[2:] == ["+447700900123", "+447700900123", "112", "0044 7700-900123"]


def test_a_touch_is_joined_by_a_number_written_otherwise_and_by_a_hashed_address() -> None:
    hashed = hashlib.sha256(b"ada@example.com").hexdigest()
    touches = pl.LazyFrame(
        {
            "platform": ["whatsapp", "email", "email"],
            "handle": ["+44 7700 900123", hashed, "bob@example.com"],
            "customer_id": pl.Series([None] * 3, dtype=pl.Int64),
        }
    )
    identities = pl.LazyFrame(
        {
            "platform": ["phone", "e-mail"],
            "handle": ["00447700900123", "Ada@example.com"],
            "customer_id": [1, 2],
        }
    )
    found = customers_of_handles(touches, identities).collect()
    assert dict(zip(found["handle"], found["customer_id"], strict=True)) == {
        hashed: 2,
        "bob@example.com": None,
        "+44 7700 900123": 1,
    }


def test_a_handle_of_several_customers_is_nobodys_and_its_touches_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / "identities.csv").write_text(
        "platform,handle,customer_id\nx,@Ann,1\nx,ann,2\nx,bob,3\nx,cleo,4\nx,cleo,5\nx,dan,6\nx,dan,6\n"
    )
    touches = "".join(
        f"x,{handle},2026-01-0{day},x\n"
        for day, handle in enumerate(("ann", "@Bob", "cleo", "dan", "eve"), 1)
    )
    (tmp_path / "touches.csv").write_text(f"platform,handle,timestamp,channel\n{touches}")
    inputs = ingest(
        {"touchpoints": TableSource(path="touches.csv"), "identities": TableSource(path="identities.csv")},
        base_dir=tmp_path,
        observation_end=date(2026, 6, 30),
        limits=Limits(max_rejected_share=1.0),
    )
    found = inputs.tables["touchpoints"]
    assert found.valid.collect()["customer_id"].sort().to_list() == [3, 6]
    assert found.set_aside_by_rule == {"ambiguous handle": 2, "unmatched handle": 1}


CHANGED_HANDS = """platform,handle,customer_id,valid_from,valid_to
phone,+447700900123,1,,2025-03-31
phone,+447700900123,2,2025-05-01,
phone,+447700900456,3,,2025-06-30
phone,+447700900456,4,2025-06-30,
phone,+447700900789,5,,
"""


@pytest.mark.parametrize(
    ("number", "day", "whose"),
    [
        ("+447700900123", "2025-03-31", 1),
        ("+447700900123", "2025-04-15", None),  # nobody's
        ("+447700900123", "2025-05-01", 2),
        ("00447700900123", "2026-05-01", 2),
        ("+447700900456", "2025-06-29", 3),
        ("+447700900456", "2025-06-30", None),  # of both
        ("+447700900456", "2025-07-01", 4),
        ("+447700900789", "1999-01-01", 5),
        ("+447700900000", "2025-01-01", None),
    ],
)
def test_a_number_that_changed_hands_is_whose_it_was_on_the_day(
    tmp_path: Path, number: str, day: str, whose: int | None
) -> None:
    (tmp_path / "identities.csv").write_text(CHANGED_HANDS)
    (tmp_path / "touches.csv").write_text(
        "platform,handle,timestamp,channel\n"
        f"phone,{number},{day}T23:30:00,call\nphone,+447700900789,2025-01-01T10:00:00,call\n"
    )
    inputs = ingest(
        {"touchpoints": TableSource(path="touches.csv"), "identities": TableSource(path="identities.csv")},
        base_dir=tmp_path,
        observation_end=date(2026, 6, 30),
        timezone="Europe/London",
        limits=Limits(max_rejected_share=1.0),
    )
    assert inputs.tables["identities"].rows_valid == 5
    found = inputs.tables["touchpoints"]
    assert found.valid.collect()["customer_id"].to_list() == ([5] if whose is None else [whose, 5])
    assert sum(found.set_aside_by_rule.values()) == (whose is None)
    assert found.set_aside_by_rule.get("ambiguous handle", 0) == (number[-3:] == "456" and whose is None)


@pytest.mark.parametrize(("column", "told"), [("Start date", True), ("valid until", True), ("notes", False)])
def test_days_of_a_link_that_nothing_reads_are_said(tmp_path: Path, column: str, told: bool) -> None:
    (tmp_path / "identities.csv").write_text(f"platform,handle,customer_id,{column}\nx,ann,1,2025-05-01\n")
    inputs = ingest(
        {"identities": TableSource(path="identities.csv")},
        base_dir=tmp_path,
        observation_end=date(2026, 6, 30),
    )
    assert any(f'"{column}" seems to say when a handle was whose' in note for note in inputs.notes) == told


def test_the_look_up_names_the_owner_of_today(tmp_path: Path) -> None:
    (tmp_path / "identities.csv").write_text(CHANGED_HANDS)
    inputs = ingest(
        {"identities": TableSource(path="identities.csv")},
        base_dir=tmp_path,
        observation_end=date(2026, 6, 30),
    )
    rows = inputs.tables["identities"].valid
    for day, known in (
        (date(2025, 1, 1), [1, 3, 5]),
        (date(2025, 4, 15), [3, 5]),
        (date(2026, 1, 1), [2, 4, 5]),
    ):
        assert identities_table(rows, b"0123456789abcdef", day)["customer_id"].to_list() == known


def test_uncertain_links_are_set_aside_before_they_make_a_handle_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "identities.csv").write_text(
        "platform,handle,customer_id,probability\n"
        "twitter,ann,1,0.99\ntwitter,@Ann,2,0.4\ntwitter,bob,3,0.97\ntwitter,BOB,4,1.0\ntwitter,cy,5,\n"
    )
    inputs = ingest(
        {"identities": TableSource(path="identities.csv")},
        base_dir=tmp_path,
        observation_end=date(2026, 6, 30),
    )
    table = inputs.tables["identities"]
    assert {name: n for name, n in table.set_aside_by_rule.items() if n} == {
        "uncertain link": 1,
        "handle of several customers": 2,
    }
    assert inputs["identities"].collect()["handle"].to_list() == ["ann", "cy"]


def test_a_table_without_a_certain_link_leaves_everybody_unknown_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "identities.csv").write_text("platform,handle,customer_id,probability\ntwitter,ann,1,0.4\n")
    inputs = ingest(
        {"identities": TableSource(path="identities.csv")},
        base_dir=tmp_path,
        observation_end=date(2026, 6, 30),
    )
    assert inputs["identities"].collect().is_empty()
    assert inputs.tables["identities"].set_aside_by_rule == {"uncertain link": 1}
