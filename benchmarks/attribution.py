"""Descriptive attribution against ChannelAttribution: time for the same journeys, and how it grows.

    python -m benchmarks.attribution --peer-python PATH [--paths N] [--pairs K] [--out FILE]
    python -m benchmarks.attribution --growth

`--peer-python` is an interpreter with ChannelAttribution and pandas (the extra `bench`); by default this one.
Rules for both sides: one thread; the table of text paths is in memory before the clock starts; one small run
first, so that no compilation and no import is timed; a new process for every measurement; the two sides take
turns. Reported are medians of processor time, and the median of the ratios of pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

CHANNELS = 12
WARM_UP_ROWS = 1_000
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS")
ROOT = Path(__file__).resolve().parent.parent
ROWS = {
    "markov_1": "Markov order 1, credit of conversions and value, removal effects, transition matrix",
    "markov_2": "Markov order 2, the same",
    "markov_3": "Markov order 3, the same",
    "rules": "first, last and linear credit of conversions and value",
}


def simulate_paths(n_paths: int, n_channels: int, file: Path, *, seed: int = 1) -> None:
    """Text paths of 1 + Poisson(3) touches, channels of unequal size, 10 % converted, gamma values."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(n_channels, 3.0))
    lengths = 1 + rng.poisson(3.0, n_paths)
    names = np.array([f"channel {i:02d}" for i in range(n_channels)])
    touches = pl.Series(names[rng.choice(n_channels, lengths.sum(), p=share)])
    won = rng.random(n_paths) < 0.1
    value = np.where(won, rng.gamma(2.0, 30.0, n_paths).round(2), 0.0)
    (
        pl.DataFrame({"row": np.repeat(np.arange(n_paths), lengths), "channel": touches})
        .group_by("row", maintain_order=True)
        .agg(path=pl.col("channel").str.join(" > "))
        .select("path", conversions=won.astype(int), nulls=(~won).astype(int), value=value)
        .write_parquet(file)
    )


def _ours(row: str, file: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """A small run and the run to be timed, through the functions that a user calls."""
    import polars as pl

    from attribution.paths.encoded import encode_paths
    from attribution.paths.markov import fit_markov
    from attribution.paths.rules import path_weights
    from attribution.paths.transitions import count_transitions, transition_table

    frame = pl.read_parquet(file)

    def markov(table: pl.DataFrame) -> object:
        paths = encode_paths(table)
        counts = count_transitions(paths, order=int(row[-1]))
        fit = fit_markov(counts)
        total, value = float(paths.conversions.sum()), float(paths.value.sum())
        matrix = transition_table(counts, outcome="conversion", segment="(all)")
        return fit.credit(total), fit.credit(value, of_value=True), matrix

    def rules(table: pl.DataFrame) -> object:
        paths = encode_paths(table)
        shares = [path_weights(paths, rule) for rule in ("first", "last", "linear")]
        return [(share.T @ paths.conversions, share.T @ paths.value) for share in shares]

    run = rules if row == "rules" else markov
    return (lambda: run(frame.head(WARM_UP_ROWS))), (lambda: run(frame))


def _peer(row: str, file: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """The same through ChannelAttribution."""
    import ChannelAttribution
    import pandas as pd

    frame = pd.read_parquet(file)

    def run(table: Any) -> object:
        if row == "rules":
            return ChannelAttribution.heuristic_models(
                table, "path", "conversions", var_value="value", flg_pro=False
            )
        return ChannelAttribution.markov_model(
            table,
            "path",
            "conversions",
            var_value="value",
            var_null="nulls",
            order=int(row[-1]),
            ncore=1,
            out_more=True,
            verbose=False,
            flg_pro=False,
        )

    return (lambda: run(frame.head(WARM_UP_ROWS))), (lambda: run(frame))


def work(side: str, row: str, file: Path) -> dict[str, float]:
    """Time one run in this process: processor and wall seconds."""
    warm_up, run = (_ours if side == "ours" else _peer)(row, file)
    warm_up()
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def measure(python: str, side: str, row: str, file: Path) -> dict[str, float]:
    """Time one run in a new process."""
    module = ["-m", "benchmarks.attribution"]
    command = [python, *module, "--side", side, "--row", row, "--data", str(file)]
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(peer_python: str, n_paths: int, pairs: int, rows: Sequence[str]) -> list[str]:
    """Lines of a table: ours beside the peer."""
    lines = [
        f"{n_paths:,} text paths, {CHANNELS} channels, {pairs} pairs, one thread, processor seconds",
        "",
        "| work | ours | ChannelAttribution | ratio |",
        "| --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "paths.parquet"
        simulate_paths(n_paths, CHANNELS, file)
        for row in rows:
            taken = [
                (measure(sys.executable, "ours", row, file), measure(peer_python, "peer", row, file))
                for _ in range(pairs)
            ]
            ours, peer = (statistics.median(pair[side]["cpu"] for pair in taken) for side in (0, 1))
            ratio = statistics.median(pair[1]["cpu"] / pair[0]["cpu"] for pair in taken)
            lines.append(f"| {ROWS[row]} | {ours:.2f} | {peer:.2f} | {ratio:.1f} |")
    return lines


def growth() -> list[str]:
    """Lines of a table: our time by paths, channels and order."""
    lines = ["| paths | channels | order | processor seconds |", "| --- | --- | --- | --- |"]
    cases = [(n, 12, 1) for n in (250_000, 500_000, 1_000_000, 2_000_000)]
    cases += [(500_000, channels, 1) for channels in (24, 48, 96)]
    cases += [(500_000, channels, order) for order in (2, 3) for channels in (12, 24)]
    with tempfile.TemporaryDirectory() as folder:
        for n_paths, n_channels, order in cases:
            file = Path(folder) / f"{n_paths}_{n_channels}.parquet"
            if not file.exists():
                simulate_paths(n_paths, n_channels, file)
            taken = measure(sys.executable, "ours", f"markov_{order}", file)
            lines.append(f"| {n_paths:,} | {n_channels} | {order} | {taken['cpu']:.2f} |")
    return lines


def main() -> None:
    """Print the table asked for, and keep it in `--out`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--paths", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        print(json.dumps(work(chosen.side, chosen.row, chosen.data)))
        return
    lines = (
        growth() if chosen.growth else compare(chosen.peer_python, chosen.paths, chosen.pairs, chosen.rows)
    )
    print("\n".join(lines))
    if chosen.out:
        chosen.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
