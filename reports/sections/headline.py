"""The first lines: what conversations earned, how sure that is, the whole programme beside it, the tiles."""

from __future__ import annotations

import polars as pl

from reports.context import Mark, Plot, Sentence, Tile
from reports.facts import (
    EVERYTHING,
    SOCIAL,
    Added,
    EffectFact,
    Estimate,
    Return,
    added,
    effects_of,
    main_outcome,
    preferred,
    returns,
    whole,
)
from reports.numbers import count, money, percent, signed, symbol
from reports.sections.service import care_tile, service_section
from reports.sections.value import refuted, total_value, value_noun
from reports.sections.worth import line_of, worth_finding
from reports.sentences import (
    MONEY_OUTCOMES,
    SHARE_OUTCOMES,
    because,
    effect_range,
    effect_sentence,
    outcome_word,
    paid_back,
    shown_of,
    without_notes,
)
from reports.sources import ReportSources
from reports.words import inside, join, months, upper_first


def _subject(spend: Added | None) -> str:
    return SOCIAL if spend is not None and SOCIAL in spend.groups else EVERYTHING


def _earned(spend: Added, subject: str) -> Estimate:
    """What the subject added to spend; of all channels the total less the baseline."""
    if subject == SOCIAL:
        return spend.groups[SOCIAL]
    base = spend.baseline
    ends = [None if x is None else spend.total - x for x in (base.high, base.low)]
    return Estimate(
        value=spend.everything, low=ends[0], high=ends[1], supported=spend.supported, reason=spend.reason
    )


def headline(sources: ReportSources) -> Sentence:
    """The finding that a reader takes away, or why there is none."""
    credits = whole(sources.table("credits"))
    spend = added(credits, "spend")
    if spend is not None:
        return _spend_headline(sources, spend)
    net = line_of(sources, "net")
    if (net is not None and net["value"] is not None) or (
        net is None and line_of(sources, "net", scenario="plan")
    ):
        found = worth_finding(sources)
        return Sentence(text=f"{found.text}.", figures=found.figures)
    if not credits.is_empty() and credits["credit"].null_count() < credits.height:
        return _presence(credits)
    value = total_value(sources)
    if value is not None and value.value is not None:
        customers = count(sources.table("customers").height, "customer")
        against = refuted(sources)
        if against is not None:
            return Sentence(
                text=f"No figure for what {customers} will bring: time held back refuted the forecast "
                f"({against.rstrip('.')})."
            )
        return Sentence(
            text=f"{customers} {_are(sources)} expected to bring {money(value.value, sources.currency)} of "
            f"{value_noun(sources)} in the next {sources.horizon}.",
            figures={"value": value.value, "low": value.low, "high": value.high},
        )
    chosen = preferred(effects_of(sources.table("effects")))
    if chosen:
        clear = [one for one in chosen if one.estimate.state in ("positive", "negative")]
        if clear:
            return effect_sentence(clear[0], sources.currency)
        if len(chosen) == 1:
            return effect_sentence(chosen[0], sources.currency)
        return Sentence(text=f"None of the {len(chosen)} effects asked for is shown.")
    served = service_section(sources)
    if served is not None:
        return Sentence(text=f"{served.finding.text}.", figures=served.finding.figures)
    bought = (sources.model.get("totals") or {}).get("expected_purchases")
    if bought is not None and refuted(sources) is None:
        customers = count(sources.table("customers").height, "customer")
        paid = sources.table("customers").get_column("historic_value", default=pl.Series([0.0])).sum()
        why = "too few repeat purchases have an amount" if paid else "the purchases have no amounts"
        return Sentence(
            text=f"{customers} {_are(sources)} expected to buy {count(round(bought), 'time')} in the next "
            f"{sources.horizon}; {why}, so no value.",
            figures={"value": bought},
        )
    return Sentence(text="These data hold nothing that this report could say of conversations.")


