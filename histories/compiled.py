"""Compiled loops: `compiled` turns a plain function on arrays into machine code, once, and keeps its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

__all__ = ["compiled"]

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(function: Loop) -> Loop:
    """Return the same function as machine code, cached on disk, free of the interpreter lock."""
    return njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
