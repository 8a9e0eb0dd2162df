"""Customers without a contract who leave silently, and whose every contact proves that they have not.

For customer i and month t, with covariate x and the stock S_itc = .6 S_i,t-1,c + log(1 + touches):

    lambda_i ~ Gamma(shape 1.2, mean rate)     kappa_i ~ Gamma(shape 1.5, mean 1)
    touches_itc ~ Poisson(rate_c kappa_i exp(.3 x_i))          customer's own channels: only while a customer
    e-mail_it ~ Poisson(.8 exp(.2 x_i))                        the firm's: goes on after the end
    purchases_it ~ Poisson(lambda_i exp(.2 x_i + gamma . S_it))  at 20 each
    logit h_it = -2.75 - .3 x_i + beta . S_it                  leaving at the end of the month, never recorded

A scenario may change the decay, add a season w_t (+.5 on log touches, +.6 on log purchases, -.5 on logit h),
or let customers arrive one after another, each with a purchase that no touch has caused.

Spend is in currency. A third are still customers after 20 months. What a method makes of the silence
decides everything: "still buying" regressed on touches credits the customer's own channels with all of
retention although they do nothing, and finds the harmful channel (phone) helpful.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.panels.arrays import SimulatedPanel, arrivals, season, segment_factors, segment_labels
from benchmarks.panels.scenarios import HiddenLifeScenario
from histories.arrays import Float
from histories.panel import Panel
from histories.simulation.arrays import channel_table, column, effect_parameters, logistic, stocks_of
from histories.simulation.truth import Truth, coalition_values, truth_of

CHANNELS = channel_table(
    ("name", "group", "origin", "rate", "u", "beta", "gamma"),
    ("care", "social", "customer", 0.25, -0.2, -0.5, 0.02),
    ("community", "social", "customer", 0.25, 0.6, -0.3, 0.06),
    ("chat", "chat", "customer", 0.20, 0.1, -0.2, 0.02),
    ("phone", "phone", "customer", 0.20, -0.3, 0.3, 0.00),
    ("post", "post", "customer", 0.40, 0.4, 0.0, 0.05),
    ("email", "email", "firm", 0.80, 0.0, 0.0, 0.06),
)
"""Care, community and chat keep customers, phone drives them away, post and email only move spend."""

EMAIL = len(CHANNELS) - 1
LEAVING = {"constant": -2.75, "x": -0.3, "u": -0.6, "season": -0.5}
BUYING_X, BUYING_U, BUYING_SEASON, TOUCH_SEASON = 0.2, 0.3, 0.6, 0.5
RATE_SHAPE, TOUCH_SHAPE = 1.2, 1.5
SHARED_SHAPE = 0.6
"""Shape of the gamma component that purchase and touch levels share where heavy buyers touch more."""
SPELL_SHARE, SPELL_STAYS = 0.35, 0.8
CLUMP_SHAPE = 0.5
IDLE_MONTHS, IDLE_FACTOR, FOLLOW_FACTOR = 2, 3.0, 2.7
PERSISTENCE = 0.9
PRICE = 20.0
"""Currency per purchase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traits:
    """Levels of customers, shape (N,); `touching` (N, C), monthly arrays (N, P), `season` (P,)."""

    x: Float
    u: Float
    buying: Float
    touching: Float
    hazard: Float
    spells: Float
    clumps: Float
    entry: NDArray[np.int64]
    season: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """What came of it. Potential touches and purchases are those of a customer who never leaves."""

    touches: Float
    purchases: Float
    exit: NDArray[np.int64]


def simulate_hidden_life(
    scenario: HiddenLifeScenario, *, n: int, periods: int, rng: np.random.Generator
) -> SimulatedPanel:
    """Customers, their panel and their truth, under the equations above."""
    traits = _draw_traits(scenario, n=n, periods=periods, rng=rng)
    life = _live(scenario, traits, rng)
    latent = {"u": traits.u, "exit": life.exit.astype(np.float64), "buying": traits.buying}
    segment = None if scenario.segment_effects is None else segment_labels(traits.x)
    return SimulatedPanel(
        panel=_panel(scenario, traits, life),
        truth=_truth(scenario, traits, life, np.ones(n, dtype=np.bool_)),
        latent=latent,
        segment=segment,
        segment_truth=None
        if segment is None
        else {str(name): _truth(scenario, traits, life, segment == name) for name in np.unique(segment)},
    )


