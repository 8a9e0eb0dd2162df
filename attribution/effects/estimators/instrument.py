"""An instrument: something that moves the treatment and touches the outcome in no other way.

Two-stage least squares gives the effect on those whom the instrument moves. Its usual interval is wrong
when the instrument is weak, so the interval is that of Anderson & Rubin (1949), which holds however weak it
is: all effects b at which the instrument explains nothing of y - b t. With y, t and z less what the
covariates explain of them and c the 95 % point of chi-square, b is inside when

    (sum z (y - b t))^2 <= c sum z^2 (y - b t)^2

a quadratic in b: an interval, or, where the instrument is too weak to bound the effect, no interval at all.

Cases of one day meet the same queue, so their errors go together. With clusters the sums of squares are sums
over clusters; with two kinds of them those of both, less the one counted twice (Cameron, Gelbach & Miller
2011, eq. 2.13). With one instrument the robust F so made is the effective F of Montiel Olea & Pflueger
(2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from attribution.effects.effect import INTERVAL_LEVEL
from attribution.effects.estimators.regression import cluster_sums, drop_collinear
from histories.arrays import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStage:
    """What an instrument says.

    Attributes
    ----------
    estimate, std_error
        Two-stage least squares, heteroskedasticity-robust.
    low, high
        Anderson-Rubin limits; infinite where the instrument does not bound the effect.
    first_stage_f
        Robust F of the instrument in the first stage.
    reduced_form, reduced_form_error
        What the instrument does to the outcome.
    """

    estimate: float
    std_error: float
    low: float
    high: float
    first_stage_f: float
    reduced_form: float
    reduced_form_error: float


def fit_two_stage(
    outcome: Float,
    treatment: Float,
    instrument: Float,
    covariates: NDArray[np.float64],
    *,
    clusters: Sequence[NDArray[np.int64]] = (),
    absorbed: int = 0,
) -> TwoStage:
    """Two-stage least squares of `outcome` on `treatment` by one `instrument`, given `covariates`.

    Parameters
    ----------
    outcome, treatment, instrument
        Shape (N,).
    covariates
        Shape (N, K), numeric and complete.
    clusters
        None, one or two kinds of clusters, shape (N,) each; errors of one cluster may go together.
    absorbed
        Means that were taken out of all of these before, for the degrees of freedom.
    """
    exogenous = np.column_stack([np.ones(len(outcome)), drop_collinear(covariates)])
    three = np.column_stack([outcome, treatment, instrument])
    y, t, z = np.ascontiguousarray((three - exogenous @ np.linalg.lstsq(exogenous, three, rcond=None)[0]).T)
    zz, zt, zy = float(z @ z), float(z @ t), float(z @ y)
    if zz <= 1e-12 * len(z) or zt == 0.0:
        nothing = float("nan")
        return TwoStage(
            estimate=nothing,
            std_error=nothing,
            low=-np.inf,
            high=np.inf,
            first_stage_f=0.0,
            reduced_form=nothing,
            reduced_form_error=nothing,
        )
    estimate = zy / zt
    scale = len(z) / max(len(z) - exogenous.shape[1] - absorbed - 1, 1)
    first, reduced = zt / zz, zy / zz

    def spread(residual: Float) -> float:
        return float(np.sqrt(max(scale * _sum_of_squares(z * residual, z * residual, clusters), 0.0)))

    error = spread(y - estimate * t) / abs(zt)
    first_error, reduced_error = spread(t - first * z) / zz, spread(y - reduced * z) / zz
    low, high = _anderson_rubin(y, t, z, scale, clusters)
    return TwoStage(
        estimate=estimate,
        std_error=float(error),
        low=low,
        high=high,
        first_stage_f=float((first / first_error) ** 2) if first_error > 0 else float("inf"),
        reduced_form=reduced,
        reduced_form_error=float(reduced_error),
    )


def _sum_of_squares(a: Float, b: Float, clusters: Sequence[NDArray[np.int64]]) -> float:
    """Sum of a times b, over clusters: within one, all with all; of two kinds, both less the plain one."""
    plain = float(a @ b)
    if not clusters:
        return plain
    total = -plain * (len(clusters) - 1)
    for one in clusters:
        sums = cluster_sums(np.column_stack([a, b]), one)
        groups = len(sums)
        total += float(sums[:, 0] @ sums[:, 1]) * groups / max(groups - 1, 1)
    return total


def wald_of_scores(
    targets: NDArray[np.float64],
    instrument: Float,
    covariates: NDArray[np.float64],
    clusters: NDArray[np.int64],
) -> float:
    """p-value of "the instrument moves none of these", given the covariates.

    The score test: its errors are those of an instrument that moves nothing. Where few clusters carry the
    instrument that holds better than the fitted ones do, as with the interval of Anderson & Rubin.

    Parameters
    ----------
    targets
        Shape (N, M).
    instrument, clusters
        Shape (N,).
    covariates
        Shape (N, K), numeric and complete.
    """
    exogenous = np.column_stack([np.ones(len(instrument)), drop_collinear(covariates)])
    both = np.column_stack([instrument, drop_collinear(targets)])
    rest = both - exogenous @ np.linalg.lstsq(exogenous, both, rcond=None)[0]
    z, left = rest[:, 0], rest[:, 1:]
    sums = cluster_sums(z[:, None] * left, clusters)
    groups = len(sums)
    spread = sums.T @ sums * groups / max(groups - 1, 1)
    rank = int(np.linalg.matrix_rank(spread, hermitian=True)) if spread.size else 0
    if not rank:
        return 1.0
    moved = left.T @ z
    wald = float(moved @ np.linalg.pinv(spread, hermitian=True) @ moved)
    return float(scipy.stats.f.sf(wald / rank, rank, max(groups - 1, 1)))


def _anderson_rubin(
    y: Float, t: Float, z: Float, scale: float, clusters: Sequence[NDArray[np.int64]]
) -> tuple[float, float]:
    """Limits of the effects at which the instrument explains nothing of y - b t."""
    c = float(scipy.stats.chi2.ppf(INTERVAL_LEVEL, 1)) * scale
    zt, zy = float(z @ t), float(z @ y)
    a = zt**2 - c * _sum_of_squares(z * t, z * t, clusters)
    half = zy * zt - c * _sum_of_squares(z * y, z * t, clusters)
    rest = zy**2 - c * _sum_of_squares(z * y, z * y, clusters)
    inside = half**2 - a * rest
    if a <= 0.0 or inside < 0.0:
        return -np.inf, np.inf
    return float((half - np.sqrt(inside)) / a), float((half + np.sqrt(inside)) / a)
