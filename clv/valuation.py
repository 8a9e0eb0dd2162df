"""From purchases to the customers table: fit, judge, refit, combine, value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from clv.challenger import Tilt
from clv.customers import (
    Lean,
    acquisition_table,
    build_customers,
    historic_margin,
    unvalued_without_amounts,
)
from clv.explained import describe
from clv.fitting import describe_fits, describe_spend, fit_spend, sum_log_intervals
from clv.intervals import sampling_variance
from clv.judgement import Judgement, judge_contracts, judge_models, refute_survivors
from clv.kept import KeptForecast
from clv.newcomers import first_amounts, value_newcomers
from clv.outlook import WHOLE_TIME, Company, Outlook, base_of, columns_of, fit_on, look_ahead
from clv.pictures import retention_by_cohort
from clv.purchases.base import PurchaseFit
from clv.settings import STACK, ValueSettings
from clv.spend import GammaGammaFit
from clv.stack import total_interval
from clv.subscriptions import (
    CONTRACT,
    ContractFit,
    contract_cohorts,
    fit_contracts,
    has_contracts,
    retention_curve,
    value_contracts,
)
from clv.summary import summarize_purchases
from clv.tables import CUSTOMERS_SCHEMA
from clv.uncertainty import estimate_uncertainty
from clv.value import Horizon
from histories.errors import DataError, ModelError, TributaryError
from histories.periods import DAYS_PER_MONTH

#: What a clock changes of a summary.
_TIMED = ("recency", "T", "monetary_value")
#: Customers under contract whose futures are drawn for the interval of the total.
DRAWN_CUSTOMERS = 20_000


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
    calendar: pl.DataFrame | None = None,
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
    calendar
        start, end and covariates of the days, also of those to come.

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
    company = Company.of(
        known_at,
        frame["customer_id"],
        settings=settings,
        first=first,
        time_unit=time_unit,
        customers=customers,
        calendar=calendar,
    )
    judged = judge_models(
        company,
        observation_end=observation_end,
        calibration_end=calibration_end,
        rng=np.random.default_rng(seed),
    )
    opened = company.opened_at(observation_end)
    timed = opened.retime(frame, origin=observation_end)
    fits, failures = fit_on(settings, settings.models, timed, frame)
    if not fits:
        raise ModelError(
            f"no purchase model could be fitted. {_reasons(failures) or 'models = [] in [value]'}"
        )
    spend_fit, trend, spend_notes = fit_spend(timed, trend=settings.spend_trend)
    change = company.change_at(observation_end)
    if change is not None:
        spend_notes = (*spend_notes, change.note)
    horizon = Horizon(
        months=settings.horizon_months, discount_rate=settings.discount_rate, time_unit=time_unit
    )
    days = horizon.months * DAYS_PER_MONTH
    outlook = look_ahead(company, frame, fits, origin=observation_end, days=days)
    fit = fits[outlook.base if outlook else base_of(fits, company.chosen)]
    if fit.model == WHOLE_TIME:
        timed = opened.calendar.retime(frame, origin=observation_end)
    lean, kept = _lean(outlook, fit, timed, horizon)
    margin = historic_margin(frame, gross_margin=settings.gross_margin)[1]
    rng = np.random.default_rng([seed, 1])
    uncertainty = estimate_uncertainty(fit, spend_fit, timed, settings=settings, rng=rng)
    table, cost_notes = build_customers(
        frame,
        timed=timed,
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
    contract, contract_notes = _contract(customers, frame, observation_end)
    chosen = lean.model
    if contract is not None:
        table = value_contracts(
            table,
            contract,
            months=horizon.months,
            discount_rate=horizon.discount_rate,
            gross_margin=margin,
            level=settings.interval,
            time_unit=time_unit,
            rng=np.random.default_rng([seed, 2]),
        )
        judged = judge_contracts(judged, company, customers, rng=np.random.default_rng([seed, 3]))
        chosen = CONTRACT
    under = customers if contract is not None else None
    judged = refute_survivors(judged, frame, under, end=observation_end)
    table = unvalued_without_amounts(table, frame)
    return CustomerValues(
        customers=table.select(CUSTOMERS_SCHEMA.keys()),
        validation=judged.validation,
        model={
            "chosen": chosen,
            "purchase_model": fit.model,
            "reason": "contracts say who is there" if contract is not None else _reason(outlook),
            "forecast": _describe_forecast(outlook, judged) | {"level": lean.level},
            "kept": kept.to_dict() if kept is not None else None,
            "time_unit": time_unit,
            "currency": currency,
            "first_purchase": first.isoformat(),
            "observation_end": observation_end.isoformat(),
            "calibration_end": judged.calibration_end.isoformat() if judged.calibration_end else None,
            "horizon_months": settings.horizon_months,
            "discount_rate": settings.discount_rate,
            "gross_margin": margin,
            "interval": settings.interval,
            "closed": [list(stretch) for stretch in opened.closed],
            "prices": opened.prices,
            "calibration": _describe_fits(judged.fits, company, judged.summary, judged.calibration_end),
            "final": _describe_fits(fits, company, frame, observation_end),
            "spend": describe_spend(spend_fit, trend, timed),
            "covariates": describe(outlook.explained) if outlook else {},
            "posterior": uncertainty.account,
            "totals": _totals(table, outlook, judged, fit, spend_fit, settings, frame)
            if contract is None
            else _contract_totals(table, contract, judged, settings, rng=np.random.default_rng([seed, 4])),
            "contract": None
            if contract is None
            else _describe_contract(contract, customers, observation_end, settings),
            "failed": failures,
        },
        deciles=judged.deciles,
        cohorts=retention_by_cohort(
            purchases,
            fit=fit,
            opened=opened,
            observation_end=observation_end,
            length=settings.retention_cohorts,
        ),
        acquisition=acquisition_table(table),
        newcomers=value_newcomers(
            table.drop(*_TIMED).join(timed.select("customer_id", *_TIMED), on="customer_id"),
            fit=fit,
            spend_fit=spend_fit,
            horizon=horizon,
            gross_margin=margin,
            first_amounts=first_amounts(purchases, observation_end=observation_end),
        ),
        warnings=tuple(
            dict.fromkeys(
                (
                    *_verdict_notes(judged),
                    *judged.notes,
                    *([judged.buyers.note] if judged.buyers and judged.buyers.note else ()),
                    *(f"{model} was left out: {reason}" for model, reason in failures.items()),
                    *spend_notes,
                    *(outlook.notes if outlook else ("no model has a forecast that is a number",)),
                    *uncertainty.notes,
                    *cost_notes,
                    *contract_notes,
                )
            )
        ),
    )


def _lean(
    outlook: Outlook | None, fit: PurchaseFit, summary: pl.DataFrame, horizon: Horizon
) -> tuple[Lean, KeptForecast | None]:
    """How the customers of the calendar model follow the forecast that counts, and that forecast, kept."""
    if outlook is None:
        return Lean(model=fit.model), None
    if outlook.chosen == fit.model and outlook.clock.is_calendar:
        return Lean(model=fit.model), None
    x, t_x, T = columns_of(summary, "frequency", "recency", "T")
    expected = fit.predict_purchases(np.array([horizon.length]), x, t_x, T)[0]
    tilt = Tilt.of(outlook.expected, expected)
    factor = tilt.factor(outlook.expected, expected)
    return Lean(model=outlook.chosen, factor=factor, level=tilt.level), KeptForecast.of(outlook, tilt)


def _contract(
    customers: pl.DataFrame | None, summary: pl.DataFrame, end: date
) -> tuple[ContractFit | None, tuple[str, ...]]:
    """The contracts where the customers table has them, or why they could not be fitted."""
    if customers is None or not has_contracts(customers):
        return None, ()
    try:
        contract = fit_contracts(customers, summary, end=end)
    except TributaryError as error:
        return None, (f"contracts: {error}; values are those of customers without a contract",)
    without = summary.height - contract.frame.height
    told = (f"{without} of {summary.height} customers have no contract and are valued without one",)
    return contract, told if without else ()


def _describe_contract(
    contract: ContractFit, customers: pl.DataFrame | None, end: date, settings: ValueSettings
) -> dict[str, Any]:
    """For the model card: parameters, retention curve and cohorts."""
    assert customers is not None
    curve = retention_curve(customers, contract.leaving, end=end, level=settings.interval)
    cohorts = contract_cohorts(customers, contract.leaving, end=end, length=settings.retention_cohorts)
    return contract.to_dict() | {
        "retention": curve.to_dicts(),
        "cohorts": cohorts.with_columns(pl.col("cohort").cast(pl.String)).to_dicts(),
    }


def _contract_totals(
    table: pl.DataFrame,
    contract: ContractFit,
    judged: Judgement,
    settings: ValueSettings,
    *,
    rng: np.random.Generator,
) -> dict[str, float | None]:
    """Company totals under contract, with the process's variance and the errors of past windows."""
    part = contract.head(DRAWN_CUSTOMERS)
    drawn = part.simulate(settings.horizon_months, rng=rng).sum(axis=1)
    share = part.frame.height / max(contract.frame.height, 1)
    variance = float(drawn.var() / max(drawn.mean(), 1e-9) ** 2) * share
    errors = [score.log_error for score in judged.scores if np.isfinite(score.log_error)]
    totals: dict[str, float | None] = {}
    for name in ("expected_purchases", "customer_lifetime_value"):
        known = table[name].null_count() < table.height
        totals[name] = float(table[name].sum()) if known else None
        center, low, high = totals[name], None, None
        if center:
            low, high = total_interval(center, sampling=variance, errors=errors, level=settings.interval)
        totals |= {f"{name}_low": low, f"{name}_high": high}
    return totals


