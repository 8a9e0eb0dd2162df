"""A table with one row per unit in which nobody assigned the treatment.

The estimators are those of any adjusted comparison (`effects.designs.observational`): AIPW for everybody,
where the groups overlap and for the treated, Lin's regression, the naive difference; and two-stage least
squares where the design names an instrument. Every row goes through the gates of overlap and balance.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.tables import Setting
from attribution.effects.data.unit_table import read_table
from attribution.effects.data.units import Units, before_columns, units_from_frame
from attribution.effects.design import EffectDesign
from attribution.effects.designs.observational import estimate_adjusted
from attribution.effects.effect import Effect, effect_of
from attribution.effects.estimators.checks import (
    Check,
    apply_checks,
    check_attrition,
    check_instrument,
    check_unit,
)
from attribution.effects.estimators.instrument import TwoStage, fit_two_stage
from attribution.effects.estimators.nuisance import LEARNERS
from attribution.effects.findings import Findings
from histories.arrays import Flags
from histories.errors import ConfigError, SchemaError, nearest

MEASURED_AFTER = re.compile(r"(?i)[_\W](?:after|afterwards|follow[_\W]?up|nachher|danach)$")
"""Names of what came after the start."""


def estimate_unassigned(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effects from a table of units that nobody assigned.

    Raises
    ------
    ConfigError, SchemaError, DataError
        When the table lacks a column, a unit has several rows, or there is nothing to adjust for.
    """
    frame = read_table(design, setting.base_dir)
    units, treated, lost = two_groups(frame, design)
    learners = setting.learners or LEARNERS
    refusal = None if lost.passed else lost.reason
    found = estimate_adjusted(units, design, treated=treated, rng=rng, refusal=refusal, learners=learners)
    if design.instrument is None:
        return found
    pairs = [
        pair
        for outcome in design.outcomes
        for pair in _by_instrument(design, units, treated, frame, outcome, refusal)
    ]
    effects = dict.fromkeys(effect for effect, _ in pairs)
    return replace(found, effects=(*found.effects, *effects), checks=(*found.checks, *pairs))


def two_groups(frame: pl.DataFrame, design: EffectDesign) -> tuple[Units, Flags, Check]:
    """Units with every outcome observed, who of them is treated, and a check that failed, if one did.

    They are units of their own, and their outcomes went missing evenly.
    The same metric before the start is a covariate of the estimate and the outcome of the placebo, whose
    covariates leave it out.
    """
    before = before_columns(frame.columns, design)
    wanted = tuple(dict.fromkeys((*design.covariates, *before.values())))
    if not wanted:
        raise ConfigError(
            f'effect "{design.name}": nobody assigned the treatment, and there is nothing to adjust for. '
            "Name in covariates what moved units into it and was known before."
        )
    late = [name for name in wanted if MEASURED_AFTER.search(name)]
    if late:
        raise ConfigError(
            f'effect "{design.name}": by its name {late[0]} was measured after the start, and what the '
            "treatment itself moved takes its effect away. Leave it out of covariates; rename it where it "
            "was known before."
        )
    units = units_from_frame(frame, replace(design, covariates=wanted))
    held_out = [
        not any(name == theirs or name.startswith(f"{theirs}=") for theirs in before.values())
        for name in units.covariate_names
    ]
    units = replace(units, placebos=units.before, placebo_covariates=units.covariates[:, held_out])
    if design.treatment.arms:
        units = units.where(np.isin(units.arm, [*design.treatment.arms, str(design.treatment.control)]))
    treated = units.arm != design.treatment.control
    missing = np.any([np.isnan(units.outcomes[name]) for name in design.outcomes], axis=0)
    checks = (
        check_unit(units.assigned_by),
        check_attrition(missing, treated, " or ".join(design.outcomes)),
    )
    first = next((check for check in checks if not check.passed), checks[-1])
    return units.where(~missing), treated[~missing], first


def _by_instrument(
    design: EffectDesign,
    units: Units,
    treated: Flags,
    frame: pl.DataFrame,
    outcome: str,
    refusal: str | None,
) -> list[tuple[Effect, Check]]:
    """The two-stage estimate of one outcome, with its checks."""
    instrument = _instrument(design, frame, len(units))
    t, x = treated.astype(float), units.covariates
    fit = fit_two_stage(units.outcomes[outcome], t, instrument, x)
    effect = effect_of(
        design,
        outcome,
        "two_stage",
        "LATE",
        treated,
        estimate=fit.estimate if np.isfinite(fit.estimate) else None,
        std_error=fit.std_error if np.isfinite(fit.std_error) else None,
        low=fit.low if np.isfinite(fit.low) else None,
        high=fit.high if np.isfinite(fit.high) else None,
        effective_n=float(len(units)),
    )
    checks = _instrument_checks(design.instrument or "", fit, units, instrument, outcome)
    told = apply_checks(effect, checks)
    told = told if refusal is None else told.refused(refusal)
    return [(told, check) for check in checks]


def _instrument(design: EffectDesign, frame: pl.DataFrame, n: int) -> NDArray[np.float64]:
    """The instrument's values, shape (N,)."""
    name = design.instrument or ""
    if name not in frame.columns:
        raise SchemaError(f'effect "{design.name}": no column "{name}"; {nearest(name, frame.columns)}')
    series = frame[name]
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean) or series.null_count():
        raise SchemaError(
            f'effect "{design.name}": the instrument "{name}" is {series.dtype} with {series.null_count()} '
            "missing values; expected a complete number or flag."
        )
    if len(series) != n:
        raise SchemaError(
            f'effect "{design.name}": {len(series) - n} of {len(series)} rows lack an arm or an outcome; an '
            "instrument needs complete rows."
        )
    return np.asarray(series.cast(pl.Float64).to_numpy(), dtype=np.float64)


def _instrument_checks(
    name: str, fit: TwoStage, units: Units, instrument: NDArray[np.float64], outcome: str
) -> list[Check]:
    """Strength, a bounded interval, and nothing moved before the start."""
    bounded = bool(np.isfinite(fit.low) and np.isfinite(fit.high))
    checks = check_instrument(
        fit.first_stage_f,
        bounded=bounded,
        weak=f"{name} hardly moves the treatment",
        unbounded=f"{name} is too weak to bound the effect",
    )
    values = units.placebos.get(outcome)
    if values is not None and units.placebo_covariates is not None:
        placebo = fit_two_stage(values, instrument, instrument, units.placebo_covariates)
        z = abs(placebo.reduced_form / placebo.reduced_form_error) if placebo.reduced_form_error else 0.0
        checks.append(
            Check(
                check="placebo outcome",
                value=z,
                limit=1.96,
                passed=not z > 1.96,
                reason=f"{name} already moved {outcome} before the start (z = {z:.1f})",
            )
        )
    return checks
