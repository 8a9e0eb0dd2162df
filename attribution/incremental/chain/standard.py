"""Columns on a common scale, learned once and applied to any customers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from histories.arrays import Flags, Float, Real


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Means and scales of columns; constant columns are dropped, missing values may get a flag."""

    centre: Float
    scale: Float
    kept: Flags
    """Columns that vary."""
    flagged: Flags
    """Columns whose missing values get an indicator."""

    @staticmethod
    def learn(values: Real) -> Standard:
        """From rows of shape (n, k), NaN where missing."""
        table = np.asarray(values, dtype=np.float64)
        known = ~np.isnan(table)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, table, 0.0).sum(axis=0) / count
        scale = np.sqrt((np.where(known, table - centre, 0.0) ** 2).sum(axis=0) / count)
        kept = scale > 1e-9
        missing = 1.0 - known.mean(axis=0) if len(table) else np.zeros(table.shape[1])
        return Standard(
            centre=centre, scale=np.where(kept, scale, 1.0), kept=kept, flagged=(missing > 0) & (missing < 1)
        )

    def scaled(self, values: Real) -> Float:
        """Kept columns on the learned scale, missing values still NaN, shape (..., kept)."""
        table: Float = (np.asarray(values, dtype=np.float64) - self.centre) / self.scale
        return table[..., self.kept]

    def filled(self, values: Real) -> Float:
        """Kept columns with missing values at the mean, then the indicators of missing ones."""
        missing = np.isnan(np.asarray(values)[..., self.flagged]).astype(np.float64)
        return np.concatenate([np.nan_to_num(self.scaled(values)), missing], axis=-1)
