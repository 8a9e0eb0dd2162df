"""The assembly of the service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES as UNPACKED
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from api.access_log import AccessLog
from api.admission import Admission
from api.dependencies import meant
from api.documentation import document
from api.erasure import Rewriter
from api.explore.pages import router as explorer
from api.export import ExportFiles
from api.fast_path import FastPath
from api.hooks.courier import Courier
from api.intake import Intake
from api.keys import KeyRing
from api.limits import RedisLimiter
from api.metrics import Metrics
from api.middleware import Middleware
from api.pool import WorkPool
from api.problems import MEDIA_TYPE, Problem
from api.replies import ARROW, PARQUET, Reply
from api.retirement import RETIRING, Retirement
from api.routes import (
    admin,
    arrivals,
    audiences,
    care,
    changes,
    customers,
    health,
    histories,
    identities,
    inference,
    reports,
    staffing,
    tables,
    values,
)
from api.settings import Settings
from api.updates import Updates
from api.watcher import Watcher
from experiments.bundle.reading import Bundle
from experiments.bundle.tables import TABLES
from histories.errors import BundleError, StorageError


def create_app(
    settings: Settings | None = None,
    bundle: Bundle | None = None,
    *,
    retiring: Mapping[tuple[str, str], Retirement] = RETIRING,
) -> FastAPI:
    """Build the service.

    Parameters
    ----------
    settings
        What to serve and to whom; by default nothing, to this machine.
    bundle
        An open bundle to serve at once.
    retiring
        Addresses that will end, by method and path.
    """
    settings = settings or Settings()
    metrics, log = Metrics(), AccessLog()

    def notice(event: str, facts: dict[str, object]) -> None:
        metrics.event(event, facts)
        log.write(event, **facts)

    updates = Updates(settings.home or (bundle.path.parent if bundle is not None else None))
    watcher = Watcher(settings, bundle=bundle, notice=notice, updates=updates)
    keys = KeyRing(settings.keys) if settings.keys is not None else None
    app = FastAPI(
        title="Tributary",
        version="1",
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        openapi_tags=[{"name": name, "description": text} for name, text in (_of_tables() | _TAGS).items()],
        servers=[{"url": settings.base_url}] if settings.public_url is not None else None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # its spans hold customers' ids
        openapi_url="/openapi.json",
    )
    app.state.handle_key = settings.handle_key
    app.state.settings, app.state.watcher, app.state.metrics = settings, watcher, metrics
    app.state.keys, app.state.log, app.state.rewriter = keys, log, Rewriter(metrics, notice)
    app.state.notice, app.state.retiring = notice, retiring
    app.state.exports = ExportFiles(watcher.home)
    app.state.updates, app.state.intake = updates, Intake(watcher.home)
    app.state.predictions, app.state.stopping = WorkPool("prediction"), False
    limiter = RedisLimiter(settings.limits, notice=notice) if settings.limits is not None else None
    app.state.admission = Admission(settings, keys=keys, log=log, metrics=metrics, limiter=limiter)
    app.add_middleware(
        GZipMiddleware, minimum_size=1024, compresslevel=4, exclude_content_types=(*UNPACKED, ARROW, PARQUET)
    )
    app.add_middleware(FastPath)
    app.add_middleware(
        Middleware,
        watcher=watcher,
        admission=app.state.admission,
        metrics=metrics,
        log=log,
        log_requests=settings.access_log,
        retiring=retiring,
    )
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    for part in (
        audiences,
        changes,
        arrivals,
        identities,
        histories,  # before customers, whose last address takes any path
        customers,
        values,
        inference,
        tables,
        care,
        staffing,
        reports,
        admin,
    ):
        app.include_router(part.router, dependencies=[Depends(meant)])
    app.include_router(health.router)
    app.include_router(explorer)
    document(app)
    return app


def create_from_environment() -> FastAPI:
    """The service as a worker of `tributary serve` builds it."""
    return create_app(Settings.from_environment())


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load what there is, follow it until the end, and finish what was begun."""
    state = app.state
    if state.watcher.current is None:
        with contextlib.suppress(BundleError):
            await asyncio.to_thread(state.watcher.reload)
    courier = Courier(state.watcher, state.metrics, state.notice)
    watchers = [
        asyncio.create_task(state.watcher.watch()),
        asyncio.create_task(_watch_keys(app)),
        asyncio.create_task(_warm(app)),
        asyncio.create_task(courier.run(seconds=state.settings.watch_seconds)),
        asyncio.create_task(
            state.exports.watch(state.watcher.snapshot, seconds=state.settings.watch_seconds)
        ),
    ]
    await asyncio.to_thread(state.exports.sweep)
    if state.watcher.home is not None:
        await state.rewriter.start_if_needed(state.watcher.home)
    try:
        yield
    finally:
        state.stopping = True
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        courier.stop()
        state.rewriter.stop()
        state.predictions.close()
        state.exports.close()
        state.intake.close()
        state.updates.close()
        await state.admission.close()


async def _watch_keys(app: FastAPI) -> None:
    """Notice new, rotated and revoked keys."""
    while app.state.keys is not None:
        await asyncio.sleep(app.state.settings.watch_seconds)
        app.state.admission.refresh_keys()


async def _warm(app: FastAPI) -> None:
    """Read the models beside the requests as soon as something has arrived, in this worker or another."""
    state = app.state
    while True:
        await asyncio.sleep(state.settings.watch_seconds)
        served = state.watcher.snapshot()
        if served is not None and not served.has_predictor and state.updates.of(served) is not None:
            await asyncio.to_thread(served.load_predictor)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return Reply(
        error.body(request.scope.get("request_id"), of_protocol=request.scope["path"].startswith("/v2")),
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


async def _not_stored(request: Request, error: Exception) -> Response:
    """The disk, or what lies on it, does not allow the change that was asked for; nothing changed."""
    full = isinstance(error, StorageError) and error.full
    name = "disk-full" if full else "storage-refused"
    return await _problem(request, Problem(name=name, detail=str(error), headers={"retry-after": "60"}))


_HANDLERS = {
    StorageError: _not_stored,
    BundleError: _not_stored,
    Problem: _problem,
    RequestValidationError: _invalid,
    HTTPException: _http,
}


def _of_tables() -> dict[str, str]:
    """Tags of the addresses that answer with rows of a table, and what these hold."""
    return {table.route.partition("/")[0]: table.words for table in TABLES.values() if table.route}


_TAGS = {
    "customers": "Scores of customers: one, many, a page; what lies behind a score; erasure.",
    "audiences": "Groups of customers: filters, counts, grids, named segments, one file of all.",
    "arrivals": "Orders and contacts between two runs.",
    "changes": "What moved since an earlier promotion.",
    "values": "Values of customers who are not stored.",
    "inference": "The same in the Open Inference Protocol, version 2.",
    "attribution": "Credit by channel.",
    "effects": "Estimated effects.",
    "care": "Service figures, open cases, staffing.",
    "roi": "Returns on cost.",
    "costs": "What channels cost, and whose cost it is.",
    "returns": "What care returns by month and segment, and what silence costs.",
    "forecasts": "What was promised, and what came of it.",
    "reports": "The report.",
    "model": "What the scores come from and cannot say.",
    "admin": "Load again, go back.",
    "health": "For those who watch the service.",
}

_DESCRIPTION = (
    "Scores of customers, credit of channels, effects, service figures and returns, from one run of "
    "Tributary. Amounts are in `currency`, recency and T in `time_unit`. Every answer names its model in "
    "`X-Model-Version`. Errors are problem details (RFC 9457)."
)
