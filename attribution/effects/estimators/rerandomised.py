"""Intervals of mean differences whose error is skewed: a small arm beside a large one, and rare giants.

A small arm mostly lacks the giants that the large one has: its mean is low then, and so is its spread, from
which the normal interval is made. What labels drawn anew would have shown is known for every effect that is
the same for all units (Fisher 1935); the interval holds the effects that this does not refute (Rosenbaum
2002, section 2.4).
"""

from __future__ import annotations

import numpy as np

from histories.arrays import Flags, Float

SKEWED = 0.25
"""Skewness of a difference from which the normal interval misses too often (.92 for .95 at .3)."""
DRAWS = 1_000


def is_skewed(outcome: Float, treated: Flags) -> bool:
    """Whether the difference in means is, by third moment and variance of both groups (N,) together."""
    n1, n0 = int(treated.sum()), int((~treated).sum())
    rest = outcome - np.where(treated, outcome[treated].mean(), outcome[~treated].mean())
    variance = float((rest**2).mean()) * (1 / n1 + 1 / n0)
    third = float((rest**3).mean()) * (1 / n1**2 - 1 / n0**2)
    return bool(abs(third) > SKEWED * variance**1.5 > 0)


def rerandomised_interval(
    outcome: Float, treated: Flags, *, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Effects, the same for all units, under which the difference found is none that hardly comes by chance.

    With labels drawn anew the difference is a - b tau, a of the outcome and b of the true labels, so each
    draw refutes the effects on one side of (difference - a) / (1 - b).
    """
    few = treated if 2 * treated.sum() <= len(treated) else ~treated
    side, size, total, n = (1.0 if few is treated else -1.0), int(few.sum()), float(outcome.sum()), len(few)

    def differ(drawn: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[float, float]:
        mine, of_few = float(outcome[drawn].sum()), int(few[drawn].sum())
        rest = n - size
        return side * (mine / size - (total - mine) / rest), of_few / size - (size - of_few) / rest

    found = differ(np.flatnonzero(few))[0]
    drawn = [differ(rng.choice(n, size, replace=False, shuffle=False)) for _ in range(DRAWS)]
    limits = [(found - a) / (1.0 - b) for a, b in drawn if b < 1.0]
    low, high = np.quantile(limits, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
