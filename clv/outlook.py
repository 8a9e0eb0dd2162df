"""A forecast as a run makes it: every model on the company's clock, combined by what past windows taught.

The same steps make the forecast that values rest on and those that are judged on the holdout: at each origin
nothing later is known, the clock included, and the window that is judged is scored before it is learned from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from clv.calendar import DayCovariates, covariates_by_day, own_rows
from clv.challenger import CHALLENGER, Boosting, learn_boosting
from clv.clock import Clock, Prices, closures
from clv.explained import WITH_COVARIATES, Explained, explain
from clv.fitting import fit_models, fit_spend, full_log_likelihood, sum_log_intervals
from clv.prices import Drift, Step, find_change
from clv.purchases.base import PurchaseFit
from clv.purchases.beta_geometric import GeometricFit
from clv.purchases.fits import MODELS
from clv.season import estimate_clock
from clv.settings import STACK, ValueSettings
from clv.spend import GammaGammaFit
from clv.stack import PastWindow, Stack, learn_stack, level_of
from clv.summary import summarize_holdout, summarize_purchases
from histories.arrays import Float
from histories.errors import DataError, TributaryError
from histories.periods import DAYS_PER_YEAR

#: Customers whose past teaches clock, weights and bias, and on whom models are fitted on the clock.
LEARNING_CUSTOMERS = 20_000
#: Past windows looked at, each a quarter further back.
PAST_WINDOWS, DAYS_PER_QUARTER = 4, 91.3125
#: A past window needs so many days, and so much history before it.
SHORTEST_PAST = 28
#: Models that take no part in the stack at the edge of their box.
BREAKS_AT_BOUND = ("pareto_nbd", "pareto_nbd_sarmanov")
#: No chance counts as surer than this when it is held against what came.
SUREST = 1e-9
#: Models are as good as the best within so many standard errors of the difference.
TIED = 2.0
#: Purchase opportunities are whole: this model stays on calendar time.
WHOLE_TIME = "bg_bb"
#: By model: the length of the window, and frequency, recency and T, in the time it was fitted on.
Asked = Mapping[str, tuple[float, list[Float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What every forecast of a run starts from.

    Attributes
    ----------
    purchases_at
        Purchases as they were known on a day.
    settings
        The `[value]` part of the configuration.
    first
        Day of the first purchase.
    time_unit
        "day" or "week".
    part
        customer_id of the customers that past windows are learned on; None for all.
    customers
        The customers table, for covariates; None without one.
    calendar
        The calendar table, for covariates of the days; None without one.
    """

    purchases_at: Callable[[date], pl.LazyFrame]
    settings: ValueSettings
    first: date
    time_unit: str
    part: pl.DataFrame | None = None
    customers: pl.DataFrame | None = None
    calendar: pl.DataFrame | None = None
    _seen: dict[date, pl.DataFrame] = field(default_factory=dict, repr=False)
    _changes: dict[date, Step | Drift | None] = field(default_factory=dict, repr=False)
    _opened: dict[date, Clock] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        purchases_at: Callable[[date], pl.LazyFrame],
        customer_id: pl.Series,
        *,
        settings: ValueSettings,
        first: date,
        time_unit: str,
        customers: pl.DataFrame | None = None,
        calendar: pl.DataFrame | None = None,
    ) -> Company:
        """Draw the customers that past windows are learned on from all of them."""
        part = None
        if customer_id.len() > LEARNING_CUSTOMERS:
            rows = np.random.default_rng(0).choice(customer_id.len(), LEARNING_CUSTOMERS, replace=False)
            part = customer_id[np.sort(rows).tolist()].to_frame("customer_id")
        return cls(
            purchases_at=purchases_at,
            settings=settings,
            first=first,
            time_unit=time_unit,
            part=part,
            customers=customers,
            calendar=calendar,
        )

    def learned_at(self, day: date) -> pl.LazyFrame:
        """Purchases of the learning customers as they were known on a day, read once."""
        if day not in self._seen:
            if len(self._seen) > 16:
                self._seen.pop(next(iter(self._seen)))
            known = self.purchases_at(day)
            if self.part is not None:
                known = known.join(self.part.lazy(), on="customer_id", how="semi")
            self._seen[day] = known.filter(pl.col("date") <= day).collect()
        return self._seen[day].lazy()

    def clock_at(self, origin: date) -> tuple[Clock, tuple[str, ...]]:
        """The clock as known on `origin`, and what of it could not be made."""
        days: DayCovariates | None = None
        notes: list[str] = []
        if self.settings.dynamic_covariates and self.calendar is not None:
            try:
                named = self.settings.dynamic_covariates
                columns = [name for name in named if own_rows(self.calendar, name).is_empty()]
                if columns:
                    days = covariates_by_day(self.calendar, columns, first=self.first, end=origin)
                    notes += days.notes
            except DataError as error:
                notes.append(f"no covariates of the days by {origin}: {error}")
        elif self.settings.dynamic_covariates:
            notes.append("dynamic covariates were asked for, but there is no calendar table")
        prices = self.prices_at(origin)
        calendar = Clock(first=self.first, end=origin, time_unit=self.time_unit, prices=prices)
        try:
            clock = estimate_clock(
                self.learned_at(origin),
                first=self.first,
                end=origin,
                time_unit=self.time_unit,
                season=self.settings.season,
                covariates=days,
            )
        except TributaryError as error:
            return calendar, (*notes, f"no season by {origin}: {error}")
        notes += [
            "nothing was sold from {} to {}: time stands still there".format(
                *(self.first + timedelta(days=day) for day in stretch)
            )
            for stretch in clock.closed
        ]
        return replace(clock, prices=prices), tuple(notes)

    def opened_at(self, origin: date) -> Clock:
        """Calendar time up to `origin` without the stretches in which the company was closed."""
        if origin not in self._opened:
            shut = closures(self.learned_at(origin), first=self.first, end=origin)
            prices, unit = self.prices_at(origin), self.time_unit
            self._opened[origin] = Clock(
                first=self.first, end=origin, time_unit=unit, closed=shut, prices=prices
            )
        return self._opened[origin]

    def likelihood(self, fit: PurchaseFit, origin: date) -> float:
        """Log-likelihood of histories up to `origin`, comparable also with models for regular buyers."""
        intervals = 0.0
        if isinstance(fit, GeometricFit) and fit.k > 1:
            intervals = sum_log_intervals(
                self.purchases_at(origin),
                observation_end=origin,
                time_unit=self.time_unit,
                opened=self.opened_at(origin),
            )
        return full_log_likelihood(fit, intervals)

    def change_at(self, origin: date) -> Step | Drift | None:
        """How what customers pay changed, as known on `origin`."""
        if origin not in self._changes:
            self._changes[origin] = find_change(self.learned_at(origin), end=origin)
        return self._changes[origin]

    def prices_at(self, origin: date) -> Prices | None:
        """`Clock.prices` as known on `origin`: a drift, or a step that has lasted."""
        change = self.change_at(origin)
        if isinstance(change, Drift):
            return 0, 0.0, change.change / DAYS_PER_YEAR
        if change is None or not change.lasts:
            return None
        return (change.month - self.first).days, change.change, 0.0

    @property
    def chosen(self) -> str:
        """Name of the forecast that counts: the stack, or the one model that was asked for."""
        settings = self.settings
        if settings.forecast == STACK and len(settings.models) == 1:
            return settings.models[0]
        return settings.forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Forecasts of one window.

    Attributes
    ----------
    origin, days
        The window, `days` long behind `origin`.
    clock
        As known on `origin`.
    fits
        Models on the clock, by name.
    predicted
        Purchases of each customer in the window by model, each of shape (n,).
    stack
        How they combine.
    chosen
        Name of the forecast that counts.
    base
        The purchase model to build on: for P(alive), chances of leaving, next purchases, simulated customers.
    expected
        That forecast, shape (n,).
    explained
        Models with covariates, by the model they build on.
    boosting
        The regression; None where it could not be trained.
    notes
        What did not work, in sentences.
    """

    origin: date
    days: float
    clock: Clock
    fits: Mapping[str, PurchaseFit]
    predicted: Mapping[str, Float]
    stack: Stack
    chosen: str
    base: str
    expected: Float
    explained: Mapping[str, Explained]
    boosting: Boosting | None
    notes: tuple[str, ...]


def base_of(
    fits: Mapping[str, PurchaseFit],
    chosen: str,
    past: Sequence[PastWindow] = (),
    likelihood: Callable[[PurchaseFit], float] | None = None,
) -> str:
    """The chosen model, else the one whose chances to buy at all came true in past windows.

    Of those that could be fitted in the newest window (`past` begins with it) the one counts that was least
    surprised by who bought and who did not, in windows that all of them share. Of those within `TIED`
    standard errors of it models at the edge of their box come last, and the likelihood of whole histories
    decides: windows tell who stays silent, and hardly whether he left or waits. Without windows the first of
    `MODELS` counts that is not at its edge.
    """
    if chosen in fits:
        return chosen
    judged = [model for model in MODELS if model in fits and past and model in past[0].surprise]
    if not judged:
        return _inside(fits, [model for model in MODELS if model in fits])[0]
    shared = [window for window in past if all(model in window.surprise for model in judged)]
    surprise = {model: np.concatenate([window.surprise[model] for window in shared]) for model in judged}
    best = min(judged, key=lambda model: float(surprise[model].mean()))

    def as_good(model: str) -> bool:
        behind = surprise[model] - surprise[best]
        return bool(behind.mean() <= TIED * behind.std() / np.sqrt(behind.size))

    tied = _inside(fits, [model for model in judged if as_good(model)])
    return max(tied, key=lambda model: likelihood(fits[model])) if likelihood else tied[0]


def _inside(fits: Mapping[str, PurchaseFit], models: list[str]) -> list[str]:
    """The models that are not at the edge of their box; all where each is."""
    return [model for model in models if not fits[model].report.at_bound] or models


def look_ahead(
    company: Company, summary: pl.DataFrame, fits: Mapping[str, PurchaseFit], *, origin: date, days: float
) -> Outlook | None:
    """Forecast the `days` behind `origin`; None when no purchase model has a forecast.

    Parameters
    ----------
    company
        Where purchases come from.
    summary
        Purchase summary at `origin`, on calendar time, sorted by customer_id.
    fits
        Models fitted to it in open time; fitted again where the clock has more to it.
    origin, days
        The window.
    """
    clock, told = company.clock_at(origin)
    notes, opened = list(told), fits
    timed = clock.retime(summary, origin=origin)
    if not (clock.is_calendar or clock == clock.opened):
        fits = _refit(company.settings, timed, fits)
    predicted = predict(fits, asked_of(fits, timed, summary, clock, origin=origin, days=days))
    if not predicted:
        return None
    explained, told = _explained(company, summary, list(fits), clock, origin=origin)
    predicted |= _forecasts(explained, days)
    notes += told
    boosting = None
    if company.settings.challenger:
        try:
            boosting = learn_boosting(company.purchases_at, clock=clock, origin=origin, days=days)
            predicted[CHALLENGER] = boosting.forecast(
                company.purchases_at(origin), clock=clock, origin=origin, days=days
            )
        except TributaryError as error:
            notes.append(str(error))
    levelling = [m for m in predicted if m in fits and not breaks(fits[m])] or [
        m for m in predicted if m in fits
    ]
    for model in fits:
        if breaks(fits[model]):
            where = ", ".join(fits[model].report.at_bound)
            notes.append(f"{model} ended at its bound ({where}) by {origin} and does not compete")
    beside = (CHALLENGER, *WITH_COVARIATES.values())
    chosen, members = company.chosen, [m for m in predicted if m in levelling or m in beside]
    if chosen != STACK and chosen not in predicted:
        notes.append(f"{chosen} has no forecast from {origin}; the stack takes its place")
        chosen = STACK
    if chosen != STACK:
        members = levelling = [chosen]
    past = past_windows(company, clock, members=members, levelling=levelling, origin=origin, days=days)
    stack = learn_stack(past, members=members, levelling=levelling, origin=origin, biased=chosen == STACK)
    return Outlook(
        origin=origin,
        days=days,
        clock=clock,
        fits=fits,
        predicted=predicted,
        stack=stack,
        chosen=chosen,
        base=base_of(
            {model: opened[model] for model in fits if model in predicted},
            chosen,
            past,
            lambda fit: company.likelihood(fit, origin),
        ),
        expected=stack.forecast(predicted),
        explained=explained,
        boosting=boosting,
        notes=tuple(notes),
    )


def _explained(
    company: Company, summary: pl.DataFrame, models: list[str], clock: Clock, *, origin: date
) -> tuple[dict[str, Explained], tuple[str, ...]]:
    """Models with covariates, where the configuration names some, and why one is missing."""
    return explain(
        summary,
        models=models,
        settings=company.settings,
        customers=company.customers,
        calendar=company.calendar,
        purchases=lambda: company.purchases_at(origin).select("customer_id", "date").collect(),
        clock=clock,
        origin=origin,
    )


def _forecasts(explained: Mapping[str, Explained], days: float) -> dict[str, Float]:
    """Purchases of each customer by the models with covariates whose forecast is a number."""
    forecasts = {WITH_COVARIATES[model]: one.predict(days) for model, one in explained.items()}
    return {name: np.maximum(f, 0.0) for name, f in forecasts.items() if np.isfinite(f).all()}


def breaks(fit: PurchaseFit) -> bool:
    """Whether a fit at the edge of its box is worth nothing."""
    edges = set(fit.report.at_bound) - {"odds"}  # the largest correlation there can be is an answer
    return fit.model in BREAKS_AT_BOUND and bool(edges)


def _refit(
    settings: ValueSettings, timed: pl.DataFrame, fits: Mapping[str, PurchaseFit]
) -> dict[str, PurchaseFit]:
    """The models on the clock, fitted on a part of a large company; discrete ones stay as they are."""
    part = timed if timed.height <= LEARNING_CUSTOMERS else timed.sample(LEARNING_CUSTOMERS, seed=0)
    models = [model for model in fits if model != WHOLE_TIME]
    again = fit_models(models, part, penalizer=settings.penalizer, engine=settings.engine)[0]
    return again | {model: fit for model, fit in fits.items() if model == WHOLE_TIME}


def fit_on(
    settings: ValueSettings, models: Sequence[str], timed: pl.DataFrame, summary: pl.DataFrame
) -> tuple[dict[str, PurchaseFit], dict[str, str]]:
    """Models fitted to a summary on a clock, the discrete one to the calendar's; and why one could not be."""
    fits: dict[str, PurchaseFit] = {}
    failures: dict[str, str] = {}
    for frame, part in ((timed, [m for m in models if m != WHOLE_TIME]), (summary, [WHOLE_TIME])):
        made, failed = fit_models(
            [m for m in part if m in models], frame, penalizer=settings.penalizer, engine=settings.engine
        )
        fits, failures = fits | made, failures | failed
    return {model: fits[model] for model in models if model in fits}, failures


