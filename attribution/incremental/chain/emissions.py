"""What one customer's month says in every living state, and how that depends on rates, levels and shapes.

Levels of customers are integrated out by their predictive. With level a ~ Gamma(s, s), counts N and exposure
L of the months before,

    n | past ~ NB:  log p = lgamma(s+N+n) - lgamma(s+N) - (s+N+n) log(1 + mu/(s+L)) + n log(mu/(s+L))

less log n!, which no parameter enters. `SPLIT` streams share one level: the level of each stream beyond the
shared one is taken at its mean given the past, B_c = (s_c + N_c) / (s_c + A L_c) with A = (s + N) / (s + L),
so that the total is NB with exposure W = sum mu_c B_c and splits in the proportions mu_c B_c. `AMOUNT` is
Gamma with shape nu and a gamma level on its rate; its predictive is the same with n = nu, mu = nu y / mean.
A month without an amount (0) says nothing of it.
`BURST` is a count whose rate varies from month to month besides, gamma with variance phi_c: its predictive is
taken as negative binomial with the same mean m and variance, of shape 1 / (phi_c + (1 + phi_c) / (s + N)).
`HURDLE` is a count at the level's mean m given the past, none with probability exp(-phi m^delta), else a
Poisson count of mean rate zeta m that is not zero.
"""

from __future__ import annotations

from math import lgamma

import numpy as np

from histories.arrays import Float, Integer
from histories.compiled import compiled

COUNT, SPLIT, AMOUNT, FLAG, HURDLE, BURST = 0, 1, 2, 3, 4, 5
"""Kinds of streams: a count with a level of its own, one of several counts that share a level, a positive
amount, a yes or no, a count of regular events, and a count of events that come in bursts."""
OF_STREAMS = 4
"""Place of the first phi_c in `extra`."""
MOST_FACTORS = 24
"""Counts up to which a ratio of gamma functions is a product."""
TINY = 1e-12


@compiled
def digamma(x: float) -> float:
    """Slope of log gamma: recurrence up to 6, then the asymptotic series (Abramowitz & Stegun 6.3.18)."""
    value = 0.0
    while x < 6.0:
        value -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    value += float(np.log(x)) - 0.5 / x - y * (1.0 / 12.0 - y * (1.0 / 120.0 - y / 252.0))
    return value


@compiled
def _few(n: float) -> bool:
    """Whether a ratio of gamma functions n apart is taken as a product."""
    return n <= MOST_FACTORS and n == np.floor(n)


@compiled
def _rising(a: float, n: float) -> float:
    """Log Gamma(a + n) - log Gamma(a)."""
    if not _few(n):
        return lgamma(a + n) - lgamma(a)
    product = 1.0
    for i in range(int(n)):
        product *= a + i
    return float(np.log(product))


@compiled
def _slope_of_rising(a: float, n: float) -> float:
    """Its slope in a."""
    if not _few(n):
        return digamma(a + n) - digamma(a)
    slope = 0.0
    for i in range(int(n)):
        slope += 1.0 / (a + i)
    return slope


