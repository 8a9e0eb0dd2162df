"""A filter language over columns of customers, as links and configurations carry it.

::

    and(gt(churn_probability, .7), or(gt(customer_lifetime_value, 200), eq(region, "north")))

==================================  ====================================================
``eq ne lt le gt ge(column, value)``  compares; an unknown value never compares as true
``between(column, low, high)``        both ends included
``in(column, value, ...)``            one of these
``known(column)``, ``unknown(column)``  whether there is a value
``and(...)``, ``or(...)``, ``not(...)``  combine filters
``segment("name")``                   a segment that the configuration names
``sample(share, "name")``             a random part that stays the same for as long as ids do
==================================  ====================================================

A column is a bare word, or a text in double quotes. A value is a number, ``true``, ``false``, or a text in
double quotes as JSON writes it; a date is a text such as ``"2026-06-30"``. A filter has at most 4,096
characters, 100 comparisons and 16 levels.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Final

import polars as pl

from histories.errors import ConfigError, nearest

LONGEST: Final = 4096
DEEPEST: Final = 16
MOST_COMPARISONS: Final = 100

Value = float | str | bool | dt.date

_COMPARING: Final = {
    "eq": 1,
    "ne": 1,
    "lt": 1,
    "le": 1,
    "gt": 1,
    "ge": 1,
    "between": 2,
    "known": 0,
    "unknown": 0,
}
_COMBINING: Final = ("and", "or", "not")
_WORDS: Final = (*_COMPARING, "in", *_COMBINING, "segment", "sample")
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<word>[A-Za-z_][A-Za-z0-9_.]*)
          |(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)
          |(?P<text>"(?:[^"\\]|\\.)*")
          |(?P<mark>[(),]))""",
    re.VERBOSE,
)


class FilterError(ConfigError):
    """A filter is wrong; the message says at which character, and what is expected there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One column compared with values.

    Attributes
    ----------
    at
        Where it stands in the text, from 1.
    """

    operator: str
    column: str
    values: tuple[Value, ...]
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Filters joined by `and`, `or` or `not`."""

    operator: str
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A segment of the configuration."""

    name: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A random part of all customers, drawn by a hash of id and name."""

    share: float
    name: str


Filter = Comparison | Combination | Named | Sample


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises
    ------
    FilterError
        When it does not follow the grammar.

    >>> parse_filter('ge(frequency, 2)')
    Comparison(operator='ge', column='frequency', values=(2.0,), at=1)
    """
    if len(text) > LONGEST:
        raise FilterError(f"The filter has {len(text)} characters; at most {LONGEST} are allowed.")
    reader = _Reader(text)
    found = reader.filter(depth=1)
    reader.end()
    return found