def _are(sources: ReportSources) -> str:
    return "is" if sources.table("customers").height == 1 else "are"


def _spend_headline(sources: ReportSources, spend: Added) -> Sentence:
    subject = _subject(spend)
    estimate = _earned(spend, subject)
    who = "Social conversations" if subject == SOCIAL else "Conversations"
    if not estimate.supported or estimate.value is None:
        return Sentence(
            text="These data do not support a figure for what conversations "
            f"earned{because(estimate.reason)}."
        )
    margin = sources.gross_margin
    earned = estimate if margin is None else estimate.times(margin)
    assert earned.value is not None
    noun = "spend" if margin is None else "margin"
    figures = {"value": earned.value, "low": earned.low, "high": earned.high}
    back = returns(sources).get(subject)
    if back is not None and margin is not None:
        verb = "earned" if back.margin >= 0 else "lost"
        text = (
            f"{who} {verb} {money(abs(back.margin), sources.currency)} of margin for "
            f"{money(back.cost, sources.currency)} of cost. {paid_back(back.chance)}"
        )
        return Sentence(
            text=text, figures={**figures, "value": back.margin, "cost": back.cost, "chance": back.chance}
        )
    size = money(abs(earned.value), sources.currency)
    if earned.low is None or earned.high is None:
        return Sentence(text=f"{who} added {size} of {noun}, without a range.", figures=figures)
    low, high = money(earned.low, sources.currency), money(earned.high, sources.currency)
    if earned.state == "covers":
        doubt = f"added {noun} is not shown: anything from {low} to {high} fits the data."
        text = f"That {who[:1].lower()}{who[1:]} {doubt}"
    else:
        verb = "added" if earned.state == "positive" else "took away"
        text = f"{who} {verb} {size} of {noun}, between {low} and {high}."
    return Sentence(text=text, figures=figures)


def _presence(credits: pl.DataFrame) -> Sentence:
    """What path methods alone can say: before how much of the outcome somebody was there."""
    rows = credits.filter(pl.col("level").is_in(["channel", "total"]) & pl.col("credit").is_not_null())
    outcome = main_outcome(rows)
    if outcome is None:
        return Sentence(text="No conversation was followed by a purchase in these data.")
    rows = rows.filter(pl.col("outcome") == outcome)
    first = rows.filter(pl.col("method") == rows["method"][0])
    channels = float(first.filter(pl.col("level") == "channel")["credit"].sum())
    total = float(first.filter(pl.col("level") == "total")["credit"].sum())
    noun = outcome_word(outcome)
    share = percent(channels / total) if total else "no part"
    return Sentence(
        text=f"Conversations came before {share} of {noun}; what they added is not known from these data.",
        figures={"share": channels / total if total else None},
    )


def deck(sources: ReportSources) -> tuple[Sentence, ...]:
    """What would have come anyway, and what all channels earned and cost together."""
    spend = added(whole(sources.table("credits")), "spend")
    if spend is None or not spend.total or spend.baseline.value is None or not spend.supported:
        return ()
    share = spend.baseline.value / spend.total
    told = [
        Sentence(
            text=f"{'More than' if share > 1.005 else f'{percent(share)} of'} the "
            f"{money(spend.total, sources.currency)} that customers spent would have come anyway.",
            figures={"share": share, "total": spend.total},
        )
    ]
    found = returns(sources)
    everything = found.get(EVERYTHING)
    if everything is None:
        if not found:
            told.append(Sentence(text="Costs were not given."))
        return tuple(told)
    if _subject(spend) != EVERYTHING:
        told.append(_programme(everything, found, sources.currency))
    return tuple(told)


