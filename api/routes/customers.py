"""Scores of stored customers: one, many, a page; their touchpoints; their erasure."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import orjson
import polars as pl
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from api.bodies import BatchBody, decode_body, schema_of
from api.cursors import CURSOR, Listing, decode_cursor, encode_cursor, page_of, pinned
from api.dependencies import CustomerId, ServedDep, refusals
from api.erasure import erase
from api.fast_path import answer_value
from api.problems import Problem, unknown_customer
from api.questions import CustomerFilter, check_column, fields_of
from api.replies import ARROW, JSON, Reply, cached_reply, negotiate, onward_link
from api.responses import Batch, CustomerPage, CustomerScore
from api.served import Served, served_of

router = APIRouter(prefix="/v1", tags=["customers"])


@router.get(
    "/customers/{customer_id:path}/value",
    response_model=CustomerScore,
    responses={**refusals("unknown-customer"), 304: {"description": "The client's copy is still good."}},
)
async def get_value(customer_id: CustomerId, request: Request) -> Response:
    """One customer's score: the columns of the customers table."""
    return answer_value(request.scope, customer_id)


@router.post(
    "/customers/values",
    response_model=Batch,
    openapi_extra={"requestBody": schema_of(BatchBody)},
    responses={
        **refusals("bad-request", "slow-request", "not-acceptable", "too-large", "unsupported-media-type"),
        200: {"content": {ARROW: {"schema": {"type": "string", "format": "binary"}}}},
    },
)
async def post_values(request: Request) -> Response:
    """Scores of up to 10,000 customers, as JSON columns or as an Arrow stream by `Accept`.

    JSON names the positions of unknown ids and of scores that are newer than the run; the Arrow stream leaves
    unknown rows out, and counts both in the header fields `X-Unknown-Count` and `X-Updated-Count`.
    """
    served = served_of(request.scope)
    form = negotiate(request.headers.get("accept"), (JSON, ARROW))
    body = await decode_body(request, BatchBody)
    fields = _fields(served, body.fields)
    _check_size(request, len(body.ids))
    rows = served.find_many(body.ids)
    newer = _newer(request, served, body.ids)
    known = rows >= 0
    known[list(newer)] = True
    unknown = np.flatnonzero(~known)
    known_ids = body.ids
    if len(unknown):
        known_ids = [name for name, found in zip(body.ids, known.tolist(), strict=True) if found]
        rows = rows[known]
        places = np.cumsum(known) - 1
        newer = {int(places[position]): score for position, score in newer.items()}
    if form == ARROW:
        frame = _with_newer(served.store.frame_of(np.maximum(rows, 0), fields), newer)
        return _arrow(served, known_ids, frame, unknown=len(unknown), updated=len(newer))
    columns = served.store.columns_of(np.maximum(rows, 0), fields)
    for name in fields if newer else ():
        values = columns[name] if isinstance(columns[name], list) else columns[name].tolist()
        for position, score in newer.items():
            values[position] = score[name]
        columns[name] = values
    answer = {
        "model_version": served.context["model_version"],
        "as_of": served.context["as_of"],
        "columns": {"customer_id": known_ids, **columns},
        "unknown": unknown,
        "updated": [
            {"position": position, "as_of": score["as_of"], "updates": score["updates"]}
            for position, score in newer.items()
        ],
    }
    return Reply(
        orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), headers=[(b"cache-control", b"no-store")]
    )


def _fields(served: Served, asked: Sequence[str] | None) -> list[str]:
    """The columns to answer, in the order asked, each once."""
    wanted = served.store.columns if asked is None else dict.fromkeys(asked)
    return [name for name in wanted if name != "customer_id"]


def _check_size(request: Request, n: int) -> None:
    most = request.app.state.settings.max_batch
    if n > most:
        raise Problem(
            name="invalid-request",
            detail=f"At most {most} ids are allowed in one request. Ask in several.",
            errors=[{"at": "$.ids", "detail": f"{n} ids"}],
        )


