"""Forecasts before the judge: every model and the stack at every origin, and the verdict on the headline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from clv.buyers import Buyers
from clv.clock import within
from clv.evaluate import (
    Forecast,
    Window,
    compare_models,
    decile_table,
    evaluate_forecast,
    rolling_windows,
    validation_frame,
)
from clv.fitting import fit_spend
from clv.intervals import sampling_variance
from clv.outlook import Company, Outlook, columns_of, fit_on, look_ahead, spend_of, summarize_window
from clv.purchases.base import PurchaseFit
from clv.stack import total_interval
from clv.subscriptions import CONTRACT, ContractFit, fit_contracts
from clv.tables import VALIDATION_SCHEMA
from clv.verdict import Verdict, WindowScore, judge_headline
from histories.errors import TributaryError
from histories.periods import DAYS_PER_MONTH
from histories.survivors import EPOCH, find_survivors, nobody_stopped

#: Share of the observed span held out when no calibration end is given, and its longest length in days.
HOLDOUT_SHARE, LONGEST_HOLDOUT = 1 / 3, 365
#: Fewer customers than this cannot be told apart from noise on a holdout.
FEWEST_CUSTOMERS = 20
#: Fewer buyers than this in a holdout say little about any forecast.
FEWEST_BUYERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the holdouts said.

    Attributes
    ----------
    chosen
        Name of the forecast that counts at the latest origin; None when nothing could be judged.
    scores
        How the chosen forecast did at each origin, the latest first.
    verdict
        Whether the holdout bears the headline out.
    calibration_end
        Origin of the validation fit.
    fits
        Models fitted up to `calibration_end` in open time, by name.
    summary
        Purchase summary at `calibration_end`.
    validation
        Metrics in `VALIDATION_SCHEMA`.
    deciles
        Forecast and actual by tenth of the customers, every model, at `calibration_end`.
    notes
        What could not be judged, and why.
    buyers
        How many were expected to buy at all in the latest window, and did; None under contract.
    """

    chosen: str | None
    scores: tuple[WindowScore, ...]
    verdict: Verdict
    calibration_end: date | None
    fits: Mapping[str, PurchaseFit]
    summary: pl.DataFrame
    validation: pl.DataFrame
    deciles: pl.DataFrame
    notes: tuple[str, ...]
    buyers: Buyers | None = None

    def published_errors(self, *, by: date) -> tuple[float, ...]:
        """log(actual / forecast) of the chosen forecast on windows that were over by then."""
        return tuple(s.log_error for s in self.scores if s.until <= by and np.isfinite(s.log_error))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One origin: its fits, its forecasts and what the chosen one said of the total."""

    summary: pl.DataFrame
    fits: Mapping[str, PurchaseFit]
    forecasts: tuple[Forecast, ...]
    outlook: Outlook | None
    score: WindowScore | None
    notes: tuple[str, ...]
    buyers: Buyers | None = None


def judge_models(
    company: Company,
    *,
    observation_end: date,
    calibration_end: date | None,
    rng: np.random.Generator,
) -> Judgement:
    """Forecast the window behind each rolling origin with every model and the stack, and compare.

    Parameters
    ----------
    company
        Where purchases come from, and the settings.
    observation_end
        Last day of the data.
    calibration_end
        Latest origin; None holds out the last third, at most a year.
    rng
        Of bootstrap and simulations.
    """
    first, settings = company.first, company.settings
    end = calibration_end or _default_calibration_end(first, observation_end)
    if not first <= end < observation_end:
        outside = "" if calibration_end is None else f"calibration_end ({end}) lies outside, "
        return _unjudged(f"no holdout: {outside}the data span {first} to {observation_end} only")
    windows = rolling_windows(
        first=first, calibration_end=end, observation_end=observation_end, origins=settings.origins
    )
    shut = company.opened_at(observation_end).closed
    told = [w for w in windows if w.origin == end or not within(shut, (w.origin - first).days)]
    rounds: list[_Round] = []
    for window in reversed(told):  # the oldest first: what it missed widens the next ones
        rounds.insert(0, _forecast_window(company, window, [r.score for r in rounds if r.score], rng=rng))
    latest = rounds[0]
    if latest.summary.height < FEWEST_CUSTOMERS or not latest.forecasts or latest.outlook is None:
        return _unjudged(f"too few customers by {end} to judge a forecast on: {latest.summary.height}")
    forecasts = [forecast for each in rounds for forecast in each.forecasts]
    differences = compare_models(forecasts, interval=settings.interval, rng=rng)
    metrics = [evaluate_forecast(f, interval=settings.interval, rng=rng) for f in forecasts]
    notes = [note for r in rounds for note in r.notes]
    if len(told) < len(windows):
        notes.append(f"{len(windows) - len(told)} earlier origins lie where nothing was sold: not judged")
    buyers = int((latest.forecasts[0].actual > 0).sum())
    if buyers < FEWEST_BUYERS:
        notes.append(
            f"only {buyers} of {latest.summary.height} customers bought after {end}: a forecast cannot be "
            "judged on so few, and figures that some samples of customers do not have carry no interval"
        )
    scores = tuple(r.score for r in rounds if r.score is not None)
    chosen = latest.outlook.chosen
    return Judgement(
        chosen=chosen,
        scores=scores,
        verdict=judge_headline(scores, latest.fits),
        calibration_end=end,
        fits=latest.fits,
        summary=latest.summary,
        validation=pl.concat(
            [
                *metrics,
                _interval_rows(scores, {r.outlook.origin: r.summary.height for r in rounds if r.outlook}),
                _choice_rows(chosen, differences, end, latest.summary.height),
                *(r.buyers.rows() for r in rounds if r.buyers is not None),
            ]
        ),
        deciles=pl.concat([decile_table(f) for f in latest.forecasts]),
        notes=tuple(dict.fromkeys(notes)),
        buyers=latest.buyers,
    )


def _forecast_window(
    company: Company, window: Window, earlier: list[WindowScore], *, rng: np.random.Generator
) -> _Round:
    """Fit every model up to the origin and forecast the window behind it."""
    settings, origin = company.settings, window.origin
    summary = summarize_window(company.purchases_at, origin, window.until, time_unit=company.time_unit)
    if summary.is_empty():
        return _Round(summary=summary, fits={}, forecasts=(), outlook=None, score=None, notes=())
    timed = company.opened_at(origin).retime(summary, origin=origin)
    fits, failures = fit_on(settings, settings.models, timed, summary)
    notes = [f"origin {origin}: {model} failed, {why}" for model, why in failures.items()]
    days = (window.until - origin).days
    outlook = look_ahead(company, summary, fits, origin=origin, days=days) if fits else None
    if outlook is None:
        return _Round(summary=summary, fits=fits, forecasts=(), outlook=None, score=None, notes=tuple(notes))
    spend_fit = fit_spend(timed, trend=settings.spend_trend)[0]
    spend = spend_of(spend_fit, timed)
    actual, revenue = columns_of(summary, "holdout_purchases", "holdout_revenue")
    forecasts = tuple(
        Forecast(
            origin=origin,
            until=window.until,
            model=model,
            predicted=expected,
            actual=actual,
            predicted_revenue=expected * spend,
            actual_revenue=revenue,
        )
        for model, expected in (dict(outlook.predicted) | {outlook.chosen: outlook.expected}).items()
    )
    counted = outlook.clock.retime(summary, origin=origin)
    ahead = outlook.clock.ahead(origin, days)
    sampling = sampling_variance(outlook.fits[outlook.base], spend_fit, counted, ahead, rng=rng)
    stack = outlook.stack
    published = [s.log_error for s in earlier if s.until <= origin and np.isfinite(s.log_error)]

    def limits(total: float, variance: float, errors: Sequence[float]) -> tuple[float, float]:
        return total_interval(
            total,
            sampling=variance,
            errors=errors,
            published=published,
            stretch=stack.stretch(days),
            level=settings.interval,
        )

    predicted = float(outlook.expected.sum())
    low, high = limits(predicted, sampling.purchases, stack.errors)
    score = WindowScore(
        origin=origin,
        until=window.until,
        model=outlook.chosen,
        predicted=predicted,
        low=low,
        high=high,
        actual=float(actual.sum()),
        mae=float(np.abs(outlook.expected - actual).mean()),
    )
    if spend_fit is not None and revenue.sum() > 0.0:
        total = float(outlook.expected @ spend)
        low, high = limits(total, sampling.revenue, stack.revenue_errors)
        score = score.with_revenue(total, low, high, float(revenue.sum()))
    return _Round(
        summary=summary,
        fits=fits,
        forecasts=forecasts,
        outlook=outlook,
        score=score,
        notes=(*notes, *outlook.notes),
        buyers=Buyers.of(outlook, counted, actual, until=window.until),
    )


def judge_contracts(
    judged: Judgement, company: Company, customers: pl.DataFrame | None, *, rng: np.random.Generator
) -> Judgement:
    """The same judgement with the contracts' forecast of the same windows in place of the chosen one.

    Contracts that ended after an origin were still running there. How many buy at all is not judged: the
    chance of leaving is that of the contract's end.
    """
    if customers is None or judged.calibration_end is None:
        return judged
    frames, scores = [], []
    settings = company.settings
    for score in judged.scores:
        origin, until = score.origin, score.until
        summary = summarize_window(company.purchases_at, origin, until, time_unit=company.time_unit)
        try:
            contract = fit_contracts(customers, summary, end=origin)
        except TributaryError:
            continue
        days = (until - origin).days
        known = contract.frame.select("customer_id").with_columns(
            pl.Series("predicted", contract.expected_purchases(days / DAYS_PER_MONTH))
        )
        joined = summary.join(known, on="customer_id", how="inner", maintain_order="left")
        spend_fit = fit_spend(joined, trend=settings.spend_trend)[0]
        predicted, actual, revenue = columns_of(joined, "predicted", "holdout_purchases", "holdout_revenue")
        forecast = Forecast(
            origin=origin,
            until=until,
            model=CONTRACT,
            predicted=predicted,
            actual=actual,
            predicted_revenue=predicted * spend_of(spend_fit, joined),
            actual_revenue=revenue,
        )
        frames.append(evaluate_forecast(forecast, interval=settings.interval, rng=rng))
        scores.append(_contract_score(contract, forecast, settings.interval, days, rng=rng))
    if not scores:
        return judged
    sizes = {score.origin: judged.summary.height for score in scores}
    told = pl.col("metric").is_in(["buyers_predicted", "buyers_actual"])
    return replace(
        judged,
        chosen=CONTRACT,
        scores=tuple(scores),
        verdict=judge_headline(scores, {}),
        buyers=None,
        validation=pl.concat(
            [judged.validation.filter(~told), *frames, _interval_rows(tuple(scores), sizes)]
        ),
    )


def refute_survivors(
    judged: Judgement, summary: pl.DataFrame, customers: pl.DataFrame | None, *, end: date
) -> Judgement:
    """The same judgement, refuted where customers who stopped are missing from the history.

    Held-back windows do not show it: whoever is known there went on as well.

    Parameters
    ----------
    judged
        What the windows said.
    summary
        Purchase summary up to `end`.
    customers
        The customers table where its contracts count, else None.
    end
        Last day seen.
    """
    if customers is None:
        came, last = pl.col("first_purchase"), pl.col("last_purchase")
        gap = (last - came).dt.total_days() / pl.col("frequency")
    else:
        customers = customers.filter(pl.col("acquired_at") <= end)
        came, last = pl.col("acquired_at"), pl.col("ended_at").fill_null(end + timedelta(days=1))
        gap = pl.lit(float("nan"))
    known = summary if customers is None else customers
    days = known.select(came=came.cast(pl.Int32), last=last.cast(pl.Int32), gap=gap)
    known_days = [days[name].to_numpy() for name in days.columns]
    found = find_survivors(*known_days, end=(end - EPOCH).days)
    if found is not None:
        return replace(judged, verdict=Verdict(status="refuted", reason=found.reason))
    if customers is None and (note := nobody_stopped(*known_days, end=(end - EPOCH).days)) is not None:
        return replace(judged, notes=(note, *judged.notes))
    return judged


def _contract_score(
    contract: ContractFit, forecast: Forecast, level: float, days: int, *, rng: np.random.Generator
) -> WindowScore:
    """How the contracts' forecast did on one window."""
    predicted, actual = float(forecast.predicted.sum()), float(forecast.actual.sum())
    drawn = contract.head(20_000).simulate(max(round(days / DAYS_PER_MONTH), 1), rng=rng).sum(axis=1)
    variance = float(drawn.var() / max(drawn.mean(), 1e-9) ** 2)
    low, high = total_interval(predicted, sampling=variance, errors=(), level=level)
    score = WindowScore(
        origin=forecast.origin,
        until=forecast.until,
        model=CONTRACT,
        predicted=predicted,
        low=low,
        high=high,
        actual=actual,
        mae=float(np.abs(forecast.predicted - forecast.actual).mean()),
    )
    revenue = float(forecast.actual_revenue.sum())
    told = float(forecast.predicted_revenue.sum())
    if not (np.isfinite(told) and revenue > 0.0):
        return score
    low, high = total_interval(told, sampling=variance, errors=(), level=level)
    return score.with_revenue(told, low, high, revenue)


