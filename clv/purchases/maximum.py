"""Maximum likelihood for a handful of positive parameters, with analytic gradients.

Parameters live on the log scale inside a box. A bounded quasi-Newton search on a sample of the rows finds the
neighbourhood; Newton steps on all rows, with a Hessian from differences of the gradient, finish there. The
same Hessian gives the standard errors and the proposal of the posterior.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from histories.arrays import Flags, Float
from histories.errors import ConvergenceError

#: A log-likelihood and its gradient with respect to the parameters (not their logs).
Score = Callable[[Float], tuple[float, Float]]

#: The search ends when a further Newton step promises less than this gain in log-likelihood.
GAIN_TOLERANCE = 1e-8
#: Largest Newton step, in log units of one parameter.
LONGEST_STEP = 1.5
#: Quasi-Newton steps that each start gets, and that the best of them then gets.
SHORT_SEARCH, LONG_SEARCH = 8, 500
#: A step that cannot be taken in double precision is forgiven when it promised less than this.
FLAT_GAIN = 1e-4
#: Rounds in a flat valley, and the gain in log-likelihood below which a round has not moved.
SETTLE_ROUNDS, VALLEY = 20, 1e-3
#: The Hessian is renewed when a step leaves more than this share of the slope ...
QUICK = 0.3
#: ... or, for the standard errors, when the search has moved further than this, in log units.
STALE = 1e-4
#: Width of the differences of the gradient, in log units.
DIFFERENCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum:
    """Where a search ended.

    Attributes
    ----------
    parameters
        Shape (k,), in the units of the data handed over.
    log_likelihood
        At `parameters`, penalty excluded.
    covariance
        Of the logs of the parameters, shape (k, k); rows of parameters at a bound are zero. None when the
        likelihood is flat in some direction.
    at_bound
        Names of the parameters that ended at the edge of the box.
    evaluations
        Number of passes over all rows.
    """

    parameters: Float
    log_likelihood: float
    covariance: Float | None
    at_bound: tuple[str, ...]
    evaluations: int


def maximize(
    score: Score,
    *,
    names: Sequence[str],
    starts: Sequence[Sequence[float]],
    lower: Sequence[float],
    upper: Sequence[float],
    customers: float,
    subject: str,
    sample_score: Score | None = None,
    sample_customers: float = 0.0,
    penalizer: float = 0.0,
) -> Maximum:
    """Find the parameters that maximise `score` minus `customers * penalizer * sum(parameters ** 2)`.

    Parameters
    ----------
    score, sample_score
        Log-likelihood and gradient on all rows and, when there are many, on a sample of them.
    names
        Names of the parameters.
    starts
        Starting points; the best end of the quasi-Newton searches goes on.
    lower, upper
        The box, in parameters.
    customers, sample_customers
        Number of customers behind each score, to put the searches on one scale.
    subject
        What is fitted, for messages: "BG/NBD on 2357 customers".
    penalizer
        Weight of the sum of squared parameters.

    Raises
    ------
    ConvergenceError
        When no start leads to a maximum.
    """
    objective = _Objective(score, customers, penalizer)
    low, high = np.log(np.asarray(lower)), np.log(np.asarray(upper))
    scout = objective if sample_score is None else _Objective(sample_score, sample_customers, penalizer)
    begin = [np.clip(np.log(np.asarray(s)), low, high) for s in starts]
    theta = _search(scout, begin, low, high, subject, tight=scout is objective)
    hint = None if scout is objective else _curvature(scout, theta, scout(theta)[1], low, high)
    theta, loss, hessian, free = _polish(objective, theta, low, high, subject, hint)
    covariance = _covariance(hessian, free, customers)
    return Maximum(
        parameters=np.exp(theta),
        log_likelihood=objective.log_likelihood(theta, loss),
        covariance=covariance,
        at_bound=tuple(name for name, inside in zip(names, free, strict=True) if not inside),
        evaluations=objective.evaluations,
    )


class _Objective:
    """Mean negative log-likelihood per customer in the logs of the parameters, counting its calls."""

    def __init__(self, score: Score, customers: float, penalizer: float) -> None:
        self.score, self.customers, self.penalizer = score, customers, penalizer
        self.evaluations = 0

    def __call__(self, theta: Float) -> tuple[float, Float]:
        self.evaluations += 1
        parameters = np.exp(theta)
        value, gradient = self.score(parameters)
        loss = -value / self.customers + self.penalizer * float(parameters @ parameters)
        slope = -gradient * parameters / self.customers + 2.0 * self.penalizer * parameters**2
        if not (np.isfinite(loss) and np.isfinite(slope).all()):
            return 1e10, np.zeros_like(theta)
        return loss, slope

    def log_likelihood(self, theta: Float, loss: float) -> float:
        """The log-likelihood behind a loss."""
        parameters = np.exp(theta)
        return -self.customers * (loss - self.penalizer * float(parameters @ parameters))

    def hessian(self, theta: Float, slope: Float | None = None) -> Float:
        """Differences of the gradient, symmetrised; shape (k, k).

        Forward where the gradient `slope` is known, which is exact to about `DIFFERENCE`; central otherwise.
        """
        rows = []
        for step in DIFFERENCE * np.eye(theta.size):
            if slope is None:
                rows.append((self(theta + step)[1] - self(theta - step)[1]) / (2.0 * DIFFERENCE))
            else:
                rows.append((self(theta + step)[1] - slope) / DIFFERENCE)
        matrix = np.array(rows)
        return 0.5 * (matrix + matrix.T)


def information(score: Score, parameters: Float) -> Float | None:
    """Covariance of the logs at a maximum found elsewhere; None when the likelihood is flat."""
    objective = _Objective(score, 1.0, 0.0)
    hessian = objective.hessian(np.log(parameters))
    return _covariance(hessian, np.ones(parameters.size, dtype=bool), 1.0)


def _search(
    objective: _Objective,
    starts: Sequence[Float],
    low: Float,
    high: Float,
    subject: str,
    *,
    tight: bool,
) -> Float:
    """Bounded quasi-Newton from every start; the best end, loosely where only a sample is searched."""
    from scipy.optimize import Bounds, minimize

    box = Bounds(low, high)
    options = {"ftol": 1e-13, "gtol": 1e-7} if tight else {"ftol": 1e-10, "gtol": 1e-5}

    def run(start: Float, steps: int) -> Any:
        return minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=box, options=options | {"maxiter": steps}
        )

    if len(starts) == 1:
        best = run(starts[0], LONG_SEARCH)
    else:
        heats = [run(start, SHORT_SEARCH) for start in starts]
        best = min(heats, key=lambda end: float(end.fun))
        best = run(best.x, LONG_SEARCH)
    if not np.isfinite(best.fun) or best.fun >= 1e10:
        raise ConvergenceError(
            f"{subject}: the likelihood is not finite anywhere near the starting points. "
            "Look for customers with impossible frequencies, or fit with penalizer = 0.01."
        )
    return np.asarray(best.x, dtype=np.float64)


def _polish(
    objective: _Objective,
    theta: Float,
    low: Float,
    high: Float,
    subject: str,
    hint: Float | None,
) -> tuple[Float, float, Float, Flags]:
    """Newton steps inside the box until a further one promises nothing.

    The Hessian, of a sample when `hint` gives it, learns from each step (BFGS); it is worked out anew when
    steps stop shrinking the slope, and at the end when the search has moved since it was.
    """
    loss, slope = objective(theta)
    sampled = hint is not None

    def exact(at: Float, slope_there: Float) -> Float:
        return _curvature(objective, at, slope_there if sampled else None, low, high)

    hessian = exact(theta, slope) if hint is None else hint
    anchor = theta if hint is None else np.full_like(theta, np.inf)  # where the Hessian is exact
    for _ in range(60):
        free = ~(((theta <= low) & (slope >= 0)) | ((theta >= high) & (slope <= 0)))
        step, gain = _newton_step(hessian, slope, free)
        if gain * objective.customers < GAIN_TOLERANCE:
            if not float(np.abs(theta - anchor).max()) <= STALE:
                hessian = exact(theta, slope)
            return theta, loss, hessian, free
        moved = _descend(objective, theta, loss, step, low, high)
        if moved is None and not np.array_equal(anchor, theta):
            hessian, anchor = exact(theta, slope), theta  # a second opinion before giving up
            continue
        if moved is None:
            if gain * objective.customers < FLAT_GAIN:  # as far as double precision sees
                return theta, loss, hessian, free
            break
        new_theta, loss, new_slope = moved
        if np.linalg.norm(new_slope) > QUICK * np.linalg.norm(slope):
            hessian, anchor = exact(new_theta, new_slope), new_theta
        elif sampled:
            hessian = _learn(hessian, new_theta - theta, new_slope - slope)
        theta, slope = new_theta, new_slope
    return _settle(objective, theta, low, high, subject)


def _settle(
    objective: _Objective, theta: Float, low: Float, high: Float, subject: str
) -> tuple[Float, float, Float, Flags]:
    """Follow a flat, curved valley, where Newton steps are noise, until the likelihood no longer moves.

    Such valleys lead to limiting cases (customers who are all alike): the end is as high as any other point
    of the valley to within `VALLEY` log-likelihood units, whatever its slope.
    """
    from scipy.optimize import Bounds, minimize

    loss = objective(theta)[0]
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": LONG_SEARCH, "maxcor": 30}
    for _ in range(SETTLE_ROUNDS):
        end = minimize(
            objective, theta, jac=True, method="L-BFGS-B", bounds=Bounds(low, high), options=options
        )
        gained = (loss - float(end.fun)) * objective.customers
        theta, loss = np.asarray(end.x, dtype=np.float64), float(end.fun)
        if gained < VALLEY:
            slope = objective(theta)[1]
            free = ~(((theta <= low) & (slope >= 0)) | ((theta >= high) & (slope <= 0)))
            return theta, loss, _curvature(objective, theta, None, low, high), free
    raise ConvergenceError(
        f"{subject}: the search stopped short of a maximum. "
        "Fit with a larger penalizer, e.g. 0.01, or with another purchase model."
    )


def _learn(hessian: Float, step: Float, change: Float) -> Float:
    """BFGS: the nearest Hessian that explains how the slope changed; none where curvature is not positive."""
    seen, told = float(step @ change), hessian @ step
    known = float(step @ told)
    if seen <= 1e-12 or known <= 1e-12:
        return hessian
    update = np.outer(change, change) / seen - np.outer(told, told) / known
    return np.asarray(hessian + update, dtype=np.float64)


def _curvature(objective: _Objective, theta: Float, slope: Float | None, low: Float, high: Float) -> Float:
    """The Hessian by differences that stay in the box: forward where `slope` is given, else central."""
    inside = np.clip(theta, low + 2.0 * DIFFERENCE, high - 2.0 * DIFFERENCE)
    return objective.hessian(inside, slope if np.array_equal(inside, theta) else None)


def _descend(
    objective: _Objective, theta: Float, loss: float, step: Float, low: Float, high: Float
) -> tuple[Float, float, Float] | None:
    """The first halving of the step that lowers the loss, or None."""
    for shrink in 0.5 ** np.arange(30):
        candidate = np.clip(theta + shrink * step, low, high)
        new_loss, new_slope = objective(candidate)
        if new_loss < loss:
            return candidate, new_loss, new_slope
    return None


def _newton_step(hessian: Float, slope: Float, free: Flags) -> tuple[Float, float]:
    """Step and promised gain; negative and vanishing curvature is turned up, long steps are cut."""
    step = np.zeros_like(slope)
    if not free.any():
        return step, 0.0
    values, vectors = np.linalg.eigh(hessian[np.ix_(free, free)])
    floor = 1e-9 * max(float(np.abs(values).max()), 1e-12)
    inverse = vectors @ np.diag(1.0 / np.maximum(np.abs(values), floor)) @ vectors.T
    inner = -inverse @ slope[free]
    gain = float(-0.5 * slope[free] @ inner)
    longest = float(np.abs(inner).max())
    step[free] = inner * min(1.0, LONGEST_STEP / longest) if longest > 0 else inner
    return step, gain


def _covariance(hessian: Float, free: Flags, customers: float) -> Float | None:
    """Inverse of the information of the free logs; None when it is not positive definite."""
    covariance = np.zeros_like(hessian)
    if not free.any():
        return covariance
    information = hessian[np.ix_(free, free)] * customers
    values = np.linalg.eigvalsh(information)
    if values[0] <= 1e-6:
        return None
    covariance[np.ix_(free, free)] = np.linalg.inv(information)
    return covariance
