"""Quadrature over what is hidden about a customer: the level of own acts, and the frailty of leaving.

The level k has a gamma distribution of mean one and shape s. On the scale of u = log k its density is
s^s / Gamma(s) exp(s u - s e^u). Equally spaced nodes are laid around each customer's own posterior of u
(adaptive quadrature, as for mixed models), so a few nodes serve both the silent and the very active customer.
The trapezoid rule converges exponentially on such integrands (Trefethen & Weideman 2014); the grid reaches
further to the left because the logarithm of a gamma variable is skewed that way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, psi

from attribution.incremental.latent.arrays import FloatArray, IntArray

__all__ = ["NODES", "NodeGrid", "frailty_nodes", "lay_nodes", "log_level_prior", "log_level_score"]

NODES = 9
"""Nodes of the level of own acts per customer."""
FRAILTY_NODES = 7
"""Nodes of the frailty of leaving, the same for all customers."""
MAX_LOG_SD = 1.5
"""Bound on the log standard deviation of the frailty: a wild step of the search must not overflow."""
REACH = (-4.0, 3.0)
"""First and last node, in standard deviations from the mean."""
INFLATION = 1.1
"""The grid is this much wider than the posterior it was laid around, which moves during the fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGrid:
    """Nodes of u = log k for each customer."""

    log_kappa: FloatArray
    """Positions u, shape (N, J)."""
    log_base: FloatArray
    """Log quadrature weights before the prior density, shape (N, J)."""

    def take(self, customers: IntArray | slice) -> NodeGrid:
        """The same nodes for some customers."""
        return NodeGrid(log_kappa=self.log_kappa[customers], log_base=self.log_base[customers])


def lay_nodes(centre: FloatArray, spread: FloatArray, *, nodes: int = NODES) -> NodeGrid:
    """Equally spaced nodes around the posterior mean and standard deviation of u, each of shape (N,)."""
    position = np.linspace(*REACH, nodes)
    width = INFLATION * spread[:, None]
    step = np.log(position[1] - position[0]) + np.log(width)
    return NodeGrid(
        log_kappa=centre[:, None] + width * position, log_base=np.broadcast_to(step, (len(centre), nodes))
    )


def frailty_nodes(log_sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Deviations from the mean log-odds of leaving, and their shares: Gauss-Hermite nodes of N(0, sd^2).

    Parameters
    ----------
    log_sd
        Log standard deviation, shape (1,); shape (0,) for no frailty: then there is one node at zero.
    """
    if log_sd.size == 0:
        return np.zeros(1), np.ones(1)
    position, weight = np.polynomial.hermite_e.hermegauss(FRAILTY_NODES)
    return np.exp(min(log_sd[0], MAX_LOG_SD)) * position, weight / weight.sum()


def log_level_prior(log_kappa: FloatArray, shape: float) -> FloatArray:
    """Log density of u = log k when k ~ Gamma(shape, shape)."""
    constant = shape * np.log(shape) - gammaln(shape)
    result: FloatArray = constant + shape * (log_kappa - np.exp(log_kappa))
    return result


def log_level_score(log_kappa: FloatArray, shape: float) -> FloatArray:
    """Derivative of `log_level_prior` by log shape."""
    result: FloatArray = shape * (np.log(shape) + 1.0 - psi(shape) + log_kappa - np.exp(log_kappa))
    return result
