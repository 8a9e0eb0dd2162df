"""What the array simulators share: channel traits, stocks, and the simulated panel with its truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float
from histories.panel import Panel
from histories.simulation.truth import Truth

__all__ = [
    "DECAY",
    "YEAR",
    "ChannelTraits",
    "SimulatedPanel",
    "arrivals",
    "channel_table",
    "column",
    "effect_parameters",
    "logistic",
    "season",
    "segment_factors",
    "segment_labels",
    "stocks_of",
]

DECAY = 0.6
"""Share of a stock that is left a month later, unless a scenario says otherwise."""
YEAR = 12
"""Months after which a season returns."""
SHARPNESS = 2.0
"""How narrow the peak of the season is."""
AT_START = 0.5
"""Share of the customers who are there from the first month where arrivals are staggered."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPanel:
    """A panel, its truth, and what an oracle may see."""

    panel: Panel
    truth: Truth
    latent: Mapping[str, Float]
    """Hidden traits by name: "u" satisfaction, shape (N, P); "exit" month of leaving, P for stayers, (N,)."""
    assignment: NDArray[np.bool_] | None = None
    """Whether the experiment's channel was open to the customer, shape (N,)."""
    experiment: str | None = None
    """Channel of the experiment."""
    contrast: Mapping[str, float] | None = None
    """True difference per customer between the channel open and withheld, by outcome."""
    segment: NDArray[np.str_] | None = None
    """Segment of each customer, shape (N,), where the scenario has segments."""
    segment_truth: Mapping[str, Truth] | None = None
    """Truth of each segment; its credits add up to those of `truth`."""
    response: Callable[[str, float], Float] | None = None
    """Expected survivors and spend with so many times the touches of a channel, the others as they are."""


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


def segment_labels(x: Float) -> NDArray[np.str_]:
    """The segment of customers with covariate x, shape (N,): "high" above 0, else "low"."""
    return np.where(x > 0.0, "high", "low")


def segment_factors(x: Float, factors: tuple[float, float]) -> Float:
    """Factor on the effects of each customer, of "high" and of "low" segment, shape (N,)."""
    return np.where(x > 0.0, *factors)


def logistic(x: NDArray[np.floating]) -> Float:
    """1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)), dtype=np.float64)


def season(periods: int) -> Float:
    """Log season of each month, shape (periods,): one narrow peak, in the last month of the year, mean 0.

    A single sine and cosine does not describe it.

    >>> season(12).argmax(), bool(np.isclose(season(24).mean(), 0.0))
    (np.int64(11), True)
    """
    angle = 2.0 * np.pi * (np.arange(periods) + 1) / YEAR
    year = np.exp(SHARPNESS * (np.cos(2.0 * np.pi * np.arange(YEAR) / YEAR) - 1.0))
    return np.asarray(np.exp(SHARPNESS * (np.cos(angle) - 1.0)) - year.mean(), dtype=np.float64)


def arrivals(n: int, periods: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """First month of each customer, shape (n,): half from the start, the others within the first third."""
    month = rng.integers(1, periods // 3 + 1, n)
    return np.where(rng.random(n) < AT_START, 0, month).astype(np.int64)
