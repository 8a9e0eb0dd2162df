"""The likelihood of the hidden chain against brute force, and its slopes against differences."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import digamma as exact_digamma
from scipy.special import expit, gammaln, logsumexp

from attribution.incremental import cores
from attribution.incremental.chain.design import ChainDesign, ChainInputs
from attribution.incremental.chain.emissions import AMOUNT, COUNT, FLAG, digamma
from attribution.incremental.chain.leaving import UNKNOWN
from attribution.incremental.chain.likelihood import (
    PARTS,
    Likelihood,
    arguments,
    draw_paths,
    elasticity,
    evaluate,
)
from attribution.incremental.chain.start import crude_rates
from attribution.incremental.chain.states import FEATURES, Structure, living_states, nodes, rouwenhorst
from attribution.incremental.stocks import panel_stocks
from benchmarks.panels.simulate import simulate_panel

Array = NDArray[np.float64]

ALIKE = float(np.log(1e9))
"""Log shape of levels that are all one."""
STRUCTURES = {
    "none": Structure(),
    "lasting": Structure(nodes=3),
    "own levels": Structure(nodes=3, shared=False),
    "drifting": Structure(nodes=3, drift=True),
    "quiet": Structure(nodes=2, quiet=True),
    "all": Structure(nodes=3, drift=True, quiet=True, shared=False),
    "second": Structure(nodes=2, second=True),
    "second, drifting": Structure(nodes=2, drift=True, second=True),
    "follows": Structure(follows=True),
    "free": Structure(nodes=3, free_masses=True),
    "frail": Structure(nodes=3, leaving_only=True),
    "pauses": Structure(nodes=2, quiet=True, asleep=True),
    "regular": Structure(nodes=2, regular=True),
    "bursts": Structure(nodes=2, bursts=True, shared=False),
    "after purchase": Structure(nodes=2, after_purchase=True),
}


def problem_of(
    scenario: str, structure: Structure, *, n: int = 12, periods: int = 6, seed: int = 1
) -> tuple[Likelihood, Array]:
    """A small company under a structure, and parameters off the crude rates."""
    panel = simulate_panel(scenario, n=n, periods=periods, seed=seed).panel
    inputs = ChainDesign.learn(panel, decay=0.6).inputs(panel, panel_stocks(panel))
    problem = Likelihood.of(inputs, structure)
    theta = crude_rates(problem, np.ones(n))
    theta = theta + 0.2 * np.random.default_rng(seed).normal(size=len(theta))
    return problem, np.clip(theta, *problem.layout.bounds())


def assert_slopes(problem: Likelihood, theta: Array) -> None:
    """Scores are central differences of each customer's log-likelihood, along twelve steps.

    Each parameter moves in one of them, by a weight of its own: wrong scores do not make up for each other.
    """
    free = np.flatnonzero(problem.layout.free(problem.inputs, problem.structure))
    scores = evaluate(problem, theta).scores
    weights = np.random.default_rng(7).uniform(0.5, 1.5, len(free))
    for first in range(12):
        step = np.zeros_like(theta)
        step[free[first::12]] = weights[first::12]
        above, below = (evaluate(problem, theta + sign * 1e-5 * step).loglik for sign in (1.0, -1.0))
        np.testing.assert_allclose(scores @ step, (above - below) / 2e-5, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("scenario", ["hidden_staggered", "r7"])
def test_scores_are_the_slopes_of_each_customers_likelihood(scenario, name):
    problem, theta = problem_of(scenario, STRUCTURES[name])
    assert_slopes(problem, theta)


@pytest.mark.parametrize("name", ["own levels", "drifting"])
def test_scores_are_the_slopes_where_some_months_have_no_amount(name: str) -> None:
    problem, theta = problem_of("r7", STRUCTURES[name])
    values = problem.inputs.values.copy()
    values[::2, 1::3, 0] = 0.0
    problem = replace(problem, inputs=replace(problem.inputs, values=values))
    assert problem.inputs.kinds[0] == AMOUNT
    assert_slopes(problem, theta)


def at_any_moment(structure: Structure, *, timed: bool = True, seed: int = 1) -> tuple[Likelihood, Array]:
    """A small company whose customers leave at any moment of a month, and parameters off the crude rates."""
    panel = simulate_panel("hidden_staggered", n=12, periods=6, seed=seed).panel
    rng = np.random.default_rng(seed)
    signs = (panel.own_acts + panel.purchases) > 0
    moments = np.where(signs, rng.random(signs.shape), 0.0) if timed else None
    bought = (panel.purchases > 0) & (rng.random(signs.shape) < 0.6) if timed else None
    panel = replace(panel, at_any_moment=True, last_moment=moments, last_is_purchase=bought)
    inputs = ChainDesign.learn(panel, decay=0.6).inputs(panel, panel_stocks(panel))
    problem = Likelihood.of(inputs, structure)
    theta = crude_rates(problem, np.ones(12))
    theta = theta + 0.2 * rng.normal(size=len(theta))
    return problem, np.clip(theta, *problem.layout.bounds())


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize(
    "name", ["none", "own levels", "all", "pauses", "regular", "after purchase", "bursts", "follows"]
)
def test_scores_are_the_slopes_where_customers_leave_at_any_moment(name: str, timed: bool) -> None:
    problem, theta = at_any_moment(STRUCTURES[name], timed=timed)
    assert problem.inputs.on_leaving.any()
    assert_slopes(problem, theta)


@pytest.mark.parametrize("shared", [True, False])
def test_lasting_states_have_the_closed_form_over_months_and_nodes(shared):
    problem, theta = problem_of("hidden30", Structure(nodes=3, shared=shared))
    inputs, layout = problem.inputs, problem.layout
    if shared:
        own = theta[layout.shapes][:-1]
        own[inputs.own] = ALIKE
        theta[layout.shapes.start : layout.shapes.stop - 1] = own
    found = evaluate(problem, theta).loglik
    for i in range(inputs.n_customers):
        np.testing.assert_allclose(found[i], closed_form(problem, theta, i), rtol=1e-6)


def closed_form(problem: Likelihood, theta: Array, i: int) -> float:
    """Sum over months of leaving and nodes, levels integrated out at once (negative multinomial)."""
    inputs, layout, structure = problem.inputs, problem.layout, problem.structure
    states = problem.states(theta)
    loadings = theta[layout.loadings].reshape(-1, FEATURES)[:, 0]
    odds = inputs.leaving.predict(theta[layout.linear(0)])[i]
    eta = np.stack([c.predict(theta[layout.linear(k + 1)])[i] for k, c in enumerate(inputs.columns)], axis=1)
    shapes = np.exp(theta[layout.shapes])
    terms = []
    for k, u in enumerate(states.features[:, 0]):
        hazard = expit(odds + loadings[0] * u)
        rates = np.exp(eta + loadings[1:] * u)
        for d in range(inputs.low[i], len(odds) + 1):
            months = slice(inputs.entry[i], min(d + 1, len(odds)))
            life = np.log1p(-hazard[inputs.entry[i] : d]).sum()
            life += np.log(hazard[d]) if d < len(odds) else 0.0
            groups = [[c] for c in range(len(inputs.kinds)) if not (structure.shared and inputs.own[c])]
            if structure.shared:
                groups.append([c for c in range(len(inputs.kinds)) if inputs.own[c]])
            for group in groups:
                shape = shapes[group[0]] if len(group) == 1 else shapes[-1]
                n, mu = inputs.values[i, months][:, group], rates[months][:, group]
                life += gammaln(shape + n.sum()) - gammaln(shape) + shape * np.log(shape)
                life += (n * np.log(mu)).sum() - (shape + n.sum()) * np.log(shape + mu.sum())
            terms.append(states.log_first[k] + life)
    return float(logsumexp(terms))


@pytest.mark.parametrize("structure", [STRUCTURES[name] for name in ("drifting", "quiet", "pauses", "all")])
def test_moving_states_have_the_likelihood_of_all_paths_where_levels_are_one(structure):
    problem, theta = problem_of("hidden30", structure, n=3, periods=4)
    theta[problem.layout.shapes] = ALIKE
    found = evaluate(problem, theta).loglik
    for i in range(problem.inputs.n_customers):
        np.testing.assert_allclose(found[i], all_paths(problem, theta, i), rtol=1e-6)


def all_paths(problem: Likelihood, theta: Array, i: int) -> float:
    """Sum over every path of states and every month of leaving."""
    inputs, layout = problem.inputs, problem.layout
    states = problem.states(theta)
    loadings = theta[layout.loadings].reshape(-1, FEATURES)
    odds = inputs.leaving.predict(theta[layout.linear(0)])[i]
    eta = np.stack([c.predict(theta[layout.linear(k + 1)])[i] for k, c in enumerate(inputs.columns)], axis=1)
    push, lift = states.features @ loadings[0], states.features @ loadings[1:].T
    felt = problem.felt(theta)[i]
    awake = 1.0 - problem.resting(states)
    terms = []
    for d in range(inputs.low[i], len(odds) + 1):
        for path in product(range(len(push)), repeat=min(d + 1, len(odds))):
            value = states.log_first[path[0]]
            for t, j in enumerate(path):
                value += np.log(max(states.moves[path[t - 1], j], 1e-300)) if t else 0.0
                log_mu = eta[t] + lift[j]
                value += (inputs.values[i, t] * log_mu - np.exp(log_mu)).sum()
                hazard = expit(odds[t] - (1.0 - awake[j]) * felt[t] + push[j])
                value += np.log(hazard if t == d else 1.0 - hazard)
            terms.append(value)
    return float(logsumexp(terms))


@pytest.mark.parametrize("name", ["drifting", "all", "regular", "bursts"])
def test_predictive_densities_add_up_to_one_whatever_the_levels(name):
    """Over all counts of two months of one stream, of a customer who is seen to stay."""
    structure = STRUCTURES[name]
    panel = simulate_panel("hidden30", n=1, periods=2, seed=1).panel
    design = replace(ChainDesign.learn(panel, decay=0.6), acting=(True, *(5 * [False])))
    base = design.inputs(panel, panel_stocks(panel))
    total = 0.0
    most = 40
    grid = np.array(list(product(range(most), repeat=2)), dtype=np.float64)
    for stream in range(2):
        values = np.zeros((len(grid), 2, 2))
        values[:, :, stream] = grid
        inputs = repeated(base, values)
        problem = Likelihood.of(inputs, structure)
        theta = crude_rates(problem, np.ones(len(grid)))
        theta[problem.layout.linear(0).start] = -30.0
        theta[problem.layout.linear(1 + stream).start] = np.log(1.2)
        theta[problem.layout.linear(2 - stream).start] = -30.0
        theta[problem.layout.loadings] = 0.4
        theta[problem.layout.extra][:4] = (0.0, 0.3, 0.2, 0.1)
        value = evaluate(problem, theta).loglik - gammaln(grid + 1.0).sum(axis=1)
        total = float(np.exp(value).sum())
        assert total == pytest.approx(1.0, abs=2e-3)


def repeated(inputs: ChainInputs, values: Array) -> ChainInputs:
    """One customer's inputs with many histories."""
    n = len(values)

    def columns(c):
        return replace(c, static=c.static.repeat(n, axis=0), cells=0.0 * c.cells.repeat(n, axis=0))

    return replace(
        inputs,
        leaving=columns(inputs.leaving),
        columns=tuple(columns(c) for c in inputs.columns),
        values=values,
        offset=np.zeros((n, 2)),
        leaving_offset=np.zeros((n, 2)),
        entry=np.zeros(n, dtype=np.int64),
        end=np.ones(n, dtype=np.int64),
        low=np.ones(n, dtype=np.int64),
        high=np.ones(n, dtype=np.int64),
        stays=np.ones(n, dtype=bool),
        last_sign=np.zeros((n, 2)),
        sign=np.full(n, UNKNOWN),
        on_leaving=np.zeros((n, 2, inputs.channels)),
        proxies=np.zeros((n, 0)),
    )


