"""Groups of customers: how many, where they lie, and the segments that have names."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import polars as pl
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from api.dependencies import ServedDep, refusals
from api.export import MEDIA_TYPES, ExportFiles, export_name
from api.filtering import CHUNK, Keeps, compile_filter
from api.problems import Problem
from api.questions import CustomerFilter, check_column, fields_of
from api.replies import cached_reply, negotiate, not_modified
from api.responses import CustomerCount, CustomerGrid, Segments
from api.served import Served
from clv.tables import CUSTOMERS
from experiments.bundle.columns import Array, Column, known_values
from experiments.filters import bind_filter

router = APIRouter(prefix="/v1", tags=["audiences"])


def _everybody(rows: Any) -> Array:
    return np.ones(rows.stop - rows.start, dtype=bool)


def _kept(served: Served, question: CustomerFilter) -> Keeps:
    bound = question.bound(served)
    return _everybody if bound is None else compile_filter(served.store, bound)


def _slices(served: Served) -> list[slice]:
    n = len(served.store)
    return [slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]


def mask_of(served: Served, keeps: Keeps) -> Array:
    """Which customers are kept and may be shown; boolean, shape (n,)."""
    parts = [keeps(rows) for rows in _slices(served)]
    mask = np.concatenate(parts) if parts else np.zeros(0, dtype=bool)
    mask[served.hidden_rows] = False
    return mask


@router.get("/customers/count", response_model=CustomerCount, responses=refusals())
async def count_customers(
    question: Annotated[CustomerFilter, Query()], served: ServedDep, request: Request
) -> Response:
    """How many customers a filter keeps, what they are worth together, and how many there are."""
    keeps = _kept(served, question)

    def render() -> dict[str, Any]:
        mask = mask_of(served, keeps)
        values = served.store.columns["customer_lifetime_value"].values
        return {
            **served.context,
            "customers": int(np.count_nonzero(mask)),
            "of": len(served.store) - len(served.hidden_rows),
            "customer_lifetime_value": float(np.nansum(values, where=mask)),
        }

    body = await asyncio.to_thread(served.rendered, ("count", question.model_dump_json()), render)
    return cached_reply(request.scope, served, body)


class GridQuery(CustomerFilter):
    """Two columns, cut into parts."""

    x: Annotated[str, Field(max_length=64, description="A column of numbers or days.", examples=["recency"])]
    y: Annotated[str, Field(max_length=64, description="Another one.", examples=["frequency"])]
    x_parts: Annotated[int, Field(ge=1, le=200)] = 20
    y_parts: Annotated[int, Field(ge=1, le=200)] = 20


@router.get("/customers/grid", response_model=CustomerGrid, responses=refusals())
async def grid_customers(
    query: Annotated[GridQuery, Query()], served: ServedDep, request: Request
) -> Response:
    """Counts of customers over two columns.

    Each column is cut into parts of equal width up to its 99th percentile; the last part reaches to the
    largest value. `counts[i][j]` is the number in part `i` of `x` and part `j` of `y`.
    """
    columns = [
        served.store.filterable[check_column(served, name, f"query.{at}")]
        for at, name in (("x", query.x), ("y", query.y))
        if name != "customer_id"
    ]
    wrong = [column.name for column in columns if not (column.dtype.is_numeric() or column.dtype == pl.Date)]
    if len(columns) < 2 or wrong:
        raise Problem(
            name="invalid-request",
            detail="x and y must be columns of numbers or days.",
            errors=[{"at": "query", "detail": f"{name} is neither"} for name in wrong],
        )
    keeps = _kept(served, query)

    def render() -> dict[str, Any]:
        return {**served.context, **grid_of(served, keeps, columns, (query.x_parts, query.y_parts))}

    body = await asyncio.to_thread(served.rendered, ("grid", query.model_dump_json()), render)
    return cached_reply(request.scope, served, body)


def grid_of(
    served: Served, keeps: Keeps | None, columns: list[Column], parts: tuple[int, int]
) -> dict[str, Any]:
    """Counts over two columns, as the route answers them; `keeps` None: of everybody."""
    keeps = _everybody if keeps is None else keeps
    mask = mask_of(served, keeps)
    known = mask & known_values(columns[0]) & known_values(columns[1])
    values = [column.values[known].astype(np.float64) for column in columns]
    edges = [_edges(found, n) for found, n in zip(values, parts, strict=True)]
    counts, _, _ = np.histogram2d(values[0], values[1], bins=(edges[0], edges[1]))
    return {
        "x": {"column": columns[0].name, "edges": _shown(columns[0], edges[0])},
        "y": {"column": columns[1].name, "edges": _shown(columns[1], edges[1])},
        "counts": counts.astype(np.int64),
        "without_value": int(np.count_nonzero(mask)) - len(values[0]),
    }


def _edges(values: Array, parts: int) -> Array:
    """Ends of the parts, ascending; shape (parts + 1,)."""
    if not len(values):
        return np.linspace(0.0, 1.0, parts + 1)
    low, high, most = float(values.min()), float(np.quantile(values, 0.99)), float(values.max())
    if most <= low:
        return np.linspace(low, low + 1.0, parts + 1)
    if parts == 1 or high <= low:
        return np.linspace(low, most, parts + 1)
    edges = np.append(np.linspace(low, high, parts + 1)[:-1], most)
    edges[-1] = max(most, np.nextafter(edges[-2], np.inf))
    return edges


def _shown(column: Column, edges: Array) -> list[Any]:
    if column.dtype == pl.Date:
        days: list[Any] = pl.Series(np.floor(edges).astype(np.int32)).cast(pl.Date).to_list()
        return [day.isoformat() for day in days]
    found: list[Any] = edges.tolist()
    return found


class ExportQuery(CustomerFilter):
    """Who is exported, and what of them."""

    fields: (
        Annotated[str, Field(max_length=2048, description="Columns, with commas; all if absent.")] | None
    ) = None


class _Download(FileResponse):
    """A held file, or the part that was asked for, let go after it was sent; its head alone for HEAD."""

    def __init__(self, ranged: bool, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ranged = ranged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "HEAD" if scope.get("head") else "GET"
        headers = scope["headers"]
        if not self._ranged:
            headers = [(name, value) for name, value in headers if name != b"range"]
        try:
            await super().__call__({**scope, "method": method, "headers": headers}, receive, send)
        finally:
            with contextlib.suppress(OSError):
                Path(self.path).unlink()


@router.get(
    "/customers/export",
    response_model=None,
    responses={
        **refusals("not-acceptable", "no-such-range", "busy", "disk-full", "storage-refused"),
        200: {
            "description": "The whole file.",
            "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in MEDIA_TYPES},
        },
        206: {"description": "The bytes asked for."},
        304: {"description": "The client's copy is still good."},
    },
)
async def export_customers(
    query: Annotated[ExportQuery, Query()], served: ServedDep, request: Request
) -> Response:
    """All customers, or those whom a filter keeps, as one file by `Accept`.

    Parquet, an Arrow stream, CSV or JSON lines. The file comes from one bundle throughout; while that is
    served, `Range` takes up a broken download and `If-None-Match` saves a second one.
    """
    media_type = negotiate(request.headers.get("accept"), MEDIA_TYPES)
    form, fields, bound = MEDIA_TYPES[media_type], fields_of(served, query.fields), query.bound(served)
    etag = f'"{export_name(served, form=form, fields=fields, bound=bound)}"'
    headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "accept"}
    if not_modified(request.scope, etag):
        return Response(status_code=304, headers=headers)
    exports: ExportFiles = request.app.state.exports
    path = await exports.file(served, form=form, fields=fields, bound=bound)
    size = path.stat().st_size
    ranged = _is_range(request.headers.get("range", ""), size)
    kind = f"{media_type}; charset=utf-8" if media_type == "text/csv" else media_type
    held = exports.hold(path)
    return _Download(ranged, held, media_type=kind, filename=f"customers.{form}", headers=headers)


def _is_range(asked: str, size: int) -> bool:
    """Whether a Range field names one part of a file; what is no such field, or names several, is ignored.

    Raises
    ------
    Problem
        When the file has no such bytes.
    """
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", asked)
    if found is None or not (found[1] or found[2]):
        return False
    first, last = (int(text) if text else None for text in found.groups())
    if first is not None and last is not None and last < first:
        return False
    if last == 0 if first is None else first >= size:
        raise Problem(
            name="no-such-range", detail=f"It has {size} bytes.", headers={"content-range": f"bytes */{size}"}
        )
    return True


@router.get("/segments", response_model=Segments, responses=refusals())
async def list_segments(served: ServedDep, request: Request) -> Response:
    """The segments that the run's configuration names, counted in the scores being served.

    Ask for one wherever a filter is taken: `filter=segment("name")`.
    """

    def render() -> dict[str, Any]:
        rows = []
        for segment in served.bundle.manifest.get("segments", []):
            bound = bind_filter(served.segments[segment["name"]], served.store.types, served.segments)
            mask = mask_of(served, compile_filter(served.store, bound))
            rows.append({**segment, "customers": int(np.count_nonzero(mask))})
        return {**served.context, "segments": rows}

    body = await asyncio.to_thread(served.rendered, "segments", render)
    return cached_reply(request.scope, served, body)


@router.get("/customers/columns", response_model=dict[str, Any], responses=refusals())
async def list_columns(served: ServedDep, request: Request) -> Response:
    """Columns that filters, sort orders, grids and exports may name: type, unit, what they mean."""
    declared = {column.name: column for column in CUSTOMERS}
    kinds = {pl.Float64: "number", pl.Int64: "number", pl.Date: "date", pl.Boolean: "boolean"}
    columns = [
        {
            "column": name,
            "type": kinds.get(dtype.base_type(), "text"),
            "unit": declared[name].unit if name in declared else "",
            "words": declared[name].words if name in declared else "From the input's customers table.",
            "texts": _texts(served, name),
        }
        for name, dtype in served.store.types.items()
    ]
    return cached_reply(request.scope, served, orjson.dumps({**served.context, "columns": columns}))


def _texts(served: Served, name: str) -> list[str] | None:
    column = served.store.filterable[name]
    return list(column.texts) if column.dtype == pl.String and len(column.texts) <= 256 else None
