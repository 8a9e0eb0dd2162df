"""What kind of company `tributary simulate` makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from histories.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyScenario:
    """Switches of the company's generative process (equations: `histories.simulation.process`)."""

    name: str
    summary: str
    """One line for the manual."""
    contractual: bool = False
    """Whether the end of each relation is recorded."""
    satisfaction: float = 0.0
    """Strength of hidden satisfaction: 1 as in the truth benchmark, 0 none."""
    persistence: float = 1.0
    """Month-to-month correlation of satisfaction."""
    proxy_correlation: float | None = None
    """Correlation of the customers' column `satisfaction` with it in the first month; None: no such
    column."""
    effects: bool = True
    """Whether touches do anything at all."""
    touches_to_idle: bool = False
    """Newsletters and ads go three times as often to customers who have not bought for two months."""
    saturation: bool = False
    """Effects level off with the stock."""
    heterogeneity: bool = False
    """Effects differ between customers (gamma, shape 2)."""
    region_effects: tuple[float, float, float, float] | None = None
    """Factors on all effects by region (north, south, east, west); None: the same everywhere."""
    desk: bool = False
    """Whether Twitter is answered in turn, and fast answers bring orders (`histories.simulation.turns`)."""


_SATISFIED: dict[str, Any] = {"contractual": True, "satisfaction": 1.0}

COMPANY_SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        CompanyScenario(name="default", summary="silent dropout, confounders observed"),
        CompanyScenario(
            name="desk",
            summary="the default company, whose Twitter desk answers in turn: fast answers bring orders",
            desk=True,
        ),
        CompanyScenario(
            name="contractual", summary="dropout recorded, confounders observed", contractual=True
        ),
        CompanyScenario(
            name="usable_proxy",
            summary="hidden satisfaction with a proxy of .7",
            proxy_correlation=0.7,
            **_SATISFIED,
        ),
        CompanyScenario(
            name="weak_proxy",
            summary="hidden satisfaction with a proxy of .4",
            proxy_correlation=0.4,
            **_SATISFIED,
        ),
        CompanyScenario(name="no_proxy", summary="hidden satisfaction without any proxy", **_SATISFIED),
        CompanyScenario(
            name="drift",
            summary="hidden satisfaction that drifts, with a proxy of its first month",
            persistence=0.9,
            proxy_correlation=0.7,
            **_SATISFIED,
        ),
        CompanyScenario(
            name="idle",
            summary="no effect at all, touches sent to the idle",
            effects=False,
            touches_to_idle=True,
        ),
        CompanyScenario(
            name="misspecified", summary="effects saturate and differ", saturation=True, heterogeneity=True
        ),
        CompanyScenario(
            name="segments",
            summary="dropout recorded; effects double in north and south, halved in east and west",
            contractual=True,
            region_effects=(2.0, 2.0, 0.5, 0.5),
        ),
        CompanyScenario(
            name="both",
            summary="silent dropout and drifting hidden satisfaction",
            satisfaction=1.0,
            persistence=0.9,
        ),
    )
}
"""Scenarios of `tributary simulate` by name."""


def company_scenario(name: str) -> CompanyScenario:
    """The scenario of this name.

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest.
    """
    if name not in COMPANY_SCENARIOS:
        raise ConfigError(f'scenario "{name}" is unknown; {nearest(name, COMPANY_SCENARIOS)}')
    return COMPANY_SCENARIOS[name]
