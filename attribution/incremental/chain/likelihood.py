"""Log-likelihood of the chain at a vector of parameters, customer by customer, with scores."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.design import ChainInputs
from attribution.incremental.chain.emissions import FLAG
from attribution.incremental.chain.layout import CHAIN_PARAMETERS, Layout
from attribution.incremental.chain.leaving import AFTER_PURCHASE
from attribution.incremental.chain.passes import chain_paths, chain_slopes
from attribution.incremental.chain.states import FEATURES, LivingStates, Structure, living_states
from attribution.incremental.cores import by_customers
from histories.arrays import Flags, Float

MAX_PREDICTOR = 30.0
"""Bound on every linear predictor: a wild step must not overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The likelihood at one vector of parameters. N customers, p parameters."""

    loglik: Float
    """Of each customer, shape (N,)."""
    scores: Float
    """Slopes of it, shape (N, p)."""
    staying: Float
    """Chance of being there at the end in each living state, shape (N, J)."""
    weight: Float
    """Chance of each living state at entry given all that was seen, shape (N, J); where states last, of the
    state."""
    by_odds: Float
    """Slope by the log-odds of leaving, shape (N, P)."""
    by_felt: Float
    """The same of states that feel their stocks, shape (N, P)."""
    by_buying: Float
    """Slope by the predictor of purchases or spend, shape (N, P)."""
    by_shift: Float
    """Slope by what stocks do otherwise to who leaves in a month, shape (N, P)."""


PARTS = tuple(field.name for field in fields(Value))
"""Names of the parts of a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Parameters in the form in which the compiled passes take them (see `chain_slopes`)."""

    states: LivingStates
    odds: Float
    resting: NDArray[np.int64]
    eta: Float
    push: Float
    lift: Float
    shape: Float
    extra: Float
    first: Float
    kinds: NDArray[np.int64]
    shift: Float
    after: float
    bought: Float
    last_sign: Float
    """As in `ChainInputs`, the part of the month in which the moment of leaving may lie, `sign`, (N, 4)."""
    residual: Float
    """Of the proxies, in standard deviations, 0 where missing, shape (N, J proxies, J states)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """What is maximised: the inputs under a structure."""

    inputs: ChainInputs
    structure: Structure
    layout: Layout

    @staticmethod
    def of(inputs: ChainInputs, structure: Structure) -> Likelihood:
        """The likelihood of these inputs under a structure."""
        return Likelihood(inputs=inputs, structure=structure, layout=Layout.of(inputs, structure))

    def of_customers(self, rows: slice) -> Likelihood:
        """That of some of the customers."""
        return replace(self, inputs=self.inputs.rows(rows))

    def odds(self, theta: Float) -> Float:
        """Log-odds of leaving but for the state, shape (N, P)."""
        odds: Float = self.inputs.leaving.predict(theta[self.layout.linear(0)]) + self.inputs.leaving_offset
        if self.structure.after_purchase:
            odds = odds - self.later_acts @ theta[self.layout.effects(0, self.inputs.channels)]
        return odds

    def buying(self, theta: Float) -> Float:
        """Coefficients of purchases or spend.

        Where acts follow the month's purchases, what acts of the month add to stocks has no effect on them.
        """
        coefficients = np.array(theta[self.layout.linear(1)])
        if self.follows_purchases:
            start, channels = self.layout.linear(1).start, self.inputs.channels
            effects, beside = self.layout.effects(1, channels), self.layout.beside(channels)
            of_acts = np.flatnonzero(self.inputs.acting) - start
            coefficients[beside.start + of_acts] = -coefficients[effects.start + of_acts]
        return coefficients

    @property
    def purchases_first(self) -> bool:
        """Whether purchases follow the stocks of earlier months alone.

        Where the order of events is known stocks hold no touches of the month that follow its purchases.
        """
        return self.structure.follows and not self.inputs.ordered

    @property
    def follows_purchases(self) -> bool:
        """Whether acts follow the month's purchases, instead of the other way round; leaving is silent."""
        return self.purchases_first and self.inputs.silent

    @property
    def bought(self) -> Float:
        """Purchases after which a customer may leave, shape (N, P)."""
        bought = self.inputs.values[:, :, 0]
        return np.ascontiguousarray(bought) if self.structure.after_purchase else np.zeros(bought.shape)

    def after(self, theta: Float) -> float:
        """How much higher the log-odds of leaving are after a purchase."""
        return float(theta[self.layout.after_purchase]) if self.structure.after_purchase else 0.0

    def felt(self, theta: Float) -> Float:
        """What the channel stocks do to the log-odds of leaving, shape (N, P)."""
        effect: Float = self.felt_stocks @ theta[self.layout.effects(0, self.inputs.channels)]
        return effect

    @property
    def felt_stocks(self) -> Float:
        """Channel stocks that leaving follows, shape (N, P, C).

        After a purchase it follows those before: acts of the month that came later are of those who stayed.
        """
        stocks = self.inputs.leaving.cells[:, :, : self.inputs.channels]
        return stocks - self.later_acts if self.structure.after_purchase else stocks

    @property
    def later_acts(self) -> Float:
        """What acts add to stocks in months with purchases after which a customer may leave, (N, P, C)."""
        return (self.bought > 0)[:, :, None] * self.inputs.new_stocks * self.inputs.acting

    def resting(self, states: LivingStates) -> NDArray[np.int64]:
        """1 for states in which stocks do nothing to leaving: customers who pause, shape (J,)."""
        return (states.features[:, 2] * self.structure.asleep).astype(np.int64)

    def states(self, theta: Float) -> LivingStates:
        """The living states at these parameters."""
        return living_states(self.structure, theta[self.layout.chain], theta[self.layout.masses])


