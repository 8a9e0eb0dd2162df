"""The company's generative process, month by month and as arrays.

Customer i arrives in month e_i (half of them at the start) with a first purchase. With the observed
confounder x_i (income and region), hidden satisfaction u_it (absent by default), levels lambda_i ~
Gamma(1.2) of buying and kappa_i ~ Gamma(1.5) of being in touch, in each month t >= e_i:

    contacts_itc ~ Poisson(rate_c kappa_i exp(.3 x_i + b_c u_it))    own channels, only while a customer
    sends_itc    ~ Poisson(rate_c exp(.2 x_i))                       newsletter and ads, also afterwards
    replies_itc  ~ Binomial(contacts_itc, answered_c)                care channels: the treatment is the reply
    S_itc        = .6 S_i,t-1,c + log(1 + treatments_itc)
    orders_it    ~ Poisson(.45 lambda_i exp(.2 x_i + gamma . S_it + .3 u_it))
    order value  = Gamma-Gamma: shape 6.25, customers' means about 36
    logit h_it   = -3.1 - .3 x_i + .35 problems_it + beta . S_it - .6 u_it     leaving at the end of the month

where problems are the contacts in care channels, answered or not. In the experiment the newsletter is
withheld from a random half of those who are known half-way. Truth: Shapley over the 2^8 coalitions of
treatments, the contacts (and so the problems) staying what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histories.simulation.arrays import DECAY, channel_table, column, effect_parameters, logistic, stocks_of
from histories.simulation.company_scenarios import CompanyScenario
from histories.simulation.truth import OutcomeTruth, Truth, coalition_values, truth_of

__all__ = ["ANSWERED", "CARE", "CHANNELS", "FIRM", "MARGIN", "CompanyProcess", "simulate_process"]

Float = NDArray[np.float64]
Integer = NDArray[np.int64]

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
class CompanyProcess:
    """Everything that happened, by customer and month, and the truth. N customers, P months, C channels."""

    entry: Integer
    """Month of arrival, shape (N,)."""
    exit: Integer
    """Month of leaving, P when still a customer, shape (N,)."""
    income: Float
    """Observed, standardised, shape (N,)."""
    region: Integer
    """Index into REGIONS, shape (N,)."""
    satisfaction: Float
    """Hidden, shape (N, P)."""
    order_mean: Float
    """Mean value of the customer's orders, in currency, shape (N,)."""
    contacts: Integer
    """Contacts and sends that reached a customer (or a former one), shape (N, P, C)."""
    replies: Integer
    """Treatments: replies in care channels, else the contacts themselves, shape (N, P, C)."""
    orders: Integer
    """Orders after the first, shape (N, P)."""
    in_test: NDArray[np.bool_]
    """Whether the customer was assigned in the experiment, shape (N,)."""
    withheld: NDArray[np.bool_]
    """Whether the newsletter was withheld, shape (N,)."""
    test_start: int
    """First month of the experiment."""
    truth: Truth
    experiment: dict[str, float]
    """True effect of the newsletter per assigned customer over the experiment, by outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traits:
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


def simulate_process(
    scenario: CompanyScenario, *, n: int, months: int, rng: np.random.Generator
) -> CompanyProcess:
    """Run the process for n customers over so many months."""
    traits = _draw_traits(scenario, n=n, months=months, rng=rng)
    contacts, replies, orders, exit_ = _live(scenario, traits, months, rng)
    truth = _truth(scenario, traits, contacts, replies)
    experiment = _experiment_truth(scenario, traits, contacts, replies)
    observed_contacts, observed_replies = _observed(traits, contacts, replies, exit_)
    alive = np.arange(months) <= exit_[:, None]
    return CompanyProcess(
        entry=traits.entry,
        exit=exit_,
        income=traits.income,
        region=traits.region,
        satisfaction=traits.u,
        order_mean=traits.order_mean,
        contacts=observed_contacts,
        replies=observed_replies,
        orders=orders * alive,
        in_test=traits.in_test,
        withheld=traits.withheld,
        test_start=traits.test_start,
        truth=truth,
        experiment=experiment,
    )


def _draw_traits(scenario: CompanyScenario, *, n: int, months: int, rng: np.random.Generator) -> _Traits:
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
    return _Traits(
        entry=entry,
        income=income,
        region=region,
        x=0.7 * income + REGION_EFFECT[region],
        u=scenario.satisfaction * u,
        buying=BUYING["rate"] * rng.gamma(shapes["buying"], 1.0 / shapes["buying"], n),
        touching=rng.gamma(shapes["touching"], 1.0 / shapes["touching"], n),
        order_mean=ORDER_VALUE["p"] / nu,
        scale=rng.gamma(2.0, 0.5, n) if scenario.heterogeneity else np.ones(n),
        in_test=in_test,
        withheld=in_test & (rng.random(n) < 0.5),
        test_start=start,
    )


def _live(
    scenario: CompanyScenario, traits: _Traits, months: int, rng: np.random.Generator
) -> tuple[Integer, Integer, Integer, Integer]:
    """Contacts, replies and orders of customers as if they never left, and the month in which they leave."""
    n = len(traits.entry)
    contacts = np.zeros((n, months, len(CHANNELS)), dtype=np.int64)
    replies = np.zeros_like(contacts)
    orders = np.zeros((n, months), dtype=np.int64)
    exit_ = np.full(n, months, dtype=np.int64)
    stock = np.zeros((n, len(CHANNELS)))
    silent = np.zeros(n)
    beta, gamma = column(CHANNELS, "beta"), column(CHANNELS, "gamma")
    for t in range(months):
        here = t >= traits.entry
        contacts[:, t] = rng.poisson(_contact_rates(scenario, traits, t, silent)) * here[:, None]
        replies[:, t] = contacts[:, t]
        for k in CARE:
            replies[:, t, k] = rng.binomial(contacts[:, t, k], ANSWERED[CHANNELS[k].name])
        stock = DECAY * stock + np.log1p(replies[:, t])
        acting = _acting(scenario, stock, traits.scale)
        orders[:, t] = rng.poisson(_buying(traits, t) * np.exp(acting @ gamma)) * here
        silent = np.where(((orders[:, t] > 0) & (exit_ >= t)) | (t == traits.entry), 0, silent + 1)
        problems = contacts[:, t, CARE].sum(axis=1)
        leaves = rng.random(n) < logistic(_log_odds(traits, t, problems) + acting @ beta)
        exit_ = np.where(leaves & here & (exit_ == months), t, exit_)
    return contacts, replies, orders, exit_


def _contact_rates(scenario: CompanyScenario, traits: _Traits, t: int, silent: Float) -> Float:
    u = traits.u[:, t, None]
    rates = column(CHANNELS, "rate") * np.exp(column(CHANNELS, "u") * u + 0.3 * traits.x[:, None])
    rates *= traits.touching[:, None]
    idle = np.where(silent >= IDLE_MONTHS, IDLE_FACTOR, 1.0) if scenario.touches_to_idle else 1.0
    for k in FIRM:
        rates[:, k] = CHANNELS[k].rate * np.exp(0.2 * traits.x) * idle
    if t >= traits.test_start:
        rates[traits.withheld, NEWSLETTER] = 0.0
    return np.asarray(rates)


def _acting(scenario: CompanyScenario, stock: NDArray[np.floating], scale: Float) -> Float:
    """What of the stocks acts: saturated, scaled per customer, or nothing, as the scenario has it."""
    acting = -SATURATION * np.expm1(-stock / SATURATION) if scenario.saturation else stock
    shape = (-1,) + (1,) * (stock.ndim - 1)
    return np.asarray(acting * scale.reshape(shape) * float(scenario.effects), dtype=np.float64)


def _buying(traits: _Traits, t: int | slice) -> Float:
    level = traits.buying * np.exp(BUYING["x"] * traits.x)
    return np.asarray((level * np.exp(BUYING["u"] * traits.u[:, t]).T).T)


def _log_odds(traits: _Traits, t: int | slice, problems: NDArray[Any]) -> Float:
    fixed = LEAVING["constant"] + LEAVING["x"] * traits.x
    moving = LEAVING["problem"] * problems + LEAVING["u"] * traits.u[:, t]
    return np.asarray((fixed + moving.T).T)


def _observed(
    traits: _Traits, contacts: Integer, replies: Integer, exit_: Integer
) -> tuple[Integer, Integer]:
    """Own contacts stop when the customer leaves; what the firm sends goes on."""
    alive = np.arange(contacts.shape[1]) <= exit_[:, None]
    kept = np.repeat(alive[:, :, None], len(CHANNELS), axis=2)
    kept[:, :, FIRM] = True
    return contacts * kept, replies * kept


def _outcome_values(
    scenario: CompanyScenario, traits: _Traits, contacts: Integer, replies: Integer, residual: Float
) -> Float:
    """v(S) of retention, net revenue and residual value, shape (3, 2^C)."""
    acting = _acting(scenario, stocks_of(replies), traits.scale)
    everything = slice(None)
    price = traits.order_mean[:, None] * (1.0 - REFUNDED)
    return coalition_values(
        odds=np.exp(_log_odds(traits, everything, contacts[:, :, CARE].sum(axis=2))),
        mean=_buying(traits, everything) * price,
        hazard_effect=acting * column(CHANNELS, "beta"),
        spend_effect=acting * column(CHANNELS, "gamma"),
        entry=traits.entry,
        residual=residual,
    )


def _truth(scenario: CompanyScenario, traits: _Traits, contacts: Integer, replies: Integer) -> Truth:
    residual = _residual_value(traits)
    kept, spend, rest = _outcome_values(scenario, traits, contacts, replies, residual)
    first = float((traits.order_mean * (1.0 - REFUNDED)).sum())
    spend = spend + first
    outcomes: dict[str, OutcomeTruth] = {
        "retention": truth_of(kept),
        "spend": truth_of(spend),
        "lifetime_value": truth_of(MARGIN * spend + rest),
    }
    parameters = {
        **effect_parameters(CHANNELS, switch=float(scenario.effects)),
        "buying": BUYING,
        "leaving": LEAVING,
        "level_shape": LEVEL_SHAPE,
        "order_value": ORDER_VALUE,
        "refunded": REFUNDED,
        "margin": MARGIN,
        "answered": ANSWERED,
        "horizon_months": HORIZON,
        "discount_rate": DISCOUNT_RATE,
    }
    return Truth(channels=tuple(c.name for c in CHANNELS), outcomes=outcomes, parameters=parameters)


def _residual_value(traits: _Traits) -> Float:
    """Discounted margin of the next HORIZON months of a customer left alone, given life, shape (N,)."""
    month = np.arange(1, HORIZON + 1)
    stays = 1.0 - logistic(_log_odds(traits, slice(-1, None), np.zeros((len(traits.x), 1))))
    discount = (1.0 + DISCOUNT_RATE) ** (-month / 12.0)
    yearly = (stays ** (month - 1) * discount).sum(axis=1)
    margin = MARGIN * (1.0 - REFUNDED) * traits.order_mean * _buying(traits, slice(-1, None))[:, 0]
    return np.asarray(margin * yearly)


def _experiment_truth(
    scenario: CompanyScenario, traits: _Traits, contacts: Integer, replies: Integer
) -> dict[str, float]:
    """Newsletter sent to all of the assigned against withheld from all of them, from the start to the end."""
    rows = np.flatnonzero(traits.in_test)
    rng = np.random.default_rng(len(traits.entry))
    sent = rng.poisson(CHANNELS[NEWSLETTER].rate * np.exp(0.2 * traits.x), contacts.shape[1::-1]).T
    values = []
    for open_ in (True, False):
        treated = replies.copy()
        after = treated[:, traits.test_start :, NEWSLETTER]
        if open_:
            after[traits.withheld] = sent[traits.withheld, traits.test_start :]
        else:
            after[:] = 0
        values.append(_expected(scenario, traits, contacts, treated)[:, rows].mean(axis=1))
    difference = values[0] - values[1]
    return {"retention": float(difference[0]), "spend": float(difference[1])}


def _expected(scenario: CompanyScenario, traits: _Traits, contacts: Integer, replies: Integer) -> Float:
    """Chance of staying, and net revenue, expected of each customer with every channel on, shape (2, N)."""
    acting = _acting(scenario, stocks_of(replies), traits.scale)
    everything = slice(None)
    here = np.arange(contacts.shape[1]) >= traits.entry[:, None]
    log_odds = _log_odds(traits, everything, contacts[:, :, CARE].sum(axis=2))
    stays = np.where(here, 1.0 - logistic(log_odds + acting @ column(CHANNELS, "beta")), 1.0)
    alive = np.cumprod(stays, axis=1)
    before = np.concatenate([np.ones((len(alive), 1)), alive[:, :-1]], axis=1)
    mean = _buying(traits, everything) * np.exp(acting @ column(CHANNELS, "gamma")) * here
    price = traits.order_mean * (1.0 - REFUNDED)
    return np.stack([alive[:, -1], price * (before * mean).sum(axis=1)])
