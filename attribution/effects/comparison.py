"""Comparison: two groups of units with what all their outcomes share, and effects without figures yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.effects.design import EffectDesign
from attribution.effects.effect import Effect
from attribution.effects.nuisance import Learner
from attribution.effects.sensitivity import effect_e_value, robustness_value
from attribution.effects.units import Units
from histories.arrays import Flags, Float

__all__ = ["Comparison", "bare_effect", "effective_units", "with_sensitivity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two groups of units, the folds and the propensity that all outcomes share."""

    design: EffectDesign
    units: Units
    treated: Flags
    folds: NDArray[np.int64]
    propensity: tuple[Float, str]
    learners: Sequence[Learner]
    refusal: str | None

    @property
    def t(self) -> Float:
        """Treatment as 0 and 1, shape (N,)."""
        return self.treated.astype(float)


def bare_effect(c: Comparison, outcome: str, estimator: str, estimand: str) -> Effect:
    """An effect of this comparison without its figures."""
    return Effect(
        name=c.design.name,
        treatment=c.design.treatment_label,
        control=c.design.control_label,
        outcome=outcome,
        design=c.design.design,
        estimator=estimator,
        estimand=estimand,
        n_treated=int(c.treated.sum()),
        n_control=int((~c.treated).sum()),
    )


def with_sensitivity(effect: Effect, c: Comparison) -> Effect:
    """The effect with E-value and robustness value."""
    if effect.estimate is None or not effect.std_error:
        return effect
    dof = max(len(c.units) - c.units.covariates.shape[1] - 2, 1)
    return replace(
        effect,
        e_value=effect_e_value(effect.estimate, c.units.outcomes[effect.outcome], ~c.treated),
        robustness_value=robustness_value(effect.estimate / effect.std_error, dof),
    )


def effective_units(weights: Float, treated: Flags) -> float:
    """Effective units of both groups: (sum w)^2 / sum w^2 in each."""
    sizes = [float(w.sum() ** 2 / (w @ w)) for w in (weights[treated], weights[~treated]) if (w @ w) > 0]
    return sum(sizes)
