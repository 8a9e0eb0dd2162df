"""The front door of the simulators: companies whose truth is known.

`simulate_company` makes the tables of a company, event by event; `simulate_panel` makes the panel of a
scenario of the truth benchmark straight as arrays. Both return the truth beside the data.
"""

from __future__ import annotations

from histories.simulation.arrays import SimulatedPanel
from histories.simulation.company import SimulatedCompany, simulate_company, truth_frame
from histories.simulation.files import write_company
from histories.simulation.kinds import COMPANY_SCENARIOS, CompanyScenario
from histories.simulation.panel import simulate_panel
from histories.simulation.scenarios import SCENARIOS
from histories.simulation.truth import OutcomeTruth, Truth

__all__ = [
    "COMPANY_SCENARIOS",
    "SCENARIOS",
    "CompanyScenario",
    "OutcomeTruth",
    "SimulatedCompany",
    "SimulatedPanel",
    "Truth",
    "simulate_company",
    "simulate_panel",
    "truth_frame",
    "write_company",
]
