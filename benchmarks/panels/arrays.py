"""What the simulators of panels share: the panel with its truth, segments, seasons and arrivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float
from histories.panel import Panel
from histories.simulation.truth import Truth

YEAR = 12
"""Months after which a season returns."""
SHARPNESS = 2.0
"""How narrow the peak of the season is."""
AT_START = 0.5
"""Share of the customers who are there from the first month where arrivals are staggered."""


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


def segment_labels(x: Float) -> NDArray[np.str_]:
    """The segment of customers with covariate x, shape (N,): "high" above 0, else "low"."""
    return np.where(x > 0.0, "high", "low")


def segment_factors(x: Float, factors: tuple[float, float]) -> Float:
    """Factor on the effects of each customer, of "high" and of "low" segment, shape (N,)."""
    return np.where(x > 0.0, *factors)


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
