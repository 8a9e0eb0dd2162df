"""Causal evidence: randomised, landmark, before and after, interrupted series."""

from attribution.effects.design import EffectDesign, Treatment, UnitSource
from attribution.effects.effect import EFFECTS_SCHEMA, Effect, effects_frame
from attribution.effects.findings import PICTURE_SCHEMAS, EffectsResult
from attribution.effects.power import PowerPlan, detectable_effect, experiment_power, units_needed
from attribution.effects.run import estimate_effect, estimate_effects
from attribution.effects.tables import EffectTables

__all__ = [
    "EFFECTS_SCHEMA",
    "PICTURE_SCHEMAS",
    "Effect",
    "EffectDesign",
    "EffectTables",
    "EffectsResult",
    "PowerPlan",
    "Treatment",
    "UnitSource",
    "detectable_effect",
    "effects_frame",
    "estimate_effect",
    "estimate_effects",
    "experiment_power",
    "units_needed",
]
