"""Appendix A: what was added beside what path methods hand out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from reports.context import (
    Block,
    Cell,
    Column,
    Ledger,
    Mark,
    Plot,
    Row,
    Section,
    Sentence,
    Slope,
    SlopePoint,
    Verdict,
)
from reports.facts import SOCIAL, Added, Estimate, added, whole
from reports.numbers import money_ticks, money_unit, nice_scale
from reports.sections.declared import declared_ledger
from reports.sections.earned import range_of
from reports.sections.response import response_ledger
from reports.sentences import MONEY_OUTCOMES, outcome_word
from reports.sources import ReportSources
from reports.words import count_words, inside, join, label, method_name, months, upper_first

_SIDE_BY_SIDE: Final = ("spend", "lifetime_value", "retention")
_PATHS_FIRST: Final = ("last", "shapley", "linear", "markov", "first")


def credit_section(sources: ReportSources) -> Section | None:
    """Slope, ledger with the span of the path methods, and the outcomes side by side."""
    credits = whole(sources.table("credits"))
    spend = added(credits, "spend")
    if spend is None or not spend.told:
        return _declared_alone(sources)
    paths = handed_out(credits, "spend")
    blocks: list[Block] = []
    if "last" in paths:
        blocks.append(comparison_slope(spend, paths["last"], "last", sources))
    blocks.append(_ledger(spend, paths, sources.currency))
    further = (_side_by_side(credits), response_ledger(sources), declared_ledger(sources))
    blocks += [block for block in further if block is not None]
    finding = slope_finding(spend, paths["last"], "last") if "last" in paths else _plain_finding(spend)
    return Section(
        key="credit",
        letter="A",
        title="Credit",
        question="Does our usual report mislead us?" if paths else "What did each channel add?",
        finding=finding,
        blocks=tuple(blocks),
        foot=_foot(sources, paths),
    )


def _declared_alone(sources: ReportSources) -> Section | None:
    """What customers declare, where no credit is told; None where they declare nothing."""
    said = declared_ledger(sources)
    if said is None:
        return None
    return Section(
        key="credit",
        letter="A",
        title="Declared sources",
        question="How do customers say they heard of us?",
        finding=Sentence(text=f"{said.rows[0].name} is named most"),
        blocks=(said,),
    )


def handed_out(credits: pl.DataFrame, outcome: str) -> dict[str, dict[str, float]]:
    """Descriptive credit by method, then by channel and group."""
    rows = credits.filter(
        (pl.col("kind") == "descriptive")
        & (pl.col("outcome") == outcome)
        & pl.col("level").is_in(["channel", "group"])
        & pl.col("credit").is_not_null()
    )
    found: dict[str, dict[str, float]] = {}
    for row in rows.sort("level").iter_rows(named=True):
        found.setdefault(row["method"], {})[row["channel"]] = row["credit"]
    return found


def slope_finding(spend: Added, given: Mapping[str, float], method: str) -> Sentence:
    """Whom the usual method credits most beyond what they added."""
    name = method_name(method)
    ratios = {
        group: given[group] / estimate.value
        for group, estimate in spend.groups.items()
        if given.get(group) and estimate.value and estimate.state == "positive"
    }
    wrong = [g for g, e in spend.groups.items() if e.state == "negative" and given.get(g, 0.0) > 0]
    over = sorted((g for g, ratio in ratios.items() if ratio >= 1.5), key=lambda g: -given[g])
    big = [g for g in over if ratios[g] >= 2.0] or over
    figures: dict[str, float | None] = dict(ratios)
    subject = upper_first(f"{name.replace(' ', '-') if name.endswith('touch') else name} credit")
    if big:
        chosen = big[:2]
        low, high = min(ratios[g] for g in chosen), max(ratios[g] for g in chosen)
        times = _times(low, high)
        text = f"{subject} hands {join([inside(g) for g in chosen])} {times} what they added"
        if len(chosen) == 1:
            text = text.replace("what they added", "what it added")
        return Sentence(text=text, figures=figures)
    if wrong:
        return Sentence(
            text=f"{subject} rewards {join([inside(g) for g in wrong])}, which reduced "
            f"{outcome_word(spend.outcome)}",
            figures=figures,
        )
    return Sentence(text=f"{subject} and what was added agree within a factor of two", figures=figures)


def _times(low: float, high: float) -> str:
    one, other = max(round(low), 2), max(round(high), 2)
    words = count_words(one) if one == other else f"{count_words(one)} to {count_words(other)}"
    return "twice" if words == "two" else f"{words} times"


def _plain_finding(spend: Added) -> Sentence:
    names = [g for g, e in spend.groups.items() if e.state == "positive"]
    if not names:
        return Sentence(text=f"No channel's addition to {outcome_word(spend.outcome)} is shown")
    return Sentence(
        text=f"{upper_first(join([inside(g) for g in names]))} added to {outcome_word(spend.outcome)}"
    )


def comparison_slope(
    spend: Added, given: Mapping[str, float], method: str, sources: ReportSources, *, lead: str = SOCIAL
) -> Slope:
    """From what a path method credits to what was added, group by group."""
    largest = max([abs(v) for g, v in given.items() if g in spend.groups] + [spend.total * 0.01])
    is_money = spend.outcome in MONEY_OUTCOMES
    divisor, unit, decimals = money_unit(largest, sources.currency) if is_money else (1.0, "", 0)
    points = tuple(
        SlopePoint(
            name=label(group),
            left=given.get(group, 0.0),
            right=estimate.value or 0.0,
            low=estimate.low,
            high=estimate.high,
            lead=group == lead,
        )
        for group, estimate in [one for one in spend.groups.items() if one[1].supported][:12]
    )
    first = sources.first_day
    period = f", {months(first, sources.as_of)}" if first else ""
    noun = upper_first(outcome_word(spend.outcome))
    return Slope(
        points=points,
        left=f"credited by {method_name(method)}",
        right="added (incremental)",
        divisor=divisor,
        decimals=decimals,
        subtitle=f"{noun}, {unit}{period}" if unit else f"{noun}{period}",
        alt=slope_finding(spend, given, method).text,
    )


def _ledger(spend: Added, paths: Mapping[str, Mapping[str, float]], currency: str | None) -> Ledger:
    """Groups with their channels: the added dot with its range, and the grey span of the path methods."""
    rows_of: list[tuple[str, str, Estimate]] = []
    for group, estimate in spend.groups.items():
        rows_of.append(("lead" if group == SOCIAL else "plain", group, estimate))
        inner = [c for c, g in spend.group_of.items() if g == group]
        if len(inner) > 1:
            inner.sort(key=lambda channel: -(spend.channels[channel].value or 0.0))
            rows_of += [("child", channel, spend.channels[channel]) for channel in inner]
    methods = [m for m in _PATHS_FIRST if m in paths] + [m for m in paths if m not in _PATHS_FIRST]
    values = [x for _, _, e in rows_of for x in (e.value, e.low, e.high)]
    names = {name for _, name, _ in rows_of}
    given = [v for method in methods for name, v in paths[method].items() if name in names]
    low, high, ticks = nice_scale([*values, *given], count=3)
    divisor, unit, decimals = money_unit(max(abs(low), abs(high)), currency)
    plot = Plot(low=low, high=high, zero=0.0, ticks=money_ticks(ticks, currency))
    shown = methods[:2]
    columns = [
        Column(title="", form="plot", plot=plot),
        Column(title="added", divisor=divisor, decimals=decimals, signed=True, phone=True),
        Column(
            title=f"{spend.level * 100:.0f}% range",
            form="range",
            divisor=divisor,
            decimals=decimals,
            signed=True,
        ),
        *(Column(title=method_name(m), divisor=divisor, decimals=decimals) for m in shown),
    ]
    if shown:
        columns.append(Column(title=f"{method_name(shown[0])} gives", form="text", phone=True, right=True))
    rows = [_row(role, name, estimate, paths, methods, shown) for role, name, estimate in rows_of]
    return Ledger(
        label=f"{unit} of spend" if unit else "Spend",
        subtitle="● added, with its range; grey: span of the path methods" if methods else "",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _row(
    role: str,
    name: str,
    estimate: Estimate,
    paths: Mapping[str, Mapping[str, float]],
    methods: Sequence[str],
    shown: Sequence[str],
) -> Row:
    given = [paths[m][name] for m in methods if name in paths[m]]
    marks = []
    if given:
        marks.append(Mark(form="span", low=min(given), high=max(given), tone="grey"))
    marks.append(
        Mark(
            form="dot",
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            hollow=estimate.state in ("covers", "no_interval"),
        )
    )
    cells: list[Cell] = [tuple(marks), estimate.value, range_of(estimate)]
    if not estimate.supported:
        refused = Verdict(text="not supported", tone="caution")
        cells = [tuple(mark for mark in marks if mark.form == "span"), refused, None]
    cells += [paths[m].get(name) for m in shown]
    if shown:
        cells.append(_ratio(estimate, paths[shown[0]].get(name)))
    return Row(name=label(name), role=role, key=name, cells=tuple(cells))  # type: ignore[arg-type]


def _ratio(estimate: Estimate, given: float | None) -> str:
    if given is None or not estimate.value or estimate.state in ("covers", "not_supported"):
        return ""
    if given > 0 > estimate.value:
        return "wrong sign"
    return f"{given / estimate.value:.1f} times"


def _side_by_side(credits: pl.DataFrame) -> Ledger | None:
    """The share of each outcome that each group added."""
    found = {outcome: added(credits, outcome) for outcome in _SIDE_BY_SIDE}
    made = {name: one for name, one in found.items() if one is not None and one.total and one.supported}
    if len(made) < 2:
        return None
    order = list(next(iter(made.values())).groups)
    columns: list[Column] = []
    for outcome, one in made.items():
        ends = [
            None if x is None else x / one.total
            for e in one.groups.values()
            for x in (e.value, e.low, e.high)
        ]
        low, high, _ = nice_scale(ends)
        title = upper_first(outcome_word(outcome))
        columns.append(Column(title=title, form="plot", plot=Plot(low=low, high=high, zero=0.0)))
        columns.append(Column(title="share", divisor=0.01, decimals=0, suffix="%", phone=True))
    rows = []
    for group in order:
        cells: list[Cell] = []
        for one in made.values():
            estimate = one.groups.get(group, Estimate(value=None, supported=False))
            share = estimate.times(1 / one.total)
            dot = Mark(
                form="dot",
                value=share.value,
                low=share.low,
                high=share.high,
                hollow=share.state in ("covers", "no_interval"),
            )
            cells += [(dot,), share.value]
        rows.append(Row(name=label(group), role="lead" if group == SOCIAL else "plain", cells=tuple(cells)))
    return Ledger(
        label="Share that each channel added",
        title=_side_title(made),
        subtitle="Share of each outcome that the channel added, with its range",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _side_title(made: Mapping[str, Added]) -> str:
    kept = made.get("retention")
    spend = made.get("spend")
    if kept is None or spend is None:
        return "Outcomes side by side"
    both = [
        g for g, e in spend.groups.items() if e.state == "positive" and kept.groups[g].state == "positive"
    ]
    neither = [
        g for g, e in spend.groups.items() if e.state == "negative" and kept.groups[g].state == "negative"
    ]
    told = []
    if both:
        verbs = "keeps customers and sells" if len(both) == 1 else "keep customers and sell"
        told.append(f"{join([inside(g) for g in both])} {verbs} to them")
    if neither:
        told.append(f"{join([inside(g) for g in neither])} {'does' if len(neither) == 1 else 'do'} neither")
    return upper_first("; ".join(told)) or "Outcomes side by side"


def _foot(sources: ReportSources, paths: Mapping[str, Any]) -> str:
    if not paths:
        return ""
    settings = (sources.manifest.get("configuration") or {}).get("attribution") or {}
    window = settings.get("lookback_days")
    names = join([method_name(m) for m in paths], most=5)
    within = f" within {window:g} days" if isinstance(window, int | float) else ""
    return (
        f"Path methods ({names}) divide all spend that had a touch{within}: they say who was there, not what "
        "it did."
    )