@compiled
def emissions(
    t: int,
    late: float,
    kinds: Integer,
    values: Float,
    eta: Float,
    lift: Float,
    shape: Float,
    extra: Float,
    count: Float,
    exposure: Float,
    rate: Float,
    log_density: Float,
) -> None:
    """Add the log-density of one month to every state; write rates, and what the month adds to exposures.

    What is seen of P months comes whole, with the month: a view of it for every month costs as much as the
    arithmetic.

    Parameters
    ----------
    t
        The month.
    late
        Added to every predictor.
    kinds
        Kind of each of M streams, shape (M,).
    values, eta
        What was seen and the log-linear predictor, shape (P, M).
    lift
        exp of what each of J states adds to the predictor, shape (M, J); of a `FLAG` not its exp.
    shape
        Shapes s of the levels, the shared one last, shape (M + 1,).
    extra
        nu of an amount; delta, phi, zeta of a hurdle; phi_c of each stream, shape (4 + M,).
    count
        N of each stream in the months before (of an amount: nu times months that had one), shared last, shape
        (P, M + 1).
    exposure
        L before the month, shape (P, M + 1, J).
    rate
        Output: mu of each stream, W last, shape (P, M + 1, J).
    log_density
        Output, added to, shape (J,).
    """
    states, shared = lift.shape[1], len(kinds)
    together, some = 0.0, False
    for j in range(states):
        rate[t, shared, j] = 0.0
    for c in range(shared):
        n, kind = values[t, c], kinds[c]
        if kind == FLAG:
            for j in range(states):
                z = eta[t, c] + late + lift[c, j]
                rate[t, c, j] = 1.0 / (1.0 + np.exp(-z))
                log_density[j] += (z if n > 0.0 else 0.0) - (np.log1p(np.exp(z)) if z < 30.0 else z)
            continue
        if kind == AMOUNT and n <= 0.0:
            for j in range(states):
                rate[t, c, j] = 0.0
            continue
        a = shape[c] + count[t, c]
        base = np.exp(eta[t, c] + late)
        if kind == SPLIT:
            for j in range(states):
                rate[t, c, j] = base * lift[c, j]
                whole = (shape[shared] + count[t, shared]) / (shape[shared] + exposure[t, shared, j])
                part = rate[t, c, j] * a / (shape[c] + whole * exposure[t, c, j])
                rate[t, shared, j] += part
                if n > 0.0:
                    log_density[j] += n * np.log(part)
            together += n
            some = True
            continue
        if kind == AMOUNT:
            base = extra[0] * n / base
            n = extra[0]
        constant, spread = 0.0, 0.0
        if kind == BURST:
            spread = 1.0 / (extra[OF_STREAMS + c] + (1.0 + extra[OF_STREAMS + c]) / a)
            constant = _rising(spread, n)
        if kind in (COUNT, AMOUNT):
            constant = _rising(a, n)
            if kind == AMOUNT:
                constant -= lgamma(n) + np.log(values[t, c])
        for j in range(states):
            mu = base / lift[c, j] if kind == AMOUNT else base * lift[c, j]
            rate[t, c, j] = mu
            b = shape[c] + exposure[t, c, j]
            if kind == BURST:
                m = mu * a / (b * spread)
                log_density[j] += constant - (spread + n) * np.log1p(m)
                if n > 0.0:
                    log_density[j] += n * np.log(m)
            elif kind == HURDLE:
                m = max(mu * a / b, TINY)
                z = extra[2] * m ** extra[1]
                if n == 0.0:
                    log_density[j] -= z
                else:
                    often = extra[3] * m
                    log_density[j] += np.log(max(1.0 - np.exp(-z), TINY)) + n * np.log(often)
                    log_density[j] -= np.log(max(np.expm1(often), TINY))
            else:
                log_density[j] += constant - (a + n) * np.log1p(mu / b)
                if n > 0.0:
                    log_density[j] += n * np.log(mu / b)
    if some:
        a = shape[shared] + count[t, shared]
        constant = _rising(a, together)
        for j in range(states):
            b = shape[shared] + exposure[t, shared, j]
            log_density[j] += constant - (a + together) * np.log1p(rate[t, shared, j] / b)
            log_density[j] -= together * np.log(b)


