"""Appendix F: is the return getting better? Estimates at each report's end, and cost by quarter."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import polars as pl

from reports.context import (
    Block,
    Cell,
    Column,
    Ledger,
    Lines,
    Mark,
    Measure,
    Plot,
    Row,
    Section,
    Sentence,
    Series,
)
from reports.facts import SOCIAL, returns
from reports.numbers import money, money_unit, nice_scale, percent, symbol
from reports.sections.account import account_blocks, account_finding
from reports.sections.changed import measures
from reports.sources import ReportSources
from reports.words import count_words, inside, label, months, quarter, upper_first

_QUARTERS = 6
_GROUPS = 9
_FOOT = "Costs are spread evenly over the days of their period; days outside the data do not count."


def returns_section(sources: ReportSources) -> Section | None:
    """The course of the return where several reports hold one; cost by quarter where costs are known."""
    course = [one for one in measures(sources) if one.key == "return"]
    blocks: list[Block] = []
    if len(course) > 1:
        blocks.append(_line(course, sources))
    account = account_blocks(sources)
    blocks += account
    costs = _costs(sources)
    if costs is not None:
        blocks.append(costs)
    if not blocks:
        return None
    if len(course) < 2 and account:
        return Section(
            key="returns",
            letter="F",
            title="Return over time",
            question="When does care pay, and what decides it?",
            finding=account_finding(sources),
            blocks=tuple(blocks),
            foot=_FOOT,
        )
    finding = _finding(course, sources) if len(course) > 1 else Sentence(text=costs.title if costs else "")
    if len(course) < 2 and costs is not None:
        blocks = [replace(costs, title="", foot="", dense=True)]
    return Section(
        key="returns",
        letter="F",
        title="Return over time",
        question="Is it getting better?" if len(course) > 1 else "What did it cost?",
        finding=finding,
        blocks=tuple(blocks),
        foot=_FOOT,
    )


def _who(sources: ReportSources) -> str:
    return "social" if SOCIAL in returns(sources) else "conversations"


def _finding(course: list[Measure], sources: ReportSources) -> Sentence:
    first, last = course[0], course[-1]
    shown = [money(one.value, sources.currency) for one in (first, last)]
    one = f"{symbol(sources.currency)}1"
    if shown[0] == shown[1]:
        text = f"Return on {_who(sources)} stayed at {shown[1]} per {one}"
    else:
        verb = "rose" if last.value > first.value else "fell"
        text = f"Return on {_who(sources)} {verb} from {shown[0]} to {shown[1]} per {one}"
    if all(m.low is not None and m.high is not None and m.low <= 1 <= m.high for m in course):
        text += "; each range includes break-even"
    elif last.low is not None and last.low > 1:
        text += "; the last range lies above break-even"
    elif last.high is not None and last.high < 1:
        text += "; the last range lies below break-even"
    return Sentence(text=text, figures={"first": first.value, "last": last.value})


def _line(course: list[Measure], sources: ReportSources) -> Lines:
    days = [dt.date.fromisoformat(one.as_of[:10]) for one in course]
    width = max((days[-1] - days[0]).days, 1)
    places = [(day - days[0]).days / width for day in days]
    low, high, ticks = nice_scale(
        [1.0, *(x for one in course for x in (one.value, one.low, one.high))], zero=False, count=3
    )
    band = tuple(
        (place, one.low, one.high)
        for place, one in zip(places, course, strict=True)
        if one.low is not None and one.high is not None
    )
    first = sources.first_day
    since = f" since {months(first, first)}" if first else ""
    one = f"{symbol(sources.currency)}1"
    return Lines(
        title="",
        subtitle=f"Margin for each {one} spent on {_who(sources)}{since}, as estimated at the end of each "
        "report, with 95% range",
        series=(
            Series(name="break even", points=((0.0, 1.0), (1.0, 1.0)), dashed=True),
            Series(
                name=money(course[-1].value, sources.currency),
                points=tuple((place, m.value) for place, m in zip(places, course, strict=True)),
                lead=True,
            ),
        ),
        x_ticks=tuple((place, f"{day:%b %Y}") for place, day in zip(places, days, strict=True)),
        y_ticks=tuple((t, money(t, sources.currency)) for t in ticks),
        low=low,
        high=high,
        band=band if len(band) == len(course) else (),
        alt=_finding(course, sources).text,
    )


def _costs(sources: ReportSources) -> Ledger | None:
    """Cost of each group by quarter, the dearest first, small ones together."""
    frame = sources.picture("costs")
    if frame.is_empty() or frame["cost"].sum() <= 0:
        return None
    quarters = sorted(frame["quarter"].unique())[-_QUARTERS:]
    table = (
        frame.group_by("channel_group")
        .agg(pl.col("cost").sum())
        .sort("cost", "channel_group", descending=[True, False])
    )
    total = float(table["cost"].sum())
    names = table["channel_group"].to_list()
    largest = float(table["cost"][0])
    divisor, unit, decimals = money_unit(largest, sources.currency)
    cells = {(r["channel_group"], r["quarter"]): r["cost"] for r in frame.iter_rows(named=True)}
    kept, rest = (names, []) if len(names) <= _GROUPS else (names[: _GROUPS - 1], names[_GROUPS - 1 :])
    rows = []
    for name in kept:
        values = tuple(cells.get((name, q)) for q in quarters)
        rows.append(
            _row(label(name), values, float(table.filter(pl.col("channel_group") == name)["cost"][0]), name)
        )
    if rest:
        values = tuple(sum(cells.get((name, q)) or 0.0 for name in rest) for q in quarters)
        sum_of_rest = float(table.filter(pl.col("channel_group").is_in(rest))["cost"].sum())
        rows.append(_row(f"{upper_first(count_words(len(rest)))} more", values, sum_of_rest, ""))
    if len(quarters) < 3:
        rows = [Row(name=r.name, role=r.role, cells=r.cells[1:]) for r in rows]
    columns = [Column(title="course", form="plot", plot=Plot(low=0, high=1))] if len(quarters) > 2 else []
    columns += [Column(title=quarter(q), divisor=divisor, decimals=decimals) for q in quarters]
    columns.append(Column(title="all", divisor=divisor, decimals=decimals, phone=True, strong=True))
    share = largest / total
    return Ledger(
        label=unit or "Cost",
        title=f"{label(names[0])} takes {percent(share)} of all cost"
        if len(names) > 1
        else f"What {inside(names[0])} cost",
        subtitle="Cost by quarter",
        columns=tuple(columns),
        rows=tuple(rows),
        dense=True,
    )


def _row(name: str, values: tuple[float | None, ...], total: float, key: str) -> Row:
    spark = (Mark(form="spark", points=values),)
    cells: tuple[Cell, ...] = (spark, *values, total)
    return Row(name=name, cells=cells, role="lead" if key == SOCIAL else "plain", key=key)
