"""Is care worth it, for whom, until when, what if faster: answered on the first pages, or refused there."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl

from attribution.effects.effect import EFFECTS_SCHEMA
from care.account import Account, Input
from care.asking import course_of
from care.statement import Told, account_rows, difference_rows, returns_table, tornado_frame
from care.whatif import course_frame
from reports.build import build_context
from reports.context import Ledger, Section
from reports.sections.headline import headline
from reports.sections.worth import worth_section
from reports.settings import ReportSettings
from reports.sources import ReportSources
from tests.care.facts import effect_row, facts


def account(spend: float = 10.0, error: float = 2.0) -> Account:
    return Account(
        cases=np.full(6, 100.0),
        spend_per_case=Input(value=spend, std_error=error),
        gross_margin=Input(value=0.5),
        costs={"people": np.full(6, 300.0)},
        outlay=200.0,
    )


def sources(rows: list[dict[str, Any]], **pictures: pl.DataFrame) -> ReportSources:
    return ReportSources(
        tables={"returns": returns_table(rows)},
        manifest={"as_of": "2026-06-30", "currency": "GBP"},
        model={},
        settings=ReportSettings(),
        gross_margin=0.5,
        pictures=pictures,
    )


MONTHS = [f"2026-0{k}" for k in range(1, 7)]


def said(section: Section | None) -> dict[str, str]:
    assert section is not None
    (ledger,) = section.blocks
    assert isinstance(ledger, Ledger)
    return {row.name: f"{row.cells[0]} [{getattr(row.cells[1], 'text', '')}]" for row in ledger.rows}


def test_a_net_that_is_supported_heads_the_report() -> None:
    made = sources(list(account_rows(account(), MONTHS)))
    assert headline(made).text.startswith("Answering brought £3,000 of margin for £2,000 of cost; the chance")
    rows = said(worth_section(made))
    assert rows["Is it worth it?"].startswith("Net £1,000 (−£175 to £2,180)")
    assert rows["Is it worth it?"].endswith("[not shown]")
    assert rows["Until when?"].startswith(
        "It has paid back after 1.0 months; a case brings £10 and must bring £6.67 of spend"
    )


def test_what_is_not_supported_is_said_with_its_reason_and_heads_nothing() -> None:
    told = Told(absent={"margin": "the placebo moved"})
    made = sources(list(account_rows(account(), MONTHS, told=told)))
    section = worth_section(made)
    assert section is not None
    assert section.finding.text == "Whether care pays is not supported by these data"
    assert said(section)["Is it worth it?"] == "The placebo moved [not supported]"
    assert "Answering" not in headline(made).text


def test_what_if_says_net_and_chance_or_the_experiment() -> None:
    rows = list(account_rows(account(), MONTHS))
    found = sources(rows, what_if=course_frame(course_of(facts(), share=0.64)))
    assert said(worth_section(found))["What if faster?"].startswith(
        "64% instead of 44% within the promise (600 more cases): net"
    )
    refused = facts([effect_row("spend", 7.0, 2.0, supported=False, reason="the placebo moved")])
    found = sources(rows, what_if=course_frame(course_of(refused, share=0.64)))
    text = said(worth_section(found))["What if faster?"]
    assert "the placebo moved; to settle it: a lottery of priority by case id" in text


def test_segments_are_named_only_where_they_stand_out() -> None:
    def segment(name: str, p_holm: float) -> dict[str, Any]:
        return {
            "line": "effect per case",
            "segment": name,
            "value": 5.0,
            "unit": "currency",
            "p_holm": p_holm,
        }

    rows = list(account_rows(account(), MONTHS))
    test = {"line": "equal effects across region", "segment": "region", "p_value": 0.4}
    none = said(worth_section(sources([*rows, segment("region: north", 0.2), test])))
    alike = "does not stand out; that all are alike fits the data (p = 0.40)"
    assert none["For whom?"] == f"North alone could be told, and {alike} [not shown]"
    small = segment("region: south", 1.0) | {"value": None}
    both = said(worth_section(sources([*rows, segment("region: north", 0.2), small])))
    assert both["For whom?"].endswith("not told of 1 more, too small or with a check that failed [not shown]")
    clear = said(worth_section(sources([*rows, segment("region: north", 0.01)])))
    assert clear["For whom?"].startswith("North (£5 per case)")


def test_the_appendix_draws_the_course_the_tornado_and_the_difference() -> None:
    plan = account(8.0, 0.0)
    rows = [
        *account_rows(account(), MONTHS),
        *account_rows(plan, MONTHS, scenario="plan"),
        *difference_rows(account(), plan),
    ]
    made = sources(
        rows, tornado=tornado_frame(account()), what_if=course_frame(course_of(facts(), share=0.64))
    )
    section = build_context(made).section("returns")
    assert section is not None
    assert [block.title for block in section.blocks] == [
        "What care came to, so far",
        "What decides it",
        "Why plan and actual differ",
        "What if more customers were answered in time",
    ]


def test_without_an_account_there_is_no_such_section() -> None:
    empty = dataclasses.replace(sources([]), tables={})
    assert worth_section(empty) is None


def test_a_plan_alone_heads_the_report_as_one() -> None:
    made = sources(list(account_rows(account(), MONTHS, scenario="plan")))
    assert headline(made).text.startswith("Answering is planned to bring £3,000 of margin for £2,000 of cost")
    rows = said(worth_section(made))
    assert rows["Is it worth it?"].endswith("planned, on assumptions alone [plan]")
    assert rows["Until when?"].startswith("It would pay back after 1.0 months")


def test_the_learning_agenda_names_owner_evidence_and_state() -> None:
    made = sources([])
    agenda = [
        {"question": "Do fast answers keep customers?", "owner": "care", "effects": ["fast answers"]},
        {"question": "Does the robot help?", "owner": "", "effects": []},
    ]
    effects = pl.concat([pl.DataFrame(schema=EFFECTS_SCHEMA), facts().effects], how="diagonal_relaxed")
    made = dataclasses.replace(
        made,
        tables={"effects": effects},
        manifest=dict(made.manifest) | {"configuration": {"care": {"agenda": agenda}}},
    )
    section = build_context(made).section("objectives")
    assert section is not None
    (ledger,) = section.blocks
    assert isinstance(ledger, Ledger)
    first, second = ledger.rows
    assert first.name == "Do fast answers keep customers? (care)"
    assert str(first.cells[0]).startswith("fast answers: ")
    assert second.cells[:2] == ("no effect is estimated for it", "an experiment")


def test_fast_answers_alone_are_told_as_far_as_they_are_shown() -> None:
    told = Told(absent={"net": "the cost is that of all answers"})
    for spend, words in (
        (10.0, "Fast answers, not late ones, added £"),
        (1.0, "is not shown"),
    ):
        section = worth_section(sources(list(account_rows(account(spend), MONTHS, told=told))))
        assert section is not None
        assert words in section.finding.text
        assert "break even" not in str(said(section))
