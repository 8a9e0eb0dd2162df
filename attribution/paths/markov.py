"""Markov attribution: an absorbing chain of journeys and what it loses without a channel.

Anderl, Becker, von Wangenheim & Schumann (2016), "Mapping the customer journey", International Journal of
Research in Marketing 33. With Q the moves between the states that are left, b the step to the conversion
and a the first step, P(conversion) = a'(I - Q)^-1 b, exactly. Without channel c every move into a state that
holds c leads to null. The removal effect of c is 1 - P(conversion without c) / P(conversion); credit is the
total, shared in proportion to the removal effects. For value, b is the expected worth of that step instead.

Small chains are solved as full matrices. Large ones are walked: all probability starts in state 0 and is
moved on until less than 1e-16 of it is left, which bounds the error by as much (times the largest reward
still to come). Walks with and without each channel advance together, as one sparse product a step. A chain
that absorbs too slowly for that is factorised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from attribution.credits.schemas import REMOVAL_EFFECTS_SCHEMA
from attribution.paths.transitions import TransitionCounts
from histories.arrays import Float
from histories.errors import DataError

DENSE_STATES = 64
"""Up to so many states a chain is solved as a full matrix."""
MAX_STEPS = 3_000
MASS_LEFT = 1e-16
COLUMNS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkovFit:
    """What a chain says of each channel."""

    order: int
    """Channels that a state remembers."""
    channels: tuple[str, ...]
    """Names of the C channels."""
    conversion_rate: float
    """P(conversion) of a journey."""
    value_rate: float
    """Expected worth of a journey, in currency."""
    removal_effects: tuple[float, ...]
    """Share of conversions lost without each channel, length C."""
    value_removal_effects: tuple[float, ...]
    """Share of value lost without each channel, length C; 0 when there is no value."""

    def credit(self, total: float, *, of_value: bool = False) -> dict[str, float]:
        """`total` shared between the channels in proportion to their removal effects."""
        effects = np.array(self.value_removal_effects if of_value else self.removal_effects)
        shares = effects / effects.sum() if effects.sum() > 0 else np.zeros_like(effects)
        return dict(zip(self.channels, (total * shares).tolist(), strict=True))

    def to_frame(self, *, outcome: str, method: str, groups: Mapping[str, str], segment: str) -> pl.DataFrame:
        """The removal effects of `outcome` in REMOVAL_EFFECTS_SCHEMA."""
        effects = np.array(self.value_removal_effects if outcome == "spend" else self.removal_effects)
        columns = {
            "outcome": outcome,
            "method": method,
            "segment": segment,
            "order": self.order,
            "channel": list(self.channels),
            "channel_group": [groups.get(name, name) for name in self.channels],
            "removal_effect": effects,
            "share": effects / effects.sum() if effects.sum() > 0 else np.zeros_like(effects),
        }
        return pl.DataFrame(columns, schema=REMOVAL_EFFECTS_SCHEMA)


def fit_markov(counts: TransitionCounts, *, dense_states: int = DENSE_STATES) -> MarkovFit:
    """Solve the chain with all channels and without each: in full up to `dense_states`, else sparse.

    Raises
    ------
    DataError
        No journey starts, or journeys enter states that lead nowhere.
    """
    moves, rewards = _probabilities(counts)
    everything = np.zeros((moves.shape[0], 1), bool)
    without = np.hstack([everything, _holders(counts)])
    expected = expected_rewards(moves, rewards, without, dense_states=dense_states)
    whole = expected[0]
    lost = whole - expected[1:]
    effects = np.divide(lost, whole, out=np.zeros_like(lost), where=whole > 0)
    effects[np.abs(effects) < 1e-15] = 0.0
    return MarkovFit(
        order=counts.order,
        channels=counts.channels,
        conversion_rate=float(whole[0]),
        value_rate=float(whole[1]),
        removal_effects=tuple(effects[:, 0].tolist()),
        value_removal_effects=tuple(effects[:, 1].tolist()),
    )


def _probabilities(counts: TransitionCounts) -> tuple[sparse.csr_array, Float]:
    """Moves as probabilities, shape (S + 1, S + 1), and P(conversion), E(worth) of a step, (S + 1, 2)."""
    left = counts.moves.sum(axis=1) + counts.conversions + counts.nulls
    if left[0] <= 0:
        raise DataError("markov: no journey with a touch starts. Credit needs at least one.")
    stuck = int(((left <= 0) & (counts.moves.sum(axis=0) > 0)).sum())
    if stuck:
        raise DataError(
            f"markov: {stuck} of {left.size - 1} states are entered and never left. Journeys end in a "
            "conversion or in null; add the missing transitions."
        )
    share = np.divide(1.0, left, out=np.zeros_like(left), where=left > 0)
    moves = sparse.csr_array(sparse.diags_array(share) @ counts.moves)
    return moves, np.column_stack([counts.conversions, counts.value]) * share[:, None]


def _holders(counts: TransitionCounts) -> NDArray[np.bool_]:
    """Whether each state holds each channel, shape (S + 1, C)."""
    holds = np.zeros((len(counts.states), len(counts.channels)), bool)
    for back in range(1, counts.order + 1):
        rows = [i for i, state in enumerate(counts.states) if len(state) >= back]
        holds[rows, [counts.states[i][-back] for i in rows]] = True
    return holds


def expected_rewards(
    moves: sparse.csr_array, rewards: Float, without: NDArray[np.bool_], *, dense_states: int = DENSE_STATES
) -> Float:
    """Expected rewards of a walk from state 0 that must not enter some states.

    Parameters
    ----------
    moves
        Probabilities of moving between states, shape (S + 1, S + 1); what is missing to 1 is absorbed.
    rewards
        Expected rewards of a step from each state, shape (S + 1, K).
    without
        States that each of the J walks must not enter, shape (S + 1, J); moves into them are absorbed.
    dense_states
        Up to so many states the chain is solved as a full matrix.

    Returns
    -------
    NDArray
        Shape (J, K).

    Raises
    ------
    DataError
        Some states lead round in a circle without an end.
    """
    if moves.shape[0] - 1 > dense_states:
        parts = [
            _walk(moves, rewards, without[:, first : first + COLUMNS_AT_ONCE])
            for first in range(0, without.shape[1], COLUMNS_AT_ONCE)
        ]
        if all(part is not None for part in parts):
            return np.concatenate([part for part in parts if part is not None])
        return np.array([_solve(moves, rewards, ~column, dense_states) for column in without.T])
    full = moves.toarray()
    return np.array([_solve_full(full, rewards, ~column) for column in without.T])


def _walk(moves: sparse.csr_array, rewards: Float, without: NDArray[np.bool_]) -> Float | None:
    """The rewards by moving probability on, shape (J, K); None if much is left after MAX_STEPS."""
    onward = sparse.csr_array(moves.T)
    mass = np.zeros(without.shape)
    mass[0] = 1.0
    total = np.zeros((without.shape[1], rewards.shape[1]))
    for _ in range(MAX_STEPS):
        total += mass.T @ rewards
        mass = onward @ mass
        mass[without] = 0.0
        if mass.sum(axis=0).max() < MASS_LEFT:
            return total
    return None


def _solve(moves: sparse.csr_array, rewards: Float, allowed: NDArray[np.bool_], dense_states: int) -> Float:
    """The rewards from a'(I - Q)^-1 r over the allowed states, shape (K,)."""
    kept = np.flatnonzero(allowed[1:]) + 1
    if kept.size <= dense_states:
        return _solve_full(moves.toarray(), rewards, allowed)
    identity = sparse.eye_array(kept.size, format="csc")
    try:
        later = splu(sparse.csc_array(identity - moves[kept][:, kept])).solve(rewards[kept])
    except RuntimeError as error:
        raise DataError(_CIRCLE) from error
    expected: Float = rewards[0] + moves[[0]][:, kept].toarray().ravel() @ later
    return expected


def _solve_full(moves: Float, rewards: Float, allowed: NDArray[np.bool_]) -> Float:
    """The same of a full matrix, as few states have it."""
    kept = np.flatnonzero(allowed[1:]) + 1
    try:
        later = np.linalg.solve(np.eye(kept.size) - moves[np.ix_(kept, kept)], rewards[kept])
    except np.linalg.LinAlgError as error:
        raise DataError(_CIRCLE) from error
    expected: Float = rewards[0] + moves[0, kept] @ later
    return expected


_CIRCLE = (
    "markov: some states go round in a circle without an end. "
    "Journeys end in a conversion or in null; add the missing transitions."
)
