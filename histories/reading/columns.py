"""Find the columns of a table in its source: by the configured name or position, or by our own name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

import polars as pl

from histories.errors import ConfigError, SchemaError, nearest
from histories.reading.casts import text_value
from histories.reading.numbers import TO_ONE, Unit
from histories.reading.scan import FILE_STEP, ROW, Scanned
from histories.reading.schemas import Kind, Table
from histories.reading.sources import TableSource

SEPARATORS = (";", "\t", "|", ",")
LINES_LOOKED_AT = 20
LONGEST_NAME = 60
"""Letters of a source's column in a message."""
_MEANT = {
    "customer_id": "(?i)customer|client|buyer|e-?mail|contact|account|user|member|kunde",
    "timestamp": "(?i)date|time|created|paid at|datum",
    "amount": "(?i)total|amount|revenue|price|betrag|montant",
    "channel": "(?i)source|medium|channel|via|type|kanal",
    "opened_at": "(?i)created|opened|date",
    "case_id": "(?i)ticket|case|conversation|^id$",
    "post_id": "(?i)tweet|message|post|^id$",
}
"""How exports call what we mean, for a hint where no name is like ours."""
COUNTS = {
    "cents": r"(?:^|[^A-Za-z])(?i:cents?|pence|minor)(?:$|[^A-Za-z])|[a-z](?:Cents?|Minor)(?:Units?)?$",
    "micros": r"(?:^|[^A-Za-z])(?i:micros)(?:$|[^A-Za-z])|[a-z]Micros$",
    "thousands": r"(?i)\bin thousands\b|\bTEUR\b|\bT€|\bk€|\bkEUR\b|\bTsd\b|['(]000s?\b",
}
"""What columns of amounts are called that count another unit than the currency."""
LENGTHS = {
    unit: rf"(?:^|[^A-Za-z'’])(?i:{short})(?:$|[^A-Za-z])|[a-z](?:{camel})$"
    for unit, short, camel in (
        ("milliseconds", "ms|millis|milliseconds?", "Ms|Millis"),
        ("seconds", "s|secs?|seconds?|sek|sekunden", "Secs?|Seconds"),
        ("minutes", "mins?|minutes?|minuten", "Mins?|Minutes"),
        ("hours", "h|hrs?|hours?|std|stunden|heures", "Hrs|Hours"),
        ("days", "days?|tage", "Days"),
    )
}
"""What columns of lengths of time are called, by what their plain numbers count."""
CLOCKS = r"(?i)(business|calendar|office|working|opening|operational)[ _-]*hours"
PLAIN = r"^\d+([.,]\d+)?$"
DURATIONS = ("first_response_minutes", "resolution_minutes")


def join_columns(table: Table, source: TableSource, scanned: Scanned) -> Scanned:
    """The source with a further column for each of ours that stands in several, as a date and a time of day.

    Raises
    ------
    SchemaError
        When one of them is not in the source.
    """
    joined = {}
    for ours, theirs in (source.columns or {}).items():
        if isinstance(theirs, tuple):
            parts = [str(part).strip() for part in theirs]
            for name in parts:
                if name not in scanned.columns:
                    raise SchemaError(_missing(table, scanned, ours, name, source))
            texts = [text_value(pl.col(name), scanned.schema[name]) for name in parts]
            is_id = ours in table.columns and table.columns[ours].kind is Kind.ID  # a part of one is none
            joined[_named(theirs)] = pl.concat_str(texts, separator=" ", ignore_nulls=not is_id)
    if not joined:
        return scanned
    frame = scanned.frame.with_columns(**joined)
    return replace(scanned, frame=frame, schema=frame.collect_schema())


def _named(theirs: str | int | tuple[str | int, ...]) -> str:
    """Name of a column of the source, or of several that are joined."""
    return " + ".join(str(part).strip() for part in (theirs if isinstance(theirs, tuple) else (theirs,)))