def _reason(outlook: Outlook | None) -> str:
    """Why this forecast, in a sentence."""
    if outlook is None:
        return "no model has a forecast that is a number"
    if outlook.chosen != STACK:
        return f"{outlook.chosen} is the one forecast asked for"
    mix = ", ".join(f"{model} {weight:.2f}" for model, weight in outlook.stack.weights.items())
    windows = len(outlook.stack.past)
    return f"levelled stack of {len(outlook.stack.weights)} models ({mix}), learned on {windows} past windows"


def _describe_forecast(outlook: Outlook | None, judged: Judgement) -> dict[str, Any]:
    """For the model card: how the forecast is made, how it did at every origin, whether to believe it."""
    made = {} if outlook is None else outlook.stack.to_dict() | {"clock": outlook.clock.to_dict()}
    return made | {
        "origins": [score.to_dict() for score in judged.scores],
        "status": judged.verdict.status,
        "reason": judged.verdict.reason,
    }


def _verdict_notes(judged: Judgement) -> tuple[str, ...]:
    """The verdict as a warning, where there is something to warn of."""
    if judged.verdict.status in ("refuted", "doubtful") and judged.verdict.reason:
        return (f"lifetime value is {judged.verdict.status}: {judged.verdict.reason}",)
    return ()


def _totals(
    table: pl.DataFrame,
    outlook: Outlook | None,
    judged: Judgement,
    fit: PurchaseFit,
    spend_fit: GammaGammaFit | None,
    settings: ValueSettings,
    summary: pl.DataFrame,
) -> dict[str, float | None]:
    """Company totals with their intervals; null limits without draws or without a forecast."""
    names = ("expected_purchases", "customer_lifetime_value")
    totals: dict[str, float | None] = {
        name: float(table[name].sum()) if table[name].null_count() < table.height else None for name in names
    }
    if outlook is None or settings.posterior_draws == 0:
        return totals | {f"{name}_{end}": None for name in names for end in ("low", "high")}
    base, clock, stack = outlook.fits[outlook.base], outlook.clock, outlook.stack
    sampling = sampling_variance(
        base,
        spend_fit,
        clock.retime(summary, origin=outlook.origin),
        clock.ahead(outlook.origin, outlook.days),
        rng=np.random.default_rng(outlook.origin.toordinal()),
    )
    published = judged.published_errors(by=outlook.origin)
    for name, variance, errors in (
        ("expected_purchases", sampling.purchases, stack.errors),
        ("customer_lifetime_value", sampling.revenue, stack.revenue_errors),
    ):
        center = totals[name]
        low = high = None
        if center is not None and np.isfinite(variance):
            low, high = total_interval(
                center,
                sampling=variance,
                errors=errors,
                published=published,
                stretch=stack.stretch(outlook.days),
                level=settings.interval,
            )
        totals |= {f"{name}_low": low, f"{name}_high": high}
    return totals


