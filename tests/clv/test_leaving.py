"""Which purchase model says who is still there: the one that foresaw who buys at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from types import SimpleNamespace
from typing import cast

import numpy as np
import polars as pl
import pytest

from clv.fitting import fit_models
from clv.outlook import Company, base_of, columns_of, look_ahead
from clv.purchases.base import PurchaseFit
from clv.settings import ValueSettings
from clv.stack import PastWindow
from clv.summary import summarize_purchases
from histories.arrays import Float

START, END, CUSTOMERS = date(2024, 1, 1), date(2024, 12, 31), 1500
Leaves = Callable[[np.random.Generator], tuple[float, float]]


def after_a_purchase(rng: np.random.Generator) -> tuple[float, float]:
    """BG/NBD: no rate of leaving, and a probability to leave after each repeat purchase."""
    return 0.0, rng.beta(0.8, 2.5)


def at_any_time(rng: np.random.Generator) -> tuple[float, float]:
    """Pareto/NBD: a rate of leaving a day."""
    return rng.gamma(0.6, 1.0 / 100.0), 0.0


def company(leaves: Leaves, seed: int) -> tuple[pl.LazyFrame, int]:
    """Purchases of a year, and how many customers are still there."""
    rng, rows, there = np.random.default_rng(seed), list[tuple[int, date]](), 0
    days = (END - START).days + 1
    for customer in range(CUSTOMERS):
        day = born = float(rng.integers(0, days))
        wait, (mu, p) = 1.0 / rng.gamma(1.0, 1.0 / 60.0), leaves(rng)
        gone = born + (rng.exponential(1.0 / mu) if mu > 0.0 else np.inf)
        while day < min(days, gone):
            rows.append((customer, START + timedelta(days=int(day))))
            if day > born and rng.random() < p:
                gone = day
            day += rng.exponential(wait)
        there += gone >= days
    frame = pl.LazyFrame(rows, schema=["customer_id", "date"], orient="row").unique()
    return frame.with_columns(
        pl.col("date").cast(pl.Datetime("us")).alias("timestamp"),
        pl.lit(100_000, dtype=pl.Int64).alias("amount"),
        pl.lit(None, dtype=pl.Int64).alias("margin"),
    ), there


@pytest.mark.parametrize(("leaves", "seed"), [(after_a_purchase, 1), (after_a_purchase, 2), (at_any_time, 1)])
def test_active_customers_are_as_many_as_there_are(leaves: Leaves, seed: int) -> None:
    """Within a twentieth; the first of the models is off by more than a tenth."""
    purchases, there = company(leaves, seed)
    settings = ValueSettings(challenger=False, season=False)
    asked = Company(purchases_at=lambda day: purchases, settings=settings, first=START, time_unit="week")
    summary = (
        summarize_purchases(purchases, observation_end=END, time_unit="week").sort("customer_id").collect()
    )
    fits, _ = fit_models(settings.models, summary, penalizer=0.0)
    outlook = look_ahead(asked, summary, fits, origin=END, days=180)
    assert outlook is not None
    told = columns_of(summary, "frequency", "recency", "T")
    assert fits[outlook.base].predict_alive(*told).sum() == pytest.approx(there, rel=0.05)
    assert fits["mbg_nbd"].predict_alive(*told).sum() != pytest.approx(there, rel=0.10)


def fit(*edges: str) -> PurchaseFit:
    return cast("PurchaseFit", SimpleNamespace(report=SimpleNamespace(at_bound=edges)))


def window(**surprise: Float) -> PastWindow:
    return PastWindow(
        origin=START, until=END, predicted={}, level=1.0, actual=np.zeros(400), surprise=surprise
    )


def test_the_least_surprised_model_counts_and_the_likelier_of_two_alike() -> None:
    fits = {"bg_nbd": fit(), "mbg_nbd": fit(), "pareto_nbd": fit("s")}
    calm, noise = np.full(400, 0.5), np.random.default_rng(0).normal(0.0, 1.0, 400)
    noise -= noise.mean()
    noise /= noise.std()  # the standard error of the difference is a twentieth

    def base(*past: PastWindow, likelier: str = "mbg_nbd") -> str:
        return base_of(fits, "stack", past, lambda one: float(one is fits[likelier]))

    assert base() == "mbg_nbd"
    assert base(window(bg_nbd=calm, mbg_nbd=calm + noise + 0.09)) == "mbg_nbd"
    assert base(window(bg_nbd=calm, mbg_nbd=calm + noise + 0.09), likelier="bg_nbd") == "bg_nbd"
    assert base(window(bg_nbd=calm, mbg_nbd=calm + noise + 0.11)) == "bg_nbd"
    assert base(window(bg_nbd=calm, mbg_nbd=calm + 1.0, pareto_nbd=calm + noise - 0.09)) == "bg_nbd"
    assert base(window(bg_nbd=calm, mbg_nbd=calm + 1.0, pareto_nbd=calm + noise - 0.11)) == "pareto_nbd"
    assert base_of(fits, "mbg_nbd", [window(bg_nbd=calm, mbg_nbd=calm + 1.0)]) == "mbg_nbd"


def test_models_are_compared_on_windows_that_they_share() -> None:
    fits = {"bg_nbd": fit(), "mbg_nbd": fit()}
    newest = window(bg_nbd=np.full(400, 0.5), mbg_nbd=np.full(400, 0.6))
    assert base_of(fits, "stack", [newest, window(mbg_nbd=np.zeros(400))]) == "bg_nbd"
    assert base_of(fits, "stack", [window(mbg_nbd=np.ones(400)), newest]) == "mbg_nbd"
