"""Maximise the bound: quasi-Newton steps with the customers' scores as information (Berndt et al. 1974).

An EM step answers as if the latents were known and so moves too little: the more is hidden, the slower. The
outer product of the customers' scores estimates the information of what was *observed*, at the price of one
matrix product, and its steps converge in about fifteen passes where EM needs hundreds. Levenberg's damping
keeps the bound from falling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ssyrk
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.parameters import Parameters, bounds

__all__ = ["Optimum", "Workspace", "maximise", "parameter_covariance"]

Array = NDArray[np.float64]

TOLERANCE = 0.05
"""Stop when a step gains less log-likelihood than this, and promises less than twice as much."""
SHAPE_UPDATES = 6
"""Iterations in which the shape of spend still moves; it is then held so that bounds compare."""
SHAPE_BOUNDS = (1e-6, 1e6)
MAX_DAMPING = 1e3
MAX_LENGTH = 2.5
PATIENCE, HOPE = 2, 2.0
"""A climb with a target goes on while this many times the next step's promise would reach it."""


class Workspace(Protocol):
    """The posteriors of N customers and what the last pass found there; improved in place."""

    @property
    def constant(self) -> Array:
        """Mean of (v, eta_1..eta_C, xi), shape (N, C + 2)."""

    @property
    def bound(self) -> Array:
        """Lower bound of each customer's log-likelihood, shape (N,)."""

    @property
    def dispersion(self) -> Array:
        """Squared Pearson residuals of spend, and minus its log-likelihood at shape 1, shape (N, 2)."""

    @property
    def score(self) -> NDArray[np.float32]:
        """Score of each customer's bound in the flat parameters, shape (N, p)."""

    @property
    def slope(self) -> Array:
        """Weighted sum of the scores, shape (p,)."""

    def improve(
        self,
        data: FrailtyData,
        parameters: Parameters,
        *,
        dynamic: bool,
        steps: int = 1,
        weights: Array | None = None,
    ) -> float:
        """Take Newton steps towards the posteriors at these parameters; return the largest last one."""


