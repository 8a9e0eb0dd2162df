"""Whether effects differ between segments: one Wald test, and how far each segment's effects may be believed.

Segments share no customers, so their estimates theta_g with covariances V_g are independent. Under equal
effects

    Q = sum_g (theta_g - m)' V_g^-1 (theta_g - m) ~ chi2,   m = (sum_g V_g^-1)^-1 sum_g V_g^-1 theta_g

with (segments - 1) x effects degrees of freedom (Cochran's Q of vectors). Where they differ, theta_g is
shrunk towards m as in empirical Bayes: true effects are N(m, tau^2 I), and tau^2 solves Q(tau^2) = degrees
of freedom (Paule & Mandel 1982),

    shrunk_g = m + tau^2 (tau^2 I + V_g)^-1 (theta_g - m)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

__all__ = ["WaldTest", "shrink", "wald_test"]

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaldTest:
    """A test of equal effects between segments."""

    statistic: float
    """Q."""
    freedom: int
    p_value: float
    mean: Float
    """m, the mean weighted by inverse covariance, shape (k,)."""


def wald_test(estimates: Sequence[Float], covariances: Sequence[Float]) -> WaldTest:
    """Test that vectors estimated on disjoint customers are equal.

    Parameters
    ----------
    estimates
        One vector per segment, shape (k,).
    covariances
        Their covariances, shape (k, k), positive definite.

    Examples
    --------
    >>> test = wald_test([np.array([0.0]), np.array([2.0])], [np.eye(1), np.eye(1)])
    >>> test.statistic, test.freedom, round(test.p_value, 3), test.mean.tolist()
    (2.0, 1, 0.157, [1.0])
    """
    statistic, mean = _spread(estimates, covariances, 0.0)
    freedom = (len(estimates) - 1) * len(mean)
    p_value = float(stats.chi2.sf(statistic, freedom)) if freedom else 1.0
    return WaldTest(statistic=statistic, freedom=freedom, p_value=p_value, mean=mean)


def shrink(estimates: Sequence[Float], covariances: Sequence[Float]) -> list[Float]:
    """The estimates, shrunk towards their mean by as much as they differ by chance.

    Examples
    --------
    >>> alike = shrink([np.array([0.0]), np.array([1.0])], [np.eye(1), np.eye(1)])
    >>> [part.tolist() for part in alike]
    [[0.5], [0.5]]
    """
    freedom = (len(estimates) - 1) * len(estimates[0])

    def excess(variance: float) -> float:
        return _spread(estimates, covariances, variance)[0] - freedom

    variance = 0.0
    if excess(0.0) > 0.0:
        high = 1.0
        while excess(high) > 0.0:
            high *= 4.0
        variance = float(optimize.brentq(excess, 0.0, high))
    _, mean = _spread(estimates, covariances, variance)
    identity = np.eye(len(mean))
    return [
        mean + variance * np.linalg.solve(variance * identity + covariance, estimate - mean)
        if variance
        else mean
        for estimate, covariance in zip(estimates, covariances, strict=True)
    ]


def _spread(estimates: Sequence[Float], covariances: Sequence[Float], variance: float) -> tuple[float, Float]:
    """Q and the weighted mean when true effects vary by so much."""
    precisions = [np.linalg.inv(variance * np.eye(len(v)) + v) for v in covariances]
    weighted = np.sum([p @ e for p, e in zip(precisions, estimates, strict=True)], axis=0)
    mean: Float = np.linalg.solve(np.sum(precisions, axis=0), weighted)
    q = sum(float((e - mean) @ p @ (e - mean)) for p, e in zip(precisions, estimates, strict=True))
    return q, mean
