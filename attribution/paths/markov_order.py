"""How many channels a chain should remember: the order that predicts held-out journeys best.

Journeys are split at random into folds. An order's loss is the mean negative log-likelihood of a held-out
journey, its end included, under transition probabilities of the other folds, smoothed towards the next lower
order (Witten & Bell 1991, "The zero-frequency problem", method C):
p_k(x | c_k) = (n(c_k, x) + t(c_k) p_{k-1}(x | c_{k-1})) / (n(c_k) + t(c_k)), with t(c) the number of distinct
continuations seen after c. A higher order must beat the lower ones by more than a standard error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.paths.encoded import EncodedPaths, sum_by
from histories.arrays import Float, Integer
from histories.errors import DataError

MAX_ORDER, FOLDS = 3, 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Steps:
    """Every step of every path, the two possible ends included."""

    path: Integer
    """Path of each step, shape (n_steps,)."""
    is_null: NDArray[np.bool_]
    """Whether the step is taken by the journeys that end in null only."""
    is_conversion: NDArray[np.bool_]
    """Whether the step is taken by the journeys that convert only."""
    context: tuple[Integer, ...]
    """Dense id of the context of each step, by order from 1."""
    pair: tuple[Integer, ...]
    """Dense id of (context, next symbol) of each step, by order from 1."""
    n_symbols: int
    """Channels, conversion and null."""


def choose_order(paths: EncodedPaths, *, rng: np.random.Generator) -> int:
    """The lowest order, 1 to 3, within one standard error of the best on held-out journeys.

    Raises DataError when there are fewer journeys than folds.
    """
    won, lost = (np.rint(counts).astype(np.int64) for counts in (paths.conversions, paths.nulls))
    touched = paths.lengths > 0
    total = int(won[touched].sum() + lost[touched].sum())
    if total < FOLDS:
        raise DataError(f"choice of order: {total} journeys cannot be split into {FOLDS} folds.")
    steps = _steps(paths)
    shares = np.full(FOLDS, 1.0 / FOLDS)
    won_in, lost_in = rng.multinomial(won, shares), rng.multinomial(lost, shares)
    losses = np.empty((FOLDS, MAX_ORDER))
    for fold in range(FOLDS):
        test = _step_weights(steps, won_in[:, fold], lost_in[:, fold])
        train = _step_weights(steps, won - won_in[:, fold], lost - lost_in[:, fold])
        held_out = max(int((won_in[:, fold] + lost_in[:, fold])[touched].sum()), 1)
        losses[fold] = _log_losses(steps, train, test) / held_out
    return _simplest_good(losses)


def _simplest_good(losses: Float) -> int:
    """The lowest order whose loss exceeds the best by at most one standard error of the difference."""
    best = int(losses.mean(axis=0).argmin())
    excess = losses - losses[:, [best]]
    error = excess.std(axis=0, ddof=1) / np.sqrt(losses.shape[0])
    return int(np.flatnonzero(excess.mean(axis=0) <= error)[0]) + 1


def _steps(paths: EncodedPaths) -> _Steps:
    """Symbols with a place for each end after every path: conversion, then null from the same context."""
    lengths = paths.lengths
    n_channels = len(paths.channels)
    starts = paths.offsets[:-1] + 2 * np.arange(lengths.size)
    path = np.repeat(np.arange(lengths.size), lengths + 2)
    position = np.arange(path.size) - starts[path]
    after = position - lengths[path]
    symbol = np.empty(path.size, np.int64)
    symbol[after < 0] = paths.codes
    symbol[after == 0] = n_channels
    symbol[after == 1] = n_channels + 1
    at = np.minimum(position, lengths[path])
    contexts, pairs = [], []
    context = np.zeros(path.size, np.int64)
    for back in range(1, MAX_ORDER + 1):
        earlier = symbol[np.maximum(starts[path] + at - back, 0)]
        context = context * (n_channels + 1) + np.where(at >= back, earlier + 1, 0)
        contexts.append(np.unique(context, return_inverse=True)[1].ravel())
        pairs.append(np.unique(contexts[-1] * (n_channels + 2) + symbol, return_inverse=True)[1].ravel())
    return _Steps(
        path=path,
        is_conversion=after == 0,
        is_null=after == 1,
        context=tuple(contexts),
        pair=tuple(pairs),
        n_symbols=n_channels + 2,
    )


def _step_weights(steps: _Steps, won: Integer, lost: Integer) -> Float:
    """How often each step was taken, given the journeys that converted and not, by path."""
    weight = np.where(steps.is_null, 0, won[steps.path]) + np.where(steps.is_conversion, 0, lost[steps.path])
    return weight.astype(np.float64)


def _log_losses(steps: _Steps, train: Float, test: Float) -> Float:
    """Negative log-likelihood of the steps in `test` by order, shape (MAX_ORDER,)."""
    losses = np.empty(MAX_ORDER)
    probability = np.full(train.size, 1.0 / steps.n_symbols)
    for k in range(MAX_ORDER):
        context, pair = steps.context[k], steps.pair[k]
        n_pair = sum_by(pair, train, int(pair.max(initial=0)) + 1)
        n_context = sum_by(context, train, int(context.max(initial=0)) + 1)
        context_of = np.zeros(n_pair.size, np.int64)
        context_of[pair] = context
        kinds = sum_by(context_of, (n_pair > 0).astype(np.float64), n_context.size)
        mass = n_context[context] + kinds[context]
        smoothed = n_pair[pair] + kinds[context] * probability
        probability = np.divide(smoothed, mass, out=probability.copy(), where=mass > 0)
        losses[k] = -np.sum(test * np.log(probability))
    return losses
