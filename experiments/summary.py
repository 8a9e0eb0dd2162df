"""A run in a dozen lines, for the terminal and for those who never open the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from reports.sections.credit import METHOD_NAMES
from reports.words import number, percent

__all__ = ["summarize_run"]


def summarize_run(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> pl.DataFrame:
    """Customers, purchases, model, holdout error, spend credit by channel.

    Returns
    -------
    DataFrame
        Columns figure, value (text).
    """
    lines: list[tuple[str, str]] = []
    customers, purchases = tables.get("customers"), tables.get("purchases")
    if customers is not None:
        lines.append(("customers", f"{customers.height:,}"))
    if purchases is not None:
        lines.append(("purchases", f"{purchases.height:,}"))
    if "chosen" in model:
        lines.append(("model", str(model["chosen"])))
        lines += _holdout(tables.get("validation"), str(model["chosen"]))
    if customers is not None:
        months = model.get("horizon_months")
        lines.append(
            (f"lifetime value, {months} months", number(float(customers["customer_lifetime_value"].sum())))
        )
    lines += _credit(tables.get("credits"))
    lines += _effects(tables.get("effects"))
    return pl.DataFrame(lines, schema={"figure": pl.String, "value": pl.String}, orient="row")


def _holdout(validation: pl.DataFrame | None, chosen: str) -> list[tuple[str, str]]:
    if validation is None or validation.is_empty():
        return []
    row = validation.filter(
        (pl.col("origin") == pl.col("origin").max())
        & (pl.col("model") == chosen)
        & (pl.col("metric") == "total_error")
    )
    if row.is_empty() or row["value"][0] is None:
        return []
    return [("holdout error, total purchases", percent(row["value"][0]))]


def _credit(credits: pl.DataFrame | None) -> list[tuple[str, str]]:
    """Spend (or else the first outcome) by channel: last touch and as added, or the first method."""
    if credits is None or credits.is_empty():
        return []
    whole = credits.filter((pl.col("segment") == "(all)") & (pl.col("period") == "(all)"))
    outcome = "spend" if "spend" in whole["outcome"] else whole["outcome"][0]
    made = whole.filter(pl.col("outcome") == outcome)["method"].unique(maintain_order=True).to_list()
    lines = []
    for method in [name for name in ("last", "incremental") if name in made] or made[:1]:
        rows = whole.filter(
            (pl.col("outcome") == outcome) & (pl.col("method") == method) & (pl.col("level") != "group")
        )
        name = METHOD_NAMES[method]
        for row in rows.iter_rows(named=True):
            shown = "–" if row["credit"] is None else number(float(row["credit"]))
            note = "" if row["supported"] else " (not supported)"
            lines.append((f"{outcome}, {name}, {row['channel']}", shown + note))
    return lines


def _effects(effects: pl.DataFrame | None) -> list[tuple[str, str]]:
    if effects is None:
        return []
    first = effects.filter(pl.col("segment") == "(all)").unique(
        ["name", "outcome"], keep="first", maintain_order=True
    )
    lines = []
    for row in first.iter_rows(named=True):
        figure = f"effect of {row['name']} on {row['outcome']}"
        if row["supported"] and row["estimate"] is not None:
            text = f"{number(row['estimate'])} [{number(row['low'])}, {number(row['high'])}]"
        else:
            text = f"not supported: {row['reason']}"
        lines.append((figure, text))
    return lines
