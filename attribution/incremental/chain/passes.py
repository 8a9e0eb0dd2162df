"""Forward and backward over the months of every customer: exact likelihood, slopes, chances of each life.

Living states j have chances a_t(j) given that the customer is there; leaving with hazard h_t(j) ends the
chain. With Q the transitions between living states and e_t(j) the density of month t,

    p_t(j) = sum_i a_(t-1)(i) (1 - h_(t-1)(i)) Q_ij,      a_t(j) = p_t(j) e_t(j)
    L      = sum_(t in window) sum_j l_t(j)  +  [may be there still] sum_j a_P(j) (1 - h_P(j))

Of who leaves at the end of month t, l_t = a_t h_t. Of who leaves at any moment f of it, what was seen came in
the share f of the month, all of it up to the last sign at tau,

    l_t(j) = p_t(j) h'_t(j) integral_tau^1 e_t(j; f) df,

with rates f times as high in e_t(j; f), the density of events at their moments, and h' the hazard at the
stocks of that moment. In the month of the last sign the integral is taken at a few nodes. In a later month
nothing was seen, e_t(j; f) is nearly exp(-f L) with L = -log e_t(j; 1), and the integral (1 - exp(-L)) / L.

What the past says of a level depends on the states passed through. Each state carries the mean exposure of
the paths that lead to it, given what was seen,

    L_(t)(j) = sum_i a_(t-1)(i) (1 - h_(t-1)(i)) Q_ij (L_(t-1)(i) + mu_(t-1)(i)) / p_t(j),

so that the likelihood is exact where states last, and proper anyhow (each month's density adds up to one
given the past). The backward pass differentiates all of this in reverse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.emissions import AMOUNT, FLAG, SPLIT, emission_slopes, emissions
from attribution.incremental.chain.leaving import leaves, slopes_of_leaving, slopes_of_staying
from attribution.incremental.chain.leaving import stays as staying_on
from histories.arrays import Float, Integer
from histories.compiled import compiled

FLOOR = 1e-290
MOST_LOG = 600.0
EARLIEST = 0.01
"""Share of a month: a moment before it counts as so late, since nothing happens within nothing."""


@compiled
def _moment(node: float, last_sign: Float, values: Float) -> tuple[float, float, float]:
    """A moment of leaving by its place after the last sign, what was left then, events of known moments."""
    moment = max(last_sign[0] + last_sign[2] * node, EARLIEST)
    return moment, last_sign[2] if last_sign[2] > 0.0 else 1.0, max(values.sum() - last_sign[1], 0.0)


@compiled
def _log_of_part(silence: float) -> tuple[float, float]:
    """Log of the integral of exp(-f L) over f in (0, 1), and the mean of f with that density."""
    if silence < 1e-4:
        return -0.5 * silence, 0.5 - silence / 12.0
    rest = -np.expm1(-silence)
    return np.log(rest / silence), 1.0 / silence - (1.0 - rest) / rest


@compiled
def _filter(
    entry: int,
    end: int,
    odds: Float,
    resting: Integer,
    push: Float,
    kinds: Integer,
    values: Float,
    eta: Float,
    lift: Float,
    shape: Float,
    extra: Float,
    first: Float,
    moves: Float,
    block: int,
    low: int,
    high: int,
    last_sign: Float,
    moments: Float,
    shift: Float,
    after: float,
    bought: Float,
    hazard: Float,
    leaving: Float,
    parts: Float,
    ends: Float,
    mean: Float,
    before: Float,
    now: Float,
    scale: Float,
    count: Float,
    exposure: Float,
    rate: Float,
    other: Float,
) -> None:
    """One customer forwards: fills the arrays from `hazard` on, months first.

    Of months in which the customer may have left, `leaving` is the hazard of one who does, `ends` the chance
    of what was seen if he does, on the scale of `now`, and `mean` the moment where nothing was seen, each
    (P, J); `parts` is what each moment adds to it in the month of the last sign, (K, J).
    """
    states, streams = len(first), len(kinds)
    density = np.empty(states)
    scratch = np.empty(states)
    running = 0.0
    for t in range(entry, end + 1):
        if t == entry:
            for j in range(states):
                before[t, j] = 1.0
            count[t] = 0.0
            exposure[t] = 0.0
        else:
            for c in range(streams):
                if kinds[c] == AMOUNT:
                    count[t, c] = count[t - 1, c] + (extra[0] if values[t - 1, c] > 0.0 else 0.0)
                elif kinds[c] != FLAG:
                    count[t, c] = count[t - 1, c] + values[t - 1, c]
            count[t, streams] = count[t - 1, streams]
            for c in range(streams):
                if kinds[c] == SPLIT:
                    count[t, streams] += values[t - 1, c]
            if block == 1:
                for j in range(states):
                    before[t, j] = max(now[t - 1, j] * (1.0 - hazard[t - 1, j]), FLOOR)
                    for c in range(streams + 1):
                        exposure[t, c, j] = exposure[t - 1, c, j] + rate[t - 1, c, j]
            else:
                before[t] = 0.0
                exposure[t] = 0.0
                for i in range(states):
                    flow = max(now[t - 1, i] * (1.0 - hazard[t - 1, i]), FLOOR)
                    start = i // block * block
                    for j in range(start, start + block):
                        scratch[j] = flow * moves[i, j]
                        before[t, j] += scratch[j]
                    for c in range(streams + 1):
                        passed = exposure[t - 1, c, i] + rate[t - 1, c, i]
                        for j in range(start, start + block):
                            exposure[t, c, j] += scratch[j] * passed
                for j in range(states):
                    before[t, j] = max(before[t, j], FLOOR)
                    for c in range(streams + 1):
                        exposure[t, c, j] /= before[t, j]
        for j in range(states):
            density[j] = first[j] if t == entry else 0.0
            hazard[t, j] = 1.0 - staying_on(odds[t, resting[j]] + push[j], after, bought[t])
        emissions(t, 0.0, kinds, values, eta, lift, shape, extra, count, exposure, rate, density)
        top = density.max()
        total = 0.0
        for j in range(states):
            now[t, j] = before[t, j] * np.exp(density[j] - top)
            total += now[t, j]
        for j in range(states):
            now[t, j] /= total
        if low <= t <= high:
            for j in range(states):
                moved = shift[t] if resting[j] == 0 else 0.0
                leaving[t, j] = leaves(odds[t, resting[j]] + push[j], moved, after, bought[t], last_sign[3])
                ends[t, j] = now[t, j]
                mean[t, j] = 1.0
            if len(moments) and t > low:
                for j in range(states):
                    part, mean[t, j] = _log_of_part(-density[j])
                    ends[t, j] = before[t, j] * np.exp(min(part - top, MOST_LOG)) / total
            elif len(moments):
                ends[t] = 0.0
                for k in range(len(moments)):
                    f, share, timed = _moment(moments[k, 0], last_sign, values[t])
                    late = np.log(f)
                    for j in range(states):
                        scratch[j] = (first[j] if t == entry else 0.0) - timed * late
                    emissions(
                        t, late, kinds, values, eta, lift, shape, extra, count, exposure, other, scratch
                    )
                    for j in range(states):
                        chance = np.exp(min(scratch[j] - top, MOST_LOG)) * share * moments[k, 1] / total
                        parts[k, j] = before[t, j] * chance
                        ends[t, j] += parts[k, j]
        running += top + np.log(total)
        scale[t] = running


@compiled
def _together(t: int, chance: Float, hazard: Float) -> float:
    """Sum over states of the products of month t."""
    total = 0.0
    for j in range(chance.shape[1]):
        total += chance[t, j] * hazard[t, j]
    return total


@compiled
def _log_likelihood(
    low: int,
    high: int,
    end: int,
    stays: bool,
    hazard: Float,
    leaving: Float,
    ends: Float,
    now: Float,
    scale: Float,
) -> float:
    """Log of the sum over the months of leaving that are possible, and over being there still."""
    top = scale[end] if stays else -np.inf
    for t in range(low, high + 1):
        top = max(top, scale[t])
    total = 0.0
    for t in range(low, high + 1):
        total += np.exp(scale[t] - top) * _together(t, ends, leaving)
    if stays:
        for j in range(now.shape[1]):
            total += np.exp(scale[end] - top) * now[end, j] * (1.0 - hazard[end, j])
    value: float = top + np.log(max(total, FLOOR))
    return value


@compiled
def chain_slopes(
    features: Float,
    move_slopes: Float,
    entry: Integer,
    end: Integer,
    low: Integer,
    high: Integer,
    stays: NDArray[np.bool_],
    odds: Float,
    resting: Integer,
    push: Float,
    kinds: Integer,
    values: Float,
    eta: Float,
    lift: Float,
    shape: Float,
    extra: Float,
    first: Float,
    moves: Float,
    block: int,
    last_sign: Float,
    moments: Float,
    shift: Float,
    after: float,
    bought: Float,
) -> tuple[Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float, Float]:
    """Log-likelihood of every customer and its slopes.

    N customers, P months, M streams, J states, F features.

    Parameters
    ----------
    features
        Of each state, in which `push` and the log of `lift` are linear, shape (J, F).
    move_slopes
        Slopes of the transitions by R parameters, shape (R, J, J).
    entry, end
        First and last month with a row, shape (N,).
    low, high, stays
        First and last month in which the customer may have left, and whether he may be there still, (N,).
    odds, resting
        Log-odds of leaving but for the state, shape (N, P, 2): of states that feel their stocks and of states
        that do not; and to which each state belongs, shape (J,).
    push
        What a state adds to them, shape (J,).
    kinds, values, eta, lift, shape, extra
        As in `emissions`, values and eta of shape (N, P, M).
    first
        Log chance of each state at entry, plus what is seen only there, shape (N, J).
    moves
        Transitions of living states, shape (J, J).
    block
        Neighbouring states between which customers move; 1: states last (`moves` is then not read).
    last_sign
        Of the month of each customer's last sign: the share of it that had passed by then, events of unknown
        moments, the share in which the moment of leaving may lie, none if it is that of the sign, and what it
        was (see `leaving`), (N, 4).
    moments
        Nodes and weights on (0, 1) that stand for the moments of leaving, shape (K, 2); none: all leave at
        the end of a month, and `last_sign` is not read.
    shift
        What stocks add to the log-odds of who leaves in a month, in states that feel them, shape (N, P); read
        from the month of the last sign on.
    after, bought
        How much higher the log-odds of leaving are after a purchase, which `odds` hold in months with one;
        and purchases after which a customer may leave, shape (N, P), 0 where nobody does.

    Returns
    -------
    Log-likelihood (N,); slopes by log-odds (N, P, 2); by predictors (N, P, M); by what features do to
    leaving (N, F); to streams (N, M, F); by shapes (N, M + 1); by extra (N, 4 + M); by first (N, J); by
    transitions (N, R); by `shift` (N, P); by `after` where it enters the log-odds of leaving at any time,
    (N,); and the chance of being there at the end in each state (N, J).
    """
    n, periods, streams = values.shape
    states, width, parameters = len(push), features.shape[1], len(move_slopes)
    loglik = np.empty(n)
    by_odds, by_eta = np.zeros((n, periods, 2)), np.zeros((n, periods, streams))
    by_push, by_lift = np.zeros((n, width)), np.zeros((n, streams, width))
    by_shape, by_extra = np.zeros((n, streams + 1)), np.zeros((n, len(extra)))
    by_first, by_moves, staying = np.zeros((n, states)), np.zeros((n, parameters)), np.zeros((n, states))
    hazard, before, now = (
        np.empty((periods, states)),
        np.empty((periods, states)),
        np.empty((periods, states)),
    )
    scale, count = np.empty(periods), np.zeros((periods, streams + 1))
    exposure = np.zeros((periods, streams + 1, states))
    rate, other = np.zeros((periods, streams + 1, states)), np.empty((periods, streams + 1, states))
    weight, flow_slope, before_slope = np.empty(states), np.empty(states), np.empty(states)
    by_rate = np.empty((streams, states))
    by_exposure, later = np.zeros((streams + 1, states)), np.zeros((streams + 1, states))
    nodes = len(moments)
    leaving, parts = np.empty((periods, states)), np.empty((nodes, states))
    ends, mean, felt = np.empty((periods, states)), np.empty((periods, states)), np.empty(states)
    by_shift, by_after = np.zeros((n, periods)), np.zeros(n)
    never = np.zeros((streams + 1, states))
    on_push, on_lift, on_moves = np.empty(states), np.empty((streams, states)), np.empty((states, states))
    by_move, moves_to = np.empty(states), np.ascontiguousarray(moves.T)
    part_rate, part_exposure = np.empty((streams, states)), np.empty((streams + 1, states))
    for i in range(n):
        a, b = entry[i], end[i]
        _filter(
            a, b, odds[i], resting, push, kinds, values[i], eta[i], lift, shape, extra, first[i], moves,
            block, low[i], high[i], last_sign[i], moments, shift[i], after,
            bought[i], hazard, leaving, parts, ends, mean, before, now, scale, count, exposure, rate,
            other,
        )  # fmt: skip
        loglik[i] = _log_likelihood(low[i], high[i], b, stays[i], hazard, leaving, ends, now, scale)
        seen, of_shape, of_extra = values[i], by_shape[i], by_extra[i]
        later[:] = 0.0
        flow_slope[:] = 0.0
        on_push[:], on_lift[:], on_moves[:] = 0.0, 0.0, 0.0
        for t in range(b, a - 1, -1):
            there = np.exp(min(scale[t] - loglik[i], 700.0))
            may_leave = low[i] <= t <= high[i]
            at_nodes = may_leave and nodes > 0 and t == low[i]
            for j in range(states):
                h = hazard[t, j]
                if t == b and stays[i]:
                    flow_slope[j] = there
                    staying[i, j] = there * now[t, j] * (1.0 - h)
                weight[j] = flow_slope[j] * (1.0 - h) * now[t, j]
                felt[j] = weight[j]
                z = odds[i, t, resting[j]] + push[j]
                by_h, by_rest = slopes_of_staying(z, after, bought[i, t])
                by_h, by_rest = by_h * weight[j], by_rest * weight[j]
                if may_leave:
                    gone = there * ends[t, j] * leaving[t, j]
                    moved = shift[i, t] if resting[j] == 0 else 0.0
                    by_z, at_any_time, by_moved = slopes_of_leaving(
                        z, moved, after, bought[i, t], last_sign[i, 3]
                    )
                    by_h += gone * by_z
                    by_rest += gone * at_any_time
                    if resting[j] == 0:
                        by_shift[i, t] += gone * by_moved
                    weight[j] += gone
                    felt[j] += 0.0 if at_nodes else gone * mean[t, j]
                by_odds[i, t, resting[j]] += by_h
                by_after[i] -= by_rest
                on_push[j] += by_h
            emission_slopes(
                t, 1.0, kinds, seen, lift, shape, extra, count, exposure, rate, felt, later,
                by_rate, by_exposure, of_shape, of_extra,
            )  # fmt: skip
            for k in range(nodes if at_nodes else 0):
                share = _moment(moments[k, 0], last_sign[i], values[i, t])[0]
                for j in range(states):
                    felt[j] = there * parts[k, j] * leaving[t, j]
                emission_slopes(
                    t, share, kinds, seen, lift, shape, extra, count, exposure, rate, felt,
                    never, part_rate, part_exposure, of_shape, of_extra,
                )  # fmt: skip
                by_rate += part_rate
                by_exposure += part_exposure
            for c in range(streams):
                for j in range(states):
                    by_eta[i, t, c] += by_rate[c, j]
                    on_lift[c, j] += by_rate[c, j]
            if t == a:
                by_first[i] = weight
                break
            if block == 1:
                for j in range(states):
                    flow_slope[j] = weight[j] / before[t, j]
                later[:] = by_exposure
                continue
            for j in range(states):
                total = weight[j]
                for c in range(streams + 1):
                    total -= by_exposure[c, j] * exposure[t, c, j]
                    by_exposure[c, j] /= before[t, j]
                before_slope[j] = total / before[t, j]
            for k in range(states):
                flow = now[t - 1, k] * (1.0 - hazard[t - 1, k])
                start = k // block * block
                for j in range(start, start + block):
                    by_move[j] = before_slope[j]
                for c in range(streams + 1):
                    passed = exposure[t - 1, c, k] + rate[t - 1, c, k]
                    for j in range(start, start + block):
                        by_move[j] += by_exposure[c, j] * passed
                flow_slope[k] = 0.0
                for j in range(start, start + block):
                    flow_slope[k] += moves[k, j] * by_move[j]
                    on_moves[k, j] += flow * by_move[j]
                weight[k] = flow
            for c in range(streams + 1):
                later[c] = 0.0
                for j in range(states):
                    start = j // block * block
                    for k in range(start, start + block):
                        later[c, k] += moves_to[j, k] * by_exposure[c, j]
                for k in range(states):
                    later[c, k] *= weight[k]
        for j in range(states):
            for f in range(width):
                by_push[i, f] += on_push[j] * features[j, f]
                for c in range(streams):
                    by_lift[i, c, f] += on_lift[c, j] * features[j, f]
            start = j // block * block
            for r in range(parameters):
                for k in range(start, start + block):
                    by_moves[i, r] += move_slopes[r, k, j] * on_moves[k, j]
    return (
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
    )


@compiled
def chain_paths(
    uniform: Float,
    entry: Integer,
    end: Integer,
    low: Integer,
    high: Integer,
    stays: NDArray[np.bool_],
    odds: Float,
    resting: Integer,
    push: Float,
    kinds: Integer,
    values: Float,
    eta: Float,
    lift: Float,
    shape: Float,
    extra: Float,
    first: Float,
    moves: Float,
    block: int,
    last_sign: Float,
    moments: Float,
    shift: Float,
    after: float,
    bought: Float,
) -> tuple[Integer, Integer, Float]:
    """States drawn from each customer's posterior: paths that go on and paths that ended.

    The parameters are those of `chain_slopes` from `entry` on, and before them `uniform`: numbers in (0, 1),
    shape (Q, N, P + 1), Q even; the first half of the draws are lives that go on.

    Returns
    -------
    State by draw, customer and month, (Q, N, P); last month lived through by draw and customer, (Q, N), P for
    who is there still; and the chance of being there still (N,). Where only one kind of life is possible
    all draws are of that kind.
    """
    n, periods, streams = values.shape
    draws, states = len(uniform), len(push)
    path, last, alive = (
        np.zeros((draws, n, periods), dtype=np.int64),
        np.zeros((draws, n), dtype=np.int64),
        np.zeros(n),
    )
    hazard, before, now = (
        np.empty((periods, states)),
        np.empty((periods, states)),
        np.empty((periods, states)),
    )
    scale, count = np.empty(periods), np.zeros((periods, streams + 1))
    exposure = np.zeros((periods, streams + 1, states))
    rate, other = np.zeros((periods, streams + 1, states)), np.empty((periods, streams + 1, states))
    chance = np.empty(periods)
    weight = np.empty(states)
    leaving, parts = np.empty((periods, states)), np.empty((len(moments), states))
    ends, mean = np.empty((periods, states)), np.empty((periods, states))
    for i in range(n):
        a, b = entry[i], end[i]
        _filter(
            a, b, odds[i], resting, push, kinds, values[i], eta[i], lift, shape, extra, first[i], moves,
            block, low[i], high[i], last_sign[i], moments, shift[i], after,
            bought[i], hazard, leaving, parts, ends, mean, before, now, scale, count, exposure, rate,
            other,
        )  # fmt: skip
        loglik = _log_likelihood(low[i], high[i], b, stays[i], hazard, leaving, ends, now, scale)
        if stays[i]:
            alive[i] = min(np.exp(scale[b] - loglik) * (now[b] * (1.0 - hazard[b])).sum(), 1.0)
        for q in range(draws):
            goes_on = stays[i] and (2 * q < draws or low[i] > high[i])
            t = b
            if not goes_on:
                total = 0.0
                for d in range(low[i], high[i] + 1):
                    total += np.exp(scale[d] - loglik) * (ends[d] * leaving[d]).sum()
                    chance[d] = total
                t = low[i]
                while t < high[i] and chance[t] < uniform[q, i, periods] * total:
                    t += 1
            last[q, i] = periods if goes_on else t
            for j in range(states):
                weight[j] = now[t, j] * (1.0 - hazard[t, j]) if goes_on else ends[t, j] * leaving[t, j]
            state = _draw(weight, uniform[q, i, t])
            path[q, i, t] = state
            while t > a:
                t -= 1
                if block > 1:
                    for j in range(states):
                        weight[j] = now[t, j] * (1.0 - hazard[t, j]) * moves[j, state]
                    state = _draw(weight, uniform[q, i, t])
                path[q, i, t] = state
    return path, last, alive


@compiled
def _draw(weight: Float, uniform: float) -> int:
    """A position by its weight."""
    threshold, k = uniform * weight.sum(), 0
    total = weight[0]
    while k < len(weight) - 1 and total < threshold:
        k += 1
        total += weight[k]
    return k
