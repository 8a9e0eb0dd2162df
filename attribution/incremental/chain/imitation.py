"""Customers simulated from a fitted chain without recorded leaving: from scratch, or from where they stand.

Month by month: the customer's own acts, then purchases, then leaving; of who leaves within the month, what
came before that moment. What the firm does is kept as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from attribution.incremental.chain.design import other_acts
from attribution.incremental.chain.emissions import BURST, SPLIT
from attribution.incremental.chain.fitted import HiddenChainFit
from attribution.incremental.chain.likelihood import Arguments, Likelihood, arguments, draw_paths
from attribution.incremental.stocks import (
    carried_on,
    carried_stocks,
    earlier_stocks,
    kept_stocks,
    ticks_of,
)
from histories.arrays import Flags, Float, Single
from histories.panel import TICKS, Panel

MOST_LOG_RATE = 6.0
"""Bound on a simulated log rate: what follows purchases must not run away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _People:
    """Customers at the start of a month: who is there, in which state, at which levels of each stream."""

    here: Flags
    state: NDArray[np.int64]
    levels: Float
    stock: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    """Predictors without what is simulated: stocks, the month's touches, purchases of the month before."""

    given: Arguments
    odds: Float
    eta: Float
    after_purchase: Float
    """Coefficient of log(1 + purchases of the month before) of each stream, shape (M,)."""
    after_own: Float
    """The same of its own acts of the month before, shape (M,)."""
    with_purchase: Float
    """The same of purchases of the month itself, shape (M,)."""
    beta: Float
    gamma: Float
    later: Flags
    """Whether acts of each stream come after the month's purchases, shape (M - 1,)."""
    beside: Float
    """Coefficient of what touches of the month itself add to stocks in purchases, shape (C,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """What was done, simulated months included."""

    touches: Single
    ticks: NDArray[np.uint8] | None
    """When, where stocks are by the day of touches (see `Panel.touch_share`)."""
    other: Float
    purchases: Float
    last_moment: Single
    """Share of each simulated month that had passed at its last sign of life, shape (N, P)."""
    last_is_purchase: Flags
    """Whether that was a purchase, shape (N, P)."""


def without_effects(fit: HiddenChainFit, panel: Panel, stocks: Single, *, rng: np.random.Generator) -> Panel:
    """The same customers simulated from the fit with every channel effect set to zero.

    Constants are moved so that leaving and buying stay as frequent as they were. Touches of the customer's
    own stop at dropout as in life: a method that takes proof of life for an effect shows it here.
    """
    problem = fit.likelihood(panel, stocks)
    rates = _rates(fit, problem, panel, stocks)
    t = np.arange(panel.n_periods)
    lived = (t >= problem.inputs.entry[:, None]) & (t <= problem.inputs.low[:, None])
    pushes = _felt(fit, panel, stocks) @ np.stack([rates.beta, rates.gamma], axis=1)
    mean = (pushes * lived[:, :, None]).sum(axis=(0, 1)) / lived.sum()
    eta = rates.eta.copy()
    eta[:, :, 0] += mean[1]
    rates = replace(
        rates,
        odds=rates.odds + mean[0],
        eta=eta,
        beta=np.zeros_like(fit.beta),
        gamma=np.zeros_like(fit.beta),
        beside=rates.beside * ~(problem.inputs.acting & problem.follows_purchases),
    )
    n = panel.n_customers
    first = np.exp(rates.given.first - rates.given.first.max(axis=1, keepdims=True))
    people = _People(
        here=np.ones(n, dtype=bool),
        state=_pick(first, rng),
        levels=_prior_levels(rates.given, n, rng),
        stock=np.zeros((n, panel.n_channels)),
    )
    history = _live(fit, panel, rates, people, 0, rng)
    acts = history.touches[:, :, np.array(fit.design.acting)].sum(axis=2) + history.other
    purchases = history.purchases
    return replace(
        panel,
        touches=history.touches,
        touch_share=history.ticks,
        own_acts=acts,
        purchases=purchases,
        spend=purchases * fit.design.mean_spend,
        margin=None,
        last_moment=history.last_moment,
        last_is_purchase=history.last_is_purchase,
    )


def onwards(
    fit: HiddenChainFit, panel: Panel, past: Panel, stocks: Single, *, rng: np.random.Generator
) -> tuple[Float, Flags]:
    """Purchases of each month after `past`, (N, months), and whether a customer buys or acts in any, (N,).

    Parameters
    ----------
    fit
        Fitted to `past`.
    panel, past
        The same customers with all months, and with the first ones.
    stocks
        Decayed stocks of all months, shape (N, P, C).
    rng
        Draws lives, levels and what comes.
    """
    cut = past.n_periods
    known = _as_known(panel, cut)
    rates = _rates(fit, fit.likelihood(known, stocks), known, stocks)
    problem = fit.likelihood(past, stocks[:, :cut])
    uniform = rng.random((2, past.n_customers, cut + 1))
    path, _, alive, states = draw_paths(problem, fit.theta, uniform=uniform)
    people = _People(
        here=rng.random(past.n_customers) < alive,
        state=_pick(states.moves[path[0, :, -1]], rng),
        levels=_posterior_levels(problem, arguments(problem, fit.theta), path[0], rng),
        stock=carried_stocks(past, decay=np.array(fit.design.decays), by_day=fit.design.by_day),
    )
    history = _live(fit, known, rates, people, cut, rng)
    acts = history.touches[:, cut:, np.array(fit.design.acting)].sum(axis=(1, 2)) + history.other[
        :, cut:
    ].sum(axis=1)
    purchases = history.purchases[:, cut:]
    return purchases, (purchases.sum(axis=1) + acts) > 0


def _rates(fit: HiddenChainFit, problem: Likelihood, panel: Panel, stocks: Single) -> _Rates:
    layout = problem.layout
    given = arguments(problem, fit.theta)
    past = np.zeros((panel.n_customers, panel.n_periods))
    past[:, 1:] = np.log1p(np.asarray(panel.purchases)[:, :-1])
    again, after, along = np.zeros((3, layout.streams))
    for k in range(1, layout.streams):
        again[k], after[k], along[k] = fit.theta[layout.cells(k + 1)][:3]
    eta = given.eta - past[:, :, None] * after
    eta -= np.log1p(np.asarray(panel.purchases, dtype=np.float64))[:, :, None] * along
    eta[:, 1:] -= np.log1p(problem.inputs.values[:, :-1]) * again
    pushes = _felt(fit, panel, stocks)
    gamma = fit.theta[layout.effects(1, panel.n_channels)]
    cells = problem.buying(fit.theta)[layout.cells(1).start - layout.linear(1).start :]
    beside = cells[panel.n_channels : 2 * panel.n_channels]
    eta[:, :, 0] -= pushes @ gamma + problem.inputs.new_stocks @ beside
    return _Rates(
        given=given,
        odds=given.odds[:, :, 1] - given.after * (problem.inputs.values[:, :, 0] > 0),
        eta=eta,
        after_purchase=after,
        after_own=again,
        with_purchase=along,
        beta=fit.beta,
        gamma=gamma,
        later=problem.inputs.reacting & fit.structure.follows,
        beside=beside,
    )


def _felt(fit: HiddenChainFit, panel: Panel, stocks: Single) -> Float:
    return earlier_stocks(panel, stocks, decay=np.array(fit.design.decays), by_day=fit.design.by_day)


def _live(
    fit: HiddenChainFit, panel: Panel, rates: _Rates, people: _People, begin: int, rng: np.random.Generator
) -> _History:
    """Months from `begin` on; those before stay as they were."""
    own = np.flatnonzero(fit.design.acting)
    touches = np.array(panel.touches, dtype=np.float32)
    other = other_acts(panel) if fit.design.other_acts else np.zeros(panel.spend.shape)
    purchases = np.array(panel.purchases, dtype=np.float64)
    last_moment = np.zeros(panel.spend.shape, dtype=np.float32)
    last_is_purchase = np.zeros(panel.spend.shape, dtype=bool)
    entering = (np.arange(panel.n_periods) == panel.entry[:, None]) * fit.design.enters_by_purchase
    here, state, carried = people.here, people.state, people.stock
    log_lift = np.log(rates.given.lift)
    later = rates.later
    decay = np.array(fit.design.decays)
    known = ticks_of(panel, by_day=fit.design.by_day)
    ticks = None if known is None else np.array(known)

    def added(t: int) -> Float:
        return fit.design.new_stocks(panel, touches[:, t], None if ticks is None else ticks[:, t], t)

    for t in range(begin, panel.n_periods):
        active = here & (t >= panel.entry)
        before = np.log1p(purchases[:, t - 1]) if t else np.zeros(len(here))
        log_rate = rates.eta[:, t] + before[:, None] * rates.after_purchase + log_lift[:, state].T
        if t:
            same = np.column_stack(
                [touches[:, t - 1, own], *([other[:, t - 1]] if fit.design.other_acts else [])]
            )
            log_rate[:, 1:] += np.log1p(same) * rates.after_own[1:]
        burst = _bursts(fit, rates.given, len(here), rng)
        kept = kept_stocks(panel, carried, decay=decay, by_day=fit.design.by_day)
        bought = np.zeros(len(here))
        acts = np.zeros((len(here), len(later)), dtype=np.int64)
        for what in (~later, "purchases", later):
            if not isinstance(what, str):
                follow = np.log1p(bought + entering[:, t])[:, None] * rates.with_purchase[1:]
                log_act = np.minimum(log_rate[:, 1:] + follow, MOST_LOG_RATE)
                mean = np.exp(log_act) * people.levels[:, 1:] * burst[:, 1:] * active[:, None]
                acts[:, what] = rng.poisson(mean[:, what])
                touches[:, t, own] = acts[:, : len(own)]
                if ticks is not None:
                    ticks[:, t, own] = _mean_moments(touches[:, t, own], rng)
            else:
                new = added(t)
                pushed = log_rate[:, 0] + (kept + new) @ rates.gamma + new @ rates.beside
                mean = np.exp(np.minimum(pushed, MOST_LOG_RATE)) * people.levels[:, 0] * burst[:, 0]
                bought = _purchases(fit, mean, rates.given.extra, rng) * active
        stock = kept + added(t)
        if fit.structure.after_purchase:
            stock[:, own] = np.where((bought > 0)[:, None], kept[:, own], stock[:, own])
        felt = stock @ rates.beta * (1 - rates.given.resting[state])
        odds = rates.odds[:, t] + felt + rates.given.push[state]
        sated, until = _after_purchase(fit, odds + rates.given.after, bought, rng)
        leaves = active & (sated | (rng.random(len(here)) < expit(odds)))
        lived, until = _last_moments(panel, leaves, sated, bought, until, rng)
        acts[leaves] = rng.binomial(acts[leaves], lived[leaves, None])
        bought = np.where(leaves, until, bought)
        touches[:, t, own] = acts[:, : len(own)]
        if ticks is not None:
            within = np.where(leaves, lived, 1.0)[:, None] * (touches[:, t, own] > 0)
            ticks[:, t, own] = (ticks[:, t, own] * within).astype(np.uint8)
        purchases[:, t] = bought + entering[:, t]
        if fit.design.other_acts:
            other[:, t] = acts[:, len(own)]
        signs = acts.sum(axis=1) + bought
        latest = np.where(sated, lived, lived * rng.random(len(here)) ** (1.0 / np.maximum(signs, 1.0)))
        last_moment[:, t] = np.where(signs > 0, latest, 0.0)
        last_is_purchase[:, t] = sated | (rng.random(len(here)) * np.maximum(signs, 1.0) < bought)
        when = None if ticks is None else ticks[:, t]
        left = carried_on(panel, touches[:, t], decay=decay, by_day=fit.design.by_day, ticks=when)
        carried = decay * carried + left
        here = here & ~leaves
        if not fit.structure.static:
            state = np.where(active, _pick(rates.given.states.moves[state], rng), state)
    return _History(
        touches=touches,
        ticks=ticks,
        other=other,
        purchases=purchases,
        last_moment=last_moment,
        last_is_purchase=last_is_purchase,
    )


def _mean_moments(counts: Single, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Mean moments of so many acts at any time of a month, nearly: of mean 1/2 and variance 1 / (12 N)."""
    shape = 0.5 * (3.0 * np.maximum(counts, 1.0) - 1.0)
    return np.where(counts > 0, np.rint(TICKS * rng.beta(shape, shape)), 0.0).astype(np.uint8)


