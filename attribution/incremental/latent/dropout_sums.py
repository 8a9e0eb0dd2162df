"""Compiled arithmetic of the latent dropout month: exact sums over months, with analytic derivatives.

Both kernels treat one customer after another. A customer is seen from period ``entry`` to the end; the
dropout month D is a period ``d`` (the customer leaves at its end) or P (still there). Nothing before the last
sign of life ``last`` is possible. Given D = d, the parts are::

    P(D = d)     = sum_k share_k h_dk prod_{t<d} (1 - h_tk),  logit h_tk = eta_t + deviation_k
    log p(y | d) = -(r + x) log(r + k^w E_d) + w x log k + ...  E_d = sum_{t<=d} exp(log_e_t),  x = sum y
    log p(n | d) = -(s + N) log(s + F_d) + ...                  F_d = sum_{t<=d} exp(log_m_t),  N = sum n

with gamma levels of mean one (shapes r and s) integrated out. In the second kernel the level k of the touches
sits on the nodes of a quadrature instead, because a coupling w or episodes have no closed form. Terms that
depend neither on d nor on a node are left to the caller. Arrays are float64, ``entry`` and ``last`` int64.
"""

from __future__ import annotations

import math

import numpy as np

from attribution.incremental.latent.arrays import FloatArray, IntArray
from histories.compiled import compiled

__all__ = ["closed_form_kernel", "level_nodes_kernel"]

TINY = 1e-280
"""Below it a node says nothing about the customer; keeps the filter finite."""


@compiled
def _dropout_prior(
    eta: FloatArray,
    entry: int,
    factor: FloatArray,
    share: FloatArray,
    log_prior: FloatArray,
    hazard: FloatArray,
    joint: FloatArray,
) -> None:  # pragma: no cover - compiled
    """Fill log P(D = d), d = entry..P, and by node of the frailty the hazard and P(D = d, node)."""
    periods = eta.shape[0]
    nodes = factor.shape[0]
    for k in range(nodes):
        joint[periods, k] = share[k]
    for t in range(entry, periods):
        odds = math.exp(eta[t])
        total = TINY
        for k in range(nodes):
            stay = 1.0 / (1.0 + odds * factor[k])
            hazard[t, k] = odds * factor[k] * stay
            joint[t, k] = joint[periods, k] * hazard[t, k]
            joint[periods, k] *= stay
            total += joint[t, k]
        log_prior[t] = math.log(total)
    total = TINY
    for k in range(nodes):
        total += joint[periods, k]
    log_prior[periods] = math.log(total)


@compiled
def _dropout_backward(
    q: FloatArray,
    entry: int,
    hazard: FloatArray,
    joint: FloatArray,
    deviation: FloatArray,
    weight: float,
    d_eta: FloatArray,
    frailty: FloatArray,
) -> float:  # pragma: no cover - compiled
    """Add the derivative by eta, fill the posterior of the node, return the derivative by log sd.

    On return ``joint`` holds the posterior P(D = d, node) in place of the prior.
    """
    periods, nodes = hazard.shape
    for d in range(entry, periods + 1):
        total = TINY
        for k in range(nodes):
            total += joint[d, k]
        for k in range(nodes):
            joint[d, k] *= q[d] / total
    score = 0.0
    for k in range(nodes):
        alive = joint[periods, k]
        for back in range(1, periods + 1 - entry):
            t = periods - back
            alive += joint[t, k]
            part = joint[t, k] - alive * hazard[t, k]
            d_eta[t] += weight * part
            score += deviation[k] * part
        frailty[k] = alive
    return score


