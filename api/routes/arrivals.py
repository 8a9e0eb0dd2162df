"""What arrives between two runs: orders and contacts, which change a customer's score at once."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from api.arrival_checks import ArrivalChecks, refuse_outcome
from api.bodies import MOST_ROWS, decode_rows, schema_of
from api.dependencies import ServedDep, refusals
from api.live import is_live
from api.problems import Problem
from api.replies import ARROW, NO_STORE, Reply
from api.responses import Accepted
from api.served import Served
from experiments.arrivals import Kind
from experiments.bundle.columns import LONGEST_ID

router = APIRouter(prefix="/v1", tags=["arrivals"])

_FEW: Final = 200
"""Up to here checking takes less time than handing it to a thread."""

_MOST_PENDING: Final = 5_000_000
"""Arrivals that no run has read."""

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_ID, description="Customer id, as text.")]
Key = Annotated[str, Meta(min_length=1, max_length=200)]
When = Annotated[
    dt.datetime,
    Meta(description="ISO 8601; without an offset in the run's zone.", examples=["2026-07-01T10:15:00Z"]),
]


class Purchase(Struct, forbid_unknown_fields=True, frozen=True):
    """An order."""

    customer_id: Annotated[Id, Meta(examples=["17"])]
    timestamp: When
    amount: Annotated[float, Meta(ge=0, le=1e9, description="What was paid, in currency.", examples=[24.9])]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="That of the scores.", examples=["GBP"])]
    order_id: Annotated[
        Key,
        Meta(
            description="The order's id, as in the transactions of the runs: sent again it counts once.",
            examples=["A-1001"],
        ),
    ]


class Touchpoint(Struct, forbid_unknown_fields=True, frozen=True):
    """A contact."""

    customer_id: Annotated[Id, Meta(examples=["17"])]
    timestamp: When
    channel: Annotated[Key, Meta(description="Where it took place.", examples=["chat"])]
    touchpoint_id: Annotated[
        Key, Meta(description="The sender's name for it: sent again it counts once.", examples=["T-1"])
    ]


_REFUSED = refusals(
    "bad-request",
    "busy",
    "before-first-purchase",
    "disk-full",
    "erased-customer",
    "in-the-future",
    "no-live-scores",
    "other-currency",
    "reused-key",
    "slow-request",
    "storage-refused",
    "too-large",
    "too-old",
    "unsupported-media-type",
)


def _bodies(kind: type[Struct]) -> dict[str, Any]:
    """OpenAPI's description: one, several, or an Arrow stream of the same columns."""
    body = schema_of(kind, several=MOST_ROWS)
    body["content"][ARROW] = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": body}


@router.post("/purchases", response_model=Accepted, openapi_extra=_bodies(Purchase), responses=_REFUSED)
async def post_purchases(request: Request, served: ServedDep) -> Response:
    """Take in an order, or up to 10,000: the customers' scores change at once.

    All are taken in or, where one is wrong, none; they are on the disk when this answers. An `order_id` that
    was sent before with the same content is acknowledged again and counts once. The run that reads an order
    takes it over.
    """
    rows = await decode_rows(request, Purchase, most=MOST_ROWS)
    return await _take(request, served, "purchase", rows)


@router.post("/touchpoints", response_model=Accepted, openapi_extra=_bodies(Touchpoint), responses=_REFUSED)
async def post_touchpoints(request: Request, served: ServedDep) -> Response:
    """Take in a contact, or up to 10,000: each customer is scored as of the day of the latest.

    A contact says that the customer was seen up to its day, so that a long silence before it counts; it does
    not count as a purchase. Otherwise as for purchases.
    """
    rows = await decode_rows(request, Touchpoint, most=MOST_ROWS)
    return await _take(request, served, "touchpoint", rows)


async def _take(request: Request, served: Served, kind: Kind, rows: Sequence[Any]) -> Response:
    """Check, write, acknowledge."""
    state = request.app.state
    if not is_live(served) or state.watcher.home is None:
        raise Problem(name="no-live-scores", detail=_why_not(served))
    if not served.has_predictor:
        await state.predictions.run(served.load_predictor)
    live = state.updates.seen_by(served)
    if live is not None and live.pending > _MOST_PENDING:
        raise Problem(
            name="busy",
            detail=f"{live.pending} arrivals are in no run yet. Run again, and promote it.",
            headers={"retry-after": "600"},
        )
    received = max(time.time_ns() // 1000, live.latest if live is not None else 0)
    checks = ArrivalChecks(served, kind, received)
    few = len(rows) <= _FEW
    arrivals = checks.arrivals(rows) if few else await asyncio.to_thread(checks.arrivals, rows)
    outcome = await state.intake.take(arrivals)
    refuse_outcome(outcome, kind)
    state.metrics.arrived(kind, accepted=outcome.accepted, duplicates=outcome.duplicates)
    answer = {
        "model_version": served.context["model_version"],
        "accepted": outcome.accepted,
        "duplicates": outcome.duplicates,
    }
    return Reply(orjson.dumps(answer), headers=[NO_STORE])


def _why_not(served: Served) -> str:
    """Why an arrival changes no score of what is served."""
    model = served.bundle.model
    if model.get("contract"):
        return "Values come from contracts, which an order does not change. The next run reads it."
    if not model.get("purchase_model"):
        return "The run fitted no purchase model; see left_out in /v1/model."
    return "The bundle is of an earlier version, without purchases. Run again."
