"""What is chance and what is not: limits of a series, and a funnel of shares.

Limits of individual values: mean +- 2.66 x mean moving range (Wheeler & Chambers 1992, ch. 3). Funnel:
Spiegelhalter (2005), limits of a share around what was expected at each size; there is no ranking.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from care.intervals import z_of

MOVING_RANGE = 2.66
RUN = 8
"""So many points in a row on one side of the mean are a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Mean of a series, and the ends between which it moves by chance."""

    mean: float
    low: float
    high: float


def control_limits(values: Sequence[float]) -> Limits:
    """Limits from the points of a calm time, in their order; two or more.

    >>> found = control_limits([0.62, 0.65, 0.61, 0.66, 0.64, 0.63, 0.67, 0.62, 0.65])
    >>> round(found.mean, 4), round(found.low, 3), round(found.high, 3)
    (0.6389, 0.549, 0.729)
    """
    points = np.asarray(values, dtype=float)
    if len(points) < 2:
        raise ValueError(f"{len(points)} points; limits need two or more.")
    half = MOVING_RANGE * float(np.abs(np.diff(points)).mean())
    mean = float(points.mean())
    return Limits(mean=mean, low=mean - half, high=mean + half)


def signals(values: Sequence[float], limits: Limits) -> list[str | None]:
    """For each point "outside" the limits, the last of "eight on one side", or None.

    >>> signals([0.55, 0.54], control_limits([0.62, 0.65, 0.61, 0.66, 0.64, 0.63, 0.67, 0.62, 0.65]))
    [None, 'outside']
    """
    found: list[str | None] = []
    side, run = 0, 0
    for value in values:
        now = int(np.sign(value - limits.mean))
        run = run + 1 if now == side and now else int(now != 0)
        side = now
        outside = value < limits.low or value > limits.high
        found.append("outside" if outside else "eight on one side" if run >= RUN else None)
    return found


def funnel_limits(expected: float, n: float, level: float) -> tuple[float, float]:
    """Ends between which a share of n cases lies by chance with this probability.

    >>> [round(end, 3) for end in funnel_limits(0.6, 40, 0.95)], [
    ...     round(end, 3) for end in funnel_limits(0.6, 40, 0.998)
    ... ]
    ([0.448, 0.752], [0.361, 0.839])
    """
    half = z_of(level) * math.sqrt(expected * (1 - expected) / n)
    return max(0.0, expected - half), min(1.0, expected + half)
