"""Priors of the posterior, on the logs of the parameters.

weak
    Each log parameter is normal with standard deviation 3 around the log of a plausible size: 1 for shapes, a
    quarter of the longest observed time for parameters in time units, the mean spend for those in currency. A
    parameter is then within a factor of 20 of it with probability .68.
flat
    Flat in the logs; improper, so intervals exist only where the data speak.
pymc
    The defaults of PyMC-Marketing, for comparison: Weibull(2, 1) for r and s, Weibull(2, 10) for alpha and
    beta, and for a = phi kappa, b = (1 - phi) kappa a uniform phi and kappa ~ Pareto(1, 1). They depend on
    the time unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from histories.arrays import Float
from histories.errors import ConfigError, nearest

#: Log density, up to a constant, of the logs of the parameters; shape (k,) to a number.
LogPrior = Callable[[Float], float]

PRIORS = ("weak", "flat", "pymc")
#: Standard deviation of the weak prior, in log units.
WEAK_DEVIATION = 3.0
TIME_PARAMETERS = {"alpha", "beta"}
MONEY_PARAMETERS = {"v"}


def log_prior(
    prior: str, names: Sequence[str], *, time_scale: float = 1.0, money_scale: float = 1.0
) -> LogPrior:
    """The log density called `prior` for parameters called `names`.

    Parameters
    ----------
    prior
        One of `PRIORS`.
    names
        Names of the parameters, in order.
    time_scale, money_scale
        Plausible size of a parameter in time units and in currency.

    Raises
    ------
    ConfigError
        For an unknown prior, or "pymc" where PyMC-Marketing has no such model.
    """
    if prior == "flat":
        return lambda theta: 0.0
    if prior == "weak":
        center = np.array([_center(name, time_scale, money_scale) for name in names])
        return lambda theta: float(-0.5 * np.sum(((theta - center) / WEAK_DEVIATION) ** 2))
    if prior == "pymc":
        return _pymc(tuple(names))
    raise ConfigError(f'unknown prior "{prior}"; {nearest(prior, PRIORS)}')


def _center(name: str, time_scale: float, money_scale: float) -> float:
    """Log of a plausible size of the parameter."""
    if name in TIME_PARAMETERS:
        return float(np.log(time_scale))
    return float(np.log(money_scale)) if name in MONEY_PARAMETERS else 0.0


def _pymc(names: tuple[str, ...]) -> LogPrior:
    """PyMC-Marketing's default priors, with the Jacobian of the logs."""
    scales = {"r": 1.0, "alpha": 10.0, "s": 1.0, "beta": 10.0}

    def density(theta: Float) -> float:
        value = 0.0
        size = dict(zip(names, np.exp(theta), strict=True))
        for name, log_size in zip(names, theta, strict=True):
            if (
                name in scales
            ):  # Weibull(2, c): density ~ size exp(-(size / c)^2), and one size more for the log
                value += 2.0 * log_size - (size[name] / scales[name]) ** 2
        if "a" in size:
            kappa = size["a"] + size["b"]
            # Pareto(1, 1): kappa^-2 above 1; (a, b) -> (phi, kappa) has Jacobian 1 / kappa; a b for the logs
            log_ab = theta[names.index("a")] + theta[names.index("b")]
            value += log_ab - 3.0 * np.log(kappa) if kappa >= 1.0 else -np.inf
        return float(value)

    if not ({"r", "alpha"} <= set(names) or set(names) == {"p", "q", "v"}):
        raise ConfigError(f'prior = "pymc" is not defined for parameters {", ".join(names)}; use "weak"')
    if set(names) == {"p", "q", "v"}:  # HalfFlat on each, so only the Jacobian of the logs
        return lambda theta: float(theta.sum())
    return density
