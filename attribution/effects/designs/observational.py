"""Adjusted comparison of two groups that nobody assigned: the estimators, in order, and the checks on each.

AIPW for everybody (ATE), where the groups overlap (ATO) and for the treated (ATT); Lin's regression beside
them; the naive difference last, never supported. The order was chosen beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from attribution.effects.data.units import Units
from attribution.effects.design import EffectDesign
from attribution.effects.designs.comparison import (
    MIN_GROUP,
    Comparison,
    Unadjusted,
    check_unadjusted,
    effective_units,
    fit_placebo,
    love_frame,
    overlap_frame,
    segment_effects,
    unadjusted,
    with_placebo,
    with_sensitivity,
)
from attribution.effects.effect import Effect, effect_of, with_interval, with_refusal
from attribution.effects.estimators.aipw import ESTIMANDS, Estimand, Scores, estimate_ratio
from attribution.effects.estimators.checks import (
    Check,
    apply_checks,
    check_balance,
    check_effective_size,
    check_events,
    check_omitted_variable,
    check_overlap,
    check_placebo,
    check_possible,
    check_shuffled,
)
from attribution.effects.estimators.nuisance import (
    LEARNERS,
    Learner,
    assign_folds,
    fit_nuisances,
    fit_propensity,
)
from attribution.effects.estimators.regression import drop_collinear, fit_interacted, fit_lin, fit_ols
from attribution.effects.estimators.sensitivity import OmittedVariable, bound_omitted_variable
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.arrays import Flags, Float

NAIVE_REASON = "naive: customers were not alike before the treatment, and nothing here corrects for it"
MAX_SHUFFLED = 20_000


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
    comparison = Comparison(
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
        "love": love_frame(comparison),
        "overlap": overlap_frame(comparison),
        "tests": pl.DataFrame(tests, schema=PICTURE_SCHEMAS["tests"]),
    }
    return Findings(
        effects=tuple(effects),
        checks=tuple(pairs),
        pictures=pictures,
        cost_per_treated=_mean_cost(units, treated),
    )


def _estimate_outcome(
    c: Comparison, outcome: str, rng: np.random.Generator
) -> tuple[list[Effect], list[tuple[Effect, Check]], list[dict[str, object]]]:
    """All estimators of one outcome, their checks, and the tests over segments."""
    y, x = c.units.outcomes[outcome], c.units.covariates
    nuisances = fit_nuisances(y, c.treated, x, c.folds, propensity=c.propensity, learners=c.learners)
    placebo = fit_placebo(c, outcome)
    shuffled = shuffled_check(c, y, rng)
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    chosen: tuple[Effect, Scores, list[Check]] | None = None
    everybody: list[Check] = []
    for estimand in ESTIMANDS:
        scores = estimand.scores(y, c.t, nuisances)
        effect = with_placebo(_aipw_effect(c, outcome, estimand, scores), placebo, estimand)
        by_design, by_outcome = design_checks(c, estimand, scores), [shuffled, *outcome_checks(c, effect)]
        everybody = everybody or by_design
        if chosen is None and all(check.passed for check in by_design):
            chosen = effect, scores, by_outcome
        effects.append(with_refusal(apply_checks(effect, [*by_design, *by_outcome]), c.refusal))
        pairs += [(effect, check) for check in (*by_design, *by_outcome)]
    lin = _lin_effect(c, outcome, effects[0])
    # a regression for everybody needs what weights for everybody need: where groups do not overlap it guesses
    lin_checks = [*everybody, shuffled, _lin_size(c), *outcome_checks(c, lin)]
    pairs += [(lin, check) for check in lin_checks]
    effects += [with_refusal(apply_checks(lin, lin_checks), c.refusal), _naive_effect(c, outcome)]
    if chosen is None:
        return effects, pairs, []
    by_segment, tests = segment_effects(c, *chosen)
    return [*effects, *by_segment], pairs, tests


def shuffled_check(c: Comparison, y: Float, rng: np.random.Generator) -> Check:
    """Shuffled labels under Lin's regression, on at most twenty thousand units.

    Where a group has fewer than ten units for each covariate, that regression cannot tell its own error; the
    plain difference is asked instead.
    """
    some = rng.permutation(len(y))[:MAX_SHUFFLED]
    x = c.units.covariates[some]
    clusters = None if c.units.clusters is None else c.units.clusters[some]
    smallest = min(c.treated[some].sum(), (~c.treated[some]).sum())
    given = drop_collinear(x if smallest >= 10 * x.shape[1] else x[:, :0])
    return check_shuffled(
        lambda labels: fit_interacted(y[some], labels, given, clusters=clusters)[:2], c.treated[some], rng
    )


def _aipw_effect(c: Comparison, outcome: str, estimand: Estimand, scores: Scores) -> Effect:
    """One AIPW estimate with its sensitivity."""
    estimate, error = estimate_ratio(scores, c.units.clusters)
    effect = with_interval(
        effect_of(c.design, outcome, "aipw", estimand.name, c.treated), estimate=estimate, std_error=error
    )
    return with_sensitivity(replace(effect, effective_n=effective_units(scores.weights, c.treated)), c)


def _lin(c: Comparison, y: Float, labels: Flags) -> tuple[float, float]:
    """Lin's regression of an outcome on any labels."""
    return fit_lin(y, labels, c.units.covariates, clusters=c.units.clusters)[:2]


