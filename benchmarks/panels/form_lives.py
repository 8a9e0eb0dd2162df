"""Companies of other forms: how their customers live, and what is true of them.

A month has F steps (1 by default). For customer i in step s, with covariate x, hidden satisfaction u (absent
by default), problem p (absent by default), awake a (1 by default) and the stock S_isc = .6^(1/F) S_i,s-1,c +
log(1 + touches):

    p_is ~ Bernoulli(1 - (1 - logit^-1(-2 - .6 u_is))^(1/F))
    acts_isc ~ Poisson(rate_c kappa_i a_is exp(.3 x_i + b_c u_is + d_c p_is) / F)        own channels
    sends_isc ~ Poisson(rate_c / F), times what the scenario says                         the firm's
    buys_is  ~ Poisson(lambda_i a_is exp(.2 x_i + .35 u_is - .3 p_is + w_s + gamma . f(S_is)) / F)
    logit h_is = -3 - .3 x_i - .7 u_is + .5 p_is + a_is beta . f(S_is) - log F            at its end

An order is Gamma(4) about 20. Regular buyers make a purchase at every k-th event of a Poisson process of
k-fold rate, started anywhere, so that the mean stays exactly what it is (condensed Poisson: Chatfield &
Goodhardt 1973). Truth: Shapley over the coalitions of channels on the observed steps, touches staying what
they would have been.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from benchmarks.panels.form_scenarios import FormScenario
from histories.arrays import Float, Integer
from histories.simulation.arrays import channel_table, column, effect_parameters, logistic, stocks_of
from histories.simulation.truth import Truth, coalition_values, truth_of

CHANNELS = channel_table(
    ("name", "group", "origin", "rate", "problem", "u", "beta", "gamma"),
    ("forum", "social", "customer", 0.30, 0.0, 0.6, -0.30, 0.08),
    ("chat", "chat", "customer", 0.25, 1.2, -0.2, -0.35, 0.03),
    ("phone", "phone", "customer", 0.20, 1.0, -0.3, 0.30, -0.03),
    ("reviews", "social", "customer", 0.15, 0.0, 0.4, -0.10, 0.06),
    ("letter", "letter", "firm", 0.70, 0.0, 0.0, -0.10, 0.06),
    ("push", "push", "firm", 0.60, 0.0, 0.0, 0.00, 0.00),
)
"""Forum and chat keep customers, the phone queue drives them away, `push` does nothing."""
NAMES = tuple(channel.name for channel in CHANNELS)
OWN = np.array([channel.origin == "customer" for channel in CHANNELS])
PHONE, LETTER, PUSH = (NAMES.index(name) for name in ("phone", "letter", "push"))
TOUCH_SHAPE = 1.5
BUYING = {"x": 0.2, "u": 0.35, "problem": -0.3}
LEAVING = {"constant": -3.0, "x": -0.3, "u": -0.7, "problem": 0.5}
PROBLEM = {"constant": -2.0, "u": -0.6}
PERSISTENCE, STAYS_ASLEEP = 0.9, 0.8
NEVER = -60.0
"""Added to the log-odds of leaving where nobody does."""
PRICE = 20.0
ALIKE = 4
"""Letters a month to everybody, where all get the same."""
AFTER_ACTIVITY, ELSE = 2.0, 0.5
SATURATION = 0.8
LAST_DAY = date(2026, 6, 30)
CONTRACT_RATE = 2.0
"""Factor on purchases of customers with contracts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormTraits:
    """Customers as drawn: (N,), by step (N, S), own levels of touching (N,); log season (S,)."""

    x: Float
    u: Float
    problem: Float
    awake: Float
    buying: Float
    touching: Float
    entry: Integer
    season: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLife:
    """Touches that would come (N, S, C), purchases while a customer (N, S), step of leaving (S: stays)."""

    touches: Integer
    purchases: Integer
    exit: Integer


def live(
    scenario: FormScenario, *, n: int, periods: int, rng: np.random.Generator
) -> tuple[FormTraits, FormLife]:
    """Draw customers and let them live through the observed steps of so many months."""
    unseen = 0 if scenario.observed_steps is None else scenario.steps - scenario.observed_steps
    traits = _draw(scenario, n, periods * scenario.steps - unseen, rng)
    return traits, _months(scenario, traits, rng)


