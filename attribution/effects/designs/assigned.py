"""Experiments on customers: arms from `assignments`, outcomes from the histories."""

from __future__ import annotations

import numpy as np
import polars as pl

from attribution.effects.data.covariates import known_before
from attribution.effects.data.history import History, build_history
from attribution.effects.data.outcomes import measure, measure_before
from attribution.effects.data.tables import Setting
from attribution.effects.data.units import (
    Units,
    assigned_by,
    columns_of_segments,
    encode_covariates,
    label_segments,
    refuse_odd_arms,
)
from attribution.effects.design import EffectDesign
from attribution.effects.designs.by_lot import answered_in_time, asks_for_answers, with_answers
from attribution.effects.designs.randomised import estimate_randomised
from attribution.effects.estimators.checks import Check, apply_checks
from attribution.effects.findings import Findings
from histories.errors import DataError, nearest

MAX_CROSSED = 0.01
"""Largest share of customers in more than one arm."""
MIN_BEFORE_DAYS = 28
"""Shortest window for the same metric before the start."""


def estimate_assigned(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effects of an experiment whose arms stand in `assignments`.

    Outcomes count from the day of the assignment for `follow_up_days`; customers assigned too late for that
    are left out, in every arm alike. Who never bought counts as zero. The same metric before is taken over as
    many days, or over those since the first purchase of anybody when there are fewer.

    Where the design asks for answers (within `first_response_minutes`, or against `unanswered`), what those
    did by lot stands before what the arms did.

    Raises
    ------
    DataError
        When there are no assignments, or none of this experiment.
    """
    if setting.tables.assignments is None:
        raise DataError(f'effect "{design.name}": needs inputs.assignments or a table = {{ path = … }}')
    history = build_history(setting.tables, observation_end=setting.observation_end)
    rows, crossed = _assigned(design, setting, history)
    units = _units(design, setting, history, rows)
    found = estimate_randomised(units, design, rng=rng)
    if asks_for_answers(design):
        who = rows["customer"].to_numpy(), rows["day"].to_numpy()
        answered = answered_in_time(design, setting.tables, history, *who)
        found = with_answers(found, design, units, answered)
    effects = tuple(apply_checks(effect, [crossed]) for effect in found.effects)
    return Findings(
        effects=effects,
        checks=(*found.checks, *((effect, crossed) for effect in effects)),
        pictures=found.pictures,
    )


def _assigned(design: EffectDesign, setting: Setting, history: History) -> tuple[pl.DataFrame, Check]:
    """Customer, arm and day of everybody in one arm with a whole follow-up; the check of crossings."""
    assert setting.tables.assignments is not None
    every = setting.tables.assignments.collect()
    experiment = design.treatment.experiment or design.name
    names = every["experiment"].unique().to_list()
    if experiment not in names:
        raise DataError(f'effect "{design.name}": no experiment "{experiment}"; {nearest(experiment, names)}')
    wanted = [design.treatment.control, *(design.treatment.arms or ())]
    rows = every.filter(pl.col("experiment") == experiment)
    arms = rows["arm"].unique().sort().to_list()
    if missing := [arm for arm in wanted if arm is not None and arm not in arms]:
        raise DataError(
            f'effect "{design.name}": no customer in arm "{missing[0]}"; {nearest(missing[0], arms)}'
        )
    refuse_odd_arms(arms, design)
    per_customer = (
        history.number(rows)
        .group_by("customer")
        .agg(
            pl.col("arm").first(),
            pl.col("arm").n_unique().alias("arms"),
            pl.col("assigned_at").dt.date().min().cast(pl.Int32).cast(pl.Int64).alias("day"),
        )
    )
    share = float((per_customer["arms"].to_numpy() > 1).mean())
    crossed = Check(
        check="crossed arms",
        value=share,
        limit=MAX_CROSSED,
        passed=share <= MAX_CROSSED,
        reason=f"{share:.1%} of the customers were in more than one arm",
    )
    kept = per_customer.filter(
        (pl.col("arms") == 1) & (pl.col("day") + design.follow_up_days - 1 <= history.end)
    )
    if kept.is_empty():
        raise DataError(
            f'effect "{design.name}": nobody was assigned {design.follow_up_days} days before the '
            "observation ends; choose a shorter follow_up_days"
        )
    return kept.sort("customer"), crossed


def _units(design: EffectDesign, setting: Setting, history: History, rows: pl.DataFrame) -> Units:
    """One unit per assigned customer."""
    customers, day = rows["customer"].to_numpy(), rows["day"].to_numpy()
    span = design.follow_up_days
    known = known_before(design.covariates, history, setting.tables, customers, day)
    covariates, names = (
        encode_covariates(known, design.covariates) if design.covariates else (np.empty((len(day), 0)), ())
    )
    labels = known_before(columns_of_segments(design.segments), history, setting.tables, customers, day)
    earlier = min(span, int(day.min()) - history.start)
    before = {
        name: measure_before(name, history, customers, day - earlier, day - 1)
        for name in (design.outcomes if earlier >= MIN_BEFORE_DAYS else ())
    }
    arm = rows["arm"].to_numpy().astype(np.str_)
    return Units(
        arm=arm,
        outcomes={name: measure(name, history, customers, day, day + span - 1) for name in design.outcomes},
        covariates=covariates,
        covariate_names=names,
        before={name: values for name, values in before.items() if np.ptp(values) > 0},
        segments=label_segments(labels, design.segments),
        assigned_by=assigned_by(history.customers[customers].with_columns(rows["day"]), arm),
    )
