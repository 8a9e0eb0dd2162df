"""What commands print: tables for people, JSON for programs, one line a step for logs."""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path
from typing import Any

import click
import orjson
import polars as pl

_LONGEST = 200
_NOTHING = 1e-9
"""A figure below it is what is left of rounding."""


def echo_json(value: Any) -> None:
    """Print plain values, frames and dates as one JSON document."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    click.echo(orjson.dumps(value, default=_plain, option=option).decode())


def _plain(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return value.to_dicts()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot print a {type(value).__name__} as JSON")


def echo_table(frame: pl.DataFrame, *, indent: int = 0) -> None:
    """Print a frame as aligned columns, numbers to the right; an absent value is a dash."""
    texts = [[_cell(value) for value in frame[name]] for name in frame.columns]
    numeric = [frame[name].dtype.is_numeric() for name in frame.columns]
    widths = [max([len(name), *map(len, column)]) for name, column in zip(frame.columns, texts, strict=True)]

    def line(cells: list[str]) -> str:
        placed = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return " " * indent + "  ".join(placed).rstrip()

    click.secho(line(frame.columns), bold=True)
    for row in zip(*texts, strict=True):
        click.echo(line(list(row)))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value if abs(value) > _NOTHING else 0:.4g}"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def without_empty(frame: pl.DataFrame, *keep: str) -> pl.DataFrame:
    """A table without the columns that say nothing."""
    return frame.drop([n for n in frame.columns if n not in keep and frame[n].null_count() == frame.height])


def value_words(value: float | None, unit: str | None, currency: str) -> str | None:
    """A figure in its unit, as a reader wants it; None where there is none."""
    if value is None:
        return None
    if unit == "share":
        return f"{value:.1%}"
    if unit == "cases":
        return f"{value:,.0f}"
    if unit == "currency":
        return f"{value:,.2f} {currency}".strip()
    if unit == "minutes":
        return f"{value:,.0f} min" if value >= 10 else f"{value:.1f} min"
    return f"{value:,.3g} {unit or ''}".strip()


def range_words(row: dict[str, Any], currency: str) -> str | None:
    """Low and high of a row in its unit; None without either."""
    if row["low"] is None and row["high"] is None:
        return None
    low, high = (value_words(row[end], row["unit"], currency) or "…" for end in ("low", "high"))
    return f"{low} to {high}"


class Steps:
    """Progress of long work: a changing line on a terminal, one line a step elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._live = sys.stderr.isatty()
        self._start = time.perf_counter()

    def __call__(self, text: str) -> None:
        """Say what begins now."""
        if self.quiet:
            return
        seconds = time.perf_counter() - self._start
        line = f"[{seconds:6.1f} s] {text}"
        if self._live:
            click.echo(f"\r\x1b[2K{line}", nl=False, err=True)
        else:
            click.echo(line, err=True)

    def done(self) -> None:
        """Clear the changing line."""
        if self._live and not self.quiet:
            click.echo("\r\x1b[2K", nl=False, err=True)
