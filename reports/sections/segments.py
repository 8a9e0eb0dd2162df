"""Appendix D: for whom? Effects and credit by segment; the joint test decides the sentence, never a row.

Small cells are left out, so that nobody can be recognised, and cannot be recovered from totals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from attribution.effects.effect import holm
from histories.cuts import ALL, CROSS
from reports.context import Block, Cell, Column, Ledger, Mark, Plot, Row, Section, Sentence
from reports.facts import EffectFact, added, effects_of
from reports.numbers import nice_scale
from reports.sections.earned import range_of
from reports.sections.proven import effect_columns, effect_mark, effect_plot
from reports.sentences import outcome_word, shown_of, verdict_of
from reports.sources import ReportSources
from reports.words import count_words, inside, join, label, segment_parts, segment_title, upper_first

_LEVEL: Final = 0.05
_MOST: Final = 6  # forests that are drawn
_PLURALS: Final = {
    "care_user": "users and non-users of care",
    "spend": "levels of spend",
    "loyalty": "levels of loyalty",
    "tenure": "lengths of tenure",
}
_MAIN: Final = ("spend", "retention", "margin", "lifetime_value")


def segments_section(sources: ReportSources) -> Section | None:
    """Forests by segment with the total last, and what each segment's channels added."""
    effects = effects_of(sources.table("effects"))
    forests = _forests(effects, sources)
    shown = forests[:_MOST]
    blocks: list[Block] = [one.ledger for one in shown]
    findings = [_finding(effects, one, sources) for one in shown]
    tests = [
        f"{_several(one.column)} on {outcome_word(one.outcome)}: p = {one.p:.2f}"
        for one in shown
        if one.p is not None
    ]
    blocks += _credit_blocks(sources)
    if not blocks:
        return None
    finding = findings[0] if findings else _credit_finding(sources)
    return Section(
        key="segments",
        letter="D",
        title="Segments",
        question="For whom?",
        finding=finding,
        blocks=tuple(blocks),
        foot=_foot(sources, tests, len(forests)) + _left_out(effects, forests, shown),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forest:
    """One effect on one outcome by one column; `p` is of equal effects, Holm over all forests."""

    name: str
    column: str
    outcome: str
    ledger: Ledger
    p: float | None = None


def _forests(effects: Sequence[EffectFact], sources: ReportSources) -> list[_Forest]:
    """Every forest of two segments or more: first those whose segments differ most, by the joint test.

    The tests are corrected for being so many, since those that are shown are chosen by them.
    """
    made = []
    for name, column, outcome in _asked(effects):
        ledger = _segment_effects(effects, name, column, outcome, sources)
        if ledger is not None:
            made.append(_Forest(name=name, column=column, outcome=outcome, ledger=ledger))
    raw = [_joint(sources, one.name, one.column, one.outcome) for one in made]
    corrected = iter(holm([p for p in raw if p is not None]))
    told = [replace(one, p=None if p is None else next(corrected)) for one, p in zip(made, raw, strict=True)]
    order = np.argsort([np.inf if p is None else p for p in raw], kind="stable")
    return [told[place] for place in order]


def _left_out(effects: Sequence[EffectFact], forests: Sequence[_Forest], shown: Sequence[_Forest]) -> str:
    """What is not drawn, in words: beyond the first six, other outcomes, too few segments with a figure."""
    drawn = {(one.name, one.column, one.outcome) for one in shown}
    asked = dict.fromkeys(
        (e.name, segment_parts(e.segment)[0], e.outcome) for e in effects if e.segment != ALL
    )
    left: dict[str, dict[str, list[str]]] = {}
    for name, column, outcome in asked:
        if (name, column, outcome) not in drawn:
            left.setdefault(name, {}).setdefault(outcome_word(outcome), []).append(_crossed(column))
    if not left:
        return ""
    told = [
        f"{inside(name)}: {', '.join(f'{word} by {join(by, most=len(by))}' for word, by in outcomes.items())}"
        for name, outcomes in left.items()
    ]
    rule = f" Shown are the {count_words(_MOST)} whose segments differ most." if len(forests) > _MOST else ""
    return f"{rule} Not drawn, but in the table of effects: {'; '.join(told)}."


def _crossed(column: str) -> str:
    """A segment column inside a sentence.

    >>> _crossed("care_user x spend"), _crossed("region")
    ('use of care and spend', 'region')
    """
    words = ("use of care" if part == "care_user" else inside(part) for part in column.split(CROSS))
    return " and ".join(words)


def _foot(sources: ReportSources, tests: Sequence[str], forests: int) -> str:
    told = (
        f"Groups below {sources.settings.minimum_cell} customers are not shown, nor those that would give "
        "them away."
    )
    if tests:
        how = f" (Holm over {forests})" if forests > 1 else ""
        told += f" Joint tests{how}, {'; '.join(tests)}."
        told += " One group’s “clear” beside another’s “not shown” is no difference between them."
    return told


def _asked(effects: Sequence[EffectFact]) -> list[tuple[str, str, str]]:
    """Effect, segment column and outcome of every forest; the main outcomes only, the money first."""
    found = dict.fromkeys(
        (e.name, segment_parts(e.segment)[0], e.outcome) for e in effects if e.segment != ALL
    )
    main = [one for one in found if one[2] in _MAIN] or list(found)
    return sorted(main, key=lambda one: (_MAIN.index(one[2]) if one[2] in _MAIN else 9, one[0], one[1]))


def _rows_of(
    effects: Sequence[EffectFact], name: str, column: str, outcome: str, sources: ReportSources
) -> list[EffectFact]:
    """The preferred row of every segment that is large enough to be shown."""
    first: dict[str, EffectFact] = {}
    for e in effects:
        if (
            (e.name, e.outcome) == (name, outcome)
            and e.segment != ALL
            and segment_parts(e.segment)[0] == column
        ):
            first.setdefault(e.segment, e)
    counts = {segment: e.n_treated + e.n_control for segment, e in first.items()}
    hidden = cells_to_suppress(counts, smallest=sources.settings.minimum_cell)
    return [e for segment, e in first.items() if segment not in hidden]


def _total(effects: Sequence[EffectFact], name: str, outcome: str) -> EffectFact | None:
    return next((e for e in effects if (e.name, e.outcome, e.segment) == (name, outcome, ALL)), None)


def _segment_effects(
    effects: Sequence[EffectFact], name: str, column: str, outcome: str, sources: ReportSources
) -> Ledger | None:
    """One effect by the values of one column, the total last."""
    rows = _rows_of(effects, name, column, outcome, sources)
    if len(rows) < 2:
        return None
    total = _total(effects, name, outcome)
    shown = [*rows, *([total] if total else [])]
    sizes = [
        abs(x) for e in shown for x in (e.estimate.value, e.estimate.low, e.estimate.high) if x is not None
    ]
    plot = effect_plot(shown, sources.currency)
    body = []
    for e in shown:
        cells: tuple[Cell, ...] = (
            effect_mark(e),
            e.estimate.value,
            range_of(e.estimate),
            verdict_of(e.estimate),
        )
        everybody = e.segment == ALL
        title = f"All {_several(column)}" if everybody else segment_title(e.segment)
        body.append(
            Row(
                name=title, cells=cells, rungs=e.rungs, detail=e.sizes, role="total" if everybody else "plain"
            )
        )
    return Ledger(
        label=f"{label(name)}, {outcome_word(outcome)}",
        columns=effect_columns(outcome, plot, sources.currency, largest=max(sizes, default=0.0)),
        rows=tuple(body),
    )


def _several(column: str) -> str:
    """A segment column in the plural."""
    if CROSS in column:
        first, *others = column.split(CROSS)
        return " by ".join([_several(first), *(inside(other) for other in others)])
    if column in _PLURALS:
        return _PLURALS[column]
    word = inside(column)
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return word if word.endswith("s") else f"{word}s"


def _joint(sources: ReportSources, name: str, column: str, outcome: str) -> float | None:
    tests = sources.picture("tests")
    if tests.is_empty():
        return None
    rows = tests.filter(
        (pl.col("name") == name)
        & (pl.col("outcome") == outcome)
        & (pl.col("hypothesis") == column)
        & pl.col("test").str.starts_with("equal effects")
    )
    return None if rows.is_empty() or rows["p_value"][0] is None else float(rows["p_value"][0])


def _finding(effects: Sequence[EffectFact], forest: _Forest, sources: ReportSources) -> Sentence:
    name, column, outcome, p = forest.name, forest.column, forest.outcome, forest.p
    total = _total(effects, name, outcome)
    noun = outcome_word(outcome)
    told = []
    if total is not None and total.estimate.state in ("positive", "negative"):
        verb = "raised" if total.estimate.state == "positive" else "reduced"
        size = shown_of(abs(total.estimate.value or 0.0), outcome, sources.currency)
        told.append(
            f"{label(name)} {verb} {noun} by {size}{' points' if outcome == 'retention' else ' per customer'}"
        )
    else:
        told.append(f"An effect of {inside(name)} on {noun} is not shown")
    rows = [e for e in _rows_of(effects, name, column, outcome, sources) if e.estimate.value is not None]
    if p is not None and p < _LEVEL and len(rows) > 1:
        most = max(rows, key=lambda e: e.estimate.value or 0.0)
        least = min(rows, key=lambda e: e.estimate.value or 0.0)
        told.append(f"most in {segment_title(most.segment)}, least in {segment_title(least.segment)}")
    elif p is not None:
        told.append(f"the {_several(column)} differ no more than chance explains")
    return Sentence(text="; ".join(told), figures={"joint p": p})


def _credit_rows(sources: ReportSources) -> pl.DataFrame:
    credits = sources.table("credits")
    if credits.is_empty():
        return credits
    return credits.filter((pl.col("segment") != ALL) & (pl.col("period") == ALL))


def _columns(rows: pl.DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for segment in rows["segment"].unique(maintain_order=True) if not rows.is_empty() else ():
        found.setdefault(segment_parts(str(segment))[0], []).append(str(segment))
    return found


def _credit_blocks(sources: ReportSources) -> list[Ledger]:
    """Share of spend that all channels added, by segment; for path credit the share they were before."""
    rows = _credit_rows(sources)
    made = []
    for column, segments in _columns(rows).items():
        shares = _shares(rows, segments, sources)
        if len(shares) < 2:
            continue
        ends = [x for share in shares.values() for x in share]
        low, high, ticks = nice_scale(ends, count=4)
        plot = Plot(low=low, high=high, zero=0.0, ticks=tuple((t, f"{t * 100:.0f}%") for t in ticks))
        causal = _is_causal(rows)
        body = []
        for segment, (value, start, end) in shares.items():
            ranged = start is not None and end is not None
            form = "dot" if causal else "bar"
            mark = Mark(
                form=form,  # type: ignore[arg-type]
                value=value,
                start=0.0,
                low=start if causal else None,
                high=end if causal else None,
                tone="other" if causal else "grey",
                hollow=causal and (not ranged or start <= 0 <= end),  # type: ignore[operator]
            )
            body.append(Row(name=segment_title(segment), cells=((mark,), value)))
        what = "added" if causal else "were there before"
        made.append(
            Ledger(
                label=label(column),
                title=f"Share of spend that conversations {what}, by {inside(column)}",
                columns=(
                    Column(title="", form="plot", plot=plot),
                    Column(title="share", divisor=0.01, decimals=0, suffix="%", phone=True),
                ),
                rows=tuple(body),
            )
        )
    return made


def _is_causal(rows: pl.DataFrame) -> bool:
    return bool((rows["kind"] == "incremental").any())


def _shares(
    rows: pl.DataFrame, segments: Sequence[str], sources: ReportSources
) -> dict[str, tuple[float, float | None, float | None]]:
    causal = _is_causal(rows)
    totals = rows.filter((pl.col("level") == "total") & (pl.col("outcome") == "spend"))
    counts = {
        s: int(n or 0) for s, n in totals.group_by("segment").agg(pl.col("customers").max()).iter_rows()
    }
    hidden = cells_to_suppress(
        {s: counts.get(s, 0) for s in segments}, smallest=sources.settings.minimum_cell
    )
    found: dict[str, tuple[float, float | None, float | None]] = {}
    for segment in segments:
        part = rows.filter(pl.col("segment") == segment)
        if segment in hidden:
            continue
        if causal:
            spend = added(part, "spend")
            if spend is None or not spend.supported or not spend.total:
                continue
            base = spend.baseline
            ends = [None if x is None else 1 - x / spend.total for x in (base.high, base.low)]
            found[segment] = (spend.everything / spend.total, ends[0], ends[1])
            continue
        spent = part.filter((pl.col("outcome") == "spend") & pl.col("credit").is_not_null())
        if spent.is_empty():
            continue
        one = spent.filter(pl.col("method") == spent["method"][0])
        total = float(one.filter(pl.col("level") == "total")["credit"].sum())
        if total:
            touched = float(one.filter(pl.col("level") == "channel")["credit"].sum())
            found[segment] = (touched / total, None, None)
    return found


def _credit_finding(sources: ReportSources) -> Sentence:
    """By column, without a claim that segments differ: no joint test exists for credit."""
    rows = _credit_rows(sources)
    columns = [inside(column) for column in _columns(rows)]
    verb = "added" if _is_causal(rows) else "were there before"
    return Sentence(text=upper_first(f"what conversations {verb}, by {join(columns)}"))


def cells_to_suppress(counts: Mapping[str, int], *, smallest: int) -> frozenset[str]:
    """Names of the cells of one total that must not be shown.

    A cell below `smallest` customers is suppressed. Where that leaves a single hidden cell, or hidden cells
    that together are below `smallest`, the total minus the others would give them away, so the next smallest
    cells are hidden too.

    >>> sorted(cells_to_suppress({"north": 500, "south": 400, "isle": 3}, smallest=10))
    ['isle', 'south']
    >>> cells_to_suppress({"north": 500, "south": 400}, smallest=10)
    frozenset()
    """
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    hidden = [name for name in ordered if counts[name] < smallest]
    if not hidden:
        return frozenset()
    for name in ordered[len(hidden) :]:
        if len(hidden) > 1 and sum(counts[other] for other in hidden) >= smallest:
            break
        hidden.append(name)
    return frozenset(hidden)
