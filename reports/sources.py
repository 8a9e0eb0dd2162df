"""What a report is made from: the tables of a bundle, its manifest and its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from reports.settings import ReportSettings

__all__ = ["ReportSources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSources:
    """The inputs of every section.

    Attributes
    ----------
    tables
        The bundle's tables by name; an absent one counts as empty.
    manifest, model
        The bundle's `manifest.json` and `model.json` as plain values.
    pictures
        Frames for charts that are no tables of the bundle, by name: `holdout_deciles`, `tracking`, `cohorts`.
    gross_margin
        Margin as a share of revenue; None where nobody said.
    """

    tables: Mapping[str, pl.DataFrame]
    manifest: Mapping[str, Any]
    model: Mapping[str, Any]
    settings: ReportSettings
    gross_margin: float | None
    pictures: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def table(self, name: str) -> pl.DataFrame:
        """A table of the bundle, or an empty frame without columns."""
        return self.tables.get(name, pl.DataFrame())

    def picture(self, name: str) -> pl.DataFrame:
        """The rows behind a chart, or an empty frame without columns."""
        return self.pictures.get(name, pl.DataFrame())

    @property
    def currency(self) -> str:
        """The currency's code, or a neutral word where none was configured."""
        return str(self.manifest.get("currency") or "units")