@compiled
def emission_slopes(
    t: int,
    share: float,
    kinds: Integer,
    values: Float,
    lift: Float,
    shape: Float,
    extra: Float,
    count: Float,
    exposure: Float,
    rate: Float,
    weight: Float,
    later: Float,
    by_rate: Float,
    by_exposure: Float,
    by_shape: Float,
    by_extra: Float,
) -> None:
    """Slopes of what `emissions` adds, weighted over states, and of what the month adds to later exposures.

    Parameters
    ----------
    t, kinds, values, lift, shape, extra, count, exposure, rate
        As in `emissions`, rates as written there.
    share
        What the rates are multiplied with.
    weight
        Slope of the log-likelihood by the month's log-density in each state, shape (J,).
    later
        Slope by the exposures after this month, shape (M + 1, J).
    by_rate
        Output: slope by the predictor in each state, shape (M, J).
    by_exposure
        Output: slope by the exposures before this month, shape (M + 1, J).
    by_shape, by_extra
        Added to: slopes by s, shape (M + 1,), and by the extras, shape (4 + M,).
    """
    states, shared = lift.shape[1], len(kinds)
    total_weight = weight.sum()
    together, some = 0.0, False
    for c in range(shared):
        if kinds[c] == SPLIT:
            together += values[t, c]
            some = True
    for j in range(states):
        by_exposure[shared, j] = later[shared, j]
    a_all = shape[shared] + count[t, shared]
    if some:
        by_shape[shared] += total_weight * _slope_of_rising(a_all, together)
        for j in range(states):
            b_all = shape[shared] + exposure[t, shared, j]
            per_part = (a_all + together) / (b_all + share * rate[t, shared, j])
            slope = weight[j] * (per_part * share * rate[t, shared, j] - together) / b_all
            by_exposure[shared, j] += slope
            by_shape[shared] += slope - weight[j] * np.log1p(share * rate[t, shared, j] / b_all)
    for c in range(shared):
        n, kind = values[t, c], kinds[c]
        if kind == FLAG:
            for j in range(states):
                by_rate[c, j] = weight[j] * ((1.0 if n > 0.0 else 0.0) - share * rate[t, c, j])
                by_exposure[c, j] = 0.0
            continue
        if kind == AMOUNT and n <= 0.0:
            for j in range(states):
                by_rate[c, j] = 0.0
                by_exposure[c, j] = later[c, j]
            continue
        a = shape[c] + count[t, c]
        if kind == SPLIT:
            for j in range(states):
                b_all = shape[shared] + exposure[t, shared, j]
                whole, per_part = a_all / b_all, (a_all + together) / (b_all + share * rate[t, shared, j])
                mu, inverse = share * rate[t, c, j], 1.0 / (shape[c] + whole * exposure[t, c, j])
                part = mu * a * inverse
                by_part = weight[j] * (n - per_part * part) + later[shared, j] * part
                by_rate[c, j] = later[c, j] * mu + by_part
                by_exposure[c, j] = later[c, j] - by_part * whole * inverse
                by_shape[c] += by_part * (1.0 / a - inverse)
                by_whole = by_part * exposure[t, c, j] * inverse / b_all
                by_exposure[shared, j] += by_whole * whole
                by_shape[shared] -= by_whole * (1.0 - whole)
            continue
        if kind == AMOUNT:
            n = extra[0]
            by_extra[0] += total_weight * (digamma(a + n) - digamma(n))
            months = count[t, c] / n
            by_a = _slope_of_rising(a, n)
            by_shape[c] += total_weight * by_a
            by_extra[0] += total_weight * months * by_a
        elif kind == COUNT:
            by_shape[c] += total_weight * _slope_of_rising(a, n)
        spread, rising, by_spread = 1.0, 0.0, 0.0
        if kind == BURST:
            spread = 1.0 / (extra[OF_STREAMS + c] + (1.0 + extra[OF_STREAMS + c]) / a)
            rising = _slope_of_rising(spread, n)
        for j in range(states):
            mu, w = share * rate[t, c, j], weight[j]
            by_mu = later[c, j] * mu
            by_exposure[c, j] = later[c, j]
            b = shape[c] + exposure[t, c, j]
            if kind == BURST:
                m = mu * a / b
                by_spread += w * (rising - np.log1p(m / spread) + (m - n) / (spread + m))
                by_m = w * spread * (n - m) / (spread + m)
                by_mu += by_m
                by_exposure[c, j] -= by_m / b
                by_shape[c] += by_m * (1.0 / a - 1.0 / b)
            elif kind == HURDLE:
                m = max(mu * a / b, TINY)
                z = extra[2] * m ** extra[1]
                if n == 0.0:
                    by_z, by_m = -w * z, 0.0
                else:
                    often = extra[3] * m
                    by_z = w * z * np.exp(-z) / max(1.0 - np.exp(-z), TINY)
                    by_m = w * (n - often / max(1.0 - np.exp(-often), TINY))
                    by_extra[3] += by_m / extra[3]
                by_extra[1] += by_z * np.log(m)
                by_extra[2] += by_z / extra[2]
                by_m += by_z * extra[1]
                by_mu += by_m
                by_exposure[c, j] -= by_m / b
                by_shape[c] += by_m * (1.0 / a - 1.0 / b)
            else:
                slope = w * (n - (a + n) * mu / (b + mu))
                log_ratio = np.log1p(mu / b)
                by_mu += slope
                by_exposure[c, j] -= slope / b
                by_shape[c] -= slope / b + w * log_ratio
                if kind == AMOUNT:
                    by_extra[0] += w * (np.log(mu / b) - log_ratio * (1.0 + months)) + by_mu / n
                    by_mu = -by_mu
            by_rate[c, j] = by_mu
        if kind == BURST:
            by_shape[c] += by_spread * (spread / a) ** 2 * (1.0 + extra[OF_STREAMS + c])
            by_extra[OF_STREAMS + c] -= by_spread * spread**2 * (1.0 + 1.0 / a)
