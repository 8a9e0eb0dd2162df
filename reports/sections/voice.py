"""Appendix E: what customers write about, and how their mood moves; illustrations chosen by a stated rule."""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from care.quotes import RULE
from reports.context import Block, Card, Cards, Cell, Column, Ledger, Mark, Plot, Row, Section, Sentence
from reports.numbers import count, decimal, money
from reports.sources import ReportSources
from reports.words import count_words, duration, label, months, upper_first

_MOST: Final = 8
_CARDS: Final = 3
_AROUND_DAYS: Final = 90
_FAST_MINUTES: Final = 60
_REASON: Final = "reason: "


def voice_section(sources: ReportSources) -> Section | None:
    """Topics with mood from first to last message, and three cases; absent without cases."""
    cases = sources.table("cases")
    if cases.is_empty() or "topic" not in cases.columns or cases["topic"].null_count() == cases.height:
        return None
    topics = _topics(cases, sources.settings.minimum_cell)
    if topics.is_empty():
        return None
    topics = topics.join(_trends(sources), on="topic", how="left", maintain_order="left")
    blocks: list[Block] = [_ledger(topics)]
    products = _products(sources, topics["topic"].to_list())
    if products is not None:
        blocks.append(products)
    reasons = _reasons(sources)
    if reasons is not None:
        blocks.append(reasons)
    blocks += [cards for cards in (_wins(cases, sources), _quotes(sources)) if cards is not None]
    return Section(
        key="voice",
        letter="E",
        title="Customer voice and wins",
        question="What do customers say?",
        finding=_finding(topics),
        blocks=tuple(blocks),
        foot=f"Topics below {sources.settings.minimum_cell} customers are left out. “Share moved”: the last "
        "whole month less the months before, where that is more than chance.",
    )


def _about(sources: ReportSources, kpi: str) -> pl.DataFrame:
    care = sources.table("care")
    if care.is_empty() or "segment" not in care.columns:
        schema = {"segment": pl.String, "value": pl.Float64, "n": pl.Int64, "reason": pl.String}
        return pl.DataFrame(schema=schema)
    return care.filter((pl.col("kpi") == kpi) & pl.col("value").is_not_null())


def _trends(sources: ReportSources) -> pl.DataFrame:
    """Change of each topic's share in the last whole month, where it is more than chance."""
    rows = _about(sources, "topic_trend").filter(pl.col("reason").is_null())
    return rows.select(
        pl.col("segment").str.strip_prefix("topic: ").alias("topic"), pl.col("value").alias("moved")
    )


def _products(sources: ReportSources, topics: list[str]) -> Ledger | None:
    """Share of each product's matters by topic."""
    rows = _about(sources, "topic_share_of_product").filter(pl.col("n") >= sources.settings.minimum_cell)
    if rows.is_empty():
        return None
    pairs = rows.with_columns(
        pl.col("segment").str.strip_prefix("product: ").str.split_exact(", topic: ", 1).alias("both")
    ).unnest("both")
    shares = {(row["field_0"], row["field_1"]): row["value"] for row in pairs.iter_rows(named=True)}
    names = pairs.select(pl.col("field_0").unique(maintain_order=True)).to_series().to_list()[:_MOST]
    return Ledger(
        label="Product",
        title="What each product is written about for",
        subtitle="% of the product's matters that name a topic",
        columns=tuple(Column(title=label(topic), form="tint") for topic in topics),
        rows=tuple(
            Row(name=label(name), cells=tuple(shares.get((name, topic)) for topic in topics))
            for name in names
        ),
        dense=True,
    )


