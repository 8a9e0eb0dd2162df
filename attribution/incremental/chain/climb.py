"""Climb to the maximum of a sum of customers' log-likelihoods whose scores are known.

First the outer product of the scores stands for the curvature (Berndt, Hall, Hall & Hausman 1974), damped as
by Levenberg and Marquardt; then its damped inverse starts a quasi-Newton climb (BFGS), because the
outer product sees nothing of a parameter whose scores vanish, such as a loading of zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from attribution.incremental.chain.likelihood import Likelihood, Value, evaluate
from histories.arrays import Flags, Float

TOLERANCE = 0.01
"""Gain in log-likelihood expected of one more Newton step at which a climb has arrived."""
FIRST_DAMPING, LEAST_DAMPING = 1e-2, 1e-7
LONGEST_STEP = 1.0
"""Largest change of one parameter in a step."""
HALVINGS = 8
PATIENCE, HOPE = 3, 6.0
"""Steps before a climb with a target may be given up; how many times the next step's promise it counts on."""
NOISE = 3.0
"""Share of an entry between streams that is dropped, per parameter over customers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """Where a climb ended."""

    theta: Float
    """Parameters, shape (p,)."""
    value: Value
    """The likelihood there."""
    loglik: float
    """Sum over customers, weighted, without the prior."""
    bound: float
    """The same with the prior."""
    free: Flags
    """Parameters that could move and were not held by a bound, shape (p,)."""
    converged: bool
    passes: int
    """Evaluations of the likelihood."""


class _Ascent:
    """The penalised log-likelihood of the parameters that move, and where the climb is."""

    def __init__(self, problem: Likelihood, theta: Float, free: Flags, weights: Float) -> None:
        self.problem, self.weights, self.free = problem, weights, free
        self.precision, self.centre = problem.layout.prior(problem.inputs)
        self.low, self.high = problem.layout.bounds()
        self.blocks = problem.layout.blocks()
        self.theta = np.clip(theta, self.low, self.high)
        self.passes = 0
        self.value, self.bound = self._at(self.theta)

    def _at(self, theta: Float) -> tuple[Value, float]:
        self.passes += 1
        value = evaluate(self.problem, theta)
        prior = 0.5 * float((self.precision * (theta - self.centre) ** 2)[self.free].sum())
        return value, float(self.weights @ value.loglik) - prior

    def slope(self) -> Float:
        """Gradient of everything, shape (p,)."""
        slope: Float = self.weights @ self.value.scores - self.precision * (self.theta - self.centre)
        return slope

    def moving(self, slope: Float) -> Flags:
        """Free parameters that no bound holds back."""
        held = ((self.theta <= self.low) & (slope < 0)) | ((self.theta >= self.high) & (slope > 0))
        moving: Flags = self.free & ~held
        return moving

    def outer_product(self, moving: Flags) -> Float:
        """Information of the moving parameters, with the prior's.

        A mean of n outer products of p numbers is a noisy matrix; entries between parameters of different
        streams, small or none, are drawn towards zero by as much as there are few customers.
        """
        scores = self.value.scores[:, moving]
        information = (scores * self.weights[:, None]).T @ scores
        blocks = self.blocks[moving]
        kept = 1.0 - min(1.0, NOISE * len(blocks) / len(scores))
        information *= np.where(blocks[:, None] == blocks, 1.0, kept)
        return np.asarray(information + np.diag(self.precision[moving]))

    def step(self, moving: Flags, change: Float) -> bool:
        """Go there if it is higher."""
        target = self.theta.copy()
        target[moving] += np.clip(change, -LONGEST_STEP, LONGEST_STEP)
        target = np.clip(target, self.low, self.high)
        value, bound = self._at(target)
        if not np.isfinite(bound) or bound <= self.bound:
            return False
        self.theta, self.value, self.bound = target, value, bound
        return True


def climb(
    problem: Likelihood,
    start: Float,
    free: Flags,
    weights: Float,
    *,
    steps: int = 25,
    more: int = 60,
    tolerance: float = TOLERANCE,
    target: float = -np.inf,
) -> Optimum:
    """Climb from a start.

    Parameters
    ----------
    problem
        What is maximised.
    start, free
        Parameters and those that move, shape (p,).
    weights
        Of each customer, shape (N,).
    steps, more
        Most steps with the outer product, then of BFGS.
    tolerance
        Gain expected of one more step at which the climb has arrived.
    target
        Bound that is to be reached: a climb that promises not to is given up, not converged.
    """
    ascent = _Ascent(problem, start, free, weights)
    converged, given_up, damping = _by_scores(ascent, steps, tolerance, target)
    if not converged and not given_up and more:
        converged = _by_curvature(ascent, more, tolerance, damping)
    return Optimum(
        theta=ascent.theta,
        value=ascent.value,
        loglik=float(weights @ ascent.value.loglik),
        bound=ascent.bound,
        free=ascent.moving(ascent.slope()),
        converged=converged,
        passes=ascent.passes,
    )


def promise(problem: Likelihood, theta: Float, free: Flags, weights: Float) -> float:
    """The penalised log-likelihood that one step from here promises, by the outer product of scores."""
    ascent = _Ascent(problem, theta, free, weights)
    slope = ascent.slope()
    moving = ascent.moving(slope)
    change = _solve(ascent.outer_product(moving), slope[moving])
    return ascent.bound + 0.5 * float(change @ slope[moving])


def _by_scores(ascent: _Ascent, steps: int, tolerance: float, target: float) -> tuple[bool, bool, float]:
    """Whether the climb has arrived, whether it was given up, and the damping at the end."""
    damping = FIRST_DAMPING
    for step in range(steps):
        slope = ascent.slope()
        moving = ascent.moving(slope)
        information = ascent.outer_product(moving)
        diagonal = np.diag(information).copy()
        while True:
            change = _solve(information + np.diag(damping * diagonal), slope[moving])
            promise = 0.5 * float(change @ slope[moving])
            if promise < tolerance:
                return damping <= FIRST_DAMPING, False, damping
            if step >= PATIENCE and ascent.bound + HOPE * promise < target:
                return False, True, damping
            if ascent.step(moving, change):
                damping = max(damping / 5.0, LEAST_DAMPING)
                break
            if ascent.step(moving, 0.25 * np.clip(change, -LONGEST_STEP, LONGEST_STEP)):
                break
            damping = max(10.0 * damping, 1e-3)
            if damping > 1.0:
                return False, False, damping
    return False, False, damping


def _by_curvature(ascent: _Ascent, steps: int, tolerance: float, damping: float) -> bool:
    slope = ascent.slope()
    moving = ascent.moving(slope)
    information = ascent.outer_product(moving)
    damped = information + np.diag(min(damping, 1.0) * np.diag(information))
    inverse = _solve(damped, np.eye(len(information)))
    for _ in range(steps):
        change = inverse @ slope[moving]
        if 0.5 * float(change @ slope[moving]) < tolerance:
            return True
        before = ascent.theta[moving].copy()
        for _halving in range(HALVINGS):
            if ascent.step(moving, change):
                break
            change = 0.25 * change
        else:
            return False
        new = ascent.slope()
        again = ascent.moving(new)
        if not np.array_equal(again, moving):
            information = ascent.outer_product(again)
            slope, moving = new, again
            inverse = _solve(information + np.diag(0.01 * np.diag(information)), np.eye(len(information)))
            continue
        moved, bent = ascent.theta[moving] - before, slope[moving] - new[moving]
        if float(moved @ bent) > 1e-10:
            inverse = _update(inverse, moved, bent)
        slope = new
    return False


def _update(inverse: Float, moved: Float, bent: Float) -> Float:
    """BFGS update of an inverse curvature (Nocedal & Wright 2006, 6.17)."""
    size = float(moved @ bent)
    turned = inverse @ bent
    outer = np.outer(moved, turned)
    factor = (1.0 + float(bent @ turned) / size) / size
    return np.asarray(inverse + factor * np.outer(moved, moved) - (outer + outer.T) / size)


def _solve(matrix: Float, right: Float) -> Float:
    try:
        return np.asarray(linalg.cho_solve(linalg.cho_factor(matrix), right))
    except linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])
