"""What some customers do beyond buying: whom they brought and whom they helped; to rank by."""

from __future__ import annotations

from typing import Final

import polars as pl

from reports.context import Column, Ledger, Mark, Plot, Row
from reports.numbers import count, money, percent, symbol
from reports.sources import ReportSources

_TENTH: Final = 10


def engaged_ledger(sources: ReportSources) -> Ledger | None:
    """What recommending and helping is worth beside purchases; None where nobody does either."""
    frame = sources.table("engagement")
    if frame.is_empty():
        return None
    parts = [
        (name, detail, [float(frame[f"{column}{end}"].sum()) for end in ("", "_low", "_high")])
        for name, detail, column in (
            ("Whom they brought", _told(frame, "referred", "customer brought", "customers brought"),
             "referral_value"),
            ("Whom they helped", _told(frame, "answers", "answer to others", "answers to others"),
             "knowledge_value"),
        )
        if frame[column].count()
    ]  # fmt: skip
    own = float(frame["customer_lifetime_value"].sum())
    if not parts:
        return None
    largest = max(own, *(ends[-1] for _, _, ends in parts))
    rows = [
        Row(
            name="Their own purchases",
            detail=f"lifetime value of {count(frame.height, 'customer')}",
            cells=((Mark(form="bar", start=0.0, value=own, tone="base"),), own, None),
        )
    ]
    rows += [
        Row(
            name=name,
            detail=detail,
            cells=((Mark(form="bar", start=0.0, value=value, low=low, high=high),), value, (low, high)),
        )
        for name, detail, (value, low, high) in parts
    ]
    return Ledger(
        label="",
        title="Beyond what they buy",
        subtitle="by assumptions of who would have come, and been answered, anyway; each is another "
        "customer's or the desk's as well: to rank by, never to add up",
        columns=(
            Column(title="", form="plot", plot=Plot(low=0.0, high=largest or 1.0, zero=0.0)),
            Column(title=f"worth, {symbol(sources.currency)}", decimals=0, phone=True, strong=True),
            Column(title="range of the assumptions", form="range", decimals=0),
        ),
        rows=tuple(rows),
        foot=_moved(frame, sources),
    )


def _told(frame: pl.DataFrame, column: str, one: str, many: str) -> str:
    who = frame.filter(pl.col(column) > 0).height
    return f"{count(int(frame[column].sum() or 0), one, many)}, by {count(who, 'customer')}"


def _moved(frame: pl.DataFrame, sources: ReportSources) -> str:
    """How many of the first tenth are others than by purchases alone."""
    first = max(1, frame.height // _TENTH)
    moved = frame.filter((pl.col("rank_engaged") <= first) & (pl.col("rank_by_value") > first))
    worth = float(moved["customer_lifetime_value"].fill_null(0.0).mean() or 0.0) if moved.height else 0.0  # type: ignore[arg-type]
    text = f"Of the first {first:,}, {percent(moved.height / first)} are others than by purchases alone"
    return (
        f"{text} (by themselves worth {money(worth, sources.currency)} each)." if moved.height else f"{text}."
    )
