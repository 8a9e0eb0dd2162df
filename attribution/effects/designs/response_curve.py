"""Response curve: what an answer is worth by how long the customer waited for it.

Each bin of the wait is held against those never answered (or, where too few were not, against those answered
last), among cases that could have had either: AIPW with overlap weights, cross-fitted, covariates as they
were at the opening. The nearest monotone curve stands beside them. What those never answered would gain by a
bin (ATU) cannot be told: who writes at night is answered within minutes by nobody. So beside the bins any
answer, at whatever speed, is held against none, with all estimands of an adjusted comparison.

Intervals are simultaneous: all bins of an outcome at once lie within them in 95 of 100 samples. They are as
wide as the 95 % point of the largest of the bins' correlated deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from attribution.effects.data.cases import CASE_OUTCOMES, CaseUnits, build_case_units
from attribution.effects.data.tables import Setting
from attribution.effects.design import EffectDesign
from attribution.effects.designs.comparison import (
    MIN_GROUP,
    Comparison,
    effective_units,
    fit_placebo,
    love_frame,
    segment_effects,
    with_placebo,
    with_sensitivity,
)
from attribution.effects.designs.observational import (
    NAIVE_REASON,
    design_checks,
    estimate_adjusted,
    outcome_checks,
    shuffled_check,
)
from attribution.effects.effect import Effect, effect_of, with_interval, with_refusal
from attribution.effects.estimators.aipw import ESTIMANDS, Scores, estimate_ratio, influence_of_ratio
from attribution.effects.estimators.bins import ANY_BIN, Bins, monotone_rows, simultaneous_width
from attribution.effects.estimators.checks import Check, apply_checks, check_attrition
from attribution.effects.estimators.nuisance import LEARNERS, assign_folds, fit_nuisances, fit_propensity
from attribution.effects.estimators.regression import cluster_sums, mean_difference
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.arrays import Flags, Float, Integer

OVERLAP = next(e for e in ESTIMANDS if e.name == "ATO")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """What all bins of one outcome share."""

    design: EffectDesign
    cases: CaseUnits
    bins: Bins
    code: Integer
    reference: int
    folds: Integer
    refusal: str | None

    @property
    def is_against_none(self) -> bool:
        """Whether bins are held against cases that were never answered."""
        return self.reference == len(self.bins.labels) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """One bin against the reference: its figures, checks, and influence on all cases, shape (N,)."""

    level: int
    effect: Effect
    naive: Effect
    checks: tuple[Check, ...]
    influence: Float
    love: pl.DataFrame
    segments: tuple[Effect, ...]
    tests: tuple[dict[str, object], ...]


def estimate_response_curve(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effects of each bin of the wait on every outcome.

    Raises
    ------
    DataError
        When there are no cases of customers with answers, or none is followed to the end.
    """
    return curve_findings(design, build_case_units(design, setting), rng)


def curve_findings(design: EffectDesign, cases: CaseUnits, rng: np.random.Generator) -> Findings:
    """Effects of each bin of the wait of these cases."""
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: list[pl.DataFrame] = []
    love: list[pl.DataFrame] = []
    tests: list[dict[str, object]] = []
    for outcome in design.outcomes:
        curve = _curve_of(design, cases, outcome, rng)
        found, checked, points = _estimate_outcome(curve, outcome, rng)
        effects += found
        pairs += checked
        pictures.append(_picture(curve, outcome, found))
        love = love or [point.love for point in points]
        tests += [test for point in points for test in point.tests]
        if curve.is_against_none:
            whole = _any_answer(curve, outcome, rng)
            effects += whole.effects
            pairs += whole.checks
            tests += whole.pictures["tests"].to_dicts() if "tests" in whole.pictures else []
    shown = {
        "dose": pl.concat(pictures),
        "tests": pl.DataFrame(tests, schema=PICTURE_SCHEMAS["tests"]),
        **({"love": pl.concat(love)} if love else {}),
    }
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures=shown)


