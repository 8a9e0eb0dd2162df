"""The ledger of response curves says what the table says, and nothing where it says nothing."""

from __future__ import annotations

from typing import Any

import polars as pl

from attribution.credits.schemas import RESPONSE_SCHEMA
from reports.build import build_context, render_report
from reports.context import Verdict
from reports.sections.response import response_ledger

from .company import TABLES, sources

STEPS = (0.0, 1.0, 1.5)


def curves(**changed: Any) -> pl.DataFrame:
    rows = [
        {
            "outcome": "spend",
            "channel": "chat",
            "scale": step,
            "change": change,
            "low": change - 5_000.0,
            "high": change + 5_000.0,
            "marginal_return": 2.5,
            "marginal_low": 1.0,
            "marginal_high": 4.0,
            "interval_level": 0.9,
            "extrapolated": step > 1.0,
            "supported": True,
            **changed,
        }
        for step, change in zip(STEPS, (-40_000.0, 0.0, 12_000.0), strict=True)
    ]
    return pl.DataFrame(rows, schema=RESPONSE_SCHEMA)


def test_the_ledger_shows_both_ends_the_slope_today_and_where_data_end() -> None:
    made = response_ledger(sources("credits", tables={"response": curves()}))
    assert made is not None
    (row,) = made.rows
    assert [column.title for column in made.columns][-2:] == ["next £ brings", "90% range"]
    assert row.cells[1:] == (-40_000.0, 12_000.0, (7_000.0, 17_000.0), 2.5, (1.0, 4.0))
    assert row.cells[0][0].points == (-40_000.0, 0.0, 12_000.0)  # type: ignore[index, union-attr]
    assert row.detail == "leaves the data at 1.5 times"


def test_the_ledger_is_in_page_and_print() -> None:
    given = sources(tables={**{name: make() for name, make in TABLES.items()}, "response": curves()})
    files = render_report(build_context(given))
    assert b"Fewer or more touches of one channel" in files["report.html"]
    assert b"Fewer or more touches of one channel" in files["report.json"]
    assert files["report.pdf"].startswith(b"%PDF")


def test_what_is_not_supported_shows_no_figure() -> None:
    both = pl.concat([curves(), curves(channel="forum", supported=False)])
    made = response_ledger(sources("credits", tables={"response": both}))
    assert made is not None
    assert made.rows[1].cells == ((), None, Verdict(text="not supported", tone="caution"), None, None, None)


def test_without_a_supported_curve_there_is_no_ledger() -> None:
    assert response_ledger(sources("credits", tables={"credits": TABLES["credits"]()})) is None
    assert response_ledger(sources("credits", tables={"response": curves(supported=False)})) is None
    assert response_ledger(sources("credits", tables={"response": curves(change=None)})) is None