@pytest.mark.parametrize("blank", [False, True])
def test_amounts_are_gamma_with_a_gamma_level_on_their_rate(blank: bool) -> None:
    problem, theta = problem_of("r7", Structure(shared=False), n=6)
    if blank:  # a month without an amount says nothing
        values = problem.inputs.values.copy()
        values[:, 2, 0] = 0.0
        problem = replace(problem, inputs=replace(problem.inputs, values=values))
    inputs, layout = problem.inputs, problem.layout
    assert inputs.kinds[0] == AMOUNT
    nu, shape = np.exp(theta[layout.extra][0]), np.exp(theta[layout.shapes][0])
    eta = inputs.columns[0].predict(theta[layout.linear(1)])
    blind = replace(inputs, kinds=np.where(inputs.kinds == AMOUNT, COUNT, inputs.kinds))
    blind = replace(blind, values=inputs.values * (inputs.kinds != AMOUNT))
    without = theta.copy()
    without[layout.linear(1)] = 0.0
    without[layout.linear(1).start] = -700.0
    rest = evaluate(replace(problem, inputs=blind), np.maximum(without, -700.0)).loglik
    found = evaluate(problem, theta).loglik
    for i in range(inputs.n_customers):
        t = np.arange(inputs.entry[i], inputs.end[i] + 1)
        t = t[inputs.values[i, t, 0] > 0]
        y, mean = inputs.values[i, t, 0], np.exp(eta[i, t])
        a = shape + nu * len(t)
        amounts = (
            gammaln(a) - gammaln(shape) + shape * np.log(shape) - a * np.log(shape + nu * (y / mean).sum())
        )
        amounts += (nu * np.log(nu / mean) + (nu - 1.0) * np.log(y) - gammaln(nu)).sum()
        np.testing.assert_allclose(found[i] - rest[i], amounts, rtol=1e-6)


