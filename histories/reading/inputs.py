"""What the checks leave: valid rows, rejected rows, the count of both in words; too many stop the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from histories.errors import DataError, SchemaError
from histories.identity import pseudonyms
from histories.reading.files import joint_digest
from histories.reading.rules import Rule
from histories.reading.scan import FILE_STEP, ROW
from histories.reading.schemas import Kind
from histories.reading.sources import Channel
from histories.reading.staging import RULE, Part, Staged, hide_people


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
    """All tables of a run after the checks, with what the checks were told.

    `answers` keeps what several of those who look at the tables ask.
    """

    tables: Mapping[str, Ingested]
    observation_end: date
    timezone: str
    currency: str | None
    channels: Mapping[str, Channel]
    notes: tuple[str, ...] = ()
    answers: dict[tuple[str, ...], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

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


OUTCOME = "\x1fwhat happens"
FILE = "\x1ffile of the row"
NAMES = {RULE: "rule", OUTCOME: "outcome", FILE: "source_file", ROW: "source_row"}
"""Columns of the rejected rows; inside, a control character keeps names clear of the source's own."""


def conclude(
    staged: Staged, *, max_rejected_share: float, key: bytes | None, notes: tuple[str, ...] = ()
) -> Ingested:
    """The table after all checks.

    Raises
    ------
    SchemaError
        When not one row has a readable value in a required column.
    DataError
        When more rows are rejected than the limit allows, or a needed table has no valid row.
    """
    broken = staged.frame.filter(pl.col(RULE).is_not_null()).select(ROW, RULE).collect().sort(ROW)
    rows_read = int(staged.frame.select(pl.len()).collect().item())
    counts = dict(broken.group_by(RULE).len().iter_rows())
    rejected = {rule.name: counts[rule.name] for rule in _counted(staged, counts) if not rule.sets_aside}
    set_aside = {rule.name: counts[rule.name] for rule in _counted(staged, counts) if rule.sets_aside}
    said = {rule.name: _sentence(staged, rule, broken, rows_read) for rule in _counted(staged, counts)}
    _refuse_unreadable(staged, counts, rows_read, said)
    _refuse_too_many(staged, rejected, rows_read, max_rejected_share, said)
    rows_valid = rows_read - broken.height
    _refuse_none_valid(staged, rows_read, rows_valid, said)
    if rows_read == 0:
        notes = (*notes, f"{staged.place}: {staged.table.name} has columns and no rows.")
    return Ingested(
        name=staged.table.name,
        valid=staged.frame.filter(pl.col(RULE).is_null()).drop(ROW, RULE),
        rejected=_rejected_rows(staged, broken, key),
        rows_read=rows_read,
        rows_valid=rows_valid,
        rejected_by_rule=rejected,
        set_aside_by_rule=set_aside,
        notes=(
            *said.values(),
            *(note for part in staged.parts for note in part.scanned.notes),
            *staged.notes,
            *notes,
        ),
        files=tuple(file for part in staged.parts for file in part.scanned.files),
        sha256=joint_digest([part.scanned.sha256 for part in staged.parts]),
    )


def _counted(staged: Staged, counts: dict[str, int]) -> list[Rule]:
    return [rule for rule in staged.rules if rule.name in counts]


def _sentence(staged: Staged, rule: Rule, broken: pl.DataFrame, rows_read: int) -> str:
    """Place, count, first rows, value found, what is allowed: all that is said of one rule."""
    rows = broken.filter(pl.col(RULE) == rule.name)[ROW]
    value = staged.found_value(rule.shows, int(rows[0])) if rule.shows else None
    first = "" if value is None else f'; first: "{hide_people(value)}"'
    count = f"{len(rows)} of {rows_read} rows"
    outcome = " They are set aside." if rule.sets_aside else ""
    sentence = f"{staged.place}: {count} {rule.says} ({staged.shown_rows(rows)}{first}).{outcome}"
    better = rule.explain(value) if rule.explain and value and value == hide_people(value) else ""
    return f"{sentence} {better or rule.expected}".strip()


