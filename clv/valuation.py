"""From purchases to the customers table: fit, judge, choose, refit, value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from clv.accounting import acquisition_table, historic_margin
from clv.challenger import BLEND, CHALLENGER, blend, forecast_by_boosting, tilt
from clv.cohorts import retention_by_cohort
from clv.customers import Lean, build_customers
from clv.describe import describe_fits, describe_spend, fit_covariates
from clv.judgement import Judgement, judge_models
from clv.newcomers import first_amounts, value_newcomers
from clv.purchases.fits import PurchaseFit
from clv.regularity import sum_log_intervals
from clv.selection import columns_of, fit_models, fit_spend
from clv.settings import ValueSettings
from clv.summary import DAYS_PER_UNIT, summarize_purchases
from clv.uncertainty import company_totals, estimate_uncertainty
from clv.value import CUSTOMERS_SCHEMA, Horizon
from histories.errors import DataError, ModelError, TributaryError

__all__ = ["CustomerValues", "value_customers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerValues:
    """What a run knows about the value of its customers.

    Attributes
    ----------
    customers
        One row per customer, columns of `CUSTOMERS_SCHEMA`, by descending customer_lifetime_value.
    validation
        Columns of `VALIDATION_SCHEMA`.
    model
        For model.json: the chosen model, every fitted one, lifetimes' likelihoods, time unit and data span.
    deciles
        Forecast and actual by tenth of the customers, every model, at the calibration end.
    calibration
        Forecast and actual holdout purchases by calibration frequency, every model, at the calibration end.
    cohorts
        Activity by cohort and month, observed and expected.
    acquisition
        LTV:CAC and payback by acquisition channel and cohort; empty without acquisition costs.
    newcomers
        What a customer won now is worth, by acquisition channel.
    warnings
        What a reader should know, in sentences.
    """

    customers: pl.DataFrame
    validation: pl.DataFrame
    model: Mapping[str, Any]
    deciles: pl.DataFrame
    calibration: pl.DataFrame
    cohorts: pl.DataFrame
    acquisition: pl.DataFrame
    newcomers: pl.DataFrame
    warnings: tuple[str, ...]


def value_customers(
    purchases: pl.LazyFrame,
    *,
    settings: ValueSettings,
    observation_end: date,
    calibration_end: date | None,
    time_unit: str,
    currency: str,
    seed: int,
    customers: pl.DataFrame | None = None,
    cost_to_serve: pl.DataFrame | None = None,
    purchases_at: Callable[[date], pl.LazyFrame] | None = None,
) -> CustomerValues:
    """Fit every model, judge them on holdouts, refit to the end of observation and value each customer.

    Parameters
    ----------
    purchases
        One row per purchase, as `histories.purchases.build_purchases` makes it.
    settings
        Models, horizon, discounting.
    observation_end, calibration_end
        Last day seen, and last day of the validation fit; without the latter the last third of the data, at
        most a year, is held out.
    time_unit
        "day" or "week".
    currency
        Code of the currency, carried into the model card.
    seed
        Of everything random.
    customers
        customer_id, and optionally acquisition_cost (Int64, 1/10,000), acquisition_channel and acquired_at.
    cost_to_serve
        customer_id and cost (currency, from the first purchase to `observation_end`).
    purchases_at
        Purchases as they were known on a day, where later refunds changed earlier purchases.

    Raises
    ------
    ModelError
        When no purchase model could be fitted; the message lists each with its reason.
    DataError
        When there are no purchases up to the end of observation.
    """
    summary = summarize_purchases(purchases, observation_end=observation_end, time_unit=time_unit)
    frame = summary.sort("customer_id").collect()
    if frame.is_empty():
        raise DataError(f"no purchases up to {observation_end}; check observation_end and the transactions")
    known_at = purchases_at or (lambda day: purchases)
    first = _first_day(frame)
    judged = judge_models(
        known_at,
        settings=settings,
        first_purchase=first,
        observation_end=observation_end,
        calibration_end=calibration_end,
        time_unit=time_unit,
        rng=np.random.default_rng(seed),
    )
    fits, failures = fit_models(settings.models, frame, penalizer=settings.penalizer, engine=settings.engine)
    if not fits:
        raise ModelError(
            f"no purchase model could be fitted. {_reasons(failures) or 'models = [] in [value]'}"
        )
    base = judged.choice.purchase_model() if judged.choice else next(iter(fits))
    fit = fits.get(base) or next(iter(fits.values()))
    lean = _lean(judged, known_at, fits, fit, frame, first, observation_end, time_unit)
    spend_fit, trend, spend_notes = fit_spend(frame)
    covariates, covariate_notes = fit_covariates(frame, customers, settings, fits)
    margin = historic_margin(frame, gross_margin=settings.gross_margin)[1]
    horizon = Horizon(
        months=settings.horizon_months, discount_rate=settings.discount_rate, time_unit=time_unit
    )
    rng = np.random.default_rng([seed, 1])
    uncertainty = estimate_uncertainty(fit, spend_fit, frame, settings=settings, rng=rng)
    table, cost_notes = build_customers(
        frame,
        fit=fit,
        spend_fit=spend_fit,
        lean=lean,
        settings=settings,
        time_unit=time_unit,
        observation_end=observation_end,
        customers=customers,
        cost_to_serve=cost_to_serve,
        uncertainty=uncertainty,
        rng=rng,
    )
    return CustomerValues(
        customers=table.select(CUSTOMERS_SCHEMA.keys()),
        validation=judged.validation,
        model={
            "chosen": lean.model,
            "purchase_model": fit.model,
            "reason": judged.choice.reason if judged.choice else "; ".join(judged.notes),
            "time_unit": time_unit,
            "currency": currency,
            "first_purchase": first.isoformat(),
            "observation_end": observation_end.isoformat(),
            "calibration_end": judged.calibration_end.isoformat() if judged.calibration_end else None,
            "horizon_months": settings.horizon_months,
            "discount_rate": settings.discount_rate,
            "gross_margin": margin,
            "interval": settings.interval,
            "calibration": describe_fits(
                judged.fits,
                judged.summary,
                log_intervals=_log_intervals(judged.fits, known_at, judged.calibration_end, time_unit),
            ),
            "final": describe_fits(
                fits, frame, log_intervals=_log_intervals(fits, known_at, observation_end, time_unit)
            ),
            "spend": describe_spend(spend_fit, trend, frame),
            "covariates": covariates,
            "posterior": uncertainty.account,
            "totals": {}
            if lean.factor is not None
            else company_totals(
                uncertainty, table, horizon=horizon, gross_margin=margin, level=settings.interval
            ),
            "failed": failures,
        },
        deciles=judged.deciles,
        calibration=judged.by_frequency,
        cohorts=retention_by_cohort(
            purchases,
            fit=fit,
            observation_end=observation_end,
            time_unit=time_unit,
            length=settings.retention_cohorts,
        ),
        acquisition=acquisition_table(table),
        newcomers=value_newcomers(
            table,
            fit=fit,
            spend_fit=spend_fit,
            horizon=horizon,
            gross_margin=margin,
            first_amounts=first_amounts(purchases, observation_end=observation_end),
        ),
        warnings=(
            *judged.notes,
            *(f"{model} was left out: {reason}" for model, reason in failures.items()),
            *spend_notes,
            *covariate_notes,
            *lean.notes,
            *uncertainty.notes,
            *cost_notes,
        ),
    )


def _lean(
    judged: Judgement,
    purchases_at: Callable[[date], pl.LazyFrame],
    fits: Mapping[str, PurchaseFit],
    fit: PurchaseFit,
    summary: pl.DataFrame,
    first: date,
    observation_end: date,
    time_unit: str,
) -> Lean:
    """Follow the challenger or the blend where it was chosen, over a window as long as the one it won on."""
    choice, end = judged.choice, judged.calibration_end
    if choice is None or end is None or choice.model not in (CHALLENGER, BLEND):
        return Lean(model=fit.model)
    days = (observation_end - end).days
    try:
        boosted = forecast_by_boosting(purchases_at, first=first, origin=observation_end, days=days)
    except TributaryError as error:
        return Lean(model=fit.model, notes=(f"{choice.model} was chosen but could not be refitted: {error}",))
    x, t_x, T = columns_of(summary, "frequency", "recency", "T")
    horizon = np.array([days / DAYS_PER_UNIT[time_unit]])
    expected = fit.predict_purchases(horizon, x, t_x, T)[0]
    others = [f.predict_purchases(horizon, x, t_x, T)[0] for f in fits.values()]
    forecast = boosted.predicted if choice.model == CHALLENGER else blend(others, boosted.predicted)
    return Lean(model=choice.model, factor=tilt(forecast, expected))


def _reasons(failures: Mapping[str, str]) -> str:
    """Why models failed, each reason once."""
    models: dict[str, list[str]] = {}
    for model, reason in failures.items():
        models.setdefault(reason.removeprefix(f"{model}: "), []).append(model)
    return " ".join(f"{', '.join(names)}: {reason}" for reason, names in models.items())


def _log_intervals(
    fits: Mapping[str, PurchaseFit],
    purchases_at: Callable[[date], pl.LazyFrame],
    end: date | None,
    time_unit: str,
) -> float:
    """Logs of the times between purchases up to `end`, where a model for regular buyers needs them."""
    if end is None or not any("cnbd" in model for model in fits):
        return 0.0
    return sum_log_intervals(purchases_at(end), observation_end=end, time_unit=time_unit)


def _first_day(summary: pl.DataFrame) -> date:
    """Day of the very first purchase."""
    day = summary["first_purchase"].min()
    assert isinstance(day, date)
    return day