def predict(fits: Mapping[str, PurchaseFit], asked: Asked) -> dict[str, Float]:
    """Purchases of each customer in the window by every fit whose forecast is a number."""
    forecasts = {}
    for model, (horizon, told) in asked.items():
        forecast = fits[model].predict_purchases(np.array([horizon]), *told)[0]
        if np.isfinite(forecast).all():
            forecasts[model] = np.maximum(forecast, 0.0)
    return forecasts


def silences(fits: Mapping[str, PurchaseFit], asked: Asked) -> dict[str, Float]:
    """P(no purchase in the window) of each customer by every fit where it is a number."""
    chances = {}
    for model, (horizon, told) in asked.items():
        chance = fits[model].predict_no_purchase(horizon, *told)
        if np.isfinite(chance).all():
            chances[model] = np.clip(chance, 0.0, 1.0)
    return chances


def asked_of(
    models: Iterable[str],
    timed: pl.DataFrame,
    summary: pl.DataFrame,
    clock: Clock,
    *,
    origin: date,
    days: float,
) -> Asked:
    """What each model is asked of a window, in the time it was fitted on."""
    calendar = Clock(first=clock.first, end=clock.end, time_unit=clock.time_unit)
    asked = {}
    for model in models:
        whole = model == WHOLE_TIME
        horizon = (calendar if whole else clock).ahead(origin, days)
        told = columns_of(summary if whole else timed, "frequency", "recency", "T")
        asked[model] = (float(np.floor(horizon)) if whole else horizon, told)
    return asked


