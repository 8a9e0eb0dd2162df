"""A challenger without a story: Poisson gradient boosting on features of each customer's history.

It is trained on the latest window that is over: features at an earlier origin, purchases between that and the
day of the forecast. The window is as long as the one it forecasts, or half the history where that is shorter;
then purchases per unit of time are carried over. It ranks customers well and knows no level, so it enters the
levelled stack (`clv.stack`) with its shape alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Self

import numpy as np
import polars as pl

from clv.clock import Clock
from clv.summary import summarize_holdout, summarize_purchases
from clv.trees import Trees
from histories.arrays import Float
from histories.errors import ModelError
from histories.money import MONEY_SCALE

CHALLENGER = "gradient_boosting"
#: Days of the recent past that are counted one by one.
RECENT_DAYS = (30, 90, 180, 365)
#: A forecast moves a customer's value against the company's by this factor at most.
LARGEST_TILT = 10.0
#: Fewer customers than this teach a regression nothing; more than that are sampled.
FEWEST_CUSTOMERS, MOST_CUSTOMERS = 500, 200_000
#: A window shorter than this, in days, is no lesson.
SHORTEST_WINDOW = 28


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
class Boosting:
    """A regression that was trained on one window.

    Attributes
    ----------
    trees
        Purchases expected in the window, by features.
    learned
        Its length on the company's clock, in time units.
    """

    trees: Trees
    learned: float

    def forecast(self, purchases: pl.LazyFrame, *, clock: Clock, origin: date, days: float) -> Float:
        """Purchases in the `days` behind `origin`, shape (n,), in the order of customer_id."""
        asked = _matrix(history_features(purchases, origin=origin))
        return self.trees.predict(asked) * (clock.ahead(origin, days) / self.learned)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"learned": self.learned, "trees": self.trees.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Undo `to_dict`."""
        return cls(learned=float(fields["learned"]), trees=Trees.from_dict(fields["trees"]))


def learn_boosting(
    purchases_at: Callable[[date], pl.LazyFrame], *, clock: Clock, origin: date, days: float
) -> Boosting:
    """Train a regression for the `days` behind `origin` on a window before it.

    Parameters
    ----------
    purchases_at
        Purchases as they were known on a day.
    clock
        First day of the data, and how fast the window learned from and the one forecast run.
    origin, days
        The window.

    Raises
    ------
    ModelError
        When the history is too short, or has too few customers.
    """
    history = (origin - clock.first).days
    length = min(int(days), history // 2)
    if length < SHORTEST_WINDOW:
        raise ModelError(
            f"{CHALLENGER} learns on half the history, at least {SHORTEST_WINDOW} days of it; "
            f"by {origin} there are {history} days in all"
        )
    earlier = origin - timedelta(days=length)
    learned = history_features(purchases_at(earlier), origin=earlier)
    if learned.height < FEWEST_CUSTOMERS:
        raise ModelError(
            f"{CHALLENGER} needs {FEWEST_CUSTOMERS} customers with half of the history before them; "
            "there are fewer"
        )
    later = summarize_holdout(purchases_at(origin), after=earlier, until=origin).collect()
    target = learned.select("customer_id").join(later, on="customer_id", how="left", maintain_order="left")
    counts = target["holdout_purchases"].fill_null(0).cast(pl.Float64).to_numpy()
    return Boosting(trees=_boost(_matrix(learned), counts), learned=clock.between(earlier, origin))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tilt:
    """How the customers of one model follow another forecast.

    A customer moves by `LARGEST_TILT` at most against the company as a whole; the total is the forecast's.

    Attributes
    ----------
    level
        The forecast's total over the model's.
    scale
        What brings the total back to the forecast's where customers were held.
    """

    level: float = 1.0
    scale: float = 1.0

    @classmethod
    def of(cls, forecast: Float, expected: Float) -> Self:
        """Of a whole company; no tilt where the model expects nothing at all."""
        whole = float(expected.sum())
        if whole <= 0.0:
            return cls()
        level = float(forecast.sum()) / whole
        held = float(cls(level=level).factor(forecast, expected) @ expected)
        return cls(level=level, scale=float(forecast.sum()) / held if held > 0.0 else 1.0)

    def factor(self, forecast: Float, expected: Float) -> Float:
        """What each customer's expectation is multiplied by, shape (n,)."""
        whole = expected * self.level
        ratio = np.divide(forecast, whole, out=np.ones_like(forecast), where=whole > 0.0)
        held = np.clip(ratio, 1.0 / LARGEST_TILT, LARGEST_TILT)
        return np.asarray(held * (self.level * self.scale), dtype=np.float64)


def _matrix(features: pl.DataFrame) -> Float:
    """Numbers only, nulls as NaN, which trees treat as a value of its own."""
    return np.asarray(features.drop("customer_id").fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _boost(features: Float, counts: Float) -> Trees:
    """Train, the same at every call."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(counts) > MOST_CUSTOMERS:
        rows = np.random.default_rng(0).choice(len(counts), MOST_CUSTOMERS, replace=False)
        features, counts = features[rows], counts[rows]
    if not counts.any():
        raise ModelError(f"{CHALLENGER}: nobody bought in the window it would learn from")
    # where nobody had bought twice there is no mean gap: it teaches nothing
    features = np.where(np.isnan(features).all(axis=0), 0.0, features)
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
        return Trees.of(regressor.fit(features, counts))
