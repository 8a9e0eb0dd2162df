"""A run in a dozen lines, for the terminal and for those who never open the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from reports.numbers import short
from reports.words import method_name


def summarize_run(
    tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any], *, purchases: int
) -> pl.DataFrame:
    """Customers, purchases, model, its error at every origin, lifetime value, spend credit by channel.

    `purchases` is how many there were.

    Returns
    -------
    DataFrame
        Columns figure, value (text).
    """
    lines: list[tuple[str, str]] = []
    customers = tables.get("customers")
    if customers is not None:
        lines.append(("customers", f"{customers.height:,}"))
    if purchases:
        lines.append(("purchases", f"{purchases:,}"))
    if "chosen" in model:
        lines.append(("model", str(model["chosen"])))
        lines += _forecasts(model.get("forecast", {}))
    if customers is not None:
        lines += [_expected_purchases(model)] if model.get("totals") else []
        lines.append(_lifetime_value(customers, model))
    lines += _credit(tables.get("credits"))
    lines += _effects(tables.get("effects"))
    return pl.DataFrame(lines, schema={"figure": pl.String, "value": pl.String}, orient="row")


def _forecasts(forecast: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each window that was held out: how far the forecast made before it was off."""
    lines = []
    for score in forecast.get("origins", ()):
        told = [f"{score['actual']:,.0f} purchases came"]
        if score["total_error"] is not None:
            told.insert(0, f"purchases off by {score['total_error']:+.1%}")
        if score.get("revenue_error") is not None:
            told.append(f"revenue off by {score['revenue_error']:+.1%}")
        told.append(f"{score['mae']:.2f} purchases off per customer")
        lines.append((f"forecast of {score['origin']} to {score['until']}", ", ".join(told)))
    return lines


def _expected_purchases(model: Mapping[str, Any]) -> tuple[str, str]:
    """What all customers together will buy, with its interval."""
    total, low, high = (model["totals"].get(f"expected_purchases{end}") for end in ("", "_low", "_high"))
    text = "not available" if total is None else f"{total:,.0f}"
    if low is not None and high is not None:
        text += f" [{low:,.0f}, {high:,.0f}]"
    return f"purchases expected, {model.get('horizon_months')} months", text


def _lifetime_value(customers: pl.DataFrame, model: Mapping[str, Any]) -> tuple[str, str]:
    """The total with its interval; first that the holdout speaks against it, where it does."""
    figure = f"lifetime value, {model.get('horizon_months')} months"
    if customers["customer_lifetime_value"].null_count() == customers.height:
        return figure, "not available: purchases have no amounts, or too few to model"
    text = short(float(customers["customer_lifetime_value"].sum()))
    totals = model.get("totals", {})
    low, high = (totals.get(f"customer_lifetime_value_{end}") for end in ("low", "high"))
    if low is not None and high is not None:
        text += f" [{short(low)}, {short(high)}]"
    forecast = model.get("forecast", {})
    if forecast.get("status") in ("refuted", "doubtful"):
        text = f"{forecast['status']}, {forecast['reason']}: {text}"
    return figure, text


def _credit(credits: pl.DataFrame | None) -> list[tuple[str, str]]:
    """Spend (or else the first outcome) by channel: last touch and as added, or the first method."""
    if credits is None or credits.is_empty():
        return []
    whole = credits.filter((pl.col("segment") == "(all)") & (pl.col("period") == "(all)"))
    outcome = "spend" if "spend" in whole["outcome"] else whole["outcome"][0]
    of_outcome = whole.filter(pl.col("outcome") == outcome)
    given = of_outcome.filter(pl.col("credit").is_not_null().any().over("method"))
    made = (given if given.height else of_outcome)["method"].unique(maintain_order=True).to_list()
    lines = []
    for method in [name for name in ("last", "incremental") if name in made] or made[:1]:
        rows = whole.filter(
            (pl.col("outcome") == outcome) & (pl.col("method") == method) & (pl.col("level") != "group")
        )
        name = method_name(method)
        for row in rows.iter_rows(named=True):
            shown = "–" if row["credit"] is None else short(float(row["credit"]))
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
            text = f"{short(row['estimate'])} [{short(row['low'])}, {short(row['high'])}]"
        else:
            text = f"not supported: {row['reason']}"
        lines.append((figure, text))
    return lines
