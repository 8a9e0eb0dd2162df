"""The posterior of a handful of parameters by importance sampling.

Proposal: a multivariate t with 6 degrees of freedom at the posterior mode, with the inverse curvature there
as scale (Laplace). Each draw is weighted by posterior over proposal. Two numbers say whether to believe the
result: the effective sample size and the Pareto shape k-hat of the largest weights (Vehtari, Simpson, Gelman,
Yao & Gabry 2024). When they fail the gate the proposal is widened, twice at most; then there is no posterior,
and the reason is given.

Priors, on the logs of the parameters:

weak
    Each log parameter is normal with standard deviation 3 around the log of a plausible size: 1 for shapes, a
    quarter of the longest observed time for parameters in time units, the mean spend for those in currency. A
    parameter is then within a factor of 20 of it with probability .68.
flat
    Flat in the logs; improper, so intervals exist only where the data speak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clv.purchases.maximum import Score, information, maximize
from histories.arrays import Float
from histories.errors import ConfigError, ConvergenceError, nearest

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


DEGREES = 6.0
#: Standard deviations of the proposal, as multiples of Laplace's, tried in turn.
WIDENINGS = (1.0, 1.5, 2.25)
#: The gate: largest k-hat, and smallest effective share of the draws.
LARGEST_K, SMALLEST_SHARE = 0.7, 0.1
#: Below this many affordable draws the correction is left out and the draws are Laplace's.
FEWEST_DRAWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """Draws of the parameters, all of equal weight.

    Attributes
    ----------
    names
        Names of the parameters.
    draws
        Shape (n_draws, k), in the units of the fit.
    effective
        Effective sample size of the weights before resampling.
    k_hat
        Pareto shape of the largest weights; below 0.7 is trustworthy. NaN when no correction was made.
    widened
        How often the proposal was widened.
    """

    names: tuple[str, ...]
    draws: Float
    effective: float
    k_hat: float
    widened: int

    def thin(self, count: int) -> Float:
        """Evenly spaced draws, shape (count, k) or all when there are fewer."""
        step = np.linspace(0, len(self.draws) - 1, min(count, len(self.draws))).round().astype(np.intp)
        return np.asarray(self.draws[step], dtype=np.float64)

    def interval(self, level: float) -> Float:
        """Lower and upper quantile of each parameter, shape (2, k)."""
        tail = (1.0 - level) / 2.0
        return np.asarray(np.quantile(self.draws, [tail, 1.0 - tail], axis=0))

    def to_dict(self, level: float) -> dict[str, object]:
        """A short account for the model card."""
        low, high = self.interval(level)
        return {
            "draws": len(self.draws),
            "effective": self.effective,
            "k_hat": self.k_hat if np.isfinite(self.k_hat) else None,
            "widened": self.widened,
            "mean": dict(zip(self.names, self.draws.mean(axis=0).tolist(), strict=True)),
            "sd": dict(zip(self.names, self.draws.std(axis=0).tolist(), strict=True)),
            "low": dict(zip(self.names, low.tolist(), strict=True)),
            "high": dict(zip(self.names, high.tolist(), strict=True)),
        }


def sample_posterior(
    score: Score,
    start: Float,
    *,
    names: Sequence[str],
    prior: LogPrior,
    draws: int,
    affordable: int,
    rng: np.random.Generator,
    many: Callable[[Float], Float] | None = None,
) -> Posterior:
    """Draw from the posterior of the parameters.

    Parameters
    ----------
    score
        Log-likelihood and gradient.
    start
        Maximum likelihood estimate, shape (k,).
    names
        Names of the parameters.
    prior
        Log density of the logs.
    draws
        Draws returned.
    affordable
        Passes over the data that may be spent; the number of weighted draws is the smaller of the two.
    rng
        Of the proposal and the resampling.
    many
        Log-likelihoods at many parameter vectors at once; by default one call of `score` for each.

    Raises
    ------
    ConvergenceError
        When the posterior has no usable mode or the gate fails at every width; the message gives the figures.
    """
    many = many or (lambda vectors: np.array([score(vector)[0] for vector in vectors]))
    mode, covariance = _mode(score, start, names, prior)
    factor = np.linalg.cholesky(covariance)
    weighted = min(draws, affordable)
    if weighted < FEWEST_DRAWS:
        theta = mode + rng.standard_normal((draws, mode.size)) @ factor.T
        return Posterior(
            names=tuple(names), draws=np.exp(theta), effective=float(draws), k_hat=float("nan"), widened=0
        )
    verdicts = []
    for widened, width in enumerate(WIDENINGS):
        scale = np.asarray(width * factor, dtype=np.float64)
        theta, log_weights = _weigh(many, prior, mode, scale, weighted, rng)
        weights = np.exp(log_weights - log_weights.max())
        effective = float(weights.sum() ** 2 / (weights @ weights))
        k_hat = pareto_k(log_weights)
        if k_hat < LARGEST_K and effective >= SMALLEST_SHARE * weighted:
            chosen = _systematic(weights, draws, rng)
            return Posterior(
                names=tuple(names),
                draws=np.exp(theta[chosen]),
                effective=effective,
                k_hat=k_hat,
                widened=widened,
            )
        verdicts.append(f"{effective:.0f} of {weighted} effective, k-hat {k_hat:.2f}")
    raise ConvergenceError(
        f"no interval: importance sampling failed at every width ({'; '.join(verdicts)}); needed k-hat below "
        f"{LARGEST_K} and {SMALLEST_SHARE:.0%} effective. More customers, a longer history or a simpler "
        "model help."
    )


def _mode(score: Score, start: Float, names: Sequence[str], prior: LogPrior) -> tuple[Float, Float]:
    """Mode and Laplace covariance of the posterior of the logs."""

    def posterior_score(parameters: Float) -> tuple[float, Float]:
        value, gradient = score(parameters)
        theta = np.log(parameters)
        steps = 1e-5 * np.eye(theta.size)
        slope = np.array([(prior(theta + h) - prior(theta - h)) / 2e-5 for h in steps])
        return value + prior(theta), gradient + slope / parameters

    best = maximize(
        posterior_score,
        names=names,
        starts=[start.tolist()],
        lower=(start * 1e-6).tolist(),
        upper=(start * 1e6).tolist(),
        customers=1.0,
        subject="posterior mode",
    )
    covariance = best.covariance if not best.at_bound else information(posterior_score, best.parameters)
    if covariance is None or best.at_bound:
        flat = ", ".join(best.at_bound) or "some direction"
        raise ConvergenceError(
            f'no interval: the posterior is flat in {flat}. Use prior = "weak", more customers or a simpler '
            "model."
        )
    return np.log(best.parameters), covariance


def _weigh(
    many: Callable[[Float], Float],
    prior: LogPrior,
    mode: Float,
    factor: Float,
    draws: int,
    rng: np.random.Generator,
) -> tuple[Float, Float]:
    """Draws of the logs from the t proposal, shape (draws, k), and their log weights, shape (draws,)."""
    k = mode.size
    normal = rng.standard_normal((draws, k))
    stretch = np.sqrt(DEGREES / rng.chisquare(DEGREES, draws))
    theta = mode + (stretch[:, None] * normal) @ factor.T
    distance = stretch**2 * (normal**2).sum(axis=1)
    log_proposal = -0.5 * (DEGREES + k) * np.log1p(distance / DEGREES)
    log_target = many(np.exp(theta)) + np.array([prior(row) for row in theta])
    return theta, np.where(np.isfinite(log_target), log_target - log_proposal, -np.inf)


def _systematic(
    weights: Float, draws: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Systematic resampling: positions of `draws` equally weighted draws, in random order."""
    positions = (rng.random() + np.arange(draws)) / draws
    chosen = np.searchsorted(np.cumsum(weights) / weights.sum(), positions)
    return np.asarray(rng.permutation(np.minimum(chosen, weights.size - 1)), dtype=np.intp)


