"""View Credit: what each channel added to an outcome, beside what another method credits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from api.explore.library import Shelf
from histories.cuts import ALL
from reports.context import Ledger, Lines, Plot, Slope, Verdict
from reports.facts import SOCIAL, Added, EffectFact, Estimate, added, preferred, returns
from reports.numbers import decimal, money_unit, percent, signed
from reports.sections.credit import comparison_slope, handed_out, slope_finding
from reports.sections.earned import waterfall
from reports.sections.proven import effect_mark, effect_plot
from reports.sections.response import curve_of, response_finding, response_ledger, response_lines
from reports.sentences import (
    MONEY_OUTCOMES,
    SHARE_OUTCOMES,
    added_sentence,
    effect_range,
    effect_sentence,
    figure_of,
    named,
    outcome_word,
    shown_of,
    verdict_of,
    without_notes,
)
from reports.words import OUTCOME_NAMES, inside, label, method_name, segment_parts, upper_first

_OUTCOMES: Final = ("spend", "lifetime_value", "retention", "conversion", "repeat_purchase")
_CARDS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One thing that may be chosen; `reason` says why it cannot."""

    value: str
    label: str
    chosen: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One effect that bears on the outcome."""

    title: str
    text: str
    verdict: Verdict
    plot: Plot | None
    marks: tuple[Any, ...]
    rungs: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseView:
    """What fewer or more touches would bring: every channel, and the curve of one."""

    ledger: Ledger
    channel: str
    finding: str
    curve: Lines | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditView:
    """Everything that the view shows for its choices."""

    outcomes: tuple[Choice, ...]
    methods: tuple[Choice, ...]
    segments: tuple[Choice, ...]
    periods: tuple[Choice, ...]
    finding: str
    deck: str
    ledger: Ledger | None
    refusal: str
    slope: Slope | None
    slope_finding: str
    row: str
    facts_title: str
    facts_verdict: Verdict | None
    facts: tuple[tuple[str, str], ...]
    cards: tuple[Card, ...]
    response: ResponseView | None


def _chosen(asked: str | None, allowed: list[str]) -> str:
    return asked if asked in allowed else allowed[0] if allowed else ""


def credit_view(
    shelf: Shelf,
    *,
    outcome: str | None,
    method: str | None,
    segment: str | None,
    period: str | None,
    row: str | None,
) -> CreditView:
    """The view for these choices; one that the run lacks falls back to the first it has."""
    credits = shelf.credits
    have = credits["outcome"].unique().to_list() if not credits.is_empty() else []
    outcome = _chosen(outcome, [o for o in _OUTCOMES if o in have])
    rows = credits.filter(pl.col("outcome") == outcome) if have else credits
    segments = _values(rows, "segment")
    periods = _values(rows, "period")
    segment, period = _chosen(segment, segments), _chosen(period, periods)
    part = rows.filter((pl.col("segment") == segment) & (pl.col("period") == period)) if have else rows
    paths = handed_out(part, outcome) if have else {}
    method = _chosen(method, list(paths))
    found = added(part, outcome) if have else None
    choices = {
        "outcomes": tuple(_outcome_choice(o, outcome, have) for o in _OUTCOMES[:4]),
        "methods": tuple(
            Choice(value=m, label=upper_first(method_name(m)), chosen=m == method) for m in paths
        ),
        "segments": tuple(Choice(value=s, label=_segment_label(s), chosen=s == segment) for s in segments),
        "periods": tuple(Choice(value=p, label=_period_label(p, shelf), chosen=p == period) for p in periods),
    }
    cards = _cards(shelf, outcome)
    if found is None:
        return _paths_view(shelf, outcome, paths, method, choices, cards)
    opened = found.group_of.get(row or "", row or "")
    selected = row if row and (row in found.groups or row in found.channels) else _subject(found)
    opened = opened or selected
    estimate = found.groups.get(selected, found.channels.get(selected, Estimate(value=None)))
    given = paths.get(method, {})
    refusal = "" if found.supported else upper_first(without_notes(found.reason))
    return CreditView(
        **choices,
        finding=_finding(found, shelf),
        deck=_deck(found, given, method, shelf),
        ledger=waterfall(
            found, shelf.sources.currency, most=99, opened=_openable(found, opened), lead=selected
        ),
        refusal=refusal,
        slope=comparison_slope(found, given, method, shelf.sources, lead=_group(found, selected))
        if given and found.supported
        else None,
        slope_finding=slope_finding(found, given, method).text if given and found.supported else "",
        row=selected,
        facts_title=label(selected),
        facts_verdict=_range_verdict(estimate),
        facts=_facts(shelf, part, found, selected, estimate, given, method),
        cards=cards,
        response=_response(shelf, outcome, selected, found),
    )


def _response(shelf: Shelf, outcome: str, selected: str, found: Added) -> ResponseView | None:
    """What fewer or more touches of the selected channel would bring; None where the run has no curves."""
    ledger = response_ledger(shelf.sources, outcome, most=None)
    if ledger is None:
        return None
    channels = [row.key for row in ledger.rows]
    of_group = [channel for channel in channels if found.group_of.get(channel) == selected]
    channel = selected if selected in channels else next(iter(of_group), channels[0])
    curve = curve_of(shelf.sources, outcome, channel)
    return ResponseView(
        ledger=ledger,
        channel=channel,
        finding=response_finding(shelf.sources, curve).text,
        curve=response_lines(shelf.sources, curve),
    )


def _group(found: Added, selected: str) -> str:
    return selected if selected in found.groups else found.group_of.get(selected, selected)


def _openable(found: Added, group: str) -> tuple[str, ...]:
    inner = [channel for channel, of in found.group_of.items() if of == group]
    return (group,) if len(inner) > 1 else ()


def _subject(found: Added) -> str:
    return SOCIAL if SOCIAL in found.groups else next(iter(found.groups))


def _values(rows: pl.DataFrame, column: str) -> list[str]:
    if rows.is_empty():
        return [ALL]
    values = rows[column].unique(maintain_order=True).to_list()
    return [ALL, *sorted(v for v in values if v != ALL)] if ALL in values else sorted(values)


def _segment_label(segment: str) -> str:
    if segment == ALL:
        return "All customers"
    column, value = segment_parts(segment)
    return f"{label(column)}: {inside(value)}"


def _period_label(period: str, shelf: Shelf) -> str:
    return shelf.context.span.removeprefix("Data ") if period == ALL else period


def _outcome_choice(outcome: str, chosen: str, have: list[str]) -> Choice:
    return Choice(
        value=outcome,
        label=upper_first(OUTCOME_NAMES[outcome]),
        chosen=outcome == chosen,
        reason="" if outcome in have else "this run has no credit of it",
    )


def _finding(found: Added, shelf: Shelf) -> str:
    subject = _subject(found)
    estimate = found.groups[subject]
    text = added_sentence(named(subject), estimate, found.outcome, shelf.sources.currency).text
    share = found.share(estimate)
    if estimate.state == "positive" and share is not None:
        text = text.replace(", between", f", {percent(share)} of the total, between", 1)
    return text.rstrip(".")


def _deck(found: Added, given: Mapping[str, float], method: str, shelf: Shelf) -> str:
    told = []
    share = found.share(found.baseline)
    if found.supported and share is not None:
        told.append(f"{percent(share)} would have come anyway.")
    subject = _subject(found)
    if given.get(subject) is not None:
        figure = figure_of(given[subject], found.outcome, shelf.sources.currency)
        name = upper_first(method_name(method))
        told.append(f"{name} credits {inside(subject)} with {figure}.")
    return " ".join(told)


def _range_verdict(estimate: Estimate) -> Verdict:
    state = estimate.state
    if state == "positive":
        return Verdict(text="range above zero", tone="clear")
    if state == "negative":
        return Verdict(text="range below zero", tone="clear")
    return verdict_of(estimate)


def _facts(
    shelf: Shelf,
    part: pl.DataFrame,
    found: Added,
    selected: str,
    estimate: Estimate,
    given: Mapping[str, float],
    method: str,
) -> tuple[tuple[str, str], ...]:
    row = part.filter((pl.col("kind") == "incremental") & (pl.col("channel") == selected)).to_dicts()
    one: dict[str, Any] = row[0] if row else {}
    divisor, unit, decimals = (
        money_unit(found.total, shelf.sources.currency) if found.outcome in MONEY_OUTCOMES else (1.0, "", 0)
    )
    word = unit.partition(" ")[2]

    def shown(value: float) -> str:
        return signed(decimal(value / divisor, decimals))

    def span(low: str, high: str) -> str | None:
        if one.get(low) is None or one.get(high) is None:
            return None
        return f"{shown(one[low])} to {shown(one[high])}"

    facts: list[tuple[str, str | None]] = []
    if estimate.state == "not_supported":
        facts.append(("Not supported", upper_first(without_notes(estimate.reason))))
    else:
        facts.append(("Added", f"{shown(estimate.value or 0.0)} {word}".strip()))
        facts.append((f"{found.level * 100:.0f}% range", span("low", "high")))
        facts.append(("Allowing for the model, too", span("range_low", "range_high")))
    if given.get(selected) is not None:
        name = method_name(method)
        ratio = ""
        if estimate.value and estimate.state in ("positive", "negative"):
            times = given[selected] / estimate.value
            ratio = f", {times:.1f} times" if times > 0 else ", wrong sign"
        facts.append((f"Credited by {name}", f"{decimal(given[selected] / divisor, decimals)}{ratio}"))
    back = returns(shelf.sources).get(selected)
    if back is not None and found.outcome == "spend" and back.net.value is not None:
        size, unit_of, places = money_unit(max(abs(back.margin), back.cost), shelf.sources.currency)
        name = unit_of.partition(" ")[2]
        facts.append(("Margin less cost", f"{signed(decimal(back.net.value / size, places))} {name}".strip()))
    if one.get("customers") and one.get("touches"):
        facts.append(("Customers touched, touches", f"{one['customers']:,}, {one['touches']:,}"))
    if one.get("level_source") == "experiment":
        facts.append(("Rests on", "model and experiment"))
    return tuple((name, text) for name, text in facts if text)


def _cards(shelf: Shelf, outcome: str) -> tuple[Card, ...]:
    """Effects on the outcome first, then the others."""
    effects = [e for e in preferred(shelf.effects) if e.outcome in (MONEY_OUTCOMES | SHARE_OUTCOMES)]
    effects = effects or list(preferred(shelf.effects))
    effects.sort(key=lambda e: (e.outcome != outcome, e.estimate.state == "not_supported", -e.rungs))
    return tuple(_card(effect, shelf) for effect in effects[:_CARDS])


def _card(effect: EffectFact, shelf: Shelf) -> Card:
    estimate, noun = effect.estimate, outcome_word(effect.outcome)
    currency = shelf.sources.currency
    verb = {"positive": "raised", "negative": "reduced"}.get(estimate.state)
    title = f"{effect.title} {verb} {noun}" if verb else f"{effect.title}: {noun}"
    text = effect_sentence(effect, currency).text
    if estimate.value is not None and estimate.state != "not_supported":
        unit = " points" if effect.outcome in SHARE_OUTCOMES else " per customer"
        ends = effect_range(estimate, effect.outcome, currency)
        size = shown_of(estimate.value, effect.outcome, currency, plus=True)
        text = f"{size}{unit}; {ends}." if verb else f"{size}{unit}; anything from {ends} fits the data."
    placebo = (
        ""
        if effect.placebo_passed is None
        else f"; placebo {'passed' if effect.placebo_passed else 'failed'}"
    )
    return Card(
        title=title,
        text=text,
        verdict=verdict_of(estimate),
        plot=effect_plot([effect], currency) if estimate.value is not None else None,
        marks=effect_mark(effect),
        rungs=effect.rungs,
        detail=", ".join(word for word in (effect.design_words, effect.sizes) if word) + placebo,
    )


def _paths_view(
    shelf: Shelf,
    outcome: str,
    paths: Mapping[str, Mapping[str, float]],
    method: str,
    choices: dict[str, tuple[Choice, ...]],
    cards: tuple[Card, ...],
) -> CreditView:
    """Only path credit of the outcome, or none at all: who was there, and no word of cause."""
    section = shelf.context.section("earned")
    noun = outcome_word(outcome) if outcome else "any outcome"
    finding = f"What conversations added to {noun} is not known from these data"
    ledger = None
    if section is not None and paths and shelf.context.section("credit") is None:
        ledger = next((block for block in section.blocks if isinstance(block, Ledger)), None)
        finding = section.finding.text
    return CreditView(
        **choices,
        finding=finding,
        deck="Path methods say who was there, not what it did." if paths else "",
        ledger=ledger,
        refusal=f"This run has no incremental credit of {noun}" if outcome and not ledger else "",
        slope=None,
        slope_finding="",
        row="",
        facts_title="",
        facts_verdict=None,
        facts=tuple(
            (label(name), figure_of(value, outcome, shelf.sources.currency))
            for name, value in sorted(paths.get(method, {}).items(), key=lambda pair: -pair[1])
        ),
        cards=cards,
        response=None,
    )


def credit_rows(shelf: Shelf, view: CreditView) -> pl.DataFrame:
    """The rows behind the view, as the credits table has them."""
    chosen = {
        name: next((c.value for c in choices if c.chosen), ALL)
        for name, choices in (
            ("outcome", view.outcomes),
            ("segment", view.segments),
            ("period", view.periods),
        )
    }
    return shelf.credits.filter(*(pl.col(name) == value for name, value in chosen.items()))
