"""Checks that an estimate has to pass before anybody may quote it.

A check is a number beside its limit. A failed one makes the effect unsupported, with the reason in words; a
`blocking` one takes the figure away as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from attribution.effects.effect import Effect
from attribution.effects.estimators.regression import drop_collinear, fit_ols
from attribution.effects.estimators.sensitivity import OmittedVariable
from histories.arrays import Flags, Float

WEAK_F = 10.0
"""First-stage F below which an instrument is weak (Staiger & Stock 1997)."""
P_BLOCK = 0.001
"""A randomised experiment is called broken below this p-value: it is checked often and rarely broken."""
TELLS_EXACTLY = 1e-6
"""Largest residual of the arm, 0 or 1, where covariates are a copy of it."""
MIN_EVENTS = 10
"""Fewest events, and fewest units without, in each group for a normal interval of a share."""
MIN_UNITS = 20
"""Fewest units in a group for any estimate."""
MAX_IMBALANCE = 0.1
"""Standardised difference of a covariate after weighting that always passes."""
NEVER_BALANCED = 0.25
"""One that never does: beyond it regression does not make up for what is left (Rubin 2001)."""
MAX_BEYOND = 0.05
"""Largest share of units whose propensity leaves nobody to compare with."""
MIN_EFFECTIVE = 30.0
"""Fewest effective units in a group after weighting."""

CHECKS_SCHEMA: dict[str, pl.DataType] = {
    "name": pl.String(),
    "treatment": pl.String(),
    "outcome": pl.String(),
    "segment": pl.String(),
    "estimator": pl.String(),
    "estimand": pl.String(),
    "check": pl.String(),
    "value": pl.Float64(),
    "limit": pl.Float64(),
    "passed": pl.Boolean(),
    "reason": pl.String(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its measured `value`, the `limit` it was held against, and what a failure means in words."""

    check: str
    value: float
    limit: float
    passed: bool
    reason: str
    blocking: bool = False


def apply_checks(effect: Effect, checks: Sequence[Check]) -> Effect:
    """The effect, refused for every check that failed."""
    for check in checks:
        if not check.passed:
            effect = effect.refused(check.reason, withhold=check.blocking)
    return effect


def checks_frame(rows: Sequence[tuple[Effect, Check]]) -> pl.DataFrame:
    """One row per effect and check; the reason shows where the check failed."""
    records = [
        {
            **{key: getattr(effect, key) for key in list(CHECKS_SCHEMA)[:6]},
            "check": check.check,
            "value": check.value,
            "limit": check.limit,
            "passed": check.passed,
            "reason": None if check.passed else check.reason,
        }
        for effect, check in rows
    ]
    return pl.DataFrame(records, schema=CHECKS_SCHEMA)


def check_sample_ratio(counts: dict[str, int], shares: dict[str, float] | None) -> Check:
    """Whether the arms have the sizes that were planned: chi-square test, p below .001.

    Without planned shares, arms of equal size pass; unequal ones ask for the plan.
    """
    planned = dict.fromkeys(counts, 1.0) if shares is None else shares
    total, weight = sum(counts.values()), sum(planned.get(arm, 0.0) for arm in counts)
    expected = np.array([total * planned.get(arm, 0.0) / weight for arm in counts])
    observed = np.array(list(counts.values()))
    p_value = float(scipy.stats.chisquare(observed, expected).pvalue) if (expected > 0).all() else 0.0
    found = ", ".join(f"{arm} {n:,}" for arm, n in counts.items())
    wanted = ", ".join(f"{n:,.0f}" for n in expected)
    if shares is None:
        reason = (
            f"were these sizes planned? {found} are not equal shares (p = {p_value:.1g}): say the planned "
            "ones in treatment.shares"
        )
    else:
        reason = (
            f"sample ratio mismatch (p = {p_value:.1g}): {found} where {wanted} were planned, so units were "
            "lost or misassigned"
        )
    return Check(check="sample ratio", value=p_value, limit=P_BLOCK, passed=p_value >= P_BLOCK, reason=reason)


def check_unit(assigned_by: tuple[str, int] | None) -> Check:
    """Whether the units are what was assigned: those that share a store share what happens to it."""
    column, groups = assigned_by or ("", 0)
    return Check(
        check="assigned unit",
        value=float(groups),
        limit=0.0,
        passed=assigned_by is None,
        reason=(
            f'each of the {groups:,} values of "{column}" has one arm alone: it was assigned, and its units '
            "are no evidence of their own, so the interval is too narrow. Give a table with one row per "
            f"{column}, of means"
        ),
    )


