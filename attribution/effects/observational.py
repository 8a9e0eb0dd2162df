"""Adjusted comparison of two groups that nobody assigned: the estimators, in order, and the checks on each.

AIPW for everybody (ATE), where the groups overlap (ATO) and for the treated (ATT); Lin's regression beside
them; the naive difference last, never supported. The order was chosen beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.aipw import ESTIMANDS, Estimand, Scores, estimate_ratio
from attribution.effects.checks import (
    MIN_UNITS,
    Check,
    apply_checks,
    check_balance,
    check_effective_size,
    check_omitted_variable,
    check_overlap,
    check_placebo,
    check_shuffled,
    standardised_differences,
)
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Z_INTERVAL, Effect, with_interval
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from attribution.effects.nuisance import (
    LEARNERS,
    Learner,
    Nuisances,
    assign_folds,
    fit_nuisances,
    fit_propensity,
)
from attribution.effects.regression import fit_lin, fit_ols
from attribution.effects.segments import heterogeneity_test, holm_rows, segment_masks, too_small
from attribution.effects.sensitivity import bound_omitted_variable, effect_e_value, robustness_value
from attribution.effects.units import Units

__all__ = ["NAIVE_REASON", "estimate_adjusted"]

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

NAIVE_REASON = "naive: customers were not alike before the treatment, and nothing here corrects for it"
MIN_GROUP = 50
"""Fewest units in each group for adjustment."""
MAX_SHUFFLED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Two groups of units, the folds and the propensity that all outcomes share."""

    design: EffectDesign
    units: Units
    treated: Flags
    folds: NDArray[np.int64]
    propensity: tuple[Vector, str]
    learners: Sequence[Learner]
    refusal: str | None

    @property
    def t(self) -> Vector:
        return self.treated.astype(float)