def _truth(scenario: HiddenLifeScenario, traits: _Traits, life: _Life, rows: NDArray[np.bool_]) -> Truth:
    """Truth of some of the customers."""
    stocks = stocks_of(life.touches[rows], decay=scenario.decay) * _factors(scenario, traits)[
        rows, None, None
    ].astype(np.float32)
    values = coalition_values(
        odds=np.exp(_log_odds(scenario, traits))[rows],
        mean=PRICE * _buying(scenario, traits)[rows],
        hazard_effect=stocks * column(CHANNELS, "beta").astype(np.float32),
        spend_effect=stocks * column(CHANNELS, "gamma").astype(np.float32),
        entry=traits.entry[rows],
    )
    values[1] += PRICE * float(scenario.staggered) * len(stocks)
    return Truth(
        channels=tuple(channel.name for channel in CHANNELS),
        outcomes={"retention": truth_of(values[0]), "spend": truth_of(values[1])},
        parameters=_parameters(scenario),
    )


def _factors(scenario: HiddenLifeScenario, traits: _Traits) -> Float:
    """Factor on the effects of each customer, shape (N,)."""
    if scenario.segment_effects is None:
        return np.full(len(traits.x), float(scenario.effects))
    return float(scenario.effects) * segment_factors(traits.x, scenario.segment_effects)


def _draw_traits(scenario: HiddenLifeScenario, *, n: int, periods: int, rng: np.random.Generator) -> _Traits:
    shared = rng.gamma(SHARED_SHAPE, 1.0, n) if scenario.heavy else np.zeros(n)
    own = SHARED_SHAPE if scenario.heavy else 0.0
    buying = (shared + rng.gamma(RATE_SHAPE - own, 1.0, n)) * scenario.rate / RATE_SHAPE
    if scenario.channel_levels:
        touching = rng.gamma(TOUCH_SHAPE, 1.0 / TOUCH_SHAPE, (n, len(CHANNELS)))
    else:
        level = (shared + rng.gamma(TOUCH_SHAPE - own, 1.0, n)) / TOUCH_SHAPE
        touching = np.repeat(level[:, None], len(CHANNELS), axis=1)
    touching[:, EMAIL] = 1.0
    clumps = (
        rng.gamma(CLUMP_SHAPE, 1.0 / CLUMP_SHAPE, (n, periods)) if scenario.clumpy else np.ones((n, periods))
    )
    return _Traits(
        x=rng.standard_normal(n),
        u=_satisfaction(n, periods, rng) if scenario.satisfaction else np.zeros((n, periods)),
        buying=buying,
        touching=touching,
        hazard=rng.normal(0.0, scenario.hazard_frailty, n),
        spells=_spells(n, periods, rng) if scenario.episodes else np.ones((n, periods)),
        clumps=clumps,
        entry=arrivals(n, periods, rng) if scenario.staggered else np.zeros(n, dtype=np.int64),
        season=season(periods) if scenario.season else np.zeros(periods),
    )


def _satisfaction(n: int, periods: int, rng: np.random.Generator) -> Float:
    u = rng.standard_normal((n, periods))
    for t in range(1, periods):
        u[:, t] = PERSISTENCE * u[:, t - 1] + np.sqrt(1.0 - PERSISTENCE**2) * u[:, t]
    return u


def _spells(n: int, periods: int, rng: np.random.Generator) -> Float:
    """Relative touch rate: 1 / share in months of a spell, 0 in others."""
    starts = SPELL_SHARE * (1.0 - SPELL_STAYS) / (1.0 - SPELL_SHARE)
    on = np.empty((n, periods), dtype=bool)
    on[:, 0] = rng.random(n) < SPELL_SHARE
    for t in range(1, periods):
        on[:, t] = rng.random(n) < np.where(on[:, t - 1], SPELL_STAYS, starts)
    return on / SPELL_SHARE


def _log_odds(scenario: HiddenLifeScenario, traits: _Traits) -> Float:
    """Log-odds of leaving with every channel off, shape (N, P)."""
    fixed = LEAVING["constant"] + LEAVING["x"] * traits.x + traits.hazard
    return np.asarray(fixed[:, None] + LEAVING["u"] * traits.u + LEAVING["season"] * traits.season)


