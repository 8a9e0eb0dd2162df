"""Orders as they arrive, and several workers: updates per second, latency, what a killed worker costs.

    python -m benchmarks.arrivals [--customers N] [--seconds S] [--workers N] [--out FILE]

The service runs as `tributary serve`, held to one core unless there are more `--workers`; requests come over
kept-alive connections from plain sockets of this process. CPU is the server's own processor time. Every order
is on the disk when it is acknowledged. Load goes to 127.0.0.1 only and ends by itself.
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import itertools
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.service import ARROW, Connection, free_port, processor_seconds, score_model, serving

END = dt.date(2025, 12, 31)
SERVE = """
import os, sys
if sys.argv[3] == "1":
    os.sched_setaffinity(0, {0})
from pathlib import Path
from api.settings import Settings
from api.server import run_server

if __name__ == "__main__":
    run_server(
        Settings(runs=Path(sys.argv[1]), port=int(sys.argv[2]), workers=int(sys.argv[3]), access_log=False)
    )
"""


def make_runs(runs: Path, customers: int) -> None:
    """A promoted bundle of scored customers with two or three purchases each."""
    from experiments.bundle.writing import write_bundle
    from experiments.champion import promote_bundle
    from tests.sample_bundle import sample_customers, sample_tables

    frame = sample_customers(customers)
    rng = np.random.default_rng(1)
    bought = frame.select(
        "customer_id", pl.int_ranges(pl.lit(0), pl.Series(rng.integers(2, 4, customers))).alias("n")
    ).explode("n")
    day = pl.lit(END) - pl.duration(days=pl.col("n") * 30 + pl.col("customer_id") % 30 + 1)
    purchases = bought.select(
        "customer_id",
        timestamp=day.cast(pl.Datetime("us")) + pl.duration(hours=12),
        date=day,
        amount=pl.lit(25.0),
        margin=pl.lit(10.0),
        orders=pl.lit(1, dtype=pl.Int64),
        touches=pl.lit(0, dtype=pl.Int64),
        credit=pl.lit(0.0),
    ).sort("customer_id", "timestamp")
    first = pl.lit(END - dt.timedelta(days=200), dtype=pl.Date)
    tables = sample_tables(10) | {
        "customers": frame.with_columns(first_purchase=first),
        "purchases": purchases,
    }
    manifest = {"run_id": "bench", "as_of": END.isoformat(), "currency": "GBP", "time_unit": "week"}
    write_bundle(runs / "bench", tables=tables, manifest=manifest, model=score_model())
    promote_bundle(runs, runs / "bench", "benchmark")


class Orders:
    """Requests with orders, each order new, of customers in turn."""

    def __init__(self, customers: int) -> None:
        self._customers, self._numbers = customers, itertools.count()

    def rows(self, n: int) -> list[dict[str, Any]]:
        """Orders within the thirty days behind the run."""
        found = []
        for number in itertools.islice(self._numbers, n):
            moment = dt.datetime(2026, 1, 1 + number % 30, 12, tzinfo=dt.UTC)
            found.append(
                {
                    "customer_id": str(1 + number % self._customers),
                    "timestamp": moment.isoformat(),
                    "amount": 20.0 + number % 50,
                    "currency": "GBP",
                    "order_id": f"o-{number}",
                }
            )
        return found

    def one(self) -> bytes:
        """One order as JSON."""
        return post("/v1/purchases", json.dumps(self.rows(1)[0]).encode())

    def several(self, n: int) -> bytes:
        """A list in JSON."""
        return post("/v1/purchases", json.dumps(self.rows(n)).encode())

    def stream(self, n: int) -> bytes:
        """A stream of Arrow."""
        frame = pl.DataFrame(self.rows(n)).with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
        stream = io.BytesIO()
        frame.write_ipc_stream(stream)
        return post("/v1/purchases", stream.getvalue(), ARROW)


def post(path: str, body: bytes, kind: str = "application/json") -> bytes:
    """A request's bytes."""
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    """A request's bytes."""
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def hammer(
    port: int, make: Callable[[], bytes], *, connections: int, seconds: float, patient: bool = False
) -> tuple[list[float], int, list[int]]:
    """Ask over several connections for a while: latencies, broken connections, statuses other than 200.

    A connection that breaks is opened anew, by whom is `patient`.
    """
    latencies: list[float] = []
    broken, odd = [0], []
    end = time.perf_counter() + seconds

    def ask() -> None:
        connection = Connection(port)
        while time.perf_counter() < end:
            request = make()
            began = time.perf_counter()
            try:
                status, _ = connection.ask(request)
            except (OSError, IndexError):
                broken[0] += 1
                if not patient:
                    raise
                while time.perf_counter() < end:
                    with suppress(OSError):
                        connection = Connection(port)
                        break
                continue
            latencies.append(time.perf_counter() - began)
            if status != 200:
                odd.append(status)

    askers = [threading.Thread(target=ask) for _ in range(connections)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    return latencies, broken[0], odd


def row(name: str, latencies: list[float], seconds: float, used: float, each: int = 1) -> dict[str, Any]:
    """A line of the table."""
    p50, p99 = np.quantile(latencies, [0.5, 0.99])
    done = len(latencies) * each
    return {
        "what": name,
        "per_second": done / seconds,
        "cpu_ms": 1e3 * used / done,
        "p50_ms": 1e3 * p50,
        "p99_ms": 1e3 * p99,
    }


def measure_orders(port: int, pids: list[int], customers: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Orders one by one and in batches; an order and then its customer's score."""
    orders = Orders(customers)
    turn = itertools.count()

    def order_then_score() -> bytes:
        number = next(turn)
        return orders.one() if number % 2 == 0 else get(f"/v1/customers/{1 + number // 2 % customers}/value")

    cases: list[tuple[str, Callable[[], bytes], int, int]] = [
        ("one order, 1 connection", orders.one, 1, 1),
        ("one order, 8 connections", orders.one, 8, 1),
        ("one order, 32 connections", orders.one, 32, 1),
        ("100 orders in JSON", lambda: orders.several(100), 2, 100),
        ("10,000 orders in JSON", lambda: orders.several(10_000), 1, 10_000),
        ("10,000 orders in Arrow", lambda: orders.stream(10_000), 1, 10_000),
    ]
    Connection(port).ask(orders.one())  # the models are read with the first
    for name, make, connections, each in cases:
        before, began = processor_seconds(pids), time.perf_counter()
        latencies, _, odd = hammer(port, make, connections=connections, seconds=seconds)
        if odd:
            raise RuntimeError(f"{name}: {odd[:3]}")
        yield row(name, latencies, time.perf_counter() - began, processor_seconds(pids) - before, each)
    before, began = processor_seconds(pids), time.perf_counter()
    latencies, _, odd = hammer(port, order_then_score, connections=8, seconds=seconds)
    pairs = row(
        "an order, then the customer's score",
        latencies,
        time.perf_counter() - began,
        processor_seconds(pids) - before,
    )
    pairs["per_second"] /= 2
    pairs["cpu_ms"] *= 2
    yield pairs


def measure_workers(
    port: int, pids: list[int], customers: int, seconds: float, workers: int
) -> Iterator[dict[str, Any]]:
    """Scores and orders over several workers, and one of them killed meanwhile."""
    numbers = itertools.count()
    orders = Orders(customers)

    def score() -> bytes:
        return get(f"/v1/customers/{1 + next(numbers) % customers}/value")

    asked = (("one score", score), ("one order", orders.one), ("one score after orders", score))
    for name, make in asked:
        Connection(port).ask(make())
        before, began = processor_seconds(pids), time.perf_counter()
        latencies, _, odd = hammer(port, make, connections=8, seconds=seconds)
        if odd:
            raise RuntimeError(f"{name}: {odd[:3]}")
        used = processor_seconds(pids) - before
        yield row(f"{name}, {workers} workers", latencies, time.perf_counter() - began, used)
    victim = max(pids)
    threading.Timer(seconds / 3, os.kill, (victim, signal.SIGKILL)).start()
    began = time.perf_counter()
    latencies, broken, odd = hammer(port, score, connections=8, seconds=seconds, patient=True)
    name = f"one score, one of {workers} workers killed: {broken} of 8 connections broke, {len(odd)} failed"
    yield row(name, latencies, time.perf_counter() - began, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="per case")
    parser.add_argument("--workers", type=int, default=1, help="more than one: one of them is killed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    measured = partial(measure_workers, workers=options.workers) if options.workers > 1 else measure_orders
    with tempfile.TemporaryDirectory(prefix="arrivals-") as name:
        runs = Path(name) / "runs"
        runs.mkdir()
        make_runs(runs, options.customers)
        (Path(name) / "serve.py").write_text(SERVE)
        port = free_port()
        command = [
            sys.executable,
            str(Path(name) / "serve.py"),
            str(runs),
            str(port),
            str(options.workers),
        ]
        with serving(command, port, "/health/ready") as pids:
            time.sleep(1)
            rows = list(measured(port, pids, options.customers, options.seconds))
    print("| what | per second | CPU each | p50 | p99 |")
    print("| --- | --- | --- | --- | --- |")
    for line in rows:
        print(
            f"| {line['what']} | {line['per_second']:,.0f} | {line['cpu_ms']:.3f} ms "
            f"| {line['p50_ms']:.2f} ms | {line['p99_ms']:.2f} ms |"
        )
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