def _programme(everything: Return, found: dict[str, Return], currency: str | None) -> Sentence:
    loss = everything.margin < everything.cost
    service = [r.name for r in found.values() if r.care and (r.net.value or 0.0) < 0]
    service.sort(key=lambda name: found[name].net.value or 0.0)
    without = sum((found[name].net.value or 0.0) for name in service)
    explains = loss and service and everything.margin - everything.cost - without >= 0
    verb = "added" if everything.margin >= 0 else "took away"
    text = (
        f"Over all channels, conversations {verb} {money(abs(everything.margin), currency)} of margin and "
        f"cost {money(everything.cost, currency)}"
    )
    if explains:
        verb = "are" if len(service) > 1 else "is"
        text += f", because {join([inside(name) for name in service])} {verb} run to serve, not to sell"
    return Sentence(text=f"{text}.", figures={"margin": everything.margin, "cost": everything.cost})


def build_tiles(sources: ReportSources) -> tuple[Tile, ...]:
    """Up to five figures; one without its table is not drawn, and below two there is no row."""
    made = [
        _margin_tile(sources),
        _return_tile(sources),
        _effect_tile(sources),
        _value_tile(sources),
        care_tile(sources),
    ]
    tiles = tuple(tile for tile in made if tile is not None)
    return tiles if len(tiles) > 1 else ()


def tiles_foot(sources: ReportSources) -> str:
    """Period and meaning of the marks, once for all tiles and ledgers of the first page."""
    first = sources.first_day
    period = f"Figures cover {months(first, sources.as_of)} unless they name a quarter. " if first else ""
    return (
        f"{period}Bars and ranges: 95% intervals for sampling error. ● the range leaves out zero (or "
        "break-even), ○ it does not."
    )


def _interval_plot(estimate: Estimate, reference: float) -> tuple[Plot | None, Mark | None]:
    if estimate.low is None or estimate.high is None or estimate.value is None:
        return None, None
    low, high = min(estimate.low, reference), max(estimate.high, reference)
    room = (high - low) * 0.06 or 1.0
    hollow = estimate.low <= reference <= estimate.high
    plot = Plot(low=low - room, high=high + room, zero=reference)
    return plot, Mark(
        form="dot", value=estimate.value, low=estimate.low, high=estimate.high, tone="lead", hollow=hollow
    )


def _margin_tile(sources: ReportSources) -> Tile | None:
    spend = added(whole(sources.table("credits")), "spend")
    if spend is None:
        return None
    subject = _subject(spend)
    margin = sources.gross_margin
    estimate = _earned(spend, subject).times(1.0 if margin is None else margin)
    noun = "Margin" if margin is not None else "Spend"
    label = f"{noun} added by {'social conversations' if subject == SOCIAL else 'all conversations'}"
    if not estimate.supported or estimate.value is None:
        return Tile(label=label, figure="not supported", detail=upper_first(without_notes(estimate.reason)))
    plot, mark = _interval_plot(estimate, 0.0)
    detail = "without a range"
    if estimate.low is not None and estimate.high is not None:
        detail = f"{money(estimate.low, sources.currency)} to {money(estimate.high, sources.currency)}"
    return Tile(
        label=label,
        figure=money(estimate.value, sources.currency),
        detail=detail,
        strong=_since(sources, "margin", estimate.value),
        tone="lead",
        plot=plot,
        mark=mark,
    )


def _since(sources: ReportSources, key: str, now: float) -> str:
    """How far a figure moved since the report before."""
    before = sources.previous_as_of
    if before is None or sources.previous is None:
        return ""
    known = [m for m in sources.previous.get("measures", ()) if m["key"] == key]
    if not known:
        return ""
    moved = now - float(known[-1]["value"])
    month = months(before, before).partition(" ")[0]
    return f"{signed(money(moved, sources.currency))} since {month}"