def match_columns(table: Table, source: TableSource, scanned: Scanned) -> dict[str, str]:
    """Our column names to the source's, for every column that is there; constants are not among them.

    Raises
    ------
    ConfigError
        When `columns`, `constants`, `values`, `negate` or `units` name a column that the table lacks.
    SchemaError
        When a required column, or one that `columns` names, is not in the source.
    """
    wanted = source.columns or {}
    for option in ("columns", "constants", "values", "negate", "units"):
        _refuse_unknown(table, option, getattr(source, option) or ())
    _refuse_no_opposite(table, source)
    _refuse_no_lengths(table, source)
    for name in source.where:
        if name not in scanned.columns:
            raise SchemaError(
                f'{scanned.place}: no column "{name}", which inputs.{table.name}.where names; '
                f"{nearest(name, scanned.columns)}"
            )
    found: dict[str, str] = {}
    for ours, theirs in wanted.items():
        name = _named(theirs)
        if ours in source.constants:
            raise ConfigError(f"inputs.{table.name}: {ours} stands in columns and in constants. Keep one.")
        if name not in scanned.columns:
            raise SchemaError(_missing(table, scanned, ours, name, source))
        found[ours] = name
    joined = [theirs for theirs in wanted.values() if isinstance(theirs, tuple)]
    taken = {*found.values(), *(str(part).strip() for parts in joined for part in parts)}
    for name in scanned.columns:
        welcome = name in table.columns or table.keeps_others
        if welcome and name not in found and name not in taken and name not in source.constants:
            found[name] = name
    there = {*found, *source.constants}
    _refuse_missing(table, source, scanned, there)
    _refuse_clockless(table, there)
    _refuse_unsaid_units(table, source, scanned, found)
    return found


def _refuse_unknown(table: Table, option: str, named: Iterable[str]) -> None:
    if table.keeps_others:
        return
    for ours in named:
        if ours not in table.columns:
            raise ConfigError(
                f'inputs.{table.name}.{option}: the table has no column "{ours}"; '
                f"{nearest(ours, table.columns)}."
            )


def _refuse_no_opposite(table: Table, source: TableSource) -> None:
    turned = {Kind.BOOLEAN, Kind.MONEY}
    known = [name for name, column in table.columns.items() if column.kind in turned]
    for ours in source.negate:
        if ours not in known:
            raise ConfigError(
                f"inputs.{table.name}.negate: {ours} is no flag and no amount; {nearest(ours, known)}."
            )


def _refuse_no_lengths(table: Table, source: TableSource) -> None:
    lengths = [name for name, column in table.columns.items() if column.measures]
    amounts = _amounts(table)
    for ours, unit in source.units.items():
        if ours not in (*lengths, *amounts):
            hint = nearest(ours, (*lengths, *amounts)) if lengths or amounts else "the table has none"
            raise ConfigError(
                f"inputs.{table.name}.units: {ours} is no length of time and no amount; {hint}."
            )
        if (unit in TO_ONE) != (ours in amounts):
            allowed = ", ".join(TO_ONE if ours in amounts else get_args(Unit))
            raise ConfigError(f'inputs.{table.name}.units: {ours} = "{unit}"; allowed: {allowed}.')


def _amounts(table: Table) -> list[str]:
    return [
        name for name, column in table.columns.items() if column.kind is Kind.MONEY or name == "unit_price"
    ]


def _refuse_unsaid_units(table: Table, source: TableSource, scanned: Scanned, found: dict[str, str]) -> None:
    """Refuse a column that says that it counts cents, or hours, where ours counts another unit."""
    key = f"inputs.{table.name}.units"
    for ours, column in table.columns.items():
        theirs = found.get(ours, ours)
        named = re.sub(CLOCKS, "", theirs)
        said = [unit for unit, says in LENGTHS.items() if re.search(says, named)]
        if column.measures is None or theirs == ours or ours in source.units or column.measures in said:
            continue
        if said and _holds_plain_numbers(scanned, theirs):
            raise ConfigError(
                f'{scanned.place}: column "{theirs}" seems to count {said[0]}, and {ours} counts '
                f'{column.measures}. Say so: {key} = {{ {ours} = "{said[0]}" }}.'
            )
    for ours in _amounts(table):
        theirs = found.get(ours, "")
        unit = next((unit for unit, says in COUNTS.items() if re.search(says, theirs)), None)
        if unit is not None and ours not in source.units:
            raise ConfigError(
                f'{scanned.place}: column "{theirs}" seems to count {unit}. Say so: {key} = '
                f'{{ {ours} = "{unit}" }}; where it counts the currency, "whole".'
            )


def _holds_plain_numbers(scanned: Scanned, name: str) -> bool:
    if scanned.schema[name].is_numeric():
        return True
    text = pl.col(name).cast(pl.String).str.strip_chars()
    return bool(scanned.frame.select(text.str.contains(PLAIN).any()).collect().item())


