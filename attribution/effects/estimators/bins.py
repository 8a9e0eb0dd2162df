"""Bins of a wait, intervals that hold for all of them at once, and the nearest monotone curve.

The curve is least squares under the order of the bins, and its limits are the limits under the same order
(Chernozhukov, Fernandez-Val & Galichon 2009, proposition 2, for any operator that keeps order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import isotonic_regression

from attribution.effects.effect import INTERVAL_LEVEL, Effect
from histories.arrays import Float, Integer

ANY_BIN = "any"
"""Of all answers together."""
_NEVER = "never"
DRAWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Bins of a wait, the fastest first; the last are those answered later, and never.

    Attributes
    ----------
    edges
        Minutes; a wait of just so long belongs to the faster bin.
    """

    edges: tuple[float, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names for the column `bin`: `0-15`, …, `1440-`, `never`."""
        starts, last = (0.0, *self.edges[:-1]), self.edges[-1]
        spans = [f"{a:g}-{b:g}" for a, b in zip(starts, self.edges, strict=True)]
        return (*spans, f"{last:g}-", _NEVER)

    @property
    def words(self) -> tuple[str, ...]:
        """Each bin in words."""
        first, last = self.edges[0], self.edges[-1]
        inner = [
            f"first answer after {a:g} to {b:g} minutes"
            for a, b in zip(self.edges, self.edges[1:], strict=False)
        ]
        return (
            f"first answer within {first:g} minutes",
            *inner,
            f"first answer after {last:g} minutes",
            "not answered",
        )

    def of(self, minutes: Float) -> Integer:
        """The bin of each wait, shape (N,); infinite is never."""
        found = np.searchsorted(np.asarray(self.edges), minutes, side="left")
        return np.where(np.isinf(minutes), len(self.edges) + 1, found).astype(np.int64)


def simultaneous_width(covariance: Float, rng: np.random.Generator) -> float:
    """Standard errors that hold the largest deviation of all B estimates in 95 of 100 samples.

    >>> round(simultaneous_width(np.eye(1), np.random.default_rng(0)))  # 1.96 but for the draws
    2
    """
    if not len(covariance):
        return float("nan")
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    draws = rng.multivariate_normal(np.zeros(len(spread)), covariance, DRAWS, check_valid="ignore") / spread
    return float(np.quantile(np.abs(draws).max(axis=1), INTERVAL_LEVEL))


def monotone(values: Float, weights: Float) -> tuple[Float, bool]:
    """The nearest monotone sequence in weighted least squares, shape (B,), and whether it rises.

    The direction is the one that fits better; falling on a tie.

    >>> monotone(np.array([3.0, 1.0, 2.0]), np.ones(3))[0].tolist()
    [3.0, 1.5, 1.5]
    """
    fits = {
        rising: np.asarray(isotonic_regression(values, weights=weights, increasing=rising).x)
        for rising in (False, True)
    }
    loss = {rising: float(weights @ (values - fit) ** 2) for rising, fit in fits.items()}
    rising = loss[True] < loss[False] - 1e-12
    return fits[rising], rising


def monotone_rows(rows: Sequence[Effect], covariance: Float, rng: np.random.Generator) -> list[Effect]:
    """The monotone curve through the bins that are supported, with its limits.

    Parameters
    ----------
    rows
        One row per bin with a figure, the fastest first.
    covariance : shape (B, B)
        Of their estimates.
    rng
        For the scatter of what is pooled.
    """
    known = [place for place, row in enumerate(rows) if row.supported and row.estimate is not None]
    if len(known) < 2:
        return []
    rows, covariance = [rows[place] for place in known], covariance[np.ix_(known, known)]
    values, low, high = (np.array([getattr(r, key) for r in rows]) for key in ("estimate", "low", "high"))
    weights = 1 / np.maximum(np.diag(covariance), 1e-300)
    fit, rising = monotone(values, weights)
    ends = [isotonic_regression(end, weights=weights, increasing=rising).x for end in (low, high)]
    draws = rng.multivariate_normal(values, covariance, 500, check_valid="ignore")
    scatter = np.std(
        [isotonic_regression(draw, weights=weights, increasing=rising).x for draw in draws], axis=0, ddof=1
    )
    return [
        replace(
            row,
            estimator="isotonic",
            estimate=float(fit[place]),
            std_error=float(scatter[place]),
            low=float(ends[0][place]),
            high=float(ends[1][place]),
            e_value=None,
            robustness_value=None,
            placebo_estimate=None,
            placebo_low=None,
            placebo_high=None,
        )
        for place, row in enumerate(rows)
    ]
