"""Markov attribution: an absorbing chain of journeys and what it loses without a channel.

Anderl, Becker, von Wangenheim & Schumann (2016), "Mapping the customer journey", International Journal of
Research in Marketing 33. With Q the moves between the states that are left, b the step to the conversion
and a the first step, P(conversion) = a'(I - Q)^-1 b, exactly. Without channel c every move into a state that
holds c leads to null. The removal effect of c is 1 - P(conversion without c) / P(conversion); credit is the
total, shared in proportion to the removal effects. For value, b is the expected worth of that step instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from attribution.credits.schemas import REMOVAL_EFFECTS_SCHEMA
from attribution.paths.absorption import DENSE_STATES, expected_rewards
from attribution.paths.transitions import TransitionCounts
from histories.arrays import Float
from histories.errors import DataError

__all__ = ["MarkovFit", "fit_markov"]


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
