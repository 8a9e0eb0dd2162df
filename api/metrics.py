"""What Prometheus reads: latency by route, what is served and how old it is, refusals."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """The figures of one service; with several workers, of all of them together.

    Workers share their counts through files in the folder that `PROMETHEUS_MULTIPROC_DIR` names, which
    `tributary serve` sets.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        made: Any = {"registry": self._registry}
        newest: Any = {**made, "multiprocess_mode": "livemostrecent"}
        self._requests = Histogram(
            "tributary_request_seconds",
            "Time from request to end of answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            **made,
        )
        self._refusals = Counter("tributary_bundle_refusals", "Bundles refused at load.", **made)
        self._refused_requests = Counter(
            "tributary_refused_requests", "Requests refused before their route.", ("reason",), **made
        )
        self._loads = Counter("tributary_bundle_loads", "Bundles taken into service.", **made)
        self._erasures = Counter("tributary_erasures", "Customers erased through this service.", **made)
        self._watch_failures = Counter(
            "tributary_watch_failures", "Looks at what is to be served that failed.", **made
        )
        self._pending = Gauge(
            "tributary_erasures_pending", "Erased customers who are hidden, but still in some file.", **newest
        )
        self._rewriting_failures = Counter(
            "tributary_rewriting_failures", "Attempts to rewrite bundles that failed.", **made
        )
        self._deliveries = Gauge(
            "tributary_hook_deliveries", "Events on their way to receivers.", ("status",), **newest
        )
        self._arrivals = Counter(
            "tributary_arrivals", "Orders and contacts sent.", ("kind", "status"), **made
        )
        self._ready = Gauge("tributary_ready", "1 while a bundle is served.", **newest)
        self._store = Gauge(
            "tributary_store_info", "What is served: 1 for the current version.", ("model_version",), **newest
        )
        self._customers = Gauge("tributary_customers", "Customers that can be looked up.", **newest)
        self._as_of = Gauge(
            "tributary_scores_as_of_timestamp_seconds", "Day that the scores describe.", **newest
        )
        self._drift = Gauge("tributary_drift", "Drift against the fit.", ("column", "statistic"), **newest)
        self._usage = Counter("tributary_key_requests", "Requests that showed a key.", ("key_id",), **made)
        self._users: dict[str, Callable[[], None]] = {}
        self._version: str | None = None
        self._timers: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = (method, route, status)
        timer = self._timers.get(key)
        if timer is None:
            timer = self._timers[key] = self._requests.labels(method, route, str(status)).observe
        timer(seconds)

    def used(self, key_id: str) -> None:
        """Count a request of a key, admitted or over its limit."""
        count = self._users.get(key_id)
        if count is None:
            count = self._users[key_id] = self._usage.labels(key_id).inc
        count()

    def refuse(self, reason: str) -> None:
        """Count a request that never reached its route."""
        self._refused_requests.labels(reason).inc()

    def hooks(self, *, waiting: int, dead: int) -> None:
        """Say how many deliveries of events wait, and how many were given up."""
        self._deliveries.labels("waiting").set(waiting)
        self._deliveries.labels("dead").set(dead)

    def arrived(self, kind: str, *, accepted: int, duplicates: int) -> None:
        """Count what was taken in, and what had been before."""
        self._arrivals.labels(kind, "accepted").inc(accepted)
        self._arrivals.labels(kind, "duplicate").inc(duplicates)

    def pending(self, erasures: int) -> None:
        """Say how many erased customers are still in some file."""
        self._pending.set(erasures)

    def erased(self) -> None:
        """Count an erasure."""
        self._erasures.inc()

    def event(self, name: str, facts: dict[str, Any]) -> None:
        """Take note of a bundle that was loaded or refused."""
        if name == "bundle_refused":
            self._refusals.inc()
        elif name == "watch_failed":
            self._watch_failures.inc()
        elif name == "rewriting_failed":
            self._rewriting_failures.inc()
        elif name == "bundle_damaged":
            self._ready.set(0)
        elif name == "bundle_loaded":
            self._loads.inc()
            self._ready.set(1)
            if self._version is not None:
                self._store.labels(self._version).set(0)
            self._version = str(facts["model_version"])
            self._store.labels(self._version).set(1)
            self._customers.set(facts["customers"])
            self._as_of.set(_timestamp(facts["as_of"]))
            for row in facts.get("drift", ()):
                self._drift.labels(row["column"], row["statistic"]).set(row["value"])

    def render(self) -> bytes:
        """The exposition format, of all workers when they share a folder."""
        if not os.environ.get(_SHARED):
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def _timestamp(day: Any) -> float:
    try:
        time = dt.datetime.fromisoformat(str(day))
    except ValueError:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()
