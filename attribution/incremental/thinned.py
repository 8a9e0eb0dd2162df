"""Stocks by the period of a touch, at moments within it that thin its touches (see `stocks`)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from histories.arrays import Float, Real, Single
from histories.panel import Panel

CHANCES = np.linspace(0.0, 1.0, 129) ** 2
"""Chances at which binomial means are computed; between them they run straight."""
EXACT = 200
"""Touches of one channel in one period up to which the binomial is summed; beyond, a series does."""


class ByPeriod:
    """What touches add to stocks where their period is all that counts."""

    def __init__(
        self,
        panel: Panel,
        counts: NDArray[np.floating],
        moments: NDArray[np.float64],
        *,
        decay: Float,
        bend: float,
    ) -> None:
        most = int(np.ceil(counts.max(initial=0)))
        self._counts, self._moments, self._decay, self._bend = counts, moments, decay, bend
        if bend:
            self._chances = _chances(panel, moments)
            self._powers = _thinned_powers(most, CHANCES, bend)
        else:
            self._stayed = stayed_logs(panel, moments, most)
            self._kept = mean_kept(decay, moments).astype(np.float32)

    def staying(self, t: int, carried: Single) -> Single:
        """Stocks of who stays, the mean of f_b(S) over the moments of leaving, shape (N, C)."""
        counts, bend = self._counts[:, t], self._bend
        if not bend:
            return np.asarray(self._kept * carried + by_count(counts, self._stayed[t]), dtype=np.float32)
        kept = np.zeros_like(carried)
        for k, f in enumerate(self._moments):
            table = _between(self._powers, self._chances[t, :, k])
            kept += np.exp((-bend * self._decay**f).astype(np.float32) * carried) * by_count(counts, table)
        return np.asarray((1.0 - kept / len(self._moments)) / bend, dtype=np.float32)

    def until(
        self, t: int, rows: NDArray[np.int64], share: Real, before: NDArray[np.float32] | None = None
    ) -> Single:
        """What touches leave these customers at a moment of their own, `before` of them or all, (R, C)."""
        del share
        return np.log1p(np.asarray(self._counts[rows, t] if before is None else before, dtype=np.float32))

    def carried_on(self, t: int) -> Single:
        """What is left of touches at the end of their period, shape (N, C)."""
        return np.log1p(np.asarray(self._counts[:, t], dtype=np.float32))


def mean_kept(decay: Float, moments: NDArray[np.float64]) -> Float:
    """Mean over the moments of leaving of what is left of a stock by then, of the shape of the decay."""
    kept: Float = (decay[..., None] ** moments).mean(axis=-1)
    return kept


def _thinned_powers(most: int, moments: NDArray[np.floating], bend: float) -> NDArray[np.float64]:
    """E (1 + B)^-b, B ~ Binomial(N, f), for each moment f and N = 0..most, shape (F, most + 1)."""
    exact = np.arange(min(most, EXACT) + 1)
    many = np.arange(len(exact), most + 1)
    found = np.empty((len(moments), most + 1))
    for row, f in zip(found, moments, strict=True):
        row[: len(exact)] = stats.binom.pmf(exact[None, :], exact[:, None], f) @ (1.0 + exact) ** -bend
        row[len(exact) :] = (1.0 + many * f) ** -bend
    return found


def by_count(counts: NDArray[np.floating], tables: NDArray[np.floating]) -> NDArray[np.float32]:
    """What each channel's table of whole counts says of these; between two of them along log(1 + count)."""
    whole = np.rint(counts).astype(np.int64)
    if np.array_equal(whole, counts):
        return np.asarray(tables[np.arange(len(tables)), whole], dtype=np.float32)
    steps = np.log1p(np.arange(tables.shape[1]))
    found = [np.interp(np.log1p(own), steps, table) for own, table in zip(counts.T, tables, strict=True)]
    return np.stack(found, axis=1).astype(np.float32)