def _newer(request: Request, served: Served, ids: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Scores that are newer than the run, by position."""
    live = request.app.state.updates.of(served)
    if live is None:
        return {}
    stored = {position: served.stored_id(name) for position, name in enumerate(ids)}
    asked = {p: name for p, name in stored.items() if name in live and not served.is_erased(name)}
    scores = zip(asked, live.score_many(list(asked.values())), strict=True)
    return {position: score for position, score in scores if score is not None}


def _with_newer(frame: pl.DataFrame, newer: dict[int, dict[str, Any]]) -> pl.DataFrame:
    """The frame with newer scores in their rows."""
    if not newer:
        return frame
    positions = list(newer)
    return frame.with_columns(
        column.scatter(
            positions,
            pl.Series([_typed(newer[p][column.name], column.dtype) for p in positions], dtype=column.dtype),
        )
        for column in frame.iter_columns()
    )


def _typed(value: Any, dtype: pl.DataType) -> Any:
    return dt.date.fromisoformat(value) if dtype == pl.Date and value is not None else value


def _arrow(served: Served, ids: list[str], frame: pl.DataFrame, *, unknown: int, updated: int) -> Response:
    frame = frame.insert_column(0, pl.Series("customer_id", ids, dtype=pl.String))
    stream = io.BytesIO()
    frame.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
    headers = [
        (b"cache-control", b"no-store"),
        (b"x-as-of", str(served.context["as_of"]).encode()),
        (b"x-unknown-count", b"%d" % unknown),
        (b"x-updated-count", b"%d" % updated),
    ]
    return Reply(stream.getvalue(), media_type=ARROW.encode(), headers=headers)


class CustomerQuery(CustomerFilter):
    """Which customers, in what order, how many, and what of them."""

    sort: Annotated[
        str,
        Field(
            pattern=r"^-?[A-Za-z_][A-Za-z0-9_ ]{0,63}$",
            description="A column; a leading minus: greatest first.",
            examples=["-customer_lifetime_value"],
        ),
    ] = "customer_id"
    fields: (
        Annotated[
            str, Field(max_length=2048, description="Columns to answer, with commas; all scores if absent.")
        ]
        | None
    ) = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(pattern=CURSOR, description="`next` of the page before.")] | None = None

    def listing(self, served: Served) -> Listing:
        """The question without its place."""
        column = check_column(served, self.sort.removeprefix("-"), "query.sort")
        return Listing(sort=column, descending=self.sort.startswith("-"), bound=self.bound(served))


@router.get("/customers", response_model=CustomerPage, responses=refusals("stale-cursor"))
async def list_customers(
    query: Annotated[CustomerQuery, Query()], served: ServedDep, request: Request
) -> Response:
    """A page of customers, filtered and sorted, as the run scored them.

    What arrived since moves nobody in a list; `updated` names the rows whose customers have a newer score.

    Pages of one listing come from one bundle: one that began before the scores were replaced goes on over
    those for ten minutes, as `X-Model-Version` says; after that, and after an erasure, the cursor is refused.
    """
    served = pinned(request, served, query.cursor, lambda scores: _fingerprint(query, scores))
    listing = query.listing(served)
    fields = fields_of(served, query.fields)
    fingerprint = listing.fingerprint(served.bundle.digest)
    start = decode_cursor(query.cursor, fingerprint) if query.cursor is not None else 0
    rows, rank = await asyncio.to_thread(page_of, served.store, listing, start=start, limit=query.limit)
    shown = [(served.store.customer_id(row), row) for row in rows]
    shown = [(name, row) for name, row in shown if not served.hides(name)]
    customers = [{"customer_id": name, **served.store.score(row, fields)} for name, row in shown]
    live = request.app.state.updates.of(served)
    updated, variant = ([], "") if live is None else live.among([name for name, _ in shown])
    following = encode_cursor(fingerprint, rank) if rank is not None else None
    body = orjson.dumps({**served.context, "customers": customers, "updated": updated, "next": following})
    onward = onward_link(request, cursor=following)
    return cached_reply(request.scope, served, body, variant=variant, onward=onward)


def _fingerprint(query: CustomerQuery, served: Served) -> str | None:
    """Names the listing over some scores; None where they lack a column of it."""
    try:
        return query.listing(served).fingerprint(served.bundle.digest)
    except Problem:
        return None


@router.delete(
    "/customers/{customer_id:path}",
    status_code=204,
    response_model=None,
    responses={**refusals("unknown-customer"), 204: {"description": "The customer is hidden from now on."}},
)
async def delete_customer(customer_id: CustomerId, served: ServedDep, request: Request) -> Response:
    """Erase a customer: hidden at once, then removed from every bundle.

    Repeating it changes nothing and answers the same.
    """
    if not await erase(request, served, customer_id):
        raise unknown_customer()
    return Response(status_code=204)
