"""Compiled loops: `compiled` turns a plain function on arrays into machine code, once, and keeps its type.

The machine code is kept beside the source; where that folder cannot be written, in the user's cache folder,
and where there is none either, in a temporary folder of this user's own. What an installation brings compiled
beside a source that cannot be written is copied from there, so that nothing is compiled twice.
`python -m experiments.warm` compiles everything.
"""

from __future__ import annotations

import inspect
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import njit

Loop = TypeVar("Loop", bound=Callable[..., object])

_machine = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
"""A division by zero is no error there, as of arrays: loops of divisions run several at a time. A loop that
calls another takes its code in: a call counts the references to each array it hands over, up and down, which
took a quarter of the chain's passes."""


def compiled(function: Loop) -> Loop:
    """Return the same function as machine code, cached on disk, free of the interpreter lock.

    With `NUMBA_DISABLE_JIT=1` it stays as it is, and an index out of range is an error, no wrong value.
    """
    if numba.config.DISABLE_JIT:
        return function
    try:
        machine = _machine(function)
    except RuntimeError:  # numba's word for: no folder that can be written
        numba.config.CACHE_DIR = str(_temporary_folder())
        machine = _machine(function)
    _carry_over(function, machine)
    return machine  # type: ignore[no-any-return]


def _temporary_folder() -> Path:
    """A folder for machine code that nobody else can write to: what is in it is executed."""
    folder = Path(tempfile.gettempdir()) / f"tributary-compiled-{os.getuid() if hasattr(os, 'getuid') else 0}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        if mine and stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return folder
    return Path(tempfile.mkdtemp(prefix="tributary-compiled-"))


def _carry_over(function: Callable[..., object], machine: Any) -> None:
    """Copy what is compiled beside the source to where numba keeps it now, where that is elsewhere."""
    source = Path(inspect.getfile(function))
    beside, kept = source.parent / "__pycache__", Path(machine.stats.cache_path)
    if beside == kept:
        return
    line = function.__code__.co_firstlineno
    brought = beside.glob(f"{source.stem}.{function.__qualname__}-{line}.*.nb[ci]")
    for file in sorted(brought, key=lambda path: path.suffix):  # the index last, which names the others
        target = kept / file.name
        with suppress(OSError):
            if not target.exists():
                part = target.with_name(f"{file.name}.{os.getpid()}")
                shutil.copyfile(file, part)
                part.replace(target)
