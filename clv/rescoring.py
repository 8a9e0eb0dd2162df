"""Values from a model card: nobody is fitted.

The run's forecast is a levelled stack (`clv.stack`) in which a regression on each customer's whole history
takes part. Where that history is at hand, the kept forecast (`clv.kept`) says by how much a customer lies
above or below the purchase model on calendar time, and his expected purchases and value are multiplied by it.
Where a purchase summary is all there is, everybody's factor is the *level*, the stack's total over the
purchase model's. The chance of no purchase follows the factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from clv.intervals import churn_under
from clv.purchases.fits import PurchaseFit, fit_from_dict
from clv.spend import GammaGammaFit
from clv.value import predict_values
from histories.arrays import Float

#: What the level multiplies.
LEVELLED = ("expected_purchases", "discounted_purchases", "customer_lifetime_value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescorer:
    """The fitted models of a run, and how its values were counted.

    Attributes
    ----------
    fit, spend_fit
        Final fits of the purchase model and of the spend model.
    level
        The forecast's total over the purchase model's.
    horizon_months, discount_rate, gross_margin, time_unit
        As in the run: months, per year, share of revenue, day or week.
    """

    fit: PurchaseFit
    spend_fit: GammaGammaFit | None
    level: float
    horizon_months: int
    discount_rate: float
    gross_margin: float
    time_unit: str

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """Read a run's `model.json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it lacks a figure.
        """
        spend = card.get("spend")
        return cls(
            fit=fit_from_dict(card["final"][card["purchase_model"]]),
            spend_fit=GammaGammaFit.from_dict(spend) if spend else None,
            level=float((card.get("forecast") or {}).get("level", 1.0)),
            horizon_months=int(card["horizon_months"]),
            discount_rate=float(card["discount_rate"]),
            gross_margin=float(card["gross_margin"]),
            time_unit=str(card["time_unit"]),
        )

    def values(
        self,
        frequency: npt.ArrayLike,
        recency: npt.ArrayLike,
        T: npt.ArrayLike,
        monetary_value: npt.ArrayLike | None = None,
        *,
        horizon_months: int | None = None,
        factor: Float | None = None,
    ) -> dict[str, Float]:
        """What `predict_values` says of these summaries, after the run's forecast; shape (n,) each.

        The day of the next purchase is the purchase model's own.

        Parameters
        ----------
        frequency, recency, T, monetary_value
            Of each customer, shape (n,).
        horizon_months
            The run's by default.
        factor
            Of each customer, by the kept forecast; the level of all without it.
        """
        found = predict_values(
            self.fit,
            self.spend_fit,
            frequency,
            recency,
            T,
            monetary_value,
            horizon_months=self.horizon_months if horizon_months is None else horizon_months,
            discount_rate=self.discount_rate,
            gross_margin=self.gross_margin,
            time_unit=self.time_unit,
        )
        alive = found["probability_alive"]
        factor = np.full_like(alive, self.level) if factor is None else factor
        churn = churn_under(alive, found["churn_probability"], factor)
        return found | {name: found[name] * factor for name in LEVELLED} | {"churn_probability": churn}


def is_possible(x: Float, t_x: Float, T: Float) -> npt.NDArray[np.bool_]:
    """Which summaries a customer can have; shape (n,).

    >>> is_possible(np.array([0.0, 2.0, 2.0]), np.array([0.0, 0.0, 9.0]), np.array([5.0, 5.0, 5.0])).tolist()
    [True, False, False]
    """
    counts = (x >= 0) & (x == np.floor(x))
    return np.asarray(counts & (t_x >= 0) & (t_x <= T) & ((x > 0) == (t_x > 0)))
