"""Decayed channel stocks: what a customer still carries of past touches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["DECAY", "decayed_stocks", "mean_ratio"]

DECAY = 0.6
"""Share of a stock that is left one period later, unless it is given or estimated."""


def decayed_stocks(touches: NDArray[np.floating], *, decay: float = DECAY) -> NDArray[np.float32]:
    """Stocks S_t = decay * S_(t-1) + log(1 + touches_t), shape (N, P, C), this period's touches included.

    Parameters
    ----------
    touches
        Counts per customer, period and channel, shape (N, P, C).
    decay
        Share that is left after one period, in [0, 1).

    Examples
    --------
    >>> decayed_stocks(np.array([[[1.0], [0.0]]]), decay=0.5).round(3).tolist()
    [[[0.6930000185966492], [0.34700000286102295]]]
    """
    stocks: NDArray[np.float32] = np.log1p(touches, dtype=np.float32)
    for t in range(1, stocks.shape[1]):
        stocks[:, t] += np.float32(decay) * stocks[:, t - 1]
    return stocks


def mean_ratio(old: NDArray[np.floating], new: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean of old stocks over mean of new ones by channel, shape (C,), 1 without any: effects carry over so.

    Parameters
    ----------
    old, new
        Stocks of the same touches under two decays, shape (N, P, C).
    """
    before, after = old.mean(axis=(0, 1), dtype=np.float64), new.mean(axis=(0, 1), dtype=np.float64)
    ratio: NDArray[np.float64] = np.divide(before, after, out=np.ones_like(after), where=after > 0)
    return ratio
