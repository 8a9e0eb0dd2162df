"""What designs are estimated from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from attribution.effects.estimators.nuisance import Learner


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectTables:
    """The histories that designs are estimated from; None where a company has no such table."""

    touchpoints: pl.LazyFrame | None = None
    purchases: pl.LazyFrame | None = None
    customers: pl.LazyFrame | None = None
    cases: pl.LazyFrame | None = None
    assignments: pl.LazyFrame | None = None
    interventions: pl.LazyFrame | None = None
    hours: pl.LazyFrame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every design is estimated under.

    Attributes
    ----------
    base_dir
        Folder that paths of `table` are relative to.
    observation_end
        Last observed day; follow-up has to end by it. Default: the day of the last purchase.
    gross_margin
        Margin per unit of revenue, for money held against cost.
    learners
        Learners of one's own for designs on a table; None for those of `effects.estimators.nuisance`.
    """

    tables: EffectTables
    base_dir: Path
    observation_end: date | None
    gross_margin: float | None
    learners: tuple[Learner, ...] | None = None
