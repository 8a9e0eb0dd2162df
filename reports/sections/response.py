"""Appendix A, continued: what fewer or more touches of each channel would bring."""

from __future__ import annotations

import polars as pl

from reports.context import Cell, Column, Ledger, Mark, Plot, Row, Verdict
from reports.numbers import money_unit, symbol
from reports.sources import ReportSources
from reports.words import label

__all__ = ["response_ledger"]

MOST = 12


def response_ledger(sources: ReportSources) -> Ledger | None:
    """Curve of spend over each channel's touches, with its ends and its slope today; None without curves."""
    table = sources.table("response")
    if table.is_empty():
        return None
    curves = table.filter((pl.col("outcome") == "spend") & pl.col("change").is_not_null())
    ends = curves.filter(pl.col("scale").is_in([0.0, 1.5]) & pl.col("supported"))
    if ends.is_empty():
        return None
    largest = float(ends.select(pl.col("change").abs().max()).item())
    divisor, unit, decimals = money_unit(largest, sources.currency)
    amount = {"divisor": divisor, "decimals": decimals, "signed": True}
    coin = symbol(sources.currency).strip() or "unit"
    inside = f"{100 * float(curves['interval_level'][0]):.0f}% range"
    columns = (
        Column(title="course", form="plot", plot=Plot(low=0, high=1)),
        Column(title="none", **amount),  # type: ignore[arg-type]
        Column(title="1.5 times", phone=True, **amount),  # type: ignore[arg-type]
        Column(title=inside, form="range", **amount),  # type: ignore[arg-type]
        Column(title=f"next {coin} brings", decimals=2),
        Column(title=inside, form="range", decimals=2),
    )
    rows = [_row(str(name[0]), curve) for name, curve in curves.group_by("channel", maintain_order=True)]
    return Ledger(
        label=f"{unit} of spend" if unit else "Spend",
        title="Fewer or more touches of one channel, the others as they are",
        subtitle="Change of spend; course: from none to 1.5 times today's touches",
        columns=columns,
        rows=tuple(rows[:MOST]),
    )


def _row(channel: str, curve: pl.DataFrame) -> Row:
    first, last = curve.row(0, named=True), curve.row(-1, named=True)
    if not last["supported"]:
        refused = Verdict(text="not supported", tone="caution")
        return Row(name=label(channel), cells=((), None, refused, None, None, None))
    today = curve.row(by_predicate=pl.col("scale") == 1.0, named=True)
    beyond = curve.filter(pl.col("extrapolated"))["scale"].to_list()
    cells: tuple[Cell, ...] = (
        (Mark(form="spark", points=tuple(curve["change"])),),
        first["change"],
        last["change"],
        _range(last["low"], last["high"]),
        today["marginal_return"],
        _range(today["marginal_low"], today["marginal_high"]),
    )
    return Row(
        name=label(channel), cells=cells, detail=f"leaves the data at {beyond[0]:g} times" if beyond else ""
    )


def _range(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)
