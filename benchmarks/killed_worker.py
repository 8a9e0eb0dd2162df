"""A worker is killed during a run on a real standalone cluster, and the answer must be right all the same.

    python -m benchmarks.killed_worker [--customers N] [--work FOLDER]

Starts a Spark master and two workers on 127.0.0.1, runs a plain company (`benchmarks.scale`) with
`--engine spark` on them, and sends SIGKILL to one worker with its executor while channels are credited. The
same company runs in memory; every table of both bundles must be equal, whole numbers exactly and others to
1e-9. Needs pyspark and Java 17. All processes end with the script.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.scale import plain_company

HOST = "127.0.0.1"
PATIENCE = 180.0
KILLED_IN = "Crediting channels"
SECONDS_INTO = 4.0
CHECKED = ("customers", "credits", "paths", "transitions", "purchases", "touchpoints", "customer_credits")


def spark_home() -> Path:
    """The Spark folder inside the pyspark package."""
    import pyspark

    return Path(pyspark.__file__).parent


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def started(kind: str, *arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A master or worker in a process group of its own, ended with the block."""
    home = spark_home()
    environment = {**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": HOST}
    environment["PYSPARK_PYTHON"] = sys.executable
    call = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", "--host", HOST, *arguments]
    with log.open("wb") as out:
        process = subprocess.Popen(
            call, env=environment, stdout=out, stderr=out, start_new_session=True, cwd=log.parent
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Cluster:
    """What the master says of its workers and applications."""

    def __init__(self, port: int) -> None:
        self._address = f"http://{HOST}:{port}/json/"

    def ask(self) -> dict[str, Any]:
        """The master's state; empty before it answers."""
        try:
            with urllib.request.urlopen(self._address, timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return {}

    def workers(self, state: str) -> int:
        """How many workers are in a state such as ALIVE or DEAD."""
        return sum(worker["state"] == state for worker in self.ask().get("workers", ()))

    def wait(self, state: str, count: int) -> None:
        """Wait until so many workers are in a state."""
        until = time.monotonic() + PATIENCE
        while self.workers(state) < count:
            if time.monotonic() > until:
                raise SystemExit(f"{count} workers were not {state} within {PATIENCE:.0f} s")
            time.sleep(0.5)


def run(folder: Path, work: Path, name: str, *, engine: str, kill: Any = None) -> Path:
    """The bundle of a run; `kill` is called a few seconds into the step `KILLED_IN`."""
    from experiments.config import load_config
    from experiments.run import run_experiment

    def step(text: str) -> None:
        print(f"  {name}: {text}", flush=True)
        if kill is not None and text == KILLED_IN:
            threading.Timer(SECONDS_INTO, kill).start()

    config = load_config(folder / "tributary.toml")
    result = run_experiment(
        config,
        runs=work / "runs",
        mlruns=work / "mlruns",
        out=work / "runs" / name,
        step=step,
        engine=engine,
        memory="10MB" if engine == "spark" else None,
    )
    return result.bundle


def compare(whole: Path, other: Path) -> list[str]:
    """Check that both bundles hold the same; one line a table."""
    import polars as pl
    from polars.testing import assert_frame_equal

    told = []
    for name in CHECKED:
        one, two = (pl.read_parquet(bundle / f"{name}.parquet") for bundle in (whole, other))
        keys = [column for column, dtype in one.schema.items() if dtype != pl.Float64]
        assert_frame_equal(one.sort(keys), two.sort(keys), rel_tol=1e-9, abs_tol=1e-9)
        told.append(f"{name:18}{one.height:>10,} rows equal")
    return told


def main() -> None:
    """Start the cluster, run, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--customers", type=int, default=4_000)
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = args.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = plain_company(work, args.customers)
        whole = run(folder, work, "memory", engine="local")
        port, web = free_port(), free_port()
        master = f"spark://{HOST}:{port}"
        stack.enter_context(
            started("master.Master", "--port", str(port), "--webui-port", str(web), log=work / "master.log")
        )
        cluster = Cluster(web)
        workers = [
            stack.enter_context(
                started(
                    "worker.Worker",
                    *("--cores", "1", "--memory", "1g", "--webui-port", str(free_port())),
                    *("--work-dir", str(work / f"worker-{number}"), master),
                    log=work / f"worker-{number}.log",
                )
            )
            for number in range(2)
        ]
        cluster.wait("ALIVE", 2)
        print(f"{master}: {cluster.workers('ALIVE')} workers alive", flush=True)
        configured = work / "conf"
        configured.mkdir(exist_ok=True)
        (configured / "spark-defaults.conf").write_text(
            f"spark.master {master}\nspark.driver.host {HOST}\nspark.driver.bindAddress {HOST}\n"
            "spark.executor.memory 512m\nspark.executorEnv.POLARS_MAX_THREADS 1\n"
            "spark.ui.enabled false\nspark.log.level ERROR\n",
            encoding="utf-8",
        )
        os.environ |= {"SPARK_CONF_DIR": str(configured), "SPARK_LOCAL_IP": HOST}
        seen: list[str] = []

        def kill() -> None:
            busy = sum(worker["coresused"] for worker in cluster.ask()["workers"])
            os.killpg(workers[0].pid, signal.SIGKILL)
            seen.append(f"SIGKILL to one of 2 workers, {busy} of 2 cores in use")
            print(f"  {seen[-1]}", flush=True)

        begun = time.perf_counter()
        other = run(folder, work, "cluster", engine="spark", kill=kill)
        if not seen:
            raise SystemExit("the run was over before a worker was killed; take more customers")
        cluster.wait("DEAD", 1)
        print(
            f"run finished in {time.perf_counter() - begun:.0f} s: {cluster.workers('ALIVE')} worker alive, "
            f"{cluster.workers('DEAD')} dead"
        )
        print("\n".join(compare(whole, other)))


if __name__ == "__main__":
    main()
