"""Rows of purchases to figures of each customer, in one counting sort.

Customers get codes 0, 1, ... in the order in which they first appear, and rows are sorted into blocks of
customers whose figures fit a processor's cache. Within a block one pass adds up what adds up; a second one
lays the days of each customer side by side, where those that repeat are counted once.
"""

from __future__ import annotations

import numpy as np

from histories.arrays import Integer, Whole
from histories.compiled import compiled

#: How a multiplicative hash spreads ids over a table (2^64 over the golden ratio).
CODE = np.uint64(0x9E3779B97F4A7C15)
#: A block is 2^BLOCK customers.
BLOCK = 11
#: Stands for a margin that is not known.
UNKNOWN = np.iinfo(np.int64).min
#: Added to a day, so that none is negative beside its customer's code.
EPOCH = 1 << 31
#: Days are marked in words of 64 where these are no more than a customer's rows and so many.
SPARE = 64


@compiled
def code_ids(ids: Integer) -> tuple[Whole, Integer]:
    """The code of each id, shape (n,), and the row in which each code first appears, shape (codes,)."""
    n = ids.size
    codes = np.empty(n, dtype=np.int32)
    first_rows = np.empty(n, dtype=np.int64)
    if n == 0:
        return codes, first_rows
    low, high = ids.min(), ids.max()
    found = 0
    if np.float64(high) - np.float64(low) < 4.0 * n + 1024.0:  # nearly dense: a table by the id itself
        places = np.full(high - low + 1, -1, dtype=np.int32)
        for i in range(n):
            at = ids[i] - low
            if places[at] < 0:
                places[at] = found
                first_rows[found] = i
                found += 1
            codes[i] = places[at]
        return codes, first_rows[:found].copy()
    bits = np.uint64(12)
    table = np.full(1 << 12, -1, dtype=np.int32)
    for i in range(n):
        if 2 * (found + 1) > table.size:  # half full: twice as large
            bits += np.uint64(1)
            table = np.full(2 * table.size, -1, dtype=np.int32)
            for code in range(found):
                at = np.int64((np.uint64(ids[first_rows[code]]) * CODE) >> (np.uint64(64) - bits))
                while table[at] >= 0:
                    at = (at + 1) & (table.size - 1)
                table[at] = code
        at = np.int64((np.uint64(ids[i]) * CODE) >> (np.uint64(64) - bits))
        while table[at] >= 0 and ids[first_rows[table[at]]] != ids[i]:
            at = (at + 1) & (table.size - 1)
        if table[at] < 0:
            table[at] = found
            first_rows[found] = i
            found += 1
        codes[i] = table[at]
    return codes, first_rows[:found].copy()


@compiled
def tally_purchases(codes: Whole, customers: int, day: Whole, amount: Integer, margin: Integer) -> Integer:
    """Figures of each customer by code, shape (customers, 7).

    The columns are first and last day, different days, sum of amounts, that of the first day, sum of known
    margins, and rows with an unknown one.

    Parameters
    ----------
    codes
        Customer of each row, shape (n,).
    customers
        How many there are.
    day, amount, margin
        Day and amounts of each row; a margin may be `UNKNOWN`, and without any the array may be empty.
    """
    tally = np.zeros((customers, 7), dtype=np.int64)
    blocks = (customers >> BLOCK) + 1
    n, width = codes.size, 2 + (margin.size > 0)
    starts = np.zeros(blocks + 1, dtype=np.int64)
    for i in range(n):
        starts[(codes[i] >> BLOCK) + 1] += 1
    largest = starts.max()
    for block in range(blocks):
        starts[block + 1] += starts[block]
    free = starts[:-1].copy()
    rows = np.empty(n * width, dtype=np.int64)  # flat: a view of each row would cost more than the row
    for i in range(n):
        block = codes[i] >> BLOCK
        at = free[block] * width
        free[block] += 1
        rows[at] = (np.int64(codes[i]) << 32) | (np.int64(day[i]) + EPOCH)
        rows[at + 1] = amount[i]
        if width == 3:
            rows[at + 2] = margin[i]
    days = np.empty(largest, dtype=np.int32)
    seen = np.zeros(largest + SPARE, dtype=np.uint64)
    ends = np.empty((1 << BLOCK) + 1, dtype=np.int64)
    for block in range(blocks):
        first = block << BLOCK
        last = min(first + (1 << BLOCK), customers)
        part = rows[starts[block] * width : starts[block + 1] * width]
        _tally_block(tally, part, width, first, last, days, seen, ends)
    return tally


@compiled
def _tally_block(
    tally: Integer,
    rows: Integer,
    width: int,
    first: int,
    last: int,
    days: Whole,
    seen: Whole,
    ends: Integer,
) -> None:
    """Fill the rows of `tally` for the customers from `first` up to `last`, the latter excluded."""
    ends[: last - first + 1] = 0
    for code in range(first, last):
        tally[code, 0], tally[code, 1] = EPOCH, -EPOCH
    for i in range(0, rows.size, width):
        code, day = _unpacked(rows[i])
        ends[code - first + 1] += 1
        tally[code, 0] = min(tally[code, 0], day)
        tally[code, 1] = max(tally[code, 1], day)
        tally[code, 3] += rows[i + 1]
        if width == 3:
            if rows[i + 2] == UNKNOWN:
                tally[code, 6] += 1
            else:
                tally[code, 5] += rows[i + 2]
    for code in range(first, last):
        if width == 2:
            tally[code, 6] = ends[code - first + 1]
        ends[code - first + 1] += ends[code - first]
    for i in range(0, rows.size, width):  # each place moves from its customer's first row to behind the last
        code, day = _unpacked(rows[i])
        days[ends[code - first]] = day
        ends[code - first] += 1
        if day == tally[code, 0]:
            tally[code, 4] += rows[i + 1]
    begin = 0
    for code in range(first, last):
        end = ends[code - first]
        if end > begin:
            tally[code, 2] = _distinct(days[begin:end], tally[code, 0], tally[code, 1], seen)
        else:
            tally[code, 0] = tally[code, 1] = 0
        begin = end


@compiled
def _unpacked(key: int) -> tuple[int, int]:
    """Code of a customer, and the day."""
    return key >> 32, (key & 0xFFFFFFFF) - EPOCH


@compiled
def _distinct(days: Whole, first: int, last: int, seen: Whole) -> int:
    """How many different days there are; `seen` has a bit for each of them where the span is not too long."""
    words = ((last - first) >> 6) + 1
    different = 0
    if words > days.size + SPARE:
        days.sort()
        for i in range(days.size):
            different += i == 0 or days[i] != days[i - 1]
        return different
    seen[:words] = 0
    for day in days:
        place = day - first
        bit = np.uint64(1) << np.uint64(place & 63)
        different += (seen[place >> 6] & bit) == 0
        seen[place >> 6] |= bit
    return different
