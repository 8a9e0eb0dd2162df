"""Counted paths: channel sequences, how often they converted, what that was worth, how often they did not.

Counts are additive: the paths of all customers are the sum of the paths of their partitions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from attribution.credits.rows import RESERVED_CHANNELS
from attribution.credits.schemas import PATHS_SCHEMA
from histories.arrays import Float
from histories.errors import DataError, SchemaError
from histories.journeys import PATH_WORD_SEPARATOR

SEPARATOR = ">"
_TOO_MANY = 2.0**53
"""From here on a Float64 does not count by ones."""
_SLOTS = 1 << 13
_AT_ONCE = 20_000
_TOUCHES_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedPaths:
    """Counted paths as arrays. Path i is codes[offsets[i]:offsets[i + 1]], first touch first."""

    channels: tuple[str, ...]
    """Names of the C channels, sorted; a code is a position in this tuple."""
    codes: NDArray[np.int32]
    """Channel of each touch, shape (n_touches,)."""
    offsets: NDArray[np.int64]
    """Where each path starts, and where the last ends, shape (n_paths + 1,)."""
    conversions: Float
    """Outcomes that followed, counts, shape (n_paths,)."""
    value: Float
    """Worth of these outcomes together, in currency, shape (n_paths,)."""
    nulls: Float
    """Times that the path ended without the outcome, counts, shape (n_paths,)."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Touches of each path, shape (n_paths,)."""
        return np.diff(self.offsets)

    @property
    def journeys(self) -> Float:
        """Times that each path was walked, with or without the outcome, shape (n_paths,)."""
        return self.conversions + self.nulls

    def parts(self) -> Iterator[EncodedPaths]:
        """The same paths, about a million touches at once; at least one part."""
        n = self.lengths.size
        cuts = np.arange(_TOUCHES_AT_ONCE, self.offsets[-1], _TOUCHES_AT_ONCE)
        bounds = np.unique([0, *np.searchsorted(self.offsets, cuts).tolist(), n])
        for first, last in pairwise(bounds) if n else [(0, 0)]:
            begin, end = self.offsets[first], self.offsets[last]
            yield replace(
                self,
                codes=self.codes[begin:end],
                offsets=self.offsets[first : last + 1] - begin,
                conversions=self.conversions[first:last],
                value=self.value[first:last],
                nulls=self.nulls[first:last],
            )

    def spread(self, weight: Float) -> sparse.csr_array:
        """What each channel has of each path where its touches weigh `weight`, shape (n_paths, C)."""
        shape = (self.lengths.size, len(self.channels))
        shares = sparse.csr_array((weight, self.codes.copy(), self.offsets.copy()), shape=shape)
        shares.sum_duplicates()
        return shares

    def membership(self) -> sparse.csr_array:
        """How often each path touches each channel, shape (n_paths, C)."""
        counts = [part.spread(np.ones(part.codes.size)) for part in self.parts()]
        return sparse.vstack(counts, format="csr")


def encode_paths(paths: pl.DataFrame) -> EncodedPaths:
    """Paths as arrays of channel codes.

    Parameters
    ----------
    paths
        `path`, a list of channels or text "a > b", or `text`, a path in one word as
        `histories.journeys.count_path_texts` writes it; `conversions`; optionally `value` in currency and
        `nulls`. A path without a touch stays, with no codes.

    Raises
    ------
    SchemaError
        A column is missing or has another type.
    DataError
        A path is null, has an empty channel or one with a name of ours, or a count is negative.
    """
    columns = _counts(paths)
    path = paths["text" if "path" not in paths.columns else "path"]
    if path.dtype in (pl.Categorical, pl.Enum):
        path = path.cast(pl.String)
    if path.null_count():
        raise DataError(f"paths: {path.null_count()} of {path.len()} rows have no path. Leave them out.")
    if path.dtype == pl.String:
        names, codes, offsets = _encode_text(path, PATH_WORD_SEPARATOR if path.name == "text" else SEPARATOR)
    else:
        names, codes, offsets = _encode_lists(path)
    if "" in names:
        raise DataError('paths: a channel has no name. Write "a > b", a name on each side of every ">".')
    if taken := RESERVED_CHANNELS.intersection(names):
        raise DataError(
            f'paths: a channel is called "{min(taken)}", a name that the tables of credit use themselves. '
            "Rename it; paths hold channels alone, without (start), (conversion) and (null)."
        )
    order = np.argsort(np.array(names, dtype=object), kind="stable")
    rank = np.empty(len(names), np.int32)
    rank[order] = np.arange(len(names), dtype=np.int32)
    return EncodedPaths(
        channels=tuple(names[i] for i in order), codes=rank[codes], offsets=offsets, **columns
    )


