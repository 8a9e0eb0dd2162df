"""Compiled arithmetic of the truth: expected outcomes under every coalition of channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float, Single
from histories.compiled import compiled

__all__ = ["coalition_sums"]


@compiled
def coalition_sums(
    odds: Float,
    mean: Float,
    hazard_effect: Single,
    spend_effect: Single,
    entry: NDArray[np.int64],
    residual: Float,
) -> Float:
    """Expected survivors, spend and residual value under each of the 2^C coalitions, shape (3, 2^C).

    `odds` (of leaving) and `mean` (of spend while a customer), shape (N, P), hold with every channel off;
    channel c multiplies them by exp(effect_itc), shape (N, P, C). Coalitions are walked in Gray-code order,
    so that each differs from the one before by a single channel and costs one product per row.
    """
    n, periods, channels = hazard_effect.shape
    size = 1 << channels
    sums = np.zeros((3, size))
    up = np.empty((2, channels, periods))
    down = np.empty((2, channels, periods))
    now = np.empty((2, periods))
    for i in range(n):
        first = entry[i]
        for t in range(first, periods):
            now[0, t] = odds[i, t]
            now[1, t] = mean[i, t]
            for c in range(channels):
                up[0, c, t] = np.exp(np.float64(hazard_effect[i, t, c]))
                up[1, c, t] = np.exp(np.float64(spend_effect[i, t, c]))
                down[0, c, t] = 1.0 / up[0, c, t]
                down[1, c, t] = 1.0 / up[1, c, t]
        mask = 0
        for k in range(size):
            if k > 0:
                c = 0
                while (k >> c) & 1 == 0:
                    c += 1
                mask ^= 1 << c
                step = up if (mask >> c) & 1 else down
                for t in range(first, periods):
                    now[0, t] *= step[0, c, t]
                    now[1, t] *= step[1, c, t]
            alive = 1.0
            spent = 0.0
            for t in range(first, periods):
                spent += alive * now[1, t]
                alive /= 1.0 + now[0, t]
            sums[0, mask] += alive
            sums[1, mask] += spent
            sums[2, mask] += alive * residual[i]
    return sums
