"""Purchase summaries and journeys against DuckDB's SQL: time and memory for the same answer.

    python -m benchmarks.journeys [--peer-python PATH] [--customers N] [--pairs K] [--threads T] [--out FILE]

`--peer-python` is an interpreter with duckdb (the extra `bench`); by default this one. Each customer has 20
transactions and 60 touches over two years. Both sides read the same two Parquet files, net transactions into
purchases by day, summarise them (frequency, recency, T, monetary value), divide the touches into conversion
journeys and null paths by the same definition (lookback 7 days), and count both by path. Rules: as many
threads for each; ours plans with 2 GB, DuckDB with its own default; a new process for every measurement; the
two sides take turns; the clock starts after a small run, so that no compilation is timed. What both find must
be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TRANSACTIONS_EACH, TOUCHES_EACH = 20, 60
START, DAYS, END = datetime(2024, 1, 1), 730, date(2025, 12, 30)
LOOKBACK_DAYS = 7
SMALL = 500
MEMORY = "2GB"

SQL = """
create temp table purchases as
select customer_id, min(timestamp) as moment, sum(amount) as amount
from read_parquet('{folder}/transactions.parquet')
group by customer_id, date_trunc('day', timestamp) having sum(amount) > 0;

create temp table summary as
with numbered as (
    select *, row_number() over (partition by customer_id order by moment) as place from purchases
)
select customer_id, count(*) - 1 as frequency,
    date_diff('day', min(moment), max(moment)) / 7.0 as recency,
    date_diff('day', min(moment), timestamp '{end}') / 7.0 as T,
    avg(case when place > 1 then amount end) / 10000 as monetary_value
from numbered group by customer_id;

create temp table placed as
with touched as (
    select t.customer_id, t.timestamp as moment, t.channel, p.moment as bought_at, p.amount,
        lead(t.timestamp) over (partition by t.customer_id order by t.timestamp, t.channel) as next_at
    from read_parquet('{folder}/touches.parquet') t
    asof left join purchases p on t.customer_id = p.customer_id and t.timestamp < p.moment
), judged as (
    select *,
        coalesce(bought_at - moment <= interval {lookback} day, false) as converts,
        coalesce(
            next_at - moment <= interval {lookback} day and (bought_at is null or next_at < bought_at), false
        ) as goes_on
    from touched
)
select *, sum(case when goes_on then 0 else 1 end) over (
    partition by customer_id order by moment desc, channel desc rows unbounded preceding
) as run from judged;

create temp table paths as
with conversions as (
    select string_agg(channel, ' > ' order by moment, channel) as path, 1 as converted,
        any_value(amount) as amount
    from placed where converts group by customer_id, bought_at
), nulls as (
    select string_agg(channel, ' > ' order by moment, channel) as path, 0 as converted, 0 as amount
    from placed group by customer_id, run
    having not bool_or(converts)
        and max(moment) + interval {lookback} day < timestamp '{end}' + interval 1 day
)
select path, sum(converted) as conversions, sum(amount) as amount, sum(1 - converted) as nulls
from (select * from conversions union all select * from nulls) group by path;
"""


def simulate_tables(customers: int, folder: Path, *, seed: int = 1) -> None:
    """Transactions and touches at uniform seconds, in no order."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    start = int(START.timestamp())

    def times(count: int) -> pl.Series:
        seconds = start + rng.integers(0, DAYS * 86_400, count)
        return pl.Series(seconds * 1_000_000).cast(pl.Datetime("us"))

    bought, seen = customers * TRANSACTIONS_EACH, customers * TOUCHES_EACH
    channels = pl.Series(np.array([f"channel {letter}" for letter in "abcdefgh"])[rng.integers(0, 8, seen)])
    pl.DataFrame(
        {
            "customer_id": rng.integers(0, customers, bought),
            "timestamp": times(bought),
            "amount": rng.integers(10_000, 2_000_000, bought),
        }
    ).write_parquet(folder / "transactions.parquet")
    pl.DataFrame(
        {"customer_id": rng.integers(0, customers, seen), "timestamp": times(seen), "channel": channels}
    ).write_parquet(folder / "touches.parquet")


