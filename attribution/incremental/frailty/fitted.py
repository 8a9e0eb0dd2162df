"""A fitted shared-frailty model: a value that predicts for any customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.effects import Effects, outer_product_correction
from attribution.incremental.frailty.data import FrailtyData, frailty_data
from attribution.incremental.frailty.design import FrailtyDesign
from attribution.incremental.frailty.influence import reweighted
from attribution.incremental.frailty.parameters import Parameters, Shape
from attribution.incremental.frailty.posterior import Posterior, draw_predictors
from attribution.incremental.setfunction import PanelPrediction
from histories.panel import Panel

__all__ = ["PosteriorCache", "SharedFrailtyFit"]

Float = NDArray[np.floating]
Array = NDArray[np.float64]

COLD_STEPS = 6
"""Newton steps that take the posteriors of new customers from the prior to their mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorCache:
    """Posteriors of the customers of a fit, kept only to spare work when the same customers come again."""

    satisfaction: NDArray[np.float32]
    constant: NDArray[np.float32]
    spread: NDArray[np.float32]
    variance: NDArray[np.float32]
    fingerprint: tuple[float, ...]

    @staticmethod
    def of(data: FrailtyData, posterior: Posterior) -> PosteriorCache:
        """Keep these posteriors for this data."""
        return PosteriorCache(
            satisfaction=posterior.satisfaction.astype(np.float32),
            constant=posterior.constant.astype(np.float32),
            spread=posterior.spread.astype(np.float32),
            variance=posterior.variance.astype(np.float32),
            fingerprint=_fingerprint(data),
        )

    def fits(self, data: FrailtyData) -> bool:
        """Whether these are the posteriors of the same customers."""
        return self.fingerprint == _fingerprint(data)

    def resume(self, size: int) -> Posterior:
        """A workspace that starts from these posteriors; `size` is the length of the flat parameters."""
        return Posterior(
            satisfaction=self.satisfaction.astype(np.float64),
            constant=self.constant.astype(np.float64),
            spread=self.spread.astype(np.float64),
            variance=self.variance.astype(np.float64),
            bound=np.zeros(len(self.constant)),
            dispersion=np.zeros((len(self.constant), 2)),
            score=np.zeros((len(self.constant), size), dtype=np.float32),
            slope=np.zeros(size),
        )


