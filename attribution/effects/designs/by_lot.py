"""By lot: what an answer in time did, where chance decided whose case went first.

The difference of the arms says what going first brings. An answer in time is another thing: some of those
drawn wait all the same, and some of the others are answered at once, whoever an agent finds urgent. But the
arm moves the answer for no reason of the customer's, so it is the instrument of two-stage least squares
(Imbens & Angrist 1994): the mean effect on those whom the lot moved, taken that going first does nothing but
to make an answer come in time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from attribution.effects.data.cases import all_cases, on_channels
from attribution.effects.data.history import History
from attribution.effects.data.tables import EffectTables
from attribution.effects.data.units import Units
from attribution.effects.design import EffectDesign
from attribution.effects.designs.moved import finite
from attribution.effects.effect import Effect, effect_of, with_refusal
from attribution.effects.estimators.checks import Check, apply_checks, check_attrition, check_instrument
from attribution.effects.estimators.instrument import fit_two_stage
from attribution.effects.findings import Findings
from histories.arrays import Float, Integer

BY_LOT = "two_stage"
READ_EARLY = "an answer's effect has an interval for the end alone, and this experiment is read while it runs"


def asks_for_answers(design: EffectDesign) -> bool:
    """Whether an experiment is to tell what an answer does, beside what its arms do."""
    by_limit = design.treatment.first_response_minutes is not None
    return (
        design.design == "randomised"
        and design.table is None
        and (by_limit or design.control == "unanswered")
    )


def with_answers(found: Findings, design: EffectDesign, units: Units, answered: Float) -> Findings:
    """The findings of an experiment, with the effect of an answer before that of the arms, per outcome.

    Parameters
    ----------
    found
        What the arms did; where that is refused, so is this.
    design, units
        The experiment, and the units of all arms.
    answered : shape (N,)
        1 where the first case was answered (in time), 0 where not, NaN where nobody knows.
    """
    arms = {str(design.treatment.control), *(design.treatment.arms or np.unique(units.arm).tolist())}
    kept = np.isin(units.arm, sorted(arms))
    units, answered = units.where(kept), answered[kept]
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    for outcome in design.outcomes:
        of_arms = [effect for effect in found.effects if effect.outcome == outcome]
        effect, checks = _estimate(design, units, answered, outcome)
        effect = apply_checks(effect, checks)
        if of_arms and not of_arms[0].supported:
            effect = with_refusal(effect, of_arms[0].reason)
        if design.sequential is not None:
            effect = effect.refused(READ_EARLY)
        effects += [effect, *of_arms]
        pairs += [(effect, check) for check in checks]
    return replace(found, effects=tuple(effects), checks=(*pairs, *found.checks))


def answered_in_time(
    design: EffectDesign, tables: EffectTables, history: History, customers: Integer, day: Integer
) -> Float:
    """Whether the first case of each customer from a day on was answered (in time), shape (N,).

    0 without a case within the follow-up; NaN where it was answered at a time that nobody knows.
    """
    opened = on_channels(design, tables, all_cases(design, tables))
    since = pl.DataFrame({"customer": customers, "since": day})
    first = (
        history.number(opened.filter(pl.col("customer_id").is_not_null()))
        .join(since, on="customer")
        .filter(pl.col("day").is_between(pl.col("since"), pl.col("since") + design.follow_up_days - 1))
        .sort("started")
        .unique("customer", keep="first", maintain_order=True)
    )
    limit = design.treatment.first_response_minutes
    in_time = pl.col("is_answered") if limit is None else (pl.col("minutes") <= limit)
    told = in_time.cast(pl.Float64)
    if limit is not None:
        told = pl.when(~pl.col("is_answered")).then(0.0).otherwise(told.fill_null(float("nan")))
    found = np.zeros(len(history))
    found[first["customer"].to_numpy()] = first.select(told).to_series().to_numpy()
    return found[customers]


def _estimate(
    design: EffectDesign, units: Units, answered: Float, outcome: str
) -> tuple[Effect, list[Check]]:
    """Two stages by the arm on one outcome, given what the randomised estimators are given."""
    y, z = units.outcomes[outcome], (units.arm != design.treatment.control).astype(float)
    known = np.isfinite(y) & np.isfinite(answered)
    lost = check_attrition(~known, z == 1.0, outcome)
    t = answered[known]
    before = units.before.get(outcome)
    x = units.covariates if before is None else np.column_stack([units.covariates, before])
    fit = fit_two_stage(y[known], t, z[known], x[known])
    effect = effect_of(
        design, outcome, BY_LOT, "LATE", t == 1.0,
        control=design.answers_against, effective_n=float(known.sum()),
    )  # fmt: skip
    effect = replace(
        effect,
        estimate=finite(fit.estimate),
        std_error=finite(fit.std_error),
        low=finite(fit.low),
        high=finite(fit.high),
        first_stage_f=finite(fit.first_stage_f),
    )
    strength = check_instrument(
        fit.first_stage_f,
        bounded=effect.low is not None and effect.high is not None,
        weak="the lot hardly moved who was answered in time",
        unbounded="the lot moved too few answers to bound the effect",
    )
    return effect, [lost, *strength]
