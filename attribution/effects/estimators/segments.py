"""Segments: who responds, whether the segments differ at all, and whether each pays for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from attribution.effects.effect import Effect, holm
from attribution.effects.findings import PICTURE_SCHEMAS
from histories.cuts import ALL

MONEY_OUTCOMES = ("spend", "margin")
"""Outcomes in currency, for which a segment's margin is held against its cost."""


def segment_masks(column: str, labels: NDArray[np.str_]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Each segment of a column as `column: label`, with the mask of its units, shape (N,)."""
    for label in np.unique(labels):
        yield f"{column}: {label}", labels == label


def too_small(units: int, needed: int) -> str:
    """Why a segment is not read."""
    return f"segment too small: {units} in the smaller group, {needed} needed"


def heterogeneity_test(effects: Sequence[Effect], column: str) -> list[dict[str, object]]:
    """One global test of equal effects: Cochran's Q, chi-square with one degree less than segments."""
    figures = [(e.estimate, e.std_error) for e in effects if e.estimate is not None and e.std_error]
    if len(figures) < 2:
        return []
    estimates, errors = (np.array(values, dtype=float) for values in zip(*figures, strict=True))
    weights = errors**-2
    mean = float(weights @ estimates / weights.sum())
    q = float(weights @ (estimates - mean) ** 2)
    return [
        {
            "name": effects[0].name,
            "outcome": effects[0].outcome,
            "test": f"equal effects across {column}",
            "hypothesis": column,
            "statistic": q,
            "p_value": float(scipy.stats.chi2.sf(q, len(figures) - 1)),
            "p_holm": None,
            "family": 1,
        }
    ]


def segment_margins(
    effects: Sequence[Effect], *, gross_margin: float | None, cost_per_treated: float | None
) -> pl.DataFrame:
    """Incremental margin of each segment's treated units against what treating them cost, in currency.

    Margin = effect on spend x gross margin x treated units; an outcome `margin` is taken as it is. One row
    per segment with a figure; cost and net stay empty where no cost is known.
    """
    rows = []
    for effect in effects:
        rate = 1.0 if effect.outcome == "margin" else gross_margin
        if effect.segment == ALL or effect.outcome not in MONEY_OUTCOMES or rate is None:
            continue
        if (
            effect.bin is not None
        ):  # bins of a curve are rival answers to one case, not treatments that add up
            continue
        if effect.estimate is None or effect.low is None or effect.high is None:
            continue
        scale = rate * effect.n_treated
        cost = None if cost_per_treated is None else cost_per_treated * effect.n_treated
        rows.append(
            {
                "name": effect.name,
                "segment": effect.segment,
                "n_treated": effect.n_treated,
                "incremental_margin": effect.estimate * scale,
                "low": effect.low * scale,
                "high": effect.high * scale,
                "cost": cost,
                "net": None if cost is None else effect.estimate * scale - cost,
                "supported": effect.supported,
            }
        )
    return pl.DataFrame(rows, schema=PICTURE_SCHEMAS["segment_margins"])


def holm_rows(effects: Sequence[Effect], family: str) -> list[dict[str, object]]:
    """Each effect's p-value, and Holm's over the family; no rows for a family of one."""
    usable = [(effect, p) for effect in effects if (p := effect.p_value) is not None]
    if len(usable) < 2:
        return []
    adjusted = holm([p for _, p in usable])
    return [
        {
            "name": effect.name,
            "outcome": effect.outcome,
            "test": f"no effect, by {family}",
            "hypothesis": effect.treatment if effect.segment == ALL else effect.segment,
            "statistic": (effect.estimate or 0.0) / (effect.std_error or np.inf),
            "p_value": p,
            "p_holm": corrected,
            "family": len(usable),
        }
        for (effect, p), corrected in zip(usable, adjusted, strict=True)
    ]
