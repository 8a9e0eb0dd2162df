"""Credit by segment in the report: intervals where supported, nothing of small segments."""

from __future__ import annotations

import polars as pl

from attribution.credits.table import CREDITS_SCHEMA
from reports.build import build_context
from reports.context import Section
from reports.settings import ReportSettings
from reports.sources import ReportSources
from tests.reports.test_report import MANIFEST, credit

NOTE = "own effects on spending (p = 0.001)"


def rows_of(
    segment: str, customers: int, channels: float, *, supported: bool = True
) -> list[dict[str, object]]:
    said = {"segment": segment, "supported": supported, "reason": f"{NOTE}, {customers} customers fitted"}
    bounds = {"low": channels - 10.0, "high": channels + 10.0}
    return [
        credit("channel", "forum", channels, **bounds, **said),
        credit("baseline", "(baseline)", 1000.0 - channels, **said),
        credit("total", "(total)", 1000.0, customers=customers, **said),
    ]


def section_of(*rows: list[dict[str, object]]) -> Section:
    table = pl.DataFrame([row for part in rows for row in part], schema=CREDITS_SCHEMA)
    sources = ReportSources(
        tables={"credits": table}, manifest=MANIFEST, model={}, settings=ReportSettings(), gross_margin=0.5
    )
    return next(part for part in build_context(sources).sections if part.key == "segments")


LARGE = rows_of("region: north", 500, 400.0), rows_of("region: south", 300, 100.0)


def test_what_channels_added_stands_by_segment_with_its_interval() -> None:
    section = section_of(*LARGE)
    (table,) = section.tables
    assert table.columns == ("channel", "north", "south")
    assert ("customers", 500, 300) in table.rows
    assert (
        "forum",
        "GBP 400.00 [GBP 390.00, GBP 410.00]",
        "GBP 100.00 [GBP 90.00, GBP 110.00]",
    ) in table.rows
    assert "added 40.0 % of spend in region: north and 10.0 % in region: south" in section.finding
    assert any(NOTE in note for note in section.notes)


def test_a_small_segment_and_the_one_that_would_give_it_away_are_not_shown_and_not_told() -> None:
    section = section_of(*LARGE, rows_of("region: isle", 7, 555.0))
    text = repr(section)
    assert "north" in text
    for secret in ("isle", "555", "7 customers fitted", "300", "south"):
        assert secret not in text
    assert "Segments left out: 2" in section.tables[0].caption


def test_an_unsupported_segment_has_no_figure_and_makes_no_finding() -> None:
    section = section_of(LARGE[0], rows_of("region: south", 300, 100.0, supported=False))
    assert ("forum", "GBP 400.00 [GBP 390.00, GBP 410.00]", "not supported") in section.tables[0].rows
    assert section.finding == "Fewer than two segments have a supported credit."
    assert any("region south: not supported" in note for note in section.notes)


def test_many_segments_are_put_side_by_side_six_at_a_time() -> None:
    section = section_of(*(rows_of(f"country: {k:02d}", 100 + k, 50.0) for k in range(8)))
    assert [len(table.columns) for table in section.tables] == [7, 3]