def check_attrition(missing: Flags, treated: Flags, outcome: str) -> Check:
    """Whether the outcome is missing equally often in both groups (Fisher's exact test, p below .001)."""
    table = [[int((missing & side).sum()), int((~missing & side).sum())] for side in (treated, ~treated)]
    p_value = float(scipy.stats.fisher_exact(table).pvalue) if missing.any() else 1.0
    return Check(
        check="attrition",
        value=p_value,
        limit=P_BLOCK,
        passed=p_value >= P_BLOCK,
        reason=(
            f"{outcome} is missing for {missing[treated].mean():.1%} of the treated and "
            f"{missing[~treated].mean():.1%} of the control units (p = {p_value:.1g})"
        ),
    )


def check_events(outcome: Float, treated: Flags) -> Check:
    """Whether there are enough units, and for a share enough events, for a normal interval."""
    sides = [outcome[treated], outcome[~treated]]
    fewest, limit, what = min(len(side) for side in sides), MIN_UNITS, "units"
    if set(np.unique(outcome)) <= {0.0, 1.0} and fewest >= MIN_UNITS:
        fewest = int(min(min(side.sum(), (1 - side).sum()) for side in sides))
        limit, what = MIN_EVENTS, "events"
    return Check(
        check="size",
        value=float(fewest),
        limit=float(limit),
        passed=fewest >= limit,
        reason=f"too few {what} for an interval: {fewest} in the smaller group, {limit} needed",
        blocking=what == "units",
    )


def check_balance_randomised(treated: Flags, covariates: NDArray[np.float64]) -> Check:
    """Whether the covariates predict the arm: Wald test of all of them at once, p below .001."""
    varying = drop_collinear(covariates)
    fit = fit_ols(np.column_stack([np.ones(len(treated)), varying]), treated.astype(float))
    slopes, block = fit.coefficients[1:], fit.covariance[1:, 1:]
    rank = int(np.linalg.matrix_rank(block, hermitian=True)) if len(slopes) else 0
    wald = float(slopes @ np.linalg.pinv(block, hermitian=True) @ slopes) if rank else 0.0
    p_value = float(scipy.stats.chi2.sf(wald, rank)) if rank else 1.0
    if len(slopes) and fit.dof > 0 and np.abs(fit.residuals).max() < TELLS_EXACTLY:
        p_value = 0.0  # a copy of the arm: no error is left to judge its slope by
    return Check(
        check="balance",
        value=p_value,
        limit=P_BLOCK,
        passed=p_value >= P_BLOCK,
        reason=f"covariates predict the arm (p = {p_value:.1g}): it was not assigned at random",
    )


def check_possible(estimate: float, outcome: Float) -> Check:
    """Whether a mean difference is one that two units can have at all: no larger than the outcome's range."""
    spread = float(np.ptp(outcome)) if len(outcome) else 0.0
    return Check(
        check="possible",
        value=abs(estimate),
        limit=spread,
        passed=abs(estimate) <= spread,
        reason=(
            f"the estimate is larger than any difference between two units ({spread:.3g}): look for a "
            "covariate with values out of all proportion"
        ),
    )


def check_shuffled(
    estimate: Callable[[Flags], tuple[float, float]],
    treated: Flags,
    rng: np.random.Generator,
    *,
    repeats: int = 20,
) -> Check:
    """Whether an estimator finds nothing when the labels are shuffled.

    `estimate` gives effect and standard error for any labels. Over `repeats` shuffles, none of which can
    have an effect, the mean of (effect / error)^2 is 1; above the .001 quantile of chi-square / repeats the
    error is too small to be believed.
    """
    z2 = 0.0
    for _ in range(repeats):
        effect, error = estimate(rng.permutation(treated))
        z2 += (effect / error) ** 2 if error > 0 else 0.0
    limit = float(scipy.stats.chi2.isf(P_BLOCK, repeats)) / repeats
    return Check(
        check="shuffled label",
        value=z2 / repeats,
        limit=limit,
        passed=z2 / repeats <= limit,
        reason=(
            f"with shuffled labels the estimate still scatters {np.sqrt(z2 / repeats):.1f} x its standard "
            "error: the interval is too narrow"
        ),
    )


