"""Arrays that wait in a file and come to memory as they are read; the system takes the pages back at need."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from histories.engines.spill import spilling


def open_mapped(file: Path, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """The array in a file of raw numbers; what is written into it stays with this process."""
    if 0 in shape:
        return np.zeros(shape, dtype=dtype)
    return np.asarray(np.memmap(file, dtype=dtype, mode="c", shape=shape))


def moved_to_file(array: NDArray[Any], folder: Path) -> NDArray[Any]:
    """The same numbers in a file without a name under `folder`, which goes with the array.

    Raises
    ------
    StorageError
        When the disk has no room for it.
    """
    if not array.size:
        return array
    with spilling(), tempfile.NamedTemporaryFile(dir=folder) as file:
        array.tofile(file)
        file.flush()
        return np.asarray(np.memmap(file.name, dtype=array.dtype, mode="r", shape=array.shape))


def empty_beside(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """An array of the same shape to be filled: in memory, or in a file where `array` itself is in one.

    The file has no name and goes with the array.

    Raises
    ------
    StorageError
        When the disk has no room for it.
    """
    folder = _folder_of(array)
    if folder is None or not array.size:
        return np.empty(array.shape, dtype=dtype)
    with spilling(), tempfile.NamedTemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, array.size * np.dtype(dtype).itemsize)
        return np.asarray(np.memmap(file.name, dtype=dtype, mode="r+", shape=array.shape))


def _folder_of(array: Any) -> Path | None:
    """The folder of the file that an array is a view of; None for one in memory."""
    while array is not None:
        if isinstance(array, np.memmap) and array.filename is not None:
            return Path(array.filename).parent
        array = getattr(array, "base", None)
    return None
