"""What a report is made from: the tables of a bundle, its manifest, its model, and the report before it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from reports.settings import ReportSettings


def read_day(value: object) -> dt.date | None:
    """The day that a manifest or a report says, with or without a time behind it; None where it says none."""
    try:
        return dt.date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


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
    previous
        The `report.json` of the bundle before as plain values; None where there is none.
    """

    tables: Mapping[str, pl.DataFrame]
    manifest: Mapping[str, Any]
    model: Mapping[str, Any]
    settings: ReportSettings
    gross_margin: float | None
    pictures: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    previous: Mapping[str, Any] | None = None

    def table(self, name: str) -> pl.DataFrame:
        """A table of the bundle, or an empty frame without columns."""
        return self.tables.get(name, pl.DataFrame())

    def picture(self, name: str) -> pl.DataFrame:
        """The rows behind a chart, or an empty frame without columns."""
        return self.pictures.get(name, pl.DataFrame())

    @property
    def currency(self) -> str | None:
        """The currency's code; None where none was configured."""
        code = self.manifest.get("currency")
        return str(code) if code else None

    @property
    def as_of(self) -> dt.date:
        """The last day that counts; today where nothing says it."""
        return read_day(self.manifest.get("as_of")) or dt.date.today()

    @property
    def first_day(self) -> dt.date | None:
        """The first day of the data, where the manifest says it."""
        return read_day(str(self.manifest.get("span") or "").partition(" to ")[0])

    @property
    def previous_as_of(self) -> dt.date | None:
        """The last day of the report before, where that is earlier than this one's."""
        before = read_day((self.previous or {}).get("as_of"))
        return before if before is not None and before < self.as_of else None

    @property
    def horizon_months(self) -> int:
        """How far ahead customers are valued."""
        return int(self.model.get("horizon_months") or 12)

    @property
    def horizon(self) -> str:
        """The same in words."""
        return "twelve months" if self.horizon_months == 12 else f"{self.horizon_months} months"
