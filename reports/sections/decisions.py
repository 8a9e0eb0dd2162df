"""What is asked of the board: at most four asks, each fired by a rule, with its figure and evidence."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Final

from reports.context import Ask, Asks, Section, Sentence
from reports.facts import EVERYTHING, EffectFact, Return, added, effects_of, preferred, returns, whole
from reports.numbers import money, symbol
from reports.sections.service import care_asks
from reports.sentences import SHARE_OUTCOMES, effect_range, outcome_word, shown_of, without_notes
from reports.sources import ReportSources, read_day
from reports.words import count_words, day, inside, join, upper_first

MOST: Final = 4
_RENEW_DAYS: Final = 60
_Z: Final = 1.959964 + 0.841621  # two-sided 5 %, power 80 %


def size_of_a_test(effect: EffectFact) -> int | None:
    """Customers in each group that find the estimated size with power 80 % at 5 %.

    n = 2 sd^2 (z_.975 + z_.8)^2 / estimate^2, where the deviation of one customer follows from the standard
    error: sd^2 = se^2 / (1/n_treated + 1/n_control). Rounded to two figures; None where that cannot be said.
    """
    value, error = effect.estimate.value, effect.std_error
    if not value or not error or not effect.n_treated or not effect.n_control:
        return None
    if abs(value) < error * 1e-3:  # more customers than there are
        return None
    deviation = error / math.sqrt(1 / effect.n_treated + 1 / effect.n_control)
    size = 2 * (deviation * _Z / value) ** 2
    digits = max(len(f"{size:.0f}") - 2, 0)
    return int(round(size / 10**digits) * 10**digits)


def asks_of(sources: ReportSources) -> tuple[Ask, ...]:
    """Every ask that a rule fires, in order: refusals first, then by money at stake."""
    found = [
        *_refusals(sources),
        *_money(sources),
        *_tests(sources),
        *care_asks(sources),
        *_renewals(sources),
    ]
    refused = [ask for ask in found if ask.rule == "refusal"]
    rest = sorted((ask for ask in found if ask.rule != "refusal"), key=lambda ask: -ask.at_stake)
    return (*refused, *rest)


def decisions_section(sources: ReportSources) -> Section | None:
    """The asks; or one sentence that nothing calls for a decision."""
    asks = asks_of(sources)
    if not asks:
        if all(sources.table(name).is_empty() for name in ("credits", "effects", "care", "roi")):
            return None
        return Section(
            key="decisions",
            title="Decisions",
            question="What is asked of the board?",
            finding=Sentence(text="Nothing in these data calls for a decision."),
        )
    shown = asks[:MOST]
    number = upper_first(count_words(len(shown)))
    one = len(shown) == 1
    return Section(
        key="decisions",
        title="Decisions",
        question="What is asked of the board?",
        finding=Sentence(
            text=f"{number} decision, with the figure that it rests on"
            if one
            else f"{number} decisions, each with the figure that it rests on"
        ),
        blocks=(Asks(asks=shown),),
    )


def _refusals(sources: ReportSources) -> list[Ask]:
    """A headline figure whose check failed is not to be used yet."""
    asks = []
    spend = added(whole(sources.table("credits")), "spend")
    if spend is not None and not spend.supported:
        asks.append(
            Ask(
                text="Do not use the figure for what conversations added yet.",
                detail=upper_first(without_notes(spend.reason)) + ".",
                reading="Not supported.",
                evidence="modelled",
                rule="refusal",
            )
        )
    wanted = sources.settings.headline_effect
    for effect in preferred(effects_of(sources.table("effects"))):
        if effect.name == wanted and effect.estimate.state == "not_supported":
            asks.append(
                Ask(
                    text=f"Do not use the effect of {effect.called} on {outcome_word(effect.outcome)} yet.",
                    detail=upper_first(without_notes(effect.estimate.reason)) + ".",
                    reading="Not supported.",
                    evidence=effect.design_words,
                    rule="refusal",
                )
            )
    return asks


def _money(sources: ReportSources) -> list[Ask]:
    """Keep what returned more than its cost; treat as service, or cut, what returned less."""
    found = [one for name, one in returns(sources).items() if name != EVERYTHING]
    found.sort(key=lambda one: -abs(one.net.value or 0.0))
    asks = []
    keep = [one for one in found if one.net.state == "positive" and not one.care]
    service = [one for one in found if one.net.state == "negative" and one.care]
    cut = [one for one in found if one.net.state == "negative" and not one.care]
    if keep:
        asks.append(_keep(keep, sources))
    if service:
        asks.append(_serve(service, sources))
    if cut:
        asks.append(_cut(cut, sources))
    return asks


def _names(found: Sequence[Return]) -> str:
    return join([inside(one.name) for one in found])


def _evidence(names: Sequence[str], sources: ReportSources) -> str:
    spend = added(whole(sources.table("credits")), "spend")
    tested = set(spend.tested) if spend else set()
    return "experiment" if names and set(names) <= tested else "modelled"


def _keep(found: Sequence[Return], sources: ReportSources) -> Ask:
    one = f"{symbol(sources.currency)}1"
    each = join([_per(r, sources) for r in found])
    many = len(found) > 1
    verb = "which returned"
    ranges = [r.per_unit_range for r in found]
    least = min((ends[0] for ends in ranges if ends), default=None)
    detail = (
        ""
        if least is None
        else f"The lowest end of {'their ranges' if many else 'its range'} is "
        f"{money(least, sources.currency)}. "
    )
    return Ask(
        text=f"Keep {_names(found)}, {verb} {each} for each {one}.",
        detail=f"{detail}The return is an average: it does not say what the next {one} would earn.",
        reading=f"{'Ranges' if many else 'Range'} wholly above {one}.",
        evidence=_evidence([r.name for r in found], sources),
        rule="keep",
        at_stake=sum(r.net.value or 0.0 for r in found),
    )


def _per(one: Return, sources: ReportSources) -> str:
    if one.per_unit >= 10:
        return f"{symbol(sources.currency)}{one.per_unit:,.0f}"
    return money(one.per_unit, sources.currency)


def _serve(found: Sequence[Return], sources: ReportSources) -> Ask:
    text = f"Treat {_names(found)} as service, and ask what a case should cost."
    return _below(found, sources, text, rule="service", reading=", service")


def _cut(found: Sequence[Return], sources: ReportSources) -> Ask:
    return _below(found, sources, f"Cut or test {_names(found)}.", rule="cut")


def _below(
    found: Sequence[Return], sources: ReportSources, text: str, *, rule: str, reading: str = ""
) -> Ask:
    """What is asked where the return is below its cost."""
    cost, margin = sum(r.cost for r in found), sum(r.margin for r in found)
    verb = "added" if margin >= 0 else "took away"
    start = "Together they" if len(found) > 1 else "It"
    return Ask(
        text=text,
        detail=f"{start} cost {money(cost, sources.currency)} and {verb} "
        f"{money(abs(margin), sources.currency)} of margin.",
        reading=f"Range wholly below {symbol(sources.currency)}1{reading}.",
        evidence=_evidence([r.name for r in found], sources),
        rule=rule,
        at_stake=cost - margin,
    )


def _tests(sources: ReportSources) -> list[Ask]:
    """Whether an effect that a design below an experiment neither shows nor excludes is worth a test."""
    asks: list[Ask] = []
    for effect in preferred(effects_of(sources.table("effects"))):
        if effect.estimate.state != "covers" or effect.rungs >= 4 or effect.outcome == "issues":
            continue
        value = effect.estimate.value or 0.0
        size = size_of_a_test(effect)
        settle = f" Settling it takes about {size:,} customers in each group." if size else ""
        unit = " points" if effect.outcome in SHARE_OUTCOMES else ""
        went_with = shown_of(value, effect.outcome, sources.currency, plus=True)
        ends = effect_range(effect.estimate, effect.outcome, sources.currency)
        asks.append(
            Ask(
                text=f"Decide whether {effect.called} is worth a test for {outcome_word(effect.outcome)}.",
                detail=f"It went with {went_with}{unit}, but anything from {ends} fits the data.{settle}",
                reading="Range covers zero.",
                evidence=effect.design_words,
                rule="test",
            )
        )
    return asks[:1]


def _renewals(sources: ReportSources) -> list[Ask]:
    """Assumptions that have expired, or will within sixty days."""
    asks = []
    for row in sources.manifest.get("assumptions") or ():
        expires = read_day(row.get("expires"))
        if expires is None or expires > sources.as_of + dt.timedelta(days=_RENEW_DAYS):
            continue
        gone = expires <= sources.as_of
        value = row.get("value")
        detail = f"It {'expired' if gone else 'expires'} on {day(expires)}"
        owner = f"; {row['owner']} owns it" if row.get("owner") else ""
        stands = (
            "" if value is None else f" and stands at {value:g}" if isinstance(value, float | int) else ""
        )
        asks.append(
            Ask(
                text=f"Renew the assumption {inside(str(row.get('name')))}.",
                detail=f"{detail}{stands}{owner}.",
                reading="Expired." if gone else "Expires within sixty days.",
                evidence="assumed",
                rule="renew",
            )
        )
    return asks
