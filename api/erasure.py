"""Erasure through the service: a tombstone now, the bundles rewritten by a process of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from fastapi import Request

from api.served import Served
from experiments.erasure import entomb, is_known

__all__ = ["Rewriter", "erase"]


async def erase(request: Request, served: Served, customer_id: str) -> bool:
    """Hide a customer from this moment on; False when nobody knows the id."""
    state = request.app.state
    home: Path = state.holder.home
    stored = served.stored_id(customer_id)
    key = request.scope.get("api_key")
    known = served.hides(stored) or served.find(customer_id) >= 0
    if not known and not await asyncio.to_thread(is_known, home, stored):
        return False
    fresh = await asyncio.to_thread(
        entomb, home, stored, who=key.name if key else "local", request_id=request.scope["request_id"]
    )
    state.holder.snapshot()
    if fresh:
        state.metrics.erased()
    state.rewriter.start(home)
    return True


class Rewriter:
    """Runs `python -m experiments.rewriting`, one at a time: a large bundle must not hold up requests."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def start(self, home: Path) -> None:
        """Rewrite every bundle that still holds an erased customer, soon."""
        if self._task is not None and not self._task.done():
            self._again = True
            return
        self._task = asyncio.create_task(self._run(home))

    def stop(self) -> None:
        """Stop waiting; a process that runs goes on by itself, and the next start looks again."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, home: Path) -> None:
        while True:
            self._again = False
            command = [sys.executable, "-m", "experiments.rewriting", str(home)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
            while process.poll() is None:
                await asyncio.sleep(0.1)
            if not self._again:
                return
