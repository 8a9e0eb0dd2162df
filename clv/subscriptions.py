"""Customers under contract: who is there is known, so only the future has to be guessed.

Leaving follows the shifted beta-geometric model on contract months (`clv.contractual`); while a customer is
there, purchases come at a rate lambda ~ gamma(r, alpha) per month, of which the count x in the months M under
contract tells

    E[purchases in H months] = (r + x)/(alpha + M) * sum over j < H of s(j)/S(n)
    s(j) = (1 - f) S(n + j) + f S(n + j + 1)

for a customer of n whole months and the part f of another who is still there, and 0 for one who left. Who
pays regularly has paid less often than M months at his rate: counted from a purchase, and without it, events
with gaps of variation c come (1 - c^2)/2 short of it. On average (1 + c^2)/2 of a gap has passed since the
last purchase, which tells c; x counts what is short: half a payment of a monthly fee, and a whole one of who
left when it was used up. Value discounts each month's margin at its end. churn_probability is that of leaving
the contract within the horizon.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import scipy

from clv.contractual import ShiftedBetaGeometric, ShiftedBetaGeometricFit, count_renewals
from clv.customers import monthly_cost
from clv.evaluate import decile_of
from clv.pictures import CohortLength, cohort_of
from clv.purchases.base import FitReport
from clv.purchases.maximum import maximize
from clv.summary import DAYS_PER_UNIT
from clv.tables import work_out
from histories.arrays import Float
from histories.periods import DAYS_PER_MONTH

#: Name of the model in tables.
CONTRACT = "contract"
#: Simulated futures behind an interval.
DRAWS = 200
#: A purchase within so many days of the start belongs to signing the contract.
SIGNING_DAYS = 7
#: Customers simulated at once.
BLOCK = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractFit:
    """Leaving and buying of customers under contract.

    Attributes
    ----------
    leaving
        Shifted beta-geometric on months.
    r, alpha
        Purchases per month are gamma(r, alpha).
    frame
        customer_id, there (whether the contract runs), n (whole months), months (under contract) and x
        (purchases after signing, and `short` of them), sorted by customer_id.
    short
        By how much regular purchases come short of the rate times the months: of who is there, of who left.
    """

    leaving: ShiftedBetaGeometricFit
    r: float
    alpha: float
    frame: pl.DataFrame
    short: tuple[float, float] = (0.0, 0.0)

    def months_ahead(self, horizon: int) -> Float:
        """Share of month j of the future under contract, j = 1 ... horizon, shape (horizon, n)."""
        ahead, begun, n = np.arange(horizon + 1)[:, None], self._begun(), self._n()
        survival = self.leaving.predict_survival(n + ahead) / self.leaving.predict_survival(n)
        return np.asarray((1.0 - begun) * survival[:-1] + begun * survival[1:])

    def rate(self) -> Float:
        """Expected purchases of each customer per month under contract, shape (n,)."""
        x, months = (self.frame[name].to_numpy() for name in ("x", "months"))
        return np.asarray((self.r + x) / (self.alpha + months), dtype=np.float64)

    def expected_purchases(self, months: float) -> Float:
        """Purchases of each customer in the months ahead, shape (n,)."""
        whole = int(np.ceil(months))
        shares = np.clip(months - np.arange(whole), 0.0, 1.0)
        there = self.frame["there"].to_numpy()
        return np.asarray(there * self.rate() * (shares @ self.months_ahead(whole)))

    def _n(self) -> Float:
        return self.frame["n"].cast(pl.Float64).to_numpy()

    def _begun(self) -> Float:
        """How much of the month that runs is over, shape (n,): at its end the customer may leave."""
        return np.clip(self.frame["months"].to_numpy() - self._n(), 0.0, 1.0)

    def simulate(self, months: int, *, rng: np.random.Generator) -> Float:
        """Purchases of each customer in the months ahead in `DRAWS` futures, shape (draws, n)."""
        there, n = self.frame["there"].to_numpy(), self._n()
        x, seen = (self.frame[name].to_numpy() for name in ("x", "months"))
        size = (DRAWS, n.size)
        leave = np.clip(rng.beta(self.leaving.a, self.leaving.b + n, size), 1e-12, 1.0)
        stays = np.minimum(rng.geometric(leave) - self._begun(), months)
        rate = rng.standard_gamma(self.r + x, size) / (self.alpha + seen)
        return np.asarray(rng.poisson(rate * stays) * there, dtype=np.float64)

    def head(self, customers: int) -> ContractFit:
        """The same fit of the first customers."""
        return replace(self, frame=self.frame.head(customers))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model card."""
        return {
            "model": CONTRACT,
            "parameters": {"a": self.leaving.a, "b": self.leaving.b, "r": self.r, "alpha": self.alpha},
            "short": list(self.short),
            "period_days": DAYS_PER_MONTH,
            "customers": self.frame.height,
            "there": int(self.frame["there"].sum()),
            "report": self.leaving.report.to_dict(),
        }


