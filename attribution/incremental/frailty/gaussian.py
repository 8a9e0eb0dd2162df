"""Compiled linear algebra of one customer's Gaussian posterior over (u_1..u_n, w).

u is satisfaction by period and w = (v, eta_1..eta_C, xi) what never changes. Given w the precision of u is
tridiagonal, so the border is eliminated by two tridiagonal sweeps and a Schur complement of size S = C + 2:
O(n S^2) for a Newton step and every covariance that is needed, instead of (n + S)^3.

    precision = [[Quu, B], [B', Qww]],   solved = Quu^-1 [B, g_u],   Cov(w) = (Qww - B' Quu^-1 B)^-1
    Cov(u, w) = -Quu^-1 B Cov(w),        Var(u) = Quu^-1 + Quu^-1 B Cov(w) B' Quu^-1
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled

Array = NDArray[np.float64]

MAX_LOG_LEVEL = 25.0
"""Bound on a log level on the way: beyond it is a wrong start, not a level."""


class Blocks(NamedTuple):
    """Scratch space of one customer; T periods at most, S static latents."""

    diagonal: Array  # (T,) diagonal of Quu
    off: Array  # (1,) its constant off-diagonal
    border: Array  # (T, S) B
    corner: Array  # (S, S) Qww, after elimination Cov(w)
    gradient_u: Array  # (T,)
    gradient_w: Array  # (S,)
    pivot: Array  # (T,) pivots of Quu
    solved: Array  # (T, S + 1)
    lower: Array  # (S, S) Cholesky factor of the Schur complement
    step: Array  # (2, S)
    var_u: Array  # (T,)
    lag_u: Array  # (T,) Cov(u_j, u_j+1)
    cross: Array  # (T, S) Cov(u_j, w)


@compiled
def new_blocks(T: int, S: int) -> Blocks:
    """Scratch space for customers of up to T periods and S static latents."""
    return Blocks(
        np.zeros(T),
        np.zeros(1),
        np.zeros((T, S)),
        np.zeros((S, S)),
        np.zeros(T),
        np.zeros(S),
        np.zeros(T),
        np.zeros((T, S + 1)),
        np.zeros((S, S)),
        np.zeros((2, S)),
        np.zeros(T),
        np.zeros(T),
        np.zeros((T, S)),
    )


@compiled
def is_level(s: int, S: int) -> bool:
    """Whether static latent s is a level when levels are gamma: v, on touches, and xi, on spend."""
    return s in (0, S - 1)


@compiled
def start_from_prior(
    n: int,
    rho: float,
    variances: Array,
    gamma_levels: bool,
    mean_u: Array,
    mean_w: Array,
    var_w: Array,
    b: Blocks,
) -> None:
    """Precision and gradient of the prior alone: AR(1) for u with variance 1, independent w.

    A level exp(w) with a gamma distribution of mean 1 and variance 1 / k has the log-density
    k (w - exp(w)): that of k events at rate k exp(w), so it enters like a row of counts.
    """
    S = mean_w.shape[0]
    gap = 1.0 / (1.0 - rho * rho) if n > 1 else 1.0
    b.off[0] = -rho * gap if n > 1 else 0.0
    for j in range(n):
        inner = 0 < j < n - 1
        b.diagonal[j] = gap * (1.0 + rho * rho) if inner else gap
        slope = -b.diagonal[j] * mean_u[j]
        if j > 0:
            slope -= b.off[0] * mean_u[j - 1]
        if j < n - 1:
            slope -= b.off[0] * mean_u[j + 1]
        b.gradient_u[j] = slope
        b.border[j, :] = 0.0
    b.corner[:, :] = 0.0
    for s in range(S):
        shape = 1.0 / variances[s]
        if gamma_levels and is_level(s, S):
            rate = shape * math.exp(min(mean_w[s] + 0.5 * var_w[s], MAX_LOG_LEVEL))
            b.corner[s, s] = rate
            b.gradient_w[s] = shape - rate
        else:
            b.corner[s, s] = shape
            b.gradient_w[s] = -mean_w[s] * shape


@compiled
def _invert(matrix: Array, lower: Array) -> float:
    """Invert a small symmetric positive definite matrix in place; return its log-determinant."""
    size = matrix.shape[0]
    logdet = 0.0
    for j in range(size):
        for i in range(j, size):
            value = matrix[i, j]
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            if i == j:
                value = math.sqrt(max(value, 1e-12))
                lower[j, j] = value
                logdet += 2.0 * math.log(value)
            else:
                lower[i, j] = value / lower[j, j]
    for column in range(size):
        for i in range(column, size):
            value = 1.0 if i == column else 0.0
            for k in range(column, i):
                value -= lower[i, k] * matrix[k, column]
            matrix[i, column] = value / lower[i, i]
    for i in range(size):
        for j in range(i + 1):
            value = 0.0
            for k in range(i, size):
                value += matrix[k, i] * matrix[k, j]
            matrix[i, j] = value
    for i in range(size):
        for j in range(i):
            matrix[j, i] = matrix[i, j]
    return logdet


@compiled
def eliminate(n: int, b: Blocks) -> float:
    """Fill ``solved`` and turn ``corner`` into Cov(w); return the log-determinant of the precision."""
    S = b.corner.shape[0]
    off = b.off[0]
    logdet = 0.0
    for j in range(n):
        ratio = off / b.pivot[j - 1] if j > 0 else 0.0
        b.pivot[j] = b.diagonal[j] - ratio * off
        logdet += math.log(b.pivot[j])
        for s in range(S):
            b.solved[j, s] = b.border[j, s]
        b.solved[j, S] = b.gradient_u[j]
        if j > 0:
            for s in range(S + 1):
                b.solved[j, s] -= ratio * b.solved[j - 1, s]
    for j in range(n - 1, -1, -1):
        inverse = 1.0 / b.pivot[j]
        if j < n - 1:
            for s in range(S + 1):
                b.solved[j, s] -= off * b.solved[j + 1, s]
        for s in range(S + 1):
            b.solved[j, s] *= inverse
    for j in range(n):
        for s in range(S):
            weight = b.border[j, s]
            for r in range(s + 1):
                b.corner[s, r] -= weight * b.solved[j, r]
    for s in range(S):
        for r in range(s):
            b.corner[r, s] = b.corner[s, r]
    total: float = logdet + _invert(b.corner, b.lower)
    return total


@compiled
def newton_step(n: int, cap: float, mean_u: Array, mean_w: Array, b: Blocks) -> float:
    """Move the mean by one Newton step, no coordinate by more than ``cap``; return the largest move."""
    S = b.corner.shape[0]
    for s in range(S):
        value = b.gradient_w[s]
        for j in range(n):
            value -= b.border[j, s] * b.solved[j, S]
        b.step[1, s] = value
    largest = 0.0
    for s in range(S):
        value = 0.0
        for r in range(S):
            value += b.corner[s, r] * b.step[1, r]
        b.step[0, s] = value
        largest = max(largest, abs(value))
    for j in range(n):
        for s in range(S):
            b.solved[j, S] -= b.solved[j, s] * b.step[0, s]
        largest = max(largest, abs(b.solved[j, S]))
    scale = min(1.0, cap / max(largest, 1e-300))
    for s in range(S):
        mean_w[s] += scale * b.step[0, s]
    for j in range(n):
        mean_u[j] += scale * b.solved[j, S]
    return largest


@compiled
def covariances(n: int, b: Blocks) -> None:
    """Fill Var(u_j), Cov(u_j, u_j+1) and Cov(u_j, w) after an elimination."""
    S = b.corner.shape[0]
    tail = 1.0 / b.pivot[n - 1]
    b.var_u[n - 1] = tail
    for j in range(n - 2, -1, -1):
        ratio = b.off[0] / b.pivot[j]
        b.lag_u[j] = -ratio * tail
        tail = 1.0 / b.pivot[j] + ratio * ratio * tail
        b.var_u[j] = tail
    for j in range(n):
        for s in range(S):
            value = 0.0
            for r in range(S):
                value -= b.solved[j, r] * b.corner[r, s]
            b.cross[j, s] = value
        for s in range(S):
            b.var_u[j] -= b.cross[j, s] * b.solved[j, s]
        if j > 0:
            for s in range(S):
                b.lag_u[j - 1] -= b.cross[j, s] * b.solved[j - 1, s]


@compiled
def keep_levels(gamma_levels: bool, mean_w: Array, var_w: Array, b: Blocks) -> None:
    """Take over the variances of w; expected gamma levels exp(mean + var / 2) stay where the step put them.

    A step moves the mean at the old variance. A level that rests on few counts has a wide posterior, and
    one that took the new variance at the old mean would swing to and fro for ever (below one count).
    """
    S = mean_w.shape[0]
    for s in range(S):
        if gamma_levels and is_level(s, S):
            mean_w[s] -= 0.5 * (b.corner[s, s] - var_w[s])
        var_w[s] = b.corner[s, s]


@compiled
def draw(
    n: int,
    noise_u: Array,
    noise_w: Array,
    mean_u: Array,
    mean_w: Array,
    out_u: Array,
    out_w: Array,
    b: Blocks,
) -> None:
    """One draw of (u, w) from the posterior after an elimination, from standard normal noise.

    w = mean + L^-T e with L the Cholesky factor of Cov(w)^-1; then u given w by back substitution.
    """
    S = b.corner.shape[0]
    for s in range(S - 1, -1, -1):
        value = noise_w[s]
        for r in range(s + 1, S):
            value -= b.lower[r, s] * b.step[0, r]
        b.step[0, s] = value / b.lower[s, s]
        out_w[s] = mean_w[s] + b.step[0, s]
    later = 0.0
    for j in range(n - 1, -1, -1):
        later = noise_u[j] / math.sqrt(b.pivot[j]) - b.off[0] / b.pivot[j] * later
        value = mean_u[j] + later
        for s in range(S):
            value -= b.solved[j, s] * b.step[0, s]
        out_u[j] = value
