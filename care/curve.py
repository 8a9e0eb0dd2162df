"""What an answer brings by how long it took, against none: the bins of a response curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from care.evidence import CareEffect, Z, effect_of
from histories.arrays import Flags, Float
from histories.cuts import ALL

__all__ = ["Curve", "find_curve"]

_NEVER: Final = "not answered"
_ENOUGH: Final = 0.95
"""Share of the answers that must lie in bins with a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The supported bins of a curve against those never answered.

    Attributes
    ----------
    bins
        Label (`15-60`, minutes) to the effect on margin, per case, in currency; the fastest first.
    """

    bins: Mapping[str, CareEffect]

    @property
    def first(self) -> CareEffect:
        """One of them, for what all have in common: channels and clock."""
        return next(iter(self.bins.values()))

    def at_speed_of(self, minutes: Float) -> CareEffect | None:
        """The effect at the speed of these answers, shape (N,); None where a twentieth has no figure.

        The mean of the bins' effects by their shares of the answers. All bins are held against the same
        cases, and the table holds no covariances, so that the error is the largest that there can be: that of
        bins which err together.
        """
        counts = np.array([_within(label, minutes).sum() for label in self.bins], dtype=np.float64)
        if not len(minutes) or counts.sum() < _ENOUGH * len(minutes):
            return None
        share = counts / counts.sum()
        value = float(share @ [effect.value or 0.0 for effect in self.bins.values()])
        error = float(share @ [effect.error for effect in self.bins.values()])
        return replace(
            self.first,
            value=value,
            std_error=error,
            low=value - Z * error,
            high=value + Z * error,
            estimator="at the speed of the answers that there were",
        )


def _within(label: str, minutes: Float) -> Flags:
    """Which waits a bin holds; its upper end belongs to it.

    >>> _within("15-60", np.array([15.0, 15.1, 60.0])).tolist(), _within("1440-", np.array([1441.0])).tolist()
    ([False, True, True], [True])
    """
    first, last = label.split("-")
    low, high = float(first), float(last) if last else np.inf
    return np.asarray(((minutes > low) | (low == 0)) & (minutes <= high))


def find_curve(
    effects: pl.DataFrame, designs: Sequence[Mapping[str, Any]], *, gross_margin: float | None
) -> Curve | None:
    """The first response curve with a supported bin on margin, or on spend times the gross margin.

    Only bins that are held against cases never answered count: against slow answers a curve says nothing of
    silence.
    """
    if "bin" not in effects.columns:
        return None
    rows = effects.filter(
        pl.col("bin").is_not_null()
        & (pl.col("control") == _NEVER)
        & (pl.col("segment") == ALL)
        & (pl.col("estimator") == "aipw")
        & pl.col("supported")
        & pl.col("estimate").is_not_null()
    )
    for design in designs:
        for outcome, rate in (("margin", 1.0), ("spend", gross_margin)):
            own = rows.filter((pl.col("name") == design["name"]) & (pl.col("outcome") == outcome))
            if own.height and rate is not None:
                return Curve(
                    bins={
                        row["bin"]: effect_of(row, design).times(rate, "margin")
                        for row in own.iter_rows(named=True)
                    }
                )
    return None
