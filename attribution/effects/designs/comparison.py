"""Comparison: two groups of units with what all their outcomes share.

Its pictures (balance and overlap), and its segments: means of the whole group's scores, so that they add up.
Its placebo is the same estimator on the metric before the start, where no effect can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.units import Units
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Z_INTERVAL, Effect, effect_of, with_interval, with_refusal
from attribution.effects.estimators.aipw import ESTIMANDS, Estimand, Scores, estimate_ratio
from attribution.effects.estimators.checks import MIN_UNITS, Check, apply_checks, standardised_differences
from attribution.effects.estimators.nuisance import Learner, Nuisances, fit_nuisances
from attribution.effects.estimators.regression import fit_lin
from attribution.effects.estimators.segments import heterogeneity_test, holm_rows, segment_masks, too_small
from attribution.effects.estimators.sensitivity import OmittedVariable, effect_e_value, robustness_value
from attribution.effects.findings import PICTURE_SCHEMAS
from histories.arrays import Flags, Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two groups of units, the folds and the propensity that all outcomes share.

    `unseen` keeps, by outcome, what is the same for all its estimates.
    """

    design: EffectDesign
    units: Units
    treated: Flags
    folds: NDArray[np.int64]
    propensity: tuple[Float, str]
    learners: Sequence[Learner]
    refusal: str | None
    unseen: dict[str, tuple[Unadjusted | None, OmittedVariable | None]] = field(
        default_factory=dict, repr=False
    )

    @property
    def t(self) -> Float:
        """Treatment as 0 and 1, shape (N,)."""
        return self.treated.astype(float)


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


def love_frame(c: Comparison) -> pl.DataFrame:
    """Standardised differences before, and after weighting to the ATE."""
    weights = ESTIMANDS[0].scores(c.t, c.t, _flat(c)).weights
    names = c.units.covariate_names
    return pl.DataFrame(
        {
            "name": [c.design.name] * len(names),
            "treatment": [c.design.treatment_label] * len(names),
            "covariate": list(names),
            "before": standardised_differences(c.units.covariates, c.treated),
            "after": standardised_differences(c.units.covariates, c.treated, weights),
        },
        schema=PICTURE_SCHEMAS["love"],
    )


def _flat(c: Comparison) -> Nuisances:
    """The propensity with outcome means of zero: enough for the weights."""
    zero = np.zeros(len(c.units))
    return Nuisances(
        propensity=c.propensity[0], mean_treated=zero, mean_control=zero, learners=(c.propensity[1], "", "")
    )


def overlap_frame(c: Comparison) -> pl.DataFrame:
    """Shares of each group by propensity, in twenty bins."""
    edges = np.linspace(0, 1, 21)
    rows = []
    for group, side in (("treated", c.treated), ("control", ~c.treated)):
        counts = np.histogram(c.propensity[0][side], edges)[0] / side.sum()
        rows += [
            {"name": c.design.name, "group": group, "low": a, "high": b, "share": share}
            for a, b, share in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    return pl.DataFrame(rows, schema=PICTURE_SCHEMAS["overlap"])


def segment_effects(
    c: Comparison, whole: Effect, scores: Scores, checks: Sequence[Check]
) -> tuple[list[Effect], list[dict[str, object]]]:
    """The mean of the whole group's scores in each segment, with Holm and one global test per column.

    What failed for the whole group holds for its segments.
    """
    effects: list[Effect] = []
    tests: list[dict[str, object]] = []
    for column, labels in c.units.segments.items():
        found = [
            with_refusal(apply_checks(_segment_effect(c, whole, scores, label, mask), checks), c.refusal)
            for label, mask in segment_masks(column, labels)
        ]
        effects += found
        tests += [*heterogeneity_test(found, column), *holm_rows(found, f"segment of {column}")]
    return effects, tests


def _segment_effect(c: Comparison, whole: Effect, scores: Scores, label: str, mask: Flags) -> Effect:
    """One segment's effect; withheld when the segment is too small."""
    side = c.treated[mask]
    effect = replace(
        effect_of(c.design, whole.outcome, whole.estimator, whole.estimand, c.treated),
        segment=label,
        n_treated=int(side.sum()),
        n_control=int((~side).sum()),
    )
    smallest = min(effect.n_treated, effect.n_control)
    if smallest < max(c.design.min_segment, MIN_UNITS):
        return effect.refused(too_small(smallest, c.design.min_segment))
    estimate, error = estimate_ratio(scores, c.units.clusters, mask)
    effect = with_interval(effect, estimate=estimate, std_error=error)
    return replace(effect, effective_n=effective_units(scores.weights[mask], side))


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


#: How a flag of `encode_covariates`, or a label of a text, says that nothing is known.
UNKNOWN = ("=missing", "=unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unadjusted:
    """What the units whose covariates are unknown do to an estimate.

    Their covariate is filled and flagged, which adjusts for being unknown, not for what is. Where it is
    known, the covariate moves the estimate by the difference of Lin's regression with it and without; where
    it is not, the estimate is off by about as much, so over all units by that times the share unknown.

    Attributes
    ----------
    shift
        By how much it is off, about; infinite where a covariate is known of hardly anybody.
    names
        Covariates that are unknown of some, and the largest share of units.
    share
    """

    shift: float
    names: tuple[str, ...]
    share: float


def unadjusted(
    outcome: Float, treated: Flags, covariates: Float, names: tuple[str, ...]
) -> Unadjusted | None:
    """The shift by unknown covariates; None where all are known."""
    flags = {
        place: name.removesuffix(ending)
        for place, name in enumerate(names)
        for ending in UNKNOWN
        if name.endswith(ending)
    }
    if not flags:
        return None
    shift, share = 0.0, 0.0
    for place, base in flags.items():
        gone = covariates[:, place] > 0.0
        own = np.array([name == base or name.startswith(f"{base}=") for name in names])
        share = max(share, float(gone.mean()))
        there = ~gone
        if min((treated & there).sum(), (~treated & there).sum()) < MIN_UNITS:
            shift = float("inf")
            continue
        y, t, x = outcome[there], treated[there], covariates[there]
        given, without = x[:, np.arange(own.size) != place], x[:, ~own]
        shift += float(gone.mean()) * (fit_lin(y, t, without)[0] - fit_lin(y, t, given)[0])
    return Unadjusted(shift=abs(shift), names=tuple(flags.values()), share=share)


def check_unadjusted(effect: Effect, found: Unadjusted) -> Check:
    """Whether that is less than the estimate's own error."""
    limit = effect.std_error or 0.0
    told = "the whole difference may be its doing" if np.isinf(found.shift) else f"about {found.shift:.3g}"
    return Check(
        check="unknown covariates",
        value=found.shift,
        limit=limit,
        passed=found.shift <= limit,
        reason=f"{', '.join(found.names)} unknown for up to {found.share:.0%} of the units, where nothing "
        f"adjusts for it: {told}, beside an error of {limit:.3g}",
    )
