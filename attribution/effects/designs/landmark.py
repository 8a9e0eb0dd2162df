"""Landmark designs: the treated from their index date, against customers at risk on the same day.

Treatment is settled by the landmark; outcomes count from there. "Ever contacted" has no such date: to be
contacted a customer has to stay, so the contacted live through immortal time, and with no effect at all
their hazard of leaving comes out as .34 of the others' (Suissa 2008; van Houwelingen 2007 for landmarks).
"""

from __future__ import annotations

import numpy as np

from attribution.effects.data.covariates import (
    covariate_matrix,
    known_before,
    placebo_outcomes,
    told_at_opening,
)
from attribution.effects.data.history import History, build_history
from attribution.effects.data.index_dates import IndexDates, find_index_dates
from attribution.effects.data.outcomes import measure
from attribution.effects.data.tables import EffectTables, Setting
from attribution.effects.data.units import Units, columns_of_segments, label_segments
from attribution.effects.design import EffectDesign
from attribution.effects.designs.observational import estimate_adjusted
from attribution.effects.findings import Findings

EVER_CONTACTED = (
    '"ever contacted" is no treatment: customers have to stay long enough to be contacted, so that with no '
    'effect at all the contacted seem to leave at a third of the rate; use design = "landmark" with a control'
)


def estimate_landmark(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effects of a landmark design on every outcome.

    Raises
    ------
    DataError
        When the tables that the design needs are missing or hold nobody to compare.
    """
    history = build_history(setting.tables, observation_end=setting.observation_end)
    index = find_index_dates(design, history, setting.tables, rng)
    units = build_landmark_units(design, history, index, setting.tables)
    return estimate_adjusted(units, design, treated=index.treated, rng=rng, refusal=index.refusal)


def build_landmark_units(
    design: EffectDesign, history: History, index: IndexDates, tables: EffectTables
) -> Units:
    """One unit per index date: covariates known by the opening of its case, outcomes after the landmark."""
    customers, day = index.customers, index.day
    first = day + design.landmark_days + 1
    last = day + design.landmark_days + design.follow_up_days
    where = (history, tables, customers, day, index.opening)
    covariates, names = covariate_matrix(design.covariates, *where)
    held_out, _ = covariate_matrix(design.covariates, *where, hold_out=True)
    if index.opening is not None:
        told, told_names = told_at_opening(index.opening, design.covariates)
        covariates, names = np.column_stack([covariates, told]), (*names, *told_names)
        held_out = np.column_stack([held_out, told])
    labels = known_before(columns_of_segments(design.segments), *where)
    return Units(
        arm=np.where(index.treated, design.treatment_label, design.control_label).astype(np.str_),
        outcomes={name: measure(name, history, customers, first, last) for name in design.outcomes},
        covariates=covariates,
        covariate_names=names,
        placebos=placebo_outcomes(design.outcomes, history, customers, day),
        placebo_covariates=held_out,
        segments=label_segments(labels, design.segments),
        clusters=customers,
        costs=index.cost,
    )
