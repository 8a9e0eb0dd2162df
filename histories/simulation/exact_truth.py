"""The truth of the simulated company: exact credit of every channel, and the effect of its experiment."""

from __future__ import annotations

import numpy as np

from histories.arrays import Float, Integer
from histories.simulation.arrays import column, effect_parameters, logistic, stocks_of
from histories.simulation.kinds import CompanyScenario
from histories.simulation.traits import (
    ANSWERED,
    BUYING,
    CARE,
    CHANNELS,
    DISCOUNT_RATE,
    HORIZON,
    LEAVING,
    LEVEL_SHAPE,
    MARGIN,
    NEWSLETTER,
    ORDER_VALUE,
    REFUNDED,
    REGIONS,
    Traits,
    acting_stocks,
    buying_rates,
    leaving_log_odds,
)
from histories.simulation.truth import OutcomeTruth, Truth, coalition_values, truth_of
from histories.simulation.turns import CHANNEL


def _outcome_values(
    scenario: CompanyScenario,
    traits: Traits,
    contacts: Integer,
    replies: Integer,
    residual: Float,
    lift: Float | None,
) -> Float:
    """v(S) of retention, net revenue and residual value, shape (3, 2^C)."""
    acting = acting_stocks(scenario, stocks_of(replies), traits.scale)
    everything = slice(None)
    price = traits.order_mean[:, None] * (1.0 - REFUNDED)
    spend_effect = acting * column(CHANNELS, "gamma")
    if lift is not None:
        spend_effect[:, :, CHANNEL] += np.log1p(lift)
    return coalition_values(
        odds=np.exp(leaving_log_odds(traits, everything, contacts[:, :, CARE].sum(axis=2))),
        mean=buying_rates(traits, everything) * price,
        hazard_effect=acting * column(CHANNELS, "beta"),
        spend_effect=spend_effect,
        entry=traits.entry,
        residual=residual,
    )


def company_truth(
    scenario: CompanyScenario,
    traits: Traits,
    contacts: Integer,
    replies: Integer,
    lift: Float | None = None,
) -> Truth:
    """Shapley value of every channel for retention, spend and lifetime value, over all coalitions.

    `lift` is what fast answers of the desk's channel add to each month's orders, as a share, shape (N, P).
    """
    residual = _residual_value(traits)
    kept, spend, rest = _outcome_values(scenario, traits, contacts, replies, residual, lift)
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


def region_truths(
    scenario: CompanyScenario, traits: Traits, contacts: Integer, replies: Integer
) -> dict[str, Truth]:
    """The same by region; the regions' credits add up to the company's."""
    found = {}
    for code, name in enumerate(REGIONS):
        rows = traits.region == code
        if rows.any():
            found[name] = company_truth(scenario, traits.take(rows), contacts[rows], replies[rows])
    return found


def _residual_value(traits: Traits) -> Float:
    """Discounted margin of the next HORIZON months of a customer left alone, given life, shape (N,)."""
    month = np.arange(1, HORIZON + 1)
    stays = 1.0 - logistic(leaving_log_odds(traits, slice(-1, None), np.zeros((len(traits.x), 1))))
    discount = (1.0 + DISCOUNT_RATE) ** (-month / 12.0)
    yearly = (stays ** (month - 1) * discount).sum(axis=1)
    margin = MARGIN * (1.0 - REFUNDED) * traits.order_mean * buying_rates(traits, slice(-1, None))[:, 0]
    return np.asarray(margin * yearly)


def experiment_truth(
    scenario: CompanyScenario,
    traits: Traits,
    contacts: Integer,
    replies: Integer,
    lift: Float | None = None,
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
        values.append(_expected(scenario, traits, contacts, treated, lift)[:, rows].mean(axis=1))
    difference = values[0] - values[1]
    return {"retention": float(difference[0]), "spend": float(difference[1])}


def _expected(
    scenario: CompanyScenario, traits: Traits, contacts: Integer, replies: Integer, lift: Float | None
) -> Float:
    """Chance of staying, and net revenue, expected of each customer with every channel on, shape (2, N)."""
    acting = acting_stocks(scenario, stocks_of(replies), traits.scale)
    everything = slice(None)
    here = np.arange(contacts.shape[1]) >= traits.entry[:, None]
    log_odds = leaving_log_odds(traits, everything, contacts[:, :, CARE].sum(axis=2))
    stays = np.where(here, 1.0 - logistic(log_odds + acting @ column(CHANNELS, "beta")), 1.0)
    alive = np.cumprod(stays, axis=1)
    before = np.concatenate([np.ones((len(alive), 1)), alive[:, :-1]], axis=1)
    mean = buying_rates(traits, everything) * np.exp(acting @ column(CHANNELS, "gamma")) * here
    mean = mean if lift is None else mean * (1.0 + lift)
    price = traits.order_mean * (1.0 - REFUNDED)
    return np.stack([alive[:, -1], price * (before * mean).sum(axis=1)])
