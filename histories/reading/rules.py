"""What is asked of a row, one rule after another; a row that breaks several is counted under the first.

A broken rule *rejects* the row, which counts towards the limit of the run, or *sets it aside*, which does
not: a guest's order is no mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from histories.money import LARGEST_AMOUNT
from histories.periods import end_of_day
from histories.reading.casts import CastOptions, text_value
from histories.reading.numbers import why_no_duration, why_unreadable
from histories.reading.schemas import Column, Kind, Table
from histories.reading.times import why_no_time

RAW = "\x1ffound in "
"""Prefix of a column as it was found, beside the same column after the cast."""
NUMBER = "\x1fnumber in "
"""Prefix of a column as Float64, before it is rounded or bounded."""
AFTER_END = "after observation_end"
"""Name of the rule that cuts a table at the end of the observation."""
EARLIEST, LATEST = datetime(1901, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""No date of a customer lies outside: what does is a placeholder for "none" or "never"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a table.

    Attributes
    ----------
    name
        As it stands in the rejected rows.
    broken
        True for a row that breaks the rule.
    says
        What such rows do, e.g. "have no readable timestamp".
    expected
        What is allowed and the next step, as sentences.
    shows
        Our column whose value may be shown; None when it is personal or there is none.
    sets_aside
        Whether the row is set aside and not rejected.
    explain
        Of the value found: what is allowed and the next step; empty where `expected` says it.
    """

    name: str
    broken: pl.Expr
    says: str
    expected: str = ""
    shows: str | None = None
    sets_aside: bool = False
    explain: Callable[[str], str] | None = None


def is_far(time: pl.Expr, kind: Kind) -> pl.Expr:
    """Whether a time is a placeholder: outside all proportion, or the very start of 1970."""
    if kind is Kind.DATE:
        return (time < EARLIEST.date()) | (time >= LATEST.date())
    since = time.to_physical()
    low, high = (int(edge.timestamp()) * 1_000_000 for edge in (EARLIEST, LATEST))
    return (since < low) | (since >= high) | (since == 0)


def first_broken(rules: list[Rule]) -> pl.Expr:
    """Name of the first rule that a row breaks; null for a valid row."""
    if not rules:
        return pl.lit(None, dtype=pl.String)
    return pl.coalesce(*(pl.when(rule.broken).then(pl.lit(rule.name)) for rule in rules))


def row_rules(
    table: Table,
    dtypes: Mapping[str, pl.DataType],
    *,
    options: CastOptions,
    observation_end: date,
    drops_zero: bool,
) -> list[Rule]:
    """Every rule that a single row can be judged by; `dtypes` are the source's, by our names."""
    rules: list[Rule] = []
    for name, column in table.columns.items():
        if name in dtypes:
            needed = column.required or name in _needed_for_amount(table, dtypes)
            rules += _column_rules(table, name, column, dtypes[name], options, needed=needed)
    if table.name == "transactions" and "amount" not in dtypes:
        rules.append(_too_large("amount", pl.col("amount").is_null()))
    for first, second in table.pairs:
        if first in dtypes and second in dtypes:
            rules.append(
                Rule(
                    name=f"{second} before {first}",
                    broken=_is_before(table, second, first),
                    says=f"have {second} before {first}",
                    expected=f"Expected {first} first.",
                )
            )
    if table.name == "paths" and "value" in dtypes:
        rules.append(
            Rule(
                name="value without a conversion",
                broken=(pl.col("conversions") == 0) & (pl.col("value") != 0),
                says="have a value and no conversion",
                expected="Expected a value of 0 where nothing was converted.",
                shows="value",
            )
        )
    if table.name == "assumptions":
        rules += _outside_range(dtypes)
    rules += _set_aside(table, dtypes, options, observation_end, drops_zero)
    return rules


def _outside_range(dtypes: Mapping[str, pl.DataType]) -> Iterator[Rule]:
    """A value that its own range does not hold."""
    for end, broken in (("low", pl.col("value") < pl.col("low")), ("high", pl.col("value") > pl.col("high"))):
        if end in dtypes:
            yield Rule(
                name=f"value outside {end}",
                broken=broken,
                says=f"have a value {'below low' if end == 'low' else 'above high'}",
                expected="Expected a value from low to high; correct one of the three.",
                shows="value",
            )


def _column_rules(
    table: Table, name: str, column: Column, dtype: pl.DataType, options: CastOptions, *, needed: bool
) -> Iterator[Rule]:
    found, value = pl.col(RAW + name), pl.col(name)
    is_missing = text_value(found, dtype, column.kind).is_null() if dtype == pl.String else found.is_null()
    shows = None if column.personal else name
    if needed:
        yield Rule(
            name=f"missing {name}", broken=is_missing, says=f"have no {name}", expected="Expected a value."
        )
    if column.kind in {Kind.MONEY, Kind.NUMBER} and (dtype.is_float() or dtype == pl.String):
        yield Rule(
            name=f"infinite {name}",
            broken=pl.col(NUMBER + name).is_infinite(),
            says=f"have an infinite {name}",
            expected="Expected a finite number; look for a division by zero where the table is made.",
            shows=shows,
        )
    if column.kind is Kind.MONEY:
        yield _too_large(name, pl.col(NUMBER + name).abs() >= LARGEST_AMOUNT)
    yield Rule(
        name=f"unreadable {name}",
        broken=(value.is_null() | _beyond_calendar(value, column)) & ~is_missing,
        says=f"have no readable {name}",
        expected=_expected(table, name, column, options),
        shows=shows,
        explain=_explainer(table, name, column, options),
    )
    yield from _range_rules(name, column, shows)


