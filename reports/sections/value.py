"""Lifetime value: who carries it, how well the forecast held, how cohorts stay."""

from __future__ import annotations

import polars as pl

from reports.context import Figure, Section, Table
from reports.model_pictures import alive_matrix_figure, frequency_recency_figure, tracking_figure
from reports.sections.acquisition import acquisition_tables
from reports.sources import ReportSources
from reports.words import money, percent

__all__ = ["total_value", "value_section"]


def total_value(sources: ReportSources) -> dict[str, float] | None:
    """The company's lifetime value with the interval of its expectation, in currency.

    Returns
    -------
    dict or None
        value, low, high (NaN where no interval was made), customers; None when no customer was valued.
    """
    customers = sources.table("customers")
    if customers.is_empty() or customers["customer_lifetime_value"].null_count() == customers.height:
        return None
    totals = sources.model.get("totals", {})
    low, high = (totals.get(f"customer_lifetime_value_{end}") for end in ("low", "high"))
    value = float(customers["customer_lifetime_value"].sum())
    return {
        "value": value,
        "low": float("nan") if low is None else low,
        "high": float("nan") if high is None else high,
        "customers": float(customers.height),
    }


def value_section(sources: ReportSources) -> Section | None:
    """Deciles, calibration on the holdout, cohort retention, and the models that were tried."""
    total = total_value(sources)
    if total is None:
        return None
    deciles = _deciles(sources)
    figures = [
        _decile_figure(deciles, sources),
        _calibration(sources),
        _cohorts(sources),
        *_model_figures(sources),
    ]
    return Section(
        key="value",
        title="Lifetime value",
        finding=_finding(total, deciles, sources),
        figures=tuple(figure for figure in figures if figure is not None),
        tables=(
            *([_models(sources)] if not sources.table("validation").is_empty() else []),
            *acquisition_tables(sources),
        ),
    )


def _deciles(sources: ReportSources) -> pl.DataFrame:
    return (
        sources.table("customers")
        .drop_nulls("decile")
        .group_by("decile")
        .agg(
            pl.len().alias("n"),
            pl.col("customer_lifetime_value").sum().alias("total"),
            pl.col("customer_lifetime_value").mean().alias("mean"),
        )
        .sort("decile")
        .with_columns(share=pl.col("total") / pl.col("total").sum())
    )


def _finding(total: dict[str, float], deciles: pl.DataFrame, sources: ReportSources) -> str:
    months = sources.model.get("horizon_months", 12)
    sentence = (
        f"{total['customers']:,.0f} customers are worth {money(total['value'], sources.currency)} of "
        f"discounted margin over the next {months} months"
    )
    if deciles.height > 1:
        best = deciles.sort("mean", descending=True).row(0, named=True)
        sentence += f"; the best tenth of them carries {percent(best['share'], digits=0)}"
    return sentence + "."


def _decile_figure(deciles: pl.DataFrame, sources: ReportSources) -> Figure:
    return Figure(
        form="bars",
        title="Mean lifetime value by decile of customers",
        rows=tuple(
            {"label": str(row["decile"]), "series": "mean", "value": row["mean"]}
            for row in deciles.iter_rows(named=True)
        ),
        x_title="decile by predicted value",
        y_title=sources.currency,
        caption=f"n = {int(deciles['n'].sum()):,} customers; discounted margin, before costs.",
    )


def _calibration(sources: ReportSources) -> Figure | None:
    rows = sources.picture("holdout_deciles")
    if rows.is_empty():
        return None
    return Figure(
        form="calibration",
        title="Purchases in the holdout period, by decile",
        rows=tuple(
            {
                "label": str(row["decile"]),
                "predicted": row["predicted"],
                "observed": row["actual"],
                "low": None,
                "high": None,
            }
            for row in rows.iter_rows(named=True)
        ),
        x_title="predicted purchases per customer",
        y_title="observed",
        caption=f"n = {int(rows['customers'].sum()):,} customers; fitted before the holdout period began. "
        "On the dashed line forecast and outcome agree.",
    )


def _model_figures(sources: ReportSources) -> list[Figure]:
    """Tracking and the two matrices, where a run drew them."""
    unit = str(sources.model.get("time_unit", "week"))
    drawn = {name: sources.picture(name) for name in ("tracking", "alive_matrix", "frequency_recency")}
    figures = []
    if not drawn["tracking"].is_empty():
        figures.append(tracking_figure(drawn["tracking"]))
    if not drawn["alive_matrix"].is_empty():
        figures.append(alive_matrix_figure(drawn["alive_matrix"], time_unit=unit))
    if not drawn["frequency_recency"].is_empty():
        figures.append(frequency_recency_figure(drawn["frequency_recency"], time_unit=unit))
    return figures


def _cohorts(sources: ReportSources) -> Figure | None:
    rows = sources.picture("cohorts")
    if rows.is_empty():
        return None
    smallest = sources.settings.minimum_cell
    data = [
        {
            "x": row["month"],
            "y": str(row["cohort"]),
            "value": row["retention_observed"] if row["customers"] >= smallest else None,
        }
        for row in rows.filter(pl.col("month") > 0).iter_rows(named=True)
    ]
    return Figure(
        form="heatmap",
        title="Share of each cohort that buys, by month since the first purchase",
        rows=tuple(data),
        x_title="months since the first purchase",
        y_title="cohort",
        percent=True,
        caption=f"Month 0, with the first purchase, and cells below {smallest} customers are left out.",
    )


_COMPARED = ("total_error", "mae", "rmse", "correlation", "calibration_error", "revenue_error")


def _models(sources: ReportSources) -> Table:
    """One row per origin and model; the chosen one is marked."""
    validation = sources.table("validation").filter(pl.col("metric").is_in(_COMPARED))
    cells = {(r["origin"], r["model"], r["metric"]): r["value"] for r in validation.iter_rows(named=True)}
    sizes = dict(validation.select("origin", "n").iter_rows())
    pairs = validation.select("origin", "model").unique(maintain_order=True).rows()
    chosen = sources.model.get("chosen")
    body = [
        (
            str(origin),
            f"{model} (chosen)" if model == chosen else model,
            *(cells.get((origin, model, metric)) for metric in _COMPARED),
            sizes[origin],
        )
        for origin, model in pairs
    ]
    return Table(
        title="What was tried, and how it did on the holdout",
        columns=("origin", "model", *(metric.replace("_", " ") for metric in _COMPARED), "n"),
        rows=tuple(body),
        caption="Origin: the last day that a model saw. Errors are predicted against observed purchases "
        "(total and revenue error as a share). The simpler model wins a tie.",
    )
