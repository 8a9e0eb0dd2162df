"""Figures of a run as MLflow keeps them: one number a name, to be sorted and compared by."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl


def run_metrics(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> dict[str, float]:
    """Customers, totals, fitted parameters, holdout errors, credits, effects and service figures.

    Intervals are under the figure's name with `.low` and `.high`. A figure that does not exist is left out.
    """
    found: dict[str, float] = {}
    for part in (_values, _fits, _covariates, _forecasts, _validation, _credits, _effects, _care):
        for name, value in part(tables, model):
            if value is not None and math.isfinite(float(value)):
                found[re.sub(r"[^\w. /:-]", "", name)] = float(value)
    return found


Figures = Iterator[tuple[str, float | None]]


def _values(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> Figures:
    customers = tables.get("customers")
    if customers is None:
        return
    yield "customers", customers.height
    if customers["customer_lifetime_value"].null_count() < customers.height:
        yield "customer_lifetime_value", float(customers["customer_lifetime_value"].sum())
    for name, value in (model.get("totals") or {}).items():
        yield "total." + re.sub(r"_(low|high)$", r".\1", name), value


def _fits(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> Figures:
    fits = dict(model.get("final") or {})
    if model.get("spend"):
        fits["gamma_gamma"] = model["spend"]
    if model.get("contract"):
        fits["contract"] = model["contract"]
    for name, fit in fits.items():
        for parameter, value in fit["parameters"].items():
            yield f"fit.{name}.{parameter}", value
            errors = fit.get("std_errors") or {}
            yield f"fit.{name}.{parameter}.std_error", errors.get(parameter)
        yield f"fit.{name}.log_likelihood", fit.get("log_likelihood", fit["report"].get("log_likelihood"))


def _covariates(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> Figures:
    """What covariates do to purchases and to leaving, by model."""
    for name, fit in (model.get("covariates") or {}).items():
        for process in ("purchase", "dropout"):
            for covariate, effect in fit[process].items():
                place = f"covariate.{name}.{process}.{covariate.replace('=', ' ')}"
                yield place, effect["estimate"]
                yield f"{place}.std_error", effect["std_error"]
        yield f"covariate.{name}.log_likelihood_gain", fit["log_likelihood_gain"]


def _forecasts(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> Figures:
    forecast = model.get("forecast") or {}
    for name, weight in (forecast.get("weights") or {}).items():
        yield f"forecast.weight.{name}", weight
    yield "forecast.bias", forecast.get("bias")
    for name, effect in ((forecast.get("clock") or {}).get("covariates") or {}).items():
        yield f"forecast.covariate.{name}", effect["estimate"]
        yield f"forecast.covariate.{name}.std_error", effect["std_error"]
    for score in forecast.get("origins", ()):
        place = f"forecast.{score['origin']}"
        for name in ("total_error", "revenue_error", "mae", "predicted", "actual"):
            yield f"{place}.{name}", score.get(name)
        yield f"{place}.predicted.low", score.get("low")
        yield f"{place}.predicted.high", score.get("high")


def _validation(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> Figures:
    """Holdout figures of each model at the last origin; the forecast that counts is under `holdout.`."""
    table = tables.get("validation")
    if table is None or table.is_empty():
        return
    last = table.filter(pl.col("origin") == pl.col("origin").max())
    for row in last.iter_rows(named=True):
        yield f"holdout.{row['model']}.{row['metric']}", row["value"]
        if row["model"] == model.get("chosen"):
            yield f"holdout.{row['metric']}", row["value"]


def _credits(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> Figures:
    table = tables.get("credits")
    if table is None:
        return
    whole = table.filter((pl.col("segment") == "(all)") & (pl.col("period") == "(all)"))
    for row in whole.iter_rows(named=True):
        name = f"credit.{row['outcome']}.{row['method']}.{row['level']}.{row['channel']}"
        yield name, row["credit"]
        if row["kind"] == "incremental":
            yield f"{name}.low", row["low"]
            yield f"{name}.high", row["high"]


def _effects(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> Figures:
    table = tables.get("effects")
    if table is None:
        return
    for row in table.filter(pl.col("segment") == "(all)").iter_rows(named=True):
        name = (
            f"effect.{row['name']}.{row['outcome']}.{row['treatment']}.{row['estimator']}.{row['estimand']}"
        )
        yield name, row["estimate"]
        yield f"{name}.low", row["low"]
        yield f"{name}.high", row["high"]
        yield f"{name}.supported", float(bool(row["supported"]))


def _care(tables: Mapping[str, pl.DataFrame], model: Mapping[str, Any]) -> Figures:
    table = tables.get("care")
    if table is None or table.is_empty():
        return
    whole = [name for name in ("channel", "team", "period", "segment") if name in table.columns]
    for row in table.iter_rows(named=True):
        if all(row[name] in (None, "(all)") for name in whole):
            clock = f".{row['clock']}" if row.get("clock") not in (None, "") else ""
            yield f"care.{row['kpi']}{clock}", row["value"]
            yield f"care.{row['kpi']}{clock}.low", row["low"]
            yield f"care.{row['kpi']}{clock}.high", row["high"]
