"""What every fitted purchase model offers, and what it says about itself besides its parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from clv.purchases.maximum import Maximum, Score
from clv.purchases.observations import Observations
from histories.arrays import Float


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseFit(ABC):
    """A fitted purchase model: its parameters and predictions.

    Arrays of one call have one shape; times are in the unit that was fitted. A model says what a customer
    does who is alive at T, and how likely that is; the rest follows here.

    Attributes
    ----------
    report
        Likelihood, sample size and covariance of the fit.
    """

    parameter_names: ClassVar[tuple[str, ...]] = ()

    report: FitReport

    @property
    @abstractmethod
    def model(self) -> str:
        """Name of the model, as in the configuration."""

    @property
    def memoryless(self) -> bool:
        """Whether the future of a living customer depends on frequency and T alone."""
        return True

    @property
    def cost(self) -> int:
        """Work of one row in one pass over the data, in units of a BG/NBD row."""
        return 1

    @abstractmethod
    def scorer(self, data: Observations) -> Score:
        """Log-likelihood and gradient on `data`, as a function of the parameter vector."""

    def many_scorer(self, data: Observations) -> Callable[[Float], Float]:
        """Log-likelihoods at many parameter vectors, shape (draws, k) to (draws,)."""
        score = self.scorer(data)
        return lambda vectors: np.array([score(vector)[0] for vector in vectors])

    @abstractmethod
    def predict_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """P(alive at T), shape (n,)."""

    @abstractmethod
    def predict_purchases_alive(self, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """E[purchases in (T, T + t] | alive at T] at the horizons `t`, shape (len(t), n)."""

    @abstractmethod
    def predict_tail_alive(self, m: int, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """P(at least m purchases in (T, T + t] | alive at T), shape (n,)."""

    @abstractmethod
    def predict_ever_alive(self, x: Float, T: Float) -> Float:
        """P(a further purchase ever | alive at T), shape (n,)."""

    @abstractmethod
    def predict_median_alive(self, x: Float, t_x: Float, T: Float) -> Float:
        """Median time from T to the next purchase, given alive at T and that one comes, shape (n,)."""

    @abstractmethod
    def predict_survival_alive(self, t: Float, x: Float, T: Float) -> Float:
        """P(alive at T + t | alive at T) at the times `t`, shape (len(t), n)."""

    @abstractmethod
    def predict_residual_alive(self, rate: float, x: Float, T: Float) -> Float:
        """E[purchases after T for ever, discounted at `rate` | alive at T], shape (n,)."""

    @abstractmethod
    def simulate_alive(self, t: float, x: Float, T: Float, *, rng: np.random.Generator) -> Float:
        """Draw the number of purchases in (T, T + t] of customers who are alive at T, shape (n,)."""

    @abstractmethod
    def expected_purchases(self, t: Float) -> Float:
        """E[repeat purchases of a new customer in (0, t]], shape (len(t),)."""

    def predict_purchases(self, t: Float, x: Float, t_x: Float, T: Float) -> Float:
        """E[purchases in (T, T + t]] at the horizons `t`, shape (len(t), n)."""
        return self.predict_alive(x, t_x, T) * self.predict_purchases_alive(t, x, t_x, T)

    def predict_no_purchase(self, t: Float | float, x: Float, t_x: Float, T: Float) -> Float:
        """P(no purchase in (T, T + t]): the probability of churn within t, shape (n,)."""
        return self.predict_count(0, t, x, t_x, T)

    def predict_count(self, n: int, t: Float | float, x: Float, t_x: Float, T: Float) -> Float:
        """P(exactly n purchases in (T, T + t]), shape (n_customers,)."""
        horizon = np.broadcast_to(np.asarray(t, dtype=np.float64), x.shape)
        alive = self.predict_alive(x, t_x, T)
        more = self.predict_tail_alive(n + 1, horizon, x, t_x, T)
        if n == 0:
            return np.clip(1.0 - alive * more, 0.0, 1.0)
        return alive * np.maximum(self.predict_tail_alive(n, horizon, x, t_x, T) - more, 0.0)

    def predict_next_purchase(self, x: Float, t_x: Float, T: Float) -> Float:
        """Median time from T to the next purchase given that one comes, shape (n,).

        NaN where none comes with probability over 1/2.
        """
        comes = self.predict_alive(x, t_x, T) * self.predict_ever_alive(x, T)
        return np.where(comes < 0.5, np.nan, self.predict_median_alive(x, t_x, T))

    def predict_residual(self, rate: float, x: Float, t_x: Float, T: Float) -> Float:
        """DERT: E[purchases after T for ever, discounted continuously at `rate`], shape (n,)."""
        return self.predict_alive(x, t_x, T) * self.predict_residual_alive(rate, x, T)

    def vector(self) -> Float:
        """The parameters in the order of `parameter_names`, shape (k,)."""
        return np.array([getattr(self, name) for name in self.parameter_names], dtype=np.float64)

    def with_vector(self, vector: Float) -> Self:
        """The same model at other parameters."""
        values: dict[str, Any] = dict(zip(self.parameter_names, map(float, vector), strict=True))
        return replace(self, **values)

    def standard_errors(self) -> dict[str, float] | None:
        """Standard error of each parameter (delta method from the logs); None when the likelihood is flat."""
        covariance = self.report.log_covariance()
        if covariance is None:
            return None
        errors = self.vector() * np.sqrt(np.diag(covariance))
        return dict(zip(self.parameter_names, errors.tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        parameters = dict(zip(self.parameter_names, self.vector().tolist(), strict=True))
        return {"model": self.model, "parameters": parameters, "report": self.report.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Undo `to_dict`."""
        return cls(**fields["parameters"], report=FitReport.from_dict(fields["report"]))
