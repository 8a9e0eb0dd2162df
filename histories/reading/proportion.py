"""Dates out of all proportion: placeholders, slips of a century, counts in the wrong unit.

One row dated 2052 would move the end of the observation by a generation, and with it every customer's age.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from histories.errors import SchemaError
from histories.reading.rules import AFTER_END, EARLIEST, LATEST, Rule, is_far
from histories.reading.schemas import Kind
from histories.reading.staging import RULE, Staged
from histories.reading.times import COUNTED, EPOCHS, TimeOptions, why_no_time

LONGEST_GAP = 5 * 365
"""Days without a row that a history may have, unless it is longer than this itself."""
LARGEST_SHARE = 0.01
"""A larger share of the rows than this is no slip: it stays."""
FEWEST_ROWS = 20
"""Of fewer rows none is judged by the others."""
DAY = 86_400_000_000
"""Microseconds."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def set_aside_far_dates(staged: Staged) -> Staged:
    """Set aside the few rows whose date lies far from all others: a gap of 5 years, or of their whole span.

    Those that another unit of a count brings among the others are rejected: nobody means to lose them.

    Raises
    ------
    SchemaError
        When most dates are impossible: then the format, or the unit of a count, is wrong.
    """
    dated = staged.table.dated
    if dated is None or dated not in staged.columns:
        return staged
    at = pl.col(dated).to_physical()
    counted = (
        staged.frame.select((at // DAY).alias("day")).drop_nulls().group_by("day").len().sort("day").collect()
    )
    if counted.is_empty():
        return staged
    days, rows = counted["day"].to_list(), counted["len"].to_list()
    low, high = _day(EARLIEST), _day(LATEST)
    _refuse_impossible(staged, dated, days, rows, low, high)
    first, last = _bulk(days, rows, low, high)
    if first <= days[0] and days[-1] <= last:
        return staged
    for form in sorted({part.source.timestamp_format or "" for part in staged.parts} & EPOCHS.keys()):
        for unit in _other_units(form, first, last, dated):
            fine = pl.col(RULE).fill_null(AFTER_END) == AFTER_END
            judged = pl.when(fine & unit.broken).then(pl.lit(unit.name)).otherwise(pl.col(RULE))
            staged = staged.with_frame(staged.frame.with_columns(judged.alias(RULE)), unit)
    start, end = (EPOCH + timedelta(days=day) for day in (max(first, low), min(last, high)))
    rule = Rule(
        name="date out of all proportion",
        broken=(at < first * DAY) | (at >= (last + 1) * DAY),
        says=f"are dated out of all proportion to the others ({start:%Y-%m-%d} to {end:%Y-%m-%d})",
        shows=dated,
        sets_aside=True,
    )
    return staged.with_rule(rule)


def _other_units(form: str, first: int, last: int, dated: str) -> list[Rule]:
    """For each other unit of a count: rows that it brings among the days `first` to `last`, alone."""
    at = pl.col(dated).to_physical()
    far = ~at.is_between(first * DAY, (last + 1) * DAY, closed="left")
    units = {name: unit for _, unit, name in COUNTED}
    told = units.get(form, "seconds")
    return [
        Rule(
            name=f"time in {unit}",
            broken=far
            & (at.cast(pl.Float64) / EPOCHS[form] * EPOCHS[name]).is_between(first * DAY, (last + 1) * DAY),
            says=f'count {unit} since 1970, not {told} as timestamp_format = "{form}" says',
            expected="Write all times of the table in one unit.",
            shows=dated,
        )
        for name, unit in units.items()
        if EPOCHS[name] != EPOCHS[form]
    ]


def _day(moment: datetime) -> int:
    return (moment - EPOCH).days


def _refuse_impossible(
    staged: Staged, dated: str, days: list[int], rows: list[int], low: int, high: int
) -> None:
    total = sum(rows)
    after = sum(n for day, n in zip(days, rows, strict=True) if day >= high)
    before = sum(n for day, n in zip(days, rows, strict=True) if day < low)
    at_start = sum(n for day, n in zip(days, rows, strict=True) if 0 <= day <= 40)
    form = staged.parts[0].source.timestamp_format
    key = f"inputs.{staged.table.name}.timestamp_format"
    if 2 * after > total:
        finer = {"epoch_s": "epoch_ms", "%s": "epoch_ms", "epoch_ms": "epoch_us"}.get(form or "")
        what, count = "after 2200", after
        hint = f'If they count a smaller unit, set {key} = "{finer}".' if finer else f"Correct {key}."
    elif 2 * before > total:
        what, count = "before 1901", before
        hint = f"If the years have two digits, write %y in {key}; otherwise correct it."
    elif 2 * at_start > total and form in {"epoch_ms", "epoch_us"}:
        coarser = {"epoch_ms": "epoch_s", "epoch_us": "epoch_ms"}[form]
        what, count = "in the first days of 1970", at_start
        hint = f'If they count a larger unit, set {key} = "{coarser}".'
    else:
        return
    value = staged.first_value(dated, 1)
    if form is None and value is not None:  # some counts since 1970 can be read as ISO dates of another age
        hint = why_no_time(str(value), TimeOptions(), f"inputs.{staged.table.name}") or hint
    first = f' (row 1: "{value}")' if value is not None else ""
    raise SchemaError(f"{staged.place}: {count} of {total} rows have a {dated} {what}{first}. {hint}")


def _bulk(days: list[int], rows: list[int], low: int, high: int) -> tuple[int, int]:
    """First and last day of the history that nearly all rows belong to."""
    total = sum(rows)
    spells = _spells(days, rows)
    possible = [spell for spell in spells if low <= spell[0] and spell[1] < high]
    possible = [spell for spell in possible if not _is_start_of_1970(*spell)] or possible
    first, last, _ = max(possible or spells, key=lambda spell: spell[2])
    if total < FEWEST_ROWS:
        spans = possible or spells
        return spans[0][0], spans[-1][1]
    gap = max(LONGEST_GAP, last - first)
    few = max(1, LARGEST_SHARE * total)
    for start, end, count in possible:
        if count > few or (start - last <= gap and first - end <= gap):
            first, last = min(first, start), max(last, end)
    return first, last


def _is_start_of_1970(first: int, last: int, rows: int) -> bool:
    """Whether a spell is the day that a count of zero stands for, in some zone."""
    return first == last and first in (-1, 0)


def _spells(days: list[int], rows: list[int]) -> list[tuple[int, int, int]]:
    """First day, last day and rows of each stretch without a gap of `LONGEST_GAP` days."""
    spells: list[tuple[int, int, int]] = []
    for day, count in zip(days, rows, strict=True):
        if spells and day - spells[-1][1] <= LONGEST_GAP:
            spells[-1] = (spells[-1][0], day, spells[-1][2] + count)
        else:
            spells.append((day, day, count))
    return spells


def clear_placeholders(staged: Staged) -> Staged:
    """Read a date such as 9999-12-31 in an optional column as no value, and say how many there are."""
    schema = staged.frame.collect_schema()
    far = {
        name: is_far(pl.col(name), column.kind)
        for name, column in staged.table.columns.items()
        if column.kind in {Kind.TIMESTAMP, Kind.DATE} and not column.required and name in schema
    }
    if not far:
        return staged
    counts = (
        staged.frame.select(is_it.sum().alias(name) for name, is_it in far.items())
        .collect()
        .row(0, named=True)
    )
    found = {name: count for name, count in counts.items() if count}
    if not found:
        return staged
    cleared = staged.frame.with_columns(pl.when(~far[name]).then(pl.col(name)).alias(name) for name in found)
    notes = tuple(
        f"{staged.place}: {count} rows have a {name} that means none (before 1901, after 2199, or the first "
        "instant of 1970). It is read as no value."
        for name, count in found.items()
    )
    return staged.with_frame(cleared).with_notes(*notes)
