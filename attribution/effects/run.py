"""estimate_effects: every configured design, each with its own seed, each listed whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from polars.exceptions import PanicException

from attribution.effects.data.tables import EffectTables, Setting
from attribution.effects.data.units import group_outcomes, read_units, units_left_out
from attribution.effects.design import EffectDesign
from attribution.effects.designs.agents import estimate_agent
from attribution.effects.designs.assigned import estimate_assigned
from attribution.effects.designs.before_after import estimate_before_after
from attribution.effects.designs.dose import estimate_dose
from attribution.effects.designs.incident import estimate_incident
from attribution.effects.designs.interrupted import estimate_interrupted
from attribution.effects.designs.landmark import EVER_CONTACTED, estimate_landmark
from attribution.effects.designs.queue import estimate_queue
from attribution.effects.designs.randomised import estimate_randomised
from attribution.effects.designs.response_curve import estimate_response_curve
from attribution.effects.designs.synthetic_control import estimate_synthetic_control
from attribution.effects.designs.targeting import estimate_targeting
from attribution.effects.designs.time_varying import estimate_time_varying
from attribution.effects.designs.tracked import estimate_tracked
from attribution.effects.designs.unassigned import estimate_unassigned
from attribution.effects.effect import effect_of
from attribution.effects.estimators.nuisance import Learner
from attribution.effects.estimators.segments import segment_margins
from attribution.effects.findings import EffectsResult, Findings, collect_findings, join_findings
from attribution.effects.held import hold_together
from histories.errors import TributaryError, reason_of


def estimate_effects(
    designs: Sequence[EffectDesign],
    *,
    tables: EffectTables | None = None,
    base_dir: Path = Path(),
    observation_end: date | None = None,
    gross_margin: float | None = None,
    seed: int = 0,
    learners: Sequence[Learner] | None = None,
) -> EffectsResult:
    """All effects of all designs, in their order.

    A design that cannot be estimated is listed too: without a figure, `supported` false, and the reason in
    words. Designs do not share randomness: adding one changes no other. `learners` of one's own
    (`attribution.effects.estimators.nuisance.own_learner`) take the place of ours in designs on a table.
    """
    setting = Setting(
        tables=tables or EffectTables(),
        base_dir=base_dir,
        observation_end=observation_end,
        gross_margin=gross_margin,
        learners=tuple(learners) if learners else None,
    )
    found = [_find(design, setting, seed) for design in designs]
    notes: list[str] = []
    for design in designs:
        if design.table is not None:
            with suppress(TributaryError):  # the design's own row says what is wrong with its table
                notes += units_left_out(design, base_dir)
    result = collect_findings(hold_together(designs, found))
    return replace(result, notes=(*result.notes, *notes))


def estimate_effect(
    design: EffectDesign,
    *,
    tables: EffectTables | None = None,
    base_dir: Path = Path(),
    observation_end: date | None = None,
    gross_margin: float | None = None,
    seed: int = 0,
    learners: Sequence[Learner] | None = None,
) -> EffectsResult:
    """The effects of one design; like `estimate_effects`, but an error is raised, not listed."""
    setting = Setting(
        tables=tables or EffectTables(),
        base_dir=base_dir,
        observation_end=observation_end,
        gross_margin=gross_margin,
        learners=tuple(learners) if learners else None,
    )
    return collect_findings([_estimate(design, setting, seed)])


def _find(design: EffectDesign, setting: Setting, seed: int) -> Findings:
    """The findings of one design; its refusal when it cannot be estimated."""
    try:
        return _estimate(design, setting, seed)
    except (Exception, PanicException) as error:  # one design never costs the others
        return refused_findings(design, reason_of(error))


def _estimate(design: EffectDesign, setting: Setting, seed: int) -> Findings:
    """The findings of one design, with the segments' margins."""
    found = _of_outcomes(design, setting, seed)
    cost = design.cost_per_treated if design.cost_per_treated is not None else found.cost_per_treated
    margins = segment_margins(found.effects, gross_margin=setting.gross_margin, cost_per_treated=cost)
    return replace(found, pictures={**found.pictures, "segment_margins": margins})


def _of_outcomes(design: EffectDesign, setting: Setting, seed: int) -> Findings:
    """The findings of a design; of a table of its own, outcomes that were not observed together apart."""

    def estimated(outcomes: tuple[str, ...]) -> Findings:
        rng = np.random.default_rng([seed, *design.name.encode()])
        return _ESTIMATORS[design.design](replace(design, outcomes=outcomes), setting, rng)

    if design.table is None:
        return estimated(design.outcomes)
    groups, unusable = group_outcomes(design, setting.base_dir)
    if not groups:
        raise next(iter(unusable.values()))
    parts = [estimated(outcomes) for outcomes in groups]
    parts += [
        refused_findings(replace(design, outcomes=(name,)), str(error)) for name, error in unusable.items()
    ]
    return parts[0] if len(parts) == 1 else join_findings(parts, design.outcomes)


def refused_findings(design: EffectDesign, reason: str) -> Findings:
    """One row per outcome that says why there is no figure."""
    effects = tuple(
        effect_of(design, outcome, "none", "none", supported=False, reason=reason)
        for outcome in design.outcomes
    )
    return Findings(effects=effects)


def _randomised(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    if design.table is None:
        return estimate_assigned(design, setting, rng)
    return estimate_randomised(read_units(design, setting.base_dir), design, rng=rng)


def _ever_contacted(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    return refused_findings(design, EVER_CONTACTED)


_ESTIMATORS: dict[str, Callable[[EffectDesign, Setting, np.random.Generator], Findings]] = {
    "randomised": _randomised,
    "observational": estimate_unassigned,
    "targeting": estimate_targeting,
    "landmark": estimate_landmark,
    "matched_before_after": estimate_before_after,
    "interrupted_series": estimate_interrupted,
    "dose": estimate_dose,
    "time_varying": estimate_time_varying,
    "synthetic_control": estimate_synthetic_control,
    "tracked": estimate_tracked,
    "response_curve": estimate_response_curve,
    "queue": estimate_queue,
    "agent": estimate_agent,
    "incident": estimate_incident,
    "ever_contacted": _ever_contacted,
}
