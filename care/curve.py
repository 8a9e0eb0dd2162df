"""What an answer brings by how long it took, against none: the bins of a response curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl

from care.evidence import ANY_ANSWER, CareEffect, Z, effect_of
from histories.arrays import Float
from histories.cuts import ALL

_NEVER: Final = "not answered"


def effects_by_speed(
    effects: pl.DataFrame, designs: Sequence[Mapping[str, Any]], *, gross_margin: float | None
) -> dict[str, CareEffect]:
    """Bin (`15-60`, minutes) to the effect of an answer at that speed on margin, per case, in currency.

    Of the first response curve with a supported bin on margin, or on spend times the gross margin; the
    fastest first, empty without one. Only bins that are held against cases never answered count: against slow
    answers a curve says nothing of silence.
    """
    if "bin" not in effects.columns:
        return {}
    rows = effects.filter(
        pl.col("bin").is_not_null()
        & (pl.col("bin") != ANY_ANSWER)
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
                return {
                    row["bin"]: effect_of(row, design).times(rate, "margin")
                    for row in own.iter_rows(named=True)
                }
    return {}


def gain_of_next(
    effects: Mapping[str, CareEffect], minutes: Float, *, within: float, cases: float
) -> CareEffect:
    """What an answer in time adds for those who waited least beyond it, per case, in the effects' unit.

    The mean effect of the bins within the limit less that of the bins which those cases come from; a case
    that was never answered comes from none. All bins are held against the same cases, so that the error,
    which takes them as independent, is too large rather than too small.

    Parameters
    ----------
    effects
        By speed, as `effects_by_speed` has them.
    minutes : shape (N,)
        Wait of each case; infinite where it was never answered.
    within
        Minutes of the promise.
    cases
        How many become fast; infinite for all, whose mean is that of those drawn at random.

    >>> fast, slow = (CareEffect(name="speed", outcome="margin", value=x, std_error=0.3) for x in (6.0, 5.0))
    >>> waits = np.array([10.0, 70.0, 90.0, 2000.0, np.inf])
    >>> found = gain_of_next({"0-60": fast, "60-1440": slow}, waits, within=60, cases=2)
    >>> found.value, round(found.error, 2)
    (1.0, 0.42)
    """
    ends = {label: float(label.split("-")[1] or "inf") for label in effects}
    inside = [label for label, end in ends.items() if end <= within]
    waits = np.sort(minutes[minutes > within])[: int(np.clip(np.nan_to_num(cases), 1, len(minutes) or 1))]
    labels = {label: _holds(label, waits) for label in effects if label not in inside}
    unknown = np.isfinite(waits) & ~np.logical_or.reduce([np.zeros(len(waits), dtype=bool), *labels.values()])
    like = next(iter(effects.values()), CareEffect(name="an answer by its speed", outcome="margin"))
    if within not in ends.values() or not len(waits) or unknown.any():
        reason = (
            f"no response curve has supported bins that end at {within:g} minutes and hold the next cases"
        )
        return replace(like, value=None, std_error=None, low=None, high=None, supported=False, reason=reason)
    parts = [(_holds(label, minutes).sum(), effects[label]) for label in inside]
    whole = sum(count for count, _ in parts) or 1
    shares = [(count / whole, effect) for count, effect in parts]
    shares += [(-mask.mean(), effects[label]) for label, mask in labels.items()]
    value = float(sum(share * (effect.value or 0.0) for share, effect in shares))
    error = float(np.sqrt(sum((share * effect.error) ** 2 for share, effect in shares)))
    return replace(like, value=value, std_error=error, low=value - Z * error, high=value + Z * error)


def _holds(label: str, minutes: Float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which waits a bin holds; its upper end belongs to it."""
    first, last = label.split("-")
    low, high = float(first), float(last) if last else np.finfo(np.float64).max
    return np.asarray(((minutes > low) | (low == 0)) & (minutes <= high))