W = TypeVar("W", bound=Workspace)
W_co = TypeVar("W_co", bound=Workspace, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum(Generic[W_co]):
    """Where a maximisation ended."""

    parameters: Parameters
    posterior: W_co
    bound: float
    """Penalised lower bound of the log-likelihood, up to a constant of the data."""
    iterations: int
    converged: bool


def maximise(
    data: FrailtyData,
    start: Parameters,
    posterior: W,
    free: NDArray[np.bool_],
    *,
    dynamic: bool,
    weights: Array,
    max_iterations: int,
    hold_shape: bool = False,
    warm_up: int = 3,
    target: float = -np.inf,
    enough: float = np.inf,
    until: Callable[[Parameters], bool] | None = None,
) -> Optimum[W]:
    """Climb from `start` over the free parameters; `posterior` is improved in place.

    Parameters
    ----------
    data, start, posterior
        Rows, first parameters, and posteriors that belong to them or are blank.
    free
        Parameters that may move, shape (p,).
    dynamic
        Whether satisfaction drifts.
    weights
        Weight of each customer, shape (N,).
    max_iterations
        Bound on the steps.
    hold_shape
        Whether the shape of spend stays as it is.
    warm_up
        Newton steps of the posteriors before the first step of the parameters.
    target
        A climb that promises not to reach this bound is given up.
    enough
        A climb that has reached this bound stops, not converged.
    until
        Stops the climb, not converged, where it holds.
    """
    climb = _Climb(data=data, free=free, dynamic=dynamic, weights=weights, gamma_levels=start.gamma_levels)
    with threadpool_limits(1):  # a few hundred parameters: threads would only wait for each other
        return _ascend(
            climb,
            start,
            posterior,
            max_iterations=max_iterations,
            hold_shape=hold_shape,
            warm_up=warm_up,
            target=target,
            enough=enough,
            until=until,
        )


def _ascend(
    climb: _Climb,
    start: Parameters,
    posterior: W,
    *,
    max_iterations: int,
    hold_shape: bool,
    warm_up: int,
    target: float,
    enough: float,
    until: Callable[[Parameters], bool] | None,
) -> Optimum[W]:
    weights = climb.weights
    vector, nu = climb.clip(start.to_vector()), start.shape_of_spend
    value = climb.evaluate(vector, nu, posterior, steps=warm_up)
    damping, length, converged, iteration = 1e-2, 1.0, False, 0
    for iteration in range(1, max_iterations + 1):
        if not hold_shape and iteration <= SHAPE_UPDATES:
            moment = float(np.clip(climb.shape_of_spend(posterior), 0.5 * nu, 2.0 * nu))
            value -= (moment - nu) * float(weights @ posterior.dispersion[:, 1])
            nu = moment
        slope, active, information = climb.local_model(vector, posterior)
        accepted = False
        while damping < MAX_DAMPING:
            candidate, promise = climb.propose(vector, slope, active, information, damping, length)
            reached = climb.evaluate(candidate, nu, posterior)
            accepted = reached > value - 0.02 * TOLERANCE
            if accepted:
                break
            damping, length = (damping, 1.0) if length > 1.0 else (max(8.0 * damping, 1e-2), 1.0)
        if not accepted:
            climb.evaluate(vector, nu, posterior)
            break
        gain, vector, value = reached - value, candidate, reached
        damping = max(damping / 5.0, 1e-5)
        length = _next_length(gain, promise, length)
        if value >= enough or (iteration >= PATIENCE and value + HOPE * promise < target):
            break
        if until is not None and until(climb.parameters(vector, nu)):
            break
        converged = gain < TOLERANCE and promise < 2.0 * TOLERANCE
        if converged:
            break
    return Optimum(
        parameters=climb.parameters(vector, nu),
        posterior=posterior,
        bound=value,
        iterations=iteration,
        converged=converged,
    )


def _next_length(gain: float, promise: float, length: float) -> float:
    """Length of the next step, in quasi-Newton steps.

    Far from the optimum the outer product overstates the information. A step of length a along d gains
    a d'g - a^2 d'Hd / 2, from which the best length is read off.
    """
    full = 2.0 * promise
    if full <= 10.0 * TOLERANCE:
        return 1.0
    curvature = 2.0 * (length * full - gain) / length**2
    return float(np.clip(full / max(curvature, 0.4 * full), 1.0, MAX_LENGTH))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Climb:
    data: FrailtyData
    free: NDArray[np.bool_]
    dynamic: bool
    weights: Array
    gamma_levels: bool

    def parameters(self, vector: Array, shape_of_spend: float) -> Parameters:
        return Parameters.from_vector(vector, self.data.shape, shape_of_spend, gamma_levels=self.gamma_levels)

    def clip(self, vector: Array) -> Array:
        low, high, _ = bounds(self.data.shape, gamma_levels=self.gamma_levels)
        return np.clip(vector, low, high)

    def evaluate(
        self, vector: Array, shape_of_spend: float, posterior: Workspace, *, steps: int = 1
    ) -> float:
        """Penalised bound after the posteriors have followed the parameters."""
        parameters = self.parameters(vector, shape_of_spend)
        posterior.improve(self.data, parameters, dynamic=self.dynamic, steps=steps, weights=self.weights)
        precision, centre = self.data.precision
        penalty = 0.5 * (precision * (vector - centre) ** 2)[self.free].sum()
        return float(self.weights @ posterior.bound - penalty)

    def shape_of_spend(self, posterior: Workspace) -> float:
        """Moment estimate: 1 / mean Pearson residual squared."""
        rows = float(self.weights @ (self.data.rows.stop - self.data.rows.first))
        spread = float(self.weights @ posterior.dispersion[:, 0]) / rows
        return float(np.clip(1.0 / max(spread, 1e-12), *SHAPE_BOUNDS))

    def local_model(self, vector: Array, posterior: Workspace) -> tuple[Array, NDArray[np.int64], Array]:
        """Slope, positions and information of the parameters that may still move."""
        low, high, _ = bounds(self.data.shape, gamma_levels=self.gamma_levels)
        precision, centre = self.data.precision
        slope = posterior.slope - precision * (vector - centre)
        stuck = ((vector <= low) & (slope < 0)) | ((vector >= high) & (slope > 0))
        score = posterior.score
        felt = np.abs(score).max(axis=0) > 0.0  # a column that is zero everywhere moves nobody
        active = np.flatnonzero(self.free & ~stuck & felt)
        if not np.all(self.weights == 1.0):
            score = score * np.sqrt(self.weights).astype(np.float32)[:, None]
        products = ssyrk(1.0, score.T, trans=0, lower=1).astype(np.float64)
        information = products[np.ix_(active, active)]
        information = np.tril(information) + np.tril(information, -1).T + np.diag(precision[active])
        moving: Array = information
        return np.asarray(slope[active], dtype=np.float64), active, moving

    def propose(
        self,
        vector: Array,
        slope: Array,
        active: NDArray[np.int64],
        information: Array,
        damping: float,
        length: float,
    ) -> tuple[Array, float]:
        """The damped step of some length, clipped to what is sensible, and the gain a full one promises."""
        low, high, cap = bounds(self.data.shape, gamma_levels=self.gamma_levels)
        damped = information + damping * np.diag(np.diag(information))
        step = np.linalg.solve(damped, slope)
        candidate = vector.copy()
        candidate[active] += np.clip(length * step, -cap[active], cap[active])
        return np.clip(candidate, low, high), 0.5 * float(step @ slope)


def parameter_covariance(
    data: FrailtyData, optimum: Optimum[Workspace], free: NDArray[np.bool_], weights: Array
) -> tuple[NDArray[np.int64], Array]:
    """Positions of the parameters that could move at the optimum, and their covariance."""
    climb = _Climb(
        data=data, free=free, dynamic=False, weights=weights, gamma_levels=optimum.parameters.gamma_levels
    )
    _, active, information = climb.local_model(optimum.parameters.to_vector(), optimum.posterior)
    covariance: Array = np.linalg.inv(information).astype(np.float64)
    return active, covariance
