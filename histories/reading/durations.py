"""Read lengths of time as desks export them: numbers of some unit, `1:02:03`, `2 h 5 min`."""

from __future__ import annotations

import re
from typing import Final, Literal

import polars as pl

from histories.reading.numbers import NumberOptions, numbers, why_unreadable

__all__ = ["SECONDS", "Unit", "durations", "why_no_duration"]

Unit = Literal["milliseconds", "seconds", "minutes", "hours", "days", "hours:minutes", "minutes:seconds"]
SECONDS: Final = {"milliseconds": 1e-3, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
"""Seconds of each unit that a plain number may count."""

_NUMBER = r"(\d+(?:\.\d+)?)"
_CLOCK = r"^(?:(\d+)(?:\s*d(?:ays?)?[ ,]+|\.))?(\d+):(\d\d):(\d\d(?:\.\d+)?)(?:\s*h(?:rs?|ours?)?)?$"
_HOURS = r"^(\d+):(\d\d)\s*h(?:rs?|ours?)?$"
_WORDS = (
    rf"^(?:{_NUMBER}\s*d(?:ays?)?)?[ ,]*(?:{_NUMBER}\s*h(?:rs?|ours?)?)?[ ,]*"
    rf"(?:{_NUMBER}\s*m(?:ins?|inutes?)?)?[ ,]*(?:{_NUMBER}\s*s(?:ecs?|econds?)?)?$"
)
_PAIR = r"^(\d+):(\d\d)$"
_D, _H, _M, _S = 86_400.0, 3600.0, 60.0, 1.0


def durations(text: pl.Expr, options: NumberOptions, *, ours: str, given: Unit | None = None) -> pl.Expr:
    """Float64 of texts in the unit `ours`; null where a text is no length of time.

    A plain number counts the unit `given`, `ours` without it. Hours, minutes and seconds (`1:02:03`, days
    before them), and numbers with their units (`2 h 5 min`), say themselves what they are; `22:15` does
    only where `given` says so.

    >>> texts = pl.lit(pl.Series(["1:02:00", "2 h 5 min", "1 day 0:30:00", "00:22 hrs", "7.5", "22:15"]))
    >>> pl.select(durations(texts, NumberOptions(), ours="minutes")).to_series().to_list()
    [62.0, 125.0, 1470.0, 22.0, 7.5, None]
    """
    said = text.str.to_lowercase()
    pairs = {"hours:minutes": (_PAIR, (_H, _M)), "minutes:seconds": (_PAIR, (_M, _S))}
    forms = [(_CLOCK, (_D, _H, _M, _S)), (_HOURS, (_H, _M)), (_WORDS, (_D, _H, _M, _S))]
    forms += [pairs[given]] if given in pairs else []
    plain = numbers(text, options) * SECONDS.get(given or ours, SECONDS[ours])
    return pl.coalesce(plain, *(_summed(said, form, parts) for form, parts in forms)) / SECONDS[ours]


def _summed(text: pl.Expr, form: str, parts: tuple[float, ...]) -> pl.Expr:
    found = [
        text.str.extract(form, place).cast(pl.Float64, strict=False).fill_null(0.0) * seconds
        for place, seconds in enumerate(parts, start=1)
    ]
    return pl.when(text.str.contains(form) & (text != "")).then(pl.sum_horizontal(found))


def why_no_duration(value: str, options: NumberOptions, key: str, name: str) -> str:
    """What to set, or to change in the file, so that a length like this one can be read.

    >>> why_no_duration("22:15", NumberOptions(), "inputs.cases", "handling_seconds")
    'Set inputs.cases.units = { handling_seconds = "hours:minutes" }, or "minutes:seconds".'
    """
    if re.fullmatch(_PAIR, value.strip()):
        return f'Set {key}.units = {{ {name} = "hours:minutes" }}, or "minutes:seconds".'
    return why_unreadable(value, options, key)
