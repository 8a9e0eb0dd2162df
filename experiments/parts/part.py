"""What a part of a run makes; one that fails costs no other: the reason takes its place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import polars as pl
from polars.exceptions import PanicException

from histories.errors import StorageError, TributaryError, reason_of

T = TypeVar("T")

FAULTS: Final = (Exception, PanicException)
"""Whatever a part may end in; a panic of Polars is no `Exception`."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a part of a run made, as far as there was anything to make.

    Attributes
    ----------
    tables
        As the bundle keeps them, by name.
    pictures
        Frames behind the report's charts, by name.
    notes
        What looks wrong or is to be known, one sentence or two each.
    left_out
        What could not be made, with the reason.
    """

    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    pictures: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def attempt(left_out: MutableMapping[str, str], part: str, make: Callable[[], T]) -> T | None:
    """What `make` makes; None, and the reason in `left_out`, when it fails.

    A fault that is no refusal is logged with its traceback.

    Raises
    ------
    StorageError
        When the disk takes no more: no further part could be made either.
    """
    try:
        return make()
    except StorageError:
        raise
    except FAULTS as error:
        left_out[part] = reason_of(error)
        if not isinstance(error, TributaryError):
            _LOG.debug("%s failed", part, exc_info=error)
    return None
