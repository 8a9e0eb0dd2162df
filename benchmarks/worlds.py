"""Small worlds whose truth is known: for tests, for the coverage table, and to see an estimator fail.

Each returns what a company would observe, and what nobody does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.tables import EffectTables
from attribution.effects.data.units import Units

_START = datetime(2024, 1, 1)
_MINOR = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfoundedUnits:
    """Units with an outcome `y`, and the mean effects of the very same units.

    Attributes
    ----------
    units
        Covariates x0, x1, x2; placebo of `y`: the outcome without effect and with noise of its own.
    treated : shape (N,)
    ate, att
        Mean effect over all units, and over the treated.
    """

    units: Units
    treated: NDArray[np.bool_]
    ate: float
    att: float


def simulate_confounded_units(
    n: int, rng: np.random.Generator, *, effect: float = 1.0, hidden: float = 0.0, binary: bool = False
) -> ConfoundedUnits:
    """Units that chose their treatment.

    x ~ N(0, I_3), u ~ N(0, 1) unseen; logit e = .6 x0 - .4 x1 + hidden u; tau = effect (1 + .5 x0).
    Number: y = 2 + x0 + .5 x1 + hidden u + tau T + N(0, 1); share: P(y = 1) = logistic(-.5 + .5 x0 + .3 x1 +
    hidden u + tau T). With effect 1 and nothing hidden the naive difference is about 1.5: half too high.
    """
    x, u = rng.normal(size=(n, 3)), rng.normal(size=n)
    treated = rng.random(n) < _logistic(0.6 * x[:, 0] - 0.4 * x[:, 1] + hidden * u)
    tau = effect * (1 + 0.5 * x[:, 0])
    if binary:
        base = -0.5 + 0.5 * x[:, 0] + 0.3 * x[:, 1] + hidden * u
        true = _logistic(base + tau) - _logistic(base)
        y = (rng.random(n) < _logistic(base + tau * treated)).astype(float)
        before = (rng.random(n) < _logistic(base)).astype(float)
    else:
        base, true = 2 + x[:, 0] + 0.5 * x[:, 1] + hidden * u, tau
        y = base + tau * treated + rng.normal(size=n)
        before = base + rng.normal(size=n)
    units = Units(
        arm=np.where(treated, "treated", "control").astype(np.str_),
        outcomes={"y": y},
        covariates=x,
        covariate_names=("x0", "x1", "x2"),
        placebos={"y": before},
    )
    return ConfoundedUnits(
        units=units, treated=treated, ate=float(true.mean()), att=float(true[treated].mean())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CareWorld:
    """A company with cases, contacts and purchases, as its tables.

    Attributes
    ----------
    tables
        touchpoints, purchases, customers and cases in canonical form.
    end
        Last observed day.
    fast
        Customers' numbers whose case was answered fast, shape (n,) flags.
    """

    tables: EffectTables
    end: datetime
    fast: NDArray[np.bool_]


def simulate_care_world(
    n: int,
    rng: np.random.Generator,
    *,
    weeks: int = 104,
    effect: float = 0.0,
    force: bool | None = None,
    hidden: float = 0.0,
    idle_contacts: float = 0.0,
    letter_effect: float = 0.0,
) -> CareWorld:
    """A contractual company in weekly steps whose fast replies do something, or nothing.

    Customer i: score z ~ N(0, 1) (seen), temper u ~ N(0, 1) (unseen), region. While there, purchases per
    week are Poisson(exp(-1.2 + .4 z + .4 hidden u)), and leaving has probability logistic(-4.5 - .4 z - .6
    hidden u). One problem each, in a random week: its case is answered within the hour with probability
    logistic(.5 z + .5 [north] + hidden u), else later. From the fifth week after a fast answer on, the rate
    is multiplied by exp(effect) and the logit of leaving falls by 2 effect.

    `idle_contacts` > 0 sends the firm's letters, with weekly probability logistic(-5 + idle_contacts log(1
    + weeks idle)); from the first one on the rate is multiplied by exp(letter_effect). `force` answers
    everybody fast, or nobody, with all other random numbers the same: the difference is the truth.
    """
    z, u = rng.normal(size=n), rng.normal(size=n) * hidden
    north = rng.random(n) < 0.5
    p_fast = _logistic(0.5 * z + 0.5 * north + u)
    fast = rng.random(n) < p_fast
    if force is not None:
        fast = np.full(n, force)
    case_week = rng.integers(20, weeks - 35, size=n)
    draws = rng.random((weeks, n, 4))
    there, left = np.ones(n, dtype=bool), np.full(n, weeks)
    last_purchase, first_letter = np.zeros(n), np.full(n, weeks)
    bought: list[tuple[NDArray[np.int64], int]] = []
    letters: list[tuple[NDArray[np.int64], int]] = []
    for week in range(weeks):
        on = fast & (week >= case_week + 5)
        rate = np.exp(-1.2 + 0.4 * z + 0.4 * u + effect * on + letter_effect * (first_letter < week))
        buys = there & (draws[week, :, 0] < 1 - np.exp(-rate))
        if week == 0:
            buys = there.copy()
        idle = week - last_purchase
        if idle_contacts > 0:
            letter = there & (draws[week, :, 1] < _logistic(-5 + idle_contacts * np.log1p(idle)))
            letters.append((np.flatnonzero(letter), week))
            first_letter = np.where(letter, np.minimum(first_letter, week), first_letter)
        bought.append((np.flatnonzero(buys), week))
        last_purchase = np.where(buys, week, last_purchase)
        leaves = there & (draws[week, :, 2] < _logistic(-4.5 - 0.4 * z - 0.6 * u - 2 * effect * on))
        left[leaves] = week
        there &= ~leaves
    amounts = np.exp(3 + 0.2 * z)
    tables = EffectTables(
        purchases=_purchases(bought, amounts),
        touchpoints=_letters(letters),
        customers=_customers(z, north, left, weeks),
        cases=_case_table(case_week, left, fast, rng),
    )
    return CareWorld(tables=tables, end=_START + timedelta(weeks=weeks), fast=fast)


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))


def _long(events: list[tuple[NDArray[np.int64], int]]) -> pl.DataFrame:
    """customer_id and week of a list of (customers, week)."""
    return pl.DataFrame(
        {
            "customer_id": np.concatenate([who for who, _ in events] or [np.empty(0, dtype=np.int64)]),
            "week": np.concatenate([np.full(len(who), week) for who, week in events] or [np.empty(0)]),
        },
        schema={"customer_id": pl.Int64, "week": pl.Int64},
    )


def _when(column: str, hour: int = 12, day: int = 0) -> pl.Expr:
    """The timestamp of a week's day."""
    return pl.lit(_START) + pl.duration(weeks=pl.col(column), days=day, hours=hour)


