"""All input tables, checked once, here; behind this point every table has our columns and types."""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from shutil import rmtree
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from histories.errors import ConfigError, nearest
from histories.identity import check_key
from histories.reading.bookings import booking_notes, unreached_notes, void_case_notes
from histories.reading.cautions import touchpoint_notes, transaction_notes
from histories.reading.currencies import (
    check_currency,
    refuse_sums_too_large,
    refuse_unasked_currencies,
)
from histories.reading.desk_cautions import case_notes, post_notes, set_aside_overlapping_shifts
from histories.reading.inputs import Ingested, Inputs, conclude
from histories.reading.links import (
    reject_overlapping,
    reject_repeated,
    reject_unknown_customers,
    resolve_handles,
    set_aside_doubtful,
    set_aside_further_lines,
    unify_customer_ids,
    with_international_numbers,
)
from histories.reading.proportion import clear_placeholders, set_aside_far_dates
from histories.reading.rules import Rule
from histories.reading.schemas import TABLES, Kind
from histories.reading.sources import Channel, IdentityLinks, Limits, TableSource
from histories.reading.staging import RULE, Staged, stage_table
from histories.reading.strays import (
    clock_notes,
    set_aside_nobody,
    set_aside_totals,
    stray_notes,
)

OF_KNOWN_CUSTOMERS = ("touchpoints", "assignments")
_OF_A_DESK = {"cases": case_notes, "posts": post_notes}


def ingest(
    sources: Mapping[str, TableSource | Sequence[TableSource]],
    *,
    base_dir: Path,
    observation_end: date,
    timezone: str = "UTC",
    currency: str | None = None,
    channels: Mapping[str, Channel] | None = None,
    limits: Limits | None = None,
    identity: IdentityLinks | None = None,
    id_key: bytes | None = None,
    work_dir: Path | None = None,
) -> Inputs:
    """Read and check the input tables.

    Rows that break a rule are kept out and counted, never repaired; every row read is valid, rejected or set
    aside.

    Parameters
    ----------
    sources
        Table name to its source, or to several, each with its own columns.
    base_dir
        Folder that relative paths start from.
    observation_end
        Last day of the data; later rows are set aside.
    timezone, currency
        Zone of local times; instants with a zone are converted to it. Currency of the amounts,
        checked where a table names it.
    channels
        What is known of channels; kept beside the tables.
    identity
        How certain a link of a handle to a customer must be.
    limits
        When to stop, and how large a table is held in memory.
    id_key
        With it, customer ids become pseudonyms.
    work_dir
        Folder for large tables in typed form; by default a temporary one that goes when the process ends.

    Raises
    ------
    ConfigError
        When a table, time zone or format is unknown.
    DataError, SchemaError
        When a table is missing, unreadable, empty, in two currencies, or has too many rejected rows.
    """
    limits = limits or Limits()
    _check_settings(sources, timezone, id_key)
    folder = work_dir or _temporary_folder()
    staged = {
        name: stage_table(
            table,
            _several(sources[name]),
            base_dir=base_dir,
            work_dir=folder,
            observation_end=observation_end,
            timezone=timezone,
            memory=limits.bytes,
        )
        for name, table in TABLES.items()
        if name in sources
    }
    mended = {name: _mend(table) for name, table in staged.items()}
    unified = unify_customer_ids(mended, id_key)
    if (
        "transactions" in unified
        and unified["transactions"].frame.collect_schema()["customer_id"] == pl.String
    ):
        unified["transactions"] = unified["transactions"].with_notes(*differing_in_form(mended))
    linked = _link(unified, identity or IdentityLinks())
    if "transactions" in linked:
        currency = check_currency(linked["transactions"], currency)
    if "costs" in linked:
        told = "transactions or the configuration say"
        currency = check_currency(linked["costs"], currency, says=told)
    clocked = {name: table.with_notes(*clock_notes(table, timezone)) for name, table in linked.items()}
    tables = {name: _conclude(table, linked, currency, limits, id_key) for name, table in clocked.items()}
    return Inputs(
        tables=tables,
        observation_end=observation_end,
        timezone=timezone,
        currency=currency,
        channels=dict(channels or {}),
        notes=tuple(note for table in tables.values() for note in table.notes),
    )


def _several(source: TableSource | Sequence[TableSource]) -> Sequence[TableSource]:
    return (source,) if isinstance(source, TableSource) else source


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tributary-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder


def _check_settings(sources: Iterable[str], timezone: str, id_key: bytes | None) -> None:
    for name in sources:
        if name not in TABLES:
            raise ConfigError(f"inputs.{name}: there is no such table; {nearest(name, TABLES)}.")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(
            f'timezone = "{timezone}" is not known; use a name such as "Europe/London".'
        ) from error
    check_key(id_key)


def _mend(staged: Staged) -> Staged:
    """What needs a look at a whole column: ids that were decimals or rounded, dates far from all others."""
    mended = reject_rounded_ids(mend_decimal_ids(unwrap_ids(set_aside_nobody(set_aside_totals(staged)))))
    return set_aside_far_dates(clear_placeholders(mended))


def _link(staged: dict[str, Staged], identity: IdentityLinks) -> dict[str, Staged]:
    """Apply the checks that look at several rows or tables, those of the customers first."""
    linked = {name: set_aside_further_lines(reject_repeated(table)) for name, table in staged.items()}
    if "costs" in linked:
        linked["costs"] = reject_overlapping(linked["costs"])
    if identity.country is not None:
        linked = {name: with_international_numbers(table, identity.country) for name, table in linked.items()}
    if "identities" in linked:
        linked["identities"] = set_aside_doubtful(linked["identities"], identity.min_probability)
    if "hours" in linked:
        linked["hours"] = set_aside_overlapping_shifts(linked["hours"])
    if "touchpoints" in linked and "handle" in linked["touchpoints"].columns:
        linked["touchpoints"] = resolve_handles(linked["touchpoints"], linked.get("identities"))
    if "customers" in linked:
        for name in OF_KNOWN_CUSTOMERS:
            if name in linked:
                linked[name] = reject_unknown_customers(linked[name], linked["customers"])
    return linked