def has_contracts(customers: pl.DataFrame | None) -> bool:
    """Whether the customers table says who came when and who left."""
    wanted = ("acquired_at", "ended_at")
    return customers is not None and all(
        name in customers.columns and customers[name].null_count() < customers.height for name in wanted
    )


def fit_contracts(customers: pl.DataFrame, summary: pl.DataFrame, *, end: date) -> ContractFit:
    """Fit leaving and buying on what was known at the end of day `end`.

    Parameters
    ----------
    customers
        customer_id, acquired_at and ended_at (null, or later than `end`, while the contract runs).
    summary
        Purchase summary up to `end`.
    end
        Last day seen.

    Raises
    ------
    DataError, ConvergenceError
        When nobody left, nobody renewed, or no customer has both a contract and a purchase.
    """
    renewals = count_renewals(customers.lazy(), observation_end=end, period_days=DAYS_PER_MONTH)
    leaving = ShiftedBetaGeometric().fit(renewals["periods"].to_numpy(), renewals["left"].to_numpy())
    short = _short_of_rate(customers, summary, end)
    frame = _under_contract(customers, summary, end, short)
    r, alpha = _fit_rates(frame["x"].to_numpy(), frame["months"].to_numpy())
    return ContractFit(leaving=leaving, r=r, alpha=alpha, frame=frame, short=short)


def kept_contracts(
    fields: Mapping[str, Any], customers: pl.DataFrame, summary: pl.DataFrame, *, end: date
) -> ContractFit:
    """The contracts of a day by the parameters that `ContractFit.to_dict` told; nothing is fitted."""
    known = fields["parameters"]
    leaving = ShiftedBetaGeometricFit(
        a=float(known["a"]), b=float(known["b"]), report=FitReport.from_dict(fields["report"])
    )
    of_present, of_gone = fields.get("short", (0.0, 0.0))
    short = (float(of_present), float(of_gone))
    frame = _under_contract(customers, summary, end, short)
    return ContractFit(
        leaving=leaving, r=float(known["r"]), alpha=float(known["alpha"]), frame=frame, short=short
    )


def _short_of_rate(customers: pl.DataFrame, summary: pl.DataFrame, end: date) -> tuple[float, float]:
    """What regular purchases come short, from the time since the last purchase in gaps of the same customers.

    Of who is there 1 less that time, which is (1 - c^2)/2; of who left twice as much of the time at leaving.
    """
    known = summary.filter(pl.col("frequency") > 0).join(customers, on="customer_id", how="inner")
    day = pl.col("T") / (pl.lit(end) - pl.col("first_purchase")).dt.total_days()
    left = pl.col("ended_at").is_not_null() & (pl.col("ended_at") <= end)
    after = ((pl.lit(end) - pl.col("ended_at")).dt.total_days() * day).clip(lower_bound=0.0).fill_null(0.0)
    told = known.select(
        left.alias("left"),
        (pl.col("T") - pl.col("recency") - pl.when(left).then(after).otherwise(0.0)).alias("passed"),
        (pl.col("recency") / pl.col("frequency")).alias("gap"),
    )
    passed = {gone: _in_gaps(told.filter(pl.col("left") == gone)) for gone in (False, True)}
    short = min(max(1.0 - passed[False], 0.0), 0.5)
    return short, 2.0 * short * min(max(passed[True], 0.0), 1.0)


def _in_gaps(told: pl.DataFrame) -> float:
    """Time passed over gaps of the same customers; 1, as for purchases at any time, where there are none."""
    passed, gaps = float(told["passed"].sum()), float(told["gap"].sum())
    return passed / gaps if gaps > 0.0 else 1.0


