"""The parameters of the shared-frailty model, and the one flat vector that the optimiser moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_PERSISTENCE", "Parameters", "Shape", "bounds", "free_parameters", "prior_precision"]

Array = npt.NDArray[np.float64]

MAX_PERSISTENCE = 0.998
"""rho is kept below this; at the bound satisfaction is all but constant."""
MIN_PERSISTENCE = 0.2
LOG_VARIANCE_BOUNDS = (float(np.log(2e-3)), float(np.log(4.0)))
"""Variances of frailties outside these are none at all, or a Heywood case."""
MAX_LOG_LEVEL_VARIANCE = float(np.log(40.0))
"""Of gamma levels: purchase rates with shape 1/40 are as far apart as any."""

LOADING_PRECISION = 1.0
"""One pseudo-observation that says a loading is zero; keeps idle factors from wandering."""
MONTH_PRECISION = 1.0
COEFFICIENT_PRECISION = 1e-4
LOG_VARIANCE_PRECISION = 0.25
LOG_VARIANCE_CENTRE = float(np.log(0.1))
PROXY_NOISE_BOUNDS = (float(np.log(2e-3)), float(np.log(2.0)))
"""Of a standardised proxy's log residual variance; the lowest is satisfaction itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of one model.

    Attributes
    ----------
    covariates
        K, columns that do not change with time, the intercept first.
    period_covariates
        R, columns that change by period, the problem flag first.
    periods, channels, proxies
        T, C and J.
    """

    covariates: int
    period_covariates: int
    periods: int
    channels: int
    proxies: int

    @property
    def measures(self) -> int:
        """M: leaving, spend, one rate of touches per channel, problems."""
        return self.channels + 3

    @property
    def frailties(self) -> int:
        """One per channel and one for spend."""
        return self.channels + 1

    def blocks(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every block of the flat vector, in order."""
        m = self.measures
        return {
            "covariates": (m, self.covariates),
            "period_covariates": (m, self.period_covariates),
            "months": (m, self.periods),
            "stocks": (2, self.channels),
            "loadings": (m, 2),
            "factor_variance": (1,),
            "log_variances": (self.frailties,),
            "persistence": (1,),
            "proxies": (self.proxies, 3),
        }

    def slices(self) -> dict[str, slice]:
        """Where each block stands in the flat vector."""
        places: dict[str, slice] = {}
        at = 0
        for name, shape in self.blocks().items():
            size = int(np.prod(shape))
            places[name] = slice(at, at + size)
            at += size
        return places

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(int(np.prod(shape)) for shape in self.blocks().values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """One point of the parameter space.

    Measurements stand in the order leaving, spend, touches of each channel, problem.

    Attributes
    ----------
    covariates
        Shape (M, K): coefficients of the columns constant in time.
    period_covariates
        Shape (M, R); the problem flag does not explain itself, so that entry stays 0.
    months
        Shape (M, T): calendar effects, the first of them 0.
    stocks
        Shape (2, C): effect of each channel's stock on log-odds of leaving (beta), on log spend (gamma).
    loadings
        Shape (M, 2): loading on satisfaction u_t and on the second factor v.
    factor_variance
        Log variance of the second factor: 0, and only with gamma levels anything else.
    log_variances
        Shape (C + 1,): log variance of each channel's frailty, then of spend's.
    persistence
        atanh(rho), rho the correlation of satisfaction from one period to the next.
    proxies
        Shape (J, 3): intercept, loading and log residual variance of each proxy.
    shape_of_spend
        nu: 1 / variance of spend relative to its mean, or mean / variance where spend is compound; moved by
        moments, not by the optimiser.
    gamma_levels
        Whether exp(v) and exp(xi), levels of touches and of spend, are gamma with mean 1 and the variances
        above, instead of log-normal.
    """

    covariates: Array
    period_covariates: Array
    months: Array
    stocks: Array
    loadings: Array
    factor_variance: float
    log_variances: Array
    persistence: float
    proxies: Array
    shape_of_spend: float
    gamma_levels: bool = False

    @property
    def rho(self) -> float:
        """Correlation of satisfaction from one period to the next."""
        return float(np.tanh(self.persistence))

    @property
    def latent_variances(self) -> Array:
        """Prior variances of (v, eta_1..eta_C, xi), shape (C + 2,)."""
        variances: Array = np.exp(np.concatenate([[self.factor_variance], self.log_variances]))
        return variances

    def to_vector(self) -> Array:
        """All but the shape of spend, flat."""
        return np.concatenate(
            [
                self.covariates.ravel(),
                self.period_covariates.ravel(),
                self.months.ravel(),
                self.stocks.ravel(),
                self.loadings.ravel(),
                [self.factor_variance],
                self.log_variances,
                [self.persistence],
                self.proxies.ravel(),
            ]
        )

    @staticmethod
    def from_vector(
        vector: Array, shape: Shape, shape_of_spend: float, *, gamma_levels: bool = False
    ) -> Parameters:
        """The inverse of `to_vector`."""
        parts = {
            name: vector[place].reshape(shape.blocks()[name]).copy() for name, place in shape.slices().items()
        }
        persistence, factor = (float(parts.pop(name)[0]) for name in ("persistence", "factor_variance"))
        return Parameters(
            persistence=persistence,
            factor_variance=factor,
            shape_of_spend=shape_of_spend,
            gamma_levels=gamma_levels,
            **parts,
        )


def prior_precision(shape: Shape) -> tuple[Array, Array]:
    """Ridge that keeps every parameter finite: precision and centre, flat."""
    places = shape.slices()
    precision = np.full(shape.size, COEFFICIENT_PRECISION)
    centre = np.zeros(shape.size)
    precision[places["months"]] = MONTH_PRECISION
    precision[places["loadings"]] = LOADING_PRECISION
    for name in ("factor_variance", "log_variances"):
        precision[places[name]] = LOG_VARIANCE_PRECISION
    centre[places["log_variances"]] = LOG_VARIANCE_CENTRE
    return precision, centre


def bounds(shape: Shape, *, gamma_levels: bool = False) -> tuple[Array, Array, Array]:
    """Lowest value, highest value and largest single step of every parameter, flat."""
    places = shape.slices()
    low, high = np.full(shape.size, -np.inf), np.full(shape.size, np.inf)
    step = np.full(shape.size, 0.5)
    for name in ("factor_variance", "log_variances"):
        low[places[name]], high[places[name]] = LOG_VARIANCE_BOUNDS
        step[places[name]] = 1.5
    if gamma_levels:
        high[places["factor_variance"]] = MAX_LOG_LEVEL_VARIANCE
        high[places["log_variances"].stop - 1] = MAX_LOG_LEVEL_VARIANCE
    noise = np.arange(places["proxies"].start + 2, places["proxies"].stop, 3)
    low[noise], high[noise] = PROXY_NOISE_BOUNDS
    low[places["persistence"]] = np.arctanh(MIN_PERSISTENCE)
    high[places["persistence"]] = np.arctanh(MAX_PERSISTENCE)
    step[places["months"]] = 1.0
    return low, high, step


def free_parameters(
    shape: Shape,
    use: npt.NDArray[np.bool_],
    *,
    dynamic: bool,
    second_factor: bool,
    first_factor: bool = True,
    frailties: bool = True,
    gamma_levels: bool = False,
) -> npt.NDArray[np.bool_]:
    """Which entries of the flat vector the optimiser may move."""
    free = {name: np.ones(block, dtype=bool) for name, block in shape.blocks().items()}
    for name in ("covariates", "period_covariates", "months", "loadings"):
        free[name][~use] = False
    free["period_covariates"][-1, 0] = False
    free["months"][:, 0] = False
    free["stocks"][~use[:2]] = False
    free["loadings"][:, 0] &= first_factor
    free["loadings"][:, 1] &= second_factor
    free["factor_variance"][:] = second_factor and gamma_levels
    free["log_variances"][:-1] = use[2:-1] & frailties
    free["log_variances"][-1] = use[1] & frailties
    free["persistence"][:] = dynamic and first_factor
    free["proxies"][:, 1] = first_factor
    return np.concatenate([block.ravel() for block in free.values()])
