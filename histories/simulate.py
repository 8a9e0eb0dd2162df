"""The front door of the simulators: companies whose truth is known."""

from __future__ import annotations

from histories.simulation import SCENARIOS, OutcomeTruth, SimulatedPanel, Truth, simulate_panel

__all__ = ["SCENARIOS", "OutcomeTruth", "SimulatedPanel", "Truth", "simulate_panel"]
