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

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float, Integer
from histories.simulation.arrays import DECAY, column, logistic, stocks_of
from histories.simulation.calendar import Calendar
from histories.simulation.exact_truth import company_truth, experiment_truth, region_truths
from histories.simulation.kinds import CompanyScenario
from histories.simulation.traits import (
    ANSWERED,
    CARE,
    CHANNELS,
    FIRM,
    REFUNDED,
    Traits,
    acting_stocks,
    buying_rates,
    contact_rates,
    draw_traits,
    leaving_log_odds,
)
from histories.simulation.truth import Truth
from histories.simulation.turns import CHANNEL, Turns, answer_in_turn


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
    region_truth: dict[str, Truth] | None
    """By region, where effects differ between regions."""
    experiment: dict[str, float]
    """True effect of the newsletter per assigned customer over the experiment, by outcome."""
    turns: Turns | None = None
    """Answers of the desk, where the company has one."""


def simulate_process(
    scenario: CompanyScenario, *, n: int, calendar: Calendar, rng: np.random.Generator
) -> CompanyProcess:
    """Run the process for n customers over the months of the calendar."""
    months = len(calendar.starts) - 1
    traits = draw_traits(scenario, n=n, months=months, rng=rng)
    contacts, replies, orders, exit_ = _live(scenario, traits, months, rng)
    turns, lift = None, None
    if scenario.desk:
        acting = acting_stocks(scenario, stocks_of(replies), traits.scale)
        rates = buying_rates(traits, slice(None)) * np.exp(acting @ column(CHANNELS, "gamma"))
        turns = answer_in_turn(
            contacts=contacts[:, :, CHANNEL],
            replies=replies[:, :, CHANNEL],
            entry=traits.entry,
            exit_=exit_,
            income=traits.income,
            rates=rates,
            price=traits.order_mean * (1.0 - REFUNDED),
            calendar=calendar,
            rng=rng,
        )
        lift = turns.lift
    truth = company_truth(scenario, traits, contacts, replies, lift)
    by_region = None
    if scenario.region_effects is not None:
        by_region = region_truths(scenario, traits, contacts, replies)
    experiment = experiment_truth(scenario, traits, contacts, replies, lift)
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
        region_truth=by_region,
        experiment=experiment,
        turns=turns,
    )


def _live(
    scenario: CompanyScenario, traits: Traits, months: int, rng: np.random.Generator
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
        contacts[:, t] = rng.poisson(contact_rates(scenario, traits, t, silent)) * here[:, None]
        replies[:, t] = contacts[:, t]
        for k in CARE:
            replies[:, t, k] = rng.binomial(contacts[:, t, k], ANSWERED[CHANNELS[k].name])
        stock = DECAY * stock + np.log1p(replies[:, t])
        acting = acting_stocks(scenario, stock, traits.scale)
        orders[:, t] = rng.poisson(buying_rates(traits, t) * np.exp(acting @ gamma)) * here
        silent = np.where(((orders[:, t] > 0) & (exit_ >= t)) | (t == traits.entry), 0, silent + 1)
        problems = contacts[:, t, CARE].sum(axis=1)
        leaves = rng.random(n) < logistic(leaving_log_odds(traits, t, problems) + acting @ beta)
        exit_ = np.where(leaves & here & (exit_ == months), t, exit_)
    return contacts, replies, orders, exit_


def _observed(traits: Traits, contacts: Integer, replies: Integer, exit_: Integer) -> tuple[Integer, Integer]:
    """Own contacts stop when the customer leaves; what the firm sends goes on."""
    alive = np.arange(contacts.shape[1]) <= exit_[:, None]
    kept = np.repeat(alive[:, :, None], len(CHANNELS), axis=2)
    kept[:, :, FIRM] = True
    return contacts * kept, replies * kept
