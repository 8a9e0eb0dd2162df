"""The levelled stack: one forecast out of several models, learned on windows that lie in the past.

Purchase models know how much a company will sell, a regression knows who will buy; so level and shape are
learned apart.

1. F, the company's total, is the mean of the totals of the purchase models.
2. Every member's forecast, the regression's too, is scaled to F.
3. The mix has weights w >= 0 of sum 1 that minimise the mean Poisson deviance over past windows whose
   forecasts are scaled to the *actual* total, plus .05 K / n sum (w - 1/K)^2 with K members and n windows;
   equal weights without windows.
4. The mix is multiplied by exp(b), a shrunk bias: b = sum u_j log(actual_j / F_j) / (sum u_j + 1) with
   u_j = .5 * .7^(quarters since origin j, less 1), at most .5 either way.

The company's total then has a t interval: log(actual / forecast) is t with nu = nu0 + .5 n degrees of freedom
and

    scale^2 = v_sampling + (nu0 s0^2 + .5 sum (e_j - b)^2) / nu

where e_j = log(actual_j / F_j); windows count half because they overlap. Past windows are fitted again with
today's clock, which makes them look better than what was forecast at the time; where the errors of forecasts
as they were made are larger, these take their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import scipy

from clv.evaluate import SMALLEST_RATE, poisson_deviance
from histories.arrays import Float

#: Pull of the weights to equality.
EQUALITY = 0.05
#: Weight of the newest past window in the bias, what a quarter takes off it, and the largest bias.
NEWEST, FADING, LARGEST_BIAS = 0.5, 0.7, 0.5
#: Prior of the error of a total: degrees of freedom and standard deviation in logs.
PRIOR_DEGREES, PRIOR_ERROR = 4.0, 0.12
#: A past window counts half of an independent one.
OVERLAP = 0.5
#: Windows in which fewer purchases were made say nothing of weights or bias.
FEWEST_PURCHASES = 10
DAYS_PER_QUARTER = 91.3125


@dataclass(frozen=True, slots=True, kw_only=True)
class PastWindow:
    """What the models would have forecast for a window that is over.

    Attributes
    ----------
    origin, until
        The window.
    predicted
        Forecast purchases by model, each of shape (n,).
    level
        F: mean total of the purchase models.
    actual
        Purchases made, shape (n,).
    surprise
        Of each customer by purchase model, shape (n,): - log of the chance it gave to what came, purchases or
        none.
    level_revenue, actual_revenue
        Revenue at level F by the mean of the purchase models, and as it came; NaN without amounts.
    """

    origin: date
    until: date
    predicted: Mapping[str, Float]
    level: float
    actual: Float
    surprise: Mapping[str, Float] = field(default_factory=dict)
    level_revenue: float = float("nan")
    actual_revenue: float = float("nan")

    @property
    def error(self) -> float:
        """log(actual / F)."""
        return float(np.log(self.actual.sum() / self.level))

    @property
    def revenue_error(self) -> float:
        """log(actual / forecast) of revenue; NaN where there is none."""
        if not (self.level_revenue > 0.0 and self.actual_revenue > 0.0):
            return float("nan")
        return float(np.log(self.actual_revenue / self.level_revenue))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A learned combination.

    Attributes
    ----------
    weights
        Share of each member in the mix; they add up to 1.
    levelling
        Members whose mean total sets the level.
    bias
        b, in logs.
    past
        Origin, end, actual total and levelled forecast of each past window.
    errors, revenue_errors
        e_j less the bias, for the interval of a total.
    days
        Length of the past windows, 0 without any.
    """

    weights: Mapping[str, float]
    levelling: tuple[str, ...]
    bias: float
    past: tuple[tuple[date, date, float, float], ...] = ()
    errors: tuple[float, ...] = ()
    revenue_errors: tuple[float, ...] = ()
    days: int = 0

    def forecast(self, predicted: Mapping[str, Float]) -> Float:
        """The stack's forecast from those of its members, shape (n,)."""
        level = level_of(predicted, self.levelling)
        mix = np.zeros_like(predicted[self.levelling[0]])
        for model, weight in self.weights.items():
            mix += weight * _scaled(predicted[model], level)
        return np.asarray(_scaled(mix, level) * np.exp(self.bias), dtype=np.float64)

    def stretch(self, days: float) -> float:
        """Length of a window in lengths of the past ones; 1 without any."""
        return days / self.days if self.days else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model card."""
        return {
            "weights": dict(self.weights),
            "levelled_by": list(self.levelling),
            "bias": self.bias,
            "past_windows": [
                {"origin": o.isoformat(), "until": u.isoformat(), "actual": a, "forecast": f}
                for o, u, a, f in self.past
            ],
        }


def level_of(predicted: Mapping[str, Float], levelling: Sequence[str]) -> float:
    """F: the mean total of the models that set the level."""
    return float(np.mean([predicted[model].sum() for model in levelling]))


def learn_stack(
    past: Sequence[PastWindow],
    *,
    members: Sequence[str],
    levelling: Sequence[str],
    origin: date,
    biased: bool = True,
) -> Stack:
    """Learn weights and bias from windows that are over by `origin`.

    Parameters
    ----------
    past
        Windows; those with fewer than `FEWEST_PURCHASES` purchases are passed over, and those in which a
        member has no forecast teach no weights.
    members, levelling
        Models of the mix, and those of them that set the level.
    origin
        The day from which the forecast is made.
    biased
        Whether the bias is corrected; not for a single model that was asked for.
    """
    told = [w for w in past if w.actual.sum() >= FEWEST_PURCHASES and w.level > 0.0]
    whole = [w for w in told if all(model in w.predicted for model in members)]
    weights = _weights(whole, members)
    used = [NEWEST * FADING ** ((origin - w.origin).days / DAYS_PER_QUARTER - 1.0) for w in told]
    bias = float(sum(u * w.error for u, w in zip(used, told, strict=True)) / (sum(used) + 1.0))
    bias = float(np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS)) if biased else 0.0
    return Stack(
        weights=dict(zip(members, weights.tolist(), strict=True)),
        levelling=tuple(levelling),
        bias=bias,
        past=tuple((w.origin, w.until, float(w.actual.sum()), w.level) for w in told),
        errors=tuple(w.error - bias for w in told),
        revenue_errors=tuple(w.revenue_error - bias for w in told if np.isfinite(w.revenue_error)),
        days=max(((w.until - w.origin).days for w in told), default=0),
    )


def _weights(windows: Sequence[PastWindow], members: Sequence[str]) -> Float:
    """Weights of the mix, shape (members,)."""
    from scipy.optimize import minimize

    K = len(members)
    equal = np.full(K, 1.0 / K)
    if not windows or K == 1:
        return equal
    shapes = [
        np.array([_scaled(w.predicted[model], float(w.actual.sum())) for model in members]) for w in windows
    ]
    pull = EQUALITY * K / len(windows)

    def loss(weights: Float) -> tuple[float, Float]:
        value, slope = pull * float(((weights - equal) ** 2).sum()), 2.0 * pull * (weights - equal)
        for window, shape in zip(windows, shapes, strict=True):
            rate = np.maximum(weights @ shape, SMALLEST_RATE)
            value += float(poisson_deviance(rate, window.actual).mean()) / len(windows)
            slope += shape @ (2.0 * (1.0 - window.actual / rate)) / (rate.size * len(windows))
        return value, slope

    found = minimize(
        loss,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * K,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(K)},
        options={"maxiter": 200, "ftol": 1e-9},
    )
    weights = np.clip(found.x, 0.0, 1.0)
    usable = np.isfinite(weights).all() and weights.sum() > 0.0
    return np.asarray(weights / weights.sum() if usable else equal, dtype=np.float64)


def _scaled(forecast: Float, total: float) -> Float:
    """A forecast scaled to a total; spread evenly where it is zero throughout."""
    own = float(forecast.sum())
    if own <= 0.0:
        return np.full_like(forecast, total / max(forecast.size, 1))
    return forecast * (total / own)


def total_interval(
    total: float,
    *,
    sampling: float,
    errors: Sequence[float],
    published: Sequence[float] = (),
    stretch: float = 1.0,
    level: float,
) -> tuple[float, float]:
    """Limits of a company's total.

    Parameters
    ----------
    total
        The forecast.
    sampling
        Relative variance of parameters and of the process.
    errors
        Errors of past windows in logs, fitted again, less the bias.
    published
        Errors of forecasts as they were made.
    stretch
        Length of the forecast in lengths of the past windows, where it is longer: errors grow with its root.
    level
        Probability inside.

    Examples
    --------
    >>> low, high = total_interval(100.0, sampling=0.0, errors=[], level=0.9)
    >>> round(low, 1), round(high, 1)
    (77.4, 129.2)
    """
    degrees = PRIOR_DEGREES + OVERLAP * len(errors)
    variance = max(_error_variance(errors), _error_variance(published) if published else 0.0)
    scale = np.sqrt(sampling + variance * max(stretch, 1.0))
    reach = float(scipy.special.stdtrit(degrees, 0.5 + level / 2.0)) * scale
    return float(total * np.exp(-reach)), float(total * np.exp(reach))


def _error_variance(errors: Sequence[float]) -> float:
    """(nu0 s0^2 + .5 sum e^2) / nu."""
    degrees = PRIOR_DEGREES + OVERLAP * len(errors)
    squares = float(np.square(errors).sum()) if len(errors) else 0.0
    return (PRIOR_DEGREES * PRIOR_ERROR**2 + OVERLAP * squares) / degrees
