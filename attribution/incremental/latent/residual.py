"""Residual value: what a customer who is there at the end is still worth, by the latent model's own rates.

    R_i = sum_{k=1..H} (1 + d)^-k S_ik e_ik E[level_i | there, history] * margin of a purchase

with S_ik the probability of still being a customer at the start of month k after the end, and stocks decaying
from where they stand (no further touches). It is conditional on being there, so it is multiplied by this
model's survival once; a BG/NBD expectation already holds P(alive) and must be divided by it first.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from attribution.incremental.latent.arrays import FloatArray, Stocks
from attribution.incremental.latent.design import LatentInputs, season_columns
from attribution.incremental.latent.fit import CHUNK, LatentDropoutFit
from attribution.incremental.latent.nodes import frailty_nodes
from histories.panel import Panel

__all__ = ["residual_value"]

TINY = 1e-300
"""Keeps a customer who is certainly gone from dividing by zero."""


def residual_value(
    fit: LatentDropoutFit,
    panel: Panel,
    stocks: Stocks,
    *,
    horizon_months: int = 12,
    discount_rate: float = 0.10,
    gross_margin: float = 1.0,
) -> FloatArray:
    """Discounted margin within the horizon, given being there at the end, in currency, shape (N,).

    Parameters
    ----------
    fit
        The latent model, of monthly periods.
    panel, stocks
        Customers and their decayed stocks, shape (N, P, C).
    horizon_months
        Months ahead.
    discount_rate
        Per year; margin is discounted at month ends.
    gross_margin
        Margin per unit of spend.
    """
    worth = fit.value_per_purchase * gross_margin
    parts = []
    for first in range(0, panel.n_customers, CHUNK):
        rows = slice(first, first + CHUNK)
        part, s = panel.take(rows), stocks[rows]
        lives = fit.lives(part, s)
        level = lives.end_means[:, 0]
        nodes = lives.frailty_there / np.maximum(lives.survival, TINY)[:, None]
        purchases = _expected_purchases(fit, fit.design.inputs(part, s), nodes, horizon_months, discount_rate)
        parts.append(worth * level * purchases)
    return np.concatenate(parts)


def _expected_purchases(
    fit: LatentDropoutFit, inputs: LatentInputs, nodes: FloatArray, months: int, discount_rate: float
) -> FloatArray:
    """Discounted purchases at a level of one, given that the customer is there, shape (N,).

    `nodes` is the posterior of the frailty of leaving given that the customer is there, shape (N, K).
    """
    layout, design = fit.layout, fit.design
    hazard, purchase = fit.theta[layout.hazard], fit.theta[layout.purchase]
    at = 1 + layout.static + layout.season
    season = season_columns(inputs.n_periods + months, design.harmonics)
    fading = design.n_fading
    drivers = inputs.drivers[:, -1].copy()
    monthly = (1.0 + discount_rate) ** (1.0 / 12.0)
    there = nodes.copy()
    deviation, _ = frailty_nodes(fit.theta[layout.spread])
    total = np.zeros(inputs.n_customers)
    for k in range(1, months + 1):
        drivers[:, :fading] *= design.decay
        cycle = season[inputs.n_periods + k - 1]

        def linear(theta: FloatArray, cycle: FloatArray = cycle) -> FloatArray:
            fixed = theta[0] + inputs.static @ theta[1 : 1 + layout.static]
            moving = theta[1 + layout.static : at] @ cycle + drivers @ theta[at : at + layout.drivers]
            result: FloatArray = fixed + moving
            return result

        total += there.sum(axis=1) * np.exp(linear(purchase)) / monthly**k
        there = there * (1.0 - expit(linear(hazard)[:, None] + deviation))
    return total
