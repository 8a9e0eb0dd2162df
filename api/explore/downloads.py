"""The rows behind a view of the explorer as a file, for the choices that stand in its address."""

from __future__ import annotations

import asyncio
import io
from typing import Annotated, Final

import polars as pl
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.explore.compare import compare_view, compared_rows
from api.explore.credit import credit_rows, credit_view
from api.explore.customer import customer_rows
from api.explore.library import shelf_of
from api.problems import Problem, unknown_customer
from api.replies import Reply
from api.served import served_of

router = APIRouter()

Text = Annotated[str | None, Query(max_length=200)]
Other = Annotated[str | None, Query(alias="with", max_length=200)]


@router.get("/download/{name}")
async def download(
    request: Request,
    name: str,
    outcome: Text = None,
    segment: Text = None,
    period: Text = None,
    channel: Text = None,
    other: Other = None,
    customer_id: Text = None,
    form: Annotated[str, Query(alias="format", pattern="^(csv|parquet)$")] = "csv",
) -> Response:
    """The rows behind a view, for its choices."""
    served, home = served_of(request.scope), request.app.state.watcher.home

    def rows() -> bytes:
        shelf = shelf_of(served)
        if name == "credit":
            view = credit_view(shelf, outcome=outcome, method=None, segment=segment, period=period, row=None)
            return table_bytes(credit_rows(shelf, view), form)
        if name == "compare":
            return table_bytes(compared_rows(compare_view(shelf, served, home, other=other)), form)
        if name == "customer":
            found = customer_rows(served, customer_id or "")
            if found is None:
                raise unknown_customer()
            return table_bytes(found, form)
        if name not in _DOWNLOADS:
            raise Problem(
                name="not-found", detail=f"There are credit, compare, customer, {', '.join(_DOWNLOADS)}."
            )
        table = shelf.sources.table(_DOWNLOADS[name])
        for column, wanted in (("outcome", outcome), ("channel", channel)):
            if wanted and column in table.columns:
                table = table.filter(pl.col(column) == wanted)
        return table_bytes(table, form)

    return _file(await asyncio.to_thread(rows), f"{name}.{form}", form)


_DOWNLOADS: Final = {"evidence": "effects", "service": "care", "returns": "roi", "response": "response"}
"""The table behind a view, where it is one."""


def _as_words(text: pl.Expr) -> pl.Expr:
    """Texts that a spreadsheet would work out as formulas, behind an apostrophe; numbers stay."""
    is_formula = text.str.contains(r"^[=+\-@\t\r]") & ~text.str.contains(r"^[+-]?[\d.]+$")
    return pl.when(is_formula).then("'" + text).otherwise(text).name.keep()


def table_bytes(frame: pl.DataFrame, form: str) -> bytes:
    """The table as a file; in CSV no text is a formula."""
    stream = io.BytesIO()
    if form == "parquet":
        frame.write_parquet(stream)
    else:
        frame.with_columns(_as_words(pl.col(pl.String))).write_csv(stream)
    return stream.getvalue()


def _file(body: bytes, name: str, form: str) -> Response:
    kind = b"text/csv; charset=utf-8" if form == "csv" else b"application/vnd.apache.parquet"
    headers = [
        (b"content-disposition", f'attachment; filename="{name}"'.encode()),
        (b"cache-control", b"no-store"),
    ]
    return Reply(body, media_type=kind, headers=headers)
