"""How far credit by segment is from the truth: common effects, own effects, and the rule that chooses.

    python -m benchmarks.truth_segments run --scenarios segments,segments_alike --seeds 6 --customers 6000
    python -m benchmarks.truth_segments table
    python -m benchmarks.truth_segments size --scenarios r7,hidden30 --seeds 50 --customers 2000

`run` appends answers to a file and can be resumed. `size` divides customers at random (or, in scenarios with
segments, as those do) and prints how often the test of equal effects rejects.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from attribution.incremental.aumann_shapley import panel_credit
from attribution.incremental.bootstrap import CreditDraws, Replicates, bootstrap_credits
from attribution.incremental.estimate import estimate_credit
from attribution.incremental.plan import Plan, plan_for
from attribution.incremental.segments.decision import LEVEL, decide
from attribution.incremental.segments.own import FAMILIES, compare_segments
from attribution.incremental.segments.targets import OwnTarget, moved_models
from attribution.incremental.stocks import panel_stocks
from attribution.settings import AttributionSettings
from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.simulate import simulate_panel
from benchmarks.truth import error_of_shares
from histories.arrays import Float

RESULTS = Path(__file__).parent / "results" / "truth_segments.jsonl"
PERIODS = 18
REPLICATES = 20
OUTCOMES = ("retention", "spend")
COLUMN = "half"


def answers(company: SimulatedPanel, *, seed: int) -> Iterator[dict[str, Any]]:
    """Rows by effects ("common", "own", "own, shrunk", "rule"), segment and outcome."""
    assert company.segment is not None
    assert company.segment_truth is not None
    panel, stocks = company.panel, panel_stocks(company.panel)
    default = plan_for(panel).default
    estimate = estimate_credit(panel, settings=AttributionSettings(replicates=0), plan=Plan(default=default))
    rng = np.random.default_rng([seed, 1])
    columns = {COLUMN: company.segment}
    divided = panel_credit(estimate.fit, panel, stocks, rng=rng, labels=columns).by_label
    common = {label: credit for (_, label), credit in divided.items()}
    compared = compare_segments(default, panel, stocks, company.segment, rng=rng, hazard=estimate.hazard)
    decision = decide({COLUMN: compared})[COLUMN]
    effects = np.concatenate([estimate.fit.beta, estimate.fit.gamma])
    everything = np.ones(len(effects), dtype=np.bool_)
    by_way = {
        "common": {label: (common[label], False) for label in common},
        "own": {},
        "own, shrunk": {},
        "rule": {label: (common[label], False) for label in common},
    }
    targets = {}
    ways = [("own", FAMILIES, False), ("own, shrunk", FAMILIES, True), ("rule", decision.differ, True)]
    for way, families, shrunk in ways:
        wanted = compared.targets(effects, frozenset(families), shrunk=shrunk) if families else {}
        for label, target in wanted.items():
            own = OwnTarget(own=compared.own[label], effects=target, free=everything)
            rows = own.own.customers
            model = own.moved(default, panel.take(rows), stocks[rows], rng=rng)
            by_way[way][label] = panel_credit(model, panel.take(rows), stocks[rows], rng=rng), True
            if way == "own":
                targets[COLUMN, label] = own
    replicates = Replicates(estimator=default, fit=estimate.fit, panel=panel, stocks=stocks, count=REPLICATES)
    moved = partial(moved_models, targets, replicates)
    draws = bootstrap_credits(replicates, panel, stocks, columns, rng=rng, alone=moved)
    for way, by_label in by_way.items():
        for label, (credit, alone) in by_label.items():
            for outcome in OUTCOMES:
                alone_here = alone and (way != "rule" or decision.owns(label, outcome))
                found = (credit if alone_here or way != "rule" else common[label]).require(outcome).credit
                truth = company.segment_truth[label].outcomes[outcome].credit
                yield {
                    "effects": way,
                    "segment": label,
                    "outcome": outcome,
                    "error": error_of_shares(found, truth),
                    "level": float(found.sum() / truth.sum()),
                    "distance": float(np.abs(found - truth).sum() / np.abs(truth).sum()),
                    "covered": _covered(found, truth, draws[alone_here][COLUMN, label], outcome),
                    "p_leaving": decision.p_values.get("leaving"),
                    "p_spending": decision.p_values.get("spending"),
                }


def _covered(found: Float, truth: Float, draws: CreditDraws, outcome: str) -> float:
    """Share of the channels inside their 95 % interval."""
    error = draws.deviations[outcome].std(axis=0, ddof=1)
    return float((np.abs(found - truth) <= 1.96 * error).mean())


def run(*, scenarios: Sequence[str], seeds: Iterable[int], customers: int, results: Path = RESULTS) -> None:
    """Judge every scenario and seed that the results do not hold yet."""
    results.parent.mkdir(parents=True, exist_ok=True)
    keys = ["scenario", "seed", "customers"]
    done = set(read(results).select(keys).iter_rows()) if results.exists() else set()
    for seed in seeds:
        for scenario in scenarios:
            if (scenario, seed, customers) in done:
                continue
            company = simulate_panel(scenario, n=customers, periods=PERIODS, seed=seed)
            head = {"scenario": scenario, "seed": seed, "customers": customers}
            rows = [head | row for row in answers(company, seed=seed)]
            with results.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
            print(head, flush=True)


def read(results: Path = RESULTS) -> pl.DataFrame:
    """All answers so far."""
    return pl.read_ndjson(results)


def markdown(frame: pl.DataFrame) -> str:
    """Means over seeds by scenario, segment and effects: retention / spend in one row."""
    names = ("error", "distance", "covered")
    lines = [
        "| scenario | segment | effects | seeds | error | level | distance | covered | rejected |",
        "|---" * 9 + "|",
    ]
    keys = ["scenario", "customers", "segment", "effects"]
    for (scenario, customers, segment, effects), rows in frame.group_by(keys, maintain_order=True):
        pair = [rows.filter(pl.col("outcome") == outcome) for outcome in OUTCOMES]
        measured = {name: " / ".join(f"{_mean(part, name):.2f}" for part in pair) for name in names}
        level = " / ".join(
            f"{_mean(part, 'level'):.2f} [{part['level'].min():.2f}, {part['level'].max():.2f}]"
            for part in pair
        )
        rejected = " / ".join(f"{(pair[0][name] < LEVEL).sum()}" for name in ("p_leaving", "p_spending"))
        cells = [
            f"{scenario}, {customers:,}",
            segment,
            effects,
            str(pair[0].height),
            measured["error"],
            level,
        ]
        cells += [measured["distance"], measured["covered"], rejected]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)


def _mean(part: pl.DataFrame, name: str) -> float:
    return float(part[name].to_numpy().mean())


def size(*, scenarios: Sequence[str], seeds: Iterable[int], customers: int) -> None:
    """Print how often the test rejects at 5 %, and the mean of its statistic F."""
    for scenario in scenarios:
        ratios: dict[str, list[float]] = {family: [] for family in FAMILIES}
        rejected = dict.fromkeys(FAMILIES, 0)
        for seed in seeds:
            company = simulate_panel(scenario, n=customers, periods=PERIODS, seed=seed)
            rng = np.random.default_rng(seed)
            halves = np.where(rng.random(customers) < 0.5, "a", "b")
            labels = halves if company.segment is None else company.segment
            panel, stocks = company.panel, panel_stocks(company.panel)
            found = compare_segments(plan_for(panel).default, panel, stocks, labels, rng=rng, smallest=1)
            for family, test in found.tests.items():
                ratios[family].append(test.statistic / test.freedom / test.scale)
                rejected[family] += test.p_value < LEVEL
        for family in FAMILIES:
            count = len(ratios[family])
            print(
                f"{scenario}, {customers:,}, {family}: rejected {rejected[family]} of {count}, "
                f"F {np.mean(ratios[family]):.2f}",
                flush=True,
            )


def main() -> None:
    """Run, measure the size of the test, or print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["run", "table", "size"])
    parser.add_argument(
        "--scenarios", default="segments,segments_alike,hidden_segments,hidden_segments_alike"
    )
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--customers", type=int, default=6_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.action == "table":
        print(markdown(read(given.results)))
        return
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    scenarios = given.scenarios.split(",")
    if given.action == "size":
        size(scenarios=scenarios, seeds=seeds, customers=given.customers)
        return
    run(scenarios=scenarios, seeds=seeds, customers=given.customers, results=given.results)


if __name__ == "__main__":
    main()
