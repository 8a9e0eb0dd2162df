"""Customer care: who waits, and what answering more of them in time would bring."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import polars as pl
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.bodies import WhatIfBody, decode_body, schema_of
from api.cursors import CURSOR, decode_cursor, encode_cursor, pinned
from api.dependencies import ServedDep, refusals
from api.problems import Problem
from api.replies import Reply, cached_reply, onward_link
from api.responses import Engaged, LotteryAnswer, OpenCases, WhatIfAnswer
from api.served import Served
from histories.errors import ConfigError, DataError

if TYPE_CHECKING:
    from care.asking import CareFacts

router = APIRouter(prefix="/v1/care", tags=["care"])

Filter = Annotated[str | None, Query(max_length=128)]
Sort = Literal["-waiting_minutes", "-value_at_stake"]


@router.get("/cases", response_model=OpenCases, responses=refusals("stale-cursor"))
async def get_cases(
    request: Request,
    served: ServedDep,
    sort: Annotated[
        Sort, Query(description="Oldest first; or by value at stake, need and audience (`priority_rank`).")
    ] = "-waiting_minutes",
    channel: Filter = None,
    team: Filter = None,
    priority: Filter = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(pattern=CURSOR)] = None,
) -> Response:
    """Cases of customers who wait for a human, without any text."""
    filters = {"channel": channel, "team": team, "priority": priority}

    def named(scores: Served) -> str:
        return hashlib.sha256(f"{scores.etag} {sort} {filters}".encode()).hexdigest()[:16]

    served = pinned(request, served, cursor, named)
    fingerprint = named(served)
    start = 0 if cursor is None else decode_cursor(cursor, fingerprint)

    cases, rank = await asyncio.to_thread(_page, served, sort, filters, start, limit)
    following = None if rank is None else encode_cursor(fingerprint, rank)
    body = orjson.dumps({**served.context, "cases": cases, "next": following})
    return cached_reply(request.scope, served, body, onward=onward_link(request, cursor=following))


@router.get("/engagement", response_model=Engaged, responses=refusals())
async def get_engagement(
    request: Request, served: ServedDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    """Who recommended, wrote in public or helped others, by what they are worth with it."""
    rows = await asyncio.to_thread(served.engaged, limit)
    return cached_reply(request.scope, served, orjson.dumps({**served.context, "rows": rows}))


@router.post(
    "/whatif",
    response_model=WhatIfAnswer,
    openapi_extra={"requestBody": schema_of(WhatIfBody)},
    responses=refusals("bad-request", "no-promise", "slow-request", "too-large", "unsupported-media-type"),
)
async def post_whatif(request: Request, served: ServedDep) -> Response:
    """What keeping a promise more often would bring, within what was observed.

    Where the effect of being fast is not supported the answer says why, and which experiment would settle it.
    """
    body = await decode_body(request, WhatIfBody)
    found = await asyncio.to_thread(_answer, served, body)
    return Reply(orjson.dumps({**served.context, **found}))


@router.get("/lottery", response_model=LotteryAnswer, responses=refusals("no-promise"))
async def get_lottery(
    request: Request,
    served: ServedDep,
    share: Annotated[
        float, Query(gt=0, lt=1, description="Of the cases that are drawn to go first.", examples=[0.2])
    ] = 0.2,
    outcome: Annotated[str, Query(max_length=64, description="What is measured.")] = "spend",
    promise: Annotated[
        str | None, Query(max_length=200, description="Whose limit is in time; the first when absent.")
    ] = None,
) -> Response:
    """What answering some cases first by lot would find and by when, and how it would slow the others."""
    found = await asyncio.to_thread(_plan, served, share, outcome, promise)
    body = orjson.dumps({**served.context, **found}, option=orjson.OPT_SERIALIZE_NUMPY)
    return cached_reply(request.scope, served, body)


def _plan(served: Served, share: float, outcome: str, promise: str | None) -> dict[str, Any]:
    from experiments.lottery import plan_lottery

    with _refusing():
        return plan_lottery(_facts(served), share=share, outcome=outcome, promise=promise).to_dict()


def _answer(served: Served, body: WhatIfBody) -> dict[str, Any]:
    from care.asking import question_of
    from care.whatif import what_if

    with _refusing():
        asked = question_of(
            _facts(served), share=body.share, promise=body.promise, cost_per_hour=body.cost_per_hour
        )
        return what_if(asked).to_dict()


def _facts(served: Served) -> CareFacts:
    from care.asking import CASES_COLUMNS, CareFacts  # with SciPy, which nothing else in the service needs

    return CareFacts.of(
        served.bundle.manifest,
        care=served.tables["care"],
        cases=served.bundle.scan("cases").select(CASES_COLUMNS).collect(),
        effects=served.tables["effects"],
    )


@contextmanager
def _refusing() -> Iterator[None]:
    """Refusals of a question as problems."""
    from care.asking import NoPromiseError

    try:
        yield
    except NoPromiseError as error:
        raise Problem(name="no-promise", detail=str(error)) from error
    except (ConfigError, DataError) as error:
        raise Problem(name="invalid-request", detail=str(error)) from error


def _page(
    served: Served, sort: Sort, filters: dict[str, str | None], start: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """The next cases that may be shown, and the rank from which the page after goes on."""
    wanted = [pl.col(name) == value for name, value in filters.items() if value is not None]
    frame = served.open_cases.filter(*wanted) if wanted else served.open_cases
    ordered = _ordered(frame, sort)
    if served.pending:
        ids = ordered["customer_id"].cast(pl.String)
        hidden = [text is not None and served.hides(text) for text in ids]
        ordered = ordered.filter(~pl.Series(hidden, dtype=pl.Boolean))
    page = ordered.slice(start, limit)
    following = start + limit if start + limit < ordered.height else None
    return page.to_dicts(), following


def _ordered(frame: pl.DataFrame, sort: Sort) -> pl.DataFrame:
    """Who waits longest, or who should be answered next; a bundle of old has amounts and no ranks."""
    keys, descending = ["waiting_minutes", "case_id"], [True, False]
    if sort == "-value_at_stake":
        keys, descending = ["value_at_stake", *keys], [True, *descending]
        if "priority_rank" in frame.columns:
            keys, descending = ["priority_rank", *keys], [False, *descending]
    return frame.sort(keys, descending=descending, nulls_last=True)
