"""Columns of covariates, standardised in a way that can be repeated on other customers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attribution.incremental.latent.arrays import FloatArray, IntArray

__all__ = ["ColumnScale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnScale:
    """Means and spreads of columns, and which of them are indicators of missing values."""

    names: tuple[str, ...]
    """Names of the K columns that are left."""
    columns: IntArray
    """Position of each in the raw columns, shape (K,)."""
    centres: FloatArray
    """Subtracted from each column, shape (K,)."""
    spreads: FloatArray
    """Divides each column, shape (K,)."""
    flags: tuple[bool, ...]
    """True where the column is the indicator of a missing value."""

    @classmethod
    def measure(cls, raw: FloatArray, names: tuple[str, ...]) -> ColumnScale:
        """Means and standard deviations of the last axis; constant columns are left out."""
        rows: list[tuple[str, int, float, float, bool]] = []
        for k, name in enumerate(names):
            missing = np.isnan(raw[..., k])
            known = raw[..., k][~missing]
            if known.size and known.std() > 0:
                rows.append((name, k, float(known.mean()), float(known.std()), False))
            if 0 < missing.mean() < 1:
                rows.append((f"{name} missing", k, float(missing.mean()), 1.0, True))
        return cls(
            names=tuple(row[0] for row in rows),
            columns=np.array([row[1] for row in rows], dtype=np.int64),
            centres=np.array([row[2] for row in rows], dtype=np.float64),
            spreads=np.array([row[3] for row in rows], dtype=np.float64),
            flags=tuple(row[4] for row in rows),
        )

    def apply(self, raw: FloatArray) -> FloatArray:
        """Standardised columns, shape (..., K); a missing value sits at the mean."""
        scaled = np.zeros((*raw.shape[:-1], len(self.names)))
        for k, (column, flag) in enumerate(zip(self.columns, self.flags, strict=True)):
            values = np.isnan(raw[..., column]).astype(np.float64) if flag else raw[..., column]
            scaled[..., k] = np.nan_to_num((values - self.centres[k]) / self.spreads[k])
        return scaled
