"""Sentences by rule: what a figure, its interval and its support allow to be claimed.

At most 25 words, no method's name, no bracket. Causal verbs only where an incremental figure or an effect is
supported; what path methods hand out "was there before".
"""

from __future__ import annotations

from collections.abc import Sequence

from reports.context import Sentence, Verdict
from reports.facts import EffectFact, Estimate, Return
from reports.numbers import decimal, money, percent, points, signed
from reports.words import OUTCOMES, inside, join, label, upper_first

MONEY_OUTCOMES = frozenset({"spend", "margin", "lifetime_value", "revenue"})
SHARE_OUTCOMES = frozenset({"retention", "csat", "satisfied", "visit", "conversion", "churn", "renewal"})
"""Outcomes of an effect that are shares of customers: their differences are points."""


def outcome_word(outcome: str) -> str:
    """What an outcome is called inside a sentence."""
    return OUTCOMES.get(outcome, inside(outcome))


def without_notes(reason: str | None) -> str:
    """A reason in words: its first clause, without brackets."""
    text = (reason or "the reason was not recorded").split(";")[0].split(" (")[0]
    for word, plain in (("naive: ", ""), ("aipw: ", ""), ("holdout", "held-back period"), ("_", " ")):
        text = text.replace(word, plain)
    return text.strip().rstrip(".")


def because(reason: str | None) -> str:
    """A reason as the end of a sentence; one that is a sentence of its own follows a colon.

    >>> because("two starts differ"), because("holdout of 5 periods: foreseen 9, seen 4")
    (', because two starts differ', ': held-back period of 5 periods, foreseen 9, seen 4')
    """
    text = without_notes(reason)
    return f": {text.replace(': ', ', ')}" if ": " in text else f", because {text}"


def figure_of(value: float, outcome: str, currency: str | None) -> str:
    """One figure of a total in a sentence."""
    if outcome in MONEY_OUTCOMES:
        return money(value, currency)
    return decimal(value, 0)


def added_sentence(who: str, estimate: Estimate, outcome: str, currency: str | None) -> Sentence:
    """What a group added to an outcome, or that it cannot be said.

    >>> added_sentence("Social conversations", Estimate(value=150257.0, low=125437.0, high=175078.0),
    ...     "spend", "GBP").text
    'Social conversations added £150,000 of spend, between £125,000 and £175,000.'
    """
    noun = outcome_word(outcome)
    figures = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    if estimate.state == "not_supported" or estimate.value is None:
        return Sentence(text=f"{who}: not supported{because(estimate.reason)}.")
    amount = figure_of(abs(estimate.value), outcome, currency)
    of = f"{amount} of {noun}" if outcome in MONEY_OUTCOMES else f"{amount} {noun}"
    if estimate.low is None or estimate.high is None:
        verb = "added" if estimate.value >= 0 else "lost"
        return Sentence(text=f"{who} {verb} {of}, without a range.", figures=figures)
    low, high = (figure_of(end, outcome, currency) for end in (estimate.low, estimate.high))
    if estimate.state == "covers":
        text = f"That {_lower(who)} changed {noun} is not shown: anything from {low} to {high} fits the data."
    elif estimate.state == "positive":
        text = f"{who} added {of}, between {low} and {high}."
    else:
        text = f"{who} reduced {noun} by {amount}, between {low} and {high}."
    return Sentence(text=text, figures=figures)


def _lower(text: str) -> str:
    return inside(text[:1].lower() + text[1:])


def paid_back(chance: float | None) -> str:
    """Whether conversations have paid for themselves, by the chance that margin exceeds cost.

    >>> paid_back(0.90)
    'They have probably paid for themselves; a small loss cannot be ruled out.'
    """
    if chance is None:
        return "Whether they have paid for themselves is not known."
    for least, words in (
        (0.975, "have paid for themselves."),
        (0.8, "have probably paid for themselves; a small loss cannot be ruled out."),
    ):
        if chance >= least:
            return f"They {words}"
    if chance > 0.2:
        return "They may or may not have paid for themselves."
    return f"They have {'probably ' if chance > 0.025 else ''}not paid for themselves."


def paid_finding(groups: Sequence[Return]) -> Sentence:
    """Who paid for themselves, who is a cost of service, who lost."""
    ranked = sorted(groups, key=lambda one: -(one.net.value or 0.0))
    paid = [inside(r.name) for r in ranked if r.net.state == "positive"]
    service = [inside(r.name) for r in reversed(ranked) if r.net.state == "negative" and r.care]
    lost = [inside(r.name) for r in reversed(ranked) if r.net.state == "negative" and not r.care]
    told = []
    if paid:
        told.append(f"{join(paid)} paid for {'themselves' if len(paid) > 1 else 'itself'}")
    if lost:
        told.append(f"{join(lost)} did not earn {'their' if len(lost) > 1 else 'its'} cost back")
    if service and len(told) < 2:
        many = len(service) > 1
        told.append(f"{join(service)} {'are costs' if many else 'is a cost'} of service")
    figures = {r.name: r.net.value for r in ranked}
    text = "; ".join(told) or "No channel's result differs from its cost beyond chance"
    return Sentence(text=upper_first(text), figures=figures)