def _default_calibration_end(first: date, last: date) -> date:
    """Hold out the last third of the span, at most a year."""
    held = min(int((last - first).days * HOLDOUT_SHARE), LONGEST_HOLDOUT)
    return last - timedelta(days=max(held, 1))


def _unjudged(note: str) -> Judgement:
    """A judgement that there was nothing to judge."""
    empty = pl.DataFrame()
    return Judgement(
        chosen=None,
        scores=(),
        verdict=judge_headline((), {}),
        calibration_end=None,
        fits={},
        summary=empty,
        validation=pl.DataFrame(schema=VALIDATION_SCHEMA),
        deciles=empty,
        notes=(note,),
    )


def _interval_rows(scores: tuple[WindowScore, ...], customers: Mapping[date, int]) -> pl.DataFrame:
    """What the chosen forecast said of the company's totals before the window opened, with its interval."""
    rows = []
    for s in scores:
        n = customers[s.origin]
        rows.append((s.origin, s.model, "forecast_total", s.predicted, s.low, s.high, n))
        if s.revenue_actual is not None and s.revenue_predicted is not None:
            low, high = s.revenue_low or np.nan, s.revenue_high or np.nan
            rows.append((s.origin, s.model, "forecast_revenue", s.revenue_predicted, low, high, n))
    return validation_frame(rows)


def _choice_rows(
    chosen: str, differences: Mapping[str, Mapping[str, float]], origin: date, customers: int
) -> pl.DataFrame:
    """The comparison as validation rows: excess deviance by model over all origins, 1 for the chosen one."""
    rows = [
        (origin, model, "excess_deviance", d["value"], d["low"], d["high"], customers)
        for model, d in differences.items()
    ]
    rows += [(origin, m, "chosen", float(m == chosen), np.nan, np.nan, customers) for m in differences]
    return validation_frame(rows)