def _lin_effect(c: Comparison, outcome: str, like: Effect) -> Effect:
    """Lin's regression, with the placebo of the AIPW estimate of the same estimand."""
    estimate, error = _lin(c, c.units.outcomes[outcome], c.treated)
    effect = with_interval(
        effect_of(c.design, outcome, "lin", "ATE", c.treated), estimate=estimate, std_error=error
    )
    effect = replace(
        effect,
        effective_n=float(len(c.units)),
        placebo_estimate=like.placebo_estimate,
        placebo_low=like.placebo_low,
        placebo_high=like.placebo_high,
    )
    return with_sensitivity(effect, c)


def _lin_size(c: Comparison) -> Check:
    """Whether each group is large enough for a regression of its own."""
    smallest, wanted = int(min(c.treated.sum(), (~c.treated).sum())), 5 * c.units.covariates.shape[1]
    return Check(
        check="size",
        value=float(smallest),
        limit=float(wanted),
        passed=smallest >= wanted,
        reason=f"too few units to fit each group: {smallest:,} in the smaller one, {wanted:,} needed",
    )


def _naive_effect(c: Comparison, outcome: str) -> Effect:
    """The unadjusted difference, for comparison only."""
    y = c.units.outcomes[outcome]
    fit = fit_ols(np.column_stack([np.ones(len(y)), c.t]), y, clusters=c.units.clusters)
    effect = effect_of(c.design, outcome, "naive", "ATE", c.treated)
    effect = with_interval(effect, estimate=float(fit.coefficients[1]), std_error=float(fit.std_errors[1]))
    return replace(effect, effective_n=float(len(y))).refused(NAIVE_REASON)


def design_checks(c: Comparison, estimand: Estimand, scores: Scores) -> list[Check]:
    """Checks that look at treatment and covariates only: overlap, balance, effective size."""
    return [
        check_overlap(c.propensity[0], low=estimand.needs_low, high=estimand.needs_high),
        check_balance(c.units.covariates, c.treated, scores.weights, c.units.covariate_names),
        check_effective_size(scores.weights, c.treated),
    ]


def outcome_checks(c: Comparison, effect: Effect) -> list[Check]:
    """Checks that look at the outcome: events, placebo, what is unknown, and what was left out."""
    y = c.units.outcomes[effect.outcome]
    checks = [check_events(y, c.treated)]
    if effect.placebo_estimate is not None:
        checks.append(check_placebo(effect))
    if effect.estimate is not None:
        checks.append(check_possible(effect.estimate, y))
        unknown, bound = _unseen(c, effect.outcome)
        if unknown is not None:
            checks.append(check_unadjusted(effect, unknown))
        if bound is not None:
            checks.append(check_omitted_variable(effect, bound))
    return checks


def _unseen(c: Comparison, outcome: str) -> tuple[Unadjusted | None, OmittedVariable | None]:
    """What is unknown and what was left out, the same for every estimate of an outcome."""
    if outcome not in c.unseen:
        y, x, names = c.units.outcomes[outcome], c.units.covariates, c.units.covariate_names
        # of a table's covariates nobody knows why they are unknown; those of histories say so by being empty
        unknown = unadjusted(y, c.treated, x, names) if c.design.table is not None else None
        bound = bound_omitted_variable(y, c.treated, x, names, circumstances=c.units.circumstances)
        c.unseen[outcome] = unknown, bound
    return c.unseen[outcome]


def _mean_cost(units: Units, treated: Flags) -> float | None:
    """Mean recorded cost of treating one unit; None where nothing was recorded."""
    if units.costs is None:
        return None
    known = units.costs[treated & np.isfinite(units.costs)]
    return float(known.mean()) if len(known) else None


def _too_few(design: EffectDesign, treated: Flags, reason: str) -> Findings:
    """The design's outcomes without figures."""
    effects = tuple(
        effect_of(design, outcome, "aipw", "ATE", treated, supported=False, reason=reason)
        for outcome in design.outcomes
    )
    return Findings(effects=effects)
