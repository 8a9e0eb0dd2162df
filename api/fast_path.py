"""The short way for the question asked most: one customer's score.

It answers what the route in `api.routes.customers` answers, from the same function, but before FastAPI's
routing, which costs several times as much as the answer. Whatever it does not recognise goes the usual way.
"""

from __future__ import annotations

from typing import Final

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem, send_problem, unknown_customer
from api.replies import cached_reply
from api.served import served_of
from experiments.bundle.columns import LONGEST_ID

_START: Final = "/v1/customers/"
_END: Final = "/value"


class _Route:
    """Stands in for the route in logs and metrics."""

    path_format = "/v1/customers/{customer_id}/value"


def answer_value(scope: Scope, customer_id: str) -> Response:
    """One customer's score, or 304 when the client has it.

    Raises
    ------
    Problem
        When the customer is unknown, or nothing is served yet.
    """
    served = served_of(scope)
    live = scope["app"].state.updates.of(served)
    if live is not None:
        stored = served.stored_id(customer_id)
        score = live.score(stored) if stored in live and not served.is_erased(stored) else None
        if score is not None:
            return cached_reply(
                scope,
                served,
                lambda: orjson.dumps({"customer_id": customer_id, **served.context, **score}),
                variant=live.tag(stored),
            )
    row = served.find(customer_id)
    if row < 0:
        raise unknown_customer()
    return cached_reply(scope, served, lambda: served.score(customer_id, row))


class FastPath:
    """Answers `GET /v1/customers/{customer_id}/value`; plain ASGI, inside the middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        customer_id = path[len(_START) : -len(_END)]
        if not (path.startswith(_START) and path.endswith(_END) and 0 < len(customer_id) <= LONGEST_ID):
            await self._app(scope, receive, send)
            return
        scope["route"] = _Route
        try:
            response = answer_value(scope, customer_id)
        except Problem as problem:
            await send_problem(send, problem, scope["request_id"])
            return
        await response(scope, receive, send)
