"""Randomised experiments: difference in means, CUPED, Lin's adjustment, several arms, sequential reading.

Sources: Neyman (1923) for the difference in means, Deng et al. (2013) for CUPED, Lin (2013) for regression
adjustment, Holm (1979) for several arms, Waudby-Smith et al. (2021) for intervals that may always be read.
The unit of analysis is the unit that was assigned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import scipy

from attribution.effects.data.units import Units
from attribution.effects.design import EffectDesign
from attribution.effects.effect import INTERVAL_LEVEL, Z_INTERVAL, Effect, effect_of, with_interval
from attribution.effects.estimators.checks import (
    P_BLOCK,
    Check,
    apply_checks,
    check_attrition,
    check_balance_randomised,
    check_events,
    check_sample_ratio,
    check_shuffled,
    check_unit,
    standardised_differences,
)
from attribution.effects.estimators.regression import drop_collinear, fit_interacted, fit_ols, mean_difference
from attribution.effects.estimators.rerandomised import is_skewed, rerandomised_interval
from attribution.effects.estimators.segments import heterogeneity_test, holm_rows, segment_masks, too_small
from attribution.effects.estimators.sensitivity import effect_e_value, robustness_value
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.arrays import Flags, Float

ANY_ARM = "(any)"
"""The treatment that is every arm but the control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contrast:
    """One arm (or any) against the control, for one outcome: complete units only."""

    design: EffectDesign
    arm: str
    outcome: str
    units: Units
    treated: Flags
    checks: tuple[Check, ...]

    @property
    def y(self) -> Float:
        return self.units.outcomes[self.outcome]


def estimate_randomised(units: Units, design: EffectDesign, *, rng: np.random.Generator) -> Findings:
    """Effects of every arm on every outcome, all arms together first when there are several.

    Per outcome: the difference in means, the estimate chosen beforehand; beside it CUPED where the same
    metric was measured before the start, and Lin's adjustment where covariates are given. A sample-ratio
    mismatch, or unequal arms of which nobody says that they were planned so, marks every figure.
    """
    control = design.treatment.control
    arms = design.treatment.arms or tuple(sorted({str(a) for a in np.unique(units.arm)} - {str(control)}))
    kept = units.where(np.isin(units.arm, [*arms, str(control)]))
    counts = {name: int((kept.arm == name).sum()) for name in (*arms, str(control))}
    ratio = check_sample_ratio(counts, design.treatment.shares)
    pairs: list[tuple[Effect, Check]] = []
    effects: list[Effect] = []
    tests: list[dict[str, object]] = []
    for outcome in design.outcomes:
        family = []
        for arm in ([ANY_ARM] if len(arms) > 1 else []) + list(arms):
            contrast = _contrast(kept, design, arm, outcome, ratio, rng)
            found = [apply_checks(effect, contrast.checks) for effect in _estimate(contrast, rng)]
            pairs += [(effect, check) for effect in found for check in contrast.checks]
            effects += found
            family += [found[0]] if arm != ANY_ARM else []
            if arm == ANY_ARM or len(arms) == 1:
                by_segment, more_tests = _segments(contrast, rng)
                effects += by_segment
                tests += more_tests
        tests += holm_rows(family, "arm")
    pictures = {
        "love": _love(kept, design),
        "tests": pl.DataFrame(tests, schema=PICTURE_SCHEMAS["tests"]),
    }
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures=pictures)


def cuped(outcome: Float, before: Float, treated: Flags) -> Float:
    """The outcome less what the same metric before the start predicts of it (Deng et al. 2013, eq. 4 and 5).

    theta = cov(y, x) / var(x) within the groups, so that the effect itself does not enter it.
    """
    y, x = outcome.copy(), before - before.mean()
    for side in (treated, ~treated):
        y[side] -= y[side].mean()
    x_within = np.where(treated, x - x[treated].mean(), x - x[~treated].mean())
    variance = float(x_within @ x_within)
    theta = float(y @ x_within) / variance if variance > 0 else 0.0
    return np.asarray(outcome - theta * x, dtype=np.float64)


