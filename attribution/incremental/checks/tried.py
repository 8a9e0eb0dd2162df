"""Checks and companions that fail: a note beside the credit, never the end of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from histories.errors import ModelError

Found = TypeVar("Found")

FAILURES = (ModelError, ArithmeticError, ValueError)
"""What arithmetic on unforeseen data ends in: no optimum, an overflow, a matrix without inverse."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Runs what may fail and keeps a note of it.

    >>> tried = Tried()
    >>> tried("division", lambda: 1 / 0) is None, tried.notes
    (True, ['the division could not be done: division by zero'])
    """

    notes: list[str] = field(default_factory=list)

    def __call__(self, name: str, attempt: Callable[[], Found]) -> Found | None:
        """What the attempt found; None, and a note, where it failed."""
        try:
            return attempt()
        except FAILURES as error:
            self.notes.append(f"the {name} could not be done: {error}")
            return None