def _refuse_missing(table: Table, source: TableSource, scanned: Scanned, there: set[str]) -> None:
    for ours, column in table.columns.items():
        if column.required and ours not in there:
            raise SchemaError(_missing(table, scanned, ours, ours, source))
    for choices in table.alternatives:
        if not any(there.issuperset(choice) for choice in choices):
            named = _missing(table, scanned, choices[0][0], choices[0][0], source)
            others = " or ".join(" + ".join(choice) for choice in choices)
            if choices[0] == ("amount",):
                others += "; or amounts = false for a log that has none: purchases are counted, not valued"
            raise SchemaError(named if len(choices) == 1 else f"{named} Needed: {others}.")


def _refuse_clockless(table: Table, there: set[str]) -> None:
    """Minutes of which nobody knows whether nights count are no duration."""
    durations = [name for name in DURATIONS if name in there]
    if table.name == "cases" and durations and "clock" not in there:
        raise ConfigError(
            f"inputs.cases: {durations[0]} needs to say which clock it was measured by. Add the column "
            'clock, or constants = { clock = "calendar" } (or "business").'
        )


def _missing(table: Table, scanned: Scanned, ours: str, theirs: str, source: TableSource) -> str:
    if not source.has_header:
        return (
            f"{scanned.place}: {table.name} has no column {theirs} for {ours}; the file has "
            f"{len(scanned.columns)} columns without a header. Give the position of {ours} in "
            f"inputs.{table.name}.columns, 1 is the first."
        )
    mark = next(
        (mark for mark in SEPARATORS if len(scanned.columns) == 1 and mark in scanned.columns[0]), None
    )
    if mark is not None and mark != source.separator:
        shown = mark.replace("\t", "\\t")
        return (
            f'{scanned.place}: {table.name} has no {theirs}: its header is one column with "{shown}". '
            f'Set inputs.{table.name}.separator = "{shown}".'
        )
    if theirs in scanned.columns:
        return (
            f'{scanned.place}: the file has a column "{theirs}", which inputs.{table.name}.columns reads as '
            f'another one of ours. Name it for {ours} as well: columns = {{ {ours} = "{theirs}", ... }}.'
        )
    key = f"inputs.{table.name}"
    lacks = f"{scanned.place}: {table.name} has no {theirs}"
    line, inside = _looked_into(scanned, theirs)
    if line is not None:
        return (
            f"{lacks} in its first line, but {line} lines below it stands the name. Set "
            f"{key}.skip_rows = {source.skip_rows + line}."
        )
    if inside is not None:
        return f'{lacks}. Do the rows stand in the list "{inside}"? Then set {key}.records = "{inside}".'
    if scanned.is_text and ("@" in "".join(scanned.columns) or all(map(_is_value, scanned.columns))):
        return (
            f"{lacks}: its first line looks like a row and no header. Set {key}.has_header = false, and give "
            "columns by position, 1 is the first."
        )
    listed = (
        ", ".join(name[:LONGEST_NAME] for name in scanned.columns[:12])
        + (", ..." if len(scanned.columns) > 12 else "")
        or "none"
    )
    near = difflib.get_close_matches(theirs.casefold(), [name.casefold() for name in scanned.columns], 1, 0.8)
    meant = [] if near else [name for name in scanned.columns if re.search(_MEANT.get(ours, "$^"), name)]
    hint = nearest(theirs, scanned.columns)
    suggestion = f" {hint[0].upper()}{hint[1:]}" if hint.startswith("did") else ""
    if meant:
        suggestion = " Is it " + " or ".join(f'"{name}"' for name in meant[:3]) + "?"
    return (
        f'{scanned.place}: {table.name} has no column "{theirs}". Found: {listed}.{suggestion} '
        f"Name the right one in inputs.{table.name}.columns, e.g. "
        f'columns = {{ {ours} = "..." }}.'
    )


def _looked_into(scanned: Scanned, name: str) -> tuple[int | None, str | None]:
    """How many lines below a text's first one stands a column's name; a column of lists of objects."""
    if not scanned.is_text:
        return None, None
    for row in scanned.frame.head(LINES_LOOKED_AT).collect().iter_rows(named=True):
        texts = {key: value.strip() for key, value in row.items() if isinstance(value, str)}
        if name in texts.values():
            return int(row[ROW] % FILE_STEP), None
        inside = next((key for key, value in texts.items() if value.startswith("[{")), None)
        if inside is not None:
            return None, inside
    return None, None


def _is_value(name: str) -> bool:
    """Whether a column's name is a number or a time, as a row's values are."""
    return re.fullmatch(r"[-+]?\d[\d.,:/TZ +-]*|\(column \d+\)", name) is not None
