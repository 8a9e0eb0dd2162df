"""Simulated companies whose truth is known."""

from histories.simulation.arrays import SimulatedPanel
from histories.simulation.panels import simulate_panel
from histories.simulation.scenarios import SCENARIOS, ContractualScenario, HiddenLifeScenario
from histories.simulation.truth import OutcomeTruth, Truth

__all__ = [
    "SCENARIOS",
    "ContractualScenario",
    "HiddenLifeScenario",
    "OutcomeTruth",
    "SimulatedPanel",
    "Truth",
    "simulate_panel",
]
