"""Models before the judge: forecasts on every origin, their metrics, and the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from clv.evaluate import VALIDATION_SCHEMA, Forecast, decile_table, evaluate_forecast, validation_frame
from clv.purchases.fits import PurchaseFit
from clv.selection import Choice, choose_model, forecast_window, rolling_windows
from clv.settings import ValueSettings

__all__ = ["Judgement", "judge_models"]

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
    choice
        The chosen model; None when nothing could be judged.
    calibration_end
        Origin of the validation fit.
    fits
        Models fitted up to `calibration_end`, by name.
    summary
        Purchase summary at `calibration_end`.
    validation
        Metrics in `VALIDATION_SCHEMA`.
    deciles
        Forecast and actual by tenth of the customers, every model, at `calibration_end`.
    by_frequency
        Forecast and actual by calibration frequency, every model, at `calibration_end`.
    notes
        What could not be judged, and why.
    """

    choice: Choice | None
    calibration_end: date | None
    fits: Mapping[str, PurchaseFit]
    summary: pl.DataFrame
    validation: pl.DataFrame
    deciles: pl.DataFrame
    by_frequency: pl.DataFrame
    notes: tuple[str, ...]


def judge_models(
    purchases_at: Callable[[date], pl.LazyFrame],
    *,
    settings: ValueSettings,
    first_purchase: date,
    observation_end: date,
    calibration_end: date | None,
    time_unit: str,
    rng: np.random.Generator,
) -> Judgement:
    """Forecast the window behind each rolling origin with every model, and choose one.

    Parameters
    ----------
    purchases_at
        Purchases as they were known on a day.
    settings
        Models, engine, number of origins, interval.
    first_purchase, observation_end
        Span of the data.
    calibration_end
        Latest origin; None holds out the last third, at most a year.
    time_unit
        "day" or "week".
    rng
        Of the bootstrap.
    """
    end = calibration_end or _default_calibration_end(first_purchase, observation_end)
    if not first_purchase <= end < observation_end:
        return _unjudged(f"no holdout: the data span {first_purchase} to {observation_end} only")
    windows = rolling_windows(
        first=first_purchase, calibration_end=end, observation_end=observation_end, origins=settings.origins
    )
    rounds = [
        forecast_window(purchases_at, window, first=first_purchase, settings=settings, time_unit=time_unit)
        for window in windows
    ]
    latest = rounds[0]
    if latest.summary.height < FEWEST_CUSTOMERS or not latest.forecasts:
        return _unjudged(f"{latest.summary.height} customers by {end} are too few to judge a forecast on")
    forecasts = [forecast for each in rounds for forecast in each.forecasts]
    choice = choose_model(forecasts, interval=settings.interval, rng=rng)
    metrics = [evaluate_forecast(f, interval=settings.interval, rng=rng) for f in forecasts]
    notes = [
        f"origin {w.origin}: {m} failed, {why}"
        for w, r in zip(windows, rounds, strict=True)
        for m, why in r.failures.items()
    ]
    buyers = int((latest.forecasts[0].actual > 0).sum())
    if buyers < FEWEST_BUYERS:
        notes.append(
            f"only {buyers} of {latest.summary.height} customers bought after {end}: a forecast cannot be "
            "judged on so few, and figures that some samples of customers do not have carry no interval"
        )
    return Judgement(
        choice=choice,
        calibration_end=end,
        fits=latest.fits,
        summary=latest.summary,
        validation=pl.concat([*metrics, _choice_rows(choice, end, latest.summary.height)]),
        deciles=pl.concat([decile_table(f) for f in latest.forecasts]),
        by_frequency=pl.concat([_by_frequency(f, latest.summary) for f in latest.forecasts]),
        notes=tuple(notes),
    )


def _default_calibration_end(first: date, last: date) -> date:
    """Hold out the last third of the span, at most a year."""
    held = min(int((last - first).days * HOLDOUT_SHARE), LONGEST_HOLDOUT)
    return last - timedelta(days=max(held, 1))


def _unjudged(note: str) -> Judgement:
    """A judgement that there was nothing to judge."""
    empty = pl.DataFrame()
    return Judgement(
        choice=None,
        calibration_end=None,
        fits={},
        summary=empty,
        validation=pl.DataFrame(schema=VALIDATION_SCHEMA),
        deciles=empty,
        by_frequency=empty,
        notes=(note,),
    )


def _choice_rows(choice: Choice, origin: date, customers: int) -> pl.DataFrame:
    """The comparison as validation rows: excess deviance by model over all origins, 1 for the chosen one."""
    rows = [
        (origin, model, "excess_deviance", d["value"], d["low"], d["high"], customers)
        for model, d in choice.differences.items()
    ]
    rows += [
        (origin, model, "chosen", float(model == choice.model), np.nan, np.nan, customers)
        for model in choice.differences
    ]
    return validation_frame(rows)


def _by_frequency(forecast: Forecast, summary: pl.DataFrame, *, top: int = 7) -> pl.DataFrame:
    """Mean forecast and actual purchases by calibration frequency, `top` standing for all above.

    Columns: origin, model, frequency, customers, predicted, actual.
    """
    return (
        pl.DataFrame(
            {
                "frequency": summary["frequency"].clip(upper_bound=top),
                "predicted": forecast.predicted,
                "actual": forecast.actual,
            }
        )
        .group_by("frequency")
        .agg(pl.len().cast(pl.Int64).alias("customers"), pl.col("predicted", "actual").mean())
        .sort("frequency")
        .select(pl.lit(forecast.origin).alias("origin"), pl.lit(forecast.model).alias("model"), pl.all())
    )
