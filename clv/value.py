"""What customers are worth: predictions and discounted value.

Everything here works on arrays and needs numpy and scipy only, so a service can value a customer it has never
seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clv.purchases.base import PurchaseFit
from clv.spend import GammaGammaFit
from clv.summary import DAYS_PER_UNIT
from histories.arrays import Float
from histories.periods import DAYS_PER_MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """How far ahead value is counted, and how it is discounted.

    Attributes
    ----------
    months
        Length, in months of 30.4375 days.
    discount_rate
        Per year; the monthly rate is (1 + d)^(1/12) - 1, paid at month ends.
    time_unit
        "day" or "week": the unit of the fit.
    """

    months: int = 12
    discount_rate: float = 0.10
    time_unit: str = "week"

    @property
    def month(self) -> float:
        """Length of a month, in time units."""
        return DAYS_PER_MONTH / DAYS_PER_UNIT[self.time_unit]

    @property
    def length(self) -> float:
        """Length of the horizon, in time units."""
        return self.months * self.month

    def ends(self) -> Float:
        """Month ends from the end of observation, in time units, shape (months,)."""
        return np.asarray(np.arange(1, self.months + 1) * self.month, dtype=np.float64)

    def factors(self) -> Float:
        """Discount factors at the month ends, shape (months,)."""
        return np.asarray((1.0 + self.discount_rate) ** (-np.arange(1, self.months + 1) / 12.0))


def predict_values(
    fit: PurchaseFit,
    spend_fit: GammaGammaFit | None,
    frequency: npt.ArrayLike,
    recency: npt.ArrayLike,
    T: npt.ArrayLike,
    monetary_value: npt.ArrayLike | None = None,
    *,
    horizon_months: int = 12,
    discount_rate: float = 0.10,
    gross_margin: float = 1.0,
    time_unit: str = "week",
) -> dict[str, Float]:
    """Value customers from their purchase summary.

    Parameters
    ----------
    fit, spend_fit
        Fitted purchase and spend models; without a spend model spend and value are NaN.
    frequency, recency, T, monetary_value
        Shape (n,); recency and T in `time_unit`, monetary_value in currency (NaN or any number at frequency
        0).
    horizon_months, discount_rate, gross_margin
        How far ahead, per year, share of revenue.
    time_unit
        "day" or "week".

    Returns
    -------
    dict
        Arrays of shape (n,): probability_alive, churn_probability, expected_purchases, expected_spend,
        discounted_purchases, customer_lifetime_value and days_to_next_purchase (NaN when none is likely).

    Examples
    --------
    >>> from clv.purchases import GeometricFit, FitReport
    >>> report = FitReport(log_likelihood=-9582.43, customers=2357, covariance=None)
    >>> fit = GeometricFit(r=0.2426, alpha=4.4136, a=0.7929, b=2.4259, report=report)
    >>> values = predict_values(fit, None, [2], [30.43], [38.86], horizon_months=9)
    >>> round(float(values["expected_purchases"][0]), 2)
    1.23
    """
    x, t_x, age = (np.asarray(a, dtype=np.float64) for a in (frequency, recency, T))
    horizon = Horizon(months=horizon_months, discount_rate=discount_rate, time_unit=time_unit)
    alive = fit.predict_alive(x, t_x, age)
    expected, discounted = discounted_purchases(fit, horizon, x, t_x, age, alive=alive)
    if spend_fit is None or monetary_value is None:
        spend = np.full_like(x, np.nan)
    else:
        spend = spend_fit.predict_spend(x, np.asarray(monetary_value, dtype=np.float64))
    return {
        "probability_alive": alive,
        "churn_probability": np.clip(fit.predict_no_purchase(horizon.length, x, t_x, age), 0.0, 1.0),
        "expected_purchases": expected,
        "expected_spend": spend,
        "discounted_purchases": discounted,
        "customer_lifetime_value": discounted * spend * gross_margin,
        "days_to_next_purchase": fit.predict_next_purchase(x, t_x, age) * DAYS_PER_UNIT[time_unit],
    }


def discounted_purchases(
    fit: PurchaseFit,
    horizon: Horizon,
    x: Float,
    t_x: Float,
    T: Float,
    *,
    alive: Float | None = None,
) -> tuple[Float, Float]:
    """Expected purchases within the horizon, plain and discounted at month ends; two arrays of shape (n,).

    Where the future of a living customer depends on frequency and T alone, each distinct pair is worked out
    once.
    """
    alive = fit.predict_alive(x, t_x, T) if alive is None else alive
    if fit.memoryless:
        first, inverse = distinct_pairs(x, T)
        plain, discounted = _discounted_alive(fit, horizon, x[first], t_x[first], T[first])
        plain, discounted = plain[inverse], discounted[inverse]
    else:
        plain, discounted = _discounted_alive(fit, horizon, x, t_x, T)
    return alive * plain, alive * discounted


def _discounted_alive(
    fit: PurchaseFit, horizon: Horizon, x: Float, t_x: Float, T: Float
) -> tuple[Float, Float]:
    """The same given alive, in blocks that bound the memory."""
    ends, factors = horizon.ends(), horizon.factors()
    # sum of d_m (E_m - E_(m-1)) = sum of E_m (d_m - d_(m+1)), with nothing after the last month
    steps = factors - np.append(factors[1:], 0.0)
    plain, discounted = np.empty_like(x), np.empty_like(x)
    for start in range(0, x.size, VALUE_BLOCK):
        rows = slice(start, start + VALUE_BLOCK)
        cumulated = fit.predict_purchases_alive(ends, x[rows], t_x[rows], T[rows])
        plain[rows] = cumulated[-1]
        discounted[rows] = steps @ cumulated
    return plain, discounted


#: Customers worked on at once, to bound the memory of months x customers.
VALUE_BLOCK = 200_000


def distinct_pairs(x: Float, T: Float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows that show each distinct (x, T) once, and for every row the position of its own."""
    x_values, x_index = np.unique(x, return_inverse=True)
    T_values, T_index = np.unique(T, return_inverse=True)
    key = x_index * T_values.size + T_index
    size = x_values.size * T_values.size
    if size > 8 * key.size:  # sparse: sort instead of marking a table
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        return first, inverse
    first_of = np.full(size, -1, dtype=np.intp)
    first_of[key[::-1]] = np.arange(key.size - 1, -1, -1)
    present = np.flatnonzero(first_of >= 0)
    position = np.empty(size, dtype=np.intp)
    position[present] = np.arange(present.size)
    return first_of[present], position[key]
