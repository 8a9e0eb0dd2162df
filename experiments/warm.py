"""Compile every loop once, so that nobody waits for it in a first run: `python -m experiments.warm`.

`make setup` and the image do so. A small company is run from its tables to its report, then companies of the
other forms are credited, each on its way to everything that is compiled.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np

from attribution.incremental import incremental_credit
from attribution.settings import AttributionSettings
from experiments.config import load_config
from experiments.run import run_experiment
from histories.replies import cut_cycles, roots_of
from histories.simulate import simulate_company, simulate_panel, write_company

__all__ = ["warm"]

CUSTOMERS, MONTHS = 300, 12
FORMS = ("hidden_both", "r7")
"""Companies with hidden satisfaction, silent and with contracts."""


def warm() -> None:
    """Run and credit small companies; what they need is compiled, and kept, on the way."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        config = write_company(simulate_company(customers=CUSTOMERS, months=MONTHS), data / "company")
        run_experiment(load_config(config), runs=data / "runs", mlruns=data / "mlruns")
    for form in FORMS:
        panel = simulate_panel(form, n=CUSTOMERS, periods=MONTHS, seed=1).panel
        incremental_credit(panel, settings=AttributionSettings(replicates=2))
    parents = np.array([-1, 0], dtype=np.int64)
    cut_cycles(parents)
    roots_of(parents)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warm()
