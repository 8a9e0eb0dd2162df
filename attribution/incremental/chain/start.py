"""Where climbs set out: crude rates, and the axes along which customers' events go together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attribution.incremental.chain.emissions import AMOUNT, FLAG
from attribution.incremental.chain.layout import Layout
from attribution.incremental.chain.likelihood import Likelihood
from attribution.incremental.chain.states import FEATURES
from histories.arrays import Float

SILENT_LEAVING = -3.0
"""Log-odds of leaving a month from which a climb without recorded leaving sets out."""
SIZE, LEAVING = 0.4, -0.3
"""Largest loading of a start, and the loading of leaving at most."""
CHAIN = (2.0, 1.5, -1.5, 1.5)
AFTER_PURCHASE = 1.0
"""Log-odds of leaving in a month with a purchase, relative to one without."""
BURSTS = -1.0
"""Log of the variance of rates from month to month."""
QUIETER = -1.5
"""Log of the rate of acts when quiet, relative to the rate when active."""


def crude_rates(problem: Likelihood, weights: Float) -> Float:
    """Overall rates, nothing else, shape (p,)."""
    inputs, layout = problem.inputs, problem.layout
    theta = np.zeros(layout.size)
    t = np.arange(inputs.values.shape[1])
    lived = (t >= inputs.entry[:, None]) & (t <= np.minimum(inputs.low, inputs.end)[:, None])
    share = lived * np.exp(inputs.offset) * weights[:, None]
    if inputs.stays.all():
        theta[0] = SILENT_LEAVING
    else:
        gone = float(weights[~inputs.stays].sum())
        theta[0] = np.log(max(gone, 0.5) / max(float((lived * weights[:, None]).sum()) - gone, 0.5))
    for k, kind in enumerate(inputs.kinds):
        rate = float((inputs.values[:, :, k] * share).sum() / share.sum())
        rate = max(rate, 1e-6)
        theta[layout.linear(k + 1).start] = (
            np.log(rate / (1.0 - min(rate, 0.99))) if kind == FLAG else np.log(rate)
        )
    theta[layout.chain] = CHAIN
    if AMOUNT in inputs.kinds:
        theta[layout.shapes.start] = 2.0
    return theta


def residual_axis(layout: Layout, alone: Float, scores: Float) -> Float:
    """Loadings from what scores of constants have in common without satisfaction, shape (p,).

    The first eigenvector of their correlations; the constants are those of leaving, of every stream and of
    every proxy, and the sign is that of satisfaction.

    Parameters
    ----------
    layout
        With satisfaction.
    alone
        Parameters without, in that layout.
    scores
        Of every customer there, shape (N, at least up to the proxies).
    """
    return _with_loadings(layout, alone, _common(layout, scores))


def second_axis(scores: Float) -> Callable[[Likelihood, Float], Float]:
    """A start whose second factor is what scores still have in common."""

    def shift(problem: Likelihood, theta: Float) -> Float:
        start, layout = theta.copy(), problem.layout
        loadings = start[layout.loadings].reshape(-1, FEATURES)
        loadings[:, 1] = _common(layout, scores)[: layout.streams + 1]
        return start

    return shift


def _common(layout: Layout, scores: Float) -> Float:
    """First eigenvector of the correlations of constants' scores, its largest entry `SIZE`."""
    constants = [layout.linear(k).start for k in range(layout.streams + 1)]
    constants += [layout.lines.start + 3 * j for j in range(layout.proxies)]
    chosen = scores[:, constants] / np.maximum(scores[:, constants].std(axis=0), 1e-12)
    together = np.asarray(chosen.T @ chosen / len(chosen))
    np.fill_diagonal(together, 0.0)
    axis = np.linalg.eigh(together)[1][:, -1]
    return np.asarray(axis * SIZE / np.abs(axis).max() * (-1.0 if axis[0] > 0 else 1.0))


def common_axis(layout: Layout, alone: Float) -> Float:
    """Loadings alike for every stream, shape (p,)."""
    return _with_loadings(layout, alone, np.full(layout.streams + 1 + layout.proxies, SIZE))


def carried_over(found: Float, before: Layout, layout: Layout) -> Float:
    """Parameters of one layout in another with other nodes; masses start at the binomial ones."""
    theta = np.zeros(layout.size)
    theta[: layout.chain.stop] = found[: before.chain.stop]
    if layout.nodes == before.nodes:
        theta[layout.masses] = found[before.masses]
    return theta


def frailty(problem: Likelihood, theta: Float) -> Float:
    """A start from which customers differ in leaving, shape (p,)."""
    start = theta.copy()
    start[problem.layout.loadings.start] = LEAVING
    return start


def sooner(problem: Likelihood, theta: Float) -> Float:
    """A start from which a purchase makes leaving likelier, shape (p,)."""
    start = theta.copy()
    start[problem.layout.after_purchase] = AFTER_PURCHASE
    start[0] -= AFTER_PURCHASE
    return start


def bursting(problem: Likelihood, theta: Float) -> Float:
    """A start from which events come in bursts, shape (p,)."""
    start = theta.copy()
    start[problem.layout.bursts] = BURSTS
    return start


def own_levels(problem: Likelihood, theta: Float) -> Float:
    """A start from which every stream has a level of its own, shape (p,)."""
    start = theta.copy()
    start[problem.layout.shapes][:-1][problem.inputs.own] = 0.0
    return start


def quieter(problem: Likelihood, theta: Float) -> Float:
    """A start from which acts come in spells, shape (p,)."""
    start = theta.copy()
    loadings = start[problem.layout.loadings].reshape(-1, FEATURES)
    loadings[1:, 2] = np.where(problem.inputs.own, QUIETER, 0.0)
    loadings[1, 2] = QUIETER * problem.structure.asleep
    return start


def _with_loadings(layout: Layout, theta: Float, axis: Float) -> Float:
    start = theta.copy()
    loadings = start[layout.loadings].reshape(-1, FEATURES)
    loadings[:, 0] = axis[: layout.streams + 1]
    loadings[0, 0] = min(axis[0], LEAVING)
    if layout.proxies:
        start[layout.lines].reshape(-1, 3)[:, 1] = axis[layout.streams + 1 :]
    return start
