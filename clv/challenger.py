"""A challenger without a story: Poisson gradient boosting on features of each customer's history.

It is trained on one window further back than the one it forecasts: features at the earlier origin, purchases
in the window behind it. Its forecast enters the comparison by itself and blended half and half with the mean
of the purchase models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from clv.purchases.observations import FloatArray
from clv.summary import summarize_holdout, summarize_purchases
from histories.errors import ModelError
from histories.money import MONEY_SCALE

__all__ = ["BLEND", "CHALLENGER", "blend", "forecast_by_boosting", "history_features", "tilt"]

CHALLENGER, BLEND = "gradient_boosting", "blend"
#: Days of the recent past that are counted one by one.
RECENT_DAYS = (30, 90, 180, 365)
#: A forecast moves a customer's value by this factor at most.
LARGEST_TILT = 10.0
#: Fewer customers than this teach a regression nothing; more than that are sampled.
FEWEST_CUSTOMERS, MOST_CUSTOMERS = 500, 200_000


def history_features(purchases: pl.LazyFrame, *, origin: date) -> pl.DataFrame:
    """What is known of each customer on `origin`: customer_id and numbers, sorted by customer_id.

    Frequency, recency, T, days since the last purchase, mean days between purchases, mean and last amount,
    and purchases and revenue within the last 30, 90, 180 and 365 days.
    """
    known = purchases.filter(pl.col("date") <= origin)
    summary = summarize_purchases(known, observation_end=origin, time_unit="day")
    age = (pl.lit(origin, dtype=pl.Date) - pl.col("date")).dt.total_days()
    recent = known.group_by("customer_id").agg(
        *((age < days).sum().cast(pl.Float64).alias(f"purchases_{days}") for days in RECENT_DAYS),
        *(
            (pl.col("amount").filter(age < days).sum() / MONEY_SCALE).alias(f"revenue_{days}")
            for days in RECENT_DAYS
        ),
        (pl.col("amount").mean() / MONEY_SCALE).alias("mean_amount"),
        (pl.col("amount").max_by("timestamp") / MONEY_SCALE).alias("last_amount"),
    )
    return (
        summary.select(
            "customer_id",
            pl.col("frequency").cast(pl.Float64),
            "recency",
            "T",
            (pl.col("T") - pl.col("recency")).alias("silent"),
            (pl.col("recency") / pl.col("frequency")).fill_nan(None).alias("mean_gap"),
        )
        .join(recent, on="customer_id")
        .sort("customer_id")
        .collect()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostedForecast:
    """The challenger's forecast; `predicted` follows the order of `customer_id`."""

    customer_id: pl.Series
    predicted: FloatArray


def forecast_by_boosting(
    purchases_at: Callable[[date], pl.LazyFrame], *, first: date, origin: date, days: int
) -> BoostedForecast:
    """Forecast purchases in the `days` behind `origin` with a regression trained one window earlier.

    Raises
    ------
    ModelError
        When there is no window further back, or too few customers in it.
    """
    earlier = origin - timedelta(days=days)
    if (earlier - first).days < days // 2:
        raise ModelError(
            f"{CHALLENGER} needs half a window of history before {earlier}; data start on {first}"
        )
    learned = history_features(purchases_at(earlier), origin=earlier)
    if learned.height < FEWEST_CUSTOMERS:
        raise ModelError(
            f"{CHALLENGER} needs {FEWEST_CUSTOMERS} customers by {earlier}; there are {learned.height}"
        )
    later = summarize_holdout(purchases_at(origin), after=earlier, until=origin).collect()
    target = learned.select("customer_id").join(later, on="customer_id", how="left", maintain_order="left")
    counts = target["holdout_purchases"].fill_null(0).cast(pl.Float64).to_numpy()
    asked = history_features(purchases_at(origin), origin=origin)
    return BoostedForecast(
        customer_id=asked["customer_id"], predicted=_boost(_matrix(learned), counts, _matrix(asked))
    )


def blend(models: list[FloatArray], challenger: FloatArray) -> FloatArray:
    """Half the challenger, half the mean of the purchase models, shape (n,)."""
    return 0.5 * challenger + 0.5 * np.asarray(np.mean(models, axis=0), dtype=np.float64)


def tilt(forecast: FloatArray, expected: FloatArray) -> FloatArray:
    """The factor that moves a model's expectation to another forecast, within `LARGEST_TILT`."""
    ratio = np.divide(forecast, expected, out=np.ones_like(forecast), where=expected > 0)
    return np.asarray(np.clip(ratio, 1.0 / LARGEST_TILT, LARGEST_TILT), dtype=np.float64)


def _matrix(features: pl.DataFrame) -> FloatArray:
    """Numbers only, nulls as NaN, which trees treat as a value of its own."""
    return np.asarray(features.drop("customer_id").fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _boost(features: FloatArray, counts: FloatArray, asked: FloatArray) -> FloatArray:
    """Train and predict, the same at every call."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(counts) > MOST_CUSTOMERS:
        rows = np.random.default_rng(0).choice(len(counts), MOST_CUSTOMERS, replace=False)
        features, counts = features[rows], counts[rows]
    if not counts.any():
        raise ModelError(f"{CHALLENGER}: nobody bought in the window it would learn from")
    regressor = HistGradientBoostingRegressor(
        loss="poisson",
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=15,
        min_samples_leaf=max(20, len(counts) // 200),
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    )
    with threadpool_limits(1):  # on a busy machine its threads spin for each other, fifty times slower
        return np.asarray(regressor.fit(features, counts).predict(asked), dtype=np.float64)
