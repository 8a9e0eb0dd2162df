"""The assembly of the service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.documentation import document
from api.erasure import Rewriter
from api.express import Express
from api.gate import Gate
from api.holder import Holder
from api.journal import Journal
from api.keys import KeyRing
from api.metrics import Metrics
from api.problems import MEDIA_TYPE, Problem
from api.replies import Reply
from api.routes import admin, customers, health, reports, staffing, tables, values
from api.settings import Settings
from experiments.bundle.reading import Bundle
from histories.errors import BundleError, ConfigError

__all__ = ["create_app", "create_from_environment"]


def create_app(settings: Settings | None = None, bundle: Bundle | None = None) -> FastAPI:
    """Build the service.

    Parameters
    ----------
    settings
        What to serve and to whom; by default nothing, to this machine.
    bundle
        An open bundle to serve at once.
    """
    settings = settings or Settings()
    metrics, journal = Metrics(), Journal()

    def notice(event: str, facts: dict[str, object]) -> None:
        metrics.event(event, facts)
        journal.write(event, **facts)

    holder = Holder(settings, bundle=bundle, notice=notice)
    keys = KeyRing(settings.keys) if settings.keys is not None else None
    app = FastAPI(
        title="Tributary",
        version="1",
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # its spans hold customers' ids
        openapi_url="/openapi.json",
    )
    app.state.settings, app.state.holder, app.state.metrics = settings, holder, metrics
    app.state.keys, app.state.journal, app.state.rewriter = keys, journal, Rewriter()
    app.state.stopping = False
    app.add_middleware(Express)
    app.add_middleware(Gate, settings=settings, holder=holder, keys=keys, metrics=metrics, journal=journal)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    for part in (customers, values, tables, staffing, reports, admin, health):
        app.include_router(part.router)
    document(app)
    return app


def create_from_environment() -> FastAPI:
    """The service as a worker of `tributary serve` builds it."""
    return create_app(Settings.from_environment())


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load what there is, follow it until the end, and finish what was begun."""
    state = app.state
    if state.holder.current is None:
        with contextlib.suppress(BundleError):
            await asyncio.to_thread(state.holder.reload)
    watchers = [asyncio.create_task(state.holder.watch()), asyncio.create_task(_watch_keys(app))]
    if state.holder.current is not None and state.holder.current.pending:
        state.rewriter.start(state.holder.home)
    try:
        yield
    finally:
        state.stopping = True
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        state.rewriter.stop()


async def _watch_keys(app: FastAPI) -> None:
    """Notice new, rotated and revoked keys."""
    while app.state.keys is not None:
        await asyncio.sleep(app.state.settings.watch_seconds)
        try:
            if app.state.keys.refresh():
                app.state.journal.write("keys_read")
        except ConfigError as error:
            app.state.journal.write("keys_refused", reason=str(error))


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return Reply(
        error.body(),
        media_type=MEDIA_TYPE,
        status=error.status,
        headers=[*headers, (b"cache-control", b"no-store")],
    )


async def _invalid(request: Request, error: Exception) -> Response:
    """A path or query of the wrong form; places and reasons, never the value found."""
    assert isinstance(error, RequestValidationError)
    errors = [{"at": ".".join(map(str, e["loc"])), "detail": e["msg"]} for e in error.errors()]
    problem = Problem(
        name="invalid-request", detail="The request does not have the right form; see errors.", errors=errors
    )
    return await _problem(request, problem)


async def _http(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    assert isinstance(error, HTTPException)
    name = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
    headers = dict(error.headers or {})
    return await _problem(
        request, Problem(name=name, detail="See /docs for the addresses there are.", headers=headers)
    )


_HANDLERS = {Problem: _problem, RequestValidationError: _invalid, HTTPException: _http}

_DESCRIPTION = (
    "Scores of customers, credit of channels, effects, service figures and returns, from one run of "
    "Tributary. Amounts are in `currency`, recency and T in `time_unit`. Every answer names its model in "
    "`X-Model-Version`. Errors are problem details (RFC 9457)."
)
