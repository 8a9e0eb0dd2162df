"""Traits of the simulated company's channels and customers, and the rates they give rise to.

Equations: `histories.simulation.process`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float, Integer
from histories.simulation.arrays import channel_table, column
from histories.simulation.kinds import CompanyScenario

CHANNELS = channel_table(
    ("name", "group", "origin", "rate", "u", "beta", "gamma"),
    ("twitter", "social", "customer", 0.28, -0.2, -0.50, 0.03),
    ("forum", "social", "customer", 0.25, 0.6, -0.30, 0.10),
    ("reviews", "social", "customer", 0.12, 0.4, -0.10, 0.08),
    ("chat", "chat", "customer", 0.22, 0.1, -0.35, 0.03),
    ("phone", "phone", "customer", 0.18, -0.3, 0.30, 0.00),
    ("newsletter", "newsletter", "firm", 1.00, 0.0, 0.00, 0.10),
    ("ads", "ads", "firm", 0.70, 0.0, 0.00, 0.06),
    ("referral", "referral", "customer", 0.08, 0.5, -0.15, 0.10),
)
"""Replies on Twitter and by chat keep customers, the phone queue drives them away, the rest moves spend."""

ANSWERED = {"twitter": 0.65, "chat": 0.8, "phone": 0.75}
"""Share of contacts that get a reply, by care channel; who gets one is chance."""
CARE = tuple(k for k, channel in enumerate(CHANNELS) if channel.name in ANSWERED)
FIRM = tuple(k for k, channel in enumerate(CHANNELS) if channel.origin == "firm")
NEWSLETTER = [channel.name for channel in CHANNELS].index("newsletter")
BUYING = {"rate": 0.45, "x": 0.2, "u": 0.3}
LEAVING = {"constant": -3.1, "x": -0.3, "problem": 0.35, "u": -0.6}
LEVEL_SHAPE = {"buying": 1.2, "touching": 1.5}
ORDER_VALUE = {"p": 6.25, "q": 3.75, "scale": 16.0}
"""Gamma-Gamma (Fader & Hardie 2013): an order is Gamma(p, nu_i), nu_i ~ Gamma(q, scale)."""
REFUNDED = 0.015
"""Share of order lines that come back."""
MARGIN = 0.45
"""Margin per unit of net revenue."""
DISCOUNT_RATE = 0.10
"""Per year; residual values look ahead HORIZON months."""
HORIZON = 12
REGIONS = ("north", "south", "east", "west")
REGION_EFFECT = np.array([0.4, 0.1, -0.1, -0.5])
IDLE_MONTHS, IDLE_FACTOR = 2, 3.0
SATURATION = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Customers as they are drawn; monthly arrays have shape (N, P), the others (N,)."""

    entry: Integer
    income: Float
    region: Integer
    x: Float
    u: Float
    buying: Float
    touching: Float
    order_mean: Float
    scale: Float
    in_test: NDArray[np.bool_]
    withheld: NDArray[np.bool_]
    test_start: int

    def take(self, customers: NDArray[np.bool_]) -> Traits:
        """The traits of some of the customers."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "test_start"}
        return replace(self, **{name: values[customers] for name, values in arrays.items()})


def draw_traits(scenario: CompanyScenario, *, n: int, months: int, rng: np.random.Generator) -> Traits:
    """Draw arrival, region, income, satisfaction, levels and the arms of the experiment."""
    late = rng.integers(1, max(months // 3, 2), n)
    entry = np.where(rng.random(n) < 0.5, 0, late).astype(np.int64)
    region = rng.integers(0, len(REGIONS), n)
    income = rng.standard_normal(n)
    u = np.repeat(rng.standard_normal((n, 1)), months, axis=1)
    rho = scenario.persistence
    if rho < 1.0:
        shocks = rng.standard_normal((n, months))
        for t in range(1, months):
            u[:, t] = rho * u[:, t - 1] + np.sqrt(1.0 - rho**2) * shocks[:, t]
    start = months // 2
    in_test = entry < start
    shapes = LEVEL_SHAPE
    nu = rng.gamma(ORDER_VALUE["q"], 1.0 / ORDER_VALUE["scale"], n)
    return Traits(
        entry=entry,
        income=income,
        region=region,
        x=0.7 * income + REGION_EFFECT[region],
        u=scenario.satisfaction * u,
        buying=BUYING["rate"] * rng.gamma(shapes["buying"], 1.0 / shapes["buying"], n),
        touching=rng.gamma(shapes["touching"], 1.0 / shapes["touching"], n),
        order_mean=ORDER_VALUE["p"] / nu,
        scale=_effect_scales(scenario, region, rng),
        in_test=in_test,
        withheld=in_test & (rng.random(n) < 0.5),
        test_start=start,
    )


def _effect_scales(scenario: CompanyScenario, region: Integer, rng: np.random.Generator) -> Float:
    """Factor on all effects of each customer, shape (N,)."""
    n = len(region)
    scale = rng.gamma(2.0, 0.5, n) if scenario.heterogeneity else np.ones(n)
    if scenario.region_effects is not None:
        scale = scale * np.array(scenario.region_effects)[region]
    return scale


def contact_rates(scenario: CompanyScenario, traits: Traits, t: int, silent: Float) -> Float:
    """Contacts and sends expected in month t by channel, shape (N, C); `silent`: months without an order."""
    u = traits.u[:, t, None]
    rates = column(CHANNELS, "rate") * np.exp(column(CHANNELS, "u") * u + 0.3 * traits.x[:, None])
    rates *= traits.touching[:, None]
    idle = np.where(silent >= IDLE_MONTHS, IDLE_FACTOR, 1.0) if scenario.touches_to_idle else 1.0
    for k in FIRM:
        rates[:, k] = CHANNELS[k].rate * np.exp(0.2 * traits.x) * idle
    if t >= traits.test_start:
        rates[traits.withheld, NEWSLETTER] = 0.0
    return np.asarray(rates)


def acting_stocks(scenario: CompanyScenario, stock: NDArray[np.floating], scale: Float) -> Float:
    """What of the stocks acts: saturated, scaled per customer, or nothing, as the scenario has it."""
    acting = -SATURATION * np.expm1(-stock / SATURATION) if scenario.saturation else stock
    shape = (-1,) + (1,) * (stock.ndim - 1)
    return np.asarray(acting * scale.reshape(shape) * float(scenario.effects), dtype=np.float64)


def buying_rates(traits: Traits, t: int | slice) -> Float:
    """Orders expected of a customer with every channel off, in month t (or months)."""
    level = traits.buying * np.exp(BUYING["x"] * traits.x)
    return np.asarray((level * np.exp(BUYING["u"] * traits.u[:, t]).T).T)


def leaving_log_odds(traits: Traits, t: int | slice, problems: NDArray[Any]) -> Float:
    """Log-odds of leaving with every channel off, in month t (or months), given the problems of it."""
    fixed = LEAVING["constant"] + LEAVING["x"] * traits.x
    moving = LEAVING["problem"] * problems + LEAVING["u"] * traits.u[:, t]
    return np.asarray((fixed + moving.T).T)
