"""Checks that an estimate has to pass before anybody may quote it.

A check is a number beside its limit. A failed one makes the effect unsupported, with the reason in words; a
`blocking` one takes the figure away as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from attribution.effects.effect import Effect
from attribution.effects.regression import fit_ols

__all__ = [
    "CHECKS_SCHEMA",
    "Check",
    "apply_checks",
    "check_attrition",
    "check_events",
    "check_sample_ratio",
    "check_shuffled",
    "checks_frame",
    "standardised_differences",
]

Vector = NDArray[np.float64]
Flags = NDArray[np.bool_]

P_BLOCK = 0.001
"""A randomised experiment is called broken below this p-value: it is checked often and rarely broken."""
MIN_EVENTS = 10
"""Fewest events, and fewest units without, in each group for a normal interval of a share."""
MIN_UNITS = 20
"""Fewest units in a group for any estimate."""
MAX_IMBALANCE = 0.1
"""Largest standardised difference of a covariate after adjustment."""

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
    """Whether the arms have the sizes that were planned: chi-square test, p below .001 blocks the reading."""
    planned = dict.fromkeys(counts, 1.0) if shares is None else shares
    total, weight = sum(counts.values()), sum(planned.get(arm, 0.0) for arm in counts)
    expected = np.array([total * planned.get(arm, 0.0) / weight for arm in counts])
    observed = np.array(list(counts.values()))
    p_value = float(stats.chisquare(observed, expected).pvalue) if (expected > 0).all() else 0.0
    found = ", ".join(f"{arm} {n:,}" for arm, n in counts.items())
    wanted = ", ".join(f"{n:,.0f}" for n in expected)
    return Check(
        check="sample ratio",
        value=p_value,
        limit=P_BLOCK,
        passed=p_value >= P_BLOCK,
        reason=(
            f"sample ratio mismatch (p = {p_value:.1g}): {found} where {wanted} were planned, so units were "
            "lost or misassigned; set treatment.shares if the plan was unequal"
        ),
        blocking=True,
    )


def check_attrition(missing: Flags, treated: Flags, outcome: str) -> Check:
    """Whether the outcome is missing equally often in both groups (Fisher's exact test, p below .001)."""
    table = [[int((missing & side).sum()), int((~missing & side).sum())] for side in (treated, ~treated)]
    p_value = float(stats.fisher_exact(table).pvalue) if missing.any() else 1.0
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


def check_events(outcome: Vector, treated: Flags) -> Check:
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
    design = np.column_stack([np.ones(len(treated)), covariates])
    fit = fit_ols(design, treated.astype(float))
    slopes, block = fit.coefficients[1:], fit.covariance[1:, 1:]
    rank = int(np.linalg.matrix_rank(block, hermitian=True)) if len(slopes) else 0
    wald = float(slopes @ np.linalg.pinv(block, hermitian=True) @ slopes) if rank else 0.0
    p_value = float(stats.chi2.sf(wald, rank)) if rank else 1.0
    return Check(
        check="balance",
        value=p_value,
        limit=P_BLOCK,
        passed=p_value >= P_BLOCK,
        reason=f"covariates predict the arm (p = {p_value:.1g}): it was not assigned at random",
    )


def check_shuffled(
    outcome: Vector,
    treated: Flags,
    std_error: float,
    rng: np.random.Generator,
    *,
    repeats: int = 100,
) -> Check:
    """Whether shuffled labels scatter as the standard error says.

    The labels are dealt again `repeats` times; the scatter of the differences in means that come out, none of
    which can be an effect, is held against the error of the difference in means.
    """
    scatter = _shuffled_scatter(outcome, treated, rng, repeats)
    ratio = scatter / std_error if std_error > 0 else float("inf")
    return Check(
        check="shuffled label",
        value=float(ratio),
        limit=1.5,
        passed=1 / 1.5 <= ratio <= 1.5,
        reason=f"shuffled labels scatter {ratio:.1f} x the standard error: the interval is wrong",
    )


def _shuffled_scatter(outcome: Vector, treated: Flags, rng: np.random.Generator, repeats: int) -> float:
    """Standard deviation of the difference in means under `repeats` shuffles of the labels."""
    n1 = int(treated.sum())
    total, n = outcome.sum(), len(outcome)
    draws = np.empty(repeats)
    for i in range(repeats):
        s1 = outcome[rng.permutation(n)[:n1]].sum()
        draws[i] = s1 / n1 - (total - s1) / (n - n1)
    return float(draws.std(ddof=1))


def standardised_differences(
    covariates: NDArray[np.float64], treated: Flags, weights: Vector | None = None
) -> Vector:
    """Difference in (weighted) means over the unweighted pooled standard deviation, shape (K,)."""
    w = np.ones(len(treated)) if weights is None else weights
    w1, w0 = w * treated, w * ~treated
    means = (w1 @ covariates) / w1.sum() - (w0 @ covariates) / w0.sum()
    spread = np.sqrt((covariates[treated].var(axis=0) + covariates[~treated].var(axis=0)) / 2)
    return np.asarray(np.divide(means, spread, out=np.zeros_like(means), where=spread > 0))