def _curve_of(design: EffectDesign, cases: CaseUnits, outcome: str, rng: np.random.Generator) -> _Curve:
    """The cases of an outcome in bins, and against which bin the others are held."""
    known = np.isfinite(cases.units.outcomes[outcome])
    lost = None
    if not known.all():
        code = Bins(edges=design.bins).of(cases.minutes)
        answered = np.isfinite(cases.minutes) if outcome in CASE_OUTCOMES else np.ones(len(code), dtype=bool)
        fast = code == int(np.bincount(code[known]).argmax()) if known.any() else answered
        lost = check_attrition(~known[answered], fast[answered], outcome)
        cases = cases.where(known)
    bins = Bins(edges=design.bins)
    code = bins.of(cases.minutes)
    sizes = np.bincount(code, minlength=len(bins.labels))
    never = len(bins.labels) - 1
    enough = np.flatnonzero(sizes[:-1] >= MIN_GROUP)
    slowest = int(enough[-1]) if len(enough) else never - 1
    refusal = None if lost is None or lost.passed else lost.reason
    if design.control == "unanswered" and sizes[never] < MIN_GROUP:
        refusal = f"no unanswered cases to compare with: {sizes[never]:,}, {MIN_GROUP} needed"
    use_never = design.control == "unanswered" or (design.control is None and sizes[never] >= MIN_GROUP)
    return _Curve(
        design=design,
        cases=cases,
        bins=bins,
        code=code,
        reference=never if use_never else slowest,
        folds=assign_folds(len(code), rng, cases.customers),
        refusal=refusal,
    )


def _estimate_outcome(
    curve: _Curve, outcome: str, rng: np.random.Generator
) -> tuple[list[Effect], list[tuple[Effect, Check]], list[_Point]]:
    """Rows of one outcome: for every bin the estimate, beside it the monotone curve and naive."""
    sizes = np.bincount(curve.code, minlength=len(curve.bins.labels))
    points: dict[int, _Point] = {}
    missing: dict[int, Effect] = {}
    for level, size in enumerate(sizes):
        if level == curve.reference:
            continue
        smallest = int(min(size, sizes[curve.reference]))
        if smallest < MIN_GROUP:
            where = "in this bin" if size == smallest else "to compare with"
            reason = f"no support: {smallest:,} cases {where}, {MIN_GROUP} needed"
            missing[level] = with_refusal(_bare(curve, outcome, level, "aipw", "ATO"), curve.refusal).refused(
                reason
            )
        else:
            points[level] = _point(curve, outcome, level, rng)
    found = list(points.values())
    covariance = _covariance(curve, found)
    width = simultaneous_width(covariance, rng)
    rows = {**missing, **{p.level: _wider(p.effect, width) for p in found}}
    pairs = [(rows[p.level], check) for p in found for check in p.checks]
    curve_rows = monotone_rows([rows[p.level] for p in found], covariance, rng)
    beside = {p.bin: [p] for p in curve_rows}
    for point in found:
        beside.setdefault(point.naive.bin, []).append(point.naive)
    effects = [row for level in sorted(rows) for row in (rows[level], *beside.get(rows[level].bin, ()))]
    return [*effects, *(row for point in found for row in point.segments)], pairs, found


def _point(curve: _Curve, outcome: str, level: int, rng: np.random.Generator) -> _Point:
    """One bin against the reference, among the cases of both."""
    both = (curve.code == level) | (curve.code == curve.reference)
    c = _comparison(curve, both, level)
    y = c.units.outcomes[outcome]
    nuisances = fit_nuisances(
        y, c.treated, c.units.covariates, c.folds, propensity=c.propensity, learners=c.learners
    )
    placebo = fit_placebo(c, outcome)
    scores = OVERLAP.scores(y, c.t, nuisances)
    estimate, error = estimate_ratio(scores, c.units.clusters)
    bare = _bare(curve, outcome, level, "aipw", OVERLAP.name)
    effect = with_placebo(with_interval(bare, estimate=estimate, std_error=error), placebo, OVERLAP)
    effect = with_sensitivity(replace(effect, effective_n=effective_units(scores.weights, c.treated)), c)
    checks = (
        *design_checks(c, OVERLAP, scores), shuffled_check(c, y, rng), *outcome_checks(c, effect)
    )  # fmt: skip
    by_segment, tests = segment_effects(c, effect, scores, checks)
    words = curve.bins.words[level]
    return _Point(
        level=level,
        effect=with_refusal(apply_checks(effect, checks), curve.refusal),
        naive=_naive(curve, outcome, level, y, c.treated),
        checks=checks,
        influence=_influence(scores, both),
        love=love_frame(c).with_columns(pl.lit(words).alias("treatment")),
        segments=tuple(
            replace(row, treatment=bare.treatment, control=bare.control, bin=bare.bin) for row in by_segment
        ),
        tests=tuple(test | {"hypothesis": f"{words}: {test['hypothesis']}"} for test in tests),
    )


