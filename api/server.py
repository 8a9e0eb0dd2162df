"""Run the service: one process, or several that share the port and the mapped columns."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import uvicorn

from api.app import create_app
from api.limits import SHARED
from api.protocol import BoundedProtocol
from api.settings import ENVIRONMENT, Settings
from experiments.processes import is_running

__all__ = ["run_server", "server_options"]

_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"log": {"class": "api.access_log.LogHandler"}},
    "root": {"handlers": ["log"], "level": "WARNING"},
    "loggers": {"uvicorn": {"level": "INFO"}},
}

_HEALTHCHECK_SECONDS: Final = 60
"""How long a worker may give no sign: with a quarter of a core its imports alone take some seconds."""

_SHARED: Final = "tributary-metrics-"


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
        "timeout_worker_healthcheck": _HEALTHCHECK_SECONDS,
    }


def run_server(settings: Settings) -> None:
    """Serve until told to stop; requests in flight are finished first."""
    options = server_options(settings)
    _allow_many_files()
    if settings.workers == 1:
        uvicorn.run(create_app(settings), **options)
        return
    _sweep_metrics()
    with tempfile.TemporaryDirectory(prefix=f"{_SHARED}{os.getpid()}-") as shared:
        os.environ[ENVIRONMENT] = settings.to_json()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.environ[SHARED] = shared
        uvicorn.run("api.app:create_from_environment", factory=True, workers=settings.workers, **options)


def _allow_many_files() -> None:
    """Raise the limit of open files to what the system allows: a bundle holds some, each client one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _sweep_metrics() -> None:
    """Remove folders that services being killed have left; their process is no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SHARED}*"):
        owner = folder.name.removeprefix(_SHARED).partition("-")[0]
        if owner.isdigit() and not is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
