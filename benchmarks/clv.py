"""Customer value against its peers: same data, same process rules, pairs interleaved, one table of ratios.

    python -m benchmarks.clv                       # against lifetimes, and DuckDB when it is installed
    python -m benchmarks.clv --pymc-python PATH    # and PyMC-Marketing in another environment

CPU seconds of one thread; the best of the repetitions. `--scale 0.1` shrinks every table tenfold.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.buyers import simulate_gamma_gamma, simulate_geometric, simulate_pareto_nbd
from clv.purchases import BgNbd, Observations, ParetoNbd
from clv.purchases.reference import to_lifetimes
from clv.spend import GammaGamma
from clv.summary import summarize_purchases
from clv.uncertainty import purchase_posterior
from clv.value import predict_values

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS")
END = date(2026, 6, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: what was done, both times in seconds, and how far the answers are apart."""

    work: str
    peer: str
    ours: float
    theirs: float
    agreement: str


def interleaved(
    ours: Callable[[], object], theirs: Callable[[], object], repeat: int
) -> tuple[float, float, object, object]:
    """Best CPU time of each, taken in turns, and the last answers."""
    times: tuple[list[float], list[float]] = ([], [])
    answers: list[object] = [None, None]
    for _ in range(repeat):
        for side, work in enumerate((ours, theirs)):
            start = time.process_time()
            answers[side] = work()
            times[side].append(time.process_time() - start)
    return min(times[0]), min(times[1]), answers[0], answers[1]


