"""The report says what the tables say, refuses what they cannot support, and needs no network."""

import re

import orjson
import polars as pl
import pytest

from attribution.credits import CREDITS_SCHEMA
from reports import ReportContext, ReportSettings, ReportSources, build_context, render_report

MANIFEST = {
    "name": "acme",
    "currency": "GBP",
    "as_of": "2026-06-30",
    "span": "2025-01-01 to 2026-06-30",
    "run_id": "abc123",
    "model_version": "abc123",
    "interval_level": 0.9,
    "inputs": {
        "transactions": {
            "rows_read": 100,
            "rows_valid": 97,
            "rejected_by_rule": {"bad_date": 3},
            "set_aside_by_rule": {},
        }
    },
    "left_out": {"care": "no cases were given"},
}


def credit(level: str, channel: str, amount: float, **more: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(CREDITS_SCHEMA)
    row |= {
        "outcome": "spend",
        "method": "incremental",
        "kind": "incremental",
        "level": level,
        "channel": channel,
        "channel_group": channel,
        "segment": "(all)",
        "period": "(all)",
        "credit": amount,
        "n": 500,
        "supported": True,
        "interval_level": 0.95,
    }
    return row | more


def credits(*, supported: bool = True, reason: str | None = None) -> pl.DataFrame:
    said = {"supported": supported, "reason": reason}
    rows = [
        credit("channel", "forum", 200.0, low=100.0, high=300.0, channel_group="social", **said),
        credit("channel", "newsletter", 100.0, low=-50.0, high=250.0, **said),
        credit("group", "social", 200.0, low=100.0, high=300.0, channel_group="social", **said),
        credit("baseline", "(baseline)", 700.0),
        credit("total", "(total)", 1000.0),
        credit("channel", "forum", 900.0, method="last", kind="descriptive"),
        credit("untouched", "(untouched)", 100.0, method="last", kind="descriptive"),
        credit("total", "(total)", 1000.0, method="last", kind="descriptive"),
    ]
    return pl.DataFrame(rows, schema=CREDITS_SCHEMA)


def report(**tables: pl.DataFrame) -> ReportContext:
    sources = ReportSources(
        tables=tables, manifest=MANIFEST, model={}, settings=ReportSettings(), gross_margin=0.5
    )
    return build_context(sources)


def test_the_headline_is_the_margin_that_social_conversations_added() -> None:
    context = report(credits=credits())
    assert context.headline.startswith("Social conversations added GBP 100.00 of margin")
    assert "70 % of all spend would have come anyway" in context.headline


def test_last_touch_is_set_against_what_was_added() -> None:
    section = report(credits=credits()).sections[0]
    assert "added 30.0 % of all spend" in section.finding
    assert "Last-touch credit hands out 3.0 times as much" in section.finding


def test_an_unsupported_credit_never_becomes_a_figure_of_the_first_page() -> None:
    context = report(credits=credits(supported=False, reason="no unanswered problems to compare"))
    assert "no unanswered problems to compare" in context.headline
    assert [tile.supported for tile in context.tiles] == [False]
    assert not re.search(r"GBP \d", context.headline + context.tiles[0].text)


def test_rows_set_aside_are_told_by_rule_with_what_was_not_made() -> None:
    coverage = report().sections[-1]
    assert coverage.finding.startswith("97 of 100 rows")
    assert ("", "rejected: bad date", 3) in coverage.tables[0].rows
    assert ("care", "no cases were given") in coverage.tables[1].rows


def test_the_page_is_one_file_that_asks_nothing_of_a_network() -> None:
    html = render_report(report(credits=credits()))["report.html"].decode()
    addresses = set(re.findall(r"(?:https?:)?//[^\s\"'<)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<script" not in html
    assert html.count("<svg") == 1


def test_names_from_the_data_are_text_and_never_markup() -> None:
    table = credits().with_columns(pl.col("channel").replace("forum", "<b>forum</b>"))
    html = render_report(report(credits=table))["report.html"].decode()
    assert "<b>forum</b>" not in html
    assert "&lt;b&gt;forum&lt;/b&gt;" in html


def test_the_same_context_gives_the_same_bytes() -> None:
    context = report(credits=credits())
    assert render_report(context) == render_report(context)


def test_the_json_rendering_is_the_context_itself() -> None:
    context = report(credits=credits())
    written = orjson.loads(render_report(context)["report.json"])
    assert ReportContext.from_dict(written) == context


@pytest.mark.parametrize("name", ["customers", "effects", "credits"])
def test_an_empty_table_leaves_its_section_out(name: str) -> None:
    context = report(**{name: pl.DataFrame()})
    assert [section.key for section in context.sections] == ["coverage"]
