"""The purchase models by name: what a fit can do, how to make one and how to bring one back from JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import polars as pl

from clv.purchases.beta_geometric import BgNbd, BgNbdFit, MbgNbd, MbgNbdFit
from clv.purchases.maximum import Score
from clv.purchases.observations import FloatArray, Observations
from clv.purchases.pareto_nbd import ParetoNbd, ParetoNbdFit
from clv.purchases.report import FitReport
from histories.errors import BundleError, ConfigError, nearest

__all__ = ["PurchaseFit", "fit_from_dict", "fit_purchases"]


@runtime_checkable
class PurchaseFit(Protocol):
    """What every fitted purchase model offers. Arrays of one call have one shape; times are in the fit's unit."""

    parameter_names: ClassVar[tuple[str, ...]]

    @property
    def report(self) -> FitReport:
        """Likelihood, sample size and covariance of the fit."""

    @property
    def model(self) -> str:
        """Name of the model, as in the configuration."""

    @property
    def memoryless(self) -> bool:
        """Whether the future of a living customer depends on frequency and T alone."""

    @property
    def cost(self) -> int:
        """Work of one row in one pass over the data, in units of a BG/NBD row."""

    def vector(self) -> FloatArray:
        """The parameters in the order of `parameter_names`."""

    def with_vector(self, vector: FloatArray) -> Self:
        """The same model at other parameters."""

    def predict_alive(self, x: FloatArray, t_x: FloatArray, T: FloatArray) -> FloatArray:
        """P(alive at T), shape (n,)."""

    def predict_purchases(self, t: FloatArray, x: FloatArray, t_x: FloatArray, T: FloatArray) -> FloatArray:
        """E[purchases in (T, T + t]], shape (len(t), n)."""

    def predict_purchases_alive(
        self, t: FloatArray, x: FloatArray, t_x: FloatArray, T: FloatArray
    ) -> FloatArray:
        """E[purchases in (T, T + t] | alive at T], shape (len(t), n)."""

    def predict_no_purchase(
        self, t: FloatArray | float, x: FloatArray, t_x: FloatArray, T: FloatArray
    ) -> FloatArray:
        """P(no purchase in (T, T + t]), shape (n,)."""

    def predict_count(
        self, n: int, t: FloatArray | float, x: FloatArray, t_x: FloatArray, T: FloatArray
    ) -> FloatArray:
        """P(exactly n purchases in (T, T + t]), shape (n_customers,)."""

    def predict_survival_alive(self, t: FloatArray, x: FloatArray, T: FloatArray) -> FloatArray:
        """P(alive at T + t | alive at T), shape (len(t), n)."""

    def predict_next_purchase(self, x: FloatArray, t_x: FloatArray, T: FloatArray) -> FloatArray:
        """Median time to the next purchase given that one comes; NaN where none comes with probability over 1/2."""

    def predict_residual(self, rate: float, x: FloatArray, t_x: FloatArray, T: FloatArray) -> FloatArray:
        """E[purchases after T for ever, discounted at `rate` per time unit], shape (n,)."""

    def expected_purchases(self, t: FloatArray) -> FloatArray:
        """E[repeat purchases of a new customer in (0, t]], shape (len(t),)."""

    def simulate_alive(
        self, t: float, x: FloatArray, T: FloatArray, *, rng: np.random.Generator
    ) -> FloatArray:
        """Draw the number of purchases in (T, T + t] of customers alive at T, shape (n,)."""

    def scorer(self, data: Observations) -> Score:
        """Log-likelihood and gradient as a function of the parameter vector."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


#: How to fit each model, from a summary and a penalizer.
FITTERS: dict[str, Callable[[pl.DataFrame, float], PurchaseFit]] = {
    "bg_nbd": lambda summary, penalizer: BgNbd(penalizer=penalizer).fit(summary),
    "mbg_nbd": lambda summary, penalizer: MbgNbd(penalizer=penalizer).fit(summary),
    "pareto_nbd": lambda summary, penalizer: ParetoNbd(penalizer=penalizer).fit(summary),
}

#: How to bring each model back from `to_dict`.
READERS: dict[str, Callable[[Mapping[str, Any]], PurchaseFit]] = {
    "bg_nbd": BgNbdFit.from_dict,
    "mbg_nbd": MbgNbdFit.from_dict,
    "pareto_nbd": ParetoNbdFit.from_dict,
}


def fit_purchases(model: str, summary: pl.DataFrame, *, penalizer: float = 0.0) -> PurchaseFit:
    """Fit the purchase model called `model`.

    Raises
    ------
    ConfigError
        When there is no such model.
    ConvergenceError
        When no maximum is found.
    """
    if model not in FITTERS:
        raise ConfigError(f'unknown purchase model "{model}"; {nearest(model, FITTERS)}')
    return FITTERS[model](summary, penalizer)


def fit_from_dict(fields: Mapping[str, Any]) -> PurchaseFit:
    """Bring a fit back from `to_dict`, also after a trip through JSON.

    Raises
    ------
    BundleError
        When the model is not one of ours.
    """
    model = str(fields.get("model"))
    if model not in READERS:
        raise BundleError(f'a fit names the purchase model "{model}"; {nearest(model, READERS)}')
    return READERS[model](fields)
