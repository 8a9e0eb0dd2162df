"""An instrument: something that moves the treatment and touches the outcome in no other way.

Two-stage least squares gives the effect on those whom the instrument moves. Its usual interval is wrong
when the instrument is weak, so the interval is that of Anderson & Rubin (1949), which holds however weak it
is: all effects b at which the instrument explains nothing of y - b t. With y, t and z less what the
covariates explain of them and c the 95 % point of chi-square, b is inside when

    (sum z (y - b t))^2 <= c sum z^2 (y - b t)^2

a quadratic in b: an interval, or, where the instrument is too weak to bound the effect, no interval at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attribution.effects.effect import INTERVAL_LEVEL
from attribution.effects.regression import drop_collinear

__all__ = ["TwoStage", "fit_two_stage"]

Vector = NDArray[np.float64]


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
    outcome: Vector, treatment: Vector, instrument: Vector, covariates: NDArray[np.float64]
) -> TwoStage:
    """Two-stage least squares of `outcome` on `treatment` by one `instrument`, given `covariates`.

    Parameters
    ----------
    outcome, treatment, instrument
        Shape (N,).
    covariates
        Shape (N, K), numeric and complete.
    """
    exogenous = np.column_stack([np.ones(len(outcome)), drop_collinear(covariates)])
    y, t, z = (
        v - exogenous @ np.linalg.lstsq(exogenous, v, rcond=None)[0] for v in (outcome, treatment, instrument)
    )
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
    scale = len(z) / max(len(z) - exogenous.shape[1] - 1, 1)
    error = np.sqrt(scale * float((z * (y - estimate * t)) @ (z * (y - estimate * t)))) / abs(zt)
    first, reduced = zt / zz, zy / zz
    first_error = np.sqrt(scale * float((z * (t - first * z)) @ (z * (t - first * z)))) / zz
    reduced_error = np.sqrt(scale * float((z * (y - reduced * z)) @ (z * (y - reduced * z)))) / zz
    low, high = _anderson_rubin(y, t, z, scale)
    return TwoStage(
        estimate=estimate,
        std_error=float(error),
        low=low,
        high=high,
        first_stage_f=float((first / first_error) ** 2) if first_error > 0 else float("inf"),
        reduced_form=reduced,
        reduced_form_error=float(reduced_error),
    )


def _anderson_rubin(y: Vector, t: Vector, z: Vector, scale: float) -> tuple[float, float]:
    """Limits of the effects at which the instrument explains nothing of y - b t."""
    c = float(stats.chi2.ppf(INTERVAL_LEVEL, 1)) * scale
    zt, zy, z2 = float(z @ t), float(z @ y), z * z
    a = zt**2 - c * float(z2 @ (t * t))
    half = zy * zt - c * float(z2 @ (y * t))
    rest = zy**2 - c * float(z2 @ (y * y))
    inside = half**2 - a * rest
    if a <= 0.0 or inside < 0.0:
        return -np.inf, np.inf
    return float((half - np.sqrt(inside)) / a), float((half + np.sqrt(inside)) / a)
