"""The data of a purchase fit: frequency, recency and T, each row standing for a number of customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from histories.arrays import Float
from histories.errors import ConvergenceError, DataError, SchemaError


def summary_frame(summary: object, columns: Sequence[str]) -> pl.DataFrame:
    """A purchase summary as a Polars frame: frames of other libraries are converted, columns are required.

    Raises
    ------
    DataError
        When it is no frame.
    SchemaError
        When a column is missing.
    """
    if not isinstance(summary, pl.DataFrame):
        if not hasattr(summary, "__arrow_c_stream__"):
            raise DataError(
                f"The summary is a {type(summary).__name__}; a frame with a row a customer is needed."
            )
        summary = pl.DataFrame(summary)
    missing = [name for name in columns if name not in summary.columns]
    if missing:
        raise SchemaError(
            f"The summary has no {', '.join(missing)}. Found: {', '.join(summary.columns[:8]) or 'none'}. "
            "Make it of transactions with `tributary.summarize`."
        )
    return summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Unique purchase patterns and how many customers show each.

    Attributes
    ----------
    frequency
        Repeat purchases, shape (n,), whole numbers as float.
    recency
        First to last purchase, in the time unit, shape (n,).
    T
        First purchase to the end of observation, in the time unit, shape (n,).
    weights
        Customers per row, shape (n,).
    """

    frequency: Float
    recency: Float
    T: Float
    weights: Float

    @classmethod
    def from_summary(cls, summary: pl.DataFrame) -> Observations:
        """Collapse a purchase summary to its unique patterns, which changes no estimate.

        An optional column `weights` counts customers per row, so summaries of several partitions can be
        concatenated.

        Raises
        ------
        DataError
            When there is no customer, or a row breaks 0 <= recency <= T or has recency without frequency.
        """
        summary = summary_frame(summary, ("frequency", "recency", "T"))
        weights = pl.col("weights").sum() if "weights" in summary.columns else pl.len()
        patterns = summary.group_by("frequency", "recency", "T", maintain_order=True)
        unique = patterns.agg(weights=weights.cast(pl.Float64))
        columns = (
            unique[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T", "weights")
        )
        return cls.from_arrays(*columns)

    @classmethod
    def from_arrays(
        cls,
        frequency: npt.ArrayLike,
        recency: npt.ArrayLike,
        T: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
    ) -> Observations:
        """Check arrays of equal length and take them as they are."""
        x, t_x, age = (np.ascontiguousarray(a, dtype=np.float64) for a in (frequency, recency, T))
        counts = np.ones_like(x) if weights is None else np.ascontiguousarray(weights, dtype=np.float64)
        _check(x, t_x, age, counts)
        return cls(frequency=x, recency=t_x, T=age, weights=counts)

    @property
    def customers(self) -> float:
        """Number of customers, the sum of the weights."""
        return float(self.weights.sum())

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.frequency.size)

    def rescale_time(self, factor: float) -> Observations:
        """The same patterns with recency and T multiplied by `factor`."""
        return Observations(
            frequency=self.frequency,
            recency=self.recency * factor,
            T=self.T * factor,
            weights=self.weights,
        )

    def sample(self, rows: int, *, rng: np.random.Generator) -> Observations:
        """A random part of the rows, without replacement; all of them when there are no more."""
        if self.size <= rows:
            return self
        chosen = np.sort(rng.choice(self.size, size=rows, replace=False))
        return Observations(
            frequency=self.frequency[chosen],
            recency=self.recency[chosen],
            T=self.T[chosen],
            weights=self.weights[chosen],
        )


def require_repeats(data: Observations, model: str) -> None:
    """Refuse a company in which nobody bought twice: it says nothing of rates or dropout.

    Raises
    ------
    ConvergenceError
        When every frequency is 0.
    """
    if not data.frequency.any():
        raise ConvergenceError(
            f"{model}: none of {data.customers:.0f} customers bought again, so neither purchase rate nor "
            "dropout can be estimated. Observe for longer, or set purchase_unit to a shorter unit."
        )


def _check(x: Float, t_x: Float, T: Float, weights: Float) -> None:
    """Refuse patterns that no customer can have, saying how many rows break which rule."""
    if x.size == 0:
        raise DataError("no customers to fit a purchase model on; check observation_end and the transactions")
    rules = {
        "a value that is not finite": ~(np.isfinite(x) & np.isfinite(t_x) & np.isfinite(T)),
        "a negative or broken frequency": (x < 0) | (x != np.floor(x)),
        "a recency below 0 or above T": (t_x < 0) | (t_x > T),
        "a recency without a repeat purchase": (x == 0) & (t_x != 0),
        "a weight that is not positive": ~(weights > 0),
    }
    for rule, broken in rules.items():
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            raise DataError(
                f"{int(broken.sum())} of {x.size} purchase patterns have {rule} "
                f"(first: frequency {x[row]:g}, recency {t_x[row]:g}, T {T[row]:g}); "
                "expected whole frequency >= 0 and 0 <= recency <= T"
            )
    if not (T > 0).any():
        raise DataError("no customer was observed for any time (all T are 0); set a later observation_end")