def evaluate(problem: Likelihood, theta: Float) -> Value:
    """Log-likelihood and scores of every customer."""
    states = problem.states(theta)
    found = by_customers(
        lambda rows: _evaluate(problem.of_customers(rows), theta, states), problem.inputs.n_customers
    )
    return Value(**dict(zip(PARTS, found, strict=True)))


def _evaluate(problem: Likelihood, theta: Float, states: LivingStates) -> tuple[NDArray[np.float64], ...]:
    """The parts of a value, of so many customers as are passed at once."""
    inputs, layout = problem.inputs, problem.layout
    given = arguments(problem, theta, states)
    found = chain_slopes(states.features, states.move_slopes, *_passed(problem, given))
    (
        loglik,
        by_odds,
        by_eta,
        by_push,
        by_lift,
        by_shape,
        by_extra,
        by_first,
        by_moves,
        by_shift,
        by_after,
        staying,
    ) = found
    all_odds = by_odds.sum(axis=2)
    scores = np.empty((inputs.n_customers, layout.size))
    scores[:, layout.linear(0)] = inputs.leaving.scores(all_odds)
    by_effect = scores[:, layout.effects(0, inputs.channels)]
    if problem.structure.after_purchase:
        by_effect -= np.einsum("np,npc->nc", all_odds, problem.later_acts)
    if problem.structure.asleep:
        by_effect -= np.einsum("np,npc->nc", by_odds[:, :, 1], problem.felt_stocks)
    if len(inputs.moments):
        by_effect += np.einsum("np,npc->nc", by_shift, on_leaving(problem))
    if problem.structure.after_purchase:
        scores[:, layout.after_purchase] += by_after
    for k, columns in enumerate(inputs.columns):
        scores[:, layout.linear(k + 1)] = columns.scores(by_eta[:, :, k])
    if problem.follows_purchases:
        effects, beside = layout.effects(1, inputs.channels), layout.beside(inputs.channels)
        scores[:, effects] -= scores[:, beside] * inputs.acting
    scores[:, layout.loadings] = np.concatenate([by_push[:, None], by_lift], axis=1).reshape(len(scores), -1)
    scores[:, layout.shapes] = by_shape * given.shape
    scores[:, layout.extra] = by_extra * given.extra
    by_chain = by_first @ states.first_slopes.T + by_moves
    scores[:, layout.chain] = by_chain[:, :CHAIN_PARAMETERS]
    scores[:, layout.masses] = by_chain[:, CHAIN_PARAMETERS:]
    if layout.proxies:
        lines, log_density = _line_slopes(given, theta[layout.lines].reshape(-1, 3), by_first)
        scores[:, layout.lines] = lines
        loglik = loglik + log_density
    felt = by_odds[:, :, 0] if problem.structure.asleep else all_odds
    return loglik, scores, staying, by_first, all_odds, felt, by_eta[:, :, 0], by_shift


def elasticity(problem: Likelihood, theta: Float) -> float:
    """Relative change of expected purchases per relative change of their rate; 1 unless they are regular.

    Mean over the months in which customers are known to be there, weighted with expected purchases, at each
    customer's mean level given all of these months and at average satisfaction.
    """
    if not problem.structure.regular:
        return 1.0
    inputs, given = problem.inputs, arguments(problem, theta)
    t = np.arange(inputs.values.shape[1])
    there = (t >= inputs.entry[:, None]) & (t <= np.minimum(inputs.low, inputs.end)[:, None])
    rate = np.exp(given.eta[:, :, 0]) * there
    level = (given.shape[0] + (inputs.values[:, :, 0] * there).sum(axis=1)) / (
        given.shape[0] + rate.sum(axis=1)
    )
    mean = np.maximum(rate * level[:, None], 1e-9)
    _, delta, phi, zeta = given.extra[:4]

    def expected(m: Float) -> Float:
        often = zeta * m
        value: Float = -np.expm1(-phi * m**delta) * often / -np.expm1(-often)
        return value

    step = 1e-4
    slopes = (expected(mean * (1.0 + step)) - expected(mean * (1.0 - step))) / (2.0 * step)
    return float((slopes * there).sum() / (expected(mean) * there).sum())


def draw_paths(
    problem: Likelihood, theta: Float, *, uniform: Float
) -> tuple[NDArray[np.int64], NDArray[np.int64], Float, LivingStates]:
    """States of lives drawn from the posterior (see `chain_paths`), and the states' features."""
    given = arguments(problem, theta)
    path, last, alive = chain_paths(uniform, *_passed(problem, given))
    return path, last, alive, given.states


