"""How many agents an interval needs."""

from __future__ import annotations

import asyncio

import msgspec
import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.bodies import StaffingBody, decode_body, schema_of
from api.dependencies import refusals
from api.problems import Problem
from api.replies import Reply
from api.responses import Staffing
from care.staffing import Demand, plan_staffing
from histories.errors import ConfigError

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["care"])


@router.post(
    "/staffing",
    response_model=Staffing,
    openapi_extra={"requestBody": schema_of(StaffingBody)},
    responses=refusals("bad-request", "slow-request", "too-large", "unsupported-media-type"),
)
async def post_staffing(request: Request) -> Response:
    """The fewest agents that answer the target share in time: Erlang C, or Erlang A with a patience."""
    body = await decode_body(request, StaffingBody)
    try:
        plan = await asyncio.to_thread(plan_staffing, Demand(**msgspec.structs.asdict(body)))
    except ConfigError as error:
        raise Problem(name="invalid-request", detail=str(error)) from error
    return Reply(orjson.dumps(plan.to_dict()))
