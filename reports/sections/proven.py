"""What is proven: one row per effect and outcome, its design's rung on the ladder, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from reports.context import Cell, Column, Ledger, Mark, Plot, Row, Section, Sentence
from reports.facts import EffectFact, effects_of, preferred
from reports.numbers import axis_number, money_ticks, money_unit, nice_scale, symbol
from reports.sections.earned import range_of
from reports.sentences import MONEY_OUTCOMES, SHARE_OUTCOMES, outcome_word, proven_finding, verdict_of
from reports.sources import ReportSources
from reports.words import count_words, upper_first

MOST = 6
"""Effects on the second page; the others stand in appendix C."""

LADDER = (
    "Bars: 4 experiment, 3 like-for-like comparison adjusted for what was known before, 2 before and after, "
    "1 not adjusted."
)


def proven_section(sources: ReportSources) -> Section | None:
    """Forest ledgers by outcome; one sentence where nothing was asked for."""
    effects = preferred(effects_of(sources.table("effects")))
    if not effects:
        return _nothing_tested(sources)
    shown = _chosen(effects, sources.settings.headline_effect)
    outcomes = list(dict.fromkeys(effect.outcome for effect in shown))
    ledgers = tuple(
        forest([e for e in shown if e.outcome == outcome], sources.currency) for outcome in outcomes
    )
    left = len(effects) - len(shown)
    more = (
        f" {upper_first(count_words(left))} more {'stands' if left == 1 else 'stand'} in appendix C."
        if left
        else ""
    )
    return Section(
        key="proven",
        title="What is proven",
        question="What is proven, and how well?",
        finding=proven_finding(effects),
        blocks=ledgers,
        foot=LADDER + _placebos(effects) + more,
        terms=(
            ("Clear", "The 95% interval leaves out zero, and every check passed."),
            ("Not shown", "The interval holds zero: the data fit an effect and none."),
            ("Not supported", "The comparison failed a check; its figure is not to be used."),
        ),
    )


def _nothing_tested(sources: ReportSources) -> Section | None:
    credits = sources.table("credits")
    if credits.is_empty() or "incremental" not in credits["kind"]:
        return None
    return Section(
        key="proven",
        title="What is proven",
        question="What is proven, and how well?",
        finding=Sentence(text="No effect was asked for; credit above is modelled, not tested"),
    )


def _chosen(effects: Sequence[EffectFact], headline: str | None) -> list[EffectFact]:
    """The headline effect's rows, then the clear ones, then the rest, up to as many as fit."""
    rank = {"positive": 1, "negative": 1, "covers": 2, "no_interval": 2, "not_supported": 3}
    main = [e for e in effects if e.outcome in MONEY_OUTCOMES | SHARE_OUTCOMES] or list(effects)
    order = sorted(main, key=lambda e: (e.name != headline, rank[e.estimate.state]))
    kept = set(map(id, order[:MOST]))
    return [effect for effect in effects if id(effect) in kept]


def _placebos(effects: Sequence[EffectFact]) -> str:
    known = [e.placebo_passed for e in effects if e.placebo_passed is not None]
    if not known:
        return ""
    failed = known.count(False)
    return (
        " All placebo checks passed." if not failed else f" {failed} of {len(known)} placebo checks failed."
    )


def effect_plot(effects: Sequence[EffectFact], currency: str | None, *, ticks: int = 4) -> Plot:
    """One axis for effects on the same outcome."""
    outcome = effects[0].outcome
    ends = [x for e in effects for x in (e.estimate.value, e.estimate.low, e.estimate.high)]
    factor = 100.0 if outcome in SHARE_OUTCOMES else 1.0
    low, high, marks = nice_scale([None if x is None else x * factor for x in ends], count=ticks)

    if outcome in MONEY_OUTCOMES:
        labels = money_ticks(marks, currency, plus=True)
    else:
        labels = tuple((tick / factor, axis_number(tick, plus=True)) for tick in marks)
    return Plot(low=low / factor, high=high / factor, zero=0.0, ticks=labels)


def effect_columns(outcome: str, plot: Plot, currency: str | None, *, largest: float) -> tuple[Column, ...]:
    """Drawing, figure, range and verdict of an effect."""
    divisor, decimals, unit = 1.0, 1, outcome_word(outcome)
    if outcome in MONEY_OUTCOMES:
        divisor, unit, _ = money_unit(largest, currency)
        unit = f"{unit or symbol(currency) or 'amount'} per customer"
    elif outcome in SHARE_OUTCOMES:
        divisor, unit = 0.01, "percentage points"
    elif largest < 10:
        decimals, unit = 2, "per customer"
    else:
        unit = "per customer"
    return (
        Column(title="", form="plot", plot=plot),
        Column(title=unit, divisor=divisor, decimals=decimals, signed=True, phone=True),
        Column(title="95% range", form="range", divisor=divisor, decimals=decimals, signed=True),
        Column(title="verdict", form="verdict", phone=True),
    )


def effect_mark(effect: EffectFact) -> tuple[Mark, ...]:
    """The drawn estimate; a refused one is grey."""
    estimate = effect.estimate
    if estimate.value is None:
        return ()
    refused = not estimate.supported
    return (
        Mark(
            form="dot",
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            tone="grey" if refused else "other",
            hollow=refused or estimate.state in ("covers", "no_interval"),
        ),
    )


def forest(effects: Sequence[EffectFact], currency: str | None) -> Ledger:
    """Effects on one outcome, one row each."""
    outcome = effects[0].outcome
    sizes = [
        abs(x) for e in effects for x in (e.estimate.value, e.estimate.low, e.estimate.high) if x is not None
    ]
    plot = effect_plot(effects, currency)
    rows = []
    for effect in effects:
        cells: tuple[Cell, ...] = (
            effect_mark(effect),
            effect.estimate.value,
            range_of(effect.estimate),
            verdict_of(effect.estimate),
        )
        detail = ", ".join(word for word in (effect.design_words, effect.sizes) if word)
        rows.append(Row(name=effect.title, cells=cells, rungs=effect.rungs, detail=detail))
    return Ledger(
        label=f"Effect on {outcome_word(outcome)}",
        columns=effect_columns(outcome, plot, currency, largest=max(sizes, default=0.0)),
        rows=tuple(rows),
    )
