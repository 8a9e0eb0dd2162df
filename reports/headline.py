"""The first page: one sentence and the tiles that the data can fill."""

from __future__ import annotations

import math

import polars as pl

from reports.context import Tile
from reports.sections.credit import OUTCOME_NAMES, incremental_total
from reports.sections.evidence import headline_effect
from reports.sections.returns import headline_return
from reports.sections.value import total_value
from reports.sources import ReportSources
from reports.words import between, count, money, percent

__all__ = ["build_tiles", "headline"]

SOCIAL = "social"


def headline(sources: ReportSources) -> str:
    """The finding that a reader takes away, or why there is none."""
    spend = incremental_total(sources.table("credits"), "spend")
    social = _social_margin(sources)
    if social is not None and social["supported"]:
        low, high = money(social["low"], sources.currency), money(social["high"], sources.currency)
        sign = "added" if social["margin"] >= 0 else "cost"
        return (
            f"Social conversations {sign} {money(abs(social['margin']), sources.currency)} of margin "
            f"({between(low, high, level=social['level'])}); "
            f"{_anyway(spend)} of all spend would have come anyway."
        )
    if spend is not None and spend["supported"] and spend["total"]:
        share = percent(float(spend["credit"] or 0) / float(spend["total"]), digits=0)
        return f"All conversations together added {share} of spend; the rest would have come anyway."
    if spend is not None:
        return f"These data do not support a figure for what conversations added: {spend['reason']}."
    value = total_value(sources)
    credits = sources.table("credits")
    if value is None and not credits.is_empty():
        return _presence(credits)
    if value is not None:
        return (
            f"{count(value['customers'], 'customer')} will bring "
            f"{money(value['value'], sources.currency)} of discounted margin over the next "
            f"{sources.model.get('horizon_months', 12)} months."
        )
    effects = sources.table("effects")
    if not effects.is_empty():
        return _effect_sentence(effects)
    return "What these data can say is below; no headline figure is supported."


def _anyway(spend: dict[str, float | bool | str | None] | None) -> str:
    if spend is None or not spend["total"]:
        return "the rest"
    return percent(float(spend["baseline"] or 0) / float(spend["total"]), digits=0)


def _presence(credits: pl.DataFrame) -> str:
    """What descriptive credit alone can say: how much of the outcome was touched at all."""
    rows = credits.filter(
        (pl.col("segment") == "(all)")
        & pl.col("level").is_in(["channel", "total"])
        & pl.col("credit").is_not_null()
    )
    if rows.is_empty():
        return "These data support no credit of any channel."
    first = rows.filter((pl.col("outcome") == rows["outcome"][0]) & (pl.col("method") == rows["method"][0]))
    by_level = {
        level: float(first.filter(pl.col("level") == level)["credit"].sum()) for level in ("channel", "total")
    }
    share = percent(by_level["channel"] / by_level["total"], digits=0) if by_level["total"] else "none"
    noun = OUTCOME_NAMES.get(str(first["outcome"][0]), "outcomes")
    return (
        f"Channels were there before {share} of all {noun}; what they added is not estimated from these data."
    )


def _effect_sentence(effects: pl.DataFrame) -> str:
    good = effects.filter(pl.col("supported") & pl.col("estimate").is_not_null())
    if good.is_empty():
        return "None of the effects asked for is supported by these data."
    row = good.row(0, named=True)
    return (
        f"{row['name'].capitalize()} changed {row['outcome'].replace('_', ' ')} by {row['estimate']:.3g} "
        f"per unit ({between(format(row['low'], '.3g'), format(row['high'], '.3g'))})."
    )


def build_tiles(sources: ReportSources) -> tuple[Tile, ...]:
    """Incremental margin, return, retention uplift, value, cost per resolution: those that exist."""
    made = (
        _margin_tile(sources),
        _return_tile(sources),
        _effect_tile(sources),
        _value_tile(sources),
        _holdout_tile(sources),
        _resolution_tile(sources),
    )
    return tuple(tile for tile in made if tile is not None)


def _social_margin(sources: ReportSources) -> dict[str, float] | None:
    credits = sources.table("credits")
    if credits.is_empty():
        return None
    row = credits.filter(
        (pl.col("kind") == "incremental")
        & (pl.col("outcome") == "spend")
        & (pl.col("level") == "group")
        & (pl.col("channel_group") == SOCIAL)
        & (pl.col("segment") == "(all)")
        & (pl.col("period") == "(all)")
    )
    if row.is_empty() or row["low"][0] is None:
        return None
    margin = sources.gross_margin
    if margin is None:
        return None
    return {
        "margin": float(row["credit"][0]) * margin,
        "low": float(row["low"][0]) * margin,
        "high": float(row["high"][0]) * margin,
        "level": float(row["interval_level"][0] or 0.95),
        "supported": bool(row["supported"][0]),
        "n": float(row["n"][0] or 0),
    }


