"""Compile every loop once, so that nobody waits for it in a first run: `python -m experiments.warm`.

`make setup` and the image do so. A small company is run from its tables to its report, then panels of the
other forms are credited, each on its way to everything that is compiled.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np

from attribution.incremental.table import incremental_credit
from attribution.settings import AttributionSettings
from experiments.config import load_config
from experiments.run import run_experiment
from histories.panel import Panel
from histories.replies import cut_cycles, roots_of
from histories.simulation.company import simulate_company
from histories.simulation.files import write_company

CUSTOMERS, MONTHS = 300, 12
CHANNELS = ("chat", "forum")


def warm() -> None:
    """Run and credit small companies; what they need is compiled, and kept, on the way."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        config = write_company(simulate_company(customers=CUSTOMERS, months=MONTHS), data / "company")
        run_experiment(load_config(config), runs=data / "runs", mlruns=data / "mlruns")
    for contracts in (False, True):
        incremental_credit(_panel(contracts), settings=AttributionSettings(replicates=2))
    parents = np.array([-1, 0], dtype=np.int64)
    cut_cycles(parents)
    roots_of(parents)


def _panel(contracts: bool) -> Panel:
    """Customers who come, act and buy at random until they leave, in silence or with a contract's end."""
    rng = np.random.default_rng(1)
    left = rng.geometric(1 / MONTHS, CUSTOMERS).clip(2, MONTHS)
    alive = np.arange(MONTHS) < left[:, None]
    touches = (rng.poisson(0.5, (CUSTOMERS, MONTHS, len(CHANNELS))) * alive[..., None]).astype(np.float32)
    purchases = (rng.poisson(1.0, alive.shape) * alive).astype(np.float64)
    return Panel(
        channels=CHANNELS,
        groups=CHANNELS,
        origins=("customer", "customer"),
        touches=touches,
        own_acts=touches.sum(axis=2, dtype=np.float64),
        problems=np.zeros(alive.shape),
        spend=20.0 * purchases,
        purchases=purchases,
        entry=np.zeros(CUSTOMERS, dtype=np.int64),
        exit=left if contracts else None,
        covariates=np.zeros((CUSTOMERS, 0)),
        covariate_names=(),
        proxies=rng.normal(size=(CUSTOMERS, 1)),
        proxy_names=("satisfaction",),
    )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warm()
