"""The scoring service against an empty route and `mlflow models serve`: requests, CPU, latency, memory.

    python -m benchmarks.service [--customers N] [--requests N] [--rounds K] [--mlflow] [--out FILE]

One server process each, on this machine, all started before the clock; requests over kept-alive connections
from a plain socket client in this process; the servers take turns in every round. CPU is the server's own
processor time per request; reported are medians of the rounds. Load goes to 127.0.0.1 only and ends by
itself.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ARROW = "application/vnd.apache.arrow.stream"
GATED = """
import sys
from pathlib import Path
import uvicorn
from api.app import create_app
from api.settings import Settings
from api.server import server_options
from experiments.bundle.reading import load_bundle
from starlette.responses import Response

settings = Settings(port=int(sys.argv[2]), access_log=False)
app = create_app(settings, load_bundle(Path(sys.argv[1])))

@app.get("/v1/empty")
async def empty() -> dict[str, str]:
    return {}

uvicorn.run(app, **server_options(settings))
"""
BARE = """
import sys
import fastapi, uvicorn
app = fastapi.FastAPI()

@app.get("/empty")
async def empty() -> dict[str, str]:
    return {}

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""
BYTES = """
import sys
import uvicorn

BODY = b"x" * 900
HEAD = [(b"content-type", b"application/json"), (b"content-length", b"900")]

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})
        await send({"type": "http.response.body", "body": BODY})

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False, lifespan="off")
"""
PEER = '''
"""The same fitted model as a pyfunc: summaries in, values out."""
import mlflow
from mlflow.pyfunc import PythonModel


class Values(PythonModel):
    def load_context(self, context):
        import json
        from clv.purchases.fits import fit_from_dict
        from clv.spend import GammaGammaFit

        with open(context.artifacts["model"]) as stream:
            model = json.load(stream)
        self.fit, self.spend = fit_from_dict(model["fit"]), GammaGammaFit.from_dict(model["spend"])

    def predict(self, context, model_input, params=None):
        import pandas as pd
        from clv.value import predict_values

        x = model_input
        columns = (x[name] for name in ("frequency", "recency", "T", "monetary_value"))
        return pd.DataFrame(predict_values(self.fit, self.spend, *columns))


mlflow.models.set_model(Values())
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to one server."""

    name: str
    server: str
    method: str
    path: str
    body: bytes = b""
    accept: str = "*/*"
    scale: int = 1  # requests are divided by this

    def request(self) -> bytes:
        """The bytes to send."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: {self.accept}\r\n"
        if self.body:
            head += f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n"
        return head.encode() + b"\r\n" + self.body


class Connection:
    """A kept-alive connection that reads whole answers."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[int, int]:
        """Status and size of the answer's body."""
        self.socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise ConnectionError("closed")
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        lower = head.lower()
        size = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        left = size - len(body)
        while left > 0:
            left -= len(self.socket.recv(1 << 20))
        return int(head.split(b" ", 2)[1]), size


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def processor_seconds(pids: list[int]) -> float:
    """Time that all threads of processes spent on a processor, to the nanosecond."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def private_megabytes(pids: list[int]) -> float:
    """Memory of processes of their own, without what is mapped from files and shared."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                total += int(line.split()[1])
    return total / 1024


@contextmanager
def serving(command: list[str], port: int, probe: str) -> Iterator[list[int]]:
    """Start a server, wait until it answers, end it afterwards."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                if Connection(port).ask(f"GET {probe} HTTP/1.1\r\nhost: x\r\n\r\n".encode())[0] == 200:
                    break
            except (OSError, IndexError):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"{command[1:3]} did not start") from None
                time.sleep(0.1)
        yield family(process.pid)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the server's own group: it may have started others


def measure(case: Case, port: int, pids: list[int], requests: int) -> dict[str, float]:
    """One round: CPU per request, latency, requests per second."""
    connection, request = Connection(port), case.request()
    status, size = connection.ask(request)
    if status != 200:
        raise RuntimeError(f"{case.name}: {status}")
    n = max(5, requests // case.scale)
    latencies = np.empty(n)
    before, start = processor_seconds(pids), time.perf_counter()
    for i in range(n):
        began = time.perf_counter()
        connection.ask(request)
        latencies[i] = time.perf_counter() - began
    elapsed, used = time.perf_counter() - start, processor_seconds(pids) - before
    p50, p99 = np.quantile(latencies, [0.5, 0.99])
    return {
        "cpu_us": 1e6 * used / n,
        "rps": n / elapsed,
        "p50_us": 1e6 * p50,
        "p99_us": 1e6 * p99,
        "bytes": size,
    }


def score_model() -> dict[str, Any]:
    """What a bundle keeps of its models: BG/NBD and spend, as fitted."""
    return {
        "purchase_model": "bg_nbd",
        "final": {"bg_nbd": fitted()["fit"]},
        "spend": fitted()["spend"],
        "horizon_months": 12,
        "discount_rate": 0.1,
        "gross_margin": 1.0,
        "time_unit": "week",
    }


def make_bundle(path: Path, customers: int) -> list[str]:
    """A bundle of scored customers; returns ids in no order."""
    from experiments.bundle.writing import write_bundle
    from tests.sample_bundle import sample_customers, sample_tables

    frame = sample_customers(customers)
    tables = sample_tables(10) | {"customers": frame}
    write_bundle(
        path, tables=tables, manifest={"run_id": "bench", "as_of": "2025-12-31"}, model=score_model()
    )
    return [str(value) for value in frame["customer_id"].head(10_000)]


def many_customers(n: int, *, text: bool) -> Any:
    """Scores of `n` customers with random ids, made column by column."""
    import polars as pl

    from experiments.bundle.tables import TABLES

    rng = np.random.default_rng(1)
    ids = pl.Series(rng.permutation(np.arange(10**9, 10**9 + n)))
    columns: dict[str, pl.Expr] = {
        "customer_id": pl.format("customer-{}", pl.lit(ids)) if text else pl.lit(ids)
    }
    kinds = {pl.Int64: lambda: rng.integers(0, 10, n), pl.Date: lambda: rng.integers(18_000, 20_000, n)}
    for name, dtype in list(TABLES["customers"].schema.items())[1:-1]:
        kind = dtype if isinstance(dtype, type) else type(dtype)
        values = kinds.get(kind, lambda: rng.gamma(2.0, 50.0, n))()
        columns[name] = pl.lit(pl.Series(values).cast(pl.Int32 if kind is pl.Date else dtype).cast(dtype))
    return pl.select(**columns).with_columns(model=pl.lit("bg_nbd"))


def measure_store(n: int, *, text: bool) -> None:
    """Write, check, open and search a bundle of `n` customers."""
    from api.store import Store
    from experiments.bundle.reading import load_bundle
    from experiments.bundle.writing import write_bundle

    frame = many_customers(n, text=text)
    ids = [str(value) for value in frame["customer_id"].head(20_000)]
    with tempfile.TemporaryDirectory(prefix="store-") as folder:
        path = Path(folder) / "bundle"
        start = time.perf_counter()
        write_bundle(
            path, tables={"customers": frame}, manifest={"run_id": "r", "as_of": "2025-12-31"}, model={}
        )
        del frame
        written = time.perf_counter()
        bundle = load_bundle(path)
        checked = time.perf_counter()
        store = Store(bundle)
        opened = time.perf_counter()
        for customer_id in ids[10_000:]:
            assert store.find(customer_id) >= 0
        found = time.perf_counter()
        assert (store.find_many(ids[:10_000]) >= 0).all()
        together = time.perf_counter()
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    print(
        f"{n:,} customers, {'text' if text else 'integer'} ids: written {written - start:.1f} s, "
        f"checked {checked - written:.1f} s, opened {1e3 * (opened - checked):.0f} ms, "
        f"one lookup {1e6 * (found - opened) / 10_000:.1f} us, "
        f"10,000 together {1e3 * (together - found):.1f} ms, "
        f"{size / 1e9:.2f} GB on disk"
    )


def cases(ids: list[str]) -> list[Case]:
    """What is asked of whom."""

    def batch(n: int, accept: str) -> Case:
        body = json.dumps({"ids": ids[:n]}).encode()
        form = "Arrow" if accept == ARROW else "JSON"
        return Case(
            name=f"{n:,} scores, {form}",
            server="gated",
            method="POST",
            path="/v1/customers/values",
            body=body,
            accept=accept,
            scale=max(1, n // 100),
        )

    return [
        Case(name="one score", server="gated", method="GET", path=f"/v1/customers/{ids[0]}/value"),
        Case(name="empty FastAPI route, same middleware", server="gated", method="GET", path="/v1/empty"),
        Case(name="empty FastAPI route, bare", server="bare", method="GET", path="/empty"),
        Case(name="900 bytes, no framework", server="bytes", method="GET", path="/"),
        *(batch(n, accept) for n in (1_000, 10_000) for accept in ("application/json", ARROW)),
    ]


def mlflow_cases(n: int) -> list[Case]:
    """The same model behind `mlflow models serve`."""
    rng = np.random.default_rng(1)
    found = []
    for size in (1, n):
        x = rng.poisson(1.5, size)
        recency = np.where(x > 0, rng.uniform(1, 30, size), 0.0)
        rows = np.column_stack([x, recency, recency + 5.0, np.full(size, 25.0)]).tolist()
        names = ["frequency", "recency", "T", "monetary_value"]
        split = json.dumps({"dataframe_split": {"columns": names, "data": rows}}).encode()
        columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
        columns["frequency"] = [int(value) for value in columns["frequency"]]
        scale = 10 if size == 1 else 400
        what = "one prediction" if size == 1 else f"{size:,} predictions"
        body = json.dumps(columns).encode()
        found += [
            Case(
                name=f"{what}, mlflow models serve",
                server="mlflow",
                method="POST",
                path="/invocations",
                body=split,
                scale=scale,
            ),
            Case(
                name=what,
                server="gated",
                method="POST",
                path="/v1/values/predict",
                body=body,
                scale=scale // 5,
            ),
        ]
    return found


def fitted() -> dict[str, Any]:
    """A purchase and a spend fit as plain values: CDNOW's published parameters."""
    report = {"log_likelihood": -9582.43, "customers": 2357, "covariance": None}
    from clv.purchases.base import FitReport
    from clv.purchases.beta_geometric import GeometricFit
    from clv.spend import GammaGammaFit

    kept = FitReport(**report)
    return {
        "fit": GeometricFit(r=0.2426, alpha=4.4136, a=0.7929, b=2.4259, report=kept).to_dict(),
        "spend": GammaGammaFit(p=6.25, q=3.74, v=15.44, report=kept).to_dict(),
    }


def save_peer(folder: Path) -> Path:
    """The pyfunc model that `mlflow models serve` loads."""
    import mlflow

    (folder / "peer.py").write_text(PEER)
    (folder / "fit.json").write_text(json.dumps(fitted()))
    mlflow.pyfunc.save_model(
        path=folder / "model",
        python_model=str(folder / "peer.py"),
        artifacts={"model": str(folder / "fit.json")},
    )
    return folder / "model"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--requests", type=int, default=4_000, help="per case and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mlflow", action="store_true", help="also against `mlflow models serve`")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--store", type=int, metavar="N", help="only write, open and search N customers")
    options = parser.parse_args()
    if options.store:
        for text in (False, True):
            measure_store(options.store, text=text)
        return
    with tempfile.TemporaryDirectory(prefix="service-") as name, ExitStack() as stack:
        folder = Path(name)
        ids = make_bundle(folder / "bundle", options.customers)
        ports = {server: free_port() for server in ("gated", "bare", "bytes", "mlflow")}
        commands = {
            server: ([sys.executable, "-c", code, str(folder / "bundle"), str(ports[server])], probe)
            for server, code, probe in (
                ("gated", GATED, "/health/ready"),
                ("bare", BARE, "/empty"),
                ("bytes", BYTES, "/"),
            )
        }
        asked = cases(ids)
        if options.mlflow:
            model = save_peer(folder)
            command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "-m", str(model)]
            command += ["--env-manager", "local", "-p", str(ports["mlflow"]), "-w", "1"]
            commands["mlflow"] = (command, "/ping")
            asked += mlflow_cases(10_000)
        running = {s: stack.enter_context(serving(c, ports[s], probe)) for s, (c, probe) in commands.items()}
        rounds: dict[str, list[dict[str, float]]] = {case.name: [] for case in asked}
        for _ in range(options.rounds):
            for case in asked:
                rounds[case.name].append(
                    measure(case, ports[case.server], running[case.server], options.requests)
                )
        memory = {server: private_megabytes(pids) for server, pids in running.items()}
    report(asked, rounds, memory, options.out)


def report(
    asked: list[Case], rounds: dict[str, list[dict[str, float]]], memory: dict[str, float], out: Path | None
) -> None:
    """Print the table of medians."""
    rows = {
        name: {key: statistics.median(row[key] for row in found) for key in found[0]}
        for name, found in rounds.items()
    }
    print("| question | CPU per request | requests/s | p50 | p99 | answer | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in asked:
        row = rows[case.name]
        print(
            f"| {case.name} | {row['cpu_us'] / 1e3:.3f} ms | {row['rps']:.0f} | {row['p50_us'] / 1e3:.2f} ms "
            f"| {row['p99_us'] / 1e3:.2f} ms | {row['bytes']:,.0f} B | {memory[case.server]:.0f} MB |"
        )
    one, empty = (rows[name]["cpu_us"] for name in ("one score", "empty FastAPI route, same middleware"))
    print(f"\none score / empty route behind the same middleware: {one / empty:.2f}")
    if out is not None:
        out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
