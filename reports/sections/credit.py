"""Credit by channel: what path methods hand out, beside what was added."""

from __future__ import annotations

from typing import Final

import polars as pl

from reports.context import Figure, Section, Table
from reports.sources import ReportSources
from reports.words import money, number, percent

__all__ = ["credit_section", "incremental_total"]

METHOD_NAMES: Final = {
    "first": "first touch",
    "last": "last touch",
    "last_non_direct": "last non-direct touch",
    "linear": "linear",
    "time_decay": "time decay",
    "position": "position based",
    "markov": "Markov chain",
    "markov_2": "Markov chain, order 2",
    "markov_3": "Markov chain, order 3",
    "shapley": "Shapley",
    "shapley_rate": "Shapley, rate game",
    "incremental": "incremental",
}
OUTCOME_NAMES: Final = {
    "conversion": "purchases",
    "repeat_purchase": "repeat purchases",
    "spend": "spend",
    "retention": "retained customers",
    "lifetime_value": "lifetime value",
}
_SHOWN_FIRST: Final = ("spend", "lifetime_value", "retention", "conversion")


def _whole(credits: pl.DataFrame) -> pl.DataFrame:
    if credits.is_empty():
        return credits
    return credits.filter((pl.col("segment") == "(all)") & (pl.col("period") == "(all)"))


def incremental_total(credits: pl.DataFrame, outcome: str) -> dict[str, float | bool | str | None] | None:
    """What all channels together added to an outcome, and what would have come anyway.

    Returns
    -------
    dict or None
        credit, baseline, total, supported, reason; None when no incremental credit was made.
    """
    rows = _whole(credits)
    if rows.is_empty():
        return None
    rows = rows.filter((pl.col("kind") == "incremental") & (pl.col("outcome") == outcome))
    if rows.is_empty():
        return None
    by_level = {level: rows.filter(pl.col("level") == level) for level in ("channel", "baseline", "total")}
    channels = by_level["channel"]
    refused = channels.filter(~pl.col("supported"))
    return {
        "credit": float(channels["credit"].sum()),
        "baseline": float(by_level["baseline"]["credit"].sum()),
        "total": float(by_level["total"]["credit"].sum()),
        "supported": refused.is_empty(),
        "reason": None if refused.is_empty() else refused["reason"][0],
    }


def credit_section(sources: ReportSources) -> Section | None:
    """Ranges by channel and method, credited against incremental, and the table behind them."""
    credits = _whole(sources.table("credits"))
    if credits.is_empty():
        return None
    outcomes = [o for o in _SHOWN_FIRST if o in credits["outcome"].unique()]
    if not outcomes:
        return None
    figures = [_ranges(credits, outcome, sources) for outcome in outcomes]
    return Section(
        key="credit",
        title="Credit by channel",
        finding=_finding(credits, outcomes[0], sources),
        figures=tuple(figures),
        tables=tuple(_table(credits, outcome, sources) for outcome in outcomes),
        notes=(
            "Descriptive methods say who was there before an outcome, not what they did; they hand out all "
            "of it, and what nobody touched stands as (untouched).",
            "Incremental credit has a baseline, what would have happened anyway; credit and baseline add up "
            "to the total. Intervals cover sampling only.",
            "Descriptive credit of retention counts customer-periods; incremental credit counts customers "
            "who are still there at the end.",
            *_reasons(credits),
        ),
    )


def _reasons(credits: pl.DataFrame) -> list[str]:
    refused = credits.filter(~pl.col("supported") & pl.col("reason").is_not_null())
    pairs = refused.select("outcome", "reason").unique(maintain_order=True).rows()
    return [f"Not supported, {OUTCOME_NAMES.get(outcome, outcome)}: {reason}." for outcome, reason in pairs]


