"""What an administrator may do: load again, go back."""

from __future__ import annotations

import asyncio
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from api.dependencies import refusals
from api.problems import Problem
from api.replies import Reply
from api.responses import Reloaded
from api.served import served_of
from api.watcher import Watcher
from experiments.champion import rollback_bundle
from histories.errors import BundleError

router = APIRouter(prefix="/v1/admin", tags=["admin"])


IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern="^[!-~]{1,128}$", description="Names the request, so that it is done once however often sent."
    ),
]


async def _load(request: Request) -> Response:
    watcher: Watcher = request.app.state.watcher
    before = watcher.current
    try:
        await asyncio.to_thread(watcher.reload, force=True)
    except BundleError as error:
        raise Problem(name="bundle-refused", detail=str(error)) from error
    request.scope["served"] = watcher.current
    now = served_of(request.scope)
    changed = before is None or before.bundle.digest != now.bundle.digest
    answer = {
        "model_version": now.context["model_version"],
        "as_of": now.context["as_of"],
        "changed": changed,
    }
    return Reply(orjson.dumps(answer), headers=[(b"cache-control", b"no-store")])


@router.post("/reload", response_model=Reloaded, responses=refusals("bundle-refused"))
async def reload(request: Request) -> Response:
    """Load what the source names now; other workers follow within a second.

    A damaged bundle is refused with the reason, and what was served goes on.
    """
    return await _load(request)


@router.post(
    "/rollback", response_model=Reloaded, responses=refusals("bundle-refused", "nothing-to-roll-back")
)
async def rollback(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Serve again what was served before the last promotion.

    Sent again with the same `Idempotency-Key` it goes back no further.
    """
    settings = request.app.state.settings
    if settings.runs is None or settings.bundle is not None:
        raise Problem(name="nothing-to-roll-back", detail="The service serves one fixed bundle.")
    key = request.scope.get("api_key")
    try:
        who = key.name if key else "local"
        await asyncio.to_thread(rollback_bundle, settings.runs, who, key=idempotency_key)
    except BundleError as error:
        raise Problem(name="nothing-to-roll-back", detail=str(error)) from error
    return await _load(request)
