"""Every error that Tributary raises on purpose.

TributaryError
├── ConfigError          the configuration or the command is wrong; exit status 2
├── DataError            a table was refused; exit status 3
│   └── SchemaError      a table lacks a column, or a column has the wrong type
├── ModelError           no model could be fitted; exit status 4
│   └── ConvergenceError a fit did not reach its optimum; the message names the remedy
├── BundleError          a bundle is damaged, incomplete or of another format
└── StorageError         the disk did not take a file; exit status 5

A message is one sentence or two: the place, how many, what was found, what is allowed, what to do next.
It never holds a customer's id or words.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path

MOST_NAMED = 40
"""More names than these are rather values, of people perhaps, than names to choose from."""


class TributaryError(Exception):
    """Anything that Tributary refuses, with a message for the person who can mend it."""

    exit_status = 1


class ConfigError(TributaryError):
    """The configuration, or the way a command was called, is wrong."""

    exit_status = 2


class DataError(TributaryError):
    """A table was refused."""

    exit_status = 3


class SchemaError(DataError):
    """A table lacks a column, or a column has the wrong type."""


class ModelError(TributaryError):
    """No model could be fitted."""

    exit_status = 4


class ConvergenceError(ModelError):
    """A fit did not reach its optimum; the message names the remedy."""


class BundleError(TributaryError):
    """A bundle is damaged, incomplete or of another format."""

    exit_status = 3


class StorageError(TributaryError):
    """The disk did not take a file; what was there before is there still.

    Attributes
    ----------
    full
        Whether there was no space, so that freeing some helps.
    in_place
        Whether the file was replaced all the same, and only its durability is in doubt.
    """

    exit_status = 5

    def __init__(self, message: str, *, full: bool = False, in_place: bool = False) -> None:
        super().__init__(message)
        self.full, self.in_place = full, in_place


def nearest(name: str, allowed: Iterable[str]) -> str:
    """A hint that names the closest allowed word, or lists all of them where they are not many.

    >>> nearest("horizon_month", ["horizon_months", "interval"])
    'did you mean "horizon_months"?'
    >>> nearest("zzz", ["b", "a"])
    'allowed: a, b'
    >>> nearest("amount", ["AMOUNT ", "ID"])
    'did you mean "AMOUNT "?'
    """
    known = list(allowed)
    close = closest(name, known)
    if close is not None:
        return f'did you mean "{close}"?'
    if len(known) > MOST_NAMED:
        return f"it is none of the {len(known)} there"
    return f"allowed: {', '.join(sorted(known))}" if known else "there is none at all"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The word that is nearest to a misspelled one; None where none is near.

    >>> closest("emial", ["email", "forum"])
    'email'
    """
    words = {word.strip().casefold(): word for word in sorted(known)}
    near = difflib.get_close_matches(name.strip().casefold(), words, n=1)
    return words[near[0]] if near else None


def reason_of(error: BaseException) -> str:
    """Why something could not be made, to stand where its result would be.

    A refusal speaks for itself. Of anything else only the kind and the place are told, never the text, which
    may quote a customer.

    >>> reason_of(DataError("no purchases"))
    'no purchases'
    >>> reason_of(KeyError("Ann"))
    'unexpected KeyError; run again with --debug before the command and report it'
    """
    if isinstance(error, TributaryError):
        return str(error)
    root = Path(__file__).parents[1]
    own = [
        f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent.is_relative_to(root)
    ]
    place = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return (
        f"unexpected {type(error).__name__}{place}; run again with --debug before the command and report it"
    )
