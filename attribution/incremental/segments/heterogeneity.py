"""Whether effects differ between segments: one Wald test, and how far each segment's effects may be believed.

Segments share no customers, so their estimates theta_g with covariances V_g are independent. Under equal
effects

    Q = sum_g (theta_g - m)' V_g^-1 (theta_g - m) ~ chi2,   m = (sum_g V_g^-1)^-1 sum_g V_g^-1 theta_g

with (segments - 1) x effects degrees of freedom (Cochran's Q of vectors). That holds when the covariances
do; V_g rests on a likelihood that is only nearly right. So the same customers are divided at random into
groups of the segments' sizes, B times, and fitted alike: Q then comes from chance alone, and

    F = Q / mean(Q by chance) ~ F(df, B df)

whatever scalar the covariances are off by. Where effects differ, theta_g is shrunk towards m as in empirical
Bayes: true effects are N(m, tau^2 I), and tau^2 solves Q(tau^2) = degrees of freedom (Paule & Mandel 1982),

    shrunk_g = m + tau^2 (tau^2 I + V_g)^-1 (theta_g - m)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

from histories.arrays import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class WaldTest:
    """A test of equal effects between segments."""

    statistic: float
    """Q."""
    freedom: int
    p_value: float
    mean: Float
    """m, the mean weighted by inverse covariance, shape (k,)."""
    scale: float = 1.0
    """Factor by which variances were found to be larger than the covariances say."""


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


def against_chance(test: WaldTest, by_chance: Sequence[WaldTest]) -> WaldTest:
    """The test with its p-value from at least one division by chance.

    Examples
    --------
    >>> test = WaldTest(statistic=20.0, freedom=8, p_value=0.01, mean=np.zeros(8))
    >>> chance = WaldTest(statistic=16.0, freedom=8, p_value=0.04, mean=np.zeros(8))
    >>> known = against_chance(test, [chance, chance, chance])
    >>> known.scale, round(known.p_value, 2)
    (2.0, 0.31)
    """
    ratios = [chance.statistic / chance.freedom for chance in by_chance]
    scale = float(np.mean(ratios))
    p = stats.f.sf(test.statistic / test.freedom / scale, test.freedom, len(ratios) * test.freedom)
    return replace(test, p_value=float(p), scale=scale)


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
