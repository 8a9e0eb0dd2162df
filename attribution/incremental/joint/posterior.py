"""The posterior of every customer over possible lives and, within each, over hidden satisfaction and levels.

The approximation is structured: a Gaussian for the latents *given* each life, and exact weights of the lives
at the bounds that those give,

    log p(seen) >= log sum_d exp(bound_d),     q(d) = exp(bound_d) / sum,     score = sum_d q(d) score_d.

Silence and low rates are thus weighed against each other within each customer; a posterior that factorises
into life and latents takes one for the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.parameters import Parameters
from attribution.incremental.frailty.posterior import Posterior
from attribution.incremental.joint.lives import PossibleLives

__all__ = ["LifePosterior"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LifePosterior:
    """A workspace that the climb improves in place; offers what `Posterior` does, by customer."""

    lives: PossibleLives
    """The L possible lives of N customers."""
    inner: Posterior
    """Gaussian posteriors of the latents given each life."""
    chance: Array
    """Probability of each life, shape (L,)."""
    bound: Array
    """Lower bound of each customer's log-likelihood up to a constant, shape (N,)."""
    dispersion: Array
    """Not used: purchases are counts, whose shape is known; zeros of shape (N, 2)."""
    score: NDArray[np.float32]
    """Score of each customer's bound in the flat parameters, shape (N, p)."""
    slope: Array
    """Weighted sum of the scores, shape (p,)."""

    @staticmethod
    def blank(data: FrailtyData, lives: PossibleLives) -> LifePosterior:
        """Latents at the prior mean, without spread; all lives of a customer alike."""
        n, p = lives.n_customers, data.shape.size
        return LifePosterior(
            lives=lives,
            inner=Posterior.blank(data),
            chance=lives.chances(np.zeros(len(lives.who)))[0],
            bound=np.zeros(n),
            dispersion=np.zeros((n, 2)),
            score=np.zeros((n, p), dtype=np.float32),
            slope=np.zeros(p),
        )

    @property
    def constant(self) -> Array:
        """Mean of (v, eta_1..eta_C, xi) over lives, shape (N, C + 2)."""
        return self.mean(self.inner.constant)

    def mean(self, values: Array) -> Array:
        """Mean over each customer's lives of values of shape (L, ...), shape (N, ...)."""
        weights = self.chance.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(self.lives.total(weights * values), dtype=np.float64)

    def improve(
        self,
        data: FrailtyData,
        parameters: Parameters,
        *,
        dynamic: bool,
        steps: int = 1,
        weights: Array | None = None,
    ) -> float:
        """Take Newton steps within every life, then weigh the lives; return the largest last step."""
        largest = self.inner.improve(data, parameters, dynamic=dynamic, steps=steps)
        self.chance[:], self.bound[:] = self.lives.chances(self.inner.bound)
        self.score[:] = self.lives.weighted(self.chance.astype(np.float32), self.inner.score)
        w = np.ones(len(self.bound)) if weights is None else weights
        self.slope[:] = w @ self.score.astype(np.float64)
        return largest
