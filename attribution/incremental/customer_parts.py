"""Compiled arithmetic of the set function and of panel regressions; pure functions on arrays."""

from __future__ import annotations

import numpy as np

from histories.arrays import Float, Integer, Single
from histories.compiled import compiled


@compiled
def customer_parts(
    stocks: Single,
    entry: Integer,
    last: Integer,
    offset: Single,
    amount: Float,
    share: Float,
    staying_share: Float,
    beta: Float,
    gamma: Float,
    nodes: Float,
    weights: Float,
    periods_apart: bool,
) -> tuple[Float, Float, Float, Float, Float]:
    """Aumann-Shapley credit of every customer and channel, and v(empty) of every customer.

    With all stocks scaled by tau, w = W_t y_t exp((tau - 1) gamma.S_t) and v = q W_T,

        d v / d c         = - beta_c sum_t S_tc h_t v
        d spend / d c     = - beta_c sum_t S_tc h_t sum_{s>t} w_s  +  gamma_c sum_t S_tc w_t

    integrated over tau by the quadrature (nodes, weights) and averaged over layers of the latents' posterior
    with weights `share` for spend and `staying_share` for retention, each (max(Q, 1), N). Each row needs its
    exponentials once per node and layer, whatever the number of channels.

    Returns
    -------
    Retention credit (N, C); spend credit by staying (N, C); spend credit by spending more (N, C); and
    v(empty) of retention and spend (N, 2), evaluated at tau = 0. With `periods_apart`, the same credit of all
    customers by period (2, P, C), of retention by that of the hazard, of spend by that it is spent in; else
    (2, 0, C).
    """
    n, periods, channels = stocks.shape
    draws = offset.shape[0]
    layers = max(draws, 1)
    retention = np.zeros((n, channels))
    staying = np.zeros((n, channels))
    spending = np.zeros((n, channels))
    empty = np.zeros((n, 2))
    by_period = np.zeros((2, periods if periods_apart else 0, channels))
    kept = np.empty(channels)
    push, lift = np.empty(periods), np.empty(periods)
    by_retention, by_staying, by_spending = np.empty(periods), np.empty(periods), np.empty(periods)
    keep, hazard, flow = np.empty(periods), np.empty(periods), np.empty(periods)
    factor = np.empty((len(nodes) + 1, periods))
    for i in range(n):
        a, b = entry[i], last[i] + 1
        for t in range(a, b):
            push[t], lift[t] = 0.0, 0.0
            for c in range(channels):
                push[t] += beta[c] * stocks[i, t, c]
                lift[t] += gamma[c] * stocks[i, t, c]
            by_retention[t], by_staying[t], by_spending[t] = 0.0, 0.0, 0.0
            for k in range(len(nodes) + 1):
                tau = nodes[k] if k < len(nodes) else 0.0
                factor[k, t] = amount[i, t] * np.exp((tau - 1.0) * lift[t]) if amount[i, t] != 0.0 else 0.0
        for q in range(layers):
            spends, stays = share[q, i], staying_share[q, i]
            if spends == 0.0 and stays == 0.0:
                continue
            if draws > 0:
                for t in range(a, b):
                    keep[t] = 1.0 + np.exp(offset[q, i, t] + push[t])
            for k in range(len(nodes) + 1):
                tau = nodes[k] if k < len(nodes) else 0.0
                weight = weights[k] if k < len(nodes) else 0.0
                ratio = 1.0
                spent = 0.0
                for t in range(a, b):
                    flow[t] = ratio * factor[k, t]
                    spent += flow[t]
                    hazard[t] = 0.0
                    if draws > 0:
                        odds = np.exp(offset[q, i, t] + tau * push[t])
                        hazard[t] = odds / (1.0 + odds)
                        ratio *= keep[t] / (1.0 + odds)
                if k == len(nodes):
                    empty[i, 0] += stays * ratio
                    empty[i, 1] += spends * spent
                    continue
                if periods_apart:
                    kept[:] = 0.0
                    for t in range(a, b):
                        for c in range(channels):
                            by_period[1, t, c] += weight * spends * flow[t] * kept[c]
                            kept[c] -= beta[c] * stocks[i, t, c] * hazard[t]
                later = 0.0
                for t in range(b - 1, a - 1, -1):
                    by_retention[t] += weight * hazard[t] * stays * ratio
                    by_staying[t] += weight * hazard[t] * spends * later
                    by_spending[t] += weight * spends * flow[t]
                    later += flow[t]
        for t in range(a, b):
            for c in range(channels):
                s = stocks[i, t, c]
                if s != 0.0:
                    retention[i, c] -= beta[c] * s * by_retention[t]
                    staying[i, c] -= beta[c] * s * by_staying[t]
                    spending[i, c] += gamma[c] * s * by_spending[t]
                    if periods_apart:
                        by_period[0, t, c] -= beta[c] * s * by_retention[t]
                        by_period[1, t, c] += gamma[c] * s * by_spending[t]
    return retention, staying, spending, empty, by_period
