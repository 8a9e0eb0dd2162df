"""A run without a table gives a shorter report, never an emptier one."""

import re
from dataclasses import replace

import polars as pl
import pytest

from reports.build import build_context, render_json
from reports.context import Ledger, ReportContext
from reports.html import render_html
from reports.pdf import render_pdf
from reports.sections.headline import headline
from reports.settings import ReportSettings
from reports.sources import ReportSources

from .company import PREVIOUS, TABLES, paths_only, sources

KINDS = {
    "paths only": {"credits": paths_only()},
    "values only": {name: TABLES[name]() for name in ("customers", "validation", "purchases")},
    "effects only": {"effects": TABLES["effects"]()},
    "care only": {"care": TABLES["care"]()},
    "nothing": {},
}


def check_whole(context: ReportContext) -> str:
    """Both renderings succeed; nothing stands empty in them."""
    html = render_html(context)
    assert render_pdf(context).startswith(b"%PDF")
    assert render_json(context)
    assert not re.search(r"<h[1-6]>\s*</h[1-6]>", html)
    assert context.headline.text
    for section in context.sections:
        for block in section.blocks:
            if isinstance(block, Ledger):
                assert block.rows
                for place, column in enumerate(block.columns):
                    cells = [row.cells[place] for row in block.rows if row.cells]
                    assert any(cell is not None for cell in cells) or column.form == "text", column.title
    return html


def size(context: ReportContext) -> int:
    return sum(len(section.blocks) for section in context.sections)


@pytest.mark.parametrize("name", [name for name in TABLES if name != "touchpoints"])
def test_a_table_that_is_missing_makes_the_report_shorter(name: str) -> None:
    full = build_context(sources(previous=PREVIOUS))
    without = build_context(sources(without=name, previous=PREVIOUS))
    check_whole(without)
    facts = len(without.to_dict().__repr__())
    assert facts < len(full.to_dict().__repr__())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_gives_a_whole_report(kind: str) -> None:
    context = build_context(sources("credits", tables=KINDS[kind]))
    check_whole(context)
    assert size(context) < size(build_context(sources()))


@pytest.mark.parametrize(
    ("kind", "headline"),
    [
        (
            "paths only",
            "Conversations came before 90% of spend; what they added is not known from these data.",
        ),
        ("values only", "40 customers are expected to bring £2,440 of margin in the next twelve months."),
        ("effects only", "Newsletter test raised spend by £12.90 per customer, between £1.10 and £24.60."),
        ("nothing", "These data hold nothing that this report could say of conversations."),
    ],
)
def test_the_headline_is_of_what_the_run_holds(kind: str, headline: str) -> None:
    assert build_context(sources("credits", tables=KINDS[kind])).headline.text == headline


def test_without_costs_the_deck_says_so_and_no_return_is_drawn() -> None:
    context = build_context(sources("credits", tables={"credits": TABLES["credits"]()}))
    assert "Costs were not given." in [sentence.text for sentence in context.deck]
    assert context.section("after_cost") is None
    assert "margin, between" in context.headline.text


def test_one_tile_alone_is_not_drawn() -> None:
    assert build_context(sources("customers")).tiles == ()


def test_what_changed_needs_a_report_before() -> None:
    assert build_context(sources()).section("changed") is None
    changed = build_context(sources(previous=PREVIOUS)).section("changed")
    assert changed is not None
    assert changed.finding.text.startswith("Customer spend and customers who bought fell")


def test_the_same_report_again_is_no_report_before() -> None:
    same = PREVIOUS | {"as_of": "2026-06-30"}
    assert build_context(sources(previous=same)).section("changed") is None


def test_names_from_the_data_are_text_and_never_markup() -> None:
    from .company import credits, roi

    bad = {"social": 10.0, '<b>"x"#[y]$z$</b>': 5.0}
    tables = {"credits": credits(bad), "roi": roi(bad, dict.fromkeys(bad, 1.0))}
    context = build_context(sources("credits", tables=tables))
    html = render_html(context)
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert render_pdf(context).startswith(b"%PDF")


def test_a_channel_without_support_loses_its_figure_and_no_other() -> None:
    from .company import credits, roi

    mixed = credits().with_columns(
        supported=pl.col("channel_group") != "phone",
        reason=pl.when(pl.col("channel_group") == "phone").then(pl.lit("no unanswered problems to compare")),
    )
    context = build_context(sources("credits", tables={"credits": mixed, "roi": roi()}))
    html = check_whole(context)
    earned = context.section("earned")
    assert earned is not None
    assert "Not supported: Phone, no unanswered problems to compare." in earned.foot
    assert "social conversations added" in earned.finding.text
    assert html.count('<span class="chip caution">not supported</span>') == 2
    assert "−£24" not in html


def test_a_log_without_amounts_says_how_often_customers_will_buy() -> None:
    customers = pl.DataFrame({"customer_id": [1, 2], "customer_lifetime_value": [None, None]})
    counted = ReportSources(
        tables={"customers": customers.cast({"customer_lifetime_value": pl.Float64})},
        manifest={},
        model={"totals": {"expected_purchases": 84.6}, "horizon_months": 6},
        settings=ReportSettings(),
        gross_margin=None,
    )
    assert headline(counted).text.startswith("2 customers are expected to buy 85 times in the next 6 months")
    assert "the purchases have no amounts" in headline(counted).text
    paid = replace(
        counted, tables={"customers": counted.tables["customers"].head(1).with_columns(historic_value=9.0)}
    )
    assert headline(paid).text.startswith("1 customer is expected to buy 85 times")
    assert "too few repeat purchases have an amount" in headline(paid).text
