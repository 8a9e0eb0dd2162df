"""Appendix A, continued: what fewer or more touches of each channel would bring."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from reports.context import Cell, Column, Ledger, Lines, Mark, Plot, Row, Sentence, Series, Verdict
from reports.numbers import axis_number, decimal, money, money_ticks, money_unit, nice_scale, symbol
from reports.sentences import MONEY_OUTCOMES, outcome_word, without_notes
from reports.sources import ReportSources
from reports.words import inside, label, upper_first

MOST = 12
_TOUCHES = ((0.0, "none"), (0.5, "half"), (1.0, "as today"), (1.5, "1.5 times"))


def response_ledger(
    sources: ReportSources, outcome: str = "spend", *, most: int | None = MOST
) -> Ledger | None:
    """Curve of an outcome over each channel's touches, its ends, its slope today; None without curves."""
    table = sources.table("response")
    if table.is_empty():
        return None
    curves = table.filter((pl.col("outcome") == outcome) & pl.col("change").is_not_null())
    ends = curves.filter(pl.col("scale").is_in([0.0, 1.5]) & pl.col("supported"))
    if ends.is_empty():
        return None
    is_money = outcome in MONEY_OUTCOMES
    largest = float(ends.select(pl.col("change").abs().max()).item())
    divisor, unit, decimals = money_unit(largest, sources.currency) if is_money else (1.0, "", 0)
    amount = {"divisor": divisor, "decimals": decimals, "signed": True}
    coin = symbol(sources.currency).strip() or "unit"
    inside_of = f"{100 * float(curves['interval_level'][0]):.0f}% range"
    slope = {"decimals": 2} if is_money else {"divisor": 0.001, "decimals": 1}
    columns = (
        Column(title="course", form="plot", plot=Plot(low=0, high=1)),
        Column(title="none", **amount),  # type: ignore[arg-type]
        Column(title="1.5 times", phone=True, **amount),  # type: ignore[arg-type]
        Column(title=inside_of, form="range", **amount),  # type: ignore[arg-type]
        Column(title=f"next {coin} brings" if is_money else f"for the next {coin}1,000", **slope),
        Column(title=inside_of, form="range", **slope),
    )
    rows = [_row(str(name[0]), curve) for name, curve in curves.group_by("channel", maintain_order=True)]
    noun = outcome_word(outcome)
    return Ledger(
        label=f"{unit} of {noun}" if unit else upper_first(noun),
        title="Fewer or more touches of one channel, the others as they are",
        subtitle=f"Change of {noun}; course: from none to 1.5 times today's touches",
        columns=columns,
        rows=tuple(rows[:most]),
    )


def _row(channel: str, curve: pl.DataFrame) -> Row:
    first, last = curve.row(0, named=True), curve.row(-1, named=True)
    if not last["supported"]:
        refused = Verdict(text="not supported", tone="caution")
        return Row(name=label(channel), key=channel, cells=((), None, refused, None, None, None))
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
    detail = f"leaves the data at {beyond[0]:g} times" if beyond else ""
    return Row(name=label(channel), key=channel, cells=cells, detail=detail)


def _range(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def curve_of(sources: ReportSources, outcome: str, channel: str) -> pl.DataFrame:
    """The curve of one channel by `scale`; empty where there is none."""
    table = sources.table("response")
    if table.is_empty():
        return table
    chosen = (pl.col("outcome") == outcome) & (pl.col("channel") == channel) & pl.col("change").is_not_null()
    return table.filter(chosen).sort("scale")


def response_finding(sources: ReportSources, curve: pl.DataFrame) -> Sentence:
    """What half as many touches would take and half as many more would bring."""
    outcome, channel = str(curve["outcome"][0]), str(curve["channel"][0])
    last = curve.row(-1, named=True)
    if not last["supported"]:
        reason = without_notes(last["reason"])
        return Sentence(text=f"{label(channel)}: not supported, because {reason}")
    show = _shower(sources, outcome)
    told: list[str] = []
    figures: dict[str, float | None] = {}
    for scale, words in ((0.5, "half of the touches"), (1.5, "half as many more")):
        found = curve.filter(pl.col("scale") == scale).to_dicts()
        if found:
            one = found[0]
            shown = one["low"] is not None and one["high"] is not None and one["low"] * one["high"] > 0
            verb = "bring" if one["change"] >= 0 else "take"
            told.append(
                f"{words} would {verb} {show(abs(one['change']))}" if shown else f"{words}: not shown"
            )
            figures[words] = one["change"]
    text = f"{upper_first(outcome_word(outcome))} by {inside(channel)}: {'; '.join(told)}"
    return Sentence(text=text, figures=figures)


def response_lines(sources: ReportSources, curve: pl.DataFrame) -> Lines | None:
    """The curve with its band, and where the data end; None where it is not supported."""
    if curve.is_empty() or not curve["supported"].all():
        return None
    outcome, channel = str(curve["outcome"][0]), str(curve["channel"][0])
    width = float(curve["scale"].max())  # type: ignore[arg-type]
    changes = curve.select("change", "low", "high")
    low, high, ticks = nice_scale([*changes["change"], *changes["low"], *changes["high"]])
    labels = (
        money_ticks(ticks, sources.currency, plus=True)
        if outcome in MONEY_OUTCOMES
        else tuple((tick, axis_number(tick, plus=True)) for tick in ticks)
    )
    places = [float(scale) / width for scale in curve["scale"]]
    band = [
        (place, float(bottom), float(top))
        for place, bottom, top in zip(places, curve["low"], curve["high"], strict=True)
        if bottom is not None and top is not None
    ]
    beyond = curve.filter(pl.col("extrapolated"))["scale"].to_list()
    noun = outcome_word(outcome)
    return Lines(
        series=(
            Series(name=label(channel), points=tuple(zip(places, curve["change"], strict=True)), lead=True),
            Series(name="as today", points=((0.0, 0.0), (1.0, 0.0)), dashed=True),
        ),
        x_ticks=tuple((scale / width, words) for scale, words in _TOUCHES if scale <= width),
        y_ticks=labels,
        low=low,
        high=high,
        band=tuple(band),
        divider=(float(beyond[0]) / width, "data end") if beyond and beyond[0] < width else None,
        alt=f"Change of {noun} by the touches of {inside(channel)}, from none to {width:g} times today's",
        subtitle=f"Change of {noun} by the touches of {inside(channel)}, the other channels as they are",
    )


def _shower(sources: ReportSources, outcome: str) -> Callable[[float], str]:
    if outcome in MONEY_OUTCOMES:
        return lambda value: money(value, sources.currency)
    return lambda value: decimal(value, 0)
