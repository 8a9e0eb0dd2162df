"""The named companies of the truth benchmark: what is hidden, what drifts, what no estimator expects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.panels.form_scenarios import FORMS, FormScenario
from histories.errors import ConfigError, nearest
from histories.simulation.arrays import DECAY


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractualScenario:
    """Leaving is seen; satisfaction u may be hidden (equations: `benchmarks.panels.contractual`)."""

    name: str
    proxy_correlation: float | None = 0.7
    """Correlation of the one proxy with satisfaction in the first month; None: no proxy."""
    selection: bool = True
    """Whether satisfaction moves customers into channels."""
    persistence: float = 1.0
    """Month-to-month correlation of satisfaction; 1 is static."""
    latent: Literal["normal", "skewed", "two_class"] = "normal"
    """Distribution of satisfaction."""
    touch_frailty: float = 0.0
    """Variance of a gamma factor per customer and channel on touch rates."""
    spend_frailty: float = 0.0
    """Standard deviation of a customer's log spend that has nothing to do with satisfaction."""
    second_factor: bool = False
    """A second hidden static factor on touches, spend and leaving."""
    effects: bool = True
    """Whether touches do anything at all."""
    saturation: bool = False
    """Effects level off with the stock instead of growing linearly."""
    heterogeneity: bool = False
    """Effects differ between customers (gamma, shape 2)."""
    substeps: int = 1
    """Steps within a month in which touches act and customers leave; many approach continuous time."""
    experiment: str | None = None
    """Channel withheld from a random half of the customers."""
    segment_effects: tuple[float, float] | None = None
    """Factors on all effects of customers whose x is above 0, and of the others; None: no segments."""
    decay: float = DECAY
    """Share of a stock that is left a month later."""
    season: bool = False
    """A yearly peak in spend and touches, at which fewer leave."""
    staggered: bool = False
    """Half of the customers arrive within the first third of the months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenLifeScenario:
    """Leaving is never seen (equations: `benchmarks.panels.hidden_life`)."""

    name: str
    rate: float = 0.3
    """Mean purchases a month while a customer."""
    effects: bool = True
    """Whether touches do anything at all."""
    touches_to_idle: bool = False
    """The firm writes three times as often to customers who have not bought for two months, dead or alive."""
    episodes: bool = False
    """Customers are in touch in spells: in .35 of the months, persistence .8."""
    clumpy: bool = False
    """Monthly gamma noise (shape .5) on the purchase rate."""
    heavy: bool = False
    """Heavy buyers are in touch more: a shared gamma component of .6."""
    channel_levels: bool = False
    """Each customer has a touch level per channel, not one for all."""
    hazard_frailty: float = 0.0
    """Standard deviation of a hidden customer effect on the log-odds of leaving."""
    follow: bool = False
    """Touches come 2.7 times as often in the month after a purchase."""
    trend: float = 0.0
    """Monthly change of log touch rates."""
    satisfaction: bool = False
    """Drifting hidden satisfaction on touches, purchases and leaving as well: both problems at once."""
    segment_effects: tuple[float, float] | None = None
    """Factors on all effects of customers whose x is above 0, and of the others; None: no segments."""
    decay: float = DECAY
    """Share of a stock that is left a month later."""
    season: bool = False
    """A yearly peak in purchases and touches, at which fewer leave."""
    staggered: bool = False
    """Half of the customers arrive within the first third of the months, each with a purchase."""


_R7 = ContractualScenario(name="r7")
CONTRACTUAL = {
    scenario.name: scenario
    for scenario in (
        ContractualScenario(name="none", selection=False),
        ContractualScenario(name="r9", proxy_correlation=0.9),
        _R7,
        ContractualScenario(name="r4", proxy_correlation=0.4),
        ContractualScenario(name="r0", proxy_correlation=None),
        ContractualScenario(name="seen", proxy_correlation=1.0),
        ContractualScenario(name="drift", persistence=0.9),
        ContractualScenario(name="skew", latent="skewed"),
        ContractualScenario(name="klass", latent="two_class"),
        ContractualScenario(name="od", touch_frailty=0.5),
        ContractualScenario(name="spre", spend_frailty=0.4),
        ContractualScenario(name="odspre", touch_frailty=0.5, spend_frailty=0.4),
        ContractualScenario(name="two", second_factor=True),
        ContractualScenario(name="placebo", effects=False),
        ContractualScenario(name="saturation", saturation=True),
        ContractualScenario(name="heterogeneous", heterogeneity=True),
        ContractualScenario(name="continuous", substeps=8),
        replace(_R7, name="misspecified", saturation=True, heterogeneity=True, substeps=8),
        replace(_R7, name="experiment", experiment="community"),
        replace(_R7, name="segments", segment_effects=(2.0, 0.5)),
        replace(_R7, name="segments_alike", segment_effects=(1.0, 1.0)),
        replace(_R7, name="fast_decay", decay=0.3),
        replace(_R7, name="slow_decay", decay=0.85),
        replace(_R7, name="season", season=True),
        replace(_R7, name="staggered", staggered=True),
    )
}
"""Contractual scenarios by name."""

HIDDEN_LIFE = {
    scenario.name: scenario
    for scenario in (
        HiddenLifeScenario(name="hidden15", rate=0.15),
        HiddenLifeScenario(name="hidden30"),
        HiddenLifeScenario(name="hidden60", rate=0.6),
        HiddenLifeScenario(name="hidden_null", effects=False),
        HiddenLifeScenario(name="idle", effects=False, touches_to_idle=True),
        HiddenLifeScenario(name="episodes", episodes=True),
        HiddenLifeScenario(name="episodes_null", episodes=True, effects=False),
        HiddenLifeScenario(name="clumpy", clumpy=True),
        HiddenLifeScenario(name="heavy", heavy=True),
        HiddenLifeScenario(name="levels", channel_levels=True),
        HiddenLifeScenario(name="frailty", hazard_frailty=0.8),
        HiddenLifeScenario(name="follow", follow=True),
        HiddenLifeScenario(name="trend", trend=-0.04),
        HiddenLifeScenario(name="hidden_both", satisfaction=True),
        HiddenLifeScenario(name="hidden_segments", segment_effects=(2.0, 0.5)),
        HiddenLifeScenario(name="hidden_segments_alike", segment_effects=(1.0, 1.0)),
        HiddenLifeScenario(name="hidden_fast_decay", decay=0.3),
        HiddenLifeScenario(name="hidden_slow_decay", decay=0.85),
        HiddenLifeScenario(name="hidden_season", season=True),
        HiddenLifeScenario(name="hidden_staggered", staggered=True),
    )
}
"""Scenarios of hidden life by name."""

SCENARIOS = (*CONTRACTUAL, *HIDDEN_LIFE, *FORMS)
"""Names of all scenarios."""


def scenario_named(name: str) -> ContractualScenario | HiddenLifeScenario | FormScenario:
    """The scenario of this name.

    Raises
    ------
    ConfigError
        If there is none; the message names the nearest.
    """
    if name in CONTRACTUAL:
        return CONTRACTUAL[name]
    if name in HIDDEN_LIFE:
        return HIDDEN_LIFE[name]
    if name in FORMS:
        return FORMS[name]
    raise ConfigError(f'scenario "{name}" is unknown; {nearest(name, SCENARIOS)}')
