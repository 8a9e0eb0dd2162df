"""How good is the service? The bullets of the second page, a tile, and the asks that they fire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from reports.context import Ask, Cell, Column, Ledger, Mark, Plot, Row, Section, Sentence, Tile
from reports.numbers import money, percent, points, signed
from reports.sections.care_figures import Kpi, bullets, kpis, plain_rows, quarter_words, service_channel
from reports.sources import ReportSources
from reports.words import duration, inside, label, upper_first


def service_section(sources: ReportSources, channel: str | None = None) -> Section | None:
    """Bullets from nought to all, with target and interval; absent without service figures."""
    shown = bullets(sources, channel)
    if not shown:
        return None
    chosen = channel or service_channel(sources) or "(all)"
    place = "All channels" if chosen == "(all)" else label(chosen)
    courses = any(len(one.course) > 2 for one in shown)
    targets = any(one.now.get("target") is not None for one in shown)
    changed = any(one.change is not None for one in shown)
    plot = Plot(low=0.0, high=1.0)
    columns = [
        Column(title="0 to 100%" + (", mark: target" if targets else ""), form="plot", plot=plot),
        Column(title="now", divisor=0.01, decimals=1, suffix="%", phone=True, strong=True),
    ]
    if targets:
        columns.append(Column(title="target", divisor=0.01, decimals=0, suffix="%"))
    if changed:
        columns.append(Column(title="change", divisor=0.01, decimals=1, signed=True, suffix=" pts"))
    if courses:
        columns.append(Column(title="course", form="plot", plot=Plot(low=0, high=1)))
    if targets:
        columns.append(Column(title="verdict", form="verdict", phone=True))
    rows = []
    for one in shown:
        bullet = Mark(
            form="bullet",
            value=one.now["value"],
            low=one.now["low"],
            high=one.now["high"],
            target=one.now.get("target"),
        )
        cells: list[Cell] = [(bullet,), one.now["value"]]
        if targets:
            cells.append(one.now.get("target"))
        if changed:
            cells.append(one.change)
        if courses:
            cells.append((Mark(form="spark", points=one.course),) if len(one.course) > 2 else ())
        if targets:
            cells.append(one.verdict)
        rows.append(Row(name=one.title, key=one.kpi, cells=tuple(cells)))
    return Section(
        key="service",
        title="Service",
        question="How good is the service?",
        finding=_finding(shown, place),
        blocks=(
            Ledger(
                label=f"{place}, {quarter_words(shown[0].period)}", columns=tuple(columns), rows=tuple(rows)
            ),
        ),
        foot=_foot(sources, chosen, shown),
    )


def _foot(sources: ReportSources, channel: str, shown: list[Kpi]) -> str:
    told = []
    n = max(int(one.now["n"] or 0) for one in shown)
    if n:
        told.append(f"{n:,} requests.")
    csat = next((one for one in shown if one.kpi == "csat" and one.now.get("coverage") is not None), None)
    if csat is not None:
        told.append(f"Satisfaction from {int(csat.now['n'] or 0):,} answers.")
    waits = kpis(sources, channel).get("first_response_p50")
    if waits is not None and waits.now["value"] is not None:
        when = "Over the whole time" if waits.period == "(all)" else f"In {quarter_words(waits.period)}"
        told.append(f"{when} half of the requests had a reply within {duration(_minutes(waits.now))}.")
    told.append("Requests never answered count as not answered in time. Whiskers: 95% intervals.")
    return " ".join(told)


def _minutes(row: Mapping[str, Any]) -> float:
    value = float(row["value"])
    unit = str(row.get("unit") or "minutes")
    return value / 60 if unit.startswith("second") else value * 60 if unit.startswith("hour") else value


def _finding(shown: list[Kpi], place: str) -> Sentence:
    by_name = {one.kpi: one for one in shown}
    told: list[str] = []
    figures: dict[str, float | None] = {one.kpi: one.now["value"] for one in shown}
    where = "all channels" if place == "All channels" else place
    answered = by_name.get("response_rate")
    ignored = by_name.get("ignored_rate")
    if answered is not None or ignored is not None:
        share = 1 - answered.now["value"] if answered is not None else ignored.now["value"]  # type: ignore[union-attr]
        if share < 0.005:
            told.append(f"every request on {where} got an answer")
        else:
            told.append(f"{percent(share)} of requests on {where} get no answer")
    promised = by_name.get("service_level")
    csat = by_name.get("csat")
    for one, words in ((promised, "{} came as promised"), (csat, "satisfaction is {}")):
        if one is not None and len(told) < 2:
            target = f", {one.verdict.text}" if one.now.get("target") is not None else ""
            told.append(words.format(percent(one.now["value"])) + target)
    if not told:
        first = shown[0]
        told.append(f"{first.title} on {where}: {percent(first.now['value'])}")
    return Sentence(text=upper_first("; ".join(told)), figures=figures)


def care_tile(sources: ReportSources) -> Tile | None:
    """Cost of a case solved, that of other channels beside it."""
    channel = service_channel(sources)
    one = kpis(sources, channel).get("cost_per_resolution")
    if one is None or one.now["value"] is None or channel is None:
        return None
    rows = plain_rows(sources).filter(
        (pl.col("kpi") == "cost_per_resolution")
        & (pl.col("channel") != channel)
        & (pl.col("channel") != "(all)")
        & (pl.col("period") == one.now["period"])
        & pl.col("value").is_not_null()
    )
    others = [
        f"{inside(c)} {money(v, sources.currency)}" for c, v in rows.select("channel", "value").iter_rows()
    ]
    change = one.change
    return Tile(
        label=f"Cost of a case solved{'' if channel == '(all)' else f' on {label(channel)}'}",
        figure=money(float(one.now["value"]), sources.currency),
        detail=", ".join(others[:2]),
        strong="" if change is None else f"{signed(money(change, sources.currency))} on the period before",
    )


def care_asks(sources: ReportSources) -> list[Ask]:
    """A figure that misses its target and has not clearly got better: find out why."""
    asks = []
    for one in bullets(sources):
        if one.verdict.tone != "caution" or one.better:
            continue
        value, where = (
            float(one.now["value"]),
            "all channels" if one.channel == "(all)" else label(one.channel),
        )
        before = (
            ""
            if one.before is None or one.before["value"] is None
            else f"; the period before it was {percent(float(one.before['value']))}"
        )
        asks.append(
            Ask(
                text=_why(one, value, where),
                detail=f"Target {percent(float(one.now['target']))}, "
                f"{points(value - float(one.now['target']))} points off it, from "
                f"{int(one.now['n'] or 0):,} requests{before}.",
                reading=f"{upper_first(one.verdict.text)}, {'getting worse' if one.moved else 'not moving'}.",
                evidence="counted",
                rule="why",
            )
        )
    asks.sort(key=lambda ask: "no answer" not in ask.text)
    return asks[:1]


def _why(one: Kpi, value: float, where: str) -> str:
    if one.kpi == "response_rate":
        return f"Find out why {percent(1 - value)} of requests on {where} get no answer."
    if one.kpi == "ignored_rate":
        return f"Find out why {percent(value)} of requests on {where} get no answer."
    return f"Find out why {one.title[:1].lower()}{one.title[1:]} on {where} is {percent(value)}."
