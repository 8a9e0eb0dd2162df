"""What one customer's weight does to the parameters, and the covariance that follows from it.

Where the likelihood is right, the outer product of the customers' scores is the information. A
quasi-likelihood of spend, or counts more dispersed than Poisson, are not quite; then the curvature has to be
measured, and the covariance is the sandwich H^-1 J H^-1 (Huber 1967; White 1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.optimise import Optimum, Workspace, parameter_covariance
from attribution.incremental.frailty.parameters import Parameters, Shape, bounds

__all__ = ["Influence", "Sample", "effects_apart", "outer_product", "reweighted", "sandwich"]

Array = NDArray[np.float64]
Integer = NDArray[np.int64]

STEP = 1e-2
"""Step of the differences of the slope, in units of the parameter: below it, posteriors that lag show."""
SETTLE, FOLLOW = 6, 3
"""Newton steps of the posteriors before the first difference, and after each step of a parameter."""
FLOOR = 1e-6
"""Smallest curvature, as a share of the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """Influence of n customers on p parameters."""

    values: NDArray[np.float32]
    """Change of the flat parameters per unit of a customer's weight, shape (n, p)."""
    errors: Parameters
    """Standard errors, in the place of the parameters; 0 for those that do not move."""
    robust: bool
    """Whether the curvature was measured."""


class Sample(Protocol):
    """Some customers, and a workspace that starts from their posteriors at the optimum."""

    @property
    def data(self) -> FrailtyData:
        """Their rows."""

    @property
    def workspace(self) -> Workspace:
        """Their posteriors, improved in place."""

    @property
    def share(self) -> float:
        """Their weight as a share of everybody's."""


def reweighted(
    parameters: Parameters,
    shape: Shape,
    influence: NDArray[np.float32] | None,
    weights: Array,
    *,
    n_customers: int,
) -> Parameters:
    """Parameters of reweighted customers, by one step of their influence.

    Parameters
    ----------
    parameters, shape
        The fit to all customers, each with weight 1.
    influence
        Change of the flat parameters per unit of a customer's weight, shape (n, p).
    weights
        New weights, shape (n,).
    n_customers
        Customers fitted to, n.

    Raises
    ------
    ValueError
        If the influence was not kept, or is of other customers.
    """
    if influence is None or len(influence) != len(weights):
        raise ValueError(f"influence of {n_customers} customers is needed for {len(weights)} weights")
    low, high, _ = bounds(shape, gamma_levels=parameters.gamma_levels)
    shift = (np.asarray(weights, dtype=np.float32) - np.float32(1.0)) @ influence
    vector = np.clip(parameters.to_vector() + shift, low, high)
    return Parameters.from_vector(
        vector, shape, parameters.shape_of_spend, gamma_levels=parameters.gamma_levels
    )


def effects_apart(
    data: FrailtyData, optimum: Optimum[Workspace], again: Parameters, free: NDArray[np.bool_], weights: Array
) -> float:
    """Largest difference of stock effects between an optimum and another, in standard errors of the first."""
    active, covariance = parameter_covariance(data, optimum, free, weights)
    errors = np.full(data.shape.size, np.inf)
    errors[active] = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
    effects = data.shape.slices()["stocks"]
    moved = (again.to_vector() - optimum.parameters.to_vector())[effects]
    return float(np.max(np.abs(moved) / errors[effects]))


def outer_product(
    data: FrailtyData, optimum: Optimum[Workspace], free: NDArray[np.bool_], weights: Array
) -> Influence:
    """Influence and covariance with the outer product of scores as information."""
    active, covariance = parameter_covariance(data, optimum, free, weights)
    return _influence(data, optimum, active, covariance, covariance, robust=False)


def sandwich(
    data: FrailtyData,
    optimum: Optimum[Workspace],
    free: NDArray[np.bool_],
    weights: Array,
    sample: Sample,
    *,
    dynamic: bool,
) -> Influence:
    """Influence and covariance with the curvature measured on a sample of customers.

    Calendar effects, most of the parameters but little of the channels' variation, keep the outer product.
    """
    active, covariance = parameter_covariance(data, optimum, free, weights)
    months = data.shape.slices()["months"]
    lasting = (active < months.start) | (active >= months.stop)
    part = active[lasting]
    bread = covariance.copy()
    bread[lasting, :] = bread[:, lasting] = 0.0
    bread[np.ix_(lasting, lasting)] = _inverse_curvature(sample, optimum.parameters, part, dynamic=dynamic)
    scores = np.sqrt(weights)[:, None] * optimum.posterior.score[:, active].astype(np.float64)
    meat = scores.T @ scores
    return _influence(data, optimum, active, bread, bread @ meat @ bread, robust=True)


def _influence(
    data: FrailtyData,
    optimum: Optimum[Workspace],
    active: Integer,
    bread: Array,
    covariance: Array,
    *,
    robust: bool,
) -> Influence:
    score = optimum.posterior.score
    values = np.zeros(score.shape, dtype=np.float32)
    values[:, active] = score[:, active] @ bread
    spread = np.zeros(data.shape.size)
    spread[active] = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return Influence(values=values, errors=Parameters.from_vector(spread, data.shape, 0.0), robust=robust)


def _inverse_curvature(sample: Sample, at: Parameters, active: Integer, *, dynamic: bool) -> Array:
    """Inverse of minus the second derivatives of the penalised bound, for everybody, shape (a, a)."""
    data, workspace = sample.data, sample.workspace
    vector = at.to_vector()

    def slope(moved: Array, steps: int) -> Array:
        parameters = Parameters.from_vector(
            moved, data.shape, at.shape_of_spend, gamma_levels=at.gamma_levels
        )
        workspace.improve(data, parameters, dynamic=dynamic, steps=steps)
        return workspace.slope[active].copy()

    here = slope(vector, SETTLE)
    rows = []
    for k in active:
        moved = vector.copy()
        moved[k] += STEP
        rows.append((here - slope(moved, FOLLOW)) / STEP)
    curvature = np.array(rows) / sample.share
    precision, _ = data.precision
    curvature = 0.5 * (curvature + curvature.T) + np.diag(precision[active])
    values, vectors = np.linalg.eigh(curvature)
    inverse: Array = (vectors / np.maximum(values, FLOOR * values.max())) @ vectors.T
    return inverse
