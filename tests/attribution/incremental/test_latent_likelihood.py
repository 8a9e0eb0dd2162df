"""The likelihood of the latent dropout month against brute force, and its gradient against differences."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, gammaln

from attribution.incremental.latent.design import LatentDesign, LatentInputs
from attribution.incremental.latent.layout import EMISSIONS, Layout, predictors
from attribution.incremental.latent.likelihood import evaluate
from attribution.incremental.latent.nodes import NodeGrid, lay_nodes
from attribution.incremental.stocks import decayed_stocks
from histories.panel import Panel

LEVELS = {"poisson": [], "coupled": [0.4], "episodes": [0.4, 1.0, -0.5, 0.2, -1.5]}
GRADIENT_TOLERANCE = 1e-6
"""Relative to the largest component: central differences of step 1e-5 are good to about 1e-8."""
QUADRATURE_TOLERANCE = 2e-3
"""Log-likelihood of one customer: nine nodes against adaptive quadrature."""


def make_panel(n: int = 60, periods: int = 8, *, staggered: bool = True, seed: int = 1) -> Panel:
    """Customers with everything a panel may hold: late entries, problems, gaps in covariates."""
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, periods // 2, n) if staggered else np.zeros(n, dtype=np.int64)
    exit_ = np.minimum(entry + rng.geometric(0.2, n), periods)
    t = np.arange(periods)
    alive = ((t >= entry[:, None]) & (t <= exit_[:, None])).astype(np.float64)
    touches = rng.poisson(0.4, (n, periods, 3)) * alive[:, :, None]
    touches[:, :, 2] = rng.poisson(0.5, (n, periods)) * (t >= entry[:, None])
    purchases = rng.poisson(0.5, (n, periods)) * alive
    changing = rng.normal(size=(n, periods, 1))
    changing[rng.random((n, periods)) < 0.2] = np.nan
    covariates = rng.normal(size=(n, 2))
    covariates[: n // 5, 1] = np.nan
    return Panel(
        channels=("care", "forum", "email"),
        groups=("social", "social", "email"),
        origins=("customer", "customer", "firm"),
        touches=touches.astype(np.float32),
        own_acts=touches[:, :, :2].sum(axis=2) + rng.poisson(0.1, (n, periods)) * alive,
        problems=rng.poisson(0.1, (n, periods)) * alive,
        spend=20.0 * purchases,
        purchases=purchases,
        entry=entry,
        exit=None,
        covariates=covariates,
        covariate_names=("region", "age"),
        proxies=np.zeros((n, 0)),
        proxy_names=(),
        time_covariates=changing,
        time_covariate_names=("csat",),
    )


def inputs_of(panel: Panel) -> LatentInputs:
    design = LatentDesign.measure(panel, harmonics=1, decay=0.6)
    return design.inputs(panel, decayed_stocks(panel.touches))


def parameters(layout: Layout, seed: int = 2) -> np.ndarray:
    theta = np.random.default_rng(seed).normal(size=layout.size) * 0.15
    theta[layout.hazard.start] = -1.5
    theta[layout.purchase.start] = -0.8
    theta[layout.shapes] = (0.2, 0.4)
    theta[layout.spread] = -0.3
    theta[layout.levels] = LEVELS[layout.emission]
    return theta


@pytest.mark.parametrize("emission", EMISSIONS)
@pytest.mark.parametrize("staggered", [True, False])
def test_gradient_equals_finite_differences(emission, staggered):
    inputs = inputs_of(make_panel(staggered=staggered))
    layout = Layout.of(inputs, emission=emission)
    theta = parameters(layout)
    weights = np.random.default_rng(3).exponential(size=inputs.n_customers)
    grid = lay_nodes(np.zeros(inputs.n_customers), np.ones(inputs.n_customers))

    def value(at):
        return weights @ evaluate(inputs, layout, at, weights=weights, grid=grid).loglik

    found = evaluate(inputs, layout, theta, weights=weights, grid=grid, want_scores=True)
    steps = 1e-5 * np.eye(layout.size)
    numeric = np.array([(value(theta + step) - value(theta - step)) / 2e-5 for step in steps])
    scale = np.abs(numeric).max()
    assert np.abs(found.gradient - numeric).max() < GRADIENT_TOLERANCE * scale
    assert np.allclose(found.scores.sum(axis=0), found.gradient)


def brute_force(inputs: LatentInputs, layout: Layout, theta: np.ndarray) -> float:
    """Log-likelihood of the first customer: months, on/off paths, levels and frailty summed out."""
    linear = predictors(inputs, layout, theta)
    e, m = np.exp(linear.log_e[0]), np.exp(linear.log_m[0])
    normal = np.linspace(-8.0, 8.0, 401)
    weight = stats.norm.pdf(normal) * (normal[1] - normal[0])
    hazard = expit(linear.eta[0] + np.exp(theta[layout.spread]) * normal[:, None])
    y, n = inputs.purchases[0], inputs.acts[0]
    entry, last, periods = int(inputs.entry[0]), int(inputs.last[0]), inputs.n_periods
    r, s = np.exp(theta[layout.shapes])
    coupling, stay, turn, start, off = _levels(theta, layout)

    u = np.linspace(-16.0, 5.0, 1201)
    level, step = np.exp(u), u[1] - u[0]
    prior_purchase = stats.gamma.pdf(level, r, scale=1 / r) * level * step
    prior_act = stats.gamma.pdf(level, s, scale=1 / s) * level * step

    def poisson(count: float, rate: np.ndarray) -> np.ndarray:
        return np.exp(count * np.log(rate) - rate - gammaln(count + 1))

    def acts(d: int) -> np.ndarray:
        months = range(entry, min(d, periods - 1) + 1)
        episodes = layout.emission == "episodes"
        paths = list(product([1, 0], repeat=len(months))) if episodes else [(1,) * len(months)]
        total = np.zeros(u.size)
        for path in paths:
            chance, before = np.ones(u.size), None
            for on, t in zip(path, months, strict=True):
                p = start if before is None else (stay if before else turn)
                chance = chance * (p if on else 1.0 - p) if episodes else chance
                chance = chance * poisson(n[t], level * m[t] * (1.0 if on else off))
                before = on
            total += chance
        return total

    def purchases(d: int) -> np.ndarray:
        rate = level[None, :] * level[:, None] ** coupling
        value = np.ones_like(rate)
        for t in range(entry, min(d, periods - 1) + 1):
            value = value * poisson(y[t], rate * e[t])
        return value @ prior_purchase

    def of_month(d: int) -> float:
        stays = np.prod(1.0 - hazard[:, entry : min(d, periods)], axis=1)
        leaves = hazard[:, d] if d < periods else 1.0
        return weight @ (stays * leaves) * (acts(d) * purchases(d)) @ prior_act

    return float(np.log(sum(of_month(d) for d in range(last, periods + 1))))


def _levels(theta, layout):
    if layout.emission == "poisson":
        return 0.0, 1.0, 1.0, 1.0, 1.0
    coupling, *rest = theta[layout.levels]
    if layout.emission == "coupled":
        return coupling, 1.0, 1.0, 1.0, 1.0
    return coupling, *expit(np.array(rest[:3])), np.exp(rest[3])


@pytest.mark.parametrize("emission", EMISSIONS)
def test_likelihood_equals_brute_force_over_months_paths_and_levels(emission):
    inputs = inputs_of(make_panel(40, 4))
    chosen = next(i for i in range(40) if inputs.acts[i].sum() > 0 and inputs.last[i] < 3)
    one = inputs.take(np.array([chosen]))
    layout = Layout.of(one, emission=emission)
    theta = parameters(layout)
    grid = lay_nodes(np.zeros(1), np.full(1, 0.7), nodes=41)
    found = evaluate(one, layout, theta, weights=np.ones(1), grid=grid)
    months = slice(int(one.entry[0]), None)
    factorials = gammaln(one.purchases[0, months] + 1).sum() + gammaln(one.acts[0, months] + 1).sum()
    assert found.loglik[0] - factorials == pytest.approx(brute_force(one, layout, theta), abs=1e-4)


def test_nine_nodes_reproduce_the_closed_form_when_nothing_couples():
    inputs = inputs_of(make_panel())
    closed, nodes = (Layout.of(inputs, emission=name) for name in ("poisson", "coupled"))
    theta = parameters(closed)
    weights = np.ones(inputs.n_customers)
    exact = evaluate(inputs, closed, theta, weights=weights, grid=None, want_lives=True)
    grid = lay_nodes(exact.lives.log_level, exact.lives.log_level_sd)
    found = evaluate(inputs, nodes, np.append(theta, 0.0), weights=weights, grid=grid, want_lives=True)
    assert np.abs(found.loglik - exact.loglik).max() < 10 * QUADRATURE_TOLERANCE
    assert abs((found.loglik - exact.loglik).mean()) < QUADRATURE_TOLERANCE
    assert np.allclose(found.lives.dropout, exact.lives.dropout, atol=QUADRATURE_TOLERANCE)
    assert np.allclose(found.lives.ends, exact.lives.ends, atol=0.02)


@pytest.mark.parametrize("emission", EMISSIONS)
def test_nobody_is_gone_before_the_last_sign_of_life_and_probabilities_add_up(emission):
    panel = make_panel()
    inputs = inputs_of(panel)
    layout = Layout.of(inputs, emission=emission)
    grid = lay_nodes(np.zeros(inputs.n_customers), np.ones(inputs.n_customers))
    lives = evaluate(
        inputs,
        layout,
        parameters(layout),
        weights=np.ones(inputs.n_customers),
        grid=grid,
        want_lives=True,
    ).lives
    periods = np.arange(panel.n_periods + 1)
    assert np.allclose(lives.dropout.sum(axis=1), 1.0)
    assert (lives.dropout[periods < inputs.last[:, None]] == 0.0).all()
    acting = (panel.purchases > 0) | (panel.own_acts > 0)
    assert np.allclose(lives.alive[acting], 1.0)
    assert np.allclose(lives.presence[:, -1], lives.survival)


@pytest.mark.parametrize("emission", EMISSIONS)
def test_order_of_customers_does_not_matter(emission):
    inputs = inputs_of(make_panel())
    layout = Layout.of(inputs, emission=emission)
    order = np.random.default_rng(4).permutation(inputs.n_customers)
    grid = lay_nodes(np.linspace(-1, 1, inputs.n_customers), np.ones(inputs.n_customers))
    weights = np.ones(inputs.n_customers)
    theta = parameters(layout)
    here = evaluate(inputs, layout, theta, weights=weights, grid=grid).loglik
    there = evaluate(inputs.take(order), layout, theta, weights=weights, grid=grid.take(order)).loglik
    assert np.array_equal(here[order], there)


def test_a_node_without_support_does_not_break_the_filter():
    inputs = inputs_of(make_panel())
    layout = Layout.of(inputs, emission="episodes")
    theta = parameters(layout)
    theta[layout.levels] = (0.0, 3.0, -3.0, 3.0, -30.0)
    grid = NodeGrid(
        log_kappa=np.broadcast_to(np.array([-1.0, 0.0, 1.0, 9.0]), (inputs.n_customers, 4)).copy(),
        log_base=np.zeros((inputs.n_customers, 4)),
    )
    found = evaluate(inputs, layout, theta, weights=np.ones(inputs.n_customers), grid=grid, want_scores=True)
    assert np.isfinite(found.loglik).all()
    assert np.isfinite(found.scores).all()


def test_a_purchase_at_entry_is_a_condition_and_not_an_emission():
    panel = make_panel()
    rows = np.arange(panel.n_customers)
    bought = panel.purchases.copy()
    bought[rows, panel.entry] = 1.0
    entering = replace(panel, purchases=bought)
    assert inputs_of(entering).purchases[rows, panel.entry].sum() == 0.0
    bought[0, panel.entry[0]] = 0.0
    assert inputs_of(replace(panel, purchases=bought)).purchases[rows, panel.entry].sum() == len(rows) - 1