def _counts(paths: pl.DataFrame) -> dict[str, Float]:
    """conversions, value and nulls as floats; an absent optional column is 0."""
    schema = paths.schema
    if schema.get("path", schema.get("text")) not in (
        pl.String,
        pl.Categorical,
        pl.Enum,
        pl.List(pl.String),
    ):
        raise SchemaError('paths: needs a column "path", text "a > b" or a list of channel names.')
    if "conversions" not in schema:
        raise SchemaError(f'paths: needs a column "conversions". Found: {", ".join(schema)}.')
    counts = {}
    for name in ("conversions", "value", "nulls"):
        if name not in schema:
            counts[name] = np.zeros(paths.height)
            continue
        if not schema[name].is_numeric() and schema[name] != pl.Null:
            raise SchemaError(f'paths: "{name}" is {schema[name]}, expected a number in every row.')
        values = paths[name].cast(pl.Float64).fill_null(0.0).to_numpy()
        if not (values.min(initial=0.0) >= 0 and np.isfinite(values).all()):
            bad = int((~(np.isfinite(values) & (values >= 0))).sum())
            raise DataError(f'paths: "{name}" is negative or not finite in {bad} of {paths.height} rows.')
        if values.sum() >= _TOO_MANY:
            raise DataError(
                f'paths: "{name}" adds up to {values.sum():.2g}; allowed: below {_TOO_MANY:.0e}. Give it in '
                "thousands where the table is made."
            )
        counts[name] = values
    return counts


def _encode_text(path: pl.Series, separator: str) -> tuple[list[str], NDArray[np.int32], NDArray[np.int64]]:
    """Names in order of appearance, codes and offsets of text paths."""
    from attribution.paths.tokens import tokenize  # a service that reads credits need not load the compiler

    array = path.rechunk().to_arrow()
    _, bounds, data = array.buffers()
    offsets = np.frombuffer(bounds, np.int64)[array.offset : array.offset + len(array) + 1]
    content = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    slots, complete = _SLOTS, False
    while not complete:
        complete, codes, starts, firsts, lasts = tokenize(content, offsets, ord(separator), slots)
        slots *= 8
    names = [bytes(content[a:b]).decode() for a, b in zip(firsts, lasts, strict=True)]
    return names, codes, starts


def _encode_lists(path: pl.Series) -> tuple[list[str], NDArray[np.int32], NDArray[np.int64]]:
    """Names, codes and offsets of paths that are lists of channels."""
    touches = path.explode(empty_as_null=False)
    if touches.null_count():
        raise DataError(f"paths: {touches.null_count()} touches have no channel. Leave them out.")
    names = touches.unique().sort().to_list()
    codes = touches.cast(pl.Enum(names)).to_physical().cast(pl.Int32).to_numpy()
    offsets = np.zeros(path.len() + 1, np.int64)
    np.cumsum(path.list.len().to_numpy(), out=offsets[1:])
    return names, codes, offsets


def unique_channels(paths: EncodedPaths) -> EncodedPaths:
    """The same paths with the first touch of each channel only."""
    n_channels = max(len(paths.channels), 1)
    path = np.repeat(np.arange(paths.lengths.size), paths.lengths)
    _, first = np.unique(path * n_channels + paths.codes, return_index=True)
    keep = np.zeros(paths.codes.size, bool)
    keep[first] = True
    return _keep_touches(paths, keep)


def exclude_channels(paths: EncodedPaths, names: Collection[str]) -> EncodedPaths:
    """The same paths without the touches of some channels; a path may be left without any touch."""
    kept = tuple(name for name in paths.channels if name not in names)
    position = {name: code for code, name in enumerate(kept)}
    code = np.array([position.get(name, -1) for name in paths.channels], np.int32)[paths.codes]
    shorter = _keep_touches(paths, code >= 0)
    return replace(shorter, channels=kept, codes=code[code >= 0])


def _keep_touches(paths: EncodedPaths, keep: NDArray[np.bool_]) -> EncodedPaths:
    """The touches flagged in `keep`, shape (n_touches,), in the paths that they were in."""
    before = np.zeros(keep.size + 1, np.int64)
    np.cumsum(keep, out=before[1:])
    return replace(paths, codes=paths.codes[keep], offsets=before[paths.offsets])


def path_table(paths: EncodedPaths, *, outcome: str, segment: str) -> pl.DataFrame:
    """The paths in PATHS_SCHEMA: text "a > b", the most walked first."""
    counted = pl.DataFrame(
        {
            "path": _texts(paths),
            "length": paths.lengths,
            "conversions": paths.conversions,
            "value": paths.value,
            "nulls": paths.nulls,
        }
    )
    if counted["path"].n_unique() < counted.height:
        counted = counted.group_by("path", "length").agg(pl.col("conversions", "value", "nulls").sum())
    walked = pl.col("conversions") + pl.col("nulls")
    labels = {"outcome": pl.lit(outcome), "segment": pl.lit(segment)}
    return (
        counted.sort(-walked, "path")
        .with_columns(**labels)
        .select(pl.col(name).cast(dtype) for name, dtype in PATHS_SCHEMA.items())
    )


def _texts(paths: EncodedPaths) -> pl.Series:
    """Each path as text, a part of them at once; nothing for a path without a touch."""
    known = pl.Series(list(paths.channels), dtype=pl.String)
    texts = [pl.Series(dtype=pl.String)]
    for start in range(0, paths.lengths.size, _AT_ONCE):
        offsets = paths.offsets[start : start + _AT_ONCE + 1]
        names = known.gather(paths.codes[offsets[0] : offsets[-1]]).to_arrow()
        lists = pa.LargeListArray.from_arrays(pa.array(offsets - offsets[0], pa.int64()), names)
        texts.append(pl.Series(lists).list.join(f" {SEPARATOR} "))
    return pl.concat(texts, rechunk=True)


def sum_by(key: NDArray[np.integer], weight: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Summed weight of each key from 0 to size - 1, shape (size,).

    >>> sum_by(np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]), 4)
    array([1., 0., 5., 0.])
    """
    return cast("NDArray[np.float64]", np.bincount(key, weights=weight, minlength=size))