def _beyond_calendar(value: pl.Expr, column: Column) -> pl.Expr:
    """Whether a required date lies beyond all calendars in use; a table's own time is judged later."""
    if column.kind is not Kind.DATE or not column.required:
        return pl.lit(False)
    return ~value.is_between(date.min, date.max)


def _range_rules(name: str, column: Column, shows: str | None) -> Iterator[Rule]:
    value = pl.col(name)
    if column.low is not None:
        outside = value < column.low
        if column.high is not None:
            outside = outside | (value > column.high)
        says = f"have {name} outside {column.range}" if column.high is not None else f"have a negative {name}"
        yield Rule(
            name=says.removeprefix("have ").removeprefix("a "),
            broken=outside,
            says=says,
            expected=f"Allowed: {column.range}. {column.hint}".rstrip(),
            shows=shows,
        )
    if column.allowed:
        yield Rule(
            name=f"{name} not allowed",
            broken=~value.is_in(list(column.allowed)),
            says=f"have an unknown {name}",
            expected=f"Allowed: {', '.join(column.allowed)}.",
            shows=shows,
        )


def _needed_for_amount(table: Table, dtypes: Mapping[str, pl.DataType]) -> tuple[str, ...]:
    """The amount, or both of what it is computed from."""
    if table.name != "transactions":
        return ()
    return ("amount",) if "amount" in dtypes else ("quantity", "unit_price")


def _too_large(name: str, broken: pl.Expr) -> Rule:
    return Rule(
        name=f"{name} too large",
        broken=broken,
        says=f"have {name} beyond what can be added exactly",
        expected=f"Allowed: below {LARGEST_AMOUNT:.0e} in the currency.",
        shows=name,
    )


def _is_before(table: Table, second: str, first: str) -> pl.Expr:
    before = pl.col(second) < pl.col(first)
    kind = table.columns[second].kind
    return before & ~is_far(pl.col(second), kind) if kind in {Kind.TIMESTAMP, Kind.DATE} else before


def _explainer(table: Table, name: str, column: Column, options: CastOptions) -> Callable[[str], str] | None:
    key = f"inputs.{table.name}"
    if column.kind in {Kind.TIMESTAMP, Kind.DATE}:
        return lambda value: why_no_time(value, options.times, key)
    if column.measures:
        return lambda value: why_no_duration(value, options.numbers, key, name)
    if column.kind is Kind.MONEY:
        share = f"Expected an amount in the currency as {name}, and no share."
        return lambda value: share if "%" in value else why_unreadable(value, options.numbers, key)
    if column.kind in {Kind.NUMBER, Kind.INTEGER}:
        return lambda value: why_unreadable(value, options.numbers, key)
    return None


def _expected(table: Table, name: str, column: Column, options: CastOptions) -> str:
    if column.kind in {Kind.TIMESTAMP, Kind.DATE}:
        key = f"inputs.{table.name}.timestamp_format"
        if options.times.form is not None:
            return f'Expected {key} = "{options.times.form}"; correct it or the rows.'
        return f"Expected ISO dates; set {key} otherwise."
    if column.measures:
        return (
            f"Expected {column.measures} in {name}, or 1:02:03, or 2 h 5 min; name another unit in "
            f"inputs.{table.name}.units."
        )
    mark = "point" if options.numbers.decimal == "." else "comma"
    thousands = options.numbers.thousands
    grouped = (
        f'complete groups of three digits between "{thousands}"'
        if thousands
        else "without thousands separators"
    )
    words = {
        Kind.MONEY: f"a number with a decimal {mark} and {grouped}",
        Kind.NUMBER: f"a number with a decimal {mark}",
        Kind.INTEGER: "a whole number",
        Kind.BOOLEAN: "true or false",
    }
    means = {Kind.NUMBER: "numbers", Kind.BOOLEAN: "true or false"}.get(column.kind)
    mapped = f" Words become {means} with inputs.{table.name}.values." if means else ""
    return f"Expected {words.get(column.kind, 'text')} in {name}.{mapped}"


def _set_aside(
    table: Table,
    dtypes: Mapping[str, pl.DataType],
    options: CastOptions,
    observation_end: date,
    drops_zero: bool,
) -> Iterator[Rule]:
    if table.name == "transactions":
        yield Rule(
            name="guest",
            broken=pl.col("customer_id").is_null(),
            says="belong to guests (no customer_id)",
            sets_aside=True,
        )
    if table.name == "touchpoints" and "handle" not in dtypes:
        yield Rule(
            name="no customer",
            broken=pl.col("customer_id").is_null(),
            says="have no customer_id",
            sets_aside=True,
        )
    if table.dated is not None and observation_end < date.max:
        yield Rule(
            name=AFTER_END,
            broken=pl.col(table.dated) >= end_of_day(observation_end, options.times.timezone),
            says=f"are dated after observation_end ({observation_end})",
            sets_aside=True,
        )
    if table.name == "transactions" and drops_zero:
        yield Rule(
            name="zero amount",
            broken=pl.col("amount") == 0,
            says="have the amount 0",
            sets_aside=True,
        )
