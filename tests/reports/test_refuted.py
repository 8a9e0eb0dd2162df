"""A report says nothing that its own run has refuted, and calls money what it is."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from reports.build import _SECTIONS, build_context
from reports.facts import added, whole
from reports.html import render_html
from tests.reports.company import credits, sources

MODEL: dict[str, Any] = {"chosen": "bg_nbd", "horizon_months": 12, "discount_rate": 0.1, "gross_margin": 0.45}
REFUTED = {"status": "refuted", "reason": "1,200 purchases were forecast and 595 came"}


def test_a_forecast_that_its_own_holdout_refutes_makes_no_headline_and_no_tile() -> None:
    context = build_context(sources("customers", "validation", model={**MODEL, "forecast": REFUTED}))
    assert "1,200 purchases were forecast and 595 came" in context.headline.text
    assert context.headline.text.startswith("No figure for what 40 customers will bring")
    assert not [tile for tile in context.tiles if tile.label.startswith("Value of all customers")]
    (value,) = [section for section in context.sections if section.key == "value"]
    assert value.finding.text.startswith("Time held back refuted this forecast")


@pytest.mark.parametrize("status", ["supported", "doubtful", "unjudged"])
def test_any_other_forecast_is_told(status: str) -> None:
    model = {**MODEL, "forecast": {"status": status, "reason": "n"}}
    assert "are expected to bring" in build_context(sources("customers", model=model)).headline.text


def test_where_nobody_gave_a_margin_value_is_revenue() -> None:
    model = {**MODEL, "gross_margin": 1.0}
    context = build_context(sources("customers", model=model, gross_margin=None))
    assert " of revenue in the next twelve months" in context.headline.text
    assert "margin" not in context.headline.text
    assert "units" not in render_html(context)


def test_channels_without_a_group_stand_beside_the_groups_once() -> None:
    one = credits().filter((pl.col("level") == "channel") & (pl.col("kind") == "incremental")).head(1)
    alone = one.with_columns(channel=pl.lit("fax"), channel_group=pl.lit("fax"))
    found = added(whole(pl.concat([credits(), alone])), "spend")
    assert found is not None
    assert set(found.groups) == set(found.group_of.values())
    assert found.groups["fax"].value == one["credit"][0]


def test_a_section_that_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_section(given: object) -> None:
        raise KeyError("Ann")

    usual = build_context(sources())
    monkeypatch.setattr("reports.build._SECTIONS", (broken_section, *_SECTIONS))
    context = build_context(sources())
    assert [section.key for section in context.sections] == [section.key for section in usual.sections]
    (told,) = [note for note in context.notes if "lacks" in note]
    assert told.startswith("The report lacks its broken section: unexpected KeyError at ")
    assert "Ann" not in told


def test_where_no_touch_led_to_anything_the_report_is_made() -> None:
    rows = (
        credits()
        .filter(pl.col("kind") == "incremental")
        .with_columns(kind=pl.lit("descriptive"), method=pl.lit("last"))
    )
    total = rows.filter(pl.col("level") == "total")
    context = build_context(sources(tables={"credits": total}))
    assert not [note for note in context.notes if "unexpected" in note]
