"""Compiled loops over text paths and over coded ones."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["count_moves", "tokenize"]

_SPACE = 32
_FNV_OFFSET = np.uint64(14695981039346656037)
_FNV_PRIME = np.uint64(1099511628211)
_ONE = np.uint64(1)

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


@njit(cache=True, nogil=True, inline="always")
def _slot_of(
    data: Bytes, first: int, last: int, digest: np.uint64, table: Places, firsts: Places, lasts: Places
) -> np.uint64:
    """Slot of the table that holds the token data[first:last], or the free one where it belongs."""
    mask = np.uint64(table.size - 1)
    slot = digest & mask
    code = table[slot]
    while code >= 0:
        if lasts[code] - firsts[code] == last - first:
            j = 0
            while j < last - first and data[first + j] == data[firsts[code] + j]:
                j += 1
            if j == last - first:
                break
        slot = (slot + _ONE) & mask
        code = table[slot]
    return slot


@njit(cache=True, nogil=True)
def tokenize(
    data: Bytes, offsets: Places, separator: int, slots: int
) -> tuple[bool, NDArray[np.int32], Places, Places, Places]:
    """Split each text at `separator`, trim spaces, and number the distinct tokens as they appear.

    Parameters
    ----------
    data
        UTF-8 bytes of all texts, one after the other.
    offsets
        Where each text starts, and where the last ends; shape (n_texts + 1,).
    separator
        The separating byte.
    slots
        Size of the hash table (FNV-1a, open addresses), a power of two; half of it may be filled.

    Returns
    -------
    tuple
        Whether the table had room for all distinct tokens (the rest is void if not); code of each token;
        where each text's codes start, shape (n_texts + 1,); first byte, and byte after the last, of each
        distinct token. A text of spaces has no token; nothing between two separators is a token of length 0.
    """
    n = offsets.size - 1
    codes = np.empty(n + np.sum(data[offsets[0] : offsets[n]] == separator), np.int32)
    starts = np.zeros(n + 1, np.int64)
    table = np.full(slots, -1, np.int64)
    firsts = np.zeros(slots // 2, np.int64)
    lasts = np.zeros(slots // 2, np.int64)
    distinct = 0
    count = 0
    for text in range(n):
        at = offsets[text]
        end = offsets[text + 1]
        while at < end and data[at] == _SPACE:
            at += 1
        more = at < end
        while more:
            while at < end and data[at] == _SPACE:
                at += 1
            first = last = at
            running = digest = _FNV_OFFSET
            while at < end and data[at] != separator:
                running = (running ^ np.uint64(data[at])) * _FNV_PRIME
                if data[at] != _SPACE:
                    digest = running
                    last = at + 1
                at += 1
            more = at < end
            at += 1
            slot = _slot_of(data, first, last, digest, table, firsts, lasts)
            if table[slot] < 0:
                if distinct == slots // 2:
                    return False, codes, starts, firsts, lasts
                table[slot] = distinct
                firsts[distinct] = first
                lasts[distinct] = last
                distinct += 1
            codes[count] = table[slot]
            count += 1
        starts[text + 1] = count
    return True, codes[:count], starts, firsts[:distinct], lasts[:distinct]


@njit(cache=True, nogil=True)
def count_moves(
    state: Places, offsets: Places, weight: NDArray[np.float64], size: int
) -> NDArray[np.float64]:
    """Summed weight of the moves from state to state, shape (size, size).

    Path i visits state[offsets[i]:offsets[i + 1]] after state 0, weight[i] times.
    """
    moves = np.zeros((size, size))
    for path in range(offsets.size - 1):
        before = 0
        for at in range(offsets[path], offsets[path + 1]):
            moves[before, state[at]] += weight[path]
            before = state[at]
    return moves
