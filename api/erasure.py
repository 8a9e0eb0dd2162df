"""Erasure through the service: a tombstone now, the bundles rewritten by a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fastapi import Request

from api.metrics import Metrics
from api.served import Served
from experiments.bundle.leftovers import find_leftovers
from experiments.erasure import copies_beside, entomb, is_known, pending_erasures
from histories.errors import BundleError

_LONGEST_PAUSE: Final = 600.0


async def erase(request: Request, served: Served, customer_id: str) -> bool:
    """Hide a customer from this moment on; False when nobody knows the id."""
    state = request.app.state
    home: Path = state.watcher.home
    stored = served.stored_id(customer_id)
    key = request.scope.get("api_key")
    known = served.hides(stored) or served.find(customer_id) >= 0
    if not known and not await asyncio.to_thread(is_known, home, stored):
        return False
    fresh = await asyncio.to_thread(
        entomb, home, stored, who=key.name if key else "local", request_id=request.scope["request_id"]
    )
    state.exports.prune(state.watcher.snapshot())
    if fresh:
        state.metrics.erased()
    state.rewriter.start(home)
    return True


class Rewriter:
    """Runs `python -m experiments.rewriting`, one at a time: a large bundle must not hold up requests.

    A failed attempt is noted with its cause and repeated, after 1 s and then twice as long each time, up to
    ten minutes.
    """

    def __init__(self, metrics: Metrics, notice: Callable[[str, dict[str, Any]], None]) -> None:
        self._metrics, self._notice = metrics, notice
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()

    def start(self, home: Path) -> None:
        """Rewrite every bundle that still holds an erased customer, soon."""
        self._asked.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(home))

    async def start_if_needed(self, home: Path) -> None:
        """Take up what an earlier process left undone: customers not yet gone, folders of killed writers."""
        with contextlib.suppress(BundleError):
            if await asyncio.to_thread(self._count, home) or await asyncio.to_thread(_has_leftovers, home):
                self.start(home)

    def stop(self) -> None:
        """Stop waiting; a process that runs goes on by itself, and the next start looks again."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, home: Path) -> None:
        pause = 1.0
        while self._asked.is_set():
            self._asked.clear()
            reason = await self._rewrite(home)
            if reason is None:
                pause = 1.0
                continue
            self._notice("rewriting_failed", {"reason": reason, "next_try_seconds": pause})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), pause)
            self._asked.set()
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _rewrite(self, home: Path) -> str | None:
        """Run the process to its end; why it failed, or None."""
        with contextlib.suppress(BundleError):
            await asyncio.to_thread(self._count, home)
        command = [sys.executable, "-m", "experiments.rewriting", str(home)]
        try:
            process = subprocess.Popen(  # not the loop's own kind, which would end with the loop
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return f"no process could be started ({error.strerror})"
        with process.stderr as stream:  # type: ignore[union-attr]
            while process.poll() is None:
                await asyncio.sleep(0.1)
            said = stream.read()
        try:
            await asyncio.to_thread(self._count, home)
        except BundleError as error:
            return str(error)
        if process.returncode == 0:
            return None
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the process ended with status {process.returncode}"

    def _count(self, home: Path) -> int:
        pending = pending_erasures(home, also=copies_beside(home))
        self._metrics.pending(pending)
        return pending


def _has_leftovers(home: Path) -> bool:
    return bool(find_leftovers(home))
