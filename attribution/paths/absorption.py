"""Expected reward of a walk through an absorbing chain, with all states and without some.

Small chains are solved as full matrices. Large ones are walked: all probability starts in state 0 and is
moved on until less than 1e-16 of it is left, which bounds the error by as much (times the largest reward
still to come). Walks with and without each group of states advance together, as one sparse product a step.
A chain that absorbs too slowly for that is factorised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from histories.arrays import Float
from histories.errors import DataError

__all__ = ["DENSE_STATES", "expected_rewards"]

DENSE_STATES = 64
"""Up to so many states a chain is solved as a full matrix."""
MAX_STEPS = 3_000
MASS_LEFT = 1e-16
COLUMNS_AT_ONCE = 64


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
    inner = moves[kept][:, kept]
    first = moves[[0]][:, kept].toarray().ravel()
    try:
        if kept.size <= dense_states:
            later = np.linalg.solve(np.eye(kept.size) - inner.toarray(), rewards[kept])
        else:
            identity = sparse.eye_array(kept.size, format="csc")
            later = splu(sparse.csc_array(identity - inner)).solve(rewards[kept])
    except (np.linalg.LinAlgError, RuntimeError) as error:
        raise DataError(
            "markov: some states go round in a circle without an end. "
            "Journeys end in a conversion or in null; add the missing transitions."
        ) from error
    expected: Float = rewards[0] + first @ later
    return expected