def _reasons(sources: ReportSources) -> Ledger | None:
    """Orders whose customers said what made them buy."""
    named = [
        _about(sources, kpi).filter(
            pl.col("segment").str.starts_with(_REASON), pl.col("n") >= sources.settings.minimum_cell
        )
        for kpi in ("named_orders", "named_revenue")
    ]
    rows = (
        named[0]
        .select("segment", orders="value")
        .join(named[1].select("segment", revenue="value"), on="segment")
    )
    if rows.is_empty():
        return None
    return Ledger(
        label="Reason named",
        title="What customers say made them buy",
        subtitle="orders of which a message or survey names the reason; said by those who say so, neither "
        "credit nor an effect",
        columns=(
            Column(title="orders", decimals=0, phone=True),
            Column(title=f"revenue, {sources.currency}", decimals=0, phone=True),
        ),
        rows=tuple(
            Row(name=label(row["segment"].removeprefix(_REASON)), cells=(row["orders"], row["revenue"]))
            for row in rows.sort("orders", "segment", descending=[True, False]).iter_rows(named=True)
        ),
    )


def _has(cases: pl.DataFrame, column: str) -> bool:
    return column in cases.columns and cases[column].null_count() < cases.height


def _topics(cases: pl.DataFrame, smallest: int) -> pl.DataFrame:
    who = pl.len()
    if "customer_id" in cases.columns:  # of authors whom nobody knows each may be another
        who = pl.col("customer_id").drop_nulls().n_unique() + pl.col("customer_id").null_count()
    measures = [pl.len().alias("cases"), who.alias("customers")]
    both = _has(cases, "sentiment_first") and _has(cases, "sentiment_last")
    if both:
        known = pl.col("sentiment_first").is_not_null() & pl.col("sentiment_last").is_not_null()
        measures += [
            pl.col("sentiment_first").filter(known).mean().alias("first"),
            pl.col("sentiment_last").filter(known).mean().alias("last"),
        ]
    if _has(cases, "answered"):
        asked = pl.col("needs_reply").fill_null(True) if "needs_reply" in cases.columns else pl.lit(True)
        measures.append((~pl.col("answered")).filter(asked).mean().alias("unanswered"))
    if _has(cases, "csat"):
        measures.append((pl.col("csat").drop_nulls() >= 4).mean().alias("satisfied"))
    return (
        cases.drop_nulls("topic")
        .group_by("topic")
        .agg(measures)
        .filter(pl.col("customers") >= smallest)
        .sort("cases", "topic", descending=[True, False])
        .head(_MOST)
    )


def _ledger(topics: pl.DataFrame) -> Ledger:
    columns: list[Column] = []
    mood = "first" in topics.columns
    if mood:
        plot = Plot(low=-1.0, high=1.0, ticks=((-1.0, "−1"), (0.0, "0"), (1.0, "+1")))
        columns.append(Column(title="mood ○ first message ● last", form="plot", plot=plot))
    columns.append(Column(title="cases", decimals=0, phone=True))
    moves = topics["moved"].null_count() < topics.height
    if moves:
        columns.append(Column(title="share moved", divisor=0.01, decimals=0, signed=True, suffix=" pts"))
    for name in ("unanswered", "satisfied"):
        if name in topics.columns:
            columns.append(
                Column(title=name, divisor=0.01, decimals=0, suffix="%", phone=name == "satisfied")
            )
    rows = []
    for row in topics.iter_rows(named=True):
        cells: list[Cell] = []
        if mood:
            drawn = row["first"] is not None
            cells.append((Mark(form="pair", start=row["first"], value=row["last"]),) if drawn else ())
        cells.append(row["cases"])
        cells += [row["moved"]] if moves else []
        cells += [row[name] for name in ("unanswered", "satisfied") if name in topics.columns]
        rows.append(Row(name=label(str(row["topic"])), cells=tuple(cells)))
    return Ledger(label="What they write about", columns=tuple(columns), rows=tuple(rows))


