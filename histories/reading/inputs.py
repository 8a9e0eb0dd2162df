"""What the checks leave: valid rows, rejected rows, and the count of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from histories.errors import DataError
from histories.reading.sources import Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """One table after the checks.

    Attributes
    ----------
    valid
        The rows that keep every rule, in our columns and types.
    rejected
        Every other row as it was found, after the columns `rule`, `outcome` ("rejected" or "set aside"),
        `source_file` and `source_row` (from 1, header not counted).
    rows_read, rows_valid
        Counts; `rows_read` is `rows_valid` plus everything in `rejected_by_rule` and `set_aside_by_rule`.
    notes
        What the run should say of the table, one sentence or two each.
    sha256
        Of the file, or of the digests of all files in the order of their names.
    """

    name: str
    valid: pl.LazyFrame
    rejected: pl.DataFrame
    rows_read: int
    rows_valid: int
    rejected_by_rule: dict[str, int]
    set_aside_by_rule: dict[str, int]
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    sha256: str

    def __post_init__(self) -> None:
        kept_out = sum(self.rejected_by_rule.values()) + sum(self.set_aside_by_rule.values())
        if self.rows_read != self.rows_valid + kept_out:
            raise DataError(
                f"{self.name}: {self.rows_read} rows read, {self.rows_valid} valid, {kept_out} kept out."
            )

    @property
    def columns(self) -> list[str]:
        """Our columns that the table has."""
        return self.valid.collect_schema().names()

    def counts(self) -> dict[str, object]:
        """Rows read, valid, rejected and set aside by rule, as plain values."""
        return {
            "rows_read": self.rows_read,
            "rows_valid": self.rows_valid,
            "rejected_by_rule": dict(self.rejected_by_rule),
            "set_aside_by_rule": dict(self.set_aside_by_rule),
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All tables of a run after the checks, with what the checks were told."""

    tables: Mapping[str, Ingested]
    observation_end: date
    timezone: str
    currency: str | None
    channels: Mapping[str, Channel]
    notes: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self.tables

    def __getitem__(self, name: str) -> pl.LazyFrame:
        """Valid rows of a table."""
        return self.tables[name].valid

    def get(self, name: str) -> pl.LazyFrame | None:
        """Valid rows of a table, or None when it was not given."""
        return self.tables[name].valid if name in self.tables else None

    @property
    def customer_dtype(self) -> pl.DataType:
        """Int64 when every table has whole numbers as customer ids, else String."""
        for table in self.tables.values():
            schema = table.valid.collect_schema()
            if "customer_id" in schema:
                return schema["customer_id"]
        return pl.String()

    @property
    def rejected(self) -> dict[str, pl.DataFrame]:
        """Rows that were kept out, for each table that has any."""
        return {name: table.rejected for name, table in self.tables.items() if table.rejected.height}
