"""Counts of transitions between channels: the additive statistic behind a Markov chain of journeys.

A state is the last `order` channels of a journey (fewer at its beginning), or (start). From each state a
journey goes on to a state, to the conversion or to null; all of these are counted, self-loops too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from attribution.credits.rows import CONVERSION, NULL, START
from attribution.credits.schemas import TRANSITIONS_SCHEMA
from attribution.paths.encoded import EncodedPaths, sum_by
from histories.arrays import Float, Integer
from histories.errors import DataError, SchemaError

STATE_SEPARATOR = " > "
LARGEST_KEY_TABLE = 20_000_000
LARGEST_DENSE_COUNT = 2_048


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransitionCounts:
    """How often journeys went from state to state. State 0 is (start), 1..S the others."""

    order: int
    """Channels that a state remembers."""
    channels: tuple[str, ...]
    """Names of the C channels."""
    states: tuple[tuple[int, ...], ...]
    """Codes of the channels of each state, oldest first; () is (start); length S + 1."""
    moves: sparse.csr_array
    """Transitions between states, shape (S + 1, S + 1)."""
    conversions: Float
    """Transitions to the conversion, shape (S + 1,)."""
    nulls: Float
    """Transitions to null, shape (S + 1,)."""
    value: Float
    """Worth of the conversions that followed each state, in currency, shape (S + 1,)."""

    def names(self) -> list[str]:
        """Each state as text."""
        texts = (STATE_SEPARATOR.join(self.channels[code] for code in state) for state in self.states)
        return [START, *list(texts)[1:]]


def count_transitions(paths: EncodedPaths, *, order: int = 1) -> TransitionCounts:
    """Transitions of counted paths, each as often as it was walked. Paths without a touch are left out."""
    state, states = _states(paths, order)
    size = len(states)
    walked = paths.lengths > 0
    ends = state[paths.offsets[1:][walked] - 1]
    return TransitionCounts(
        order=order,
        channels=paths.channels,
        states=states,
        moves=_count_moves(state, paths, size),
        conversions=sum_by(ends, paths.conversions[walked], size),
        nulls=sum_by(ends, paths.nulls[walked], size),
        value=sum_by(ends, paths.value[walked], size),
    )


def _states(paths: EncodedPaths, order: int) -> tuple[NDArray[np.int32], tuple[tuple[int, ...], ...]]:
    """State after each touch (from 1), and what each state remembers."""
    if order == 1:
        return paths.codes + np.int32(1), ((), *((code,) for code in range(len(paths.channels))))
    key = paths.codes.astype(np.int64) + 1
    base = len(paths.channels) + 1
    position = np.arange(key.size) - np.repeat(paths.offsets[:-1], paths.lengths)
    for back in range(1, order):
        earlier = np.zeros_like(key)
        earlier[back:] = paths.codes[:-back] + 1
        key += np.where(position >= back, earlier, 0) * base**back
    present, inverse = _distinct(key)
    remembered = tuple(_digits(int(code), base) for code in present)
    return (inverse + 1).astype(np.int32), ((), *remembered)


def _distinct(key: Integer) -> tuple[Integer, Integer]:
    """Sorted distinct keys, and the place of each key among them; by a table when that is small."""
    largest = int(key.max(initial=0))
    if largest > LARGEST_KEY_TABLE:
        return np.unique(key, return_inverse=True)
    seen = np.zeros(largest + 1, bool)
    seen[key] = True
    present = np.flatnonzero(seen)
    rank = np.zeros(largest + 1, np.int64)
    rank[present] = np.arange(present.size)
    return present, rank[key]


def _digits(key: int, base: int) -> tuple[int, ...]:
    """Channel codes packed in `key`, oldest first."""
    codes: list[int] = []
    while key:
        key, digit = divmod(key, base)
        codes.insert(0, digit - 1)
    return tuple(codes)


def _count_moves(state: NDArray[np.int32], paths: EncodedPaths, size: int) -> sparse.csr_array:
    """Moves along each path, from (start) to its last state, as often as it was walked."""
    from attribution.paths.tokens import (
        count_moves,
    )  # a service that reads credits need not load the compiler

    if size <= LARGEST_DENSE_COUNT:
        return sparse.csr_array(count_moves(state, paths.offsets, paths.journeys, size))
    before = np.empty_like(state)
    before[1:] = state[:-1]
    before[paths.offsets[:-1][paths.lengths > 0]] = 0
    return _cross_counts(before, state, np.repeat(paths.journeys, paths.lengths), size)


def _cross_counts(
    row: NDArray[np.integer], column: NDArray[np.integer], weight: Float, size: int
) -> sparse.csr_array:
    """Summed weights of each (row, column)."""
    return sparse.coo_array((weight, (row, column)), shape=(size, size)).tocsr()


def read_transitions(table: pl.DataFrame) -> TransitionCounts:
    """Counts from a table of from_state, to_state, n, where only aggregated journeys are kept.

    The states "start", "conversion" and "null" may be written with or without brackets, in any case. Every
    other state is a channel.

    Raises
    ------
    SchemaError
        A column is missing.
    DataError
        A count is negative, no journey starts, or a journey goes on after its end.
    """
    missing = {"from_state", "to_state", "n"} - set(table.columns)
    if missing:
        raise SchemaError(f"transitions: no column {sorted(missing)}. Found: {', '.join(table.columns)}.")
    bad = table.filter(~(pl.col("n") >= 0).fill_null(False)).height
    if bad:
        raise DataError(f"transitions: n is missing or negative in {bad} of {table.height} rows.")
    origin, target = (_canonical(table[name]) for name in ("from_state", "to_state"))
    n = table["n"].cast(pl.Float64).to_numpy()
    ended = [name for name in (CONVERSION, NULL) if name in set(origin)]
    if ended or START in set(target) or START not in set(origin):
        raise DataError(
            f'transitions: journeys start in "{START}" and end in "{CONVERSION}" or "{NULL}". Found '
            f"{len(ended)} end(s) in from_state; {START} must stand in from_state and not in to_state."
        )
    channels = tuple(sorted({*origin, *target} - {START, CONVERSION, NULL}))
    place = {START: 0, **{name: i + 1 for i, name in enumerate(channels)}}
    size = len(place)
    rows = np.array([place[name] for name in origin], np.int64)
    columns = np.array([place.get(name, -1 if name == CONVERSION else -2) for name in target], np.int64)
    inner = columns >= 0
    return TransitionCounts(
        order=1,
        channels=channels,
        states=((), *((code,) for code in range(len(channels)))),
        moves=_cross_counts(rows[inner], columns[inner], n[inner], size),
        conversions=sum_by(rows[columns == -1], n[columns == -1], size),
        nulls=sum_by(rows[columns == -2], n[columns == -2], size),
        value=np.zeros(size),
    )


def _canonical(states: pl.Series) -> list[str]:
    """State names with the three special ones in brackets."""
    special = {word.strip("()"): word for word in (START, CONVERSION, NULL)}
    return [special.get(name.strip("() ").lower(), name) for name in states.cast(pl.String).to_list()]


def transition_table(counts: TransitionCounts, *, outcome: str, segment: str) -> pl.DataFrame:
    """The counts in TRANSITIONS_SCHEMA, with the probability of each transition from its state."""
    names = counts.names()
    moves = counts.moves.tocoo()
    everything = np.arange(len(names))
    origin = np.concatenate([moves.row, everything, everything])
    target = [names[column] for column in moves.col]
    target += [CONVERSION] * len(names) + [NULL] * len(names)
    n = np.concatenate([moves.data, counts.conversions, counts.nulls])
    table = pl.DataFrame(
        {"from": origin, "from_state": [names[i] for i in origin], "to_state": target, "n": n}
    )
    return (
        table.filter(pl.col("n") > 0)
        .with_columns(
            outcome=pl.lit(outcome),
            segment=pl.lit(segment),
            order=pl.lit(counts.order),
            probability=pl.col("n") / pl.col("n").sum().over("from"),
        )
        .sort("from", "to_state")
        .select(pl.col(name).cast(dtype) for name, dtype in TRANSITIONS_SCHEMA.items())
    )
