"""The small tables of a bundle: credit by channel, effects, returns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.dependencies import ServedDep, refusals
from api.replies import cached_reply
from api.responses import Attribution, Effects, Returns
from api.served import Served

__all__ = ["Filter", "router", "table_rows"]

router = APIRouter(prefix="/v1")

EFFECTS_LEVEL = 0.95
"""Probability inside every interval of an effect."""

Filter = Annotated[str | None, Query(max_length=128)]


async def table_rows(
    request: Request, served: Served, table: str, filters: Mapping[str, str | None]
) -> Response:
    """Rows of a table whose columns equal the filters that were given."""
    wanted = {column: value for column, value in filters.items() if value is not None}

    def render() -> dict[str, Any]:
        frame = served.tables[table]
        if wanted:
            frame = frame.filter(*(pl.col(column) == value for column, value in wanted.items()))
        return {**served.context, "interval_level": _level(served, table), "rows": frame.to_dicts()}

    body = await asyncio.to_thread(served.rendered, (table, tuple(wanted.items())), render)
    return cached_reply(request.scope, served, body)


def _level(served: Served, table: str) -> float | None:
    """Probability inside the intervals of a table; None where each row has its own."""
    if "interval_level" in served.tables[table].columns:
        return None
    if table == "effects":
        return EFFECTS_LEVEL
    settings = served.bundle.manifest.get("configuration", {}).get("attribution", {})
    level: float | None = settings.get("interval") if table == "roi" else served.context["interval_level"]
    return level


@router.get("/attribution", response_model=Attribution, tags=["attribution"], responses=refusals())
async def get_attribution(
    request: Request,
    served: ServedDep,
    outcome: Annotated[str | None, Query(max_length=128, examples=["spend"])] = None,
    method: Annotated[str | None, Query(max_length=128, examples=["incremental"])] = None,
    kind: Filter = None,
    level: Filter = None,
    channel: Filter = None,
    segment: Filter = None,
    period: Filter = None,
) -> Response:
    """Credit by channel, descriptive and incremental, with intervals and what they rest on."""
    filters = {
        "outcome": outcome,
        "method": method,
        "kind": kind,
        "level": level,
        "channel": channel,
        "segment": segment,
        "period": period,
    }
    return await table_rows(request, served, "credits", filters)


@router.get("/effects", response_model=Effects, tags=["effects"], responses=refusals())
async def get_effects(
    request: Request,
    served: ServedDep,
    name: Filter = None,
    outcome: Filter = None,
    segment: Filter = None,
    design: Filter = None,
) -> Response:
    """Estimated effects with intervals, sample sizes and the checks they went through."""
    filters = {"name": name, "outcome": outcome, "segment": segment, "design": design}
    return await table_rows(request, served, "effects", filters)


@router.get("/roi", response_model=Returns, tags=["roi"], responses=refusals())
async def get_roi(
    request: Request, served: ServedDep, scenario: Filter = None, period: Filter = None
) -> Response:
    """Returns on cost by scenario, with the probability that they are positive."""
    return await table_rows(request, served, "roi", {"scenario": scenario, "period": period})
