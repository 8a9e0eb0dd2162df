"""How far each method is from the truth, in companies whose truth is known.

    python -m benchmarks.truth run --scenarios r7,drift --seeds 20 --customers 12000
    python -m benchmarks.truth table

Every answer is appended to a file as soon as it is found, and found answers are not sought again: a run
can be stopped and resumed. Error = half the summed |difference of shares|; level = credited / true increment.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.simulate import simulate_panel
from benchmarks.truth_methods import CONTRACTUAL_ONLY, METHODS, ON_REQUEST, Found
from histories.errors import TributaryError
from histories.panel import TICKS
from histories.simulation.truth import OutcomeTruth

RESULTS = Path(__file__).parent / "results" / "truth.jsonl"
PERIODS = 18
HALF, LEAST = 0.5, 0.01
"""Shares of the true credit and of the outcome by which a range has to miss the truth to be wrong."""
KEYS = ["scenario", "method", "seed", "customers"]


def error_of_shares(credit: np.ndarray, truth: np.ndarray) -> float:
    """Half the summed absolute difference of shares, shares of the summed absolute credit.

    The absolute sum keeps a harmful channel from blowing up the shares of the others. NaN without true
    credit.

    >>> error_of_shares(np.array([3.0, 1.0]), np.array([1.0, 1.0]))
    0.25
    """
    sizes = np.abs(credit).sum(), np.abs(truth).sum()
    if min(sizes) < 1e-6:
        return float("nan")
    return float(0.5 * np.abs(credit / sizes[0] - truth / sizes[1]).sum())


def judge(found: Found, truth: OutcomeTruth) -> dict[str, Any]:
    """One method's credit of one outcome against the truth."""
    increment = truth.credit.sum()
    moving = _moving(truth)
    right = np.sign(found.credit[moving]) == np.sign(truth.credit[moving])
    row: dict[str, Any] = {
        "error": error_of_shares(found.credit, truth.credit),
        "level": float(found.credit.sum() / increment) if abs(increment) > 1e-6 else float("nan"),
        "excess": float((found.credit.sum() - increment) / truth.total),
        "signs": float(right.mean()) if len(right) else float("nan"),
        "credit": found.credit.tolist(),
        "truth": truth.credit.tolist(),
        "supported": found.supported,
        "reason": found.reason,
    }
    if found.low is not None and found.high is not None:
        row["covered"] = float(np.mean((found.low <= truth.credit) & (truth.credit <= found.high)))
    if found.range_low is not None and found.range_high is not None:
        inside = (found.range_low <= truth.credit) & (truth.credit <= found.range_high)
        row["range_channels"] = float(inside.mean())
        row["wrong"] = float(_wrong(found, truth).mean())
    if found.total_range is not None:
        row["range_total"] = float(found.total_range[0] <= increment <= found.total_range[1])
    return row


def _wrong(found: Found, truth: OutcomeTruth) -> np.ndarray:
    """Whether each credit is supported though its range misses the truth by more than half of it.

    By more than a hundredth of the outcome too: where the truth is zero every miss would count.
    """
    assert found.range_low is not None
    assert found.range_high is not None
    missed = np.maximum(found.range_low - truth.credit, truth.credit - found.range_high)
    stands = np.full(len(truth.credit), found.supported) if found.stands is None else found.stands
    far = missed > np.maximum(HALF * np.abs(truth.credit), LEAST * abs(truth.total))
    return np.asarray(stands & far)


def _moving(truth: OutcomeTruth) -> np.ndarray:
    """Channels with a true effect worth speaking of."""
    size = np.abs(truth.credit)
    return size > max(0.02 * size.max(), 1e-6 * abs(truth.total))


def run(
    *,
    scenarios: Sequence[str],
    seeds: Iterable[int],
    methods: Sequence[str],
    customers: int,
    results: Path = RESULTS,
) -> None:
    """Judge every method on every scenario and seed that the results do not hold yet."""
    results.parent.mkdir(parents=True, exist_ok=True)
    done = set(read(results).select(KEYS).iter_rows()) if results.exists() else set()
    for seed in seeds:
        for scenario in scenarios:
            company: SimulatedPanel | None = None
            for method in methods:
                if (scenario, method, seed, customers) in done:
                    continue
                company = company or dated(
                    simulate_panel(scenario, n=customers, periods=PERIODS, seed=seed), seed
                )
                if method in CONTRACTUAL_ONLY and not company.panel.contractual:
                    continue
                rows = list(answer(company, method))
                head = {"scenario": scenario, "method": method, "seed": seed, "customers": customers}
                with results.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(head | row) + "\n" for row in rows)
                print(head, [(r["outcome"], r.get("error"), r.get("level")) for r in rows], flush=True)