def estimate_adjusted(
    units: Units,
    design: EffectDesign,
    *,
    treated: Flags,
    rng: np.random.Generator,
    refusal: str | None = None,
    learners: Sequence[Learner] = LEARNERS,
) -> Findings:
    """Effects of a treatment on every outcome, adjusted for the covariates of the units.

    `refusal` marks every figure as unsupported with that reason, whatever the checks say.
    """
    smallest = int(min(treated.sum(), (~treated).sum()))
    if smallest < MIN_GROUP:
        return _too_few(
            design,
            treated,
            refusal or f"too few customers: {smallest} in the smaller group, {MIN_GROUP} needed",
        )
    folds = assign_folds(len(units), rng, units.clusters)
    propensity = fit_propensity(treated, units.covariates, folds, learners)
    comparison = _Comparison(
        design=design,
        units=units,
        treated=treated,
        folds=folds,
        propensity=propensity,
        learners=learners,
        refusal=refusal,
    )
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    tests: list[dict[str, object]] = []
    for outcome in design.outcomes:
        found, checked, tested = _estimate_outcome(comparison, outcome, rng)
        effects += found
        pairs += checked
        tests += tested
    pictures = {
        "love": _love(comparison),
        "overlap": _overlap(comparison),
        "tests": pl.DataFrame(tests, schema=PICTURE_SCHEMAS["tests"]),
    }
    return Findings(
        effects=tuple(effects),
        checks=tuple(pairs),
        pictures=pictures,
        cost_per_treated=_mean_cost(units, treated),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placebo:
    """Units whose metric before the start is known, and nuisances of that metric."""

    values: Vector
    treated: Flags
    clusters: NDArray[np.int64] | None
    nuisances: Nuisances


def _estimate_outcome(
    c: _Comparison, outcome: str, rng: np.random.Generator
) -> tuple[list[Effect], list[tuple[Effect, Check]], list[dict[str, object]]]:
    """All estimators of one outcome, their checks, and the tests over segments."""
    y, x = c.units.outcomes[outcome], c.units.covariates
    nuisances = fit_nuisances(y, c.treated, x, c.folds, propensity=c.propensity, learners=c.learners)
    placebo = _fit_placebo(c, outcome)
    shuffled = _check_shuffled(c, y, rng)
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    chosen: tuple[Effect, Scores, list[Check]] | None = None
    for estimand in ESTIMANDS:
        scores = estimand.scores(y, c.t, nuisances)
        effect = _with_placebo(_aipw_effect(c, outcome, estimand, scores), placebo, estimand)
        by_design, by_outcome = _design_checks(c, estimand, scores), [shuffled, *_outcome_checks(c, effect)]
        if chosen is None and all(check.passed for check in by_design):
            chosen = effect, scores, by_outcome
        effects.append(_finish(c, apply_checks(effect, [*by_design, *by_outcome])))
        pairs += [(effect, check) for check in (*by_design, *by_outcome)]
    lin = _lin_effect(c, outcome, effects[0])
    lin_checks = [shuffled, *_outcome_checks(c, lin)]
    pairs += [(lin, check) for check in lin_checks]
    effects += [_finish(c, apply_checks(lin, lin_checks)), _naive_effect(c, outcome)]
    if chosen is None:
        return effects, pairs, []
    by_segment, tests = _segments(c, *chosen)
    return [*effects, *by_segment], pairs, tests


def _check_shuffled(c: _Comparison, y: Vector, rng: np.random.Generator) -> Check:
    """Shuffled labels under Lin's regression, on at most twenty thousand units."""
    some = rng.permutation(len(y))[:MAX_SHUFFLED]
    x = c.units.covariates[some]
    clusters = None if c.units.clusters is None else c.units.clusters[some]
    return check_shuffled(
        lambda labels: fit_lin(y[some], labels, x, clusters=clusters)[:2], c.treated[some], rng
    )


def _aipw_effect(c: _Comparison, outcome: str, estimand: Estimand, scores: Scores) -> Effect:
    """One AIPW estimate with its sensitivity."""
    estimate, error = estimate_ratio(scores, c.units.clusters)
    effect = with_interval(_effect(c, outcome, "aipw", estimand.name), estimate=estimate, std_error=error)
    return _with_sensitivity(replace(effect, effective_n=_effective(scores.weights, c.treated)), c)


def _lin(c: _Comparison, y: Vector, labels: Flags) -> tuple[float, float]:
    """Lin's regression of an outcome on any labels."""
    return fit_lin(y, labels, c.units.covariates, clusters=c.units.clusters)[:2]


def _lin_effect(c: _Comparison, outcome: str, like: Effect) -> Effect:
    """Lin's regression, with the placebo of the AIPW estimate of the same estimand."""
    estimate, error = _lin(c, c.units.outcomes[outcome], c.treated)
    effect = with_interval(_effect(c, outcome, "lin", "ATE"), estimate=estimate, std_error=error)
    effect = replace(
        effect,
        effective_n=float(len(c.units)),
        placebo_estimate=like.placebo_estimate,
        placebo_low=like.placebo_low,
        placebo_high=like.placebo_high,
    )
    return _with_sensitivity(effect, c)


def _naive_effect(c: _Comparison, outcome: str) -> Effect:
    """The unadjusted difference, for comparison only."""
    y = c.units.outcomes[outcome]
    fit = fit_ols(np.column_stack([np.ones(len(y)), c.t]), y, clusters=c.units.clusters)
    effect = _effect(c, outcome, "naive", "ATE")
    effect = with_interval(effect, estimate=float(fit.coefficients[1]), std_error=float(fit.std_errors[1]))
    return replace(effect, effective_n=float(len(y))).refused(NAIVE_REASON)


def _effect(c: _Comparison, outcome: str, estimator: str, estimand: str) -> Effect:
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


def _with_sensitivity(effect: Effect, c: _Comparison) -> Effect:
    """The effect with E-value and robustness value."""
    if effect.estimate is None or not effect.std_error:
        return effect
    dof = max(len(c.units) - c.units.covariates.shape[1] - 2, 1)
    return replace(
        effect,
        e_value=effect_e_value(effect.estimate, c.units.outcomes[effect.outcome], ~c.treated),
        robustness_value=robustness_value(effect.estimate / effect.std_error, dof),
    )


def _fit_placebo(c: _Comparison, outcome: str) -> _Placebo | None:
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
    return _Placebo(values=values[known], treated=groups, clusters=clusters, nuisances=nuisances)


def _with_placebo(effect: Effect, placebo: _Placebo | None, estimand: Estimand) -> Effect:
    """The effect with the same estimator's answer on the metric before the start, where there is one."""
    if placebo is None:
        return effect
    scores = estimand.scores(placebo.values, placebo.treated.astype(float), placebo.nuisances)
    estimate, error = estimate_ratio(scores, placebo.clusters)
    half = Z_INTERVAL * error
    return replace(
        effect, placebo_estimate=estimate, placebo_low=estimate - half, placebo_high=estimate + half
    )


def _design_checks(c: _Comparison, estimand: Estimand, scores: Scores) -> list[Check]:
    """Checks that look at treatment and covariates only: overlap, balance, effective size."""
    return [
        check_overlap(c.propensity[0], low=estimand.needs_low, high=estimand.needs_high),
        check_balance(c.units.covariates, c.treated, scores.weights, c.units.covariate_names),
        check_effective_size(scores.weights, c.treated),
    ]


def _outcome_checks(c: _Comparison, effect: Effect) -> list[Check]:
    """Checks that look at the outcome: placebo, and the bound on what was left out."""
    checks = []
    if effect.placebo_estimate is not None:
        checks.append(check_placebo(effect))
    if effect.estimate is not None:
        y, x = c.units.outcomes[effect.outcome], c.units.covariates
        bound = bound_omitted_variable(effect.estimate, y, c.treated, x, c.units.covariate_names)
        if bound is not None:
            checks.append(check_omitted_variable(effect, bound))
    return checks


def _finish(c: _Comparison, effect: Effect) -> Effect:
    """The effect, refused when the design itself was."""
    return effect if c.refusal is None else effect.refused(c.refusal)


def _segments(
    c: _Comparison, whole: Effect, scores: Scores, checks: Sequence[Check]
) -> tuple[list[Effect], list[dict[str, object]]]:
    """The mean of the whole group's scores in each segment, with Holm and one global test per column.

    What failed for the whole group holds for its segments.
    """
    effects: list[Effect] = []
    tests: list[dict[str, object]] = []
    for column, labels in c.units.segments.items():
        found = [
            _finish(c, apply_checks(_segment_effect(c, whole, scores, label, mask), checks))
            for label, mask in segment_masks(column, labels)
        ]
        effects += found
        tests += [*heterogeneity_test(found, column), *holm_rows(found, f"segment of {column}")]
    return effects, tests


def _segment_effect(c: _Comparison, whole: Effect, scores: Scores, label: str, mask: Flags) -> Effect:
    """One segment's effect; withheld when the segment is too small."""
    side = c.treated[mask]
    effect = replace(
        _effect(c, whole.outcome, whole.estimator, whole.estimand),
        segment=label,
        n_treated=int(side.sum()),
        n_control=int((~side).sum()),
    )
    smallest = min(effect.n_treated, effect.n_control)
    if smallest < max(c.design.min_segment, MIN_UNITS):
        return effect.refused(too_small(smallest, c.design.min_segment))
    estimate, error = estimate_ratio(scores, c.units.clusters, mask)
    effect = with_interval(effect, estimate=estimate, std_error=error)
    return replace(effect, effective_n=_effective(scores.weights[mask], side))


def _effective(weights: Vector, treated: Flags) -> float:
    """Effective units of both groups: (sum w)^2 / sum w^2 in each."""
    sizes = [float(w.sum() ** 2 / (w @ w)) for w in (weights[treated], weights[~treated]) if (w @ w) > 0]
    return sum(sizes)


def _mean_cost(units: Units, treated: Flags) -> float | None:
    """Mean recorded cost of treating one unit; None where nothing was recorded."""
    if units.costs is None:
        return None
    known = units.costs[treated & np.isfinite(units.costs)]
    return float(known.mean()) if len(known) else None


def _love(c: _Comparison) -> pl.DataFrame:
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


def _flat(c: _Comparison) -> Nuisances:
    """The propensity with outcome means of zero: enough for the weights."""
    zero = np.zeros(len(c.units))
    return Nuisances(
        propensity=c.propensity[0], mean_treated=zero, mean_control=zero, learners=(c.propensity[1], "", "")
    )


def _overlap(c: _Comparison) -> pl.DataFrame:
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


def _too_few(design: EffectDesign, treated: Flags, reason: str) -> Findings:
    """The design's outcomes without figures."""
    effects = tuple(
        Effect(
            name=design.name,
            treatment=design.treatment_label,
            control=design.control_label,
            outcome=outcome,
            design=design.design,
            estimator="aipw",
            estimand="ATE",
            n_treated=int(treated.sum()),
            n_control=int((~treated).sum()),
            supported=False,
            reason=reason,
        )
        for outcome in design.outcomes
    )
    return Findings(effects=effects)