def _purchases(bought: list[tuple[NDArray[np.int64], int]], amounts: NDArray[np.float64]) -> pl.LazyFrame:
    frame = _long(bought)
    minor = np.round(amounts[frame["customer_id"].to_numpy()] * _MINOR).astype(np.int64)
    timestamp = _when("week", day=2).alias("timestamp")
    return frame.lazy().select(
        "customer_id",
        timestamp,
        timestamp.dt.date().alias("date"),
        pl.lit(pl.Series(minor)).alias("amount"),
        pl.lit(pl.Series(minor // 2)).alias("margin"),
    )


def _letters(letters: list[tuple[NDArray[np.int64], int]]) -> pl.LazyFrame:
    return (
        _long(letters)
        .lazy()
        .select(
            "customer_id",
            _when("week", day=1).alias("timestamp"),
            channel=pl.lit("letter"),
            channel_group=pl.lit("mail"),
            kind=pl.lit("marketing"),
            direction=pl.lit("outbound"),
            origin=pl.lit("firm"),
            view=pl.lit(False),
            treatment=pl.lit(True),
            cost=pl.lit(int(0.5 * _MINOR), dtype=pl.Int64),
        )
    )


def _customers(
    z: NDArray[np.float64], north: NDArray[np.bool_], left: NDArray[np.int64], weeks: int
) -> pl.LazyFrame:
    frame = pl.DataFrame({"customer_id": np.arange(len(z)), "score": z, "north": north, "left": left})
    return frame.lazy().select(
        "customer_id",
        "score",
        region=pl.when("north").then(pl.lit("north")).otherwise(pl.lit("south")),
        ended_at=pl.when(pl.col("left") < weeks).then(_when("left", day=6).dt.date()),
    )


def _case_table(
    case_week: NDArray[np.int64], left: NDArray[np.int64], fast: NDArray[np.bool_], rng: np.random.Generator
) -> pl.LazyFrame:
    minutes = np.where(fast, rng.uniform(5, 60, size=len(fast)), rng.uniform(61, 2000, size=len(fast)))
    frame = pl.DataFrame(
        {"customer_id": np.arange(len(left)), "week": case_week, "left": left, "minutes": minutes}
    )
    opened = _when("week", hour=9)
    return (
        frame.filter(pl.col("week") < pl.col("left"))
        .lazy()
        .select(
            "customer_id",
            case_id=pl.col("customer_id").cast(pl.String),
            opened_at=opened,
            channel=pl.lit("twitter"),
            first_response_at=opened + pl.duration(seconds=(pl.col("minutes") * 60).cast(pl.Int64)),
        )
    )
