"""Climb to the maximum of a sum of customers' log-likelihoods whose scores are known.

The outer product of the scores stands for the curvature (Berndt, Hall, Hall & Hausman 1974), damped as by
Levenberg and Marquardt. Near the top what the last steps did to the slopes corrects its inverse (two loops of
limited-memory BFGS, Nocedal & Wright 2006, algorithm 7.4): alone it steps too far or not far enough, often.
Where it sees nothing of a parameter, whose scores vanish as those of a loading of zero, a quasi-Newton
climb (BFGS) goes on from its damped inverse.
"""

from __future__ import annotations

from collections.abc import Mapping
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
HALVINGS, LEAST_BENT = 8, 1e-10
NEAR, REMEMBERED = 25.0, 10
"""Gain expected of one more step below which the steps before correct it, and how many of them do."""
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
        information *= np.where(blocks[:, None] == blocks, 1.0, self.kept(int(moving.sum())))
        return np.asarray(information + np.diag(self.precision[moving]))

    def kept(self, parameters: int) -> float:
        """Share that is kept of entries of the outer product between streams."""
        return 1.0 - min(1.0, NOISE * parameters / len(self.weights))

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
    steps: int = 40,
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


class Promise:
    """What one step from a vector of parameters promises, by the outer product of scores."""

    def __init__(self, problem: Likelihood, theta: Float, free: Flags) -> None:
        ascent = _Ascent(problem, theta, free, np.ones(problem.inputs.n_customers))
        self.value, self.bound = ascent.value, ascent.bound
        """The likelihood at these parameters, and the penalised log-likelihood."""
        self._slope, self._precision = ascent.slope(), ascent.precision
        self._moving = ascent.moving(self._slope)
        self._information = ascent.outer_product(self._moving)
        self._scores = ascent.value.scores[:, self._moving]
        self._blocks, self._kept = ascent.blocks, ascent.kept(int(self._moving.sum()))

    def along(self, columns: Mapping[int, tuple[Float, Float]]) -> float:
        """The penalised log-likelihood one step on, where parameters have other columns.

        Parameters
        ----------
        columns
            By the places of these parameters: their scores with the other columns, and the slope of each
            customer's log-likelihood along what these change at once, each of shape (N,).
        """
        moving, slope, information = self._moving, self._slope.copy(), self._information.copy()
        places = {place: int(moving[:place].sum()) for place in columns if moving[place]}

        def product(scores: Float, block: int) -> Float:
            """With those of all parameters that move, less of those of other streams."""
            found = scores @ self._scores
            for place, k in places.items():
                found[k] = scores @ columns[place][0]
            return np.where(self._blocks[moving] == block, found, self._kept * found)

        for place, k in places.items():
            own = columns[place][0]
            slope[place] += float(own.sum() - self._scores[:, k].sum())
            information[k] = information[:, k] = product(own, self._blocks[place])
            information[k, k] += self._precision[place]
        changes: dict[int, Float] = {}
        for place, (_, change) in columns.items():
            block = int(self._blocks[place])
            changes[block] = changes.get(block, 0.0) + change
        rest, ahead = slope[moving], self.bound
        for block, change in changes.items():
            rest = rest - product(change, block)
            beside = sum((other * self._kept for b, other in changes.items() if b != block), start=change)
            ahead += float(change.sum()) - 0.5 * float(change @ beside)
        return ahead + 0.5 * float(rest @ _solve(information, rest))


def _by_scores(ascent: _Ascent, steps: int, tolerance: float, target: float) -> tuple[bool, bool, float]:
    """Whether the climb has arrived, whether it was given up, and the damping at the end."""
    damping, memory = FIRST_DAMPING, _Memory()
    for step in range(steps):
        slope = ascent.slope()
        moving = ascent.moving(slope)
        memory.add(ascent.theta, slope, moving)
        information = ascent.outer_product(moving)
        diagonal = np.diag(information).copy()
        while True:
            damped = information + np.diag(damping * diagonal)
            change = _solve(damped, slope[moving])
            promise = 0.5 * float(change @ slope[moving])
            if promise < NEAR:
                change = memory.corrected(damped, slope[moving])
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
            memory.forget()
            damping = max(10.0 * damping, 1e-3)
            if damping > 1.0:
                return False, False, damping
    return False, False, damping


class _Memory:
    """What the last steps did to the slopes, for as long as the same parameters move."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Float, Float]] = []
        self.last: tuple[Float, Float, Flags] | None = None

    def add(self, theta: Float, slope: Float, moving: Flags) -> None:
        """Remember the step that led here."""
        if self.last is not None:
            before, slope_before, moving_before = self.last
            if not np.array_equal(moving, moving_before):
                self.forget()
            else:
                moved, bent = (theta - before)[moving], (slope_before - slope)[moving]
                if float(moved @ bent) > LEAST_BENT:
                    self.pairs = [*self.pairs, (moved, bent)][-REMEMBERED:]
        self.last = theta.copy(), slope, moving

    def forget(self) -> None:
        """Start anew: these steps say nothing of the next."""
        self.pairs = []

    def corrected(self, information: Float, slope: Float) -> Float:
        """The step by this information, as the remembered ones correct its inverse."""
        rest, shares = slope, []
        for moved, bent in reversed(self.pairs):
            shares.append(float(moved @ rest) / float(moved @ bent))
            rest = rest - shares[-1] * bent
        step = _solve(information, rest)
        for (moved, bent), share in zip(self.pairs, reversed(shares), strict=True):
            step = step + (share - float(bent @ step) / float(moved @ bent)) * moved
        return step


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
        if float(moved @ bent) > LEAST_BENT:
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