@compiled
def closed_form_kernel(
    eta: FloatArray,
    log_e: FloatArray,
    log_m: FloatArray,
    y: FloatArray,
    n: FloatArray,
    entry: IntArray,
    last: IntArray,
    weight: FloatArray,
    deviation: FloatArray,
    share: FloatArray,
    shape_purchase: float,
    shape_touch: float,
    want_posterior: bool,
) -> tuple[
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
]:  # pragma: no cover
    """Log-likelihood and derivatives with Poisson touches.

    Returns
    -------
    loglik : shape (N,), unweighted.
    d_eta, d_log_e, d_log_m : shape (N, P), weighted derivatives (0 before entry).
    moments : shape (N, 5), posterior means of log(r+E), 1/(r+E), log(s+F), 1/(s+F), log(s+F)^2.
    frailty_score : shape (N,), unweighted derivative by the log standard deviation of the frailty of leaving.
    frailty : shape (N, K), posterior weight of each node of the frailty.
    posterior : shape (N, P+1) probabilities of D, or (0, 0) unless wanted.
    exposure : shape (N, P) sum over d >= t of q(d) (r+x)/(r+E_d), or (0, 0) unless wanted.
    ends : shape (N, 3 + K), q(P) times the mean, given that the customer is there still, of the purchase
        level, of the touch level, of being on, and of each node of the frailty; or (0, 0) unless wanted.
    """
    customers, periods = eta.shape
    loglik = np.zeros(customers)
    d_eta = np.zeros((customers, periods))
    d_log_e = np.zeros((customers, periods))
    d_log_m = np.zeros((customers, periods))
    moments = np.zeros((customers, 5))
    rows = customers if want_posterior else 0
    posterior = np.zeros((rows, periods + 1 if want_posterior else 0))
    exposure = np.zeros((rows, periods if want_posterior else 0))
    ends = np.zeros((rows, 3 + deviation.size if want_posterior else 0))
    log_q = np.empty(periods + 1)
    factor = np.exp(deviation)
    hazard = np.empty((periods, factor.size))
    joint = np.empty((periods + 1, factor.size))
    frailty = np.zeros((customers, factor.size))
    frailty_score = np.zeros(customers)
    e = np.empty(periods)
    m = np.empty(periods)
    total_e = np.empty(periods + 1)
    total_m = np.empty(periods + 1)
    log_total_e = np.empty(periods + 1)
    log_total_m = np.empty(periods + 1)
    r, s = shape_purchase, shape_touch
    for i in range(customers):
        start = entry[i]
        first = max(last[i], start)
        _dropout_prior(eta[i], start, factor, share, log_q, hazard, joint)
        x = 0.0
        big_n = 0.0
        constant = 0.0
        sum_e = 0.0
        sum_m = 0.0
        for t in range(start, periods):
            e[t] = math.exp(log_e[i, t])
            m[t] = math.exp(log_m[i, t])
            sum_e += e[t]
            sum_m += m[t]
            total_e[t] = sum_e
            total_m[t] = sum_m
            x += y[i, t]
            big_n += n[i, t]
            constant += y[i, t] * log_e[i, t] + n[i, t] * log_m[i, t]
        total_e[periods] = sum_e
        total_m[periods] = sum_m
        largest = -np.inf
        for d in range(first, periods + 1):
            if d == periods and periods > first:
                log_total_e[d] = log_total_e[d - 1]
                log_total_m[d] = log_total_m[d - 1]
            else:
                log_total_e[d] = math.log(r + total_e[d])
                log_total_m[d] = math.log(s + total_m[d])
            log_q[d] -= (r + x) * log_total_e[d] + (s + big_n) * log_total_m[d]
            largest = max(largest, log_q[d])
        norm = 0.0
        for d in range(first, periods + 1):
            log_q[d] = math.exp(log_q[d] - largest)
            norm += log_q[d]
        loglik[i] = largest + math.log(norm) + constant
        for d in range(start, periods + 1):
            log_q[d] = log_q[d] / norm if d >= first else 0.0
        rate_e = 0.0
        rate_m = 0.0
        w = weight[i]
        frailty_score[i] = _dropout_backward(log_q, start, hazard, joint, deviation, w, d_eta[i], frailty[i])
        for back in range(periods + 1 - start):
            d = periods - back
            q = log_q[d]
            if d >= first:
                inverse_e = q / (r + total_e[d])
                inverse_m = q / (s + total_m[d])
                rate_e += inverse_e
                rate_m += inverse_m
                moments[i, 0] += q * log_total_e[d]
                moments[i, 1] += inverse_e
                moments[i, 2] += q * log_total_m[d]
                moments[i, 3] += inverse_m
                moments[i, 4] += q * log_total_m[d] * log_total_m[d]
                if want_posterior:
                    posterior[i, d] = q
            if d < periods:
                d_log_e[i, d] = w * (y[i, d] - e[d] * (r + x) * rate_e)
                d_log_m[i, d] = w * (n[i, d] - m[d] * (s + big_n) * rate_m)
                if want_posterior:
                    exposure[i, d] = (r + x) * rate_e
        if want_posterior:
            there = log_q[periods]
            ends[i, 0] = there * (r + x) / (r + total_e[periods])
            ends[i, 1] = there * (s + big_n) / (s + total_m[periods])
            ends[i, 2] = there
            for k in range(factor.size):
                ends[i, 3 + k] = joint[periods, k]
    return loglik, d_eta, d_log_e, d_log_m, moments, frailty_score, frailty, posterior, exposure, ends