def shown_of(value: float, outcome: str, currency: str | None, *, plus: bool = False) -> str:
    """One effect's figure in a sentence, in the unit of its outcome.

    >>> shown_of(0.0317, "retention", None, plus=True), shown_of(9.53, "spend", "GBP", plus=True)
    ('+3.2', '+£9.53')
    """
    if outcome in MONEY_OUTCOMES:
        text = money(value, currency)
    elif outcome in SHARE_OUTCOMES:
        return points(value, plus=plus)
    else:
        text = decimal(value, 0 if abs(value) >= 100 else 2 if abs(value) < 10 else 1)
    return signed(text) if plus else text


def effect_range(estimate: Estimate, outcome: str, currency: str | None) -> str:
    """The ends of an effect's interval in words, with the unit once."""
    if estimate.low is None or estimate.high is None:
        return "without a range"
    plus = outcome not in MONEY_OUTCOMES
    ends = [shown_of(end, outcome, currency, plus=plus) for end in (estimate.low, estimate.high)]
    unit = " points" if outcome in SHARE_OUTCOMES else ""
    return f"{ends[0]} to {ends[1]}{unit}"


def effect_sentence(effect: EffectFact, currency: str | None) -> Sentence:
    """What one effect may be said to have done."""
    estimate, noun = effect.estimate, outcome_word(effect.outcome)
    name = upper_first(effect.called)
    figures = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    if estimate.state == "not_supported" or estimate.value is None:
        return Sentence(text=f"{name}: not supported{because(estimate.reason)}.")
    unit = " points" if effect.outcome in SHARE_OUTCOMES else ""
    size = shown_of(abs(estimate.value), effect.outcome, currency)
    if estimate.state == "no_interval":
        return Sentence(text=f"{name} on {noun}: {size}{unit}, without a range.", figures=figures)
    ends = effect_range(estimate, effect.outcome, currency)
    if estimate.state == "covers":
        text = f"{name} on {noun} is not shown: anything from {ends} fits the data."
    else:
        verb = "raised" if estimate.state == "positive" else "reduced"
        per = "" if effect.outcome in SHARE_OUTCOMES else " per customer"
        text = f"{name} {verb} {noun} by {size}{unit}{per}, between {ends.replace(' to ', ' and ', 1)}."
    return Sentence(text=text, figures=figures)


def verdict_of(estimate: Estimate) -> Verdict:
    """The chip beside a figure."""
    state = estimate.state
    if state == "not_supported":
        return Verdict(text="not supported", tone="caution")
    if state == "no_interval":
        return Verdict(text="no range", tone="open")
    if state == "covers":
        return Verdict(text="not shown", tone="open")
    return Verdict(text="clear", tone="clear")


def proven_finding(effects: Sequence[EffectFact]) -> Sentence:
    """What is clear first, then what is not shown, by outcome; two clauses at most."""
    told: list[str] = []
    by_outcome: dict[str, list[EffectFact]] = {}
    for effect in effects:
        by_outcome.setdefault(effect.outcome, []).append(effect)
    clear: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for outcome, rows in by_outcome.items():
        for state, verb in (("positive", "raised"), ("negative", "reduced")):
            names = tuple(dict.fromkeys(inside(row.name) for row in rows if row.estimate.state == state))
            if names:
                clear.setdefault((verb, names), []).append(outcome_word(outcome))
    if clear:
        (verb, names), nouns = max(clear.items(), key=lambda one: len(one[0][1]) * len(one[1]))
        told.append(f"{join(names, most=2)} {verb} {join(nouns)}")
    open_rows = [row for row in effects if row.estimate.state == "covers"]
    refused = [row for row in effects if row.estimate.state == "not_supported"]
    if open_rows:
        nouns = list(dict.fromkeys(outcome_word(row.outcome) for row in open_rows))
        if told:
            told.append(f"an effect on {join(nouns, most=2)} is not shown")
        elif len(effects) == 1:
            told.append(f"an effect of {effects[0].called} on {nouns[0]} is not shown")
        else:
            told.append(f"none of the {len(effects)} effects asked for is shown")
    elif refused and len(told) < 2:
        all_of_them = len(refused) == len(effects)
        told.append(
            "no effect asked for is supported by these data"
            if all_of_them
            else f"{len(refused)} of {len(effects)} effects are not supported"
        )
    figures = {f"{e.name}, {e.outcome}": e.estimate.value for e in effects}
    return Sentence(text=upper_first("; ".join(told)), figures=figures)


def anyway(share: float) -> str:
    """A baseline's share as the start of a sentence."""
    if share > 1.005:
        return "More than all"
    for limit, words in ((0.76, "three quarters"), (0.51, "half"), (0.34, "a third")):
        if limit - 0.02 <= share < limit + 0.01:
            return upper_first(words)
    return percent(share)


def named(group: str) -> str:
    """A group as the subject of a sentence: what social is about is conversations."""
    return "Social conversations" if group == "social" else label(group)
