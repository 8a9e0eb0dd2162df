"""Appendix B: who carries the value, whether the forecast can be trusted, how cohorts stay."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from typing import Any, Final

import polars as pl

from reports.context import (
    Block,
    Cell,
    Column,
    Ledger,
    Lines,
    Mark,
    Plot,
    Row,
    Section,
    Sentence,
    Series,
    Verdict,
)
from reports.facts import Estimate
from reports.numbers import axis_number, count, money, nice_scale, percent, symbol
from reports.sections.engaged import engaged_ledger
from reports.sections.sure import LEAST_OFF, forecast_error
from reports.sources import ReportSources, read_day
from reports.words import label, months, ordinal, upper_first

_MONTHS_SHOWN: Final = 16
_Z: Final = 1.959964


def total_value(sources: ReportSources) -> Estimate | None:
    """Margin that all customers are expected to bring within the horizon; None when none was valued."""
    customers = sources.table("customers")
    if customers.is_empty() or customers["customer_lifetime_value"].null_count() == customers.height:
        return None
    totals = sources.model.get("totals") or {}
    return Estimate(
        value=float(customers["customer_lifetime_value"].sum()),
        low=totals.get("customer_lifetime_value_low"),
        high=totals.get("customer_lifetime_value_high"),
    )


def refuted(sources: ReportSources) -> str | None:
    """Why the forecast must not be believed, where time held back has refuted it; else None."""
    forecast = sources.model.get("forecast") or {}
    return str(forecast.get("reason") or "") if forecast.get("status") == "refuted" else None


def value_noun(sources: ReportSources) -> str:
    """What lifetime value is counted in: margin, or revenue where nobody gave any margin."""
    whole = sources.model.get("gross_margin") == 1.0 and sources.gross_margin is None
    return "revenue" if whole else "margin"


def value_section(sources: ReportSources) -> Section | None:
    """Tenths, forecast against outcome, course and cohorts; those that the run has."""
    total = total_value(sources)
    if total is None or total.value is None:
        return None
    tenths = _tenths(sources)
    blocks: list[Block | None] = [
        _tenth_ledger(tenths, sources) if tenths.height > 1 else None,
        _calibration(sources),
        _course(sources),
        _cohorts(sources),
        _acquisition(sources),
        engaged_ledger(sources),
        _day_covariates(sources),
    ]
    best = float(tenths["share"][0]) if tenths.height == 10 else None
    amount = money(total.value, sources.currency)
    text = (
        f"The best tenth of customers carries {percent(best)} of the {amount} expected in the next "
        f"{sources.horizon}"
        if best is not None
        else f"{amount} of {value_noun(sources)} is expected in the next {sources.horizon}"
    )
    against = refuted(sources)
    if against is not None:
        text = f"Time held back refuted this forecast: {against}. It said: {text[:1].lower()}{text[1:]}"
    return Section(
        key="value",
        letter="B",
        title="Customer value",
        question="Who carries the value, and can the forecast be trusted?",
        finding=Sentence(text=text, figures={"value": total.value, "best tenth": best}),
        blocks=tuple(block for block in blocks if block is not None),
        foot=_foot(sources, total),
        terms=(
            (
                "Value",
                f"Discounted {value_noun(sources)} of purchases expected within the horizon, before costs.",
            ),
            ("Held-back time", "Months that the model did not see, kept to judge its forecast."),
        ),
    )


def _day_covariates(sources: ReportSources) -> Ledger | None:
    """What one unit of a campaign or of a price does to everybody's purchases; None without any."""
    clock = (sources.model.get("forecast") or {}).get("clock") or {}
    found = [
        (name, one["estimate"], one["std_error"]) for name, one in (clock.get("covariates") or {}).items()
    ]
    if not found:
        return None
    rows = []
    effects = []
    for name, estimate, error in found:
        value, low, high = (math.expm1(estimate + z * error) for z in (0.0, -_Z, _Z))
        clear = low > 0.0 or high < 0.0
        mark = Mark(form="dot", value=value, low=low, high=high, hollow=not clear)
        verdict = Verdict(text="clear" if clear else "not shown", tone="clear" if clear else "open")
        rows.append(Row(name=label(name), cells=((mark,), value, (low, high), verdict)))
        effects += [value, low, high]
    low, high, ticks = nice_scale(effects, count=3)
    axis = tuple((tick, f"{axis_number(tick * 100, plus=True)}%") for tick in ticks)
    share = {"divisor": 0.01, "decimals": 0, "signed": True, "suffix": "%"}
    return Ledger(
        label="One unit more",
        title="What moves purchases from day to day",
        subtitle="Change of everybody's purchases on a day, season and level apart; forecasts follow plans",
        columns=(
            Column(title="change", form="plot", plot=Plot(low=low, high=high, ticks=axis, zero=0.0)),
            Column(title="purchases", phone=True, strong=True, **share),  # type: ignore[arg-type]
            Column(title="95% range", form="range", **share),  # type: ignore[arg-type]
            Column(title="verdict", form="verdict", phone=True),
        ),
        rows=tuple(rows),
    )