def _chances(panel: Panel, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance G of each period's and channel's touches to have come by each of F moments, shape (P, C, F)."""
    shape = (panel.n_periods, panel.n_channels)
    if panel.touch_moments is None:
        return np.broadcast_to(moments, (*shape, len(moments)))
    parts = panel.touch_moments.shape[2]
    counts = np.asarray(panel.touch_moments[: shape[0]], dtype=np.float64) + 1.0 / parts
    passed = np.zeros((*shape, parts + 1))
    np.cumsum(counts / counts.sum(axis=2, keepdims=True), axis=2, out=passed[:, :, 1:])
    low = np.minimum((moments * parts).astype(np.int64), parts - 1)
    over = moments * parts - low
    found: NDArray[np.float64] = passed[:, :, low] * (1.0 - over) + passed[:, :, low + 1] * over
    return found


def _between(by_chance: NDArray[np.float64], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of a table by `CHANCES` at these, shape (..., most + 1)."""
    above = np.clip(np.searchsorted(CHANCES, chances), 1, len(CHANCES) - 1)
    over = ((chances - CHANCES[above - 1]) / (CHANCES[above] - CHANCES[above - 1]))[..., None]
    found: NDArray[np.float64] = by_chance[above - 1] * (1.0 - over) + by_chance[above] * over
    return found


def stayed_logs(panel: Panel, moments: NDArray[np.float64], most: int) -> NDArray[np.float32]:
    """E_F E log(1 + B) for N = 0..most touches of each period and channel, shape (P, C, most + 1)."""
    shape = (panel.n_periods, panel.n_channels, most + 1)
    if panel.touch_moments is None:
        return np.broadcast_to(thinned_log(most, moments).astype(np.float32), shape)
    chances = _chances(panel, moments)
    logs = _logs(most)
    found = np.zeros(shape)
    for k in range(len(moments)):
        found += _between(logs, chances[:, :, k])
    return (found / len(moments)).astype(np.float32)


@lru_cache(maxsize=8)
def _logs(most: int) -> NDArray[np.float64]:
    """E log(1 + B), B ~ Binomial(N, G), for each of `CHANCES` and N = 0..most."""
    return np.stack([thinned_log(most, np.array([chance])) for chance in CHANCES])


def thinned_log(most: int, moments: NDArray[np.floating]) -> NDArray[np.float64]:
    """E log(1 + B), B ~ Binomial(N, f), mean over the moments f, for N = 0..most, shape (most + 1,).

    Parameters
    ----------
    most
        Highest count N.
    moments
        Shares f of the period's touches, in [0, 1], shape (F,).

    Examples
    --------
    >>> thinned_log(1, np.array([0.5])).round(3).tolist()
    [0.0, 0.347]
    """
    exact = np.arange(min(most, EXACT) + 1)
    found = np.zeros(most + 1)
    for f in moments:
        chance = stats.binom.pmf(exact[None, :], exact[:, None], f)
        found[: len(exact)] += chance @ np.log1p(exact)
        many = np.arange(len(exact), most + 1)
        found[len(exact) :] += np.log1p(many * f) - 0.5 * many * f * (1.0 - f) / (1.0 + many * f) ** 2
    return found / len(moments)


def thinned_variances(panel: Panel, most: int, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of log(1 + B) over moments and B, shape (P, C, most + 1); above `EXACT` it stays as there."""
    exact = np.arange(min(most, EXACT) + 1)
    log = np.log1p(exact)
    squares = [stats.binom.pmf(exact[None, :], exact[:, None], chance) @ log**2 for chance in CHANCES]
    chances = _chances(panel, moments)
    logs = _logs(len(exact) - 1)
    first, second = np.zeros((2, *chances.shape[:2], len(exact)))
    for k in range(len(moments)):
        first += _between(logs, chances[:, :, k]) / len(moments)
        second += _between(np.stack(squares), chances[:, :, k]) / len(moments)
    variance: NDArray[np.float64] = np.maximum(second - first**2, 0.0)
    return variance[:, :, np.minimum(np.arange(most + 1), len(exact) - 1)]
