"""What the simulators share: traits of channels, and stocks of touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float

DECAY = 0.6
"""Share of a stock that is left a month later, unless a scenario says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTraits:
    """How customers come to a channel, and what it does to them."""

    name: str
    group: str
    origin: str
    """Who acts: "customer" or "firm"."""
    rate: float
    """Touches a month of the average customer."""
    problem: float = 0.0
    """Change of the log rate in a month with a problem."""
    u: float = 0.0
    """Loading of the log rate on satisfaction."""
    v: float = 0.0
    """Loading of the log rate on the second hidden factor."""
    beta: float
    """True change of the log-odds of leaving per unit of stock."""
    gamma: float
    """True change of log spend per unit of stock."""


def channel_table(names: Sequence[str], *rows: Sequence[str | float]) -> tuple[ChannelTraits, ...]:
    """Channels from a table of their traits, one row each."""
    table: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in rows]
    return tuple(ChannelTraits(**traits) for traits in table)


def effect_parameters(
    channels: Sequence[ChannelTraits], *, switch: float, decay: float = DECAY
) -> dict[str, object]:
    """Decay and the true effects by channel, times `switch`, as truth files state them."""
    return {
        "decay": decay,
        "beta": {channel.name: switch * channel.beta for channel in channels},
        "gamma": {channel.name: switch * channel.gamma for channel in channels},
    }


def column(channels: Sequence[ChannelTraits], name: str, *, switch: float = 1.0) -> Float:
    """One numeric trait of all channels, times `switch`, shape (C,)."""
    return switch * np.array([getattr(channel, name) for channel in channels], dtype=np.float64)


def stocks_of(touches: NDArray[Any], *, steps: int = 1, decay: float = DECAY) -> NDArray[np.float32]:
    """S_t = d S_(t-1) + log(1 + touches_t), d per month of `steps` steps, shape (N, P * steps, C)."""
    kept = np.float32(decay ** (1.0 / steps))
    stocks: NDArray[np.float32] = np.log1p(touches, dtype=np.float32)
    for t in range(1, stocks.shape[1]):
        stocks[:, t] += kept * stocks[:, t - 1]
    return stocks


def logistic(x: NDArray[np.floating]) -> Float:
    """1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)), dtype=np.float64)
