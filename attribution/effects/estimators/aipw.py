"""Augmented inverse-probability weighting: doubly robust means of effects, for whom they are asked.

Each estimand is a ratio of means, sum(numerator) / sum(denominator), of two numbers per unit; its influence
is (numerator - theta denominator) / mean(denominator). A segment's effect is the same ratio over its units,
so that nothing is fitted again.

Sources: Robins, Rotnitzky & Zhao (1994); cross-fitting of Chernozhukov et al. (2018); overlap weights of Li,
Morgan & Zaslavsky (2018), with the efficient score of the weighted mean when the propensity is estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.effects.estimators.nuisance import Nuisances
from attribution.effects.estimators.regression import mean_error
from histories.arrays import Flags, Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Numerator and denominator of an estimand per unit, and the weights that make the groups comparable.

    Attributes
    ----------
    numerator, denominator : shape (N,)
    weights : shape (N,)
        The implied weights: within each group, relative.
    """

    numerator: Float
    denominator: Float
    weights: Float


def _ate_scores(y: Float, t: Float, n: Nuisances) -> Scores:
    """Everybody: psi = m1 - m0 + T (Y - m1) / e - (1 - T)(Y - m0) / (1 - e)."""
    e, m1, m0 = n.propensity, n.mean_treated, n.mean_control
    psi = m1 - m0 + t * (y - m1) / e - (1 - t) * (y - m0) / (1 - e)
    return Scores(numerator=psi, denominator=np.ones(len(y)), weights=t / e + (1 - t) / (1 - e))


def _att_scores(y: Float, t: Float, n: Nuisances) -> Scores:
    """The treated: (T - (1 - T) e / (1 - e)) (Y - m0) over T."""
    odds = n.propensity / (1 - n.propensity)
    weights = t + (1 - t) * odds
    return Scores(
        numerator=(t - (1 - t) * odds) * (y - n.mean_control), denominator=t.copy(), weights=weights
    )


def _atu_scores(y: Float, t: Float, n: Nuisances) -> Scores:
    """The untreated, what they would gain: ((1 - T)(m1 - Y) + T (1 - e) / e (Y - m1)) over 1 - T."""
    odds = (1 - n.propensity) / n.propensity
    weights = (1 - t) + t * odds
    return Scores(numerator=(t * odds - (1 - t)) * (y - n.mean_treated), denominator=1 - t, weights=weights)


def _ato_scores(y: Float, t: Float, n: Nuisances) -> Scores:
    """Where the groups overlap, weighted by e (1 - e).

    The efficient score adds (1 - 2e)(T - e)(tau - theta) because e is estimated; as T^2 = T it collapses to
    (T - e)^2 (tau - theta) + (T - e)(Y - m_T) with tau = m1 - m0.
    """
    rest = t - n.propensity
    tau = n.mean_treated - n.mean_control
    fitted = np.where(t > 0, n.mean_treated, n.mean_control)
    return Scores(numerator=rest**2 * tau + rest * (y - fitted), denominator=rest**2, weights=np.abs(rest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimand:
    """Whom an effect is about, how it is scored, and whether it leans on propensities near 0 or near 1."""

    name: str
    scores: Callable[[Float, Float, Nuisances], Scores]
    needs_low: bool
    needs_high: bool


ESTIMANDS: tuple[Estimand, ...] = (
    Estimand(name="ATE", scores=_ate_scores, needs_low=True, needs_high=True),
    Estimand(name="ATO", scores=_ato_scores, needs_low=False, needs_high=False),
    Estimand(name="ATT", scores=_att_scores, needs_low=False, needs_high=True),
    Estimand(name="ATU", scores=_atu_scores, needs_low=True, needs_high=False),
)
"""Everybody, where the groups overlap, the treated, the untreated."""


def estimate_ratio(
    scores: Scores, clusters: NDArray[np.int64] | None = None, mask: Flags | None = None
) -> tuple[float, float]:
    """Estimate and standard error of an estimand, over all units or those of a segment."""
    chosen = slice(None) if mask is None else mask
    numerator, denominator = scores.numerator[chosen], scores.denominator[chosen]
    if float(denominator.mean()) <= 0 or len(numerator) < 2:
        return float("nan"), float("nan")
    theta, influence = influence_of_ratio(numerator, denominator)
    return theta, mean_error(influence, None if clusters is None else clusters[chosen])


def influence_of_ratio(numerator: Float, denominator: Float) -> tuple[float, Float]:
    """A ratio of means, and what each unit moves it by times N, shape (N,)."""
    scale = float(denominator.mean())
    theta = float(numerator.mean()) / scale
    return theta, (numerator - theta * denominator) / scale