def transactions(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """Rows of a till: customer, day and cents, twenty a customer."""
    days = rng.integers(0, 900, rows).astype(np.int32)
    return pl.DataFrame(
        {
            "customer_id": rng.integers(0, max(rows // 20, 1), rows),
            "date": pl.Series(days + np.int32((date(2024, 1, 1) - date(1970, 1, 1)).days)).cast(pl.Date),
            "amount": rng.integers(1, 1_000_000, rows),
        }
    )


def summary_rows(rng: np.random.Generator, scale: float, repeat: int) -> list[Row]:
    """Transactions to frequency, recency, T and monetary value."""
    from lifetimes.utils import summary_data_from_transaction_data

    lines = transactions(rng, int(10_000_000 * scale))
    unknown = lines.lazy().with_columns(margin=pl.lit(None, dtype=pl.Int64))

    def ours() -> pl.DataFrame:
        return summarize_purchases(unknown, observation_end=END, time_unit="day").collect()

    summarize_purchases(unknown.head(), observation_end=END, time_unit="day").collect()  # compiled

    frame = lines.with_columns(amount=pl.col("amount") / 10_000).to_pandas()

    def theirs() -> object:
        return summary_data_from_transaction_data(
            frame, "customer_id", "date", "amount", observation_period_end=END.isoformat()
        )

    a, b, mine, other = interleaved(ours, theirs, 1)
    value = mine.sort("customer_id")["monetary_value"].fill_null(0.0).to_numpy()  # type: ignore[attr-defined]
    gap = np.abs(value - other.sort_index()["monetary_value"].to_numpy()).max()  # type: ignore[attr-defined]
    rows = [
        Row(
            work=f"purchase summary, {lines.height:,} transactions",
            peer="lifetimes",
            ours=a,
            theirs=b,
            agreement=f"largest difference {gap:.1e}",
        )
    ]
    if importlib.util.find_spec("duckdb"):
        rows.append(_duckdb_summary(lines, ours, repeat))
    return rows


def _duckdb_summary(lines: pl.DataFrame, ours: Callable[[], object], repeat: int) -> Row:
    """The same in DuckDB's SQL, on the same Arrow table."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads to 1")
    table = lines.to_arrow()
    connection.register("lines", table)
    sql = f"""
        with purchases as (
            select customer_id, date, sum(amount) as amount from lines where date <= '{END}' group by all
        ),
        customers as (select customer_id, min(date) as first, max(date) as last, count(*) - 1 as frequency,
                      sum(amount) as revenue, min_by(amount, date) as first_amount
                      from purchases group by all)
        select customer_id, first, last, frequency, last - first as recency, date '{END}' - first as T,
               case when frequency > 0 then (revenue - first_amount) / (frequency * 10000) end
                   as monetary_value,
               revenue / 10000 as historic_revenue from customers
    """
    a, b, mine, other = interleaved(ours, lambda: connection.execute(sql).to_arrow_table(), repeat)
    same = len(mine) == other.num_rows  # type: ignore[arg-type,attr-defined]
    return Row(
        work=f"purchase summary, {lines.height:,} transactions",
        peer="DuckDB",
        ours=a,
        theirs=b,
        agreement=f"same customers: {same}",
    )


def fit_rows(rng: np.random.Generator, scale: float, repeat: int) -> list[Row]:
    """Maximum likelihood of BG/NBD, Pareto/NBD and gamma-gamma."""
    from lifetimes import BetaGeoFitter, GammaGammaFitter, ParetoNBDFitter

    n = int(1_000_000 * scale)
    T = rng.integers(90, 720, n) / 7.0
    data = simulate_geometric(rng, T, r=0.25, alpha=4.4, a=0.8, b=2.4).observations
    summary = pl.DataFrame(
        {"frequency": data.frequency.astype(np.int64), "recency": np.round(data.recency * 7) / 7, "T": T}
    )
    x, t_x = summary["frequency"].to_numpy(), summary["recency"].to_numpy()
    a, b, mine, other = interleaved(
        lambda: BgNbd().fit(summary), lambda: BetaGeoFitter().fit(x, t_x, T), repeat
    )
    rows = [
        Row(
            work=f"BG/NBD fit, {n:,} customers",
            peer="lifetimes",
            ours=a,
            theirs=b,
            agreement=_apart(mine, other),
        )
    ]

    n = int(10_000 * min(scale * 10, 1))
    T = rng.integers(180, 540, n) / 7.0
    few = simulate_pareto_nbd(rng, T, r=0.55, alpha=10.6, s=0.6, beta=11.7).observations
    x, t_x = few.frequency.astype(np.int64), few.recency
    a, b, mine, other = interleaved(
        lambda: ParetoNbd().fit(Observations.from_arrays(x, t_x, T)),
        lambda: ParetoNBDFitter().fit(x, t_x, T),  # from a random start, so its time varies
        max(repeat, 3),
    )
    rows.append(
        Row(
            work=f"Pareto/NBD fit, {n:,} customers",
            peer="lifetimes",
            ours=a,
            theirs=b,
            agreement=_apart(mine, other),
        )
    )

    n = int(1_000_000 * scale)
    counts = rng.geometric(0.3, n).astype(float)
    mean, _ = simulate_gamma_gamma(rng, counts, p=6.25, q=3.74, v=15.44)
    amounts = pl.DataFrame({"frequency": counts, "monetary_value": mean})
    a, b, mine, other = interleaved(
        lambda: GammaGamma().fit(amounts), lambda: GammaGammaFitter().fit(counts, mean), repeat
    )
    rows.append(
        Row(
            work=f"gamma-gamma fit, {n:,} customers",
            peer="lifetimes",
            ours=a,
            theirs=b,
            agreement=_apart(mine, other),
        )
    )
    return rows


def _apart(mine: object, other: object) -> str:
    """Largest relative difference of the parameters."""
    gap = np.abs(mine.vector() / other.params_.to_numpy() - 1.0).max()  # type: ignore[attr-defined]
    return f"parameters within {gap:.1e}"


def value_row(rng: np.random.Generator, scale: float, repeat: int) -> Row:
    """Twelve discounted months of a million customers."""
    import pandas as pd
    from lifetimes import GammaGammaFitter

    n = int(1_000_000 * scale)
    T = rng.integers(90, 720, n) / 7.0
    data = simulate_geometric(rng, T, r=0.25, alpha=4.4, a=0.8, b=2.4).observations
    fit = BgNbd().fit(data)
    mean, _ = simulate_gamma_gamma(rng, data.frequency, p=6.25, q=3.74, v=15.44)
    spend = GammaGamma().fit(
        pl.DataFrame({"frequency": data.frequency, "monetary_value": mean}).fill_nan(None)
    )
    theirs = GammaGammaFitter()
    theirs.params_ = pd.Series(spend.vector(), index=["p", "q", "v"])
    fitter = to_lifetimes(fit)
    series = [pd.Series(v) for v in (data.frequency, data.recency, T, np.nan_to_num(mean))]

    a, b, mine, other = interleaved(
        lambda: predict_values(fit, spend, data.frequency, data.recency, T, mean),
        lambda: theirs.customer_lifetime_value(fitter, *series, time=12, discount_rate=0.00797414, freq="W"),
        repeat,
    )
    ours = mine["customer_lifetime_value"]  # type: ignore[index]
    # lifetimes' month is 4.345 weeks, ours 30.4375 days: totals differ by that much
    ratio = ours.sum() / float(other.sum())  # type: ignore[attr-defined]
    return Row(
        work=f"12-month value, {n:,} customers",
        peer="lifetimes",
        ours=a,
        theirs=b,
        agreement=f"total ratio {ratio:.4f}",
    )


NUTS = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import pandas as pd
from pymc_marketing.clv import BetaGeoModel
data = pd.read_csv(sys.argv[1])
model = BetaGeoModel(data)
start = time.perf_counter()
model.fit(method="mcmc", draws=1000, tune=1000, chains=4, cores=1, random_seed=1, progressbar=False)
seconds = time.perf_counter() - start
posterior = model.idata.posterior
names = ("r", "alpha", "a", "b")
print(json.dumps({"seconds": seconds, "mean": {k: float(posterior[k].mean()) for k in names},
                  "sd": {k: float(posterior[k].std()) for k in names}}))
"""


def posterior_row(python: str) -> Row:
    """The posterior of BG/NBD on CDNOW under the same priors, against NUTS (4 chains of 1,000 + 1,000)."""
    spec = importlib.util.find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    shipped = Path(spec.submodule_search_locations[0]) / "datasets" / "cdnow_customers_summary.csv"
    summary = pl.read_csv(shipped).select("frequency", "recency", "T").cast(pl.Float64)
    data = Observations.from_summary(summary)

    def ours() -> object:
        return purchase_posterior(
            BgNbd().fit(data), data, prior="pymc", draws=4000, rng=np.random.default_rng(1)
        )

    ours()  # load scipy
    start = time.perf_counter()
    posterior = ours()
    seconds = time.perf_counter() - start
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cdnow.csv"
        summary.with_row_index("customer_id").write_csv(path)
        answer = subprocess.run(
            [python, "-c", NUTS, str(path)], check=True, capture_output=True, text=True, env=environment
        )
    nuts = json.loads(answer.stdout.splitlines()[-1])
    shifts, ratios = [], []
    for name, draws in zip(posterior.names, posterior.draws.T, strict=True):  # type: ignore[attr-defined]
        shifts.append(abs(draws.mean() - nuts["mean"][name]) / nuts["sd"][name])
        ratios.append(abs(draws.std() / nuts["sd"][name] - 1.0))
    agreement = (
        f"means within {max(shifts):.2f} sd, sd within {max(ratios):.0%}; NUTS {nuts['mean']} {nuts['sd']}"
    )
    return Row(
        work="posterior of BG/NBD on CDNOW",
        peer="PyMC-Marketing NUTS",
        ours=seconds,
        theirs=nuts["seconds"],
        agreement=agreement,
    )


def main() -> None:
    """Run what is installed, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--pymc-python", default=None)
    parser.add_argument("--only", choices=["summary", "fit", "value", "posterior"], default=None)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in THREADS):  # libraries read these when they are loaded
        os.execve(
            sys.executable,
            [sys.executable, "-m", "benchmarks.clv", *sys.argv[1:]],
            os.environ | dict.fromkeys(THREADS, "1"),
        )
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(1)
    rows: list[Row] = []
    if arguments.only in (None, "summary"):
        rows += summary_rows(rng, arguments.scale, arguments.repeat)
    if arguments.only in (None, "fit"):
        rows += fit_rows(rng, arguments.scale, arguments.repeat)
    if arguments.only in (None, "value"):
        rows.append(value_row(rng, arguments.scale, arguments.repeat))
    if arguments.pymc_python:
        rows.append(posterior_row(arguments.pymc_python))
    print("| work | peer | ours, s | peer, s | ratio | agreement |\n|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.work} | {row.peer} | {row.ours:.2f} | {row.theirs:.2f} | "
            f"{row.theirs / row.ours:.1f} | {row.agreement} |"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(row) for row in rows]) + "\n")


if __name__ == "__main__":
    main()
