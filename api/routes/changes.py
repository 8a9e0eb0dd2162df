"""What moved since an earlier promotion: for systems that keep scores of their own."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Any

import orjson
import polars as pl
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.changes import changed_scores, changed_segment, earlier_bundle, promoted_versions
from api.cursors import CURSOR, decode_cursor, encode_cursor, pinned
from api.dependencies import ServedDep, refusals
from api.questions import check_column
from api.replies import NO_STORE, Header, Reply, onward_link
from api.responses import Changes, Versions
from api.served import Served

router = APIRouter(prefix="/v1", tags=["changes"])


@router.get("/versions", response_model=Versions, responses=refusals())
async def list_versions(served: ServedDep, request: Request) -> Response:
    """The model versions of the last promotions, the newest first: what `since` may be."""
    home = request.app.state.watcher.home
    versions = (
        [] if home is None else [version for version, _ in await asyncio.to_thread(promoted_versions, home)]
    )
    return Reply(orjson.dumps({**served.context, "versions": versions}), headers=[NO_STORE])


class ChangesQuery(BaseModel):
    """Since when, and what counts as a change."""

    model_config = ConfigDict(extra="forbid")

    since: Annotated[
        str, Field(max_length=300, description="A model version, as `X-Model-Version` names it.")
    ]
    column: Annotated[str, Field(max_length=64, description="The column that is compared.")] = (
        "customer_lifetime_value"
    )
    by: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False, description="Least difference that counts, in the column's unit."),
    ] = 0.0
    segment: (
        Annotated[str, Field(max_length=100, description="Who entered or left this segment, instead.")] | None
    ) = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(pattern=CURSOR, description="`next` of the page before.")] | None = None

    def fingerprint(self, served: Served) -> str:
        """Names the question over some scores, without its place."""
        asked = f"{served.etag} {self.since} {self.column} {self.by} {self.segment}"
        return hashlib.sha256(asked.encode()).hexdigest()[:16]


@router.get(
    "/customers/changes",
    response_model=Changes,
    responses=refusals("stale-cursor", "unknown-version", "no-such-column-then"),
)
async def list_changes(
    query: Annotated[ChangesQuery, Query()], served: ServedDep, request: Request
) -> Response:
    """Customers whose score moved since an earlier promotion, who came, and who went.

    With `segment`, who entered or left it. Customers who were erased are not named, only counted: delete
    whoever the service no longer knows. Pages of one listing come from one comparison.
    """
    served = pinned(request, served, query.cursor, query.fingerprint)
    check_column(served, query.column, "query.column")
    fingerprint = query.fingerprint(served)
    start = 0 if query.cursor is None else decode_cursor(query.cursor, fingerprint)
    home = request.app.state.watcher.home

    def render() -> tuple[bytes, Header | None]:
        found = _found(served, home, query)
        page = found.changed.slice(start, query.limit)
        end = start + page.height
        following = encode_cursor(fingerprint, end) if end < found.changed.height else None
        counts = dict(found.changed["status"].value_counts().iter_rows())
        answer = {
            **served.context,
            "since": query.since,
            "counts": {status: counts.get(status, 0) for status in ("moved", "entered", "left")},
            "erased": found.erased,
            "customers": page.to_dicts(),
            "next": following,
        }
        return orjson.dumps(answer), onward_link(request, cursor=following)

    body, onward = await asyncio.to_thread(render)
    return Reply(body, headers=[NO_STORE] if onward is None else [NO_STORE, onward])


class _Found:
    """Changed rows, kept beside what is served so that the next page costs nothing."""

    def __init__(self, changed: pl.DataFrame, erased: int) -> None:
        self.changed, self.erased = changed, erased


def _found(served: Served, home: Any, query: ChangesQuery) -> _Found:
    key = (query.since, query.column, query.by, query.segment)
    found: _Found | None = served.comparisons.get(key)
    if found is None:
        before = earlier_bundle(home, query.since)
        if query.segment is None:
            changed = changed_scores(before, served, query.column, query.by)
        else:
            changed = changed_segment(before, served, query.segment)
        erased = len(served.tombstones.digests) - int(before.bundle.manifest["erasure"]["tombstones"])
        found = _Found(changed, max(erased, len(served.pending)))
        for old in list(served.comparisons)[:-3]:
            del served.comparisons[old]
        served.comparisons[key] = found
    return found
