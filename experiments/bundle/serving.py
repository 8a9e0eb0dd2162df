"""The part of a bundle that answers requests: customers sorted by id, what they did, sort orders.

::

    serving/layout.json               rows and column types
    serving/customers/<column>.npy    sorted by customer_id
    serving/customers/order.<column>.npy   row numbers in ascending order of a column, nulls last
    serving/profiles/<column>.npy     the same customers, columns of the input's customers table
    serving/touchpoints/<column>.npy  sorted by customer_id and time; purchases the same
    serving/touchpoints/customer_id.npy    who has touchpoints, sorted; shape (m,)
    serving/touchpoints/first.npy     first row of each of them, and the end; shape (m + 1,)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import orjson
import polars as pl

from clv.tables import CUSTOMERS
from experiments.bundle.columns import (
    Array,
    Column,
    open_array,
    open_column,
    open_key,
    write_column,
    write_key,
)
from histories.errors import BundleError

_TYPES: Final[dict[str, pl.DataType]] = {
    "float64": pl.Float64(),
    "int64": pl.Int64(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
    "boolean": pl.Boolean(),
    "string": pl.String(),
}


class _Table(msgspec.Struct):
    rows: int
    columns: dict[str, Literal["float64", "int64", "date", "datetime", "boolean", "string"]]


class _Layout(msgspec.Struct):
    """What `layout.json` says."""

    customers: _Table
    touchpoints: _Table
    known: dict[str, int]
    profiles: _Table = msgspec.field(default_factory=lambda: _Table(rows=0, columns={}))
    purchases: _Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What customers did, each customer's rows together and in order of time.

    Attributes
    ----------
    columns
        By name, in the table's order, without the id.
    owners
        Sorted ids of customers with rows, scored or not; shape (m,).
    first
        First row of each of them, and the end; shape (m + 1,).
    """

    columns: Mapping[str, Column]
    owners: Array
    first: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The open columns.

    Attributes
    ----------
    key
        Sorted ids, shape (n_customers,): int64, or UTF-8 bytes of fixed width.
    customers, profiles
        Columns by name, in the tables' order, without the id.
    touchpoints, purchases
        What customers met and bought; no purchases in bundles of earlier versions.
    orders, known
        By sortable column: rows in ascending order, nulls last; how many are not null.
    """

    key: Array
    customers: Mapping[str, Column]
    profiles: Mapping[str, Column]
    touchpoints: Records
    purchases: Records | None
    orders: Mapping[str, Array]
    known: Mapping[str, int]


def write_serving(
    folder: Path, tables: Mapping[str, pl.DataFrame], large: Mapping[str, pl.LazyFrame] | None = None
) -> None:
    """Write the columns of `customers`, `profiles`, `touchpoints` and `purchases`.

    Of the `large` ones, which are in the order of customers and time, a part is in memory at a time.

    Raises
    ------
    BundleError
        When an id repeats, is null or is too long.
    """
    customers = tables["customers"].sort("customer_id")
    ids = customers["customer_id"]
    if ids.null_count() or ids.n_unique() != ids.len():
        raise BundleError(
            f'Table "customers": {ids.null_count()} rows without an id, '
            f"{ids.len() - ids.n_unique()} repeated ids. There must be one row per customer."
        )
    records = {
        name: tables[name].sort("customer_id", "timestamp", maintain_order=True).lazy()
        for name in ("touchpoints", "purchases")
        if name in tables
    }
    records |= {name: rows for name, rows in (large or {}).items() if name in ("touchpoints", "purchases")}
    layout: dict[str, Any] = {}
    profiles = ids.to_frame()
    if "profiles" in tables:
        said = tables["profiles"].with_columns(pl.col("customer_id").cast(ids.dtype, strict=False))
        profiles = profiles.join(said, on="customer_id", how="left", maintain_order="left")
    for name, frame in {"customers": customers.lazy(), "profiles": profiles.lazy(), **records}.items():
        (folder / name).mkdir(parents=True)
        rows = int(frame.select(pl.len()).collect().item())
        columns = {name: dtype for name, dtype in frame.collect_schema().items() if name != "customer_id"}
        for column in columns:
            write_column(folder / name, frame.select(column), rows)
        layout[name] = {"rows": rows, "columns": {c: _type_name(dtype) for c, dtype in columns.items()}}
    write_key(folder / "customers", ids)
    for name, frame in records.items():
        _write_owners(folder / name, frame.select("customer_id"), layout[name]["rows"])
    layout["known"] = {
        column.name: _write_order(folder / "customers", customers[column.name])
        for column in CUSTOMERS
        if column.sortable
    }
    (folder / "layout.json").write_bytes(orjson.dumps(layout, option=orjson.OPT_INDENT_2))


def _write_owners(folder: Path, ids: pl.LazyFrame, rows: int) -> None:
    """Store whose rows start where; the ids are sorted."""
    first = ids.with_row_index("row").group_by("customer_id").agg(pl.col("row").min())
    starts = first.sort("customer_id").collect(engine="streaming")
    write_key(folder, starts["customer_id"])
    np.save(folder / "first.npy", np.append(starts["row"].to_numpy(), rows).astype(np.int64))


def _write_order(folder: Path, column: pl.Series) -> int:
    order = column.arg_sort(descending=False, nulls_last=True)
    np.save(folder / f"order.{column.name}.npy", order.cast(pl.UInt32).to_numpy())
    return column.len() - column.null_count()


def _type_name(dtype: pl.DataType) -> str:
    for name, known in _TYPES.items():
        if dtype == known:
            return name
    raise BundleError(f"A column has the type {dtype}, which the service cannot store.")


def open_serving(folder: Path) -> Serving:
    """Map the columns that `write_serving` wrote; nothing is read but their headers.

    Raises
    ------
    BundleError
        When a file is absent, is no column, or has other rows than the rest.
    """
    try:
        layout = msgspec.json.decode((folder / "layout.json").read_bytes(), type=_Layout)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"{folder.name}/layout.json cannot be read. Write the bundle again.") from error
    found = Serving(
        key=open_key(folder / "customers"),
        customers=_open_columns(folder / "customers", layout.customers),
        profiles=_open_columns(folder / "profiles", layout.profiles),
        touchpoints=_open_records(folder / "touchpoints", layout.touchpoints),
        purchases=None if layout.purchases is None else _open_records(folder / "purchases", layout.purchases),
        orders={name: open_array(folder / "customers" / f"order.{name}.npy") for name in layout.known},
        known=layout.known,
    )
    _check_rows(found, layout)
    return found


def _open_columns(folder: Path, table: _Table) -> dict[str, Column]:
    return {name: open_column(folder, name, _TYPES[kind]) for name, kind in table.columns.items()}


def _open_records(folder: Path, table: _Table) -> Records:
    found = Records(
        columns=_open_columns(folder, table), owners=open_key(folder), first=open_array(folder / "first.npy")
    )
    lengths = {f"{folder.name}/{name}": (len(c.values), table.rows) for name, c in found.columns.items()}
    lengths[f"{folder.name}/first"] = (len(found.first), len(found.owners) + 1)
    _check_lengths(lengths)
    if found.first[-1] != table.rows:
        raise BundleError("serving/layout.json names other rows than there are. Write the bundle again.")
    return found


def _check_rows(found: Serving, layout: _Layout) -> None:
    """Refuse columns that do not belong together: a row must be one customer in all of them."""
    customers = layout.customers.rows
    _check_lengths(
        {
            "customers/customer_id": (len(found.key), customers),
            **{f"customers/{name}": (len(c.values), customers) for name, c in found.customers.items()},
            **{f"profiles/{name}": (len(c.values), customers) for name, c in found.profiles.items()},
            **{f"customers/order.{name}": (len(rows), customers) for name, rows in found.orders.items()},
        }
    )
    if any(n > customers for n in found.known.values()):
        raise BundleError("serving/layout.json names other rows than there are. Write the bundle again.")


def _check_lengths(lengths: Mapping[str, tuple[int, int]]) -> None:
    for name, (rows, expected) in lengths.items():
        if rows != expected:
            raise BundleError(
                f"serving/{name} has {rows} rows where {expected} are expected. Write the bundle again."
            )
