"""Run the service: one process, or several that share the port and the mapped columns."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Final

import uvicorn

from api.app import create_app
from api.protocol import BoundedProtocol
from api.settings import ENVIRONMENT, Settings

__all__ = ["run_server", "server_options"]

_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"log": {"class": "api.access_log.LogHandler"}},
    "root": {"handlers": ["log"], "level": "WARNING"},
    "loggers": {"uvicorn": {"level": "WARNING"}},
}


def server_options(settings: Settings) -> dict[str, Any]:
    """What uvicorn is told, besides the application."""
    return {
        "host": settings.host,
        "port": settings.port,
        "http": BoundedProtocol,
        "ws": "none",
        "access_log": False,
        "log_config": _LOGGING,
        "server_header": False,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": settings.graceful_seconds,
        "proxy_headers": False,
        "backlog": 2048,
    }


def run_server(settings: Settings) -> None:
    """Serve until told to stop; requests in flight are finished first."""
    options = server_options(settings)
    if settings.workers == 1:
        uvicorn.run(create_app(settings), **options)
        return
    with tempfile.TemporaryDirectory(prefix="tributary-metrics-") as shared:
        os.environ[ENVIRONMENT] = settings.to_json()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared
        uvicorn.run("api.app:create_from_environment", factory=True, workers=settings.workers, **options)
