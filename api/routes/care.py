"""Customer care: who waits."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any, Literal

import orjson
import polars as pl
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.cursors import CURSOR, decode_cursor, encode_cursor
from api.dependencies import ServedDep, refusals
from api.replies import cached_reply
from api.responses import OpenCases
from api.served import Served

__all__ = ["router"]

router = APIRouter(prefix="/v1/care", tags=["care"])

Filter = Annotated[str | None, Query(max_length=128)]
Sort = Literal["-waiting_minutes", "-value_at_stake"]


@router.get("/cases", response_model=OpenCases, responses=refusals("stale-cursor"))
async def get_cases(
    request: Request,
    served: ServedDep,
    sort: Annotated[Sort, Query(description="Oldest first, or most at stake first.")] = "-waiting_minutes",
    channel: Filter = None,
    team: Filter = None,
    priority: Filter = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(pattern=CURSOR)] = None,
) -> Response:
    """Cases of customers who wait for a human, without any text."""
    filters = {"channel": channel, "team": team, "priority": priority}
    asked = f"{served.etag} {sort} {filters}"
    fingerprint = hashlib.sha256(asked.encode()).hexdigest()[:16]
    start = 0 if cursor is None else decode_cursor(cursor, fingerprint)

    def render() -> bytes:
        cases, following = _page(served, sort, filters, start, limit)
        onward = None if following is None else encode_cursor(fingerprint, following)
        return orjson.dumps({**served.context, "cases": cases, "next": onward})

    body = await asyncio.to_thread(render)
    return cached_reply(request.scope, served, body)


def _page(
    served: Served, sort: Sort, filters: dict[str, str | None], start: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """The next cases that may be shown, and the rank from which the page after goes on."""
    wanted = [pl.col(name) == value for name, value in filters.items() if value is not None]
    frame = served.open_cases.filter(*wanted) if wanted else served.open_cases
    column = sort.removeprefix("-")
    ordered = frame.sort(column, "case_id", descending=[True, False], nulls_last=True)
    if served.pending:
        ids = ordered["customer_id"].cast(pl.String)
        hidden = [text is not None and served.hides(text) for text in ids]
        ordered = ordered.filter(~pl.Series(hidden, dtype=pl.Boolean))
    page = ordered.slice(start, limit)
    following = start + limit if start + limit < ordered.height else None
    return page.to_dicts(), following
