"""Frames of an adjusted comparison's pictures: balance and overlap."""

from __future__ import annotations

import numpy as np
import polars as pl

from attribution.effects.aipw import ESTIMANDS
from attribution.effects.checks import standardised_differences
from attribution.effects.comparison import Comparison
from attribution.effects.findings import PICTURE_SCHEMAS
from attribution.effects.nuisance import Nuisances

__all__ = ["love_frame", "overlap_frame"]


def love_frame(c: Comparison) -> pl.DataFrame:
    """Standardised differences before, and after weighting to the ATE."""
    weights = ESTIMANDS[0].scores(c.t, c.t, _flat(c)).weights
    names = c.units.covariate_names
    return pl.DataFrame(
        {
            "name": [c.design.name] * len(names),
            "treatment": [c.design.treatment_label] * len(names),
            "covariate": list(names),
            "before": standardised_differences(c.units.covariates, c.treated),
            "after": standardised_differences(c.units.covariates, c.treated, weights),
        },
        schema=PICTURE_SCHEMAS["love"],
    )


def _flat(c: Comparison) -> Nuisances:
    """The propensity with outcome means of zero: enough for the weights."""
    zero = np.zeros(len(c.units))
    return Nuisances(
        propensity=c.propensity[0], mean_treated=zero, mean_control=zero, learners=(c.propensity[1], "", "")
    )


def overlap_frame(c: Comparison) -> pl.DataFrame:
    """Shares of each group by propensity, in twenty bins."""
    edges = np.linspace(0, 1, 21)
    rows = []
    for group, side in (("treated", c.treated), ("control", ~c.treated)):
        counts = np.histogram(c.propensity[0][side], edges)[0] / side.sum()
        rows += [
            {"name": c.design.name, "group": group, "low": a, "high": b, "share": share}
            for a, b, share in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    return pl.DataFrame(rows, schema=PICTURE_SCHEMAS["overlap"])
