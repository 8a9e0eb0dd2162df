"""Which model to believe: rolling origins, forecasts and a choice with its reasons.

Models are fitted on what happened up to each origin and judged on the window behind it. The model with the
lowest Poisson deviance per customer over all origins sets the mark; the simplest model whose difference from
it may be zero wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from clv.challenger import BLEND, CHALLENGER, blend, forecast_by_boosting
from clv.dependence import SpendTrend, estimate_trend
from clv.evaluate import Forecast, compare_deviance, poisson_deviance
from clv.purchases.fits import PurchaseFit, fit_purchases
from clv.purchases.observations import FloatArray
from clv.settings import ValueSettings
from clv.spend import GammaGamma, GammaGammaFit
from clv.summary import DAYS_PER_UNIT, summarize_holdout, summarize_purchases
from histories.errors import DataError, ModelError, TributaryError

__all__ = ["Choice", "Round", "Window", "choose_model", "fit_models", "forecast_window", "rolling_windows"]

#: From simple to complex; a tie goes to the earlier name.
SIMPLICITY = (
    "bg_nbd",
    "mbg_nbd",
    "pareto_nbd",
    "bg_bb",
    "bg_cnbd_2",
    "bg_cnbd_3",
    "mbg_cnbd_2",
    "mbg_cnbd_3",
    CHALLENGER,
    BLEND,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Fit on everything up to `origin`, judge on what follows up to `until`; both days included."""

    origin: date
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The model chosen and why.

    Attributes
    ----------
    model
        Name of the model.
    reason
        One sentence.
    differences
        By model: mean deviance per customer above the best model's, with its bootstrap interval.
    """

    model: str
    reason: str
    differences: Mapping[str, Mapping[str, float]]

    def purchase_model(self) -> str:
        """The best purchase model: the chosen one, or the one behind a challenger or blend."""
        if self.model not in (CHALLENGER, BLEND):
            return self.model
        told = {m: d["value"] for m, d in self.differences.items() if m not in (CHALLENGER, BLEND)}
        return min(told, key=lambda m: told[m])


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


def fit_models(
    models: Sequence[str], summary: pl.DataFrame, *, penalizer: float, engine: str = "fast"
) -> tuple[dict[str, PurchaseFit], dict[str, str]]:
    """Fit each model; the fits that succeeded, and the reason for each that did not."""
    fits, failures = {}, {}
    for model in models:
        try:
            fits[model] = _fit_one(model, summary, penalizer, engine)
        except TributaryError as error:
            failures[model] = str(error)
    return fits, failures


def _fit_one(model: str, summary: pl.DataFrame, penalizer: float, engine: str) -> PurchaseFit:
    """Fit with our engine or with that of lifetimes."""
    if engine == "lifetimes":
        from clv.purchases.reference import fit_with_lifetimes

        return fit_with_lifetimes(model, summary, penalizer=penalizer)
    return fit_purchases(model, summary, penalizer=penalizer)


def fit_spend(summary: pl.DataFrame) -> tuple[GammaGammaFit | None, SpendTrend | None, tuple[str, ...]]:
    """Fit the spend model, corrected for frequency where that matters, and say what had to be done.

    When the population mean is infinite the fit is repeated with a limit on q.
    """
    trend = estimate_trend(summary)
    slope, notes = 0.0, []
    if trend is not None and trend.matters:
        slope = trend.slope
        notes.append(
            f"spend depends on frequency: frequent buyers spend {trend.difference:+.0%} a purchase; "
            "corrected for"
        )
    try:
        return GammaGamma(trend=slope).fit(summary), trend, tuple(notes)
    except (ModelError, DataError) as error:
        first = str(error)
    try:
        fit = GammaGamma(trend=slope, smallest_q=1.5).fit(summary)
    except (ModelError, DataError):
        return None, trend, (*notes, f"no spend model: {first}")
    return fit, trend, (*notes, f"spend fitted with q >= 1.5: {first}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One origin: the fits up to it, their forecasts, and the models that failed with the reason."""

    summary: pl.DataFrame
    fits: Mapping[str, PurchaseFit]
    forecasts: tuple[Forecast, ...]
    failures: Mapping[str, str]