def _under_contract(
    customers: pl.DataFrame, summary: pl.DataFrame, end: date, short: tuple[float, float]
) -> pl.DataFrame:
    """The frame of a `ContractFit` as known at the end of a day."""
    last = pl.min_horizontal(pl.col("ended_at").fill_null(end), pl.lit(end))
    under = customers.filter(pl.col("acquired_at") <= end).select(
        "customer_id",
        "acquired_at",
        there=pl.col("ended_at").is_null() | (pl.col("ended_at") > end),
        months=((last - pl.col("acquired_at")).dt.total_days() / DAYS_PER_MONTH).clip(lower_bound=0.5),
        n=((pl.lit(end) - pl.col("acquired_at")).dt.total_days() / DAYS_PER_MONTH).floor(),
    )
    bought = summary.select("customer_id", "frequency", "first_purchase")
    # a purchase with the contract comes of signing it; a first purchase later on counts
    missing = pl.when("there").then(short[0]).otherwise(short[1])
    later = pl.col("first_purchase") > pl.col("acquired_at") + timedelta(days=SIGNING_DAYS)
    return (
        under.join(bought, on="customer_id", how="inner")
        .select(
            "customer_id",
            "there",
            "months",
            "n",
            x=pl.col("frequency") + pl.when(later).then(1.0).otherwise(missing),
        )
        .sort("customer_id")
    )


def _fit_rates(x: Float, months: Float) -> tuple[float, float]:
    """R and alpha of gamma-distributed rates from counts over known times (negative binomial)."""
    loggamma, psi = scipy.special.gammaln, scipy.special.digamma

    def score(vector: Float) -> tuple[float, Float]:
        r, alpha = vector
        value = float(
            (loggamma(r + x) - loggamma(r) + r * np.log(alpha) - (r + x) * np.log(alpha + months)).sum()
        )
        slope_r = float((psi(r + x) - psi(r) + np.log(alpha) - np.log(alpha + months)).sum())
        slope_alpha = float((r / alpha - (r + x) / (alpha + months)).sum())
        return value, np.array([slope_r, slope_alpha])

    mean = float(x.sum() / months.sum())
    best = maximize(
        score,
        names=("r", "alpha"),
        starts=[(1.0, 1.0 / mean), (5.0, 5.0 / mean)],
        lower=(1e-4, 1e-6),
        upper=(1e5, 1e8),
        customers=float(x.size),
        subject=f"purchases under contract of {x.size} customers",
    )
    return float(best.parameters[0]), float(best.parameters[1])


def foresee_contracts(
    contract: ContractFit, *, months: int, discount_rate: float, gross_margin: float
) -> pl.DataFrame:
    """What each contract leads to expect.

    Returns
    -------
    DataFrame
        customer_id; c_alive, c_churn; c_expected purchases; c_discount, the margin of a currency unit of
        these, discounted; c_months, discounted months as a customer.
    """
    n, there = contract.frame["n"].cast(pl.Float64).to_numpy(), contract.frame["there"].to_numpy()
    survival = contract.months_ahead(months)
    factors = (1.0 + discount_rate) ** (-np.arange(1, months + 1) / 12.0)
    expected = contract.expected_purchases(months)
    paid = there * contract.rate() * (factors @ survival)
    discount = np.divide(paid, expected, out=np.zeros_like(paid), where=expected > 0)
    stays = contract.leaving.predict_survival(n + months) / contract.leaving.predict_survival(n)
    return contract.frame.select("customer_id").with_columns(
        pl.Series("c_alive", there.astype(np.float64)),
        pl.Series("c_churn", np.where(there, 1.0 - stays, 1.0)),
        pl.Series("c_expected", expected),
        pl.Series("c_discount", discount * gross_margin),
        pl.Series("c_months", there * (factors @ survival)),
    )


