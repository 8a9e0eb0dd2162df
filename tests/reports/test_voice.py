"""Topics say how many requests got no answer, as the service figures do."""

from __future__ import annotations

import datetime as dt

import polars as pl

from care.tables import CASES_SCHEMA
from reports.context import Ledger
from reports.sections.voice import voice_section
from reports.settings import ReportSettings
from reports.sources import ReportSources


def _sources(cases: list[dict[str, object]]) -> ReportSources:
    at = dt.datetime(2026, 3, 2, 9)
    whole = [
        {"topic": "delivery", "opened_at": at, "case_id": str(n), **case} for n, case in enumerate(cases)
    ]
    return ReportSources(
        tables={"cases": pl.DataFrame(whole, schema=CASES_SCHEMA)},
        manifest={"as_of": "2026-03-31"},
        model={},
        pictures={},
        settings=ReportSettings(),
        gross_margin=None,
    )


def test_noise_and_answers_at_an_unknown_time_are_not_unanswered() -> None:
    """Of twelve that need a reply three got none; four answers have no time, and four more are noise."""
    asked = {"needs_reply": True, "answered": True}
    section = voice_section(
        _sources(
            [{**asked, "first_response_at": dt.datetime(2026, 3, 2, 10)}] * 5
            + [asked] * 4
            + [{"needs_reply": True, "answered": False}] * 3
            + [{"needs_reply": False, "answered": False}] * 4
        )
    )
    assert section is not None
    ledger = section.blocks[0]
    assert isinstance(ledger, Ledger)
    places = [column.title for column in ledger.columns]
    assert ledger.rows[0].cells[places.index("unanswered")] == 3 / 12


def test_authors_whom_nobody_knows_are_each_another() -> None:
    assert voice_section(_sources([{"needs_reply": True, "answered": True}] * 12)) is not None
    assert voice_section(_sources([{"customer_id": "u", "answered": True}] * 12)) is None