def _draw(scenario: FormScenario, n: int, steps: int, rng: np.random.Generator) -> FormTraits:
    fine = scenario.steps
    u = _satisfaction(scenario, n, -(-steps // fine), rng).repeat(fine, axis=1)[:, :steps]
    chance = 1.0 - (1.0 - logistic(PROBLEM["constant"] + PROBLEM["u"] * u)) ** (1.0 / fine)
    month = _calendar_month(steps, fine)
    late = rng.integers(1, max(steps // 3, 2), n)
    return FormTraits(
        x=rng.standard_normal(n),
        u=u,
        problem=np.asarray((rng.random(u.shape) < chance) & scenario.problems, dtype=np.float64),
        awake=_awake(scenario, n, -(-steps // fine), rng).repeat(fine, axis=1)[:, :steps],
        buying=scenario.rate
        * (CONTRACT_RATE if scenario.contractual and scenario.regularity == 1 else 1.0)
        * rng.gamma(scenario.level_shape, 1.0 / scenario.level_shape, n),
        touching=rng.gamma(TOUCH_SHAPE, 1.0 / TOUCH_SHAPE, n),
        entry=np.where(scenario.staggered & (rng.random(n) < 0.5), late, 0).astype(np.int64),
        season=np.log(2.0) * float(scenario.december) * (month == 12),
    )


def _calendar_month(steps: int, fine: int) -> Integer:
    """Calendar month, 1 to 12, of each step."""
    periods = -(-steps // fine)
    months = (LAST_DAY.month - periods + np.arange(periods)) % 12 + 1
    return months.repeat(fine)[:steps]


def _satisfaction(scenario: FormScenario, n: int, months: int, rng: np.random.Generator) -> Float:
    """Mean 0, variance 1, shape (N, months)."""
    if scenario.satisfaction == "none":
        return np.zeros((n, months))
    if scenario.satisfaction == "skewed":
        first = (rng.gamma(2.0, 1.0, n) - 2.0) / np.sqrt(2.0)
    elif scenario.satisfaction == "two_class":
        first = ((rng.random(n) < 0.3) - 0.3) / np.sqrt(0.21)
    else:
        first = rng.standard_normal(n)
    u = np.repeat(first[:, None], months, axis=1)
    if scenario.satisfaction == "drifting":
        for t in range(1, months):
            shock = np.sqrt(1.0 - PERSISTENCE**2) * rng.standard_normal(n)
            u[:, t] = PERSISTENCE * u[:, t - 1] + shock
    return u


def _awake(scenario: FormScenario, n: int, months: int, rng: np.random.Generator) -> Float:
    """1 in the months in which a customer is awake, shape (N, months)."""
    awake = np.ones((n, months), dtype=bool)
    share = scenario.asleep
    falls = share * (1.0 - STAYS_ASLEEP) / (1.0 - share)
    for t in range(1, months):
        awake[:, t] = rng.random(n) >= np.where(awake[:, t - 1], falls, STAYS_ASLEEP)
    return awake.astype(np.float64)


def _acting(scenario: FormScenario, stock: NDArray[np.floating]) -> NDArray[np.floating]:
    """What of the stocks acts."""
    return -SATURATION * np.expm1(-stock / SATURATION) if scenario.saturating else stock


def _effects(scenario: FormScenario) -> tuple[Float, Float]:
    beta, gamma = column(CHANNELS, "beta"), column(CHANNELS, "gamma")
    beta[PHONE] *= scenario.harm
    gamma[PHONE] *= scenario.harm
    return scenario.keeping * beta, scenario.effects * gamma


def _off(scenario: FormScenario, traits: FormTraits) -> tuple[Float, Float]:
    """Log-odds of leaving, and purchases expected, with every channel off, shape (N, S) each."""
    x, fine = traits.x[:, None], scenario.steps
    log_odds = LEAVING["constant"] + LEAVING["x"] * x + LEAVING["u"] * traits.u - np.log(fine)
    log_odds = log_odds + LEAVING["problem"] * traits.problem + NEVER * float(scenario.loyal)
    moved = BUYING["x"] * x + BUYING["u"] * traits.u + BUYING["problem"] * traits.problem + traits.season
    return log_odds, traits.buying[:, None] * traits.awake * np.exp(moved) / fine


def _months(scenario: FormScenario, traits: FormTraits, rng: np.random.Generator) -> FormLife:
    """Step after step: touches, purchases, leaving."""
    n, steps = traits.u.shape
    k = scenario.regularity
    beta, gamma = _effects(scenario)
    log_odds, buying = _off(scenario, traits)
    touches = np.zeros((n, steps, len(CHANNELS)), dtype=np.int64)
    purchases = np.zeros((n, steps), dtype=np.int64)
    exit_ = np.full(n, steps, dtype=np.int64)
    stock, phase = np.zeros((n, len(CHANNELS))), np.asarray(rng.integers(0, k, n))
    kept = 0.6 ** (1.0 / scenario.steps)
    for s in range(steps):
        there = s >= traits.entry
        since = max(s - scenario.steps, 0)
        acts = touches[:, since:s, OWN].sum(axis=2) + purchases[:, since:s]
        active = (acts * (np.arange(since, s) <= exit_[:, None])).sum(axis=1) > 0  # as the firm sees it
        touches[:, s] = rng.poisson(_touch_rates(scenario, traits, s, active) * there[:, None])
        if scenario.alike:
            touches[:, s, LETTER] = ALIKE * there if scenario.steps == 1 else touches[:, s, LETTER]
        stock = kept * stock + np.log1p(touches[:, s])
        acting = _acting(scenario, stock) * traits.awake[:, s, None]
        events = rng.poisson(k * buying[:, s] * np.exp(acting @ gamma) * there) + phase
        purchases[:, s], phase = events // k, np.asarray(events % k)
        leaves = (rng.random(n) < logistic(log_odds[:, s] + acting @ beta)) & there & (exit_ == steps)
        exit_[leaves] = s
    return FormLife(touches=touches, purchases=purchases, exit=exit_)


def _touch_rates(scenario: FormScenario, traits: FormTraits, s: int, active: NDArray[np.bool_]) -> Float:
    """Touches expected in step s, shape (N, C)."""
    rate = np.array([c.rate * scenario.volume.get(c.name, 1.0) for c in CHANNELS]) / scenario.steps
    moved = 0.3 * traits.x[:, None] + column(CHANNELS, "u") * traits.u[:, s, None]
    moved = moved + column(CHANNELS, "problem") * traits.problem[:, s, None]
    found = rate * np.where(OWN, np.exp(moved) * (traits.touching * traits.awake[:, s])[:, None], 1.0)
    if scenario.half_way is not None and s < traits.u.shape[1] // 2:
        found[:, NAMES.index(scenario.half_way)] = 0.0
    found[:, PUSH] *= np.exp(traits.season[s])
    if scenario.retargeting:
        found[:, PUSH] *= np.where(active, AFTER_ACTIVITY, ELSE)
    return np.asarray(found)


def form_truth(scenario: FormScenario, traits: FormTraits, life: FormLife) -> Truth:
    """Shapley value of every channel over all coalitions, on the observed steps."""
    beta, gamma = _effects(scenario)
    acting = _acting(scenario, stocks_of(life.touches, steps=scenario.steps)) * traits.awake[:, :, None]
    log_odds, buying = _off(scenario, traits)
    values = coalition_values(
        odds=np.exp(log_odds),
        mean=PRICE * buying,
        hazard_effect=acting * beta,
        spend_effect=acting * gamma,
        entry=traits.entry,
    )
    values[1] += PRICE * float(scenario.staggered) * len(traits.x)
    parameters = effect_parameters(CHANNELS, switch=1.0)
    effects = {
        "beta": dict(zip(NAMES, beta.tolist(), strict=True)),
        "gamma": dict(zip(NAMES, gamma.tolist(), strict=True)),
    }
    return Truth(
        channels=NAMES,
        outcomes={"retention": truth_of(values[0]), "spend": truth_of(values[1])},
        parameters={**parameters, **effects, "leaving": LEAVING, "buying": BUYING, "rate": scenario.rate},
    )