def past_windows(
    company: Company,
    clock: Clock,
    *,
    members: list[str],
    levelling: list[str],
    origin: date,
    days: float,
) -> list[PastWindow]:
    """Forecast windows that are over by `origin` on today's clock, the newest first.

    They are as long as the window asked for, or half the history where that is shorter.
    """
    length = min(int(days), (origin - company.first).days // 2)
    windows = []
    for back in range(PAST_WINDOWS):
        start = origin - timedelta(days=length + round(back * DAYS_PER_QUARTER))
        if length < SHORTEST_PAST or (start - company.first).days < max(length // 2, 2 * SHORTEST_PAST):
            break
        window = _past_window(company, clock, members, levelling, start, length)
        if window is not None:
            windows.append(window)
    return windows


def _past_window(
    company: Company, clock: Clock, members: list[str], levelling: list[str], origin: date, length: int
) -> PastWindow | None:
    """One of them; None where nothing could be fitted."""
    until = origin + timedelta(days=length)
    summary = summarize_window(company.learned_at, origin, until, time_unit=company.time_unit)
    timed = clock.retime(summary, origin=origin)
    models = [model for model in members if model in company.settings.models]
    models += [model for model in levelling if model not in models]
    fits = fit_on(company.settings, models, timed, summary)[0]
    fits = {model: fit for model, fit in fits.items() if not breaks(fit)}
    asked = asked_of(fits, timed, summary, clock, origin=origin, days=length)
    predicted, silent = predict(fits, asked), silences(fits, asked)
    leading = [model for model in levelling if model in predicted]
    if any(name in members for name in WITH_COVARIATES.values()):
        explained = _explained(company, summary, list(fits), clock, origin=origin)[0]
        predicted |= _forecasts(explained, length)
    if not leading:
        return None
    if CHALLENGER in members:
        with contextlib.suppress(TributaryError):
            boosting = learn_boosting(company.learned_at, clock=clock, origin=origin, days=length)
            predicted[CHALLENGER] = boosting.forecast(
                company.learned_at(origin), clock=clock, origin=origin, days=length
            )
    (actual,) = columns_of(summary, "holdout_purchases")
    spend_fit = fit_spend(timed, trend=company.settings.spend_trend)[0]
    level_revenue = actual_revenue = float("nan")
    if spend_fit is not None:
        spend = spend_of(spend_fit, timed)
        level_revenue = float(np.mean([predicted[model] @ spend for model in leading]))
        actual_revenue = float(summary["holdout_revenue"].sum())
    return PastWindow(
        origin=origin,
        until=until,
        predicted=predicted,
        level=level_of(predicted, leading),
        actual=actual,
        surprise={
            model: -np.log(np.maximum(np.where(actual > 0, 1.0 - chance, chance), SUREST))
            for model, chance in silent.items()
        },
        level_revenue=level_revenue,
        actual_revenue=actual_revenue,
    )


def summarize_window(
    purchases_at: Callable[[date], pl.LazyFrame], origin: date, until: date, *, time_unit: str
) -> pl.DataFrame:
    """Purchase summary at `origin` with what followed up to `until`, sorted by customer_id.

    Adds holdout_purchases and holdout_revenue, 0 for customers who bought nothing.
    """
    summary = summarize_purchases(purchases_at(origin), observation_end=origin, time_unit=time_unit)
    later = summarize_holdout(purchases_at(until), after=origin, until=until)
    frame = summary.join(later, on="customer_id", how="left").sort("customer_id").collect()
    return frame.with_columns(pl.col("holdout_purchases", "holdout_revenue").fill_null(0))


def spend_of(spend_fit: GammaGammaFit | None, summary: pl.DataFrame) -> Float:
    """Expected amount of a purchase of each customer, in currency; NaN without a spend model."""
    x, m = columns_of(summary, "frequency", "monetary_value")
    return np.full_like(x, np.nan) if spend_fit is None else spend_fit.predict_spend(x, m)


def columns_of(frame: pl.DataFrame, *names: str) -> list[Float]:
    """Columns as float arrays, nulls as NaN."""
    numbers = [frame[name].cast(pl.Float64) for name in names]
    # filling starts a query of its own, which a single prediction would wait for
    return [(n.fill_null(float("nan")) if n.null_count() else n).to_numpy() for n in numbers]
