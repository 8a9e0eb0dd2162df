"""How good a forecast was: errors, ranking and calibration against what customers went on to do.

A *forecast* is what a model, fitted on purchases up to an origin, expects of each customer between the origin
and the end of a window; the *actual* is what they did. The metric that decides between models is the Poisson
deviance per customer, which is smallest in expectation for the true mean; the others are there to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from clv.tables import VALIDATION_SCHEMA
from histories.arrays import Float, Integer

#: Bootstrap samples behind each interval, and the most customers in one.
RESAMPLES, RESAMPLED_CUSTOMERS = 100, 10_000
#: A forecast of exactly nothing would make one purchase infinitely surprising.
SMALLEST_RATE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What one model expected of each customer after one origin, and what they did.

    Attributes
    ----------
    origin
        Last day the model saw.
    until
        Last day of the window.
    model
        Name of the model.
    predicted, actual
        Purchases in the window, shape (n,), in one order of customers for all models of an origin.
    predicted_revenue, actual_revenue
        Revenue in the window, in currency, shape (n,); NaN without a spend model.
    """

    origin: date
    until: date
    model: str
    predicted: Float
    actual: Float
    predicted_revenue: Float
    actual_revenue: Float


def poisson_deviance(predicted: Float, actual: Float) -> Float:
    """Twice the log-likelihood lost against a perfect forecast, by customer, shape (n,)."""
    rate = np.maximum(predicted, SMALLEST_RATE)
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = np.where(actual > 0, actual * np.log(actual / rate), 0.0)
    return np.asarray(2.0 * (surprise - (actual - rate)), dtype=np.float64)


def evaluate_forecast(forecast: Forecast, *, interval: float, rng: np.random.Generator) -> pl.DataFrame:
    """Metrics of one forecast with bootstrap intervals over customers, in `VALIDATION_SCHEMA`.

    Metrics: total_predicted, total_actual, total_error (share of the actual total), mae, rmse, correlation,
    rank correlation (`spearman`), deviance, top_decile_share (share of all purchases made by the tenth of
    customers with the highest forecast) and calibration_error (mean absolute error of the decile means, as a
    share of the mean); with a spend model also revenue_predicted, revenue_actual and revenue_error.
    """
    point = metrics_of(forecast)
    n = forecast.actual.size
    drawn = [metrics_of(_resample(forecast, rows), total=n) for rows in _bootstrap(n, rng)]
    rows = []
    for metric, value in point.items():
        low, high = _limits(value, np.array([sample.get(metric, np.nan) for sample in drawn]), n, interval)
        rows.append((forecast.origin, forecast.model, metric, value, low, high, n))
    return validation_frame(rows)


def _bootstrap(n: int, rng: np.random.Generator) -> Iterator[Integer]:
    """Customers drawn with replacement, at most `RESAMPLED_CUSTOMERS` of them."""
    for _ in range(RESAMPLES):
        yield rng.integers(0, n, min(n, RESAMPLED_CUSTOMERS))


def _limits(value: float, drawn: Float, n: int, interval: float) -> tuple[float, float]:
    """Quantiles of bootstrapped figures, drawn closer where a sample was smaller than the company.

    NaN where the figure exists in some samples only: what is left would be too narrow.
    """
    if not np.isfinite(value) or not np.isfinite(drawn).all():  # some samples have nobody to judge by
        return np.nan, np.nan
    tail = (1.0 - interval) / 2.0
    low, middle, high = np.quantile(drawn, [tail, 0.5, 1.0 - tail])
    if n <= RESAMPLED_CUSTOMERS:
        return float(low), float(high)
    shrink = np.sqrt(RESAMPLED_CUSTOMERS / n)
    return float(value + (low - middle) * shrink), float(value + (high - middle) * shrink)


def validation_frame(rows: list[tuple[date, str, str, float, float, float, int]]) -> pl.DataFrame:
    """Rows in `VALIDATION_SCHEMA`, with nulls where a figure does not exist."""
    return pl.DataFrame(rows, schema=VALIDATION_SCHEMA, orient="row").with_columns(
        pl.col("value", "low", "high").fill_nan(None)
    )