def _finding(topics: pl.DataFrame) -> Sentence:
    number = topics.height
    if "first" in topics.columns and topics["first"].null_count() == 0:
        better = topics.filter(pl.col("last") > pl.col("first")).height
        good = topics.filter(pl.col("last") > 0.2).height
        whole = (
            f"all {count_words(number)} topics end"
            if better == number
            else f"{better} of {number} topics end"
        )
        end = (
            "none in a good one"
            if not good
            else "all in a good one"
            if good == number
            else f"{good} in a good one"
        )
        return Sentence(
            text=upper_first(f"{whole} in a better mood than they begin, {end}"),
            figures={"better": better, "good": good},
        )
    first = topics.row(0, named=True)
    return Sentence(
        text=f"{label(str(first['topic']))} is what customers write about most",
        figures={"cases": first["cases"]},
    )


def _wins(cases: pl.DataFrame, sources: ReportSources) -> Cards | None:
    """Answered within the hour, rated best, most spend afterwards; no ids, and enough to choose from."""
    needed = ("customer_id", "first_response_at", "opened_at", "csat")
    purchases = sources.table("purchases")
    if purchases.is_empty() or not all(_has(cases, column) for column in needed):
        return None
    waited = (pl.col("first_response_at") - pl.col("opened_at")).dt.total_seconds() / 60
    happy = cases.with_columns(waited=waited).filter(
        (pl.col("waited") <= _FAST_MINUTES) & (pl.col("csat") == 5) & pl.col("customer_id").is_not_null()
    )
    if happy["customer_id"].n_unique() < sources.settings.minimum_cell:
        return None
    spent = (
        happy.join(purchases.select("customer_id", "timestamp", "amount"), on="customer_id")
        .with_columns(days=(pl.col("timestamp") - pl.col("opened_at")).dt.total_days())
        .filter(pl.col("days").abs() <= _AROUND_DAYS)
        .group_by("case_id")
        .agg(
            before=pl.col("amount").filter(pl.col("timestamp") < pl.col("opened_at")).sum(),
            after=pl.col("amount").filter(pl.col("timestamp") >= pl.col("opened_at")).sum(),
        )
    )
    best = (
        happy.join(spent, on="case_id")
        .sort("after", "case_id", descending=[True, False])
        .unique("customer_id", keep="first", maintain_order=True)
        .head(_CARDS)
    )
    cards = tuple(
        Card(
            lead=f"{label(str(row['topic'] or 'Case'))}, answered in {duration(row['waited'])}.",
            text=_mood(row)
            + f"Spend in the {_AROUND_DAYS} days before {money(row['before'], sources.currency)}, "
            f"after {money(row['after'], sources.currency)}.",
        )
        for row in best.iter_rows(named=True)
    )
    if not cards:
        return None
    number = count(len(cards), "case")
    return Cards(
        cards=cards,
        title=f"{upper_first(count_words(len(cards)))} of the cases behind these figures",
        subtitle=f"Illustrations, {number} chosen by rule (answered within an hour, satisfied 5 of 5, most "
        "spend afterwards). They prove nothing by themselves.",
    )


def _quotes(sources: ReportSources) -> Cards | None:
    """What customers wrote, where the configuration asks for it."""
    quotes = sources.table("quotes")
    if quotes.is_empty():
        return None
    return Cards(
        cards=tuple(
            Card(lead=f"{label(row['topic'])}, {_month(row['month'])}.", text=f"“{row['text']}”")
            for row in quotes.iter_rows(named=True)
        ),
        title="In customers’ words",
        subtitle=f"{upper_first(count(quotes.height, 'quote'))}, chosen by rule: {RULE}.",
    )


def _month(text: str) -> str:
    day = dt.date.fromisoformat(f"{text}-01")
    return months(day, day)


def _mood(row: dict[str, object]) -> str:
    first, last = row.get("sentiment_first"), row.get("sentiment_last")
    if not isinstance(first, float) or not isinstance(last, float):
        return "Rated 5 of 5. "
    return f"Mood from {decimal(first, 1)} to {decimal(last, 1)}, rated 5 of 5. "