def _conclude(
    staged: Staged, linked: dict[str, Staged], currency: str | None, limits: Limits, key: bytes | None
) -> Ingested:
    notes: tuple[str, ...] = ()
    refuse_unasked_currencies(staged, currency)
    refuse_sums_too_large(staged)
    if staged.table.name == "transactions":
        notes = (
            *transaction_notes(staged, linked.get("customers"), currency),
            *booking_notes(staged),
            *stray_notes(staged, currency),
        )
    elif staged.table.name == "touchpoints":
        notes = touchpoint_notes(staged, linked.get("transactions"), has_customers="customers" in linked)
        notes += unreached_notes(staged)
    elif staged.table.name in _OF_A_DESK:
        notes = _OF_A_DESK[staged.table.name](staged)
        notes += void_case_notes(staged) if staged.table.name == "cases" else unreached_notes(staged)
    share = 0.0 if staged.table.name == "consents" else limits.max_rejected_share  # a row may take one back
    return conclude(staged, max_rejected_share=share, key=key, notes=notes)


WHOLE = r"^-?\d+(?:\.0+)?$"
ROUNDED = r"^\d(?:[.,]\d+)?[eE]\+\d{1,2}$"
"""As spreadsheets and data frames show a long number: 4.00638E+12."""


def unwrap_ids(staged: Staged) -> Staged:
    """Read `="007"` as 007: so exports keep a spreadsheet from taking an id for a number."""
    names = _text_ids(staged)
    wrapped = _flags(staged.frame, {name: pl.col(name).str.starts_with('="').any() for name in names})
    if not wrapped:
        return staged
    return staged.with_frame(
        staged.frame.with_columns(pl.col(name).str.replace(r'^="(.*)"$', "${1}") for name in wrapped)
    )


def mend_decimal_ids(staged: Staged) -> Staged:
    """Read `7.0` as 7 in an id column of text in which every value is a whole number.

    Some program between the source and the file has taken the ids for decimals; zeros in front stay.
    """
    names = _text_ids(staged)
    flagged = _flags(staged.frame, {name: pl.col(name).str.ends_with(".0").any() for name in names})
    whole = _flags(
        staged.frame,
        {name: (pl.col(name).str.contains(WHOLE) | pl.col(name).is_null()).all() for name in flagged},
    )
    if not whole:
        return staged
    mended = staged.frame.with_columns(pl.col(name).str.replace(r"\.0+$", "") for name in whole)
    return staged.with_frame(mended)


def reject_rounded_ids(staged: Staged) -> Staged:
    """Reject rows whose id a spreadsheet has shortened: several customers may share what is left of it."""
    for name in _flags(
        staged.frame,
        {name: pl.col(name).str.contains(r"[eE]\+").any() for name in _text_ids(staged)},
    ):
        staged = staged.with_rule(
            Rule(
                name=f"{name} in scientific notation",
                broken=pl.col(name).str.contains(ROUNDED),
                says=f"have a {name} in scientific notation, as spreadsheets shorten long numbers",
                expected="Several may share one: export again, with the column as text.",
            )
        )
    return staged


INVISIBLE = "[\u00ad\u200b\u200c\u200d\u2060\ufeff]"
"""Characters that nobody sees; in a spreadsheet an apostrophe in front is another."""


def differing_in_form(tables: Mapping[str, Staged]) -> tuple[str, ...]:
    """Notes of customers' ids that are equal but for letter case, or for how their letters are stored."""
    columns = [
        staged.frame.filter(pl.col(RULE).is_null()).select(pl.col(name).alias("id"))
        for staged in tables.values()
        for name in staged.table.customers
        if staged.frame.collect_schema().get(name) == pl.String
    ]
    if not columns:
        return ()
    ids = pl.concat(columns).drop_nulls().unique()
    seen = pl.col("id").str.replace_all(INVISIBLE, "").str.strip_prefix("'").str.normalize("NFC")
    alike, lowered = seen.n_unique().alias("alike"), seen.str.to_lowercase().n_unique().alias("lowered")
    written, distinct, folded = ids.select(pl.len(), alike, lowered).collect().row(0)
    places = ", ".join(dict.fromkeys(staged.place for staged in tables.values() if staged.table.customers))
    differences = (
        ("letter case", distinct - folded),
        ("characters that nobody sees, or by letters stored in two ways,", written - distinct),
    )
    return tuple(
        f"{places}: customer ids that differ from another by {what} alone: {count}. "
        "They are kept apart; have them written in one way where they are the same people."
        for what, count in differences
        if count
    )


def _text_ids(staged: Staged) -> list[str]:
    schema = staged.frame.collect_schema()
    ids = [name for name, column in staged.table.columns.items() if column.kind is Kind.ID]
    return [name for name in ids if schema.get(name) == pl.String]


def _flags(frame: pl.LazyFrame, questions: Mapping[str, pl.Expr]) -> list[str]:
    """Names whose question is answered with yes."""
    if not questions:
        return []
    asked = frame.select(question.alias(name) for name, question in questions.items())
    return [name for name, answer in asked.collect().row(0, named=True).items() if answer]
