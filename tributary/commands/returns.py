"""`tributary returns`: the account of care, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import polars as pl

from tributary.commands.options import bundle_argument, json_option
from tributary.commands.output import echo_json, echo_table, range_words, value_words, without_empty

ALL = "(all)"


@click.command()
@bundle_argument
@click.option("--by", "cut", type=click.Choice(["month", "segment"]), help="By month, or by segment.")
@json_option
def returns(bundle: Path, cut: str | None, as_json: bool) -> None:
    """Say what care returned in BUNDLE: margin, costs avoided and made, net, and what silence cost.

    A plan, and why it differs, stand beside where assumptions make one.
    """
    from experiments.bundle.reading import load_bundle
    from histories.errors import ConfigError

    loaded = load_bundle(bundle)
    lines = loaded.table("returns")
    if lines.is_empty():
        reason = loaded.manifest.get("left_out", {}).get("returns", "the run has neither cases nor a plan")
        raise ConfigError(f"{bundle}: there is no account of care: {reason}.")
    rows = lines.filter(
        pl.col("period") != ALL if cut == "month" else pl.col("period") == ALL,
        pl.col("segment") != ALL if cut == "segment" else pl.col("segment") == ALL,
    )
    if as_json:
        echo_json(rows)
        return
    if rows.is_empty():
        click.echo(f"The account of care is not told by {cut}.")
        return
    currency = str(loaded.manifest.get("currency") or "")
    told = [_told(row, currency) for row in rows.iter_rows(named=True)]
    again = ~pl.col("note").is_first_distinct() & pl.col("note").is_not_null()
    shown = pl.DataFrame(told, infer_schema_length=None).with_columns(
        pl.when(again).then(pl.lit("as above")).otherwise("note").alias("note")
    )
    if rows["scenario"].n_unique() == 1:
        shown = shown.drop("scenario")
    echo_table(without_empty(shown, "value"))
    if cut is None:
        click.echo("net = incremental margin + cost avoided - induced contacts - cost")
    reason = loaded.manifest.get("left_out", {}).get("returns")
    if reason:
        click.echo(f"Not made: {reason}.")


def _told(row: dict[str, Any], currency: str) -> dict[str, Any]:
    return {
        "scenario": row["scenario"],
        "line": row["line"],
        "segment": None if row["segment"] == ALL else row["segment"],
        "month": None if row["period"] == ALL else row["period"],
        "value": value_words(row["value"], row["unit"], currency),
        "interval": range_words(row, currency),
        "cumulated": value_words(row["cumulated"], row["unit"], currency),
        "n": row["n"],
        "note": row["reason"] or row["basis"],
    }