def _reasons(failures: Mapping[str, str]) -> str:
    """Why models failed, each reason once."""
    models: dict[str, list[str]] = {}
    for model, reason in failures.items():
        models.setdefault(reason.removeprefix(f"{model}: "), []).append(model)
    return " ".join(f"{', '.join(names)}: {reason}" for reason, names in models.items())


def _describe_fits(
    fits: Mapping[str, PurchaseFit], company: Company, summary: pl.DataFrame, end: date | None
) -> dict[str, Any]:
    """Each fit for the model card, on the time it was fitted on."""
    if end is None or not fits:
        return {}
    opened = company.opened_at(end)
    intervals = 0.0
    if any("cnbd" in model for model in fits):  # models for regular buyers need them
        intervals = sum_log_intervals(
            company.purchases_at(end), observation_end=end, time_unit=company.time_unit, opened=opened
        )
    timed = opened.retime(summary, origin=end)
    described: dict[str, Any] = {}
    for model, fit in fits.items():
        frame = summary if model == WHOLE_TIME else timed
        described |= describe_fits({model: fit}, frame, log_intervals=intervals)
    return described


def _first_day(summary: pl.DataFrame) -> date:
    """Day of the very first purchase."""
    day = summary["first_purchase"].min()
    assert isinstance(day, date)
    return day
