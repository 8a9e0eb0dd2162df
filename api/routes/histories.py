"""What lies behind one customer's score: contacts, purchases, the chance of being a customer over time."""

from __future__ import annotations

import datetime as dt
import math
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.dependencies import CustomerId, ServedDep, refusals
from api.live import Live, as_of_day
from api.pool import WorkPool
from api.problems import Problem, unknown_customer
from api.replies import cached_reply, onward_link
from api.responses import AliveHistory, Purchases, Reasons, Touchpoints
from api.served import Served
from clv.reasons import FACTORS, explain
from experiments.bundle.serving import Records

router = APIRouter(prefix="/v1/customers/{customer_id:path}", tags=["customers"])

After = Annotated[int, Query(ge=0, le=2**31, description="Rows to skip.")]
Limit = Annotated[int, Query(ge=1, le=1000)]

_MOST_POINTS = 1000


@router.get("/touchpoints", response_model=Touchpoints, responses=refusals("unknown-customer"))
async def get_touchpoints(
    customer_id: CustomerId, served: ServedDep, request: Request, after: After = 0, limit: Limit = 100
) -> Response:
    """A customer's contacts in order, each with its credit."""
    records = served.store.touchpoints
    live, stored = _live(request, served, customer_id)
    if live is None:
        return _page(request, served, customer_id, "touchpoints", records, after, limit)
    found = served.store.records_of(records, stored)
    rows = [*(found[0] if found is not None else ())]
    rows += [
        dict.fromkeys(records.columns)
        | {"timestamp": contact.timestamp.isoformat(timespec="seconds"), "channel": contact.channel}
        for contact in live.contacts(stored)
    ]
    return _page(request, served, customer_id, "touchpoints", records, after, limit, live=live, rows=rows)


@router.get("/purchases", response_model=Purchases, responses=refusals("unknown-customer", "no-purchases"))
async def get_purchases(
    customer_id: CustomerId, served: ServedDep, request: Request, after: After = 0, limit: Limit = 100
) -> Response:
    """A customer's purchases in order: orders netted, refunds taken off; with the contacts before each."""
    records = _purchases(served)
    live, stored = _live(request, served, customer_id)
    rows = None if live is None else live.rows(stored)
    return _page(request, served, customer_id, "purchases", records, after, limit, live=live, rows=rows)


@router.get(
    "/history",
    response_model=AliveHistory,
    responses=refusals("unknown-customer", "no-purchases", "no-purchase-model", "busy"),
)
async def get_history(
    customer_id: CustomerId,
    served: ServedDep,
    request: Request,
    step_days: Annotated[int, Query(ge=1, le=365, description="Days from point to point.")] = 7,
) -> Response:
    """The chance of being a customer over time, each day judged by what was known on it.

    By the purchase model alone. It falls while the customer is silent and jumps at a purchase. At most 1,000
    points, then further apart.
    """
    pool: WorkPool = request.app.state.predictions
    records = _purchases(served)
    live, stored = _live(request, served, customer_id)
    rows = _found(served, customer_id, records, 0, None)[0] if live is None else live.rows(stored)
    until = as_of_day(served) if live is None else live.as_of(stored)
    predictor = served.predictor if served.has_predictor else await pool.run(served.load_predictor)
    if predictor is None:
        raise Problem(
            name="no-purchase-model", detail="The run fitted no purchase model; see left_out in /v1/model."
        )
    days = sorted({day for row in rows if (day := dt.date.fromisoformat(row["date"])) <= until})
    span = (until - days[0]).days if days else 0
    step = max(step_days, -(-span // _MOST_POINTS))

    def draw() -> list[dict[str, Any]]:
        return predictor.alive_history(days, until=until, step_days=step).to_dicts() if days else []

    head = _head(served, customer_id, live)
    answer = {**head, "step_days": step, "history": await pool.run(draw)}
    return cached_reply(request.scope, served, orjson.dumps(answer), variant=_variant(live, stored))


@router.get("/reasons", response_model=Reasons, responses=refusals("unknown-customer", "no-value"))
async def get_reasons(customer_id: CustomerId, served: ServedDep, request: Request) -> Response:
    """Why a customer is worth more or less than the company's mean.

    Lifetime value is a product of four factors; their contributions add up to the difference exactly. They
    say how the forecast comes about, not what caused the customer's behaviour.
    """
    live, stored = _live(request, served, customer_id)
    score = None if live is None else live.score(stored)
    if score is None:
        row = served.find(customer_id)
        if row < 0:
            raise unknown_customer()
        score, live = served.store.score(row), None
    names = ("probability_alive", "expected_purchases", "expected_spend", "customer_lifetime_value")
    values = [score[name] for name in names]
    company = served.factors
    if company is None or any(value is None for value in values):
        raise Problem(
            name="no-value", detail="The run could not value this customer; see left_out in /v1/model."
        )
    alive, purchases, spend, value = values
    factors = explain(alive, purchases, spend, value, company)
    answer = {
        **_head(served, customer_id, live),
        "currency": served.context["currency"],
        "customer_lifetime_value": value,
        "company_mean": math.prod(company),
        "difference": sum(factor.contribution for factor in factors),
        "factors": [
            {
                "name": factor.name,
                "words": FACTORS[factor.name],
                "value": factor.value,
                "company": factor.company,
                "contribution": factor.contribution,
            }
            for factor in factors
        ],
    }
    return cached_reply(request.scope, served, orjson.dumps(answer), variant=_variant(live, stored))


def _live(request: Request, served: Served, customer_id: str) -> tuple[Live | None, str]:
    """What arrived of a customer who may be shown, and the stored id; None where nothing did."""
    stored = served.stored_id(customer_id)
    live = request.app.state.updates.of(served)
    if live is None or stored not in live or served.is_erased(stored):
        return None, stored
    return live, stored


def _variant(live: Live | None, stored: str) -> str:
    """What tells answers apart that hold more than the bundle."""
    return "" if live is None else live.tag(stored)


def _purchases(served: Served) -> Records:
    if served.store.purchases is None:
        raise Problem(
            name="no-purchases", detail="The bundle is of an earlier version, without purchases. Run again."
        )
    return served.store.purchases


def _found(
    served: Served, customer_id: str, records: Records, after: int, limit: int | None
) -> tuple[list[dict[str, Any]], int]:
    stored = served.stored_id(customer_id)
    hidden = served.hides(stored)
    found = None if hidden else served.store.records_of(records, stored, after=after, limit=limit)
    if found is None:
        raise unknown_customer()
    return found


def _head(served: Served, customer_id: str, live: Live | None = None) -> dict[str, Any]:
    as_of = served.context["as_of"]
    return {
        "model_version": served.context["model_version"],
        "as_of": as_of if live is None else live.as_of(served.stored_id(customer_id)).isoformat(),
        "customer_id": customer_id,
    }


def _page(
    request: Request,
    served: Served,
    customer_id: str,
    name: str,
    records: Records,
    after: int,
    limit: int,
    *,
    live: Live | None = None,
    rows: list[dict[str, Any]] | None = None,
) -> Response:
    """Some of a customer's rows: of the bundle's records, or of `rows` where something arrived."""
    if rows is None:
        shown, total = _found(served, customer_id, records, after, limit)
    else:
        shown, total = rows[after : after + limit], len(rows)
    end = after + len(shown)
    following = end if end < total else None
    answer = {**_head(served, customer_id, live), "total": total, name: shown, "next": following}
    return cached_reply(
        request.scope,
        served,
        orjson.dumps(answer),
        variant=_variant(live, served.stored_id(customer_id)),
        onward=onward_link(request, after=following),
    )