def _passed(problem: Likelihood, given: Arguments) -> tuple[Any, ...]:
    """What both compiled passes take, in their order."""
    inputs = problem.inputs
    return (
        inputs.entry,
        inputs.end,
        inputs.low,
        inputs.high,
        inputs.stays,
        given.odds,
        given.resting,
        given.push,
        given.kinds,
        inputs.values,
        given.eta,
        given.lift,
        given.shape,
        given.extra,
        given.first,
        given.states.moves,
        given.states.block,
        given.last_sign,
        inputs.moments,
        given.shift,
        given.after,
        given.bought,
    )


def arguments(problem: Likelihood, theta: Float, states: LivingStates | None = None) -> Arguments:
    """What the compiled passes take at these parameters, with the living states there if they are known."""
    inputs, layout, structure = problem.inputs, problem.layout, problem.structure
    states = states or problem.states(theta)
    loadings = theta[layout.loadings].reshape(-1, FEATURES)
    kinds = layout.kinds(inputs, structure)
    eta = np.empty(inputs.values.shape)
    for k, columns in enumerate(inputs.columns):
        coefficients = problem.buying(theta) if k == 0 else theta[layout.linear(k + 1)]
        predictor = columns.predict(coefficients) + inputs.offset
        eta[:, :, k] = np.clip(predictor, -MAX_PREDICTOR, MAX_PREDICTOR)
    by_state = loadings[1:] @ states.features.T
    lift = np.where(
        (kinds == FLAG)[:, None], by_state, np.exp(np.clip(by_state, -MAX_PREDICTOR, MAX_PREDICTOR))
    )
    odds = problem.odds(theta)
    lines = theta[layout.lines].reshape(-1, 3)
    u = states.features[:, 0]
    residual = (inputs.proxies[:, :, None] - lines[:, 0, None] - lines[:, 1, None] * u) / np.exp(
        lines[:, 2, None]
    )
    residual = np.nan_to_num(residual)
    return Arguments(
        states=states,
        odds=np.clip(np.stack([odds, odds - problem.felt(theta)], axis=2), -MAX_PREDICTOR, MAX_PREDICTOR),
        resting=problem.resting(states),
        eta=eta,
        push=np.ascontiguousarray(states.features @ loadings[0]),
        lift=np.ascontiguousarray(lift),
        shape=np.exp(theta[layout.shapes]),
        extra=np.exp(theta[layout.extra]),
        first=states.log_first - 0.5 * (residual**2).sum(axis=1),
        kinds=kinds,
        shift=_shift(problem, theta),
        after=problem.after(theta),
        bought=problem.bought,
        last_sign=np.column_stack([inputs.last_sign, _left(problem), inputs.sign]),
        residual=residual,
    )


def _sated(problem: Likelihood) -> Flags:
    """Who, if gone in the month of the last sign, left after a purchase, shape (N,)."""
    inputs = problem.inputs
    last = problem.bought[np.arange(inputs.n_customers), np.minimum(inputs.low, inputs.end)]
    return np.asarray((last > 0) & (inputs.sign == AFTER_PURCHASE))


def _left(problem: Likelihood) -> Float:
    """Part of that month in which the moment of leaving may lie, shape (N,); none if it is the purchase's."""
    return np.where(_sated(problem), 0.0, 1.0 - problem.inputs.last_sign[:, 0])


def on_leaving(problem: Likelihood) -> Float:
    """Stocks of who leaves in a month, less those of who stays, shape (N, P, C)."""
    inputs, stocks = problem.inputs, problem.inputs.on_leaving
    if not problem.structure.after_purchase or not len(inputs.moments):
        return stocks
    at_once = _sated(problem)[:, None] & (np.arange(stocks.shape[1]) == inputs.low[:, None])
    return np.where(at_once[:, :, None], 0.0, stocks)


def _shift(problem: Likelihood, theta: Float) -> Float:
    """What these stocks add to the log-odds, shape (N, P)."""
    inputs = problem.inputs
    if not len(inputs.moments):
        return np.zeros(inputs.offset.shape)
    shift: Float = on_leaving(problem) @ theta[problem.layout.effects(0, inputs.channels)]
    return shift


def _line_slopes(given: Arguments, lines: Float, by_first: Float) -> tuple[Float, Float]:
    """Scores of the proxies' lines, shape (N, 3 J), and the part of their log-density no state enters."""
    known = (given.residual != 0.0).any(axis=2)
    spread = np.exp(lines[:, 2])
    weighted = by_first[:, None, :] * given.residual
    by_constant = weighted.sum(axis=2) / spread
    by_slope = (weighted * given.states.features[:, 0]).sum(axis=2) / spread
    by_spread = (weighted * given.residual).sum(axis=2) - known
    slopes = np.stack([by_constant, by_slope, by_spread], axis=2)
    return slopes.reshape(len(slopes), -1), -(known * lines[:, 2]).sum(axis=1)
