"""Companies of other forms: the ordinary situations in which a model of credit goes wrong without a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class FormScenario:
    """Switches of a company that is written down as tables (equations: `benchmarks.panels.forms`)."""

    name: str
    summary: str
    """One line for the manual."""
    contractual: bool = False
    """Whether the end of each relation is recorded."""
    rate: float = 0.6
    """Mean purchases a month while a customer."""
    level_shape: float = 1.5
    """Shape of the gamma levels of buying; large: all buy alike."""
    regularity: int = 1
    """Events of a Poisson process per purchase: 1 buys at random, more buys the more regularly."""
    satisfaction: Literal["none", "normal", "drifting", "skewed", "two_class"] = "none"
    """Distribution of the hidden satisfaction that moves touches, purchases and leaving."""
    proxy_correlation: float | None = 0.7
    """Correlation of the one proxy with satisfaction in the first month; None: no proxy."""
    asleep: float = 0.0
    """Share of the months in which a customer neither acts nor buys, in pauses of five months on average."""
    retargeting: bool = False
    """`push` goes to those who acted or bought in the month before, four times as often as to others."""
    alike: bool = False
    """`letter` goes to everybody four times a month."""
    december: bool = False
    """Demand and sends of `push` double in December."""
    saturating: bool = False
    """Effects level off with the stock."""
    staggered: bool = False
    """Half of the customers arrive one after another, each customer with a purchase that no touch caused."""
    half_way: str | None = None
    """Channel that opens half-way."""
    problems: bool = False
    """Problems make customers write, call and leave; they are recorded in the cases table alone."""
    volume: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Factors on the rates of channels."""
    effects: float = 1.0
    """Factor on what touches do to purchases."""
    keeping: float = 1.0
    """Factor on what touches do to leaving."""
    loyal: bool = False
    """Whether nobody ever leaves."""
    harm: float = 1.0
    """Factor on the harm that `phone` does."""
    steps: int = 1
    """Steps of a month in which touches act and customers leave."""
    observed_steps: int | None = None
    """Steps of the last month that are observed; None: all."""
    late_sends: float = 0.0
    """Sends of `push` in the weeks after the end of a contract."""


def _forms(*scenarios: FormScenario) -> dict[str, FormScenario]:
    """Each scenario, silent and with contracts, the latter under the name with `_contract`."""
    found = {}
    for scenario in scenarios:
        if scenario.contractual:
            found[scenario.name] = scenario
            continue
        contract = replace(scenario, name=f"{scenario.name}_contract", contractual=True)
        found |= {scenario.name: scenario, contract.name: contract}
    return found


FORMS = _forms(
    FormScenario(name="plain", summary="nothing but what models expect"),
    FormScenario(
        name="regular",
        summary="customers buy once a month until they leave",
        rate=1.0,
        level_shape=40.0,
        regularity=8,
    ),
    FormScenario(
        name="clockwork",
        summary="customers buy on the same day of each month until they leave",
        rate=1.0,
        level_shape=1e6,
        regularity=1_000,
        effects=0.25,
    ),
    FormScenario(name="december", summary="demand and one idle channel double in December", december=True),
    FormScenario(
        name="retargeting",
        summary="an idle channel follows activity, a fifth of the customers pause",
        retargeting=True,
        asleep=0.2,
    ),
    FormScenario(name="alike", summary="one channel is sent to all alike", alike=True),
    FormScenario(
        name="no_proxy",
        summary="hidden satisfaction that drifts, without a proxy",
        satisfaction="drifting",
        proxy_correlation=None,
    ),
    FormScenario(name="two_kinds", summary="two kinds of customers", satisfaction="two_class"),
    FormScenario(
        name="regions",
        summary="two kinds of customers, of which nothing tells",
        satisfaction="two_class",
        proxy_correlation=None,
    ),
    FormScenario(name="skewed", summary="skewed satisfaction", satisfaction="skewed"),
    FormScenario(name="saturating", summary="effects level off", saturating=True),
    FormScenario(name="arrivals", summary="customers arrive one after another", staggered=True),
    FormScenario(name="half_way", summary="the forum opens half-way", half_way="forum"),
    FormScenario(
        name="noisy",
        summary="a channel of tenfold volume without effect",
        volume=MappingProxyType({"push": 10.0}),
    ),
    FormScenario(
        name="harmful",
        summary="the phone queue does great harm",
        harm=2.0,
        volume=MappingProxyType({"phone": 2.0}),
    ),
    FormScenario(name="cases", summary="problems are recorded in the cases table alone", problems=True),
    FormScenario(
        name="cut_off", summary="observation ends on the third day of a month", steps=8, observed_steps=1
    ),
    FormScenario(name="any_day", summary="touches act, and customers leave, on any day", steps=8),
    FormScenario(
        name="weekly", summary="a shop of weekly purchases that is left on any day", rate=4.0, steps=8
    ),
    FormScenario(
        name="inert", summary="no touch does anything, left on any day", effects=0.0, keeping=0.0, steps=8
    ),
    FormScenario(name="loyal", summary="nobody ever leaves", loyal=True),
    FormScenario(
        name="late_touches",
        summary="an idle channel writes to those whose contract has ended",
        contractual=True,
        steps=8,
        late_sends=3.0,
    ),
    FormScenario(
        name="mixed",
        summary="all of it at once",
        satisfaction="two_class",
        asleep=0.1,
        retargeting=True,
        december=True,
        saturating=True,
        staggered=True,
        half_way="forum",
        problems=True,
        volume=MappingProxyType({"letter": 3.0}),
        harm=1.5,
        steps=8,
        observed_steps=5,
    ),
)
"""Scenarios by name. Those that a company with contracts can have too are there as `<name>_contract`."""
