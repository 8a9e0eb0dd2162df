"""How many agents are needed: for customers who hold the line, or for work that can wait."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.bodies import StaffingBody, decode_body, schema_of
from api.dependencies import refusals
from api.problems import Problem
from api.replies import Reply
from api.responses import DeferredStaffing, Staffing
from histories.errors import ConfigError

router = APIRouter(prefix="/v1", tags=["care"])

SEARCH_SECONDS: Final = 1.0
"""Longest search for the cheapest agents hour by hour."""


@router.post(
    "/staffing",
    response_model=Staffing | DeferredStaffing,
    openapi_extra={"requestBody": schema_of(StaffingBody)},
    responses=refusals("bad-request", "slow-request", "too-large", "unsupported-media-type"),
)
async def post_staffing(request: Request) -> Response:
    """The fewest agents that keep what is promised.

    With `contacts`: Erlang C, or Erlang A with a patience. With `arrivals` and `promise_minutes`: work that
    can wait, first come first served, and the cheapest agents hour by hour.
    """
    body = await decode_body(request, StaffingBody)
    try:
        plan = await asyncio.to_thread(_plan, body)
    except ConfigError as error:
        raise Problem(name="invalid-request", detail=str(error)) from error
    return Reply(orjson.dumps(plan))


def _plan(body: StaffingBody) -> dict[str, Any]:
    from care.deferred import DeferredDemand, plan_deferred, total_shrinkage  # with SciPy, which
    from care.staffing import Demand, plan_staffing  # nothing else in the service needs

    if (body.contacts is None) == (body.arrivals is None):
        raise ConfigError("Give contacts for one interval, or arrivals with promise_minutes; not both.")
    if (body.arrivals is None) != (body.promise_minutes is None):
        raise ConfigError("promise_minutes goes with arrivals: one number for each open hour.")
    if body.contacts is not None:
        demand = Demand(
            contacts=body.contacts,
            interval_minutes=body.interval_minutes,
            handling_seconds=body.handling_seconds,
            target_share=body.target_share,
            target_seconds=body.target_seconds,
            shrinkage=total_shrinkage(body.shrinkage, body.combine),
            concurrency=body.concurrency,
            patience_seconds=body.patience_seconds,
        )
        return plan_staffing(demand).to_dict()
    assert body.arrivals is not None
    assert body.promise_minutes is not None
    work = DeferredDemand(
        arrivals=body.arrivals,
        per_hour=3600.0 / body.handling_seconds,
        promise_minutes=body.promise_minutes,
        shrinkage=body.shrinkage,
        combine=body.combine,
    )
    return plan_deferred(work, time_limit=SEARCH_SECONDS).to_dict()
