"""What an answer brings by how long it took, against none: the bins of a response curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from care.evidence import ANY_ANSWER, CareEffect, effect_of
from histories.cuts import ALL

__all__ = ["effects_by_speed"]

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