def test_no_life_ends_before_the_last_sign_and_drawn_lives_go_on_or_end():
    problem, theta = problem_of("hidden30", STRUCTURES["all"], n=200)
    rng = np.random.default_rng(3)
    uniform = rng.random((40, 200, 7))
    path, last, alive, _ = draw_paths(problem, theta, uniform=uniform)
    assert np.all(last[:20] == 6)
    assert np.all((last[20:] >= problem.inputs.low) & (last[20:] < 6))
    np.testing.assert_allclose(alive, evaluate(problem, theta).staying.sum(axis=1), rtol=1e-9)
    assert path.max() < 6


def test_lives_are_drawn_with_the_chance_of_their_state():
    problem, theta = problem_of("r7", Structure(nodes=3), n=50)
    theta[problem.layout.loadings] = 0.5
    weight = evaluate(problem, theta).weight
    uniform = np.random.default_rng(4).random((2_000, 50, 7))
    path, _, _, _ = draw_paths(problem, theta, uniform=uniform)
    drawn = np.stack(
        [(path[:, np.arange(50), problem.inputs.entry] == j).mean(axis=0) for j in range(3)], axis=1
    )
    np.testing.assert_allclose(drawn, weight, atol=0.05)


@pytest.mark.parametrize("count", [2, 7])
def test_nodes_have_variance_one_and_exactly_the_autocorrelation_asked_for(count):
    states = living_states(
        Structure(nodes=count, drift=True), np.array([1.5, 0.0, 0.0, 0.0]), np.zeros(count)
    )
    u, mass, rho = nodes(count), np.exp(states.log_first), expit(1.5)
    assert mass @ u**2 == pytest.approx(1.0)
    np.testing.assert_allclose(states.moves @ u, rho * u, atol=1e-12)
    np.testing.assert_allclose(mass @ rouwenhorst(count, rho), mass, atol=1e-12)


