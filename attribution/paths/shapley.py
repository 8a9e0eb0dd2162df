"""Shapley credit of journeys: each channel's average contribution over all orders of joining.

Two games. *Closed form*: v(S) = outcomes of the journeys whose channels all lie in S; its Shapley value
splits each journey equally between its distinct channels (Zhao, Mahboobi & Bagheri 2018, "Shapley value
methods for attribution modeling in online advertising", theorem 1). *Rate game*: v(S) = outcomes per journey
among the journeys within S, so that journeys without the outcome count; it needs all 2^C coalitions.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from attribution.paths.encoded import EncodedPaths, sum_by
from attribution.settings import MAX_RATE_GAME_CHANNELS
from histories.arrays import Float
from histories.errors import ConfigError


def shapley_equal_split(paths: EncodedPaths, outcome: Float) -> dict[str, float]:
    """Closed form: `outcome`, shape (n_paths,), of each path split between its distinct channels.

    >>> import polars as pl
    >>> from attribution.paths.encoded import encode_paths
    >>> paths = encode_paths(pl.DataFrame({"path": ["a > b > a", "b"], "conversions": [2, 1]}))
    >>> shapley_equal_split(paths, paths.conversions)
    {'a': 1.0, 'b': 2.0}
    """
    member = paths.membership()
    distinct = np.diff(member.indptr)
    each = np.divide(outcome, distinct, out=np.zeros(outcome.size), where=distinct > 0)
    credit = sum_by(member.indices, np.repeat(each, distinct), len(paths.channels))
    return dict(zip(paths.channels, credit.tolist(), strict=True))


def shapley_rate(paths: EncodedPaths, outcome: Float) -> dict[str, float]:
    """Rate game: the Shapley value of outcome per journey, scaled to all outcome of touched journeys.

    Negative credit stays: a channel may lower the rate of the coalitions it joins.

    Raises ConfigError above MAX_RATE_GAME_CHANNELS channels.
    """
    touched = outcome[paths.lengths > 0].sum()
    v = rate_game(paths, outcome)
    if v[-1] <= 0:
        return dict.fromkeys(paths.channels, 0.0)
    credit = shapley_values(v) * (touched / v[-1])
    return dict(zip(paths.channels, credit.tolist(), strict=True))


def rate_game(paths: EncodedPaths, outcome: Float) -> Float:
    """v(S) of all coalitions, shape (2^C,): bit c of the index says that channel c is in S.

    A coalition without a journey, the empty one above all, is worth 0.
    """
    n = len(paths.channels)
    if n > MAX_RATE_GAME_CHANNELS:
        raise ConfigError(
            f'the method "shapley_rate" compares all 2^C sets of channels and takes up to '
            f'{MAX_RATE_GAME_CHANNELS}; found {n}. Use "shapley", or exclude channels.'
        )
    member = paths.membership()
    bits = np.int64(1) << member.indices.astype(np.int64)
    key = np.zeros(paths.lengths.size, np.int64)
    np.add.at(key, np.repeat(np.arange(key.size), np.diff(member.indptr)), bits)
    touched = key > 0
    won = sum_by(key[touched], outcome[touched], 1 << n)
    walked = sum_by(key[touched], paths.journeys[touched], 1 << n)
    for sums in (won, walked):
        _sum_over_subsets(sums, n)
    return np.divide(won, walked, out=np.zeros_like(won), where=walked > 0)


def _sum_over_subsets(values: Float, n: int) -> None:
    """Replace values[S] by the sum over all T in S, in place (Yates; n 2^n additions)."""
    for bit in range(n):
        pairs = values.reshape(-1, 2, 1 << bit)
        pairs[:, 1] += pairs[:, 0]


def shapley_values(v: Float) -> Float:
    """Shapley value of a game given by the worth of all its 2^n coalitions, shape (n,).

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)) (Shapley 1953).
    """
    n = v.size.bit_length() - 1
    size = np.zeros(v.size, np.int64)
    for bit in range(n):
        size.reshape(-1, 2, 1 << bit)[:, 1] += 1
    weight = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)] + [0.0])[size]
    values = np.empty(n)
    for bit in range(n):
        pairs = v.reshape(-1, 2, 1 << bit)
        values[bit] = np.sum(weight.reshape(-1, 2, 1 << bit)[:, 0] * (pairs[:, 1] - pairs[:, 0]))
    return values
