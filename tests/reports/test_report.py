"""The report says what the tables say, refuses what they cannot support, and needs no network."""

import re

import orjson
import polars as pl
import pytest

from attribution.credits.table import CREDITS_SCHEMA
from attribution.effects import Effect, effects_frame
from care.tables import ROI_SCHEMA
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


def effect(**changes: object) -> Effect:
    known = {
        "name": "reply in an hour",
        "treatment": "fast",
        "control": "slow",
        "outcome": "retention",
        "design": "landmark",
        "estimator": "aipw",
        "estimand": "ATE",
        "estimate": 0.04,
        "std_error": 0.01,
        "low": 0.02,
        "high": 0.06,
        "n_treated": 400,
        "n_control": 600,
    }
    return Effect(**(known | changes))


def test_the_headline_effect_is_a_tile_with_its_interval_and_sample() -> None:
    sources = ReportSources(
        tables={"effects": effects_frame([effect()])},
        manifest=MANIFEST,
        model={},
        settings=ReportSettings(headline_effect="reply in an hour"),
        gross_margin=0.5,
    )
    (tile,) = build_context(sources).tiles
    assert tile.text == "+4.0 points"
    assert "95 % interval 2.0 % to 6.0 %" in tile.detail
    assert "n = 400 + 600" in tile.detail


def test_a_refused_effect_is_listed_with_its_reason_and_makes_no_headline() -> None:
    refused = effect().refused("placebo outcome before the index date is not zero", withhold=True)
    context = report(effects=effects_frame([refused]))
    evidence = context.sections[0]
    assert "None of the 1 effects asked for is supported" in evidence.finding
    assert any("placebo outcome" in note for note in evidence.notes)
    assert "supported" in context.headline


def test_a_return_says_how_likely_it_is_to_be_positive() -> None:
    row = dict.fromkeys(ROI_SCHEMA) | {
        "scenario": "social",
        "period": "(all)",
        "incremental_margin": 150.0,
        "cost": 100.0,
        "roi": 0.5,
        "roi_low": -0.1,
        "roi_high": 1.1,
        "probability_positive": 0.95,
    }
    context = report(roi=pl.DataFrame([row], schema=ROI_SCHEMA))
    (tile,) = context.tiles
    assert (tile.label, tile.text) == ("Return on investment, social", "50 %")
    assert "chance that it is positive 95 %" in tile.detail
    assert context.sections[0].finding == "No return differs from zero beyond sampling error."