def value_contracts(
    table: pl.DataFrame,
    contract: ContractFit,
    *,
    months: int,
    discount_rate: float,
    gross_margin: float,
    level: float,
    time_unit: str,
    rng: np.random.Generator,
) -> pl.DataFrame:
    """The customers table with presence, purchases and value as the contracts have them.

    Customers without a contract keep their row. Ranked by value again.

    Parameters
    ----------
    table
        The customers table, with cost (of serving so far).
    contract
        Fit at the end of observation.
    months, discount_rate, gross_margin
        How far ahead, per year, share of revenue.
    level
        Probability inside the intervals.
    time_unit
        Of T.
    rng
        Of the simulated futures.
    """
    tail, size = (1.0 - level) / 2.0, contract.frame.height
    low, high = np.empty(size), np.empty(size)
    for start in range(0, size, BLOCK):
        rows = slice(start, start + BLOCK)
        drawn = replace(contract, frame=contract.frame[rows]).simulate(months, rng=rng)
        low[rows], high[rows] = np.quantile(drawn, [tail, 1.0 - tail], axis=0, method="inverted_cdf")
    told = foresee_contracts(
        contract, months=months, discount_rate=discount_rate, gross_margin=gross_margin
    ).with_columns(pl.Series("c_low", low), pl.Series("c_high", high))
    joined = table.join(told, on="customer_id", how="left", maintain_order="left")
    known = pl.col("c_alive").is_not_null()
    serving = pl.Series(
        "c_serving", monthly_cost(joined["cost"], joined["T"].to_numpy() * DAYS_PER_UNIT[time_unit])
    )

    def instead(name: str, value: pl.Expr) -> pl.Expr:
        return pl.when(known).then(value).otherwise(pl.col(name)).alias(name)

    spend = pl.col("expected_spend") * pl.col("c_discount")
    joined = joined.with_columns(serving).with_columns(
        instead("probability_alive", pl.col("c_alive")),
        instead("churn_probability", pl.col("c_churn")),
        instead("expected_purchases", pl.col("c_expected")),
        instead("expected_purchases_low", pl.col("c_low")),
        instead("expected_purchases_high", pl.col("c_high")),
        instead("customer_lifetime_value", pl.col("c_expected") * spend),
        instead("customer_lifetime_value_low", pl.col("c_low") * spend),
        instead("customer_lifetime_value_high", pl.col("c_high") * spend),
        pl.when(known & (pl.col("c_alive") == 0))
        .then(None)
        .otherwise(pl.col("expected_next_purchase"))
        .alias("expected_next_purchase"),
        pl.when(known & pl.col("cost").is_not_null())
        .then(pl.col("c_serving") * pl.col("c_months"))
        .otherwise(pl.col("cost_to_serve"))
        .alias("cost_to_serve"),
        pl.when(known).then(pl.lit(CONTRACT)).otherwise(pl.col("model")).alias("model"),
    )
    joined = work_out(joined).drop(name for name in joined.columns if name.startswith("c_"))
    ranked = joined.sort("customer_lifetime_value", "customer_id", descending=[True, False], nulls_last=True)
    return ranked.with_columns(pl.Series("decile", decile_of(-np.arange(ranked.height, dtype=np.float64))))


def retention_curve(
    customers: pl.DataFrame, leaving: ShiftedBetaGeometricFit, *, end: date, level: float
) -> pl.DataFrame:
    """Share still there after each month under contract, observed (Kaplan & Meier 1958) beside expected.

    Returns
    -------
    DataFrame
        month (from 1), at_risk (renewal decisions seen), left, retained, low and high (Greenwood's error on
        the log scale), expected (shifted beta-geometric).
    """
    renewals = count_renewals(customers.lazy(), observation_end=end, period_days=DAYS_PER_MONTH)
    periods, left = renewals["periods"].to_numpy(), renewals["left"].to_numpy()
    month = np.arange(1, int(periods.max(initial=0)) + 1)
    at_risk = np.array([(periods >= t).sum() for t in month], dtype=np.float64)
    gone = np.array([(left & (periods == t)).sum() for t in month], dtype=np.float64)
    retained = np.cumprod(1.0 - gone / np.maximum(at_risk, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(np.cumsum(gone / (at_risk * np.maximum(at_risk - gone, 1e-12))))
    reach = float(scipy.special.ndtri(0.5 + level / 2.0)) * error
    return pl.DataFrame(
        {
            "month": month,
            "at_risk": at_risk.astype(np.int64),
            "left": gone.astype(np.int64),
            "retained": retained,
            "low": np.clip(retained * np.exp(-reach), 0.0, 1.0),
            "high": np.clip(retained * np.exp(reach), 0.0, 1.0),
            "expected": leaving.predict_survival(month),
        }
    )


def contract_cohorts(
    customers: pl.DataFrame, leaving: ShiftedBetaGeometricFit, *, end: date, length: CohortLength
) -> pl.DataFrame:
    """How many of each cohort are still there, beside how many the model expects.

    Returns
    -------
    DataFrame
        cohort (first day), customers, there, retained (share) and expected (share), oldest first.
    """
    known = customers.filter(pl.col("acquired_at") <= end).with_columns(
        cohort=cohort_of("acquired_at", length),
        n=((pl.lit(end) - pl.col("acquired_at")).dt.total_days() / DAYS_PER_MONTH).floor(),
        stays=pl.col("ended_at").is_null() | (pl.col("ended_at") > end),
    )
    expected = pl.Series("expected", leaving.predict_survival(known["n"].to_numpy()))
    return (
        known.with_columns(expected)
        .group_by("cohort")
        .agg(
            customers=pl.len().cast(pl.Int64),
            there=pl.col("stays").sum().cast(pl.Int64),
            retained=pl.col("stays").mean(),
            expected=pl.col("expected").mean(),
        )
        .sort("cohort")
    )
