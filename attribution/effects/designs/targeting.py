"""Whom to treat: effects by individual, a rule that follows from them, and what the rule is worth.

Each unit has a doubly robust score psi whose mean is the effect. Individual effects tau(x) are a
cross-fitted regression of psi on the covariates (the DR-learner of Kennedy 2023), so a unit's own outcome
never enters its own prediction. The rule treats where tau(x) exceeds the cost of treating. Because the rule
is cross-fitted its value is a plain mean of scores, with a plain standard error (Athey & Wager 2021):

    recommended - observed   mean of psi0 + rule (psi - cost) - (Y - cost T)
    recommended - everybody  mean of (rule - 1)(psi - cost)
    recommended - nobody     mean of rule (psi - cost)

The Qini curve is the summed score of the units with the highest tau, against the line of a random order; its
coefficient is the mean distance. Effects by individual are believed when psi rises with tau (the best linear
predictor of Chernozhukov et al. 2018): slope 1 is calibrated, slope 0 says that nobody can be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.tables import Setting
from attribution.effects.data.unit_table import read_table
from attribution.effects.data.units import Units
from attribution.effects.design import EffectDesign
from attribution.effects.designs.unassigned import two_groups
from attribution.effects.effect import Effect, effect_of, with_interval
from attribution.effects.estimators.checks import (
    Check,
    apply_checks,
    check_effective_size,
    check_events,
    check_overlap,
)
from attribution.effects.estimators.nuisance import (
    LEARNERS,
    Learner,
    assign_folds,
    cross_predict,
    fit_nuisances,
    fit_propensity,
)
from attribution.effects.estimators.regression import fit_ols, mean_error
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.arrays import Flags, Float

#: One-sided 5 % point of the normal: how clearly scores have to rise with predicted effects.
CLEARLY = 1.645
#: Points of the Qini curve.
POINTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """One outcome of N units: scores, predicted effects and the rule, each of shape (N,)."""

    outcome: Float
    treated: Flags
    control_score: Float
    psi: Float
    tau: Float
    rule: Flags
    cost: float


def estimate_targeting(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """What a rule by individual effects is worth, for every outcome.

    Raises
    ------
    ConfigError, SchemaError, DataError
        When the table lacks a column, a unit has several rows, or there are no covariates.
    """
    units, treated, lost = two_groups(read_table(design, setting.base_dir), design)
    learners = setting.learners or LEARNERS
    folds = assign_folds(len(units), rng, units.clusters)
    if design.assigned:
        share = float(treated.mean())
        propensity = np.full(len(units), share), "assigned"
    else:
        propensity = fit_propensity(treated, units.covariates, folds, learners)
    weights = treated / propensity[0] + ~treated / (1.0 - propensity[0])
    by_design = [lost, check_effective_size(weights, treated)]
    if not design.assigned:
        by_design.append(check_overlap(propensity[0], low=True, high=True))
    pairs: list[tuple[Effect, Check]] = []
    curves, targets = [], []
    for outcome in design.outcomes:
        checks = [*by_design, check_events(units.outcomes[outcome], treated)]
        if checks[-1].blocking and not checks[-1].passed:
            empty = apply_checks(
                effect_of(design, outcome, "policy", "recommended - observed", treated), checks
            )
            pairs += [(empty, check) for check in checks]
            continue
        scored = _score(design, setting, units, treated, outcome, folds, propensity, learners)
        calibration = _check_calibration(scored)
        for effect in _effects(design, scored, outcome, units):
            told = apply_checks(effect, [*checks, calibration])
            pairs += [(told, check) for check in (*checks, calibration)]
        curves.append(_qini_curve(design, scored, outcome))
        targets.append(_targets(design, scored, outcome))
    pictures = {
        "qini": pl.concat(curves) if curves else pl.DataFrame(schema=PICTURE_SCHEMAS["qini"]),
        "targets": pl.concat(targets) if targets else pl.DataFrame(schema=PICTURE_SCHEMAS["targets"]),
    }
    return Findings(
        effects=tuple(dict.fromkeys(effect for effect, _ in pairs)), checks=tuple(pairs), pictures=pictures
    )


def _score(
    design: EffectDesign,
    setting: Setting,
    units: Units,
    treated: Flags,
    outcome: str,
    folds: NDArray[np.int64],
    propensity: tuple[Float, str],
    learners: tuple[Learner, ...],
) -> _Scored:
    """Scores, cross-fitted individual effects, and the rule."""
    y, t, e = units.outcomes[outcome], treated.astype(float), propensity[0]
    n = fit_nuisances(y, treated, units.covariates, folds, propensity=propensity, learners=learners)
    control = n.mean_control + (1.0 - t) * (y - n.mean_control) / (1.0 - e)
    psi = n.mean_treated + t * (y - n.mean_treated) / e - control
    everybody = np.ones(len(units), dtype=bool)
    tau, _ = cross_predict(psi, everybody, units.covariates, folds, learners, binary=False)
    cost = (design.cost_per_treated or 0.0) / (setting.gross_margin or 1.0)
    return _Scored(
        outcome=y, treated=treated, control_score=control, psi=psi, tau=tau, rule=tau > cost, cost=cost
    )


def _effects(design: EffectDesign, s: _Scored, outcome: str, units: Units) -> Iterator[Effect]:
    """Value of the rule against what was done, everybody and nobody, and the Qini coefficient."""
    rule, net = s.rule.astype(float), s.psi - s.cost
    observed = s.outcome - s.cost * s.treated
    rank = np.empty(len(s.tau))
    rank[np.argsort(-s.tau, kind="stable")] = np.arange(len(s.tau))
    lift = 0.5 - (rank + 0.5) / len(s.tau)
    figures = (
        ("policy", "recommended - observed", s.control_score + rule * net - observed),
        ("policy", "recommended - everybody", (rule - 1.0) * net),
        ("policy", "recommended - nobody", rule * net),
        ("qini", "above random order", s.psi * lift),
    )
    for estimator, estimand, each in figures:
        effect = effect_of(design, outcome, estimator, estimand, s.treated)
        effect = replace(effect, effective_n=float(len(s.tau)))
        yield with_interval(effect, estimate=float(each.mean()), std_error=mean_error(each, units.clusters))


def _check_calibration(s: _Scored) -> Check:
    """Whether the scores rise with the predicted effects: slope of psi on tau, clearly above 0."""
    spread = float(np.ptp(s.tau))
    slope, z = 0.0, 0.0
    if spread > 0.0:
        fit = fit_ols(np.column_stack([np.ones(len(s.tau)), s.tau - s.tau.mean()]), s.psi)
        slope, error = float(fit.coefficients[1]), float(fit.std_errors[1])
        z = slope / error if error > 0.0 else 0.0
    return Check(
        check="calibration of individual effects",
        value=z,
        limit=CLEARLY,
        passed=z >= CLEARLY,
        reason=(
            f"effects of individuals cannot be told apart (slope {slope:.2f} where 1 is calibrated, "
            f"z = {z:.1f}): treat everybody or nobody"
        ),
    )


def _qini_curve(design: EffectDesign, s: _Scored, outcome: str) -> pl.DataFrame:
    """Gain per unit from treating the most promising share, against a random order, with 95 % limits."""
    n = len(s.tau)
    order = np.argsort(-s.tau, kind="stable")
    psi = s.psi[order]
    taken = np.unique(np.linspace(0, n, POINTS + 1).round().astype(int))
    gain = np.concatenate([[0.0], np.cumsum(psi)])[taken] / n
    square = np.concatenate([[0.0], np.cumsum(psi**2)])[taken] / n
    half = 1.96 * np.sqrt(np.maximum(square - gain**2, 0.0) / n)
    return pl.DataFrame(
        {
            "name": [design.name] * taken.size,
            "outcome": [outcome] * taken.size,
            "share": taken / n,
            "gain": gain,
            "low": gain - half,
            "high": gain + half,
            "random": taken / n * float(psi.mean()),
        },
        schema=PICTURE_SCHEMAS["qini"],
    )


def _targets(design: EffectDesign, s: _Scored, outcome: str) -> pl.DataFrame:
    """Predicted effect of each complete row of the table, and whether to treat it."""
    n = len(s.tau)
    return pl.DataFrame(
        {
            "name": [design.name] * n,
            "outcome": [outcome] * n,
            "row": np.arange(1, n + 1),
            "effect": s.tau,
            "treat": s.rule,
        },
        schema=PICTURE_SCHEMAS["targets"],
    )