@compiled
def level_nodes_kernel(
    eta: FloatArray,
    log_e: FloatArray,
    log_m: FloatArray,
    y: FloatArray,
    n: FloatArray,
    entry: IntArray,
    last: IntArray,
    weight: FloatArray,
    deviation: FloatArray,
    share: FloatArray,
    log_kappa: FloatArray,
    log_weight: FloatArray,
    shape_purchase: float,
    coupling: float,
    stay_on: float,
    turn_on: float,
    start_on: float,
    log_off_rate: float,
    with_episodes: bool,
    want_posterior: bool,
) -> tuple[
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray,
]:  # pragma: no cover
    """Log-likelihood and derivatives on nodes of the touch frailty, with touches in episodes or Poisson.

    A hidden state is on or off in each period; the touch rate is ``k m_t`` when on and
    ``k m_t exp(log_off_rate)`` when off. P(on | on) = ``stay_on``, P(on | off) = ``turn_on``, P(on at entry)
    = ``start_on``. The forward filter's running normaliser up to d is log p(n_entry..n_d | k); derivatives go
    back through the filter. Without episodes the customer is always on.

    Returns
    -------
    loglik, d_eta, d_log_e, d_log_m : as in the closed form.
    scores : shape (N, 7), unweighted: posterior mean of log(r+kE), of 1/(r+kE), derivative by coupling, by
        stay_on, by turn_on, by start_on, by log_off_rate.
    nodes : shape (N, J), posterior weight of each node of the touch level.
    frailty_score, frailty, posterior, exposure, ends : as in the closed form.
    """
    customers, periods = eta.shape
    node_count = log_kappa.shape[1]
    loglik = np.zeros(customers)
    d_eta = np.zeros((customers, periods))
    d_log_e = np.zeros((customers, periods))
    d_log_m = np.zeros((customers, periods))
    scores = np.zeros((customers, 7))
    nodes = np.zeros((customers, node_count))
    rows = customers if want_posterior else 0
    posterior = np.zeros((rows, periods + 1 if want_posterior else 0))
    exposure = np.zeros((rows, periods if want_posterior else 0))
    ends = np.zeros((rows, 3 + deviation.size if want_posterior else 0))
    log_prior = np.empty(periods + 1)
    factor = np.exp(deviation)
    hazard = np.empty((periods, factor.size))
    joint = np.empty((periods + 1, factor.size))
    frailty = np.zeros((customers, factor.size))
    frailty_score = np.zeros(customers)
    e = np.empty(periods)
    m = np.empty(periods)
    total_e = np.empty(periods + 1)
    log_w = np.empty((periods + 1, node_count))
    filtered = np.empty((periods, node_count))
    on = np.empty((periods, node_count))
    off = np.empty((periods, node_count))
    q = np.empty(periods + 1)
    rate = np.empty(periods + 1)
    r = shape_purchase
    off_rate = math.exp(log_off_rate)
    for i in range(customers):
        start = entry[i]
        first = max(last[i], start)
        _dropout_prior(eta[i], start, factor, share, log_prior, hazard, joint)
        x = 0.0
        big_n = 0.0
        constant = 0.0
        sum_e = 0.0
        for t in range(start, periods):
            e[t] = math.exp(log_e[i, t])
            m[t] = math.exp(log_m[i, t])
            sum_e += e[t]
            total_e[t] = sum_e
            x += y[i, t]
            big_n += n[i, t]
            constant += y[i, t] * log_e[i, t] + n[i, t] * log_m[i, t]
        total_e[periods] = sum_e
        largest = -np.inf
        for j in range(node_count):
            kappa = math.exp(log_kappa[i, j])
            scale = math.exp(coupling * log_kappa[i, j])
            base = log_weight[i, j] + big_n * log_kappa[i, j] + coupling * x * log_kappa[i, j]
            pi = start_on
            run = 0.0
            for t in range(start, periods):
                level = kappa * m[t]
                if with_episodes:
                    f_on = math.exp(-level)
                    f_off = math.exp(n[i, t] * log_off_rate - level * off_rate)
                    c = max(pi * f_on + (1.0 - pi) * f_off, TINY)
                    run += math.log(c)
                    omega = pi * f_on / c
                    filtered[t, j] = omega
                    on[t, j] = f_on / c
                    off[t, j] = f_off / c
                    pi = omega * stay_on + (1.0 - omega) * turn_on
                else:
                    run -= level
                if t >= first:
                    purchase = (r + x) * math.log(r + scale * total_e[t])
                    log_w[t, j] = log_prior[t] + base + run - purchase
                    largest = max(largest, log_w[t, j])
                    if t == periods - 1:
                        log_w[periods, j] = log_prior[periods] + base + run - purchase
                        largest = max(largest, log_w[periods, j])
        norm = 0.0
        for d in range(first, periods + 1):
            for j in range(node_count):
                log_w[d, j] = math.exp(log_w[d, j] - largest)
                norm += log_w[d, j]
        loglik[i] = largest + math.log(norm) + constant
        w = weight[i]
        for d in range(start, periods + 1):
            q[d] = 0.0
            rate[d] = 0.0
        for t in range(start, periods):
            d_log_m[i, t] = 0.0
        for j in range(node_count):
            mass = 0.0
            for d in range(first, periods + 1):
                mass += log_w[d, j]
            mass /= norm
            nodes[i, j] = mass
            if mass < 1e-9:
                continue
            kappa = math.exp(log_kappa[i, j])
            scale = math.exp(coupling * log_kappa[i, j])
            alive = 0.0
            back_pi = 0.0
            if want_posterior:
                there = log_w[periods, j] / norm
                ends[i, 1] += there * kappa
                ends[i, 2] += there * (filtered[periods - 1, j] if with_episodes else 1.0)
            for back in range(periods + 1 - start):
                d = periods - back
                if d >= first:
                    mass_d = log_w[d, j] / norm
                    alive += mass_d
                    level_e = r + scale * total_e[d]
                    q[d] += mass_d
                    rate[d] += mass_d * (r + x) * scale / level_e
                    scores[i, 0] += mass_d * math.log(level_e)
                    scores[i, 1] += mass_d / level_e
                    scores[i, 2] += mass_d * log_kappa[i, j] * (x - (r + x) * scale * total_e[d] / level_e)
                if d == periods:
                    continue
                if not with_episodes:
                    d_log_m[i, d] -= kappa * m[d] * alive
                    continue
                omega = filtered[d, j]
                back_omega = back_pi * (stay_on - turn_on)
                scores[i, 3] += back_pi * omega
                scores[i, 4] += back_pi * (1.0 - omega)
                spread = back_omega * omega * (1.0 - omega)
                d_on = alive * omega + spread
                d_off = alive * (1.0 - omega) - spread
                level = kappa * m[d]
                d_log_m[i, d] -= level * (d_on + d_off * off_rate)
                scores[i, 6] += d_off * (n[i, d] - level * off_rate)
                back_pi = alive * (on[d, j] - off[d, j]) + back_omega * on[d, j] * off[d, j]
            scores[i, 5] += back_pi
        frailty_score[i] = _dropout_backward(q, start, hazard, joint, deviation, w, d_eta[i], frailty[i])
        rate_e = 0.0
        for back in range(periods + 1 - start):
            d = periods - back
            rate_e += rate[d]
            if want_posterior:
                posterior[i, d] = q[d]
                if d < periods:
                    exposure[i, d] = rate_e
                else:
                    ends[i, 0] = rate_e
            if d < periods:
                d_log_e[i, d] = w * (y[i, d] - e[d] * rate_e)
                d_log_m[i, d] = w * (n[i, d] + d_log_m[i, d])
        if want_posterior:
            for k in range(factor.size):
                ends[i, 3 + k] = joint[periods, k]
    return (
        loglik,
        d_eta,
        d_log_e,
        d_log_m,
        scores,
        frailty_score,
        nodes,
        frailty,
        posterior,
        exposure,
        ends,
    )
