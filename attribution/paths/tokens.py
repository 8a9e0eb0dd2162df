"""Compiled loops over text paths and over coded ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Integer
from histories.compiled import compiled

_SPACE = 32
_FNV_OFFSET = np.uint64(14695981039346656037)
_FNV_PRIME = np.uint64(1099511628211)
_ONE = np.uint64(1)

Bytes = NDArray[np.uint8]


@compiled
def tokenize(
    data: Bytes, offsets: Integer, separator: int, slots: int
) -> tuple[bool, NDArray[np.int32], Integer, Integer, Integer]:
    """Split each text at `separator`, trim spaces, and number the distinct tokens as they appear.

    Tokens are told apart by their 64-bit FNV-1a digest: two of a thousand names share one with a probability
    below 1e-13.

    Parameters
    ----------
    data
        UTF-8 bytes of all texts, one after the other.
    offsets
        Where each text starts, and where the last ends; shape (n_texts + 1,).
    separator
        The separating byte.
    slots
        Size of the hash table (open addresses), a power of two; half of it may be filled.

    Returns
    -------
    tuple
        Whether the table had room for all distinct tokens (the rest is void if not); code of each token;
        where each text's codes start, shape (n_texts + 1,); first byte, and byte after the last, of each
        distinct token. A text of spaces has no token; nothing between two separators is a token of length 0.
    """
    n = offsets.size - 1
    tokens = n
    for at in range(offsets[0], offsets[n]):
        tokens += data[at] == separator
    codes = np.empty(tokens, np.int32)
    starts = np.zeros(n + 1, np.int64)
    table = np.full(slots, -1, np.int32)
    mask = np.uint64(slots - 1)
    digests = np.zeros(slots // 2, np.uint64)
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
            slot = digest & mask
            while table[slot] >= 0 and digests[table[slot]] != digest:
                slot = (slot + _ONE) & mask
            if table[slot] < 0:
                if distinct == slots // 2:
                    return False, codes, starts, firsts, lasts
                table[slot] = distinct
                digests[distinct] = digest
                firsts[distinct] = first
                lasts[distinct] = last
                distinct += 1
            codes[count] = table[slot]
            count += 1
        starts[text + 1] = count
    return True, codes[:count], starts, firsts[:distinct], lasts[:distinct]


@compiled
def count_moves(
    state: NDArray[np.int32], offsets: Integer, weight: NDArray[np.float64], size: int
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
