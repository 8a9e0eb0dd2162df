"""Stocks by the day of a touch: what touches leave at a moment of their own period, and after it.

Counted by the period a letter of the 28th works for the purchases of the whole month. At its day it leaves
nothing before, and d^(s - f) log 2 at a moment s after its moment f. The k-th of N touches of a period adds
log(1 + k) - log(k), so that all together they add log(1 + N), as they do by the period:

    S(s) = sum over k with f_k <= s of d^(s - f_k) (log(1 + k) - log(k))

The panel keeps the mean f of the moments (`Panel.touch_share`); around it touches are taken to come as
evenly as it allows, f_k = f + min(f, 1 - f) (2 k - 1 - N) / N. Sums over moments hardly ask for more: they
are nearly straight in each f_k. What that leaves for each count and mean is a table, made once for a decay.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.thinned import mean_kept
from histories.arrays import Flags, Float, Real, Single
from histories.panel import TICKS, Panel

MOST = 64
"""Touches of one channel in one period up to which each has a moment of its own; more are as these."""
CELLS = 16
"""Parts of the distribution of the moments of leaving."""


def summed(
    counts: Real, of: Real, means: Real, value: Callable[[Float], Float], *, until: Real | float = 1.0
) -> Float:
    """Sum over a period's touches of what the k-th adds to log(1 + count), times the value of its moment.

    Parameters
    ----------
    counts
        Touches that count, whole or parts: the first ones.
    of
        Touches of the period, of which they are the first.
    means
        Mean share of the period that had passed at these, in [0, 1].
    value
        Of a moment, for instance what is left of a touch later on.
    until
        Moment up to which there may be touches.
    """
    times = np.ones(1)
    if np.max(of, initial=0) > MOST:
        fewer = counts * np.minimum(1.0, MOST / np.maximum(of, 1.0))
        times = np.log1p(counts) / np.log1p(np.where(counts > 0, fewer, 1.0))
        counts = fewer
    of = np.clip(np.ceil(of), 1, MOST)
    either_side = np.minimum(means, np.maximum(until - means, 0.0)) / of
    total = np.zeros(np.broadcast_shapes(np.shape(counts), either_side.shape))
    for k in range(int(np.ceil(np.max(counts, initial=0)))):
        added = np.log1p(np.minimum(counts, k + 1)) - np.log1p(np.minimum(counts, k))
        total += added * value(np.clip(means + either_side * (2 * k + 1 - of), 0.0, 1.0))
    return total * times


class Days:
    """What touches of each channel leave, by their count and mean moment.

    Parameters
    ----------
    decay
        Share of a stock left after one period, shape (C,).
    edges
        Quantiles of the moments of leaving, shape (F + 1,): the parts between are equally likely.
    most
        Highest count.
    """

    def __init__(self, decay: Float, edges: Float, most: int) -> None:
        self.decay = decay
        self._edges = edges
        self._most = min(most, MOST)

    def carried_on(self, counts: Real, ticks: NDArray[np.uint8]) -> Single:
        """What is left of touches at the end of their period, shape (R, C)."""
        return self._read(lambda decay: _left_at_end(decay, self._most), counts, ticks)

    def staying(self, counts: Real, ticks: NDArray[np.uint8]) -> Single:
        """Mean over the moments of leaving of what touches leave then, shape (R, C)."""
        edges = tuple(self._edges.tolist())
        return self._read(lambda decay: _left_over(decay, edges, self._most), counts, ticks)

    def within(self, part: int, counts: Real, ticks: NDArray[np.uint8]) -> Single:
        """The same over one of the parts between two edges."""
        edges = tuple(self._edges[part : part + 2].tolist())
        return self._read(lambda decay: _left_over(decay, edges, self._most), counts, ticks)

    def variance(self, counts: Real, ticks: NDArray[np.uint8]) -> Float:
        """Of what touches leave over the moments of leaving, shape (R, C)."""
        parts = range(len(self._edges) - 1)
        left = np.stack([self.within(part, counts, ticks) for part in parts]).astype(np.float64)
        return np.asarray(left.var(axis=0))

    def at(
        self, moment: Real, counts: Real, of: Real, ticks: NDArray[np.uint8], *, all_until: bool
    ) -> Single:
        """What the first of these touches leave at a moment of each row, (R, 1), none of them later, (R, C).

        Parameters
        ----------
        moment, counts
            The moment, and touches until then.
        of, ticks
            All touches of the period, and their mean moment.
        all_until
            Whether those are known until the moment only.
        """
        left = summed(
            counts,
            of,
            ticks / TICKS,
            lambda f: self.decay ** np.maximum(moment - f, 0.0),
            until=np.asarray(moment) if all_until else 1.0,
        )
        return left.astype(np.float32)

    def _read(self, table: Callable[[float], Single], counts: Real, ticks: NDArray[np.uint8]) -> Single:
        tables = np.concatenate([table(decay) for decay in self.decay.tolist()])
        rows = self._most + 1
        first = np.arange(len(self.decay)) * rows
        within = np.minimum(counts, self._most)
        low = within.astype(np.int64)
        found: Single = tables.ravel()[(first + low) * (TICKS + 1) + ticks]
        if not np.array_equal(low, within):
            above = tables.ravel()[(first + np.minimum(low + 1, self._most)) * (TICKS + 1) + ticks]
            step = np.log1p(low + 1) - np.log1p(low)
            found = found + (above - found) * ((np.log1p(within) - np.log1p(low)) / step).astype(np.float32)
        if np.max(counts, initial=0) > self._most:
            found = found * (np.log1p(counts) / np.log1p(np.where(counts > 0, within, 1.0))).astype(
                np.float32
            )
        return found


class ByDay:
    """What touches of a panel add to stocks from their day on; the same questions as of `ByPeriod`."""

    def __init__(
        self,
        panel: Panel,
        counts: NDArray[np.floating],
        *,
        days: Days,
        moments: Float,
        bend: float,
    ) -> None:
        assert panel.touch_share is not None
        self._counts, self._ticks, self._touches = counts, panel.touch_share, panel.touches
        self._days, self._moments, self._bend = days, moments, bend

    def staying(self, t: int, carried: Single) -> Single:
        """Stocks of who stays, the mean of f_b(S) over the moments of leaving, shape (N, C)."""
        counts, ticks, bend = self._counts[:, t], self._ticks[:, t], self._bend
        if not bend:
            kept = mean_kept(self._days.decay, self._moments).astype(np.float32)
            return np.asarray(kept * carried + self._days.staying(counts, ticks), dtype=np.float32)
        kept = np.zeros_like(carried)
        for k, f in enumerate(self._moments):
            left = (self._days.decay**f).astype(np.float32) * carried + self._days.within(k, counts, ticks)
            kept += np.exp(np.float32(-bend) * left)
        return np.asarray((1.0 - kept / len(self._moments)) / bend, dtype=np.float32)

    def until(
        self, t: int, rows: NDArray[np.int64], share: Real, before: NDArray[np.float32] | None = None
    ) -> Single:
        """What touches leave these customers at a moment of their own, `before` of them or all, (R, C)."""
        ticks, here = self._ticks[rows, t], self._counts[rows, t]
        if before is None:
            return self._days.at(share, here, here, ticks, all_until=True)
        return self._days.at(share, before, self._touches[rows, t], ticks, all_until=False)

    def carried_on(self, t: int) -> Single:
        """What is left of touches at the end of their period, shape (N, C)."""
        return self._days.carried_on(self._counts[:, t], self._ticks[:, t])


class Added(Protocol):
    """What touches of a panel add to stocks."""

    def staying(self, t: int, carried: Single) -> Single:
        """Stocks of who stays, shape (N, C)."""

    def until(
        self, t: int, rows: NDArray[np.int64], share: Real, before: NDArray[np.float32] | None = None
    ) -> Single:
        """What touches leave these customers at a moment of their own, `before` of them or all, (R, C)."""

    def carried_on(self, t: int) -> Single:
        """What is left of touches at the end of their period, shape (N, C)."""


class ByChannel:
    """Some channels' touches by the day, all others' by the period."""

    def __init__(self, day: Flags, by_day: ByDay, by_period: Added) -> None:
        self._day, self._by_day, self._by_period = day, by_day, by_period

    def staying(self, t: int, carried: Single) -> Single:
        """Stocks of who stays, shape (N, C)."""
        return np.where(self._day, self._by_day.staying(t, carried), self._by_period.staying(t, carried))

    def until(
        self, t: int, rows: NDArray[np.int64], share: Real, before: NDArray[np.float32] | None = None
    ) -> Single:
        """What touches leave these customers at a moment of their own, `before` of them or all, (R, C)."""
        from_day = self._by_day.until(t, rows, share, before)
        return np.where(self._day, from_day, self._by_period.until(t, rows, share, before))

    def carried_on(self, t: int) -> Single:
        """What is left of touches at the end of their period, shape (N, C)."""
        return np.where(self._day, self._by_day.carried_on(t), self._by_period.carried_on(t))


@lru_cache(maxsize=64)
def _left_at_end(decay: float, most: int) -> Single:
    """What N touches leave at the end of their period, by N and their mean moment, (most + 1, TICKS + 1)."""
    return _table(lambda f: decay ** (1.0 - f), most)


@lru_cache(maxsize=256)
def _left_over(decay: float, edges: tuple[float, ...], most: int) -> Single:
    """The mean over moments between the edges of what N touches leave then, (most + 1, TICKS + 1).

    Of a part that a touch falls into, what comes after it counts, at its middle.
    """
    low, high = np.array(edges[:-1]), np.array(edges[1:])

    def value(f: Float) -> Float:
        after = np.clip((high - f[..., None]) / np.maximum(high - low, 1e-9), 0.0, 1.0)
        after = np.where(high > low, after, high >= f[..., None])
        middle = 0.5 * (np.maximum(low, f[..., None]) + high)
        return np.asarray((after * decay ** np.maximum(middle - f[..., None], 0.0)).mean(axis=-1))

    return _table(value, most)


def _table(value: Callable[[Float], Float], most: int) -> Single:
    moments = np.arange(TICKS + 1) / TICKS
    known = value(moments)
    counts = np.arange(most + 1.0)[:, None]
    left = summed(counts, counts, moments, lambda f: np.interp(f, moments, known))
    return left.astype(np.float32)