def forecast_window(
    purchases_at: Callable[[date], pl.LazyFrame],
    window: Window,
    *,
    first: date,
    settings: ValueSettings,
    time_unit: str,
) -> Round:
    """Fit every model up to the origin and forecast the window behind it.

    Parameters
    ----------
    purchases_at
        Purchases as they were known on a day.
    window
        Origin and end.
    first
        First day of the data.
    settings
        Models, engine, penalizer, challenger.
    time_unit
        "day" or "week".
    """
    summary = summarize_purchases(
        purchases_at(window.origin), observation_end=window.origin, time_unit=time_unit
    )
    later = summarize_holdout(purchases_at(window.until), after=window.origin, until=window.until)
    frame = summary.join(later, on="customer_id", how="left").sort("customer_id").collect()
    frame = frame.with_columns(pl.col("holdout_purchases", "holdout_revenue").fill_null(0))
    if frame.is_empty():
        return Round(summary=frame, fits={}, forecasts=(), failures={})
    fits, failures = fit_models(settings.models, frame, penalizer=settings.penalizer, engine=settings.engine)
    spend_fit = fit_spend(frame)[0]
    x, t_x, T, m = columns_of(frame, "frequency", "recency", "T", "monetary_value")
    actual, revenue = columns_of(frame, "holdout_purchases", "holdout_revenue")
    days = (window.until - window.origin).days
    horizon = np.array([days / DAYS_PER_UNIT[time_unit]])
    spend = np.full_like(x, np.nan) if spend_fit is None else spend_fit.predict_spend(x, m)
    predicted = {model: fit.predict_purchases(horizon, x, t_x, T)[0] for model, fit in fits.items()}
    if settings.challenger and predicted:
        try:
            boosted = forecast_by_boosting(purchases_at, first=first, origin=window.origin, days=days)
            mixed = blend(list(predicted.values()), boosted.predicted)
            predicted |= {CHALLENGER: boosted.predicted, BLEND: mixed}
        except TributaryError as error:
            failures[CHALLENGER] = str(error)
    forecasts = tuple(
        Forecast(
            origin=window.origin,
            until=window.until,
            model=model,
            predicted=expected,
            actual=actual,
            predicted_revenue=expected * spend,
            actual_revenue=revenue,
        )
        for model, expected in predicted.items()
    )
    return Round(summary=frame, fits=fits, forecasts=forecasts, failures=failures)


def columns_of(frame: pl.DataFrame, *names: str) -> list[FloatArray]:
    """Columns as float arrays, nulls as NaN."""
    return [frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names]


def choose_model(forecasts: Sequence[Forecast], *, interval: float, rng: np.random.Generator) -> Choice:
    """The simplest model that is not worse than the best one by more than chance explains."""
    deviance, origins = _comparable(forecasts)
    best = min(deviance, key=lambda model: float(deviance[model].mean()))
    differences = {
        model: compare_deviance(deviance[best], values, interval=interval, rng=rng)
        for model, values in deviance.items()
    }
    tied = [model for model in SIMPLICITY if model in differences and differences[model]["low"] <= 0.0]
    chosen = tied[0] if tied else best
    if chosen == best:
        reason = f"lowest deviance per customer over {origins} origin(s)"
    else:
        reason = (
            f"simplest of {len(tied)} models that {origins} origin(s) cannot tell apart; "
            f"{best} was lower by {differences[chosen]['value']:.2g} per customer"
        )
    return Choice(model=chosen, reason=reason, differences=differences)


def _comparable(forecasts: Sequence[Forecast]) -> tuple[dict[str, FloatArray], int]:
    """Deviance by customer of each model on the origins that all of them have, and the number of those.

    A model that shares no origin with the rest is left out.
    """
    by_model: dict[str, dict[date, FloatArray]] = {}
    for forecast in forecasts:
        deviance = poisson_deviance(forecast.predicted, forecast.actual)
        by_model.setdefault(forecast.model, {})[forecast.origin] = deviance
    latest = max(f.origin for f in forecasts)
    by_model = {model: origins for model, origins in by_model.items() if latest in origins}
    shared = sorted(set.intersection(*(set(origins) for origins in by_model.values())))
    joined = {model: np.concatenate([origins[day] for day in shared]) for model, origins in by_model.items()}
    return joined, len(shared)
