"""The account of care in the appendix: net so far, what moves it most, why plan and actual differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import polars as pl

from histories.cuts import ALL
from reports.context import Block, Column, Ledger, Lines, Mark, Plot, Row, Sentence, Series
from reports.numbers import money, money_ticks, money_unit, nice_scale
from reports.sections.worth import line_of, worth_finding
from reports.sources import ReportSources
from reports.whatif import what_if_lines

_INPUTS: Final = {
    "spend_per_case": "What an answer brings",
    "gross_margin": "Gross margin",
    "issues_per_case": "Further contacts after an answer",
    "cost_per_contact": "Cost of a contact",
    "contacts_avoided": "Contacts avoided",
    "cost_per_assisted_contact": "Cost of an assisted contact",
    "recontact_share": "Share who come back",
    "cost_scale": "Cost",
    "case_scale": "Number of cases",
}


def account_blocks(sources: ReportSources) -> list[Block]:
    """The course of the net, the tornado, plan against actual, the course over the share; what there is."""
    blocks = [_course(sources), _tornado(sources), _difference(sources), _what_if(sources)]
    return [block for block in blocks if block is not None]


def account_finding(sources: ReportSources) -> Sentence:
    """When care had paid back, or what it comes to."""
    payback = line_of(sources, "payback")
    if payback is not None and payback["value"] is not None:
        return Sentence(
            text=f"Care had paid back after {payback['value']:.1f} months",
            figures={"payback": payback["value"]},
        )
    return worth_finding(sources)


def _months(sources: ReportSources, scenario: str) -> pl.DataFrame:
    table = sources.table("returns")
    if table.is_empty():
        return table
    rows = (pl.col("scenario") == scenario) & (pl.col("line") == "net") & (pl.col("segment") == ALL)
    return table.filter(rows & (pl.col("period") != ALL) & pl.col("cumulated").is_not_null())


def _course(sources: ReportSources) -> Lines | None:
    """Net so far, by month; the plan dashed beside it."""
    found = {name: _months(sources, name) for name in ("actual", "plan")}
    shown = {name: rows for name, rows in found.items() if rows.height > 1}
    if not shown:
        return None
    lead = "actual" if "actual" in shown else "plan"
    length = max(rows.height for rows in shown.values()) - 1
    ends = [0.0, *(x for rows in shown.values() for x in rows["cumulated"])]
    low, high, ticks = nice_scale(ends, count=3)
    labels = shown[lead]["period"].to_list()
    last = float(shown[lead]["cumulated"][-1])
    series = [Series(name="0", points=((0.0, 0.0), (1.0, 0.0)), dashed=True)]
    for name, rows in shown.items():
        points = tuple((place / length, value) for place, value in enumerate(rows["cumulated"]))
        told = money(float(rows["cumulated"][-1]), sources.currency)
        both = f"{name}, {told}" if len(shown) > 1 or name == "plan" else told
        series.append(Series(name=both, points=points, lead=name == lead, dashed=name != lead))
    return Lines(
        title="What care came to, so far" if lead == "actual" else "What care is planned to come to",
        subtitle="Margin and cost avoided less contacts induced and cost, all months so far",
        series=tuple(series),
        x_ticks=tuple((place / length, labels[place]) for place in sorted({0, len(labels) - 1})),
        y_ticks=tuple((tick, money(tick, sources.currency)) for tick in ticks),
        low=low,
        high=high,
        alt=f"Net so far: {money(last, sources.currency)} at the end",
    )


def _tornado(sources: ReportSources) -> Ledger | None:
    """How far the net goes while one input goes from its low to its high end."""
    frame, told = sources.picture("tornado"), "Net, while one figure goes from its low to its high end"
    if frame.is_empty():
        frame, told = sources.picture("tornado_plan"), f"Planned n{told[1:]}"
    if frame.is_empty():
        return None
    ends = [x for pair in frame.select("at_low", "at_high").iter_rows() for x in pair]
    low, high, ticks = nice_scale([0.0, *ends], count=3)
    divisor, unit, decimals = money_unit(max(abs(x) for x in ends), sources.currency)
    plot = Plot(low=low, high=high, zero=0.0, ticks=money_ticks(ticks, sources.currency))
    rows = [
        Row(
            name=_INPUTS.get(name, name),
            cells=(
                (Mark(form="span", low=min(first, second), high=max(first, second), tone="lead"),),
                (min(first, second), max(first, second)),
            ),
        )
        for name, first, second in frame.select("name", "at_low", "at_high").iter_rows()
    ]
    return Ledger(
        label=unit or "Figure",
        title="What decides it",
        subtitle=told,
        columns=(
            Column(title="", form="plot", plot=plot),
            Column(title="net from, to", form="range", divisor=divisor, decimals=decimals, phone=True),
        ),
        rows=tuple(rows),
        dense=True,
    )


def _difference(sources: ReportSources) -> Ledger | None:
    """Net of the actual less that of the plan, by cause."""
    causes: Sequence[tuple[str, str]] = (
        ("volume", "More or fewer cases"),
        ("effect", "Each worth more or less"),
        ("cost", "Cost"),
        ("net", "Actual less plan"),
    )
    found: list[tuple[str, Mapping[str, Any]]] = [
        (title, row)
        for line, title in causes
        if (row := line_of(sources, line, scenario="difference")) is not None
    ]
    if not found:
        return None
    divisor, unit, decimals = money_unit(max(abs(row["value"]) for _, row in found), sources.currency)
    return Ledger(
        label=unit or "Cause",
        title="Why plan and actual differ",
        columns=(Column(title="net", divisor=divisor, decimals=decimals, signed=True, phone=True),),
        rows=tuple(
            Row(name=title, role="total" if row["line"] == "net" else "plain", cells=(row["value"],))
            for title, row in found
        ),
        dense=True,
    )


def _what_if(sources: ReportSources) -> Lines | None:
    lines = what_if_lines(sources.picture("what_if"), sources.currency)
    return lines and replace(lines, title="What if more customers were answered in time")
