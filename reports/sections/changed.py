"""What changed since the last report: each measure then and now, and whether chance explains the rest."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from reports.context import Cell, Column, Ledger, Mark, Measure, Plot, Row, Section, Sentence, Verdict
from reports.facts import EVERYTHING, SOCIAL, added, returns, whole
from reports.numbers import money, percent, points, signed, symbol
from reports.sections.care_figures import kpis, service_channel
from reports.sources import ReportSources
from reports.words import join, label, months, upper_first

_MOST: Final = 6
_PERIODS: Final = 6
_Z: Final = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """One measure: shown texts, its course, and how the change reads."""

    name: str
    course: tuple[float | None, ...]
    before: str
    now: str
    change: str
    reading: Verdict
    size: float


def measures(sources: ReportSources) -> tuple[Measure, ...]:
    """The figures that the next report compares with, those of earlier reports before them."""
    as_of = sources.as_of.isoformat()
    kept = []
    for entry in (sources.previous or {}).get("measures", ()) if sources.previous_as_of else ():
        if str(entry.get("as_of", "")) < as_of:
            kept.append(Measure(**{key: entry.get(key) for key in ("key", "value", "low", "high", "as_of")}))
    found = returns(sources)
    back = found.get(SOCIAL) or found.get(EVERYTHING)
    own = []
    if back is not None:
        ends = back.per_unit_range or (None, None)
        own.append(Measure(key="return", value=back.per_unit, low=ends[0], high=ends[1], as_of=as_of))
        own.append(
            Measure(
                key="margin",
                value=back.margin,
                low=None if ends[0] is None else ends[0] * back.cost,
                high=None if ends[1] is None else ends[1] * back.cost,
                as_of=as_of,
            )
        )
    spend = added(whole(sources.table("credits")), "spend")
    if spend is not None and spend.total:
        own.append(
            Measure(key="baseline_share", value=(spend.baseline.value or 0) / spend.total, as_of=as_of)
        )
    return (*kept, *own)


def _windows(sources: ReportSources) -> list[tuple[dt.date, dt.date]]:
    """Windows of one reporting period's length that end with the data, oldest first: first and last day."""
    before = sources.previous_as_of
    assert before is not None
    ends = [sources.as_of]
    apart = (sources.as_of.year - before.year) * 12 + sources.as_of.month - before.month
    month_ends = all((day + dt.timedelta(days=1)).day == 1 for day in (sources.as_of, before))
    first = sources.first_day or before
    while len(ends) <= _PERIODS:
        last = ends[-1]
        if month_ends:
            count = last.year * 12 + last.month - 1 - apart
            ends.append(_first_of(count + 1) - dt.timedelta(days=1))
        else:
            ends.append(last - (sources.as_of - before))
        if ends[-1] < first:
            break
    ends.reverse()
    return [
        (start + dt.timedelta(days=1), end)
        for start, end in itertools.pairwise(ends)
        if start + dt.timedelta(days=1) >= first
    ]


def _first_of(count: int) -> dt.date:
    return dt.date(count // 12, count % 12 + 1, 1)


def changed_section(sources: ReportSources) -> Section | None:
    """Measures that two reports share; absent without an earlier one."""
    before = sources.previous_as_of
    if before is None:
        return None
    windows = _windows(sources)
    if len(windows) < 2:
        windows = [(before, before), (before + dt.timedelta(days=1), sources.as_of)]
    changes = [*_buying(sources, windows), *_service(sources), *_return(sources)][:_MOST]
    if not changes:
        return None
    changes.sort(key=lambda one: (one.reading.tone != "clear", -abs(one.size)))
    courses = any(sum(value is not None for value in one.course) > 2 for one in changes)
    columns = [
        Column(title="before", form="text", right=True),
        Column(title="now", form="text", phone=True, strong=True, right=True),
        Column(title="change", form="text", phone=True, right=True),
        Column(title="reading", form="verdict"),
    ]
    if courses:
        columns.insert(0, Column(title="course", form="plot", plot=Plot(low=0, high=1)))
    old, new = (months(*window, short=True) for window in windows[-2:])
    return Section(
        key="changed",
        title="What changed",
        question="What changed since the last report?",
        finding=_finding(changes),
        blocks=(
            Ledger(
                label="Measure",
                columns=tuple(
                    _titled(column, {"before": old, "now": new}.get(column.title, column.title))
                    for column in columns
                ),
                rows=tuple(_row(one, courses) for one in changes),
            ),
        ),
        foot="“Within chance”: the 95% interval of the change covers zero."
        + _newcomers(sources, windows[-1][0]),
    )


def _titled(column: Column, title: str) -> Column:
    return replace(column, title=title)


def _row(one: _Change, courses: bool) -> Row:
    cells: list[Cell] = [one.before, one.now, one.change, one.reading]
    if courses:
        cells.insert(0, (Mark(form="spark", points=one.course),))
    return Row(name=one.name, cells=tuple(cells))


def _finding(changes: list[_Change]) -> Sentence:
    told = []
    for word in ("fell", "rose"):
        names = [one.name for one in changes if one.reading.text == word]
        if names:
            told.append(f"{join([_lower(name) for name in names], most=2)} {word}")
    still = [one for one in changes if one.reading.tone != "clear"]
    if still and len(told) < 2:
        told.append(
            "the other measures stayed where they were" if told else "every measure stayed where it was"
        )
    return Sentence(text=upper_first("; ".join(told)), figures={one.name: one.size for one in changes})


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:].removesuffix(", to date")