def _after_purchase(
    fit: HiddenChainFit, odds: Float, bought: Float, rng: np.random.Generator
) -> tuple[Flags, Float]:
    """Who leaves after a purchase of the month, and purchases until then."""
    if not fit.structure.after_purchase:
        return np.zeros(len(odds), dtype=bool), bought
    which = rng.geometric(np.clip(expit(odds), 1e-9, 1.0)).astype(np.float64)
    return which <= bought, np.minimum(which, bought)


def _last_moments(
    panel: Panel, leaves: Flags, sated: Flags, bought: Float, until: Float, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Part of the month that each customer lived through, and purchases until then.

    Who is `sated` leaves at the moment of purchase number `until`, others at any.
    """
    n = len(bought)
    if not panel.at_any_moment:
        return np.ones(n), bought
    moment = rng.beta(np.maximum(until, 1.0), np.maximum(bought - until, 0.0) + 1.0)
    lived = np.where(leaves, np.where(sated, moment, rng.random(n)), 1.0)
    return lived, np.where(sated, until, rng.binomial(bought.astype(np.int64), lived))


def _purchases(fit: HiddenChainFit, mean: Float, extra: Float, rng: np.random.Generator) -> Float:
    if not fit.structure.regular:
        return np.asarray(rng.poisson(mean), dtype=np.float64)
    none = np.exp(-extra[2] * np.maximum(mean, 1e-12) ** extra[1])
    often = extra[3] * np.maximum(mean, 1e-12)
    some = np.exp(-often) + (1.0 - np.exp(-often)) * rng.random(len(mean))
    return np.where(rng.random(len(mean)) < none, 0.0, np.maximum(stats.poisson.ppf(some, often), 1.0))


def _bursts(fit: HiddenChainFit, given: Arguments, n: int, rng: np.random.Generator) -> Float:
    """What a month does to the rate of each stream, mean 1, shape (n, M)."""
    factors = np.ones((n, len(given.kinds)))
    for c in np.flatnonzero(given.kinds == BURST):
        variance = np.exp(fit.theta[fit.layout.bursts][c])
        factors[:, c] = rng.gamma(1.0 / variance, variance, n)
    return factors


def _prior_levels(given: Arguments, n: int, rng: np.random.Generator) -> Float:
    """Levels of every stream, shape (N, M)."""
    shape = given.shape
    levels = rng.gamma(shape[:-1], 1.0 / shape[:-1], (n, len(given.kinds)))
    shared = rng.gamma(shape[-1], 1.0 / shape[-1], n)
    levels[:, given.kinds == SPLIT] *= shared[:, None]
    return np.asarray(levels)


def _posterior_levels(
    problem: Likelihood, given: Arguments, path: NDArray[np.int64], rng: np.random.Generator
) -> Float:
    """Levels of every stream given the past along one path of states, shape (N, M)."""
    inputs, shape = problem.inputs, given.shape
    t = np.arange(inputs.values.shape[1])
    there = (t >= inputs.entry[:, None])[:, :, None]
    rate = np.exp(given.eta) * np.moveaxis(given.lift[:, path], 0, 2) * there
    count, exposure = (inputs.values * there).sum(axis=1), rate.sum(axis=1)
    split = given.kinds == SPLIT
    shared = np.ones(len(count))
    if split.any():
        own = (shape[:-1] + count) / (shape[:-1] + exposure)
        total, whole = count[:, split].sum(axis=1), (own * exposure)[:, split].sum(axis=1)
        shared = rng.gamma(shape[-1] + total) / (shape[-1] + whole)
    exposure = np.where(split, exposure * shared[:, None], exposure)
    levels = rng.gamma(shape[:-1] + count) / (shape[:-1] + exposure)
    return np.asarray(np.where(split, levels * shared[:, None], levels))


def _pick(weights: Float, rng: np.random.Generator) -> NDArray[np.int64]:
    """One column of each row by its weight, shape (N,)."""
    total = np.cumsum(weights, axis=1)
    threshold = rng.random(len(total)) * total[:, -1]
    found = (total < threshold[:, None]).sum(axis=1)
    return np.asarray(np.minimum(found, weights.shape[1] - 1), dtype=np.int64)


def _as_known(panel: Panel, cut: int) -> Panel:
    """The panel with problems and changing covariates as they were known at the cut."""
    problems = np.array(panel.problems)
    problems[:, cut:] = 0.0
    changed: dict[str, Any] = {"problems": problems}
    if panel.time_covariates is not None:
        changing = np.array(panel.time_covariates)
        changing[:, cut:] = changing[:, cut - 1 : cut]
        changed["time_covariates"] = changing
    return replace(panel, **changed)