def anytime_half_width(std_error: float, n: int, planned: int, level: float = INTERVAL_LEVEL) -> float:
    """Half width of an interval that covers at all sample sizes at once (Waudby-Smith et al. 2021, thm 2.2).

    With rho tuned so that it is narrowest at `planned` units; about 1.5 x the fixed interval there.

    >>> round(anytime_half_width(1.0, 10_000, 10_000) / 1.96, 2)
    1.55
    """
    alpha = 1 - level
    rho2 = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1) / planned
    mixed = n * rho2 + 1
    return float(std_error * np.sqrt(2 * mixed / (n * rho2) * np.log(np.sqrt(mixed) / alpha)))


def _contrast(
    units: Units, design: EffectDesign, arm: str, outcome: str, ratio: Check, rng: np.random.Generator
) -> _Contrast:
    """The units of one comparison with an observed outcome, and the checks of that comparison."""
    control = units.arm == design.treatment.control
    pair = units if arm == ANY_ARM else units.where(control | (units.arm == arm))
    treated = pair.arm != design.treatment.control
    missing = np.isnan(pair.outcomes[outcome])
    complete, side = pair.where(~missing), treated[~missing]
    y = complete.outcomes[outcome]
    unit = check_unit(units.assigned_by)
    checks = [ratio, unit, check_attrition(missing, treated, outcome), check_events(y, side)]
    if not checks[-1].blocking or checks[-1].passed:
        if complete.covariates.shape[1]:
            checks.append(check_balance_randomised(side, complete.covariates))
        if not is_skewed(y, side):  # the interval of a skewed difference is made of shuffled labels
            checks.append(check_shuffled(lambda labels: mean_difference(y, labels), side, rng))
        if outcome in complete.before:
            checks.append(_check_before(complete.before[outcome], side, outcome))
    return _Contrast(
        design=design, arm=arm, outcome=outcome, units=complete, treated=side, checks=tuple(checks)
    )


def _check_before(before: Float, treated: Flags, outcome: str) -> Check:
    """Placebo outcome: the same metric before the start must not differ between the arms."""
    difference, error = mean_difference(before, treated)
    z = abs(difference / error) if error > 0 else 0.0
    limit = float(scipy.stats.norm.isf(P_BLOCK / 2))
    return Check(
        check="placebo outcome",
        value=z,
        limit=limit,
        passed=z <= limit,
        reason=f"{outcome} already differed before the start by {difference:.3g} (z = {z:.1f})",
    )


