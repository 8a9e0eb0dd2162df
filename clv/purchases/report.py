"""What every fit says about itself, besides its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clv.purchases.maximum import Maximum
from histories.arrays import Float

__all__ = ["UNFITTED", "FitReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """Likelihood and uncertainty of a fit.

    Attributes
    ----------
    log_likelihood
        In original time units, so models can be compared.
    customers
        Number of customers fitted.
    covariance
        Of the logs of the parameters, k rows of k numbers; None when the likelihood is flat.
    at_bound
        Parameters at the edge of what the search allows: the data ask for a limiting case.
    engine
        "fast" or "lifetimes".
    """

    log_likelihood: float
    customers: int
    covariance: tuple[tuple[float, ...], ...] | None
    at_bound: tuple[str, ...] = ()
    engine: str = "fast"

    @classmethod
    def from_maximum(cls, maximum: Maximum, *, log_likelihood: float, customers: float) -> FitReport:
        """The report of a search, its likelihood already in original time units."""
        covariance = maximum.covariance
        return cls(
            log_likelihood=float(log_likelihood),
            customers=round(customers),
            covariance=None if covariance is None else tuple(tuple(map(float, row)) for row in covariance),
            at_bound=maximum.at_bound,
        )

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FitReport:
        """Undo `to_dict`, also after a trip through JSON."""
        covariance = fields["covariance"]
        return cls(
            log_likelihood=float(fields["log_likelihood"]),
            customers=int(fields["customers"]),
            covariance=None if covariance is None else tuple(tuple(map(float, row)) for row in covariance),
            at_bound=tuple(fields["at_bound"]),
            engine=str(fields["engine"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "log_likelihood": self.log_likelihood,
            "customers": self.customers,
            "covariance": None if self.covariance is None else [list(row) for row in self.covariance],
            "at_bound": list(self.at_bound),
            "engine": self.engine,
        }

    def log_covariance(self) -> Float | None:
        """The covariance as an array, shape (k, k)."""
        return None if self.covariance is None else np.array(self.covariance, dtype=np.float64)


#: The report of a model whose parameters nobody has estimated yet.
UNFITTED = FitReport(log_likelihood=float("nan"), customers=0, covariance=None)
