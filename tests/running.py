"""A service that really runs, for the tests: uvicorn on a free port of this machine, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from api.app import create_app
from api.server import server_options
from api.settings import Settings
from experiments.bundle.reading import load_bundle


class Server(uvicorn.Server):
    """One that ends as soon as it is told: uvicorn looks ten times a second, and then waits for clients."""

    async def startup(self, sockets: Any = None) -> None:
        self.loop, self.told = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.told.wait()

    def end(self) -> None:
        self.should_exit = True
        self.loop.call_soon_threadsafe(self.told.set)

    async def shutdown(self, sockets: Any = None) -> None:
        state = self.server_state
        for _ in range(20):  # the client has hung up: soon nobody is there
            if not (state.connections or state.tasks):
                break
            await asyncio.sleep(0.001)
        else:
            return await super().shutdown(sockets)
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()


@contextlib.contextmanager
def running(
    settings: Settings | None = None, *, bundle: Path | None = None, app: Any = None
) -> Iterator[httpx.Client]:
    """Serve until the block ends; gives a client of it."""
    settings = settings or Settings(access_log=False)
    app = app or create_app(settings, load_bundle(bundle) if bundle is not None else None)
    options = {**server_options(settings), "port": 0, "log_config": None, "timeout_graceful_shutdown": 5}
    server = Server(uvicorn.Config(app, **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the service did not start")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, verify=False) as client:
            client.app = app  # type: ignore[attr-defined]
            yield client
    finally:
        server.end()
        thread.join(timeout=20)


def eventually(condition: Any, *, seconds: float = 20.0) -> bool:
    """Whether a condition becomes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