def standardised_differences(
    covariates: NDArray[np.float64], treated: Flags, weights: Float | None = None
) -> Float:
    """Difference in (weighted) means over the unweighted pooled standard deviation, shape (K,)."""
    w = np.ones(len(treated)) if weights is None else weights
    w1, w0 = w * treated, w * ~treated
    means = (w1 @ covariates) / w1.sum() - (w0 @ covariates) / w0.sum()
    spread = np.sqrt((covariates[treated].var(axis=0) + covariates[~treated].var(axis=0)) / 2)
    varies = spread > 1e-9 * np.maximum(np.abs(covariates).max(axis=0, initial=0.0), 1e-300)
    return np.asarray(np.divide(means, spread, out=np.zeros_like(means), where=varies))


def check_overlap(propensity: Float, *, low: bool, high: bool) -> Check:
    """Whether the groups overlap: at most 5 % of the units beyond .02 or .98, where that matters."""
    beyond = (low & (propensity < 0.02)) | (high & (propensity > 0.98))
    share = float(beyond.mean())
    return Check(
        check="overlap",
        value=share,
        limit=MAX_BEYOND,
        passed=share <= MAX_BEYOND,
        reason=f"no overlap: {share:.0%} of the customers were nearly certain to be treated, or not to be",
    )


def check_balance(
    covariates: NDArray[np.float64], treated: Flags, weights: Float, names: Sequence[str]
) -> Check:
    """Whether weighting made the covariates alike.

    The largest standardised difference may be .1, or what chance leaves between groups of their effective
    sizes (two standard errors), but never above .25: the estimators adjust for what is left once more.
    """
    after = np.abs(standardised_differences(covariates, treated, weights))
    worst = int(after.argmax()) if len(after) else 0
    value = float(after[worst]) if len(after) else 0.0
    chance = np.sqrt(sum(1.0 / max(_effective(weights[side]), 1.0) for side in (treated, ~treated)))
    limit = float(np.clip(2.0 * chance, MAX_IMBALANCE, NEVER_BALANCED))
    return Check(
        check="balance",
        value=value,
        limit=limit,
        passed=value <= limit,
        reason=f"{names[worst] if names else '-'} still differs by {value:.2f} sd after weighting",
    )


def _effective(weights: Float) -> float:
    """Size of a group after weighting: (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / max(weights @ weights, 1e-12))


def check_effective_size(weights: Float, treated: Flags) -> Check:
    """Whether each group still counts as 30 units after weighting."""
    smallest = min(_effective(weights[treated]), _effective(weights[~treated]))
    return Check(
        check="effective size",
        value=smallest,
        limit=MIN_EFFECTIVE,
        passed=smallest >= MIN_EFFECTIVE,
        reason=f"weighting leaves {smallest:.0f} effective customers in a group, {MIN_EFFECTIVE:.0f} needed",
    )


def check_placebo(effect: Effect) -> Check:
    """Whether the interval of the placebo covers zero; one in twenty right figures fails it by chance."""
    low, high = effect.placebo_low or 0.0, effect.placebo_high or 0.0
    estimate = effect.placebo_estimate or 0.0
    half = (high - low) / 2
    return Check(
        check="placebo outcome",
        value=abs(estimate) / half if half > 0 else 0.0,
        limit=1.0,
        passed=low <= 0 <= high,
        reason=f"the groups already differed before the start: {estimate:.3g} [{low:.3g}, {high:.3g}]",
    )


def check_omitted_variable(effect: Effect, bound: OmittedVariable) -> Check:
    """Whether the sign, where one is claimed, survives a hidden cause like the strongest covariate."""
    estimate = effect.estimate or 0.0
    share = bound.bias / abs(estimate) if estimate else 0.0
    return Check(
        check="omitted variable",
        value=share,
        limit=1.0,
        passed=not effect.claims_sign or share <= 1.0,
        reason=(
            f"a hidden cause as strong as {bound.covariate} could explain all of it "
            f"(bias up to {bound.bias:.3g})"
        ),
    )


def check_instrument(first_stage_f: float, *, bounded: bool, weak: str, unbounded: str) -> list[Check]:
    """Whether an instrument moves the treatment, and whether it bounds the effect.

    Parameters
    ----------
    first_stage_f
        Robust F of the first stage.
    bounded
        Whether the Anderson-Rubin interval has two ends.
    weak, unbounded
        What is said where it hardly moves the treatment, and where it does not bound the effect.
    """
    return [
        Check(
            check="instrument strength",
            value=first_stage_f,
            limit=WEAK_F,
            passed=first_stage_f >= WEAK_F,
            reason=f"{weak} (F = {first_stage_f:.1f}, {WEAK_F:.0f} needed)",
        ),
        Check(
            check="bounded interval",
            value=float(bounded),
            limit=1.0,
            passed=bounded,
            reason=f"{unbounded}: the Anderson-Rubin interval has no end",
        ),
    ]