def _comparison(curve: _Curve, both: Flags, level: int) -> Comparison:
    """The cases of a bin and of the reference as two groups."""
    units, treated = curve.cases.units.where(both), curve.code[both] == level
    learners = LEARNERS[:2]
    return Comparison(
        design=curve.design,
        units=units,
        treated=treated,
        folds=curve.folds[both],
        propensity=fit_propensity(treated, units.covariates, curve.folds[both], learners),
        learners=learners,
        refusal=curve.refusal,
    )


def _bare(curve: _Curve, outcome: str, level: int, estimator: str, estimand: str) -> Effect:
    """A bin's effect without its figures."""
    return effect_of(
        curve.design,
        outcome,
        estimator,
        estimand,
        treatment=curve.bins.words[level],
        control=curve.bins.words[curve.reference],
        bin=curve.bins.labels[level],
        n_treated=int((curve.code == level).sum()),
        n_control=int((curve.code == curve.reference).sum()),
    )


def _naive(curve: _Curve, outcome: str, level: int, y: Float, treated: Flags) -> Effect:
    """The unadjusted difference, for comparison only."""
    estimate, error = mean_difference(y, treated)
    effect = _bare(curve, outcome, level, "naive", "ATE")
    return with_interval(effect, estimate=estimate, std_error=error).refused(NAIVE_REASON)


def _influence(scores: Scores, both: Flags) -> Float:
    """What each case moves the bin's estimate by, 0 for cases of other bins, shape (N,)."""
    _, inside = influence_of_ratio(scores.numerator, scores.denominator)
    influence = np.zeros(len(both))
    influence[both] = inside / both.mean()
    return influence


def _covariance(curve: _Curve, points: Sequence[_Point]) -> Float:
    """Covariance of the bins' estimates, shape (B, B), by customers."""
    if not points:
        return np.empty((0, 0))
    sums = cluster_sums(np.column_stack([p.influence for p in points]), curve.cases.customers)
    groups = len(sums)
    return np.asarray(sums.T @ sums * groups / max(groups - 1, 1) / len(curve.code) ** 2)


def _wider(effect: Effect, width: float) -> Effect:
    """The effect with the simultaneous interval."""
    if effect.estimate is None or effect.std_error is None:
        return effect
    half = width * effect.std_error
    return replace(effect, low=effect.estimate - half, high=effect.estimate + half)


def _any_answer(curve: _Curve, outcome: str, rng: np.random.Generator) -> Findings:
    """All answered cases against those never answered, with the covariates and the follow-up of the bins."""
    design = replace(curve.design, outcomes=(outcome,))
    found = estimate_adjusted(
        curve.cases.units,
        design,
        treated=curve.code != curve.reference,
        rng=rng,
        refusal=curve.refusal,
        learners=LEARNERS[:2],
    )

    def named(effect: Effect) -> Effect:
        return replace(effect, treatment="any answer", control=curve.bins.words[-1], bin=ANY_BIN)

    tests = found.pictures.get("tests", pl.DataFrame())
    named_tests = [
        test | {"hypothesis": f"any answer: {test['hypothesis']}"} for test in tests.iter_rows(named=True)
    ]
    return Findings(
        effects=tuple(map(named, found.effects)),
        checks=tuple((named(effect), check) for effect, check in found.checks),
        pictures={"tests": pl.DataFrame(named_tests, schema=PICTURE_SCHEMAS["tests"])},
    )


def _picture(curve: _Curve, outcome: str, rows: Sequence[Effect]) -> pl.DataFrame:
    """Rows of the curve's chart, the fastest first."""
    shown = [r for r in rows if r.estimator == "aipw" and r.estimand == "ATO" and r.estimate is not None]
    records = [
        {
            "name": curve.design.name,
            "outcome": outcome,
            "dose": row.bin,
            "position": curve.bins.labels.index(row.bin or ""),
            "estimate": row.estimate,
            "low": row.low,
            "high": row.high,
            "n": row.n_treated,
            "supported": row.supported,
        }
        for row in shown
    ]
    return pl.DataFrame(records, schema=PICTURE_SCHEMAS["dose"])
