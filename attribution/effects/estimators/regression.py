"""Least squares with robust errors: the arithmetic shared by several designs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class OlsFit:
    """A least-squares fit.

    Attributes
    ----------
    coefficients : shape (K,)
    covariance : shape (K, K)
        Robust: HC2, or CR1 when clusters were given.
    residuals : shape (N,)
    dof
        N minus the rank.
    """

    coefficients: Float
    covariance: Float
    residuals: Float
    dof: int

    @property
    def std_errors(self) -> Float:
        """Robust standard errors, shape (K,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))


def fit_ols(design: Float, outcome: Float, *, clusters: NDArray[np.int64] | None = None) -> OlsFit:
    """Least squares of `outcome` (N,) on `design` (N, K).

    Errors are HC2 (MacKinnon & White 1985, eq. 7), or CR1 by `clusters` (N,) (Liang & Zeger 1986). Collinear
    columns share a minimum-norm coefficient.
    """
    products = design.T @ design
    bread = np.linalg.pinv(products, hermitian=True)
    coefficients = bread @ (design.T @ outcome)
    residuals = outcome - design @ coefficients
    dof = len(outcome) - int(np.linalg.matrix_rank(products, hermitian=True))
    if clusters is None:
        leverage = np.minimum(((design @ bread) * design).sum(axis=1), 1 - 1e-9)
        scores = design * (residuals / np.sqrt(1 - leverage))[:, None]
        factor = 1.0
    else:
        scores = cluster_sums(design * residuals[:, None], clusters)
        groups = len(scores)
        factor = groups / max(groups - 1, 1) * (len(outcome) - 1) / max(dof, 1)
    covariance = factor * bread @ (scores.T @ scores) @ bread
    return OlsFit(coefficients=coefficients, covariance=covariance, residuals=residuals, dof=dof)


def cluster_sums(values: Float, clusters: NDArray[np.int64]) -> Float:
    """Sums of the rows of `values` (N, K) within each of the G clusters, shape (G, K)."""
    _, codes = np.unique(clusters, return_inverse=True)
    return np.stack([np.bincount(codes, column) for column in values.T], axis=1)


def mean_error(influence: Float, clusters: NDArray[np.int64] | None = None) -> float:
    """Standard error of a mean whose influence values are given, shape (N,); summed within clusters first."""
    centred = influence - influence.mean()
    if clusters is None:
        return float(np.sqrt(centred @ centred / (len(centred) - 1) / len(centred)))
    sums = cluster_sums(centred[:, None], clusters)[:, 0]
    groups = len(sums)
    return float(np.sqrt(groups / max(groups - 1, 1) * (sums @ sums)) / len(centred))


def mean_difference(outcome: Float, treated: NDArray[np.bool_]) -> tuple[float, float]:
    """Difference in means, treated minus control, and its standard error (Neyman 1923).

    Both are NaN where a group has fewer than two units: nobody knows how they vary.
    """
    y1, y0 = outcome[treated], outcome[~treated]
    if min(len(y1), len(y0)) < 2:
        return float("nan"), float("nan")
    error = np.sqrt(y1.var(ddof=1) / len(y1) + y0.var(ddof=1) / len(y0))
    return float(y1.mean() - y0.mean()), float(error)


def drop_collinear(covariates: Float) -> Float:
    """Centred and scaled covariates without constant or collinear columns, shape (N, K' <= K).

    A column goes when it adds less than 1e-6 of its variance to the columns before it.
    """
    centred = covariates - covariates.mean(axis=0)
    scale = np.sqrt((centred * centred).mean(axis=0))
    varies = scale > 1e-12 * np.maximum(1.0, np.abs(covariates).max(axis=0, initial=0.0))
    scaled = centred[:, varies] / scale[varies]
    rest = scaled.T @ scaled / len(scaled)  # covariance of what the columns kept so far leave
    kept = []
    for k in range(len(rest)):
        if rest[k, k] > 1e-6:
            kept.append(k)
            rest -= np.outer(rest[:, k], rest[k]) / rest[k, k]
    return np.asarray(scaled[:, kept], dtype=np.float64)


def fit_lin(
    outcome: Float,
    treated: NDArray[np.bool_],
    covariates: Float,
    *,
    clusters: NDArray[np.int64] | None = None,
) -> tuple[float, float, int]:
    """Effect, standard error and degrees of freedom of the interacted regression of Lin (2013).

    y on 1, T, X - mean(X) and T (X - mean(X)): the coefficient of T is the mean effect, and adjustment cannot
    hurt asymptotic precision even when the regression is wrong.
    """
    return fit_interacted(outcome, treated, drop_collinear(covariates), clusters=clusters)


def fit_interacted(
    outcome: Float,
    treated: NDArray[np.bool_],
    centred: Float,
    *,
    clusters: NDArray[np.int64] | None = None,
) -> tuple[float, float, int]:
    """The same on covariates that are centred and not collinear, for any number of labels."""
    t = treated.astype(float)
    design = np.column_stack([np.ones(len(t)), t, centred, centred * t[:, None]])
    fit = fit_ols(design, outcome, clusters=clusters)
    error = float(fit.std_errors[1])
    if centred.shape[1]:
        error = float(np.hypot(error, _centring_error(fit, centred, clusters)))
    return float(fit.coefficients[1]), error, fit.dof


def _centring_error(fit: OlsFit, centred: Float, clusters: NDArray[np.int64] | None) -> float:
    """Error added by centring at the sample's means instead of the population's, when effects vary with X."""
    slopes = fit.coefficients[2 + centred.shape[1] :]
    return mean_error(centred @ slopes, clusters)