def _refuse_unreadable(staged: Staged, counts: dict[str, int], rows_read: int, said: dict[str, str]) -> None:
    for name in sorted(staged.columns & set(staged.table.columns)):
        rule = f"unreadable {name}"
        if rows_read and counts.get(rule) == rows_read:
            kind = staged.table.columns[name].kind
            what = "Not one row can be read: " if kind in {Kind.TIMESTAMP, Kind.DATE} else "Wrong type: "
            raise SchemaError(f"{what}{said[rule]}")


def _refuse_too_many(
    staged: Staged, rejected: dict[str, int], rows_read: int, limit: float, said: dict[str, str]
) -> None:
    total = sum(rejected.values())
    if rows_read and total > limit * rows_read:
        reasons = " ".join(said[name] for name in sorted(rejected, key=lambda name: -rejected[name]))
        of_files = "".join(f" {note}" for part in staged.parts for note in part.scanned.notes)
        step = "Mend the table, or raise limits.max_rejected_share." if limit else "Mend the table."
        raise DataError(
            f"{staged.place}: {total} of {rows_read} rows of {staged.table.name} are rejected "
            f"({total / rows_read:.1%}; allowed: {limit:.1%}). {reasons}{of_files} {step}"
        )


def _refuse_none_valid(staged: Staged, rows_read: int, rows_valid: int, said: dict[str, str]) -> None:
    if rows_read == 0 and staged.table.name == "transactions":
        raise DataError(
            f"{staged.place}: transactions is empty: it has columns and no rows. Export it again."
        )
    only_doubtful = staged.table.name == "identities" and not any(
        name in said for name in {rule.name for rule in staged.rules if not rule.sets_aside}
    )
    if rows_read and rows_valid == 0 and not only_doubtful:  # without a certain link nobody is known
        raise DataError(
            f"{staged.place}: none of {rows_read} rows of {staged.table.name} is usable. "
            f"{' '.join(said.values())} Correct the table or the configuration."
        )


def _rejected_rows(staged: Staged, broken: pl.DataFrame, key: bytes | None) -> pl.DataFrame:
    outcomes = {rule.name: "set aside" if rule.sets_aside else "rejected" for rule in staged.rules}
    verdicts = broken.with_columns(
        pl.col(RULE).replace_strict(outcomes, default="rejected", return_dtype=pl.String).alias(OUTCOME)
    )
    rows = pl.concat((_rows_of(part, verdicts, key, staged) for part in staged.parts), how="diagonal_relaxed")
    taken = {name: f"{name} (found)" for name in rows.columns if name in NAMES.values()}
    return rows.rename(taken).rename(NAMES)


def _rows_of(part: Part, verdicts: pl.DataFrame, key: bytes | None, staged: Staged) -> pl.DataFrame:
    """Rejected rows of one source as they were found, with the file and the row in it."""
    names = dict(zip(part.files, part.scanned.file_names, strict=True))
    mine = verdicts.filter((pl.col(ROW) // FILE_STEP).is_in(part.files))
    found = part.scanned.frame if mine.height else part.scanned.frame.clear()
    rows = found.join(mine.lazy(), on=ROW, how="inner").sort(ROW).collect()
    rows = rows.with_columns(
        (pl.col(ROW) // FILE_STEP).replace_strict(names, return_dtype=pl.String).alias(FILE),
        pl.col(ROW) % FILE_STEP,
    ).select(*NAMES, pl.exclude(*NAMES))
    if key is None:
        return rows
    ids = [name for name in staged.table.customers if name in part.found]
    personal = [
        name for name, column in staged.table.columns.items() if column.personal and name in part.found
    ]
    named = [name for name in personal if staged.table.columns[name].kind is Kind.ID and name not in ids]
    words = [name for name in personal if name not in {*ids, *named}]
    return rows.with_columns(
        *(pseudonyms(part.found[name], key) for name in (*ids, *named)),
        *(pl.lit(None, dtype=pl.String).alias(part.found[name]) for name in words),
    )