def _estimate(contrast: _Contrast, rng: np.random.Generator) -> list[Effect]:
    """The estimators of one comparison, in order of preference."""
    if len(contrast.y) == 0 or contrast.treated.all() or not contrast.treated.any():
        return [_effect(contrast, "difference_in_means")]
    return [
        _with_checks(contrast, _effect(contrast, name), figures, rng) for name, figures in _figures(contrast)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """What an estimator says: the outcome as it adjusts it, estimate, standard error, degrees of freedom."""

    adjusted: Float
    estimate: float
    error: float
    dof: int


def _figures(contrast: _Contrast) -> Iterator[tuple[str, _Figures]]:
    """Each estimator by name."""
    y, treated, units = contrast.y, contrast.treated, contrast.units
    estimate, error = mean_difference(y, treated)
    yield "difference_in_means", _Figures(adjusted=y, estimate=estimate, error=error, dof=len(y) - 2)
    before = units.before.get(contrast.outcome)
    if before is not None:
        adjusted = cuped(y, before, treated)
        estimate, error = mean_difference(adjusted, treated)
        yield "cuped", _Figures(adjusted=adjusted, estimate=estimate, error=error, dof=len(y) - 3)
    if units.covariates.shape[1]:
        centred = drop_collinear(units.covariates)
        estimate, error, dof = fit_interacted(y, treated, centred)
        slopes = fit_ols(np.column_stack([treated, ~treated, centred]), y).coefficients[2:]
        yield "lin", _Figures(adjusted=y - centred @ slopes, estimate=estimate, error=error, dof=dof)


def _effect(contrast: _Contrast, estimator: str) -> Effect:
    """An effect of this comparison without its figures."""
    treated = contrast.treated
    return effect_of(
        contrast.design,
        contrast.outcome,
        estimator,
        "ATE",
        treated,
        treatment=contrast.arm,
        control=str(contrast.design.treatment.control),
        effective_n=float(len(treated)),
    )


def _with_checks(contrast: _Contrast, effect: Effect, figures: _Figures, rng: np.random.Generator) -> Effect:
    """The effect with figures, interval, sensitivity and placebo."""
    estimate, error, dof = figures.estimate, figures.error, figures.dof
    planned = contrast.design.sequential
    effect = with_interval(effect, estimate=estimate, std_error=error)
    if planned is not None and effect.estimate is not None:
        half = anytime_half_width(error, len(contrast.y), planned)
        effect = replace(effect, low=estimate - half, high=estimate + half)
    effect = replace(
        _unskewed(effect, figures.adjusted, contrast.treated, rng),
        e_value=effect_e_value(estimate, contrast.y, ~contrast.treated),
        robustness_value=robustness_value(estimate / error, dof) if error > 0 else None,
    )
    before = contrast.units.before.get(contrast.outcome)
    if before is None:
        return effect
    placebo, placebo_error = mean_difference(before, contrast.treated)
    half = Z_INTERVAL * placebo_error
    return replace(effect, placebo_estimate=placebo, placebo_low=placebo - half, placebo_high=placebo + half)


def _unskewed(effect: Effect, outcome: Float, treated: Flags, rng: np.random.Generator) -> Effect:
    """The effect; where its error is skewed its interval holds what labels drawn anew do not refute, too.

    Its standard error is as large as those limits tell: others weigh and test it by that.
    """
    if effect.low is None or effect.high is None or not is_skewed(outcome, treated):
        return effect
    low, high = rerandomised_interval(outcome, treated, level=INTERVAL_LEVEL, rng=rng)
    error = max(effect.std_error or 0.0, (high - low) / (2 * Z_INTERVAL))
    return replace(effect, low=min(effect.low, low), high=max(effect.high, high), std_error=error)


def _segments(contrast: _Contrast, rng: np.random.Generator) -> tuple[list[Effect], list[dict[str, object]]]:
    """The difference in means within each segment, Holm over the segments, and one global test."""
    effects: list[Effect] = []
    tests: list[dict[str, object]] = []
    for column, labels in contrast.units.segments.items():
        found = []
        for label, mask in segment_masks(column, labels):
            side = contrast.treated[mask]
            effect = replace(
                _effect(contrast, "difference_in_means"),
                segment=label,
                n_treated=int(side.sum()),
                n_control=int((~side).sum()),
                effective_n=float(mask.sum()),
            )
            smallest = min(effect.n_treated, effect.n_control)
            if smallest < contrast.design.min_segment:
                reason = too_small(smallest, contrast.design.min_segment)
                found.append(effect.refused(reason))
                continue
            estimate, error = mean_difference(contrast.y[mask], side)
            effect = with_interval(effect, estimate=estimate, std_error=error)
            effect = _unskewed(effect, contrast.y[mask], side, rng)
            found.append(apply_checks(effect, (*contrast.checks[:3], check_events(contrast.y[mask], side))))
        effects += found
        tests += [*heterogeneity_test(found, column), *holm_rows(found, f"segment of {column}")]
    return effects, tests


def _love(units: Units, design: EffectDesign) -> pl.DataFrame:
    """Standardised differences of the covariates; without weighting, after is as before."""
    treated = units.arm != design.treatment.control
    if not units.covariates.shape[1] or treated.all() or not treated.any():
        return pl.DataFrame(schema=PICTURE_SCHEMAS["love"])
    differences = standardised_differences(units.covariates, treated)
    return pl.DataFrame(
        {
            "name": [design.name] * len(differences),
            "treatment": [ANY_ARM] * len(differences),
            "covariate": list(units.covariate_names),
            "before": differences,
            "after": differences,
        },
        schema=PICTURE_SCHEMAS["love"],
    )
