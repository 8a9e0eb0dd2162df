"""What changed between an earlier promotion and the scores being served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from api.filtering import CHUNK, compile_filter
from api.problems import Problem
from api.served import Served
from api.store import Store
from experiments.bundle.reading import Bundle, read_bundle
from experiments.champion import champion_log
from experiments.filters import FilterError, Named, bind_filter
from histories.errors import BundleError

_KEPT: Final = 20
"""Promotions that can be compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A bundle that was served before."""

    bundle: Bundle
    store: Store


def promoted_versions(home: Path) -> list[tuple[str, Path]]:
    """Model versions and folders of the last promotions, the newest first, each once."""
    found: dict[str, Path] = {}
    for entry in reversed(champion_log(home)[-_KEPT:]):
        folder = Path(entry["bundle"])
        found.setdefault(str(entry["model_version"]), folder if folder.is_absolute() else home / folder)
    return list(found.items())


def earlier_bundle(home: Path | None, version: str) -> Earlier:
    """The bundle of an earlier promotion.

    Raises
    ------
    Problem
        When none of the last promotions had this version, or its bundle is gone or damaged.
    """
    for found, folder in promoted_versions(home) if home is not None else ():
        if found == version:
            try:
                return read_bundle(folder, lambda b: Earlier(bundle=b, store=Store(b)), verify=False)
            except BundleError:
                break
    raise Problem(
        name="unknown-version",
        detail=f"None of the last {_KEPT} promotions has this version, with its bundle. Fetch everything.",
    )


def changed_scores(before: Earlier, served: Served, column: str, by: float) -> pl.DataFrame:
    """Customers whose value of a column moved, and who came or went.

    Parameters
    ----------
    before
        What was served then.
    served
        What is served now.
    column
        A column that both have. A value that became known or unknown has moved.
    by
        For numbers: the least difference that counts as a move, in the column's unit; 0: any.

    Returns
    -------
    DataFrame
        Columns customer_id (text), status (moved, entered, left), before, after; by customer_id.

    Raises
    ------
    Problem
        When the earlier bundle has no such column, or another type of it.
    """
    now = served.store
    if before.store.types.get(column) != now.types[column]:
        raise Problem(
            name="no-such-column-then", detail="The earlier scores had no such column. Ask for another."
        )
    frames = [_values(store, column, name) for store, name in ((before.store, "before"), (now, "after"))]
    joined = frames[1].join(frames[0], on="customer_id", how="full", coalesce=True)
    old, new = pl.col("before"), pl.col("after")
    moved = old.ne_missing(new)
    if by > 0 and now.types[column].is_numeric():
        moved &= ((new - old).abs() >= by).fill_null(True)
    status = (
        pl.when(pl.col("was").is_null()).then(pl.lit("entered"))
        .when(pl.col("is").is_null()).then(pl.lit("left"))
        .when(moved).then(pl.lit("moved"))
    )  # fmt: skip
    renamed = joined.rename({"present_before": "was", "present_after": "is"})
    changed = renamed.select("customer_id", status.alias("status"), "before", "after").drop_nulls("status")
    return _without_erased(changed, served).sort("customer_id")


def changed_segment(before: Earlier, served: Served, segment: str) -> pl.DataFrame:
    """Customers who entered or left a named segment, of those who were and are scored.

    Returns
    -------
    DataFrame
        Columns customer_id (text), status (entered, left); by customer_id. Who is scored now and was not then
        has entered; who is no longer scored has left.

    Raises
    ------
    Problem
        When there is no such segment, or the earlier scores lack one of its columns.
    """
    try:
        inside = [_members(store, served, segment) for store in (before.store, served.store)]
    except FilterError as error:
        raise Problem(
            name="invalid-request",
            detail="The segment cannot be compared; see errors.",
            errors=[{"at": "query.segment", "detail": str(error)}],
        ) from error
    then, now = (pl.DataFrame({"customer_id": ids}) for ids in inside)
    changed = pl.concat(
        [
            now.join(then, on="customer_id", how="anti").with_columns(status=pl.lit("entered")),
            then.join(now, on="customer_id", how="anti").with_columns(status=pl.lit("left")),
        ]
    )
    return _without_erased(changed, served).sort("customer_id")


def _members(store: Store, served: Served, segment: str) -> pl.Series:
    bound = bind_filter(Named(name=segment, at=1), store.types, served.segments)
    keeps = compile_filter(store, bound)
    parts = [
        np.flatnonzero(keeps(slice(start, start + CHUNK))) + start for start in range(0, len(store), CHUNK)
    ]
    return store.ids_of(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)).cast(pl.String)


def _values(store: Store, column: str, name: str) -> pl.DataFrame:
    rows = np.arange(len(store))
    values = store.filterable[column].series(rows).alias(name)
    present = pl.Series(f"present_{name}", np.ones(len(store), dtype=bool))
    return pl.DataFrame([store.ids_of(rows).cast(pl.String), values, present])


def _without_erased(changed: pl.DataFrame, served: Served) -> pl.DataFrame:
    """Nobody who was erased is named; the answer says only how many there were."""
    erased = frozenset(served.tombstones.digests)
    if not erased or changed.is_empty():
        return changed
    gone = [served.tombstones.digest(name) in erased for name in _texts(changed["customer_id"])]
    return changed.filter(~pl.Series(gone, dtype=pl.Boolean))


def _texts(ids: pl.Series) -> Sequence[str]:
    found: list[str] = ids.to_list()
    return found
