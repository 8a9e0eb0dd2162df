"""The front door of the simulators: companies whose truth is known.

`simulate_company` makes the tables of a company, event by event, and returns the truth beside them.
"""

from __future__ import annotations

from histories.simulation.company import SimulatedCompany, simulate_company, truth_frame
from histories.simulation.files import write_company
from histories.simulation.kinds import COMPANY_SCENARIOS, CompanyScenario
from histories.simulation.truth import OutcomeTruth, Truth

__all__ = [
    "COMPANY_SCENARIOS",
    "CompanyScenario",
    "OutcomeTruth",
    "SimulatedCompany",
    "Truth",
    "simulate_company",
    "truth_frame",
    "write_company",
]
