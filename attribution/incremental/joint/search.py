"""From crude rates to the optimum of the joint model: levels, then satisfaction, then whether it drifts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.influence import effects_apart
from attribution.incremental.frailty.optimise import Optimum, maximise
from attribution.incremental.frailty.parameters import MAX_PERSISTENCE, Parameters
from attribution.incremental.frailty.start import crude_rates, start_with_factor
from attribution.incremental.frailty.structure import SAME_OPTIMUM, WEAK_START
from attribution.incremental.joint.data import JointDesign, free_of, joint_data, rough_lives
from attribution.incremental.joint.lives import PossibleLives
from attribution.incremental.joint.posterior import LifePosterior
from attribution.incremental.latent.fit import LatentDropoutFit
from histories.panel import Panel

__all__ = ["JointProblem", "JointSolution"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]

LEVEL_ITERATIONS = 8
"""Steps of the climb without satisfaction: a start, not an optimum."""
LEVEL_VARIANCE = 0.7
LEVEL_LOADING = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class JointSolution:
    """An optimum, and whether satisfaction drifts there."""

    optimum: Optimum[LifePosterior]
    dynamic: bool
    disagreement: float | None = None
    """Largest difference of stock effects between two starts, in standard errors; None with one start."""
    lost: bool = False
    """Whether the climb was given up because it could not reach its rival."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointProblem:
    """What is maximised: possible lives, their rows, and a weight for each customer, shape (N,)."""

    data: FrailtyData
    lives: PossibleLives
    design: JointDesign
    weights: Array
    max_iterations: int

    @staticmethod
    def of(
        panel: Panel,
        stocks: Single,
        design: JointDesign,
        life: LatentDropoutFit,
        *,
        weights: Array,
        max_iterations: int,
    ) -> JointProblem:
        """The problem of these customers, whose rough lives are those of the model of life alone."""
        lives = rough_lives(life, panel, stocks)
        return JointProblem(
            data=joint_data(panel, stocks, design, lives),
            lives=lives,
            design=design,
            weights=weights,
            max_iterations=max_iterations,
        )

    def search(self, *, starts: int, rival: float = -np.inf) -> JointSolution:
        """The optimum from scratch.

        Parameters
        ----------
        starts
            2 to climb again from weaker loadings and compare, or 1.
        rival
            Log-likelihood of another model: a search that cannot reach it is given up where that shows.
        """
        levels = self.climb(self.crude(), None, satisfaction=False, dynamic=False, steps=LEVEL_ITERATIONS)
        found = self.settle(start_with_factor(self.data, levels), rival=rival)
        if starts < 2 or found.lost:
            return found
        weak = start_with_factor(self.data, levels, scale=WEAK_START)
        again = self.climb(weak, None, dynamic=found.dynamic, enough=found.optimum.bound - SAME_OPTIMUM)
        if again.bound >= found.optimum.bound - SAME_OPTIMUM and not again.converged:
            return replace(found, disagreement=0.0)
        apart = effects_apart(
            self.data, found.optimum, again.parameters, self.free(dynamic=found.dynamic), self.weights
        )
        better = again.bound > found.optimum.bound + SAME_OPTIMUM
        return JointSolution(
            optimum=again if better else found.optimum, dynamic=found.dynamic, disagreement=apart
        )

    def settle(self, start: Parameters, *, rival: float = -np.inf) -> JointSolution:
        """Climb with satisfaction that drifts; hold it constant where the persistence reaches its bound.

        Constant satisfaction is a case of drifting satisfaction, so what the one cannot reach the other
        cannot.
        """
        found = self.climb(start, None, dynamic=True, rival=rival)
        if float(self.weights @ found.posterior.bound) < rival:
            return JointSolution(optimum=found, dynamic=True, lost=True)
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
        rival: float = -np.inf,
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
            rival=rival,
            enough=enough,
        )

    def free(self, *, dynamic: bool, satisfaction: bool = True) -> NDArray[np.bool_]:
        """Parameters that may move."""
        return free_of(self.data, self.design, satisfaction=satisfaction, dynamic=dynamic)

    def crude(self) -> Parameters:
        """Overall rates of the rough lives, and levels of own acts."""
        even = self.lives.chances(np.zeros(len(self.lives.who)))[0]
        rates = crude_rates(self.data, even * self.weights[self.lives.who])
        use = self.data.rows.use
        loadings = np.zeros_like(rates.loadings)
        loadings[1, 1] = LEVEL_LOADING * use[1]
        loadings[2:-1, 1] = use[2:-1]
        return replace(
            rates,
            loadings=loadings,
            factor_variance=float(np.log(LEVEL_VARIANCE)),
            shape_of_spend=1.0,
            gamma_levels=True,
        )
