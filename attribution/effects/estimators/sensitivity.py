"""How strong would a hidden cause have to be? E-value, robustness value, omitted-variable bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float


def e_value(risk_ratio: float) -> float:
    """E-value of a risk ratio (VanderWeele & Ding 2017, eq. 1); 1 means that nothing is needed.

    >>> round(e_value(3.9), 2), e_value(1.0)
    (7.26, 1.0)
    """
    if not np.isfinite(risk_ratio) or risk_ratio <= 0:
        return float("nan")
    ratio = max(risk_ratio, 1 / risk_ratio)
    return float(ratio + np.sqrt(ratio * (ratio - 1)))


def effect_e_value(estimate: float, outcome: Float, control: NDArray[np.bool_]) -> float | None:
    """E-value of a mean effect: by the risk ratio of a share, else by exp(0.91 effect / sd)."""
    base = float(outcome[control].mean())
    if set(np.unique(outcome)) <= {0.0, 1.0}:
        treated = base + estimate
        value = e_value(treated / base) if base > 0 and treated > 0 else float("nan")
    else:
        scale = float(outcome.std(ddof=1))
        value = (
            e_value(float(np.exp(np.clip(0.91 * estimate / scale, -50, 50)))) if scale > 0 else float("nan")
        )
    return value if np.isfinite(value) else None


def robustness_value(t_statistic: float, dof: int) -> float:
    """Robustness value RV_1 of Cinelli & Hazlett (2020, eq. 18), between 0 and 1.

    >>> round(robustness_value(4.18, 783), 3)
    0.139
    """
    f2 = t_statistic**2 / max(dof, 1)
    return float(0.5 * (np.sqrt(f2**2 + 4 * f2) - f2))


@dataclass(frozen=True, slots=True, kw_only=True)
class OmittedVariable:
    """What a hidden cause as strong as the strongest observed covariate would do.

    Attributes
    ----------
    covariate
        The yardstick: the covariate that explains most of both treatment and outcome.
    bias
        Largest change of an estimate, in the outcome's unit.
    """

    covariate: str
    bias: float


def bias_bounds(r2_treatment: float, r2_outcome: float) -> tuple[float, float]:
    """Partial R2 with treatment and with outcome of a hidden cause as strong as an observed covariate.

    `r2_treatment` is the covariate's partial R2 with the treatment, `r2_outcome` with the outcome given the
    treatment (Cinelli & Hazlett 2020, eq. 20 and 21 with k = 1). A covariate too strong for such a cause to
    exist gives (1, 1).

    >>> [round(r, 3) for r in bias_bounds(0.00908, 0.10903)]
    [0.009, 0.125]
    """
    if r2_treatment >= 0.5 or r2_outcome >= 1:
        return 1.0, 1.0
    odds = r2_treatment / (1 - r2_treatment)
    shared = odds**2
    with_outcome = (1 + np.sqrt(shared)) ** 2 / (1 - shared) * r2_outcome / (1 - r2_outcome)
    return float(odds), float(min(with_outcome, 1.0))


def bound_omitted_variable(
    outcome: Float,
    treated: NDArray[np.bool_],
    covariates: NDArray[np.float64],
    names: tuple[str, ...],
    *,
    circumstances: frozenset[str] = frozenset(),
) -> OmittedVariable | None:
    """What a hidden cause as strong as the worst observed covariate would do to an estimate.

    Bias = se sqrt(dof) sqrt(r_y r_d / (1 - r_d)), se and dof of the linear regression (Cinelli & Hazlett
    2020, eq. 14). None without covariates. `circumstances` are adjusted for and are no yardstick.
    """
    t = treated.astype(float)
    size = np.abs(covariates).max(axis=0, initial=0.0)
    varies = np.ptp(covariates, axis=0) > 1e-9 * size  # a constant has the mean's strength, which is no cause
    covariates, names = covariates[:, varies], tuple(np.asarray(names, dtype=object)[varies])
    covariates = (covariates - covariates.mean(axis=0)) / covariates.std(axis=0)  # whatever their units
    design = np.column_stack([np.ones(len(t)), covariates])
    with_treatment, rest = _classical_t(design, t)
    full, left = _classical_t(np.column_stack([t, design]), outcome)
    dof = max(len(t) - design.shape[1] - 1, 1)
    scale = np.sqrt(left / max(rest, 1e-12))  # se sqrt(dof): sd of both residuals, one over the other
    worst: OmittedVariable | None = None
    for name, t_d, t_y in zip(names, with_treatment[1:], full[2:], strict=True):
        if name in circumstances:
            continue
        r_d, r_y = bias_bounds(t_d**2 / (t_d**2 + dof), t_y**2 / (t_y**2 + dof))
        bias = float(scale * np.sqrt(r_y * r_d / max(1 - r_d, 1e-9)))
        if worst is None or bias > worst.bias:
            worst = OmittedVariable(covariate=name, bias=bias)
    return worst


def _classical_t(design: NDArray[np.float64], outcome: Float) -> tuple[Float, float]:
    """Each coefficient over its classical standard error, 0 where it has none, and what is left squared."""
    bread = np.linalg.pinv(design.T @ design, hermitian=True)
    coefficients = bread @ (design.T @ outcome)
    residuals = outcome - design @ coefficients
    squares = float(residuals @ residuals)
    errors = np.sqrt(np.maximum(np.diag(bread) * squares / max(len(outcome) - design.shape[1], 1), 0.0))
    t = np.divide(coefficients, errors, out=np.zeros_like(coefficients), where=errors > 0)
    return np.asarray(t, dtype=np.float64), squares
