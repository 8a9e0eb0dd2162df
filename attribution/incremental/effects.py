"""A fit's effects with their covariance, and the same fit with its effects moved.

An estimator may keep each customer's influence: the change of its parameters per unit of the
customer's weight (Hampel 1974). The sum of its squares is their covariance, and weights chosen along
it move the effects to any target while all other parameters follow as they do in the likelihood,

    w = 1 + F V^-1 d,   F the influence on the effects, V = F'F,   theta + Cov(theta, effects) V^-1 d

The hidden chain takes the outer product of n scores of p parameters for the information.
The inverse of such a mean is too large by n / (n - p - 1) (Hartlap, Simon & Schneider 2007), a third in 1,000
customers; its covariance is corrected for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Effects of C channels on log-odds of leaving and on log spend, in one vector, with their influence."""

    values: Float
    """beta, then gamma, shape (2C,)."""
    influence: Float
    """Change of the values per unit of a customer's weight, shape (n, 2C)."""
    correction: float = 1.0
    """Factor on the covariance."""

    @property
    def covariance(self) -> Float:
        """Covariance of the values, shape (2C, 2C); zero for effects that are not modelled."""
        result: Float = self.correction * (self.influence.T @ self.influence)
        return result

    def weights_towards(self, target: Float) -> Float:
        """Customers' weights at which one step of the influence gives these effects, shape (n,).

        Parameters
        ----------
        target
            Effects wanted, shape (2C,).
        """
        square = self.influence.T @ self.influence
        missing = np.linalg.pinv(square, hermitian=True) @ (target - self.values)
        result: Float = 1.0 + self.influence @ missing
        return result


def outer_product_correction(influence: Float | NDArray[np.float32]) -> float:
    """What makes good for an information that is the outer product of scores, with their influence (n, p)."""
    n, free = len(influence), int(influence.any(axis=0).sum())
    return max(n - free - 1, 1) / n
