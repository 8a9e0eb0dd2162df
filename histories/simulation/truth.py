"""What each channel truly contributed in a simulated company.

The truth is the Shapley value of v(S), the exactly expected outcome of the same customers with the channels
outside S switched off: same traits, same touches that would have come, no sampling of leaving or spending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float, Real, Single
from histories.compiled import compiled

TOGETHER = 64
"""Customers whose coalitions are summed at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeTruth:
    """True credit of one outcome; credit and baseline add up to the total."""

    credit: NDArray[np.float64]
    """Shapley value of each channel, in customers or currency, shape (C,)."""
    baseline: float
    """Expected outcome with every channel off."""
    total: float
    """Expected outcome with every channel on."""
    without: NDArray[np.float64]
    """Expected outcome with one channel off and the others on, shape (C,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """True credits of a simulated company, by outcome ("retention", "spend", "lifetime_value")."""

    channels: tuple[str, ...]
    outcomes: Mapping[str, OutcomeTruth]
    parameters: Mapping[str, object]
    """The parameters of the generative process, by name."""


def coalition_values(
    *,
    odds: Real,
    mean: Real,
    hazard_effect: Real,
    spend_effect: Real,
    entry: NDArray[np.int64],
    residual: Real | None = None,
) -> NDArray[np.float64]:
    """Expected survivors, spend and residual value of every coalition; bit c of the index is channel c.

    Parameters
    ----------
    odds, mean
        Odds of leaving, and spend expected of a customer, with every channel off, shape (N, P).
    hazard_effect, spend_effect
        What channel c adds to the log-odds of leaving and to log spend, shape (N, P, C).
    entry
        First period of each customer, shape (N,).
    residual
        Value after the last period of a customer who is still there, shape (N,); None for zeros.

    Returns
    -------
    Sums over customers, shape (3, 2^C): retention, spend, residual value.
    """
    rest = np.zeros(len(entry)) if residual is None else np.ascontiguousarray(residual, dtype=np.float64)
    sums: NDArray[np.float64] = coalition_sums(
        np.ascontiguousarray(odds, dtype=np.float64),
        np.ascontiguousarray(mean, dtype=np.float64),
        np.ascontiguousarray(hazard_effect, dtype=np.float32),
        np.ascontiguousarray(spend_effect, dtype=np.float32),
        np.ascontiguousarray(entry, dtype=np.int64),
        rest,
    )
    return sums


def shapley_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shapley value of each of C players from the values of all 2^C coalitions (Shapley 1953).

    Examples
    --------
    >>> shapley_values(np.array([0.0, 1.0, 2.0, 5.0])).tolist()
    [2.0, 3.0]
    """
    size = len(values)
    players = size.bit_length() - 1
    masks = np.arange(size)
    count = np.bitwise_count(masks)
    orders = [factorial(k) * factorial(players - k - 1) / factorial(players) for k in range(players)]
    weight = np.array(orders)
    credit = np.empty(players)
    for c in range(players):
        without = masks[(masks >> c) & 1 == 0]
        gain = values[without | (1 << c)] - values[without]
        credit[c] = weight[count[without]] @ gain
    return credit


def truth_of(values: NDArray[np.float64]) -> OutcomeTruth:
    """Truth of one outcome from the values of all coalitions, shape (2^C,)."""
    players = len(values).bit_length() - 1
    everyone = len(values) - 1
    return OutcomeTruth(
        credit=shapley_values(values),
        baseline=float(values[0]),
        total=float(values[-1]),
        without=values[everyone ^ (1 << np.arange(players))],
    )


@compiled
def coalition_sums(
    odds: Float,
    mean: Float,
    hazard_effect: Single,
    spend_effect: Single,
    entry: NDArray[np.int64],
    residual: Float,
) -> Float:
    """Expected survivors, spend and residual value under each of the 2^C coalitions, shape (3, 2^C).

    `odds` (of leaving) and `mean` (of spend while a customer), shape (N, P), hold with every channel off;
    channel c multiplies them by exp(effect_itc), shape (N, P, C). Coalitions are walked in Gray-code order,
    so that each differs from the one before by a single channel and costs one product per row; customers
    are walked `TOGETHER` at a time, so that their divisions need not wait for each other.
    """
    n, periods, channels = hazard_effect.shape
    size = 1 << channels
    sums = np.zeros((3, size))
    span = periods * TOGETHER
    step = np.empty((2 * channels, 2 * span))  # channels off, then on; odds, then mean
    now = np.empty(2 * span)
    alive, spent = np.empty(TOGETHER), np.empty(TOGETHER)
    for begin in range(0, n, TOGETHER):
        some = min(TOGETHER, n - begin)
        step[:], now[:] = 1.0, 0.0  # before customers enter, and of those beyond the last, nothing happens
        for b in range(some):
            i = begin + b
            for t in range(entry[i], periods):
                at = t * TOGETHER + b
                now[at] = odds[i, t]
                now[span + at] = mean[i, t]
                for c in range(channels):
                    leaving = np.exp(np.float64(hazard_effect[i, t, c]))
                    spending = np.exp(np.float64(spend_effect[i, t, c]))
                    step[channels + c, at] = leaving
                    step[channels + c, span + at] = spending
                    step[c, at] = 1.0 / leaving
                    step[c, span + at] = 1.0 / spending
        mask = 0
        for k in range(size):
            if k > 0:
                c = 0
                while (k >> c) & 1 == 0:
                    c += 1
                mask ^= 1 << c
                now *= step[((mask >> c) & 1) * channels + c]
            alive[:], spent[:] = 1.0, 0.0
            for t in range(periods):
                leaves = now[t * TOGETHER : (t + 1) * TOGETHER]
                spends = now[span + t * TOGETHER : span + (t + 1) * TOGETHER]
                for b in range(TOGETHER):
                    spent[b] += alive[b] * spends[b]
                    alive[b] /= 1.0 + leaves[b]
            for b in range(some):
                sums[0, mask] += alive[b]
                sums[1, mask] += spent[b]
                sums[2, mask] += alive[b] * residual[begin + b]
    return sums
