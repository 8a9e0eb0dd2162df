"""Where the climb starts: rates without factors first, then the axes that the frailties have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.optimise import Optimum, Workspace, maximise
from attribution.incremental.frailty.parameters import Parameters, free_parameters
from attribution.incremental.frailty.posterior import Posterior

__all__ = ["add_second_factor", "crude_rates", "fit_without_factors", "start_with_factor"]

Array = NDArray[np.float64]

PERSISTENCE = 0.95
LEAVING_LOADING = -0.3
FRAILTY_VARIANCE = 0.1
LEAST_VARIANCE = 0.03
LEAST_COMMUNALITY = 0.05
ITERATIONS = 5


def fit_without_factors(data: FrailtyData, weights: Array) -> Optimum[Posterior]:
    """Rates, effects and independent frailties: what everyone shares is still inside the frailties."""
    free = free_parameters(data.shape, data.rows.use, dynamic=False, second_factor=False, first_factor=False)
    return maximise(
        data,
        crude_rates(data, weights),
        Posterior.blank(data),
        free,
        dynamic=False,
        weights=weights,
        max_iterations=ITERATIONS,
    )


def start_with_factor(data: FrailtyData, base: Optimum[Workspace], *, scale: float = 1.0) -> Parameters:
    """Loadings on satisfaction from the first principal axis of the frailties and proxies.

    Parameters
    ----------
    data
        Rows of the panel.
    base
        The fit without factors.
    scale
        Factor on the loadings of touches and spend: a second start uses a smaller one.
    """
    channels = data.shape.channels
    frailties = base.posterior.constant[:, 1:]
    proxies = np.nan_to_num(data.rows.proxies)
    axis = _first_axis(np.column_stack([frailties, proxies]))
    sign = np.sign(axis[-1] if proxies.shape[1] else axis[channels]) or 1.0
    axis = sign * axis
    spread = np.exp(0.5 * base.parameters.log_variances)
    loadings = base.parameters.loadings.copy()
    loadings[2:-1, 0] = scale * axis[:channels] * spread[:-1]
    loadings[1, 0] = scale * axis[channels] * spread[-1]
    loadings[0, 0] = LEAVING_LOADING
    lines = base.parameters.proxies.copy()
    lines[:, 1] = scale * axis[channels + 1 :]
    lines[:, 2] = np.log(np.maximum(1.0 - lines[:, 1] ** 2, 0.2))
    own = np.exp(base.parameters.log_variances) - np.append(loadings[2:-1, 0], loadings[1, 0]) ** 2
    return replace(
        base.parameters,
        loadings=loadings * data.rows.use[:, None],
        log_variances=np.log(np.maximum(own, LEAST_VARIANCE)),
        persistence=float(np.arctanh(PERSISTENCE)),
        proxies=lines,
    )


def add_second_factor(data: FrailtyData, one: Optimum[Workspace]) -> Parameters:
    """Loadings on v from the first principal axis of what the frailties still share."""
    channels = data.shape.channels
    axis = _first_axis(one.posterior.constant[:, 1:])
    spread = np.maximum(np.exp(0.5 * one.parameters.log_variances), 0.2)
    loadings = one.parameters.loadings.copy()
    loadings[2:-1, 1] = axis[:channels] * spread[:-1]
    loadings[1, 1] = axis[channels] * spread[-1]
    own = np.exp(one.parameters.log_variances) - np.append(loadings[2:-1, 1], loadings[1, 1]) ** 2
    return replace(
        one.parameters,
        loadings=loadings * data.rows.use[:, None],
        log_variances=np.log(np.maximum(own, 0.5 * LEAST_VARIANCE)),
    )


def crude_rates(data: FrailtyData, weights: Array) -> Parameters:
    """Overall rates of lives weighted by `weights`, shape (L,); no effects, no loadings."""
    rows, shape = data.rows, data.shape
    there = np.zeros(rows.spend.shape)
    np.add.at(there, rows.who, weights[:, None] * data.at_risk)
    total = there.sum()

    def log_odds(events: float) -> float:
        share = np.clip(events / total, 1e-4, 1.0 - 1e-4)
        return float(np.log(share / (1.0 - share)))

    covariates = np.zeros((shape.measures, shape.covariates))
    covariates[0, 0] = log_odds(float(weights @ rows.left))
    covariates[1, 0] = np.log(max(float((there * rows.spend).sum()) / total, 1e-6))
    touches = np.einsum("it,itc->c", there, rows.touches) / total
    covariates[2:-1, 0] = np.log(np.maximum(touches, 1e-6))
    covariates[-1, 0] = log_odds(float((there * rows.period_covariates[:, :, 0]).sum()))
    return Parameters(
        covariates=covariates * rows.use[:, None],
        period_covariates=np.zeros((shape.measures, shape.period_covariates)),
        months=np.zeros((shape.measures, shape.periods)),
        stocks=np.zeros((2, shape.channels)),
        loadings=np.zeros((shape.measures, 2)),
        factor_variance=0.0,
        log_variances=np.full(shape.frailties, np.log(FRAILTY_VARIANCE)),
        persistence=float(np.arctanh(PERSISTENCE)),
        proxies=np.zeros((shape.proxies, 3)),
        shape_of_spend=_crude_shape(data, there, float(np.exp(covariates[1, 0]))),
    )


def _crude_shape(data: FrailtyData, there: Array, mean: float) -> float:
    """Moment estimate of the shape of spend around one mean."""
    scale = mean if data.rows.compound else mean**2
    spread = float((there * (data.rows.spend - mean) ** 2).sum()) / (float(there.sum()) * scale)
    return 1.0 / max(spread, 1e-12)


def _first_axis(variables: Array) -> Array:
    """First principal axis (Thomson's iterated communalities) of the columns' correlations.

    Never zero: a loading that starts at zero stays there.
    """
    spread = variables.std(axis=0)
    scaled = (variables - variables.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    correlation = scaled.T @ scaled / len(scaled)
    communality = np.full(len(correlation), 0.5)
    axis = np.zeros(len(correlation))
    for _ in range(50):
        values, vectors = np.linalg.eigh(correlation - np.diag(np.diag(correlation) - communality))
        axis = vectors[:, -1] * np.sqrt(max(values[-1], LEAST_COMMUNALITY))
        communality = np.clip(axis**2, 0.0, 0.8)
    return np.asarray(np.where(np.abs(axis) < 0.05, np.where(axis < 0, -0.05, 0.05), axis))
