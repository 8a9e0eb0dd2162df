"""Tells receivers what was promoted: one worker of a service does, and another takes over when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from api.changes import changed_segment, earlier_bundle
from api.hooks.outbox import Delivery, Outbox
from api.metrics import Metrics
from api.problems import Problem
from api.served import Served
from api.watcher import Watcher
from histories.durable import lock_at
from histories.errors import TributaryError

Event = tuple[str, str | None, Mapping[str, Any]]


class Courier:
    """Looks at what is served and at the outbox once a second."""

    def __init__(
        self, watcher: Watcher, metrics: Metrics, notice: Callable[[str, dict[str, Any]], None]
    ) -> None:
        self._watcher, self._metrics, self._notice = watcher, metrics, notice
        self._lock: FileLock | None = None
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="hook")
        self._failure: str | None = None

    async def run(self, *, seconds: float) -> None:
        """Deliver until cancelled, whatever happens."""
        home = self._watcher.home
        while home is not None:
            await asyncio.sleep(seconds)
            outbox = Outbox(home)
            try:
                if await asyncio.to_thread(self._leads, home, outbox):
                    await self._round(home, outbox)
                self._failure = None
            except Exception as error:  # the next round tries again; the log says it once
                told = str(error) if isinstance(error, TributaryError) else type(error).__name__
                if told != self._failure:
                    self._failure = told
                    self._notice("hooks_failed", {"reason": told})

    def stop(self) -> None:
        """Let another worker take over."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._lock is not None:
            self._lock.release()

    def _leads(self, home: Path, outbox: Outbox) -> bool:
        """Whether this worker is the one that delivers; only where somebody asked to be told."""
        if not outbox.exists():
            return False
        if self._lock is None:
            lock = lock_at(home / ".hooks.lock", thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False
            self._lock = lock
        return True

    async def _round(self, home: Path, outbox: Outbox) -> None:
        served = self._watcher.current
        if served is not None:
            await asyncio.to_thread(_announce, home, outbox, served)
        loop = asyncio.get_running_loop()
        due = await asyncio.to_thread(outbox.due)
        await asyncio.gather(
            *(loop.run_in_executor(self._threads, self._deliver, outbox, one) for one in due)
        )
        counts = await asyncio.to_thread(outbox.counts)
        self._metrics.hooks(**counts)

    def _deliver(self, outbox: Outbox, delivery: Delivery) -> None:
        from api.hooks.sending import send  # with an HTTP client, which few services need

        reason = send(delivery)
        if reason is None:
            outbox.delivered(delivery)
            return
        dead = outbox.failed(delivery, reason)
        facts = {"hook": delivery.hook.id, "event_id": delivery.event, "reason": reason, "given_up": dead}
        self._notice("hook_failed", facts)


def _announce(home: Path, outbox: Outbox, served: Served) -> None:
    """Put what a promotion means into the outbox; the version that a first hook finds is no news."""
    version, before = str(served.context["model_version"]), outbox.announced()
    if version != before:
        events = [] if before is None else promotion_events(home, served, before)
        outbox.announce(version, events)


def promotion_events(home: Path, served: Served, before: str) -> list[Event]:
    """What receivers are told of a promotion; counts and addresses, never a customer.

    Who moved is asked for at the address in `changes`, with a key.
    """
    version = str(served.context["model_version"])
    since = quote(before, safe="")
    facts = {"model_version": version, "since": before, "as_of": served.context["as_of"]}
    promoted = {
        **facts,
        "customers": len(served.store),
        "changes": f"/v1/customers/changes?since={since}",
    }
    events: list[Event] = [("scores.promoted", None, promoted)]
    try:
        earlier = earlier_bundle(home, before)
    except Problem:
        return events
    for name in served.segments:
        try:
            statuses = changed_segment(earlier, served, name)["status"]
        except Problem:
            continue
        address = f"/v1/customers/changes?since={since}&segment={quote(name, safe='')}"
        for kind in ("entered", "left"):
            number = int((statuses == kind).sum())
            if number:
                data = {**facts, "segment": name, "customers": number, "changes": address}
                events.append((f"segment.{kind}", name, data))
    return events