def _foot(sources: ReportSources, total: Estimate) -> str:
    told = [count(sources.table("customers").height, "customer")]
    rate = sources.model.get("discount_rate")
    months_ahead = f"discounted {value_noun(sources)}, {sources.horizon_months} months"
    told.append(months_ahead + (f", {percent(float(rate))} a year" if isinstance(rate, int | float) else ""))
    if total.low is not None and total.high is not None:
        level = float(sources.manifest.get("interval_level") or 0.9)
        low, high = money(total.low, sources.currency), money(total.high, sources.currency)
        told.append(f"{level * 100:.0f}% range of the sum {low} to {high}")
    return upper_first("; ".join(told)) + "."


def _tenths(sources: ReportSources) -> pl.DataFrame:
    return (
        sources.table("customers")
        .drop_nulls("decile")
        .group_by("decile")
        .agg(
            total=pl.col("customer_lifetime_value").sum(),
            mean=pl.col("customer_lifetime_value").mean(),
            alive=pl.col("probability_alive").mean(),
        )
        .sort("decile")
        .with_columns(share=pl.col("total") / pl.col("total").sum())
    )


def _tenth_ledger(tenths: pl.DataFrame, sources: ReportSources) -> Ledger:
    top = max(float(tenths["share"].max() or 0.0), 0.01)  # type: ignore[arg-type]
    rows = []
    for place, row in enumerate(tenths.iter_rows(named=True), start=1):
        lead = place == 1
        bar = Mark(form="bar", start=0.0, value=max(row["share"], 0.0), tone="lead" if lead else "other")
        cells: tuple[Cell, ...] = ((bar,), row["share"], row["mean"], row["alive"])
        rows.append(Row(name=ordinal(place, tenths.height), cells=cells, role="lead" if lead else "plain"))
    return Ledger(
        label="Customers by value",
        title="Value is concentrated" if tenths["share"][0] > 0.25 else "Value is spread",
        subtitle=f"Next {sources.horizon}, by predicted value",
        columns=(
            Column(title="share of all value", form="plot", plot=Plot(low=0.0, high=top)),
            Column(title="share", divisor=0.01, decimals=0, suffix="%", phone=True),
            Column(title=f"{symbol(sources.currency)} each".strip(), decimals=0, phone=True),
            Column(title="still active", divisor=0.01, decimals=0, suffix="%"),
        ),
        rows=tuple(rows),
        half=True,
        dense=True,
    )


