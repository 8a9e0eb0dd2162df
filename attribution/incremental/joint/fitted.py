"""A fitted joint model of satisfaction and dropout: a value that predicts for any customers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.influence import reweighted
from attribution.incremental.frailty.parameters import Parameters, Shape
from attribution.incremental.frailty.posterior import Posterior, draw_predictors
from attribution.incremental.joint.data import JointDesign, joint_data, rough_lives
from attribution.incremental.joint.posterior import LifePosterior
from attribution.incremental.latent.fit import LatentDropoutFit
from attribution.incremental.setfunction import PanelPrediction
from histories.panel import Panel

__all__ = ["JointDropoutFit", "posterior_of"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]

COLD_STEPS = 4
"""Newton steps that take the posteriors of new customers from the prior to their mode."""
CHUNK = 4_000
"""Customers whose possible lives are looked at together: bounds memory."""
PAIRS = 2
"""Draws of the latents for a life that goes on, and as many for one that ended; antithetic pairs."""
NEVER = -30.0
"""Log-odds of leaving after a life has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointDropoutFit:
    """Fitted joint model. Channels C; measurements: leaving, purchases, own touches, other acts."""

    channels: tuple[str, ...]
    """Names of the C channels."""
    life: LatentDropoutFit
    """The model of life alone, which says what lives are worth looking at."""
    design: JointDesign
    """Columns and measurements, as learned from the fitted customers."""
    shape: Shape
    """Sizes of the parameter blocks."""
    parameters: Parameters
    """The optimum."""
    beta_sd: Array
    """Standard error of beta, shape (C,)."""
    gamma_sd: Array
    """Standard error of gamma, shape (C,)."""
    dynamic: bool
    """Whether satisfaction drifts."""
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
    influence: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """Change of the flat parameters per unit of a customer's weight, shape (N, p); not stored."""

    @property
    def beta(self) -> Array:
        """Change of the log-odds of leaving per unit of stock, shape (C,)."""
        beta: Array = self.parameters.stocks[0, :-1]
        return beta

    @property
    def gamma(self) -> Array:
        """Change of the log rate of purchases per unit of stock, shape (C,)."""
        gamma: Array = self.parameters.stocks[1, :-1]
        return gamma

    @property
    def rho(self) -> float:
        """Correlation of satisfaction from one period to the next; 1 when it is constant."""
        return self.parameters.rho if self.dynamic else 1.0

    def reweighted(self, weights: Array) -> JointDropoutFit:
        """The fit to reweighted customers, by one step of their influence.

        Raises
        ------
        ValueError
            If the influence was not kept, or is of other customers.
        """
        moved = reweighted(self.parameters, self.shape, self.influence, weights, n_customers=self.n_customers)
        return replace(self, parameters=moved, influence=None)

    def predict(self, panel: Panel, stocks: Single, *, rng: np.random.Generator) -> PanelPrediction:
        """Hazard without channels in layers: lives that go on, weighted with q_i, and lives that ended.

        Parameters
        ----------
        panel, stocks
            Customers with the covariates, channels and periods of the fit, and their stocks, shape (N, P, C).
        rng
            Draws one ended life for each customer, and the latents.
        """
        parts = [self._predict(panel.take(rows), stocks[rows], rng) for rows in _chunks(panel.n_customers)]
        offset = np.concatenate([part.offset for part in parts], axis=1)
        survival = np.concatenate([part.survival for part in parts])
        even = np.full((PAIRS, 1), 1.0 / PAIRS)
        goes_on, ended = even * survival, even * (1.0 - survival)
        return PanelPrediction(
            hazard_offset=offset,
            survival=survival,
            share=np.concatenate([goes_on, ended]),
            staying=np.concatenate([goes_on, np.zeros_like(ended)]),
            expected_spend=sum(part.purchases for part in parts) * self.life.value_per_purchase,
            expected_survivors=sum(part.survivors for part in parts),
        )

    def _predict(self, panel: Panel, stocks: Single, rng: np.random.Generator) -> _Part:
        data, posterior = posterior_of(self, panel, stocks)
        lives, n = posterior.lives, panel.n_customers
        end = np.append(lives.begin[1:], len(lives.who)) - 1
        goes_on = lives.month[end] == panel.n_periods
        survival = np.where(goes_on, posterior.chance[end], 0.0)
        chosen = np.concatenate([end, _draw_ended(posterior, end - goes_on, rng)])
        offsets, rates = _draw_lives(self, data, posterior.inner, chosen, rng)
        weight = np.concatenate([survival, 1.0 - survival]) / PAIRS
        entries = float(panel.purchases.sum() - data.rows.spend.sum())
        hazard = 1.0 / (1.0 + np.exp(-offsets - (stocks[lives.who[chosen]] @ self.beta)))
        leaving = hazard * data.at_risk[chosen]
        return _Part(
            offset=np.concatenate([offsets[:, :n], offsets[:, n:]]),
            survival=survival,
            purchases=float((rates.sum(axis=(0, 2)) * weight).sum()) + entries,
            survivors=n - float((leaving.sum(axis=(0, 2)) * weight).sum()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A chunk of a prediction."""

    offset: Single
    survival: Array
    purchases: float
    survivors: float


def posterior_of(
    fit: JointDropoutFit, panel: Panel, stocks: Single, *, steps: int = COLD_STEPS
) -> tuple[FrailtyData, LifePosterior]:
    """Possible lives of these customers, and what the model says of each."""
    lives = rough_lives(fit.life, panel, stocks)
    data = joint_data(panel, stocks, fit.design, lives)
    posterior = LifePosterior.blank(data, lives)
    posterior.improve(data, fit.parameters, dynamic=fit.dynamic, steps=steps)
    return data, posterior


def _draw_ended(
    posterior: LifePosterior, last: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """One life that ended for each customer, by its probability; the only life where there is no other."""
    begin = posterior.lives.begin
    before = np.concatenate([[0.0], np.cumsum(posterior.chance)])
    low, high = before[begin], before[np.maximum(last, begin) + 1]
    at = np.searchsorted(before, low + rng.random(len(begin)) * (high - low), side="right") - 1
    return np.asarray(np.clip(at, begin, np.maximum(last, begin)), dtype=np.int64)


def _draw_lives(
    fit: JointDropoutFit,
    data: FrailtyData,
    inner: Posterior,
    chosen: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[Single, Array]:
    """Log-odds of leaving without stocks, and purchase rates, by draw and chosen life, each (Q, n, P)."""
    few = data.take(chosen)
    leaving, buying = draw_predictors(
        few, fit.parameters, inner.take(chosen), dynamic=fit.dynamic, draws=PAIRS, rng=rng
    )
    at_risk = few.at_risk
    push = data.rows.stocks[few.rows.who] @ fit.parameters.stocks[1]
    rates = np.where(at_risk, np.exp(np.where(at_risk, buying + push, 0.0)), 0.0)
    return np.where(at_risk, leaving, np.float32(NEVER)), rates


def _chunks(n: int) -> Iterator[slice]:
    for begin in range(0, n, CHUNK):
        yield slice(begin, min(begin + CHUNK, n))