def _resample(forecast: Forecast, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Forecast:
    """The same forecast for customers drawn with replacement."""
    return replace(
        forecast,
        predicted=forecast.predicted[rows],
        actual=forecast.actual[rows],
        predicted_revenue=forecast.predicted_revenue[rows],
        actual_revenue=forecast.actual_revenue[rows],
    )


def metrics_of(forecast: Forecast, *, total: int | None = None) -> dict[str, float]:
    """The metrics of `evaluate_forecast` without intervals; sums are scaled up to `total` customers."""
    predicted, actual = forecast.predicted, forecast.actual
    expand = 1.0 if total is None else total / max(actual.size, 1)
    error = predicted - actual
    bought = float(actual.sum())
    order = np.argsort(-predicted, kind="stable")
    groups = np.array_split(order, 10)
    means = np.array([[predicted[g].mean(), actual[g].mean()] for g in groups if g.size])
    metrics = {
        "total_predicted": float(predicted.sum()) * expand,
        "total_actual": bought * expand,
        "total_error": float(error.sum()) / bought if bought else np.nan,
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "correlation": _correlation(predicted, actual),
        "spearman": _correlation(_ranks(predicted), _ranks(actual)),
        "deviance": float(poisson_deviance(predicted, actual).mean()),
        "top_decile_share": float(actual[groups[0]].sum()) / bought if bought else np.nan,
        "calibration_error": float(np.abs(means[:, 0] - means[:, 1]).mean() / actual.mean())
        if bought
        else np.nan,
    }
    revenue = float(forecast.actual_revenue.sum())
    if np.isfinite(forecast.predicted_revenue).all() and revenue > 0:
        expected = float(forecast.predicted_revenue.sum())
        metrics |= {
            "revenue_predicted": expected * expand,
            "revenue_actual": revenue * expand,
            "revenue_error": expected / revenue - 1.0,
        }
    return metrics


def decile_table(forecast: Forecast) -> pl.DataFrame:
    """Forecast and actual by tenth of the customers, the highest forecasts in decile 1.

    Columns: origin, model, decile, customers, predicted, actual (mean purchases per customer),
    predicted_revenue, actual_revenue (mean per customer, in currency).
    """
    frame = pl.DataFrame(
        {
            "predicted": forecast.predicted,
            "actual": forecast.actual,
            "predicted_revenue": forecast.predicted_revenue,
            "actual_revenue": forecast.actual_revenue,
        }
    )
    decile = decile_of(forecast.predicted)
    return (
        frame.with_columns(decile=pl.Series(decile))
        .group_by("decile")
        .agg(
            pl.len().cast(pl.Int64).alias("customers"),
            pl.col("predicted", "actual", "predicted_revenue", "actual_revenue").mean().fill_nan(None),
        )
        .sort("decile")
        .select(pl.lit(forecast.origin).alias("origin"), pl.lit(forecast.model).alias("model"), pl.all())
    )


def decile_of(value: Float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Tenth of the customers by value, 1 the highest; ties are broken by position. Shape (n,)."""
    rank = np.empty(value.size, dtype=np.int64)
    rank[np.argsort(-value, kind="stable")] = np.arange(value.size)
    return np.asarray(rank * 10 // max(value.size, 1) + 1)


def _correlation(a: Float, b: Float) -> float:
    """Pearson's correlation, NaN when one side does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else np.nan


def _ranks(values: Float) -> Float:
    """Ranks with ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2.0
    return np.asarray(middle[inverse], dtype=np.float64)


def compare_deviance(
    best: Float, other: Float, *, interval: float, rng: np.random.Generator
) -> Mapping[str, float]:
    """Mean difference other - best of two deviances by customer, with its bootstrap interval."""
    difference = other - best
    value = float(difference.mean())
    drawn = np.array([difference[rows].mean() for rows in _bootstrap(difference.size, rng)])
    low, high = _limits(value, drawn, difference.size, interval)
    return {"value": value, "low": low, "high": high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Fit on everything up to `origin`, judge on what follows up to `until`; both days included."""

    origin: date
    until: date


def rolling_windows(
    *, first: date, calibration_end: date, observation_end: date, origins: int
) -> list[Window]:
    """Windows of one length: the one behind `calibration_end`, then earlier ones at half-window steps.

    An origin is used while at least as much history as one window lies before it.
    """
    length = (observation_end - calibration_end).days
    windows = []
    for back in range(origins):
        origin = calibration_end - timedelta(days=back * max(length // 2, 1))
        if back and (origin - first).days < length:
            break
        windows.append(Window(origin=origin, until=origin + timedelta(days=length)))
    return windows


def compare_models(
    forecasts: Sequence[Forecast], *, interval: float, rng: np.random.Generator
) -> Mapping[str, Mapping[str, float]]:
    """Mean deviance per customer above the lowest one, by model, with its bootstrap interval.

    Models are compared on the origins that all of them have; a model without a forecast at the latest origin
    is left out.
    """
    deviance = _comparable(forecasts)
    best = min(deviance, key=lambda model: float(deviance[model].mean()))
    return {
        model: compare_deviance(deviance[best], values, interval=interval, rng=rng)
        for model, values in deviance.items()
    }


def _comparable(forecasts: Sequence[Forecast]) -> dict[str, Float]:
    """Deviance by customer of each model on the origins that all of them have."""
    by_model: dict[str, dict[date, Float]] = {}
    for forecast in forecasts:
        deviance = poisson_deviance(forecast.predicted, forecast.actual)
        by_model.setdefault(forecast.model, {})[forecast.origin] = deviance
    latest = max(f.origin for f in forecasts)
    by_model = {model: origins for model, origins in by_model.items() if latest in origins}
    shared = sorted(set.intersection(*(set(origins) for origins in by_model.values())))
    return {model: np.concatenate([origins[day] for day in shared]) for model, origins in by_model.items()}