@pytest.mark.parametrize("x", [1e-3, 0.5, 6.0, 40.0])
def test_digamma_is_that_of_scipy(x):
    assert digamma(x) == pytest.approx(float(exact_digamma(x)), rel=1e-8)


def test_a_flag_is_bernoulli_in_the_state():
    problem, _ = problem_of("r7", Structure(nodes=3))
    assert (problem.inputs.kinds == FLAG).sum() == 1
    assert set(np.unique(problem.inputs.values[:, :, -1])) <= {0.0, 1.0}


def test_poisson_counts_are_the_limit_of_levels_that_are_one():
    problem, theta = problem_of("hidden30", Structure(shared=False), n=1, periods=3)
    theta[problem.layout.shapes] = ALIKE
    theta[problem.layout.linear(0).start] = -40.0
    inputs = problem.inputs
    expected = 0.0
    for k, columns in enumerate(inputs.columns):
        mu = np.exp(columns.predict(theta[problem.layout.linear(k + 1)])[0])
        n = inputs.values[0, :, k]
        expected += (stats.poisson.logpmf(n, mu) + gammaln(n + 1.0)).sum()
    low = replace(inputs, low=np.array([2]))
    assert evaluate(replace(problem, inputs=low), theta).loglik[0] == pytest.approx(expected, rel=1e-6)


def test_a_pass_on_two_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, theta = problem_of("hidden_staggered", STRUCTURES["regular"])
    at_once = evaluate(problem, theta)
    monkeypatch.setattr(cores, "AT_A_TIME", 7)
    found = []
    for number in (1, 2):
        monkeypatch.setattr(cores, "_cores", lambda number=number: number)
        cores._pool.cache_clear()
        found.append(evaluate(problem, theta))
    cores._pool.cache_clear()
    for name in PARTS:
        one, two, whole = (getattr(value, name) for value in (*found, at_once))
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, whole, rtol=1e-9, atol=1e-12)


def test_regular_buyers_answer_a_change_of_their_rate_by_the_slope_of_what_is_expected() -> None:
    """E(m) = (1 - exp(-phi m^delta)) zeta m / (1 - exp(-zeta m)), slopes by log m, months of known lives."""
    problem, theta = problem_of("hidden_staggered", STRUCTURES["regular"])
    inputs, given = problem.inputs, arguments(problem, theta)
    _, delta, phi, zeta = given.extra[:4]
    shape, moved, made = given.shape[0], 0.0, 0.0
    for i in range(inputs.n_customers):
        months = range(inputs.entry[i], min(inputs.low[i], inputs.end[i], inputs.values.shape[1] - 1) + 1)
        rates = [float(np.exp(given.eta[i, t, 0])) for t in months]
        level = (shape + sum(inputs.values[i, t, 0] for t in months)) / (shape + sum(rates))
        for m in (level * rate for rate in rates):
            some, slope = 1.0 - np.exp(-phi * m**delta), phi * delta * m**delta * np.exp(-phi * m**delta)
            each = zeta * m / (1.0 - np.exp(-zeta * m))
            made += some * each
            moved += slope * each + some * each * (1.0 - each * np.exp(-zeta * m))
    assert elasticity(problem, theta) == pytest.approx(moved / made, rel=1e-5)
    assert moved / made != pytest.approx(1.0, abs=0.02)