def pareto_k(log_weights: Float) -> float:
    """Shape of a generalised Pareto distribution fitted to the largest weights (Zhang & Stephens 2009).

    The largest min(n / 5, 3 sqrt(n)) weights are used, as in Pareto-smoothed importance sampling.
    """
    n = log_weights.size
    tail = int(min(n / 5, 3 * np.sqrt(n)))
    ordered = np.sort(log_weights)
    excess = np.exp(ordered[-tail:] - ordered[-1]) - np.exp(ordered[-tail - 1] - ordered[-1])
    excess = excess[excess > 0]
    if excess.size < 5:
        return float("inf") if np.isneginf(ordered[-tail - 1]) else 0.0
    count = excess.size
    grid = 30 + int(np.sqrt(count))
    quartile = excess[int(count / 4 + 0.5) - 1]
    theta = 1.0 / excess[-1] + (1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3.0 * quartile)
    shapes = np.log1p(-np.multiply.outer(theta, excess)).mean(axis=1)
    profile = count * (np.log(-theta / shapes) - shapes - 1.0)
    weights = np.exp(profile - profile.max())
    best = float((theta * weights).sum() / weights.sum())
    shape = float(np.log1p(-best * excess).mean())
    return float((shape * count + 5.0) / (count + 10.0))  # a weak prior at 0.5, for small tails