class _Reader:
    """Walks the tokens of a filter."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._comparisons = 0
        self._next()

    def _next(self) -> None:
        """Look at the next token."""
        match = _TOKEN.match(self._text, self._place)
        if match is None:
            rest = self._text[self._place :].strip()
            self._at = len(self._text) - len(self._text[self._place :].lstrip()) + 1
            if rest and rest[0] in "<>=!&|":
                raise FilterError(
                    f'The filter is wrong at character {self._at}: "{rest[0]}" is no part of the language. '
                    'It is written in words: and(gt(churn_probability, .5), eq(region, "north")).'
                )
            if rest:
                raise self._error("a word, a number, a text in double quotes, or one of ( ) ,")
            self.kind, self.token = "end", ""
            return
        self.kind = str(match.lastgroup)
        self.token = match[self.kind]
        self._at = match.start(self.kind) + 1
        self._place = match.end()

    def _error(self, expected: str) -> FilterError:
        return FilterError(f"The filter is wrong at character {self._at}: expected {expected}.")

    def _take(self, kind: str, expected: str) -> str:
        if self.kind != kind:
            raise self._error(expected)
        token = self.token
        self._next()
        return token

    def _mark(self, mark: str) -> None:
        if self.token != mark or self.kind != "mark":
            raise self._error(f'"{mark}"')
        self._next()

    def end(self) -> None:
        """Nothing may follow."""
        if self.kind != "end":
            raise self._error("the end of the filter")

    def filter(self, *, depth: int) -> Filter:
        """One filter with its brackets."""
        if depth > DEEPEST:
            raise self._error(f"no further level: {DEEPEST} are allowed")
        at = self._at
        word = self._take("word", f"one of {', '.join(_WORDS)}")
        if word not in _WORDS:
            raise FilterError(f"The filter is wrong at character {at}: {nearest(word, _WORDS)}")
        self._mark("(")
        if word in _COMBINING:
            parts = [self.filter(depth=depth + 1)]
            while self.token == "," and word != "not":
                self._next()
                parts.append(self.filter(depth=depth + 1))
            self._mark(")")
            return Combination(operator=word, parts=tuple(parts))
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            raise self._error(f"no further comparison: {MOST_COMPARISONS} are allowed")
        return self._leaf(word, at)

    def _leaf(self, word: str, at: int) -> Filter:
        if word == "segment":
            name = self._string()
            self._mark(")")
            return Named(name=name, at=at)
        if word == "sample":
            share = self._value()
            if isinstance(share, bool) or not isinstance(share, float) or not 0 <= share <= 1:
                raise FilterError(f"The filter is wrong at character {at}: a share is from 0 to 1.")
            self._mark(",")
            name = self._string()
            self._mark(")")
            return Sample(share=share, name=name)
        column = self._string() if self.kind == "text" else self._take("word", "a column")
        values: list[Value] = []
        while self.token == "," and self.kind == "mark":
            self._next()
            values.append(self._value())
        self._mark(")")
        wanted = _COMPARING.get(word)
        if len(values) != wanted if wanted is not None else not 1 <= len(values) <= MOST_COMPARISONS:
            number = f"{wanted}" if wanted is not None else f"1 to {MOST_COMPARISONS}"
            raise FilterError(
                f"The filter is wrong at character {at}: {word} takes a column and {number} values."
            )
        return Comparison(operator=word, column=column, values=tuple(values), at=at)

    def _string(self) -> str:
        token = self._take("text", "a text in double quotes")
        try:
            found: str = json.loads(token)
            found.encode()
        except ValueError:
            raise self._error("a text as JSON writes it") from None
        return found

    def _value(self) -> Value:
        if self.kind == "text":
            return self._string()
        if self.kind == "word" and self.token in ("true", "false"):
            return self._take("word", "") == "true"
        number = float(self._take("number", "a number, true, false, or a text in double quotes"))
        if not math.isfinite(number):
            raise self._error("a smaller number before it")
        return number


def bind_filter(
    found: Filter,
    columns: Mapping[str, pl.DataType | type[pl.DataType]],
    segments: Mapping[str, Filter] | None = None,
) -> Filter:
    """A filter whose columns exist, whose values have their type, and whose named segments are put in.

    Parameters
    ----------
    found
        What `parse_filter` gave.
    columns
        Polars types by name.
    segments
        Named filters, which may name others, but not themselves.

    Raises
    ------
    FilterError
        With the place of what does not fit.
    """
    return _bind(found, columns, segments or {}, open_names=())


def _bind(
    found: Filter,
    columns: Mapping[str, pl.DataType | type[pl.DataType]],
    segments: Mapping[str, Filter],
    open_names: tuple[str, ...],
) -> Filter:
    if isinstance(found, Combination):
        parts = tuple(_bind(part, columns, segments, open_names) for part in found.parts)
        return Combination(operator=found.operator, parts=parts)
    if isinstance(found, Named):
        if found.name in open_names or len(open_names) >= DEEPEST:
            raise FilterError(f"The filter is wrong at character {found.at}: segments name each other.")
        if found.name not in segments:
            known = nearest(found.name, segments) if segments else "the configuration names no segment"
            raise FilterError(f"The filter is wrong at character {found.at}: no such segment; {known}")
        return _bind(segments[found.name], columns, segments, (*open_names, found.name))
    if isinstance(found, Comparison):
        if found.column not in columns:
            raise FilterError(
                f"The filter is wrong at character {found.at}: no such column; "
                f"{nearest(found.column, columns)}"
            )
        values = tuple(_typed(value, columns[found.column], found) for value in found.values)
        return Comparison(operator=found.operator, column=found.column, values=values, at=found.at)
    return found


def _typed(value: Value, dtype: pl.DataType | type[pl.DataType], found: Comparison) -> Value:
    """A value in the type of its column."""
    if dtype.is_numeric() and type(value) is float:
        return value
    if dtype == pl.Boolean and isinstance(value, bool):
        return value
    if dtype == pl.String and isinstance(value, str):
        return value
    if dtype == pl.Date and isinstance(value, str):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            pass
    expected = (
        "a number"
        if dtype.is_numeric()
        else {pl.Boolean: "true or false", pl.Date: 'a date such as "2026-06-30"'}.get(
            dtype.base_type(), "a text in double quotes"
        )
    )
    raise FilterError(
        f"The filter is wrong at character {found.at}: the column {found.column} is compared with {expected}."
    )


def filter_expression(found: Filter, sample: Mapping[Sample, pl.Expr] | None = None) -> pl.Expr:
    """A bound filter as a Polars expression that is true or false, never null.

    Parameters
    ----------
    found
        What `bind_filter` gave.
    sample
        Expressions for its samples.

    >>> frame = pl.DataFrame({"x": [1, None, 3]})
    >>> bound = bind_filter(parse_filter("not(gt(x, 2))"), frame.schema)
    >>> frame.filter(filter_expression(bound))["x"].to_list()
    [1, None]
    """
    if isinstance(found, Combination):
        parts = [filter_expression(part, sample) for part in found.parts]
        if found.operator == "not":
            return ~parts[0]
        return reduce((lambda a, b: a & b) if found.operator == "and" else (lambda a, b: a | b), parts)
    if isinstance(found, Comparison):
        return _comparison(found).fill_null(False)
    if isinstance(found, Sample) and sample is not None and found in sample:
        return sample[found]
    raise FilterError("A segment or a sample stands in a filter that was not bound.")


def _comparison(found: Comparison) -> pl.Expr:
    column = pl.col(found.column)
    match found.operator:
        case "known":
            return column.is_not_null()
        case "unknown":
            return column.is_null()
        case "in":
            return reduce(lambda a, b: a | b, [column == pl.lit(value) for value in found.values])
        case "between":
            return (column >= pl.lit(found.values[0])) & (column <= pl.lit(found.values[1]))
        case operator:
            compared: pl.Expr = getattr(column, operator)(pl.lit(found.values[0]))
            return compared