def run_ours(folder: Path) -> dict[str, Any]:
    """Purchases, summary and path counts, bucket by bucket."""
    import polars as pl

    from clv.summary import summarize_purchases
    from histories.engines.base import Made, Tables
    from histories.engines.spilled import Spilled
    from histories.journeys import count_path_texts, merge_paths, walk_journeys
    from histories.purchases import build_purchases
    from histories.reading.sources import memory_bytes
    from histories.timeline import JourneyWindow

    window = JourneyWindow(lookback_days=LOOKBACK_DAYS, observation_end=END)

    def of_bucket(tables: Tables) -> Made:
        purchases = build_purchases(tables["transactions"]).collect().lazy()
        summary = summarize_purchases(purchases, observation_end=END, time_unit="week")
        journeys = walk_journeys(tables["touches"], purchases, window).journeys
        return {
            "summary": summary.collect(),
            "paths": count_path_texts(journeys.filter(pl.col("n_touches") > 0)).collect(),
        }

    frames = {name: pl.scan_parquet(folder / f"{name}.parquet") for name in ("transactions", "touches")}
    with tempfile.TemporaryDirectory(dir=folder) as spill:
        made = Spilled(Path(spill), memory=memory_bytes(MEMORY)).scatter(frames).map(of_bucket)
        summary = made.gather("summary").collect()
        paths = merge_paths(made.gather("paths")).collect()
    return {
        "customers": summary.height,
        "frequency": int(summary["frequency"].sum()),
        "recency": round(float(summary["recency"].sum())),
        "monetary_value": round(float(summary["monetary_value"].sum())),
        "paths": paths.height,
        "conversions": int(paths["conversions"].sum()),
        "value": round(float(paths["value"].sum())),
        "nulls": int(paths["nulls"].sum()),
    }


def run_duckdb(folder: Path, threads: int) -> dict[str, Any]:
    """The same in SQL."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"set threads = {threads}; set temp_directory = '{folder}'")
    connection.execute(SQL.format(folder=folder, end=END, lookback=LOOKBACK_DAYS))
    found = connection.execute(
        """select
            (select count(*) from summary), (select sum(frequency)::bigint from summary),
            (select round(sum(recency))::bigint from summary),
            (select round(sum(monetary_value))::bigint from summary),
            count(*), sum(conversions)::bigint, round(sum(amount) / 10000)::bigint, sum(nulls)::bigint
        from paths"""
    ).fetchone()
    names = ["customers", "frequency", "recency", "monetary_value", "paths", "conversions", "value", "nulls"]
    return dict(zip(names, found, strict=True))


def _measure(side: str, folder: Path, small: Path, threads: int) -> dict[str, Any]:
    """Time, memory and answer of one side, in this process."""
    run = (lambda where: run_duckdb(where, threads)) if side == "duckdb" else run_ours
    run(small)
    wall, cpu = time.perf_counter(), time.process_time()
    found = run(folder)
    return {
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
        "found": found,
    }


def _in_new_process(python: str, side: str, folder: Path, small: Path, threads: int) -> dict[str, Any]:
    command = [
        python,
        "-m",
        "benchmarks.journeys",
        "--side",
        side,
        "--folder",
        str(folder),
        "--small",
        str(small),
    ]
    environment = {
        **os.environ,
        "POLARS_MAX_THREADS": str(threads),
        "NUMBA_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    printed = subprocess.run(
        [*command, "--threads", str(threads)], env=environment, check=True, capture_output=True, text=True
    )
    return dict(json.loads(printed.stdout.splitlines()[-1]))


def _compare(arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder, small = Path(place) / "full", Path(place) / "small"
        simulate_tables(arguments.customers, folder)
        simulate_tables(SMALL, small)
        pairs = []
        for number in range(arguments.pairs):
            sides = [("ours", sys.executable), ("duckdb", arguments.peer_python)]
            if number % 2:
                sides.reverse()
            pairs.append(
                {
                    side: _in_new_process(python, side, folder, small, arguments.threads)
                    for side, python in sides
                }
            )
    if any(pair["ours"]["found"] != pair["duckdb"]["found"] for pair in pairs):
        raise SystemExit(f"the answers differ: {pairs[0]}")
    measures = ("wall_seconds", "cpu_seconds", "peak_gigabytes")
    medians = {
        side: {name: statistics.median(pair[side][name] for pair in pairs) for name in measures}
        for side in ("ours", "duckdb")
    }
    ratios = {
        name: statistics.median(pair["duckdb"][name] / pair["ours"][name] for pair in pairs)
        for name in measures
    }
    return {
        "customers": arguments.customers,
        "transactions": arguments.customers * TRANSACTIONS_EACH,
        "touches": arguments.customers * TOUCHES_EACH,
        "threads": arguments.threads,
        "found": pairs[0]["ours"]["found"],
        **medians,
        "duckdb_over_ours": ratios,
    }


def main() -> None:
    """Measure one side (in a process of its own), or both in turns."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=["ours", "duckdb"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--small", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(_measure(arguments.side, arguments.folder, arguments.small, arguments.threads)))
        return
    result = json.dumps(_compare(arguments), indent=2)
    print(result)
    if arguments.out:
        arguments.out.write_text(result + "\n")


if __name__ == "__main__":
    main()
