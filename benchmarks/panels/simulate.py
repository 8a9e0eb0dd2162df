"""simulate_panel: the panel and truth of a named scenario, straight as arrays."""

from __future__ import annotations

import numpy as np

from benchmarks.panels.arrays import SimulatedPanel
from benchmarks.panels.contractual import simulate_contractual
from benchmarks.panels.form_scenarios import FormScenario
from benchmarks.panels.forms import simulate_form
from benchmarks.panels.hidden_life import simulate_hidden_life
from benchmarks.panels.scenarios import ContractualScenario, HiddenLifeScenario, scenario_named


def simulate_panel(
    scenario: str | ContractualScenario | HiddenLifeScenario | FormScenario,
    *,
    n: int = 12_000,
    periods: int = 18,
    seed: int,
) -> SimulatedPanel:
    """Simulate a company of n customers over so many months, with its exact truth.

    Parameters
    ----------
    scenario
        A name from `SCENARIOS`, or a scenario of your own.
    n, periods
        Customers and months.
    seed
        The same seed gives the same company.

    Raises
    ------
    ConfigError
        If no scenario has this name.
    """
    chosen = scenario_named(scenario) if isinstance(scenario, str) else scenario
    rng = np.random.default_rng(seed)
    if isinstance(chosen, ContractualScenario):
        return simulate_contractual(chosen, n=n, periods=periods, rng=rng)
    if isinstance(chosen, FormScenario):
        return simulate_form(chosen, n=n, periods=periods, rng=rng)
    return simulate_hidden_life(chosen, n=n, periods=periods, rng=rng)
