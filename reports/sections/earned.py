"""Page one: where the spend came from, and what was left of the margin after cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from reports.context import Cell, Column, Ledger, Mark, Pair, Plot, Row, Section, Sentence, Verdict
from reports.facts import EVERYTHING, SOCIAL, Added, Estimate, Return, added, main_outcome, returns, whole
from reports.numbers import axis_number, money_ticks, money_unit, nice_scale, percent, symbol
from reports.sentences import MONEY_OUTCOMES, anyway, named, outcome_word, paid_finding, without_notes
from reports.sources import ReportSources
from reports.words import OUTCOME_NAMES, count_words, join, label, method_name, upper_first

MOST: Final = 8
"""Groups with a row of their own on the first page; the others are one row, and stand in appendix A."""


def range_of(estimate: Estimate) -> Pair | None:
    """The interval as a cell."""
    return None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high)


def folded(groups: Mapping[str, Estimate], *, most: int = MOST) -> tuple[list[str], list[str]]:
    """Groups that get a row, and those that share one."""
    names = list(groups)
    if len(names) <= most:
        return names, []
    ranked = sorted(names, key=lambda name: (name != SOCIAL, -abs(groups[name].value or 0.0)))
    kept = [name for name in names if name in ranked[: most - 1]]
    return kept, [name for name in names if name not in kept]


def origin_section(sources: ReportSources) -> Section | None:
    """Baseline and what each group added, up to the total; or who was there, where that is all there is."""
    credits = whole(sources.table("credits"))
    spend = added(credits, "spend")
    if spend is None or not spend.total:
        return _presence_section(sources, credits)
    if not spend.told:
        return _presence_section(sources, credits)
    share = spend.share(spend.baseline) or 0.0
    finding = f"{anyway(share)} of spend would have come anyway"
    figures: dict[str, float | None] = {"baseline share": share}
    supported = [name for name, one in spend.groups.items() if one.supported]
    lead = SOCIAL if SOCIAL in supported else supported[0]
    estimate = spend.groups[lead]
    if estimate.value is not None and estimate.state in ("positive", "negative"):
        verb = "added" if estimate.value > 0 else "took away"
        part = spend.share(estimate) or 0.0
        finding += f"; {_inner(named(lead))} {verb} {percent(abs(part))}"
        figures["lead share"] = part
    tested = (
        f"; {join([label(name).lower() for name in spend.tested])} combined with an experiment"
        if spend.tested
        else ""
    )
    hollow = any((e.value or 0.0) < 0 for e in spend.groups.values() if e.supported)
    refused = [label(name) for name, one in spend.groups.items() if not one.supported]
    why = f" Not supported: {join(refused)}, {without_notes(spend.reason)}." if refused else ""
    return Section(
        key="earned",
        title="What conversations earned",
        question="Where did the spend come from?",
        finding=Sentence(text=finding, figures=figures),
        blocks=(waterfall(spend, sources.currency),),
        foot=f"Incremental credit, modelled from {spend.customers:,} customers by "
        f"{_period(sources)}{tested}."
        + (" Outlined bar: the channel reduced spend." if hollow else "")
        + why,
        terms=(
            ("Would have come anyway", "Spend that the model expects had no conversation taken place."),
            ("Added", "Spend that would be missing without the channel's conversations."),
        ),
    )


def _inner(text: str) -> str:
    return text[:1].lower() + text[1:]


def _period(sources: ReportSources) -> str:
    configuration = sources.manifest.get("configuration") or {}
    return str((configuration.get("attribution") or {}).get("period", "month"))


def waterfall(
    spend: Added, currency: str | None, *, most: int = MOST, opened: Sequence[str] = (), lead: str = SOCIAL
) -> Ledger:
    """From what would have come anyway to the total; groups in `opened` show their channels below."""
    is_money = spend.outcome in MONEY_OUTCOMES
    divisor, unit, decimals = money_unit(spend.total, currency) if is_money else (1.0, "", 0)
    if not is_money:
        unit = "customers" if spend.outcome == "retention" else outcome_word(spend.outcome)
    base = spend.baseline.value or 0.0
    kept, rest = folded(spend.groups, most=most)
    steps: list[tuple[str, str, Estimate, str]] = []
    for name in kept:
        steps.append((name, label(name), spend.groups[name], "lead" if name == lead else "plain"))
        if name in opened:
            children = [c for c, group in spend.group_of.items() if group == name]
            children.sort(key=lambda channel: -(spend.channels[channel].value or 0.0))
            steps += [(channel, label(channel), spend.channels[channel], "child") for channel in children]
    if rest:
        together = Estimate(value=sum(spend.groups[name].value or 0.0 for name in rest))
        steps.append(("", f"{upper_first(count_words(len(rest)))} more channels", together, "plain"))
    ends = [base, spend.total, spend.baseline.high]
    at = base
    for _, _, estimate, role in steps:
        if role != "child":
            at += estimate.value or 0.0
            ends.append(at)
    low, high, ticks = nice_scale(ends, count=3)
    axis = money_ticks(ticks, currency) if is_money else tuple((t, axis_number(t)) for t in ticks)
    plot = Plot(low=low, high=high, ticks=axis, zero=0.0)
    rows = [
        Row(
            name="Would have come anyway",
            key="(baseline)",
            unsigned=True,
            cells=(
                (
                    Mark(
                        form="bar",
                        start=0.0,
                        value=base,
                        low=spend.baseline.low,
                        high=spend.baseline.high,
                        tone="base",
                    ),
                ),
                base,
                range_of(spend.baseline),
                spend.share(spend.baseline),
            ),
        )
    ]
    at = inner = base
    for key, name, estimate, role in steps:
        start = inner if role == "child" else at
        rows.append(_step(key, name, estimate, role, start, spend))
        if role == "child":
            inner += estimate.value or 0.0
        else:
            inner, at = at, at + (estimate.value or 0.0)
    rows.append(
        Row(
            name=f"All {outcome_word(spend.outcome)}",
            role="total",
            key="(total)",
            unsigned=True,
            cells=(
                (Mark(form="bar", start=0.0, value=spend.total, tone="total"),),
                spend.total,
                None,
                1.0,
            ),
        )
    )
    return Ledger(
        label="Channel"
        if most > MOST
        else f"Where the {OUTCOME_NAMES.get(spend.outcome, outcome_word(spend.outcome))} came from",
        columns=(
            Column(title="", form="plot", plot=plot),
            Column(title=unit, divisor=divisor, decimals=decimals, signed=True, phone=True),
            Column(
                title=f"{spend.level * 100:.0f}% range",
                form="range",
                divisor=divisor,
                decimals=decimals,
                signed=True,
            ),
            Column(title="share", divisor=0.01, decimals=0, suffix="%", phone=True),
        ),
        rows=tuple(rows),
    )


def _step(key: str, name: str, estimate: Estimate, role: str, start: float, spend: Added) -> Row:
    value = estimate.value or 0.0
    ends: tuple[float | None, float | None] = (None, None)
    if estimate.low is not None and estimate.high is not None:
        ends = (start + estimate.low, start + estimate.high)
    bar = Mark(
        form="bar",
        start=start,
        value=start + value,
        low=ends[0],
        high=ends[1],
        tone="lead" if role == "lead" else "other",
        hollow=value < 0,
    )
    cells: tuple[Cell, ...] = ((bar,), estimate.value, range_of(estimate), spend.share(estimate))
    if not estimate.supported:
        cells = ((), Verdict(text="not supported", tone="caution"), None, None)
    return Row(name=name, role=role, key=key, cells=cells)  # type: ignore[arg-type]


def after_cost_section(sources: ReportSources) -> Section | None:
    """Margin less cost by group, sorted, with the whole programme last."""
    found = returns(sources)
    groups = [one for name, one in found.items() if name != EVERYTHING]
    if not groups:
        return None
    groups.sort(key=lambda one: -(one.net.value or 0.0))
    rows_of = groups
    if len(groups) > MOST:
        ranked = sorted(groups, key=lambda one: -abs(one.net.value or 0.0))
        kept = {one.name for one in ranked[: MOST - 1]} | {SOCIAL}
        rows_of = [one for one in groups if one.name in kept]
    rest = [one for one in groups if one not in rows_of]
    ledger = _cost_ledger(rows_of, rest, found.get(EVERYTHING), sources)
    return Section(
        key="after_cost",
        title="After cost",
        question="What was left after cost?",
        finding=paid_finding(groups),
        blocks=(ledger,),
        foot=_cost_foot(groups, sources),
        terms=(
            ("Margin added", "Spend added, times the gross margin."),
            ("Margin per unit of cost", "Margin added over the cost of the same time; an average."),
        ),
    )


def _cost_foot(groups: Sequence[Return], sources: ReportSources) -> str:
    margin = percent(sources.gross_margin or 0.0)
    none = any(one.margin < 0 for one in groups)
    told = f"Margin added is incremental spend × {margin} gross margin. Costs are taken as exact."
    return told + (" “None”: the channel lowered spend, so no margin came back." if none else "")


def _cost_ledger(
    groups: Sequence[Return], rest: Sequence[Return], everything: Return | None, sources: ReportSources
) -> Ledger:
    shown = [*groups, *([everything] if everything else [])]
    ends = [x for one in shown for x in (one.net.value, one.net.low, one.net.high)]
    low, high, ticks = nice_scale(ends, count=3)
    currency = sources.currency
    plot = Plot(
        low=low,
        high=high,
        zero=0.0,
        ticks=money_ticks(ticks, currency, plus=True),
    )
    largest = max(max(abs(one.margin), one.cost) for one in shown)
    divisor, unit, decimals = money_unit(largest, currency)
    rows = [_cost_row(one, "lead" if one.name == SOCIAL else "plain") for one in groups]
    if rest:
        together = sum(one.margin for one in rest), sum(one.cost for one in rest)
        rows.append(
            Row(
                name=f"{upper_first(count_words(len(rest)))} more channels",
                cells=(
                    (Mark(form="dot", value=together[0] - together[1]),),
                    *together,
                    together[0] - together[1],
                    together[0] / together[1] if together[0] >= 0 else "none",
                ),
            )
        )
    if everything is not None:
        rows.append(_cost_row(everything, "total"))
    before = symbol(currency)
    return Ledger(
        label=unit or "Channel",
        columns=(
            Column(title="", form="plot", plot=plot),
            Column(title="margin added", divisor=divisor, decimals=decimals),
            Column(title="cost", divisor=divisor, decimals=decimals),
            Column(title="margin less cost", divisor=divisor, decimals=decimals, signed=True, phone=True),
            Column(title=f"margin per {before}1", decimals=2, prefix=before, phone=True),
        ),
        rows=tuple(rows),
    )


def _cost_row(one: Return, role: str) -> Row:
    name = "All conversations" if one.name == EVERYTHING else label(one.name)
    dot = Mark(
        form="dot",
        value=one.net.value,
        low=one.net.low,
        high=one.net.high,
        tone="total" if role == "total" else "other",
        hollow=one.net.state in ("covers", "no_interval"),
    )
    per: Cell = one.per_unit if one.margin >= 0 else "none"
    return Row(name=name, role=role, key=one.name, cells=((dot,), one.margin, one.cost, one.net.value, per))  # type: ignore[arg-type]


def _presence_section(sources: ReportSources, credits: pl.DataFrame) -> Section | None:
    """Spans of the path methods: who was there, and no word of cause."""
    if credits.is_empty():
        return None
    rows = credits.filter(
        (pl.col("kind") == "descriptive")
        & pl.col("level").is_in(["channel", "untouched", "total"])
        & pl.col("credit").is_not_null()
    )
    if rows.is_empty():
        return None
    outcome = main_outcome(rows)
    if outcome is None:
        return None
    rows = rows.filter(pl.col("outcome") == outcome)
    total = float(rows.filter(pl.col("level") == "total")["credit"].max() or 0.0)  # type: ignore[arg-type]
    if not total:
        return None
    methods = rows["method"].unique(maintain_order=True).to_list()
    spans = (
        rows.filter(pl.col("level") == "channel")
        .group_by("channel")
        .agg(low=pl.col("credit").min(), high=pl.col("credit").max())
        .sort("high", descending=True)
    )
    if spans.is_empty():  # no touch led to anything
        return None
    is_money = outcome in MONEY_OUTCOMES
    divisor, unit, decimals = (
        money_unit(total, sources.currency) if is_money else (1.0, outcome_word(outcome), 0)
    )
    low, high, ticks = nice_scale([0.0, spans["high"].max()], count=3)  # type: ignore[list-item]
    plot = Plot(
        low=low,
        high=high,
        zero=0.0,
        ticks=money_ticks(ticks, sources.currency) if is_money else tuple((t, axis_number(t)) for t in ticks),
    )
    body = []
    for row in spans.head(12).iter_rows(named=True):
        mark = Mark(form="span", low=row["low"], high=row["high"], tone="grey")
        body.append(
            Row(
                name=label(row["channel"]),
                cells=((mark,), (row["low"], row["high"]), row["high"] / total),
            )
        )
    names = join([method_name(str(m)) for m in methods], most=5)
    first = label(str(spans["channel"][0]))
    noun = outcome_word(outcome)
    top = float(spans["high"][0]) / total
    return Section(
        key="earned",
        title="Who was there",
        question=f"Who was there before {noun}?",
        finding=Sentence(
            text=f"{first} was there before up to {percent(top)} of {noun}", figures={"share": top}
        ),
        blocks=(
            Ledger(
                label=f"Who was there before {noun}",
                columns=(
                    Column(title="", form="plot", plot=plot),
                    Column(title=unit, form="range", divisor=divisor, decimals=decimals, phone=True),
                    Column(title="share, up to", divisor=0.01, decimals=0, suffix="%", phone=True),
                ),
                rows=tuple(body),
            ),
        ),
        foot=f"Span of {count_words(len(methods))} path method{'' if len(methods) == 1 else 's'}: {names}. "
        "They say who was there, not what it did.",
    )