def _buying(scenario: HiddenLifeScenario, traits: _Traits) -> Float:
    """Purchases expected a month with every channel off, shape (N, P)."""
    level = traits.buying * np.exp(BUYING_X * traits.x)
    moved = BUYING_U * traits.u + BUYING_SEASON * traits.season
    return np.asarray(level[:, None] * traits.clumps * np.exp(moved))


def _live(scenario: HiddenLifeScenario, traits: _Traits, rng: np.random.Generator) -> _Life:
    """Month after month: touches, purchases, leaving."""
    n, periods = traits.u.shape
    beta, gamma = column(CHANNELS, "beta"), column(CHANNELS, "gamma")
    factor = _factors(scenario, traits)
    log_odds, buying = _log_odds(scenario, traits), _buying(scenario, traits)
    touches, purchases = np.zeros((n, periods, len(CHANNELS))), np.zeros((n, periods))
    exit_ = np.full(n, periods, dtype=np.int64)
    stock = np.zeros((n, len(CHANNELS)))
    silent = np.zeros(n)
    for t in range(periods):
        rate = _touch_rates(
            scenario, traits, t, previous=purchases[:, t - 1] if t else np.zeros(n), silent=silent
        )
        there = t >= traits.entry
        touches[:, t] = rng.poisson(rate * there[:, None])
        stock = scenario.decay * stock + np.log1p(touches[:, t])
        purchases[:, t] = rng.poisson(buying[:, t] * np.exp(factor * (stock @ gamma)) * there)
        if scenario.staggered:
            purchases[traits.entry == t, t] += 1.0
        silent = np.where((purchases[:, t] > 0) & (exit_ >= t), 0, silent + 1)
        leaves = (rng.random(n) < logistic(log_odds[:, t] + factor * (stock @ beta))) & there
        exit_ = np.where(leaves & (exit_ == periods), t, exit_)
    return _Life(touches=touches, purchases=purchases, exit=exit_)


def _touch_rates(
    scenario: HiddenLifeScenario, traits: _Traits, t: int, *, previous: Float, silent: Float
) -> Float:
    rate = column(CHANNELS, "rate") * traits.touching * np.exp(0.3 * traits.x[:, None] + scenario.trend * t)
    rate *= np.exp(column(CHANNELS, "u") * traits.u[:, t, None]) * traits.spells[:, t, None]
    if scenario.follow:
        rate *= np.where(previous > 0, FOLLOW_FACTOR, 1.0)[:, None]
    email = CHANNELS[EMAIL].rate * np.exp(0.2 * traits.x)
    if scenario.touches_to_idle:
        email = email * np.where(silent >= IDLE_MONTHS, IDLE_FACTOR, 1.0)
    rate[:, EMAIL] = email
    return np.asarray(rate * np.exp(TOUCH_SEASON * traits.season[t]))


def _panel(scenario: HiddenLifeScenario, traits: _Traits, life: _Life) -> Panel:
    n, periods = life.purchases.shape
    alive = np.arange(periods) <= life.exit[:, None]
    touches = life.touches.copy()
    touches[:, :, :EMAIL] *= alive[:, :, None]
    purchases = life.purchases * alive
    return Panel(
        channels=tuple(channel.name for channel in CHANNELS),
        groups=tuple(channel.group for channel in CHANNELS),
        origins=tuple(channel.origin for channel in CHANNELS),
        touches=touches.astype(np.float32),
        own_acts=touches[:, :, :EMAIL].sum(axis=2),
        problems=np.zeros((n, periods)),
        spend=PRICE * purchases,
        purchases=purchases,
        entry=traits.entry,
        exit=None,
        acquisition=np.full(n, PRICE) if scenario.staggered else None,
        covariates=traits.x[:, None],
        covariate_names=("x",),
        proxies=np.zeros((n, 0)),
        proxy_names=(),
    )


def _parameters(scenario: HiddenLifeScenario) -> dict[str, object]:
    effects = effect_parameters(CHANNELS, switch=float(scenario.effects), decay=scenario.decay)
    return {**effects, "leaving": LEAVING, "rate": scenario.rate}
