"""Memory and CPU of a whole run by step and by size of the company, in memory and within a memory limit.

    python -m benchmarks.scale FOLDER... [--memory 1GB] [--engine local] [--set KEY=VALUE] [--out FILE]
    python -m benchmarks.scale --plain N --plain N... [--work FOLDER] ...

Each FOLDER holds a company as `tributary simulate --out FOLDER` writes it. A plain company of N customers has
20 transactions and 60 touches each over two years, and neither cases nor costs nor experiments. Every run is
a process of its own. CPU is of the whole process; memory is the largest resident set seen within the step,
asked for every 20 ms, so that a short peak can be missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EVERY = 0.02
PLAIN = """name = "plain"
observation_end = 2025-12-30
currency = "EUR"
inputs = { transactions = "transactions.parquet", touchpoints = "touches.parquet" }
value = { models = ["bg_nbd"], challenger = false, origins = 1, posterior_draws = 0 }

[attribution]
lookback_days = 7
outcomes = ["conversion", "spend", "retention"]
methods = ["last", "linear", "markov"]
"""
PAGE = 4096
MB = 1024 * 1024


class Meter:
    """CPU seconds and peak memory of each step; call it when a step begins."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._step, self._cpu, self._peak = "start", time.process_time(), 0
        threading.Thread(target=self._watch, daemon=True).start()

    def __call__(self, step: str) -> None:
        """Close the step before, begin this one; a bucket's number is no step of its own."""
        name = step.partition(":")[0]
        if name == self._step:
            return
        now = time.process_time()
        self.rows.append({"step": self._step, "cpu": now - self._cpu, "peak_mb": self._peak / MB})
        self._step, self._cpu, self._peak = name, now, resident()

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, resident())
            time.sleep(EVERY)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def measure(folder: Path, memory: str | None, engine: str, overrides: Sequence[str]) -> dict[str, Any]:
    """One run of the company in `folder`, in this process."""
    from experiments.config import load_config
    from experiments.run import run_experiment

    with tempfile.TemporaryDirectory() as work:
        meter, begun = Meter(), time.perf_counter()
        config = load_config(folder / "tributary.toml", overrides=list(overrides))
        options: dict[str, Any] = {"memory": memory, "engine": engine} if memory or engine != "local" else {}
        result = run_experiment(
            config, runs=Path(work) / "runs", mlruns=Path(work) / "mlruns", step=meter, **options
        )
        meter("end")
        return {
            "folder": folder.name,
            "memory": memory,
            "engine": engine,
            "wall": time.perf_counter() - begun,
            "steps": meter.rows,
            "headline": result.headline,
            "left_out": dict(result.left_out),
        }


def plain_company(work: Path, customers: int) -> Path:
    """Write a plain company, where it is not there yet; its folder."""
    from benchmarks.journeys import simulate_tables

    folder = work / f"plain-{customers}"
    if not (folder / "tributary.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        simulate_tables(customers, folder)
        (folder / "tributary.toml").write_text(PLAIN, encoding="utf-8")
    return folder


def main() -> None:
    """Measure every folder, each in a new process, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--plain", type=int, action="append", default=[], metavar="N")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--memory")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.folders[0], args.memory, args.engine, args.overrides)))
        return
    found = []
    for folder in [*args.folders, *(plain_company(args.work, customers) for customers in args.plain)]:
        call = [sys.executable, "-m", "benchmarks.scale", "--one", str(folder), "--engine", args.engine]
        call += ["--memory", args.memory] if args.memory else []
        call += [part for text in args.overrides for part in ("--set", text)]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print_table(found)
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def print_table(found: Sequence[dict[str, Any]]) -> None:
    """Steps as rows, companies as columns: CPU seconds / peak MB."""
    print(f"\n{'step':32}" + "".join(f"{run['folder']:>18}" for run in found))
    for place, step in enumerate(found[0]["steps"]):
        cells = [run["steps"][place] for run in found if place < len(run["steps"])]
        print(f"{step['step']:32}" + "".join(f"{c['cpu']:10.1f} /{c['peak_mb']:6.0f}" for c in cells))
    cpu = [sum(step["cpu"] for step in run["steps"]) for run in found]
    peak = [max(step["peak_mb"] for step in run["steps"]) for run in found]
    print(f"{'all':32}" + "".join(f"{c:10.1f} /{p:6.0f}" for c, p in zip(cpu, peak, strict=True)), flush=True)


if __name__ == "__main__":
    main()
