"""The lapse window: how long a gap between purchases has to be before it looks like a goodbye."""

from __future__ import annotations

import numpy as np

from attribution.incremental.latent.arrays import FloatArray
from histories.panel import Panel

__all__ = ["GAP_QUANTILE", "lapse_window", "purchase_gaps"]

GAP_QUANTILE = 0.95
"""Share of the gaps between purchases that are no longer than the window."""


def purchase_gaps(panel: Panel) -> FloatArray:
    """Periods between a customer's periods with a purchase, all customers, first to first repeat included."""
    customer, period = np.nonzero(panel.purchases > 0)
    same = customer[1:] == customer[:-1]
    result: FloatArray = (period[1:] - period[:-1])[same].astype(np.float64)
    return result


def lapse_window(panel: Panel) -> int:
    """The window in whole periods, at least 1; as many as the panel has when nobody bought twice."""
    gaps = purchase_gaps(panel)
    if gaps.size == 0:
        return panel.n_periods
    return max(1, int(np.ceil(np.quantile(gaps, GAP_QUANTILE))))
