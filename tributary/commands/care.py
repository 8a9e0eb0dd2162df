"""`tributary care`: the headline figures of a desk, and whether its promises were kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import polars as pl

from tributary.commands.options import bundle_argument, json_option
from tributary.commands.output import echo_json, echo_table, range_words, value_words, without_empty

ALL: Final = "(all)"
SEGMENTS: Final = ("brand", "product", "topic", "agent", "hour")
CUTS: Final = ("channel", "team", *SEGMENTS, "week", "month")


@click.command()
@bundle_argument
@click.option("--kpi", help="One figure, with its definition.")
@click.option("--by", "cut", type=click.Choice(CUTS), help="By channel, team, week and so on.")
@click.option("--alerts", is_flag=True, help="What left its limits in the last 28 days.")
@click.option("--cases", "queue", is_flag=True, help="Who waits, in the order in which to answer.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="Of --cases.")
@json_option
def care(
    bundle: Path, kpi: str | None, cut: str | None, alerts: bool, queue: bool, limit: int, as_json: bool
) -> None:
    """Say what happened to every message of BUNDLE, and whether the promises were kept."""
    from care.catalogue import CATALOGUE
    from experiments.bundle.reading import load_bundle
    from histories.errors import ConfigError, nearest

    loaded = load_bundle(bundle)
    figures = loaded.table("care")
    if figures.is_empty():
        reason = loaded.manifest.get("left_out", {}).get("service figures", "the run made none")
        raise ConfigError(f"{bundle}: there are no service figures: {reason}.")
    currency = str(loaded.manifest.get("currency") or "")
    if queue:
        _print_queue(loaded.table("cases"), limit, currency, as_json=as_json)
        return
    if alerts:
        _print_alerts(loaded.table("alerts"), as_json=as_json)
        return
    names = figures["kpi"].unique().sort().to_list()
    if kpi is not None and kpi not in names:
        raise ConfigError(f'There is no figure "{kpi}"; {nearest(kpi, names)}')
    if kpi is None and cut is None:
        settings = loaded.manifest.get("configuration", {}).get("care", {})
        order = _headline(figures, loaded.table("returns"), settings.get("first", "satisfaction"))
        promises = figures.filter(pl.col("kpi") == "promise", pl.col("period") == ALL)
        if as_json:
            echo_json({"headline": order, "promises": promises})
        else:
            _print_headline(order, figures, promises, currency)
        return
    rows = _cut(figures if kpi is None else figures.filter(pl.col("kpi") == kpi), cut)
    if as_json:
        echo_json(rows)
        return
    found = next((entry for entry in CATALOGUE if entry.name == kpi), None)
    if found is not None:
        click.echo(f"{found.sentence}\n{found.formula} (owner: {found.owner})")
    echo_table(_shown(rows, currency))


def _print_queue(cases: pl.DataFrame, limit: int, currency: str, *, as_json: bool) -> None:
    """Those who wait, the next to be answered first; no text."""
    from reports.words import duration

    waiting = cases.filter(pl.col("priority_rank").is_not_null()).sort("priority_rank")
    first = waiting.head(limit)
    if as_json:
        echo_json(first)
        return
    if waiting.is_empty():
        click.echo("Nobody waits.")
        return
    shown = [
        {
            "next": row["priority_rank"],
            "case": row["case_id"],
            "channel": row["channel"],
            "team": row["team"],
            "waits": duration(row["waiting_minutes"]),
            "at stake": value_words(row["value_at_stake"], "currency", currency),
            "why": row["priority_reason"],
        }
        for row in first.iter_rows(named=True)
    ]
    echo_table(without_empty(pl.DataFrame(shown, infer_schema_length=None)))
    if waiting.height > limit:
        click.echo(f"{waiting.height - limit:,} more wait; --limit shows them.")


def _print_alerts(alerts: pl.DataFrame, *, as_json: bool) -> None:
    if as_json:
        echo_json(alerts)
    elif alerts.is_empty():
        click.echo("Nothing left its limits in the last 28 days.")
    else:
        echo_table(alerts.select(pl.col("period").alias("day"), "kind", pl.col("words").alias("what")))


def _headline(figures: pl.DataFrame, returns: pl.DataFrame, first: Any) -> pl.DataFrame:
    """The eight figures in the order of what comes first; the promise on the clock that it means."""
    from care.catalogue import headline_order

    order = headline_order("cost" if first == "cost" else "satisfaction")
    whole = _cut(figures, None)
    meant = whole.filter(pl.col("target").is_not_null())["clock"].to_list()
    clock = meant[0] if meant else "calendar"
    rows = whole.filter(pl.col("kpi").is_in(order), pl.col("clock").is_null() | (pl.col("clock") == clock))
    row: dict[str, Any] = dict.fromkeys(figures.columns)
    row |= {"kpi": "return", "group": "effectiveness", "unit": "share", "direction": "up"}
    told = returns.filter(
        (pl.col("line") == "roi")
        & (pl.col("scenario") == "actual")
        & (pl.col("segment") == ALL)
        & (pl.col("period") == ALL)
    )
    if told.height:
        row |= told.select("value", "low", "high", "reason").row(0, named=True)
    else:
        row["reason"] = "the run made no account of care, and says why"
    rows = pl.concat([rows, pl.DataFrame([row], schema=figures.schema)])
    places = {name: place for place, name in enumerate(order)}
    return rows.sort(pl.col("kpi").replace_strict(places, return_dtype=pl.Int64))


def _cut(figures: pl.DataFrame, cut: str | None) -> pl.DataFrame:
    """Rows of one cut; without one, those of all matters."""
    named = {name: pl.col(name) == ALL for name in ("channel", "team", "segment", "period")}
    if cut in ("channel", "team"):
        named[cut] = pl.col(cut) != ALL
    elif cut in SEGMENTS:
        named["segment"] = pl.col("segment").str.starts_with(f"{cut}: ")
    elif cut == "week":
        named["period"] = pl.col("period").str.contains(r"^\d{4}-W\d\d$")
    elif cut == "month":
        named["period"] = pl.col("period").str.contains(r"^\d{4}-\d\d$")
    return figures.filter(*named.values())


def _print_headline(
    order: pl.DataFrame, figures: pl.DataFrame, promises: pl.DataFrame, currency: str
) -> None:
    echo_table(_shown(order, currency))
    tool = order.filter(pl.col("as_tool").is_not_null(), pl.col("kpi") == "service_level")
    for row in tool.iter_rows(named=True):
        click.echo(
            f"Desks show {row['as_tool']:.0%}: they leave the unanswered out and let robots count as replies."
        )
    if promises.height:
        click.echo()
        echo_table(_shown(promises, currency))
        for row in figures.filter(pl.col("kpi") == "promise_streak").iter_rows(named=True):
            won = "kept" if row["value"] > 0 else "broken"
            length = abs(int(row["value"]))
            unit = row["unit"] if length != 1 else row["unit"].removesuffix("s")
            click.echo(f"{row['segment']}: {won} for the last {length} {unit}")


def _shown(rows: pl.DataFrame, currency: str) -> pl.DataFrame:
    """Rows as a reader wants them: the figure in its unit, its interval, what it rests on."""
    shown = [
        {
            "figure": row["kpi"],
            "where": _where(row),
            "clock": row["clock"],
            "value": value_words(row["value"], row["unit"], currency),
            "interval": range_words(row, currency),
            "n": row["n"],
            "target": value_words(row["target"], row["unit"], currency),
            "as tools": value_words(row["as_tool"], row["unit"], currency),
            "note": row["reason"],
        }
        for row in rows.iter_rows(named=True)
    ]
    return without_empty(pl.DataFrame(shown, infer_schema_length=None), "value")


def _where(row: dict[str, Any]) -> str | None:
    named = [row[name] for name in ("channel", "team", "segment", "period") if row[name] not in (ALL, None)]
    return ", ".join(named) or None