def _fingerprint(data: FrailtyData) -> tuple[float, ...]:
    rows = data.rows
    weight = np.arange(1, data.n_lives + 1, dtype=np.float64)
    return (
        float(data.n_lives),
        float(weight @ rows.spend.sum(axis=1)),
        float(weight @ rows.touches.sum(axis=(1, 2))),
        float(weight @ (rows.stop - rows.first)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFrailtyFit:
    """Fitted shared-frailty model. Channels C, measurements M (leaving, spend, touches, problem)."""

    channels: tuple[str, ...]
    """Names of the C channels."""
    shape: Shape
    """Sizes of the parameter blocks."""
    parameters: Parameters
    """The optimum."""
    beta_error: Array
    """Standard error of beta, shape (C,)."""
    gamma_error: Array
    """Standard error of gamma, shape (C,)."""
    dynamic: bool
    """Whether satisfaction drifts."""
    second_factor: bool
    """Whether a second, constant factor is in the model."""
    bound: float
    """Penalised lower bound of the log-likelihood, up to a constant of the data."""
    iterations: int
    """Steps of the last climb."""
    n_customers: int
    """Customers it was fitted to."""
    start_disagreement: float | None
    """Largest difference of stock effects between two starts, in standard errors; None with one start."""
    problems: tuple[str, ...]
    """Why no credit from this fit is supported; empty when nothing speaks against it."""
    draws: int
    """Posterior draws that predictions carry."""
    design: FrailtyDesign
    """Covariates and proxies, as learned from the fitted customers."""
    influence: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """Change of the flat parameters per unit of a customer's weight, shape (N, p); not stored."""
    robust: bool = False
    """Whether influence and errors rest on the measured curvature, not on the outer product of scores."""
    cache: PosteriorCache | None = field(default=None, repr=False, compare=False)
    """Posteriors of the fitted customers; not stored, and without them predictions only take longer."""

    @property
    def beta(self) -> Array:
        """Change of the log-odds of leaving per unit of stock, shape (C,)."""
        beta: Array = self.parameters.stocks[0]
        return beta

    @property
    def gamma(self) -> Array:
        """Change of log spend per unit of stock, shape (C,)."""
        gamma: Array = self.parameters.stocks[1]
        return gamma

    @property
    def rho(self) -> float:
        """Correlation of satisfaction from one period to the next; 1 when it is constant."""
        return self.parameters.rho if self.dynamic else 1.0

    def with_stocks(self, panel: Panel, stocks: NDArray[np.float32]) -> None:
        """No profile of stocks (see `FittedPanelModel`)."""

    def effects(self) -> Effects | None:
        """Beta and gamma with each customer's influence; None where it was not kept."""
        if self.influence is None:
            return None
        return Effects(
            values=np.concatenate([self.beta, self.gamma]),
            influence=np.asarray(self.influence[:, self.shape.slices()["stocks"]], dtype=np.float64),
            correction=1.0 if self.robust else outer_product_correction(self.influence),
        )

    def reweighted(self, weights: Array) -> SharedFrailtyFit:
        """The fit to reweighted customers, by one step of their influence.

        Raises
        ------
        ValueError
            If the influence was not kept, or is of other customers.
        """
        moved = reweighted(self.parameters, self.shape, self.influence, weights, n_customers=self.n_customers)
        return replace(self, parameters=moved, influence=None)

    def predict(
        self,
        panel: Panel,
        stocks: Float,
        *,
        rng: np.random.Generator,
    ) -> PanelPrediction:
        """What the model says of these customers when no channel acts.

        Parameters
        ----------
        panel, stocks
            Customers with the covariates, channels and periods of the fit.
        rng
            Draws the latents.
        """
        use = np.any(self.parameters.covariates != 0.0, axis=1)
        data = frailty_data(panel, stocks, self.design, use=use)
        posterior = self._posterior(data)
        leaving, spending = draw_predictors(
            data, self.parameters, posterior, dynamic=self.dynamic, draws=self.draws, rng=rng
        )
        by_stock = data.rows.stocks @ self.parameters.stocks.T
        at_risk = data.at_risk
        spend = (np.exp(spending + by_stock[:, :, 1]) * at_risk).sum() / self.draws
        hazard = 1.0 / (1.0 + np.exp(-leaving - by_stock[:, :, 0]))
        survivors = data.n_lives - (hazard * at_risk).sum() / self.draws if use[0] else data.survival.sum()
        return PanelPrediction(
            hazard_offset=leaving if use[0] else None,
            survival=data.survival,
            expected_spend=float(spend),
            expected_survivors=float(survivors),
        )

    def _posterior(self, data: FrailtyData) -> Posterior:
        if self.cache is not None and self.cache.fits(data):
            posterior, steps = self.cache.resume(self.shape.size), 1
        else:
            posterior, steps = Posterior.blank(data), COLD_STEPS
        posterior.improve(data, self.parameters, dynamic=self.dynamic, steps=steps)
        return posterior

    def to_dict(self) -> dict[str, Any]:
        """Everything but influence and posteriors, as JSON can hold it."""
        parts = {
            name: getattr(self, name)
            for name in (
                "dynamic",
                "second_factor",
                "bound",
                "iterations",
                "n_customers",
                "start_disagreement",
                "draws",
                "robust",
            )
        }
        return {
            **parts,
            "channels": list(self.channels),
            "problems": list(self.problems),
            "design": self.design.to_dict(),
            "shape": asdict(self.shape),
            "parameters": self.parameters.to_vector().tolist(),
            "shape_of_spend": self.parameters.shape_of_spend,
            "beta_error": self.beta_error.tolist(),
            "gamma_error": self.gamma_error.tolist(),
        }

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> SharedFrailtyFit:
        """The inverse of `to_dict`."""
        parts = dict(stored)
        shape = Shape(**parts.pop("shape"))
        vector = np.array(parts.pop("parameters"), dtype=np.float64)
        parameters = Parameters.from_vector(vector, shape, float(parts.pop("shape_of_spend")))
        return SharedFrailtyFit(
            shape=shape,
            design=FrailtyDesign.from_dict(parts.pop("design")),
            parameters=parameters,
            channels=tuple(parts.pop("channels")),
            problems=tuple(parts.pop("problems")),
            beta_error=np.array(parts.pop("beta_error")),
            gamma_error=np.array(parts.pop("gamma_error")),
            **parts,
        )
