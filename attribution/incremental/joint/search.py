"""From crude rates to the optimum of the joint model: levels, then satisfaction, then whether it drifts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.optimise import Optimum, maximise, parameter_covariance
from attribution.incremental.frailty.parameters import MAX_PERSISTENCE, Parameters
from attribution.incremental.frailty.start import crude_rates, start_with_factor
from attribution.incremental.joint.data import JointDesign, free_of, with_levels
from attribution.incremental.joint.lives import PossibleLives
from attribution.incremental.joint.posterior import LifePosterior

__all__ = ["JointProblem", "JointSolution"]

Array = NDArray[np.float64]

LEVEL_ITERATIONS = 8
"""Steps of the climb without satisfaction: a start, not an optimum."""
LEVEL_VARIANCE = 0.7
LEVEL_LOADING = 0.1
SAME_OPTIMUM = 1.0
"""Log-likelihood within which two climbs have found the same optimum."""
WEAK_START = 0.4
"""Factor on the loadings in the second start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSolution:
    """An optimum, and whether satisfaction drifts there."""

    optimum: Optimum[LifePosterior]
    dynamic: bool
    disagreement: float | None = None
    """Largest difference of stock effects between two starts, in standard errors; None with one start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointProblem:
    """What is maximised: possible lives, their rows, and a weight for each customer, shape (N,)."""

    data: FrailtyData
    lives: PossibleLives
    design: JointDesign
    weights: Array
    max_iterations: int

    def search(self, *, starts: int) -> JointSolution:
        """The optimum from scratch; `starts` is 2 to climb again from weaker loadings and compare."""
        levels = self.climb(self.crude(), None, satisfaction=False, dynamic=False, steps=LEVEL_ITERATIONS)
        found = self.settle(start_with_factor(self.data, levels))
        if starts < 2:
            return found
        weak = start_with_factor(self.data, levels, scale=WEAK_START)
        again = self.climb(weak, None, dynamic=found.dynamic, enough=found.optimum.bound - SAME_OPTIMUM)
        if again.bound >= found.optimum.bound - SAME_OPTIMUM and not again.converged:
            return replace(found, disagreement=0.0)
        apart = self._apart(found, again)
        better = again.bound > found.optimum.bound + SAME_OPTIMUM
        return JointSolution(
            optimum=again if better else found.optimum, dynamic=found.dynamic, disagreement=apart
        )

    def settle(self, start: Parameters, posterior: LifePosterior | None = None) -> JointSolution:
        """Climb with satisfaction that drifts; hold it constant where the persistence reaches its bound."""
        found = self.climb(start, posterior, dynamic=True)
        if found.parameters.rho < MAX_PERSISTENCE - 1e-9:
            return JointSolution(optimum=found, dynamic=True)
        return JointSolution(optimum=self.climb(found.parameters, None, dynamic=False), dynamic=False)

    def climb(
        self,
        start: Parameters,
        posterior: LifePosterior | None,
        *,
        dynamic: bool,
        satisfaction: bool = True,
        steps: int | None = None,
        enough: float = np.inf,
    ) -> Optimum[LifePosterior]:
        """One climb; a blank posterior where none is given."""
        return maximise(
            self.data,
            start,
            posterior or LifePosterior.blank(self.data, self.lives),
            self.free(satisfaction=satisfaction, dynamic=dynamic),
            dynamic=dynamic,
            weights=self.weights,
            max_iterations=steps or self.max_iterations,
            hold_shape=True,
            warm_up=4 if posterior is None else 1,
            enough=enough,
        )

    def free(self, *, dynamic: bool, satisfaction: bool = True) -> NDArray[np.bool_]:
        """Parameters that may move."""
        return free_of(self.data, self.design, satisfaction=satisfaction, dynamic=dynamic)

    def crude(self) -> Parameters:
        """Overall rates of the rough lives, and levels of own acts."""
        even = self.lives.chances(np.zeros(len(self.lives.who)))[0]
        rates = crude_rates(self.data, even * self.weights[self.lives.who])
        loadings = np.full_like(rates.loadings, 0.0)
        loadings[1, 1] = LEVEL_LOADING
        return replace(
            rates,
            loadings=with_levels(self.data.shape, self.data.rows.use, loadings) * self.data.rows.use[:, None],
            factor_variance=float(np.log(LEVEL_VARIANCE)),
            shape_of_spend=1.0,
            gamma_levels=True,
        )

    def _apart(self, found: JointSolution, again: Optimum[LifePosterior]) -> float:
        """Largest difference between stock effects of two optima, in standard errors."""
        active, covariance = parameter_covariance(
            self.data, found.optimum, self.free(dynamic=found.dynamic), self.weights
        )
        errors = np.full(self.data.shape.size, np.inf)
        errors[active] = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        effects = self.data.shape.slices()["stocks"]
        moved = (again.parameters.to_vector() - found.optimum.parameters.to_vector())[effects]
        return float(np.max(np.abs(moved) / errors[effects]))
