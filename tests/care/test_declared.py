"""What customers declare is read as they meant it, counted once a customer, and stands beside credit."""

from __future__ import annotations

import polars as pl
import pytest

from care.declared import declared_table, read_declared
from reports.sections.credit import credit_section
from reports.settings import ReportSettings
from reports.sources import ReportSources

NAMES = ["email", "twitter", "paid search", "search/brand", "social"]


def read(*answers: str | None) -> list[tuple[str, bool, float]]:
    people = pl.DataFrame({"customer_id": range(len(answers)), "declared_source": answers})
    return read_declared(people, NAMES).named.select("source", "is_channel", "weight").rows()


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("E-MAIL", [("email", True, 1.0)]),
        ("Paid_Search", [("paid search", True, 1.0)]),
        ("search/brand", [("search/brand", True, 1.0)]),  # no two answers
        ("twiter", [("twitter", True, 1.0)]),
        ("saw it on Twitter.", [("twitter", True, 1.0)]),
        ("Email, twitter", [("email", True, 0.5), ("twitter", True, 0.5)]),
        ("email; Email", [("email", True, 1.0)]),
        ("my sister", [("friend", False, 1.0)]),
        ("googled it", [("search", False, 1.0)]),
        ("a poster", [("other", False, 1.0)]),
        (" n/a ", []),
        ("Don't know", []),
        ("", []),
        (None, []),
    ],
)
def test_an_answer_is_read_as_it_was_meant(answer: str | None, found: list[tuple[str, bool, float]]) -> None:
    assert read(answer) == found


def credits(*, supported: bool) -> pl.DataFrame:
    rows = [("last", "descriptive", "email", 30.0, None), ("last", "descriptive", "twitter", 10.0, None),
            ("incremental", "incremental", "email", 20.0, supported),
            ("incremental", "incremental", "twitter", 60.0, True)]  # fmt: skip
    schema = ["method", "kind", "channel", "credit", "supported"]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        outcome=pl.lit("spend"), level=pl.lit("channel"), segment=pl.lit("(all)"), period=pl.lit("(all)")
    )


def named() -> pl.DataFrame:
    answers = ["email"] * 6 + ["email, twitter"] * 2 + ["a friend"] * 2
    people = pl.DataFrame({"customer_id": range(10), "declared_source": answers})
    return read_declared(people, NAMES).named


def test_shares_are_of_those_who_answered_and_stand_beside_supported_credit() -> None:
    table = declared_table(named(), credits(supported=True), {"email": "email", "twitter": "social"})
    rows = {row["source"]: row for row in table.iter_rows(named=True)}
    assert [rows[name]["share"] for name in ("email", "friend", "twitter")] == pytest.approx([0.7, 0.2, 0.1])
    assert rows["email"]["low"] < 0.7 < rows["email"]["high"]
    assert rows["twitter"]["share_among_channels"] == pytest.approx(1 / 8)
    assert (rows["twitter"]["method"], rows["twitter"]["credited_share"]) == ("incremental", 0.75)
    assert (rows["friend"]["method"], rows["friend"]["share_among_channels"]) == (None, None)


def test_where_incremental_credit_is_not_supported_last_touch_stands_beside_and_a_group_is_its_channels() -> (
    None
):
    people = pl.DataFrame({"customer_id": [1], "declared_source": ["social"]})
    found = read_declared(people, NAMES).named
    table = declared_table(found, credits(supported=False), {"twitter": "social"})
    rows = {row["source"]: row for row in table.iter_rows(named=True)}
    assert (rows["social"]["method"], rows["social"]["credited_share"]) == ("last", 0.25)
    assert rows["email"]["customers"] == 0.0  # credited, and named by nobody
    assert not rows["email"]["supported"]


def test_the_report_has_it_where_no_credit_is_told_too() -> None:
    made = ReportSources(
        tables={"declared": declared_table(named(), None, {})}, manifest={}, model={},
        settings=ReportSettings(minimum_cell=2), gross_margin=None,
    )  # fmt: skip
    section = credit_section(made)
    assert section is not None
    assert section.finding.text == "Email is named most"
