"""`tributary forecasts`: what runs promised, and what came of it."""

from __future__ import annotations

from pathlib import Path

import click
import polars as pl

from tributary.commands.options import bundle_argument, json_option
from tributary.commands.output import echo_json, echo_table, without_empty

SHOWN = ("kind", "what", "made_on", "due", "value", "low", "high", "actual", "inside", "shortfall", "reason")


@click.command()
@bundle_argument
@click.option("--due", is_flag=True, help="Only those that have fallen due.")
@json_option
def forecasts(bundle: Path, due: bool, as_json: bool) -> None:
    """Say what this run of BUNDLE and those before it promised, and what came of it.

    Each promise is written down when it is made and scored by the first run whose data reach its day.
    """
    from care.ledger import ledger_scores
    from experiments.bundle.reading import load_bundle

    loaded = load_bundle(bundle)
    ledger = loaded.table("forecasts") if "forecasts" in loaded.manifest["tables"] else pl.DataFrame()
    if due and not ledger.is_empty():
        ledger = ledger.filter(pl.col("actual").is_not_null() | pl.col("reason").is_not_null())
    if as_json:
        echo_json({"scores": [] if ledger.is_empty() else ledger_scores(ledger), "forecasts": ledger})
        return
    if ledger.is_empty():
        click.echo("No promise has fallen due." if due else "Nothing was promised.")
        return
    echo_table(without_empty(ledger.select(SHOWN), *SHOWN))
    scores = ledger_scores(ledger).filter(pl.col("scored") > 0)
    if scores.is_empty():
        click.echo(f"Nothing has fallen due; the first does on {ledger.sort('due')['due'][0]}.")
        return
    echo_table(scores)
    click.echo("shortfall: share of the promise that did not come (median); over_promised: share with one.")
