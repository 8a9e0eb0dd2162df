"""For those who watch the service: is it alive, is it ready, how is it doing."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.replies import Reply
from api.responses import Health
from api.watcher import Watcher

router = APIRouter(tags=["health"])


@router.get("/health/live", response_model=Health, response_model_exclude_none=True)
async def live() -> Response:
    """Whether the process answers at all."""
    return Reply(b'{"status":"alive"}', headers=[(b"cache-control", b"no-store")])


@router.get("/health/ready", response_model=Health, responses={503: {"model": Health}})
async def ready(request: Request) -> Response:
    """Whether a valid bundle is served; 503 until then, once its files are damaged, and while stopping."""
    watcher: Watcher = request.app.state.watcher
    served = request.scope["served"]
    ok = served is not None and watcher.damage is None and not request.app.state.stopping
    answer = {
        "status": "ready" if ok else "not ready",
        "model_version": served.context["model_version"] if served is not None else None,
        "refusal": watcher.damage or watcher.refusal,
    }
    return Reply(orjson.dumps(answer), status=200 if ok else 503, headers=[(b"cache-control", b"no-store")])


@router.get(
    "/metrics",
    response_model=None,
    responses={
        200: {"description": "Exposition format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    body = request.app.state.metrics.render()
    return Reply(body, media_type=b"text/plain; version=0.0.4; charset=utf-8")