def _margin_tile(sources: ReportSources) -> Tile | None:
    definition = "Incremental spend credited to the social channels, times the gross margin."
    label = "Incremental margin, social"
    social = _social_margin(sources)
    if social is None:
        return None
    if not social["supported"]:
        total = incremental_total(sources.table("credits"), "spend")
        reason = str(total["reason"]) if total else "no incremental credit was made"
        return Tile(label=label, text="not supported", detail=reason, supported=False, definition=definition)
    interval = between(
        money(social["low"], sources.currency),
        money(social["high"], sources.currency),
        level=social["level"],
    )
    return Tile(
        label=label,
        text=money(social["margin"], sources.currency),
        detail=f"{interval}; {sources.manifest.get('span', '')}; n = {social['n']:,.0f}",
        definition=definition,
    )


def _return_tile(sources: ReportSources) -> Tile | None:
    row = headline_return(sources)
    if row is None:
        return None
    return Tile(
        label=f"Return on investment, {row['scenario']}",
        text=percent(float(row["roi"] or 0.0), digits=0),
        detail=_return_detail(row, sources),
        definition="(incremental margin + cost avoided - cost) / cost",
    )


def _return_detail(row: dict[str, float | str | None], sources: ReportSources) -> str:
    low, high, chance = (row[name] for name in ("roi_low", "roi_high", "probability_positive"))
    if low is None or high is None or chance is None:
        return "no interval"
    ends = between(percent(float(low), digits=0), percent(float(high), digits=0))
    return f"{ends}; chance that it is positive {percent(float(chance), digits=0)}"


def _effect_tile(sources: ReportSources) -> Tile | None:
    row = headline_effect(sources, "retention")
    name = sources.settings.headline_effect
    if name is None or row is None:
        return None
    label = f"Retention uplift, {name}"
    if not row["supported"] or row["estimate"] is None:
        return Tile(label=label, text="not supported", detail=str(row["reason"]), supported=False)
    estimate, low, high = (float(str(row[key])) for key in ("estimate", "low", "high"))
    return Tile(
        label=label,
        text=f"{'+' if estimate >= 0 else '−'}{abs(estimate) * 100:.1f} points",
        detail=f"{between(percent(low), percent(high))}; n = {row['n_treated']:,} + {row['n_control']:,}",
        definition="Share retained, treated minus control.",
    )


def _value_tile(sources: ReportSources) -> Tile | None:
    value = total_value(sources)
    if value is None:
        return None
    detail = count(value["customers"], "customer")
    if math.isfinite(value["low"]):
        low, high = money(value["low"], sources.currency), money(value["high"], sources.currency)
        level = float(sources.manifest.get("interval_level") or 0.9)
        detail = f"{between(low, high, level=level)}; {detail}"
    return Tile(
        label=f"Lifetime value, {sources.model.get('horizon_months', 12)} months",
        text=money(value["value"], sources.currency),
        detail=detail,
        definition="Discounted margin of future purchases within the horizon, before costs.",
    )


def _holdout_tile(sources: ReportSources) -> Tile | None:
    validation = sources.table("validation")
    if validation.is_empty():
        return None
    chosen = sources.model.get("chosen")
    row = validation.filter((pl.col("metric") == "total_error") & (pl.col("model") == chosen))
    if row.is_empty() or row["value"][0] is None:
        return None
    error = float(row["value"][0])
    return Tile(
        label="Forecast on the holdout",
        text=f"{'+' if error >= 0 else '−'}{abs(error) * 100:.1f} %",
        detail=f"predicted against observed purchases; n = {row['n'][0]:,}",
        definition="(predicted - observed) / observed purchases in the holdout period.",
    )


def _resolution_tile(sources: ReportSources) -> Tile | None:
    care = sources.table("care")
    if care.is_empty():
        return None
    row = care.filter((pl.col("kpi") == "cost_per_resolution") & (pl.col("channel") == "(all)"))
    if row.is_empty() or row["value"][0] is None:
        return None
    return Tile(label="Cost per resolution", text=money(float(row["value"][0]), sources.currency))
