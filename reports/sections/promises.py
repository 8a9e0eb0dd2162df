"""What was promised and what came of it: a ledger for appendix G, and a sentence of how sure."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import polars as pl

from reports.context import Column, Ledger, Row, Verdict
from reports.numbers import NO_BREAK, decimal, money, percent
from reports.sources import ReportSources
from reports.words import day, inside, join, label

_SHOWN: Final = 10


def promises_ledger(sources: ReportSources) -> Ledger | None:
    """Promises that fell due, the latest first, and behind them the next ones; None without any."""
    frame = sources.table("forecasts")
    if frame.is_empty():
        return None
    due = frame.filter(pl.col("actual").is_not_null()).sort("due", descending=True)
    ahead = frame.filter(pl.col("due") > sources.as_of).sort("due")
    shown = [*due.head(_SHOWN).to_dicts(), *ahead.head(max(_SHOWN - due.height, 3)).to_dicts()]
    if not shown:
        return None
    lost = frame.height - due.height - ahead.height
    foot = f"{lost} that fell due could not be measured." if lost else ""
    return Ledger(
        label="Promise",
        title="What was promised, and what came of it",
        subtitle=promises_finding(sources)
        or f"Nothing has fallen due; the first does on {day(shown[0]['due'])}",
        columns=(
            Column(title="due", form="text"),
            Column(title="promised", form="text", right=True),
            Column(title="came", form="text", right=True, phone=True),
            Column(title="verdict", form="verdict", phone=True),
        ),
        rows=tuple(_row(one, sources.currency) for one in shown),
        foot=foot,
    )


def promises_finding(sources: ReportSources) -> str:
    """How many of those that fell due were kept, and which kind promised too much; empty without any."""
    frame = sources.table("forecasts")
    due = frame.filter(pl.col("actual").is_not_null()) if not frame.is_empty() else frame
    if due.is_empty():
        return ""
    kept = sum(_kept(row) for row in due.iter_rows(named=True))
    text = f"{kept} of {due.height} promises that fell due were kept"
    by_kind = due.group_by("kind", maintain_order=True).agg(pl.col("shortfall").median())
    over = [
        f"{row['kind']}s by {percent(row['shortfall'])}"
        for row in by_kind.iter_rows(named=True)
        if row["shortfall"] is not None and row["shortfall"] >= 0.01
    ]
    return f"{text}; too much was promised by {join(over)}" if over else text


def _kept(row: dict[str, Any]) -> bool:
    """Within its interval, or as good as promised; without an interval within a tenth."""
    if row["inside"] is not None:
        return bool(row["inside"])
    allowed = 0.0 if row["kind"] == "objective" else 0.1
    return row["shortfall"] is not None and row["shortfall"] <= allowed


def _row(row: dict[str, Any], currency: str | None) -> Row:
    if row["actual"] is None:
        verdict = Verdict(text="not due", tone="open")
    else:
        kept = _kept(row)
        verdict = Verdict(text="kept" if kept else "missed", tone="clear" if kept else "caution")
    name, _, rest = str(row["what"]).partition(": ")
    return Row(
        name=label(name),
        detail=f"{inside(rest) if rest else row['kind']}, made {_short(row['made_on'])}",
        cells=(
            _short(row["due"]),
            _told(row, "value", "low", "high", currency),
            _told(row, "actual", "actual_low", "actual_high", currency),
            verdict,
        ),
    )


def _short(date: dt.date) -> str:
    return f"{date.day}{NO_BREAK}{date:%b}{NO_BREAK}{date.year}"


def _told(row: dict[str, Any], value: str, low: str, high: str, currency: str | None) -> str | None:
    if row[value] is None:
        return None
    figure = _figure(row[value], row["unit"], currency)
    if row[low] is None or row[high] is None:
        return figure
    return (
        f"{figure} [{_figure(row[low], row['unit'], currency)}, {_figure(row[high], row['unit'], currency)}]"
    )


def _figure(value: float, unit: str | None, currency: str | None) -> str:
    if unit in ("currency", "spend", "margin"):
        return money(value, currency)
    if unit in ("share", "retention"):
        return percent(value, 1)
    return decimal(value, 0 if abs(value) >= 100 or unit in ("customers", "purchases") else 2)
