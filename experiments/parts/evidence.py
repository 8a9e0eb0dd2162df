"""Effects of the configured designs, the refused ones too."""

from __future__ import annotations

from attribution.effects.findings import EffectsResult
from attribution.effects.run import estimate_effects
from attribution.effects.tables import EffectTables
from experiments.config import RunConfig
from experiments.parts.histories import Histories

__all__ = ["evidence_part"]


def evidence_part(config: RunConfig, histories: Histories) -> EffectsResult | None:
    """Every `[[effects]]` entry estimated or refused; None when there is none."""
    if not config.effects:
        return None

    tables = EffectTables(
        touchpoints=histories.touchpoints.lazy() if histories.touchpoints is not None else None,
        purchases=histories.purchases.lazy() if histories.purchases is not None else None,
        customers=histories.customers.lazy() if histories.customers is not None else None,
        cases=histories.table("cases"),
        assignments=histories.table("assignments"),
        interventions=histories.table("interventions"),
    )
    return estimate_effects(
        config.effects,
        tables=tables,
        base_dir=config.base_dir,
        observation_end=histories.inputs.observation_end,
        gross_margin=config.value.gross_margin,
        seed=config.seed,
    )
