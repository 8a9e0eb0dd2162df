"""Random parts of customers that stay the same: a hash of id and name, in [0, 1), decides who belongs.

The same id and name give the same number in every run, process and version, so that customers who are held
out of a campaign stay out, whoever asks. Words of eight bytes go one after the other through the finaliser of
SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators", section 5).
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import polars as pl

Array = np.ndarray[Any, np.dtype[Any]]


def sample_numbers(ids: Array, name: str) -> Array:
    """A number in [0, 1) for each id, drawn evenly; shape (n,).

    Parameters
    ----------
    ids
        int64, or UTF-8 bytes padded with zeros, whose width does not matter.
    name
        What the sample is for: other names draw other customers.

    >>> ids = np.arange(10_000)
    >>> round(float((sample_numbers(ids, "spring") < 0.1).mean()), 2)
    0.1
    >>> short, wide = (np.array([b"a", b"bc"], dtype=f"S{width}") for width in (2, 40))
    >>> bool((sample_numbers(short, "x") == sample_numbers(wide, "x")).all())
    True
    """
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    found = np.full(len(ids), seed, dtype=np.uint64)
    if ids.dtype.kind == "i":
        found = _mix(found ^ ids.astype(np.int64).view(np.uint64))
    else:
        for word in _words(ids).T:
            found = np.where(word != 0, _mix(found ^ word), found)
    return (_mix(found) >> np.uint64(11)) * 2.0**-53


def sample_ids(ids: pl.Series, name: str) -> Array:
    """The same numbers for a column of ids, whole numbers or texts."""
    if ids.dtype == pl.String:
        return sample_numbers(np.array([text.encode() for text in ids.to_list()], dtype=bytes), name)
    return sample_numbers(ids.cast(pl.Int64).to_numpy(), name)


def _words(ids: Array) -> Array:
    """Bytes as words of eight, shape (n, words)."""
    width = -(-ids.dtype.itemsize // 8) * 8
    padded = np.zeros((len(ids), width), dtype=np.uint8)
    padded[:, : ids.dtype.itemsize] = np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), -1)
    return padded.view("<u8")


def _mix(values: Array) -> Array:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = values ^ (values >> np.uint64(31))
    return mixed