def _return_tile(sources: ReportSources) -> Tile | None:
    found = returns(sources)
    back = found.get(SOCIAL) or found.get(EVERYTHING)
    if back is None:
        return None
    ends = back.per_unit_range
    estimate = Estimate(value=back.per_unit, low=ends[0] if ends else None, high=ends[1] if ends else None)
    plot, mark = _interval_plot(estimate, 1.0)
    one = f"{symbol(sources.currency)}1".replace("\u00a0", " ")
    detail = "without a range"
    if ends is not None and back.chance is not None:
        detail = f"{money(ends[0], sources.currency)} to {money(ends[1], sources.currency)};"
    return Tile(
        label=f"Margin for each {one} spent on {'social' if back.name == SOCIAL else 'conversations'}",
        figure=money(back.per_unit, sources.currency),
        detail=detail,
        strong="" if back.chance is None else f"{_chance(back.chance)} chance that it is above {one}",
        plot=plot,
        mark=mark,
    )


def _chance(share: float) -> str:
    return ">99%" if share > 0.995 else "<1%" if share < 0.005 else percent(share)


def _headline_rows(sources: ReportSources) -> list[EffectFact]:
    chosen = preferred(effects_of(sources.table("effects")))
    wanted = sources.settings.headline_effect
    return [one for one in chosen if wanted is None or one.name == wanted]


def _refused(effect: EffectFact) -> bool:
    return effect.estimate.state == "not_supported" or effect.estimate.value is None


def _effect_tile(sources: ReportSources) -> Tile | None:
    rows = [one for one in _headline_rows(sources) if one.outcome not in MONEY_OUTCOMES]
    if not rows:
        return None
    effect = min(rows, key=lambda one: (_refused(one), one.outcome not in SHARE_OUTCOMES))
    noun = "Customers kept" if effect.outcome == "retention" else upper_first(outcome_word(effect.outcome))
    label = f"{noun}: {effect.called.rstrip(',')}"
    if _refused(effect):
        reason = upper_first(without_notes(effect.estimate.reason))
        return Tile(label=label, figure="not supported", detail=reason)
    assert effect.estimate.value is not None
    shown = effect.estimate.state in ("positive", "negative")
    plot, mark = _interval_plot(effect.estimate, 0.0)
    ends = effect_range(effect.estimate, effect.outcome, sources.currency).removesuffix(" points")
    return Tile(
        label=label,
        figure=shown_of(effect.estimate.value, effect.outcome, sources.currency, plus=True),
        unit="points" if effect.outcome in SHARE_OUTCOMES else "",
        detail=f"{ends}:",
        strong="shown" if shown else "no effect shown",
        tone="other" if shown else "grey",
        plot=plot,
        mark=mark,
    )


def _value_tile(sources: ReportSources) -> Tile | None:
    """Value of a customer with and without the headline treatment, else of all customers."""
    rows = [
        one
        for one in _headline_rows(sources)
        if one.outcome in ("lifetime_value", "margin")
        and one.estimate.state not in ("not_supported", "no_interval")
    ]
    if rows:
        effect = rows[0]
        plot, mark = _interval_plot(effect.estimate, 0.0)
        shown = effect.estimate.state != "covers"
        assert effect.estimate.value is not None
        return Tile(
            label=f"{upper_first(outcome_word(effect.outcome))} of a customer: {effect.called.rstrip(',')}",
            figure=shown_of(effect.estimate.value, effect.outcome, sources.currency, plus=True),
            detail=f"difference {effect_range(effect.estimate, effect.outcome, sources.currency)}:",
            strong="shown" if shown else "not shown",
            tone="other" if shown else "grey",
            plot=plot,
            mark=mark,
        )
    value = total_value(sources)
    if value is None or value.value is None or refuted(sources) is not None:
        return None
    detail = count(sources.table("customers").height, "customer")
    plot = mark = None
    if value.low is not None and value.high is not None:
        low, high = money(value.low, sources.currency), money(value.high, sources.currency)
        detail = f"{low} to {high}; {detail}"
    return Tile(
        label=f"Value of all customers, next {sources.horizon}",
        figure=money(value.value, sources.currency),
        detail=detail,
        plot=plot,
        mark=mark,
    )
