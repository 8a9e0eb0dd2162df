"""How many customers buy at all: what their chances of leaving say of time held back, and what came.

A total of purchases may be right where the chances are not, since whoever stays buys several times. Of n
customers with chances p to buy the number of buyers has the mean sum p and the variance sum p (1 - p); beyond
three deviations and a tenth of the mean, the chances are refuted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
import polars as pl

from clv.challenger import Tilt
from clv.evaluate import validation_frame
from clv.intervals import churn_under
from clv.outlook import Outlook, columns_of
from histories.arrays import Float

DEVIATIONS, TOLERANCE = 3.0, 0.1
"""What chance may do, and what a share of the mean is let pass as the model's own error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyers:
    """Customers who were expected to buy in one window, and who did.

    Attributes
    ----------
    origin, until
        The window: behind `origin`, up to `until`, that day included.
    model
        Whose forecast it is.
    customers
        How many were known at the origin.
    expected, low, high
        The sum of their chances, and the limits beyond which the chances are refuted.
    actual
        How many bought.
    """

    origin: date
    until: date
    model: str
    customers: int
    expected: float
    low: float
    high: float
    actual: int

    @classmethod
    def of(cls, outlook: Outlook, timed: pl.DataFrame, actual: Float, *, until: date) -> Self:
        """Of the forecast that counts.

        Parameters
        ----------
        outlook
            The forecast of the window.
        timed
            Purchase summary at the origin in the time of the outlook's clock.
        actual
            Purchases of each customer in the window, shape (n,).
        until
            Last day of the window.
        """
        fit = outlook.fits[outlook.base]
        ahead = outlook.clock.ahead(outlook.origin, outlook.days)
        x, t_x, T = columns_of(timed, "frequency", "recency", "T")
        silent = np.clip(fit.predict_no_purchase(ahead, x, t_x, T), 0.0, 1.0)
        if outlook.chosen != outlook.base:
            own = fit.predict_purchases(np.array([ahead]), x, t_x, T)[0]
            factor = Tilt.of(outlook.expected, own).factor(outlook.expected, own)
            silent = churn_under(fit.predict_alive(x, t_x, T), silent, factor)
        expected = float((1.0 - silent).sum())
        reach = DEVIATIONS * float(np.sqrt((silent * (1.0 - silent)).sum())) + TOLERANCE * expected
        return cls(
            origin=outlook.origin,
            until=until,
            model=outlook.chosen,
            customers=x.size,
            expected=expected,
            low=max(expected - reach, 0.0),
            high=expected + reach,
            actual=int((actual > 0).sum()),
        )

    @property
    def note(self) -> str | None:
        """That the chances are refuted; None where they are not."""
        if self.low <= self.actual <= self.high:
            return None
        way = "low" if self.actual < self.low else "high"
        return (
            f"of {self.customers:,} customers {self.expected:,.0f} were expected to buy from {self.origin} "
            f"to {self.until}, and {self.actual:,} did: churn_probability, the chance of leaving, is told "
            f"too {way}"
        )

    def rows(self) -> pl.DataFrame:
        """The same in `VALIDATION_SCHEMA`: buyers_predicted with its limits, and buyers_actual."""
        about, n = (self.origin, self.model), self.customers
        return validation_frame(
            [
                (*about, "buyers_predicted", self.expected, self.low, self.high, n),
                (*about, "buyers_actual", float(self.actual), np.nan, np.nan, n),
            ]
        )
