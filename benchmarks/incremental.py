"""Time and memory of incremental credit as customers, periods and channels grow.

    python -m benchmarks.incremental --customers 10000,50000 --periods 18 --channels 8
    python -m benchmarks.incremental --customers 1000000 --company silent

The model is fitted on a sample of customers and credits all of them; the floor of the specification is 1
M customers x 18 periods x 8 channels in 12 minutes and 4 GB. Customers are simulated in blocks outside
the clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from attribution.incremental.table import incremental_credit
from attribution.settings import AttributionSettings
from benchmarks.panels.simulate import simulate_panel
from histories.panel import Panel

BLOCK = 20_000
SCENARIOS = {"contractual": "r7", "silent": "hidden30"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run."""

    company: str
    customers: int
    periods: int
    channels: int
    fitted_on: int
    seconds: float
    gigabytes: float


def simulate_blocks(company: str, *, customers: int, periods: int, channels: int) -> Panel:
    """A panel of so many customers: few are simulated, and repeated to the size wanted."""
    block = simulate_panel(SCENARIOS[company], n=min(customers, BLOCK), periods=periods, seed=1).panel
    block = with_channels(block, channels)
    return block.take(np.arange(customers) % block.n_customers)


def with_channels(panel: Panel, channels: int) -> Panel:
    """The first channels, or all and copies of them with customers in another order."""
    rng = np.random.default_rng(0)
    sources = np.arange(channels) % panel.n_channels
    touches = panel.touches[:, :, sources]
    names = []
    for k, source in enumerate(sources):
        copy = k // panel.n_channels
        names.append(panel.channels[source] if not copy else f"{panel.channels[source]} {copy + 1}")
        if copy:
            touches[:, :, k] = touches[rng.permutation(panel.n_customers), :, k] * panel.at_risk
    return replace(
        panel,
        touches=touches,
        channels=tuple(names),
        groups=tuple(panel.groups[k] for k in sources),
        origins=tuple(panel.origins[k] for k in sources),
    )


def measure(company: str, *, customers: int, periods: int, channels: int, sample: int) -> Measured:
    """Time one credit, all outcomes, with interval, range and checks."""
    panel = simulate_blocks(company, customers=customers, periods=periods, channels=channels)
    settings = AttributionSettings(fit_customers=sample)
    start = time.perf_counter()
    table = incremental_credit(
        panel, settings=settings, residual_value=np.full(customers, 50.0), gross_margin=0.45
    )
    seconds = time.perf_counter() - start
    assert table["credit"].is_not_null().all()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return Measured(
        company=company,
        customers=customers,
        periods=periods,
        channels=channels,
        fitted_on=min(sample, customers),
        seconds=round(seconds, 1),
        gigabytes=round(peak, 2),
    )


def main() -> None:
    """Measure every combination asked for; the memory is the process's peak, so run large ones alone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--company", choices=list(SCENARIOS), default="silent")
    parser.add_argument("--customers", default="5000,20000,50000")
    parser.add_argument("--periods", default="18")
    parser.add_argument("--channels", default="8")
    parser.add_argument("--sample", type=int, default=AttributionSettings().fit_customers)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = []
    for customers in map(int, given.customers.split(",")):
        for periods in map(int, given.periods.split(",")):
            for channels in map(int, given.channels.split(",")):
                found = measure(
                    given.company,
                    customers=customers,
                    periods=periods,
                    channels=channels,
                    sample=given.sample,
                )
                print(found, flush=True)
                rows.append(found)
    print(pl.DataFrame(rows))
    if given.out:
        given.out.write_text(json.dumps([asdict(row) for row in rows]) + "\n")


if __name__ == "__main__":
    main()
