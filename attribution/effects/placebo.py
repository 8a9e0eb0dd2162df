"""Placebo outcome: the same estimator on the metric before the start, where no effect can be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.effects.aipw import Estimand, estimate_ratio
from attribution.effects.comparison import Comparison
from attribution.effects.effect import Z_INTERVAL, Effect
from attribution.effects.nuisance import Nuisances, fit_nuisances
from histories.arrays import Flags, Float

MIN_GROUP = 50
"""Fewest units in each group for adjustment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placebo:
    """Units whose metric before the start is known, and nuisances of that metric."""

    values: Float
    treated: Flags
    clusters: NDArray[np.int64] | None
    nuisances: Nuisances


def fit_placebo(c: Comparison, outcome: str) -> Placebo | None:
    """The metric before the start of the units that have it; None where too few do.

    The covariates it is adjusted for do not contain it: if they explain who was treated, it cannot differ.
    """
    values = c.units.placebos.get(outcome)
    if values is None:
        return None
    known = np.isfinite(values)
    groups = c.treated[known]
    if min(groups.sum(), (~groups).sum()) < MIN_GROUP or np.ptp(values[known]) == 0:
        return None
    held_out = c.units.placebo_covariates
    x = (c.units.covariates if held_out is None else held_out)[known]
    nuisances = fit_nuisances(values[known], groups, x, c.folds[known], learners=c.learners[:2])
    clusters = None if c.units.clusters is None else c.units.clusters[known]
    return Placebo(values=values[known], treated=groups, clusters=clusters, nuisances=nuisances)


def with_placebo(effect: Effect, placebo: Placebo | None, estimand: Estimand) -> Effect:
    """The effect with the same estimator's answer on the metric before the start, where there is one."""
    if placebo is None:
        return effect
    scores = estimand.scores(placebo.values, placebo.treated.astype(float), placebo.nuisances)
    estimate, error = estimate_ratio(scores, placebo.clusters)
    half = Z_INTERVAL * error
    return replace(
        effect, placebo_estimate=estimate, placebo_low=estimate - half, placebo_high=estimate + half
    )