def _calibration(sources: ReportSources) -> Ledger | None:
    frame = sources.picture("holdout_deciles")
    if frame.is_empty():
        return None
    top = max(float(frame["predicted"].max() or 0.0), float(frame["actual"].max() or 0.0), 0.1)  # type: ignore[arg-type]
    _, _, ticks = nice_scale([0.0, top], count=4)
    plot = Plot(low=0.0, high=top, ticks=tuple((t, axis_number(t)) for t in ticks))
    observed = frame["actual"].to_list()
    held = all(one >= other for one, other in itertools.pairwise(observed))
    rows = tuple(
        Row(
            name=str(row["decile"]),
            cells=(
                (Mark(form="pair", start=row["predicted"], value=row["actual"]),),
                row["predicted"],
                row["actual"],
            ),
        )
        for row in frame.sort("decile").iter_rows(named=True)
    )
    return Ledger(
        label="Tenth",
        title="The order held: those ranked high bought more" if held else "The order held in part",
        subtitle="Purchases per customer in the time held back",
        columns=(
            Column(title="○ forecast ● observed", form="plot", plot=plot),
            Column(title="forecast", decimals=2, phone=True),
            Column(title="observed", decimals=2, phone=True),
        ),
        rows=rows,
        half=True,
        dense=True,
    )