def _finding(credits: pl.DataFrame, outcome: str, sources: ReportSources) -> str:
    noun = OUTCOME_NAMES[outcome]
    last = credits.filter(
        (pl.col("outcome") == outcome) & (pl.col("method") == "last") & (pl.col("level") == "channel")
    )
    total = incremental_total(credits, outcome)
    handed_out = float(last["credit"].sum()) if not last.is_empty() else None
    if total is None:
        touched = percent(float(last["share_of_total"].sum())) if handed_out else "an unknown share"
        return (
            f"Channels were present before {touched} of all {noun}; what they added is not estimated from "
            "these data."
        )
    credit, whole = float(total["credit"] or 0), float(total["total"] or 0)
    share = percent(credit / whole) if whole else "none"
    if not total["supported"]:
        return f"How much the channels added to {noun} is not supported by these data: {total['reason']}."
    sentence = f"The channels added {share} of all {noun}; the rest would have come anyway."
    if handed_out and credit > 0:
        sentence += f" Last-touch credit hands out {handed_out / credit:.1f} times as much."
    return sentence


def _ranges(credits: pl.DataFrame, outcome: str, sources: ReportSources) -> Figure:
    rows = credits.filter((pl.col("outcome") == outcome) & (pl.col("level") == "channel"))
    totals = credits.filter((pl.col("outcome") == outcome) & (pl.col("level") == "total"))
    scales = {method: total or 1.0 for method, total in totals.select("method", "credit").iter_rows()}
    order = rows.group_by("channel").agg(pl.col("credit").max()).sort("credit", descending=True)["channel"]
    ranked = rows.with_columns(
        position=pl.col("channel").replace_strict(
            {name: place for place, name in enumerate(order)}, return_dtype=pl.Int64
        )
    ).sort("position", "kind", "method", descending=[False, True, False])
    data = tuple(
        {
            "label": row["channel"],
            "series": METHOD_NAMES.get(row["method"], row["method"]),
            **{
                key: None if row[name] is None else row[name] / scales.get(row["method"], 1.0)
                for key, name in (("value", "credit"), ("low", "low"), ("high", "high"))
            },
        }
        for row in ranked.filter(pl.col("credit").is_not_null()).iter_rows(named=True)
    )
    n = int(rows["n"].max() or 0) if rows["n"].dtype.is_integer() else 0  # type: ignore[arg-type]
    return Figure(
        form="ranges",
        title=f"Share of {OUTCOME_NAMES[outcome]} by channel and method",
        rows=data,
        x_title=f"share of the method's own total of {OUTCOME_NAMES[outcome]}",
        reference=0.0,
        percent=True,
        caption=f"{sources.manifest.get('span', '')}; n = {n:,}. Bars: interval of the incremental credit.",
    )


def _table(credits: pl.DataFrame, outcome: str, sources: ReportSources) -> Table:
    rows = credits.filter((pl.col("outcome") == outcome) & (pl.col("level") != "group"))
    groups = credits.filter((pl.col("outcome") == outcome) & (pl.col("level") == "group"))
    methods = list(dict.fromkeys(rows["method"]))
    names = list(dict.fromkeys([*rows.filter(pl.col("level") == "channel")["channel"], *groups["channel"]]))
    names += [n for n in ("(baseline)", "(untouched)", "(total)") if n in set(rows["channel"])]
    everything = pl.concat([rows, groups])
    cells = {(r["channel"], r["method"]): r for r in everything.iter_rows(named=True)}
    body = [
        (name, *(_cell(cells.get((name, method)), outcome, sources) for method in methods)) for name in names
    ]
    return Table(
        title=f"Credit, {OUTCOME_NAMES[outcome]}",
        columns=("channel", *(METHOD_NAMES.get(m, m) for m in methods)),
        rows=tuple(body),
        caption="Group rows are subtotals of the channels in them.",
    )


def _cell(row: dict[str, float | bool | None] | None, outcome: str, sources: ReportSources) -> str:
    if row is None or row["credit"] is None:
        return "–"

    def shown(value: float) -> str:
        return money(value, sources.currency) if outcome in ("spend", "lifetime_value") else number(value)

    text = shown(float(row["credit"]))
    if row["low"] is not None and row["high"] is not None:
        text += f" [{shown(float(row['low']))}, {shown(float(row['high']))}]"
    return text if row["supported"] else f"{text} (not supported)"
