"""Contractual customers whose satisfaction moves them into channels, makes them spend and keeps them.

For customer i and month t, with satisfaction u, covariate x, problem p, and the stock
S_itc = .6 S_i,t-1,c + log(1 + touches):

    u_i1 ~ N(0, 1),  u_it = rho u_i,t-1 + sqrt(1 - rho^2) e_it         (rho = 1: static)
    p_it ~ Bernoulli(logit^-1(-2 + .2 x_i - .6 u_it))
    touches_itc ~ Poisson(exp(log rate_c + .2 x_i + d_c p_it + b_c u_it))
    logit h_it = -2.9 - .2 x_i + .5 p_it + beta . S_it - .8 u_it        leaving at the end of the month
    log m_it   = log 40 + .1 x_i - .1 p_it + gamma . S_it + .35 u_it    spend ~ Gamma(shape 1.5, mean m)
    z_i = r u_i1 + sqrt(1 - r^2) e_i                                    a proxy, such as a survey answer

`CHANNELS` holds rate, d (problem), b (u), beta and gamma. A scenario adds a second factor v (also -.3 on
leaving and .25 on spend), gamma frailties, saturation, effects that differ, steps within the month,
another decay than .6, a season w_t (+.5 on log touches, +.6 on log m, -.5 on logit h), or staggered arrivals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.panels.arrays import SimulatedPanel, arrivals, season, segment_factors, segment_labels
from benchmarks.panels.scenarios import ContractualScenario
from histories.arrays import Float, Single
from histories.panel import Panel
from histories.simulation.arrays import channel_table, column, effect_parameters, logistic, stocks_of
from histories.simulation.truth import Truth, coalition_values, truth_of

CHANNELS = channel_table(
    ("name", "group", "origin", "rate", "problem", "u", "v", "beta", "gamma"),
    ("care", "social", "customer", 0.25, 1.6, -0.2, 0.3, -0.30, 0.03),
    ("community", "social", "customer", 0.25, 0.3, 0.8, -0.4, -0.25, 0.06),
    ("reviews", "social", "customer", 0.15, 0.2, 0.5, 0.3, -0.10, 0.04),
    ("chat", "chat", "customer", 0.20, 0.9, 0.1, 0.5, -0.20, 0.02),
    ("phone", "phone", "customer", 0.20, 1.1, -0.3, 0.3, 0.12, -0.01),
    ("newsletter", "newsletter", "firm", 0.60, 0.0, 0.3, 0.2, -0.05, 0.05),
    ("ads", "ads", "firm", 0.50, 0.0, 0.2, -0.3, 0.00, 0.03),
    ("referral", "referral", "customer", 0.12, 0.0, 0.6, 0.4, -0.15, 0.05),
)
"""Two groups of interest: three social channels, one harmful one (phone)."""

PROBLEM = {"constant": -2.0, "x": 0.2, "u": -0.6}
TOUCH_X, TOUCH_SEASON = 0.2, 0.5
LEAVING = {"constant": -2.9, "x": -0.2, "problem": 0.5, "u": -0.8, "v": -0.3, "season": -0.5}
SPEND = {"constant": float(np.log(40.0)), "x": 0.1, "problem": -0.1, "u": 0.35, "v": 0.25, "season": 0.6}
SPEND_SHAPE = 1.5
SATURATION = 0.8
"""Where effects saturate: f(S) = .8 (1 - exp(-S / .8)) has slope 1 at zero and stays below .8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traits:
    """Hidden and seen traits: u and problem of shape (N, P), v, x and entry (N,), season (P,)."""

    u: Float
    v: Float
    x: Float
    problem: Float
    entry: NDArray[np.int64]
    season: Float

    @property
    def entered(self) -> Float:
        """1 from the month of arrival on, shape (N, P)."""
        return np.asarray(np.arange(self.u.shape[1]) >= self.entry[:, None], dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """Odds of leaving, mean spend with channels off (N, F); what channels add (N, F, C); first step (N,)."""

    odds: Float
    mean: Float
    hazard_effect: Single
    spend_effect: Single
    entry: NDArray[np.int64]

    def values(self, rows: slice | NDArray[np.bool_] = slice(None)) -> Float:
        return coalition_values(
            odds=self.odds[rows],
            mean=self.mean[rows],
            hazard_effect=self.hazard_effect[rows],
            spend_effect=self.spend_effect[rows],
            entry=self.entry[rows],
        )


def simulate_contractual(
    scenario: ContractualScenario, *, n: int, periods: int, rng: np.random.Generator
) -> SimulatedPanel:
    """Customers, their panel and their truth, under the equations above."""
    traits = _draw_traits(scenario, n=n, periods=periods, rng=rng)
    potential = _draw_touches(scenario, traits, rng=rng)
    open_to = rng.random(n) < 0.5 if scenario.experiment else None
    touches = potential if open_to is None else _withhold(potential, scenario.experiment, ~open_to)
    off = _without_channels(scenario, traits, rng=rng)
    scale = rng.gamma(2.0, 0.5, n) if scenario.heterogeneity else np.ones(n)
    segment = None
    if scenario.segment_effects is not None:
        segment = segment_labels(traits.x)
        scale = scale * segment_factors(traits.x, scenario.segment_effects)
    outcome = _Outcome(**off, **_effects(scenario, touches, scale))
    exit_step, spend = _live(outcome, scenario.substeps, rng)

    def truth(values: Float) -> Truth:
        return Truth(
            channels=tuple(channel.name for channel in CHANNELS),
            outcomes={"retention": truth_of(values[0]), "spend": truth_of(values[1])},
            parameters=_parameters(scenario),
        )

    def response(channel: str, factor: float) -> Float:
        moved = touches * np.where([one.name == channel for one in CHANNELS], factor, 1.0)
        return _Outcome(**off, **_effects(scenario, moved, scale)).values()[:2, -1]

    return SimulatedPanel(
        response=response,
        panel=_panel(scenario, traits, touches=touches, spend=spend, exit_step=exit_step, rng=rng),
        truth=truth(outcome.values()),
        latent={"u": traits.u, "v": traits.v, "exit": (exit_step // scenario.substeps).astype(np.float64)},
        assignment=open_to,
        experiment=scenario.experiment,
        contrast=None if open_to is None else _contrast(scenario, off, potential, scale),
        segment=segment,
        segment_truth=None
        if segment is None
        else {str(name): truth(outcome.values(segment == name)) for name in np.unique(segment)},
    )


def _draw_traits(scenario: ContractualScenario, *, n: int, periods: int, rng: np.random.Generator) -> _Traits:
    first = _first_satisfaction(scenario, n, rng)
    u = np.repeat(first[:, None], periods, axis=1)
    rho = scenario.persistence
    if rho < 1.0:
        shocks = rng.standard_normal((n, periods))
        for t in range(1, periods):
            u[:, t] = rho * u[:, t - 1] + np.sqrt(1.0 - rho**2) * shocks[:, t]
    x = rng.standard_normal(n)
    loading = PROBLEM["u"] * scenario.selection
    chance = logistic(PROBLEM["constant"] + PROBLEM["x"] * x[:, None] + loading * u)
    problem = (rng.random((n, periods)) < chance).astype(np.float64)
    v = rng.standard_normal(n) if scenario.second_factor else np.zeros(n)
    return _Traits(
        u=u,
        v=v,
        x=x,
        problem=problem,
        entry=arrivals(n, periods, rng) if scenario.staggered else np.zeros(n, dtype=np.int64),
        season=season(periods) if scenario.season else np.zeros(periods),
    )


def _first_satisfaction(scenario: ContractualScenario, n: int, rng: np.random.Generator) -> Float:
    """Satisfaction in the first month, mean 0 and variance 1, shape (n,)."""
    if scenario.latent == "skewed":
        return np.asarray((rng.gamma(2.0, 1.0, n) - 2.0) / np.sqrt(2.0), dtype=np.float64)
    if scenario.latent == "two_class":
        return np.asarray(((rng.random(n) < 0.3) - 0.3) / np.sqrt(0.21), dtype=np.float64)
    return rng.standard_normal(n)


def _draw_touches(scenario: ContractualScenario, traits: _Traits, *, rng: np.random.Generator) -> Float:
    """Touches that come as long as the customer stays, by step, shape (N, P * substeps, C)."""
    loading = column(CHANNELS, "u", switch=float(scenario.selection))
    log_rate = np.log(column(CHANNELS, "rate")) + TOUCH_X * traits.x[:, None, None]
    log_rate = log_rate + column(CHANNELS, "problem") * traits.problem[:, :, None]
    log_rate += loading * traits.u[:, :, None] + column(CHANNELS, "v") * traits.v[:, None, None]
    log_rate += TOUCH_SEASON * traits.season[:, None]
    rate = np.exp(log_rate - 0.5 * loading**2) * traits.entered[:, :, None]
    if scenario.touch_frailty:
        shape = 1.0 / scenario.touch_frailty
        rate *= rng.gamma(shape, 1.0 / shape, (len(rate), 1, len(CHANNELS)))
    steps = scenario.substeps
    return rng.poisson(np.repeat(rate / steps, steps, axis=1)).astype(np.float64)


def _withhold(touches: Float, channel: str | None, closed: NDArray[np.bool_]) -> Float:
    out = touches.copy()
    out[closed, :, [name.name for name in CHANNELS].index(str(channel))] = 0.0
    return out


def _without_channels(
    scenario: ContractualScenario, traits: _Traits, *, rng: np.random.Generator
) -> dict[str, Any]:
    """Odds of leaving and mean spend per step when no channel acts."""
    x, v, steps = traits.x[:, None], traits.v[:, None], scenario.substeps
    log_odds = LEAVING["constant"] + LEAVING["x"] * x + LEAVING["problem"] * traits.problem
    log_odds = log_odds + LEAVING["u"] * traits.u + LEAVING["v"] * v - np.log(steps)
    log_odds = log_odds + LEAVING["season"] * traits.season
    log_mean = SPEND["constant"] + SPEND["x"] * x + SPEND["problem"] * traits.problem
    log_mean = log_mean + SPEND["u"] * traits.u + SPEND["v"] * v - np.log(steps)
    log_mean = log_mean + SPEND["season"] * traits.season
    if scenario.spend_frailty:
        log_mean = log_mean + rng.normal(0.0, scenario.spend_frailty, (len(x), 1))
    return {
        "odds": np.repeat(np.exp(log_odds), steps, axis=1),
        "mean": np.repeat(np.exp(log_mean), steps, axis=1),
        "entry": traits.entry * steps,
    }


def _effects(scenario: ContractualScenario, touches: Float, scale: Float) -> dict[str, Any]:
    stocks = stocks_of(touches, steps=scenario.substeps, decay=scenario.decay)
    if scenario.saturation:
        level = np.float32(SATURATION)
        stocks = -level * np.expm1(-stocks / level)
    stocks = stocks * scale[:, None, None].astype(np.float32) * np.float32(scenario.effects)
    return {
        "hazard_effect": stocks * column(CHANNELS, "beta").astype(np.float32),
        "spend_effect": stocks * column(CHANNELS, "gamma").astype(np.float32),
    }


def _live(outcome: _Outcome, steps: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Float]:
    """The step in which each customer leaves (the number of steps: stays), and spend by month."""
    n, fine = outcome.odds.shape
    odds = outcome.odds * np.exp(outcome.hazard_effect.sum(axis=2))
    before = np.arange(fine) < outcome.entry[:, None]
    left = (rng.random((n, fine)) < odds / (1.0 + odds)) & ~before
    exit_step = np.where(left.any(axis=1), left.argmax(axis=1), fine)
    mean = outcome.mean * np.exp(outcome.spend_effect.sum(axis=2))
    shape = SPEND_SHAPE / steps
    spend = rng.gamma(shape, mean / shape)
    spend[before | (np.arange(fine) > exit_step[:, None])] = 0.0
    return exit_step, spend.reshape(n, -1, steps).sum(axis=2)


def _panel(
    scenario: ContractualScenario,
    traits: _Traits,
    *,
    touches: Float,
    spend: Float,
    exit_step: NDArray[np.int64],
    rng: np.random.Generator,
) -> Panel:
    n, periods = traits.u.shape
    steps = scenario.substeps
    kept = touches * (np.arange(periods * steps) <= exit_step[:, None])[:, :, None]
    monthly = kept.reshape(n, periods, steps, -1).sum(axis=2)
    exit_ = exit_step // steps
    problems = traits.problem * traits.entered * (np.arange(periods) <= exit_[:, None])
    own = [k for k, channel in enumerate(CHANNELS) if channel.origin == "customer"]
    r = scenario.proxy_correlation
    first = traits.u[np.arange(n), traits.entry][:, None]
    proxy = np.zeros((n, 0)) if r is None else r * first + np.sqrt(1 - r**2) * rng.standard_normal((n, 1))
    return Panel(
        channels=tuple(channel.name for channel in CHANNELS),
        groups=tuple(channel.group for channel in CHANNELS),
        origins=tuple(channel.origin for channel in CHANNELS),
        touches=monthly.astype(np.float32),
        own_acts=monthly[:, :, own].sum(axis=2) + problems,
        problems=problems,
        spend=spend,
        purchases=(spend > 0).astype(np.float64),
        entry=traits.entry,
        exit=exit_,
        covariates=traits.x[:, None],
        covariate_names=("x",),
        proxies=proxy,
        proxy_names=() if r is None else ("z",),
        exit_share=None if steps == 1 else np.where(exit_ < periods, (exit_step % steps + 1) / steps, 1.0),
    )


def _contrast(
    scenario: ContractualScenario, off: dict[str, Any], potential: Float, scale: Float
) -> dict[str, float]:
    """True difference per customer between the experiment's channel open to all and withheld from all."""
    values = _Outcome(**off, **_effects(scenario, potential, scale)).values()
    k = [channel.name for channel in CHANNELS].index(str(scenario.experiment))
    per_customer = (values[:, -1] - values[:, values.shape[1] - 1 - (1 << k)]) / len(scale)
    return {"retention": float(per_customer[0]), "spend": float(per_customer[1])}


def _parameters(scenario: ContractualScenario) -> dict[str, object]:
    return {
        **effect_parameters(CHANNELS, switch=float(scenario.effects), decay=scenario.decay),
        "leaving": LEAVING,
        "spend": SPEND,
        "persistence": scenario.persistence,
    }