def _course(sources: ReportSources) -> Lines | None:
    frame = sources.picture("tracking")
    if frame.height < 3:
        return None
    days = frame["date"].to_list()
    first, last = days[0], days[-1]
    width = max((last - first).days, 1)
    cut, error = read_day(sources.model.get("calibration_end")), forecast_error(sources)
    frame = _judged(frame, cut, error)
    both = frame.select("cumulative_observed", "cumulative_expected").cast(pl.Float64)
    top = max(1.0, float(both.max_horizontal().max() or 0.0))  # type: ignore[arg-type]
    _, _, ticks = nice_scale([0.0, top], count=3)
    step = max(1, frame.height // 60)
    kept = sorted({*range(0, frame.height, step), frame.height - 1})

    def points(name: str) -> tuple[tuple[float, float], ...]:
        values = frame[name].to_list()
        return tuple(((days[p] - first).days / width, float(values[p])) for p in kept)

    divider = None
    if cut is not None and first < cut < last:
        divider = ((cut - first).days / width, "fitted before │ judged after".replace("│", "|"))
    title = "Repeat purchases of all customers"
    if error is not None and cut is not None:
        way = "below" if error > 0 else "above"
        off = abs(error / (1.0 + error))  # of the forecast; the error is of what was bought
        ran = f"{percent(off)} {way} the forecast" if off >= LEAST_OFF else "as forecast"
        title = f"Purchases ran {ran} after {months(cut, cut)}"
    return Lines(
        title=title,
        subtitle="Repeat purchases of all customers, cumulative",
        series=(
            Series(name="forecast", points=points("cumulative_expected"), dashed=True),
            Series(name="observed", points=points("cumulative_observed"), lead=True),
        ),
        x_ticks=_dates(first, last),
        y_ticks=tuple((t, axis_number(t)) for t in ticks),
        low=0.0,
        high=top,
        divider=divider,
        alt=f"{title}. Line of observed repeat purchases beside the forecast.",
    )


def _judged(frame: pl.DataFrame, cut: dt.date | None, error: float | None) -> pl.DataFrame:
    """The course with the forecast that counts behind the cut: it starts from what was bought by then.

    The purchase model gives its shape over time, the judged window its total.
    """
    behind = frame.filter(pl.col("date") > cut) if cut is not None else frame.clear()
    before = frame.height - behind.height
    if error is None or not before or behind.is_empty():
        return frame
    bought, expected = (
        frame[name].cast(pl.Float64) for name in ("cumulative_observed", "cumulative_expected")
    )
    came, foreseen = bought[-1] - bought[before - 1], expected[-1] - expected[before - 1]
    if foreseen <= 0:
        return frame
    scale = (1.0 + error) * came / foreseen
    told = bought[before - 1] + scale * (expected[before:] - expected[before - 1])
    return frame.with_columns(cumulative_expected=pl.concat([expected[:before], told]))


def _dates(first: dt.date, last: dt.date) -> tuple[tuple[float, str], ...]:
    """Labels of a time axis: every so many months, at most five."""
    width = max((last - first).days, 1)
    span = (last.year - first.year) * 12 + last.month - first.month
    every = next((n for n in (1, 3, 6, 12, 24, 60) if span / n <= 4), 120)
    labels: list[tuple[float, str]] = []
    for number in range(span + 2):
        count_months = first.year * 12 + first.month - 1 + number
        start = dt.date(count_months // 12, count_months % 12 + 1, 1)
        if (start.month - 1) % every == 0 and first - dt.timedelta(days=15) <= start <= last:
            name = f"{start:%b}" + (f" {start.year}" if start.month == 1 or not labels else "")
            labels.append((max((start - first).days / width, 0.0), name))
    return tuple(labels)


def _cohorts(sources: ReportSources) -> Ledger | None:
    frame = sources.picture("cohorts")
    if frame.is_empty():
        return None
    smallest = sources.settings.minimum_cell
    kept = frame.filter(
        (pl.col("month") > 0) & (pl.col("month") <= _MONTHS_SHOWN) & (pl.col("customers") >= smallest)
    )
    if kept.is_empty():
        return None
    last = int(kept["month"].max())  # type: ignore[arg-type]
    cells: dict[Any, dict[int, float]] = {}
    for row in kept.sort("cohort", "month").iter_rows(named=True):
        cells.setdefault(row["cohort"], {})[row["month"]] = row["retention_observed"]
    rows = tuple(
        Row(name=_cohort_name(cohort, sources), cells=tuple(found.get(m) for m in range(1, last + 1)))
        for cohort, found in list(cells.items())[-8:]
    )
    first = kept.filter(pl.col("month") == 1)["retention_observed"].mean()
    year = kept.filter(pl.col("month") == 12)["retention_observed"].mean()
    title = "Share of each cohort that buys"
    if isinstance(first, float) and isinstance(year, float):
        title = f"{percent(first)} of a cohort buy in the month after joining, {percent(year)} after a year"
    return Ledger(
        label="First bought",
        title=title,
        subtitle="Customers who buy, % of cohort, by month since the first purchase. Cohorts below "
        f"{smallest} customers are left out.",
        columns=tuple(Column(title=str(m), form="tint") for m in range(1, last + 1)),
        rows=rows,
        dense=True,
    )


def _cohort_name(first: dt.date, sources: ReportSources) -> str:
    length = ((sources.manifest.get("configuration") or {}).get("value") or {}).get(
        "retention_cohorts", "quarter"
    )
    if length == "year":
        return str(first.year)
    if length == "month":
        return months(first, first)
    last = dt.date(first.year, first.month + 2, 1)
    return f"{months(first, last, short=True)} {first.year}"


def _acquisition(sources: ReportSources) -> Ledger | None:
    """What the next customer of each way of joining will bring, against its cost."""
    frame = sources.picture("newcomers")
    if frame.is_empty() or frame["acquisition_channel"].null_count() == frame.height:
        return None
    frame = frame.filter(
        (pl.col("customers") >= sources.settings.minimum_cell) & pl.col("acquisition_channel").is_not_null()
    ).sort("customer_lifetime_value", descending=True)
    if frame.height < 2:
        return None
    top = float(frame["customer_lifetime_value"].max() or 1.0)  # type: ignore[arg-type]
    costs = frame["acquisition_cost"].null_count() < frame.height
    columns = [
        Column(title="", form="plot", plot=Plot(low=0.0, high=top)),
        Column(title=f"{symbol(sources.currency)} each".strip(), decimals=0, phone=True),
        Column(title="customers", decimals=0),
    ]
    if costs:
        columns.insert(2, Column(title="cost to win", decimals=2, phone=True))
    rows = []
    for row in frame.head(8).iter_rows(named=True):
        cells: list[Cell] = [
            (Mark(form="bar", start=0.0, value=row["customer_lifetime_value"]),),
            row["customer_lifetime_value"],
            row["customers"],
        ]
        if costs:
            cells.insert(2, row["acquisition_cost"])
        rows.append(Row(name=label(str(row["acquisition_channel"])), cells=tuple(cells)))
    return Ledger(
        label="Joined through",
        title=f"What a customer won today is expected to bring in the next {sources.horizon}",
        columns=tuple(columns),
        rows=tuple(rows),
        dense=True,
    )