def _newcomers(sources: ReportSources, since: dt.date) -> str:
    customers = sources.table("customers")
    if customers.is_empty() or customers["first_purchase"].null_count() == customers.height:
        return ""
    last = customers["first_purchase"].max()
    if isinstance(last, dt.date) and last < since:
        return f" No customer joined after {months(last, last)}, so fewer buyers are expected."
    return ""


def _buying(sources: ReportSources, windows: list[tuple[dt.date, dt.date]]) -> list[_Change]:
    """Spend and buyers by period; the same customers are compared with themselves."""
    purchases = sources.table("purchases")
    if purchases.is_empty() or len(windows) < 2 or windows[-2][0] == windows[-2][1]:
        return []
    starts = [first for first, _ in windows]
    rows = (
        purchases.filter(pl.col("date").is_between(starts[0], windows[-1][1]))
        .with_columns(
            window=pl.sum_horizontal([(pl.col("date") >= start).cast(pl.Int32) for start in starts])
        )
        .group_by("customer_id", "window")
        .agg(pl.col("amount").sum())
    )
    last, before = len(starts), len(starts) - 1
    sums = dict(rows.group_by("window").agg(pl.col("amount").sum()).iter_rows())
    buyers = dict(rows.group_by("window").len().iter_rows())
    pairs = rows.filter(pl.col("window").is_in([before, last])).pivot(
        on="window", index="customer_id", values="amount"
    )
    for name in (str(before), str(last)):
        if name not in pairs.columns:
            return []
    old, new = (pairs[name].fill_null(0.0) for name in (str(before), str(last)))
    kinds = [
        ("Customer spend", [sums.get(w + 1) for w in range(last)], new - old, True),
        (
            "Customers who bought",
            [buyers.get(w + 1) for w in range(last)],
            (new > 0).cast(pl.Float64) - (old > 0).cast(pl.Float64),
            False,
        ),
    ]
    found = []
    for name, course, difference, is_money in kinds:
        a, b = float(course[-2] or 0.0), float(course[-1] or 0.0)
        error = _Z * math.sqrt(difference.len()) * float(difference.std() or 0.0)  # type: ignore[arg-type]
        show: Callable[[float], str] = _amounts(sources) if is_money else "{:,.0f}".format
        moved = abs(b - a) > error
        found.append(
            _Change(
                name=name,
                course=tuple(None if v is None else float(v) for v in course),
                before=show(a),
                now=show(b),
                change=signed(percent((b - a) / a)) if a else "new",
                reading=_moved(moved, b - a),
                size=(b - a) / a if a else 0.0,
            )
        )
    return found


def _amounts(sources: ReportSources) -> Callable[[float], str]:
    return lambda value: money(value, sources.currency)


def _tenths_of_percent(share: float) -> str:
    return percent(share, 1)


def _moved(moved: bool, change: float) -> Verdict:
    if not moved:
        return Verdict(text="within chance", tone="open")
    return Verdict(text="rose" if change > 0 else "fell", tone="clear")


def _service(sources: ReportSources) -> list[_Change]:
    """Service figures of the channel on the page, where the period before is known."""
    found = []
    channel = service_channel(sources)
    for name in ("service_level", "response_rate", "csat", "cost_per_resolution"):
        one = kpis(sources, channel).get(name)
        if one is None or one.change is None or one.before is None:
            continue
        is_money = name == "cost_per_resolution"
        a, b = float(one.before["value"]), float(one.now["value"])
        show: Callable[[float], str] = _amounts(sources) if is_money else _tenths_of_percent
        change = signed(money(b - a, sources.currency)) if is_money else f"{points(b - a)} pts"
        reading = (
            Verdict(text="no range", tone="open") if one.moved is None else _moved(bool(one.moved), b - a)
        )
        where = "" if channel in (None, "(all)") else f" on {label(str(channel))}"
        found.append(
            _Change(
                name=f"{one.title}{where}",
                course=one.course[-_PERIODS:],
                before=show(a),
                now=show(b),
                change=change,
                reading=reading,
                size=(b - a) / a if a else 0.0,
            )
        )
    return found[:3]


def _return(sources: ReportSources) -> list[_Change]:
    """Margin for each unit of cost, to date: both estimates share most of their data."""
    series = [one for one in measures(sources) if one.key == "return"]
    if len(series) < 2:
        return []
    before, now = series[-2], series[-1]
    inside = now.low is not None and now.high is not None and now.low <= before.value <= now.high
    who = "social" if SOCIAL in returns(sources) else "conversations"
    change = now.value - before.value
    return [
        _Change(
            name=f"Margin for each {symbol(sources.currency)}1 spent on {who}, to date",
            course=tuple(one.value for one in series),
            before=money(before.value, sources.currency),
            now=money(now.value, sources.currency),
            change=signed(money(change, sources.currency)),
            reading=Verdict(text="within its range", tone="open") if inside else _moved(True, change),
            size=change / before.value if before.value else 0.0,
        )
    ]
