"""How long customers wait, and when they ask: the service behind the second page."""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from reports.context import Block, Column, Ledger, Lines, Row, Section, Sentence, Series
from reports.numbers import percent
from reports.sources import ReportSources
from reports.words import day, duration, upper_first

_ALERTS_SHOWN: Final = 12
_DAYS: Final = {
    "Mon": "Monday",
    "Tue": "Tuesday",
    "Wed": "Wednesday",
    "Thu": "Thursday",
    "Fri": "Friday",
    "Sat": "Saturday",
    "Sun": "Sunday",
}


def service_detail_section(sources: ReportSources) -> Section | None:
    """Waiting curve with and without the open cases, the week by hour, alerts; those that the run has."""
    care = sources.table("care")
    if care.is_empty() or "segment" not in care.columns:
        return None
    calendar = pl.col("clock").is_null() | (pl.col("clock") == "calendar")
    care = care.filter((pl.col("channel") == "(all)") & (pl.col("period") == "(all)") & calendar)
    made = (_curve(care), _week(care), _alerts(sources))
    blocks: list[Block] = [block for block in made if block is not None]
    if not blocks:
        return None
    return Section(
        key="service_detail",
        letter="I",
        title="Service in detail",
        question="How long do customers wait?",
        finding=_finding(care),
        blocks=tuple(blocks),
        foot="All channels, calendar time. Requests without a reply count as waiting; desks usually show the "
        "line of answered ones alone.",
    )


def _waits(care: pl.DataFrame) -> pl.DataFrame:
    rows = care.filter((pl.col("kpi") == "waiting_curve") & pl.col("value").is_not_null())
    return rows.with_columns(
        minutes=pl.col("segment").str.split(": ").list.last().cast(pl.Float64, strict=False)
    ).sort("minutes")


def _finding(care: pl.DataFrame) -> Sentence:
    waits = _waits(care)
    hour = waits.filter(pl.col("minutes") == 60)
    day = waits.filter(pl.col("minutes") == 1440)
    if hour.height and day.height:
        first, last = float(hour["value"][0]), float(day["value"][0])
        return Sentence(
            text=f"After an hour {percent(first)} of requests still wait; after a day {percent(last)} do",
            figures={"hour": first, "day": last},
        )
    if hour.height:
        first = float(hour["value"][0])
        return Sentence(
            text=f"After an hour {percent(first)} of requests still wait", figures={"hour": first}
        )
    return Sentence(text="When customers ask, and how often they are answered")


def _curve(care: pl.DataFrame) -> Lines | None:
    waits = _waits(care)
    if waits.height < 3:
        return None
    places = [place / (waits.height - 1) for place in range(waits.height)]
    series = [Series(name="all requests", points=tuple(zip(places, waits["value"], strict=True)), lead=True)]
    if _differ(waits):
        answered = tuple(zip(places, waits["as_tool"], strict=True))
        series.insert(0, Series(name="answered ones", points=answered, dashed=True))
    every = max(1, -(-waits.height // 6))
    ticks = tuple(
        (places[at], "at once" if minutes == 0 else duration(minutes))
        for at, minutes in enumerate(waits["minutes"])
        if at % every == 0
    )
    return Lines(
        title="Share of requests still without a reply",
        subtitle="By time since the request; the steps of the axis grow",
        series=tuple(series),
        x_ticks=ticks,
        y_ticks=((0.0, "0%"), (0.5, "50%"), (1.0, "100%")),
        low=0.0,
        high=1.0,
        alt=_finding(care).text,
    )


def _differ(waits: pl.DataFrame) -> bool:
    """Whether the line of the answered ones is another than that of all."""
    if "as_tool" not in waits.columns or waits["as_tool"].null_count():
        return False
    return bool((waits["as_tool"] - waits["value"]).abs().max() > 0.005)  # type: ignore[operator]


def _week(care: pl.DataFrame) -> Ledger | None:
    rows = care.filter(
        (pl.col("kpi") == "response_rate")
        & pl.col("segment").str.starts_with("hour: ")
        & pl.col("value").is_not_null()
    )
    if rows.is_empty() or rows["value"].min() > 0.995:  # type: ignore[operator]
        return None
    cells: dict[str, dict[str, float]] = {}
    for segment, value in rows.select("segment", "value").iter_rows():
        name, _, hour = segment.removeprefix("hour: ").partition(" ")
        cells.setdefault(name, {})[hour] = value
    hours = sorted({hour for found in cells.values() for hour in found})
    return Ledger(
        label="Hour",
        title="Requests answered by hour of the week",
        subtitle="% of requests that had a human reply, by the hour in which they came",
        columns=tuple(Column(title=hour, form="tint") for hour in hours),
        rows=tuple(
            Row(name=full, cells=tuple(cells[short].get(hour) for hour in hours))
            for short, full in _DAYS.items()
            if short in cells
        ),
        dense=True,
    )


def _alerts(sources: ReportSources) -> Ledger | None:
    """The newest alerts, one line each."""
    alerts = sources.table("alerts")
    if alerts.is_empty():
        return None
    newest = alerts.sort("period", descending=True, maintain_order=True).head(_ALERTS_SHOWN)
    left = alerts.height - newest.height
    return Ledger(
        label="Day",
        title="What left its limits",
        subtitle="Of the last 28 days: more requests than chance brings once in a thousand hours, critics "
        "with large audiences who wait, figures that fell after eight calm weeks",
        columns=(Column(title="what", form="text", phone=True),),
        rows=tuple(
            Row(name=day(dt.date.fromisoformat(row["period"])), cells=(upper_first(row["words"]),))
            for row in newest.iter_rows(named=True)
        ),
        foot=f"{left:,} earlier ones are in the table alerts." if left else "",
    )
