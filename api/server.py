"""Run the service: one process, or several that share the port and the mapped columns.

The HTTP protocol is bounded where uvicorn's is not: time and size of a request's head, time of an answer.
Else a client who sends one byte a minute, an address without an end, or who never reads what it asked for
would hold a connection or memory for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.app import create_app
from api.limits import SHARED
from api.problems import problem_body
from api.settings import ENVIRONMENT, Settings
from experiments.processes import is_running

HEAD_SECONDS: Final = 10.0
HEAD_BYTES: Final = 65_536
WRITE_SECONDS: Final = 30.0
"""How long a client may read nothing of an answer that waits for it."""


def _last_words(status: bytes, body: bytes) -> bytes:
    """A whole answer, after which the connection closes."""
    head = b"HTTP/1.1 %s\r\ncontent-type: application/problem+json\r\nconnection: close\r\n" % status
    return b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)


_TOO_LARGE: Final = _last_words(
    b"431 Request Header Fields Too Large", problem_body("head-too-large", "Send at most 64 KiB.")
)
_UNREADABLE: Final = _last_words(
    b"400 Bad Request", problem_body("bad-request", "This is not a request in HTTP/1.1.")
)


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose next head is late or too large, or whose client does not read its answer."""

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head; the usual request arrives whole and costs one comparison."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            return
        if self._head_bytes > HEAD_BYTES:
            self._refuse()
        elif self._head_timer is None and self._head_bytes:
            self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head; a trailer after the body is no part of it."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: stop counting, and refuse one that came too large in one piece."""
        self._in_head = False
        self._stop_waiting()
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_BYTES:
            self._refuse()
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What follows on this connection is another head."""
        if not self.transport.is_closing():
            super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on, unless its head was refused."""
        if not self.transport.is_closing():
            super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, as a problem document like every refusal."""
        self.transport.write(_UNREADABLE)
        self.transport.close()

    def pause_writing(self) -> None:
        """The client reads slower than the answer is made: give it so much time."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        self._stop_writing_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_waiting()
        self._stop_writing_timer()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_writing_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _close(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self._close()


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