def dated(company: SimulatedPanel, seed: int) -> SimulatedPanel:
    """The company with touches at any day of their periods, as a run knows them; they work for all of these.

    The mean of N even moments nearly: of mean 1/2 and variance 1 / (12 N).
    """
    touches = np.asarray(company.panel.touches)
    shape = 0.5 * (3.0 * np.maximum(touches, 1.0) - 1.0)
    moments = np.random.default_rng([seed, 1]).beta(shape, shape)
    share = np.where(touches > 0, np.rint(TICKS * moments), 0).astype(np.uint8)
    return replace(company, panel=replace(company.panel, touch_share=share))


def answer(company: SimulatedPanel, method: str) -> Iterable[dict[str, Any]]:
    """One method's rows on one company, one per outcome; a refusal is a row too."""
    start = time.perf_counter()
    try:
        found = METHODS[method](company)
    except TributaryError as error:
        yield {
            "outcome": "spend",
            "supported": False,
            "reason": str(error),
            "seconds": time.perf_counter() - start,
        }
        return
    seconds = time.perf_counter() - start
    for outcome, answered in found.items():
        yield {"outcome": outcome, "seconds": seconds, **judge(answered, company.truth.outcomes[outcome])}


def read(results: Path = RESULTS) -> pl.DataFrame:
    """All answers so far."""
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    measures = (
        "error",
        "level",
        "excess",
        "signs",
        "covered",
        "range_channels",
        "range_total",
        "wrong",
        "seconds",
    )
    schema = {
        "scenario": pl.String,
        "method": pl.String,
        "seed": pl.Int64,
        "customers": pl.Int64,
        "outcome": pl.String,
        **dict.fromkeys(measures, pl.Float64),
        "supported": pl.Boolean,
        "reason": pl.String,
    }
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def table(frame: pl.DataFrame) -> pl.DataFrame:
    """Means over seeds, by scenario, method and outcome."""
    measured = [
        pl.col(name).fill_nan(None).mean() for name in ("error", "level", "excess", "signs", "covered")
    ]
    ranges = [pl.col(name).mean() for name in ("range_channels", "range_total", "wrong", "seconds")]
    levels = pl.col("level").fill_nan(None)
    spread = [levels.min().alias("lowest"), levels.max().alias("highest")]
    return (
        frame.group_by("scenario", "method", "outcome", "customers", maintain_order=True)
        .agg(pl.len().alias("seeds"), *measured, *spread, *ranges, pl.col("supported").mean())
        .sort("scenario", "customers", pl.col("method").replace_strict(_order(), default=99), "outcome")
    )


def _order() -> dict[str, int]:
    return {name: k for k, name in enumerate(METHODS)}


HEAD = (
    "scenario",
    "method",
    "seeds",
    "error",
    "level, retention",
    "level, spend",
    "signs",
    "covered",
    "range, each",
    "range, sum",
    "wrong and supported",
)


def markdown(summary: pl.DataFrame) -> str:
    """The table as it stands in the documentation: retention / spend in one row."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    keys = ["scenario", "customers", "method"]
    for (scenario, customers, method), rows in summary.group_by(keys, maintain_order=True):
        by_outcome = {row["outcome"]: row for row in rows.iter_rows(named=True)}
        pair = [by_outcome.get(outcome, {}) for outcome in ("retention", "spend")]
        cells = [f"{scenario}, {customers:,}", str(method), str(max(row.get("seeds", 0) for row in pair))]
        cells += [_pair(pair, "error", 3), _level(pair[0]), _level(pair[1])]
        cells += [
            _pair(pair, name) for name in ("signs", "covered", "range_channels", "range_total", "wrong")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _pair(rows: Sequence[dict[str, Any]], name: str, digits: int = 2) -> str:
    return " / ".join(_figure(row.get(name), digits) for row in rows)


def _level(row: dict[str, Any]) -> str:
    """Mean, smallest and largest level; where nothing has an effect, the excess as a share of the outcome."""
    if row.get("level") is not None:
        return f"{_figure(row['level'])} [{_figure(row['lowest'])}, {_figure(row['highest'])}]"
    return f"{row['excess']:+.1%}" if row.get("excess") is not None else "–"


def _figure(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def main() -> None:
    """Run, or print the table of companies of one size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--scenarios", default="none,r9,r7,r4,r0,drift,two,idle,hidden30")
    parser.add_argument("--methods", default=",".join(name for name in METHODS if name not in ON_REQUEST))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--customers", type=int, default=12_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.action == "table":
        print(markdown(table(read(given.results).filter(pl.col("customers") == given.customers))))
        return
    run(
        scenarios=given.scenarios.split(","),
        seeds=range(given.first_seed, given.first_seed + given.seeds),
        methods=given.methods.split(","),
        customers=given.customers,
        results=given.results,
    )


if __name__ == "__main__":
    main()
