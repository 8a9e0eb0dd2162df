"""The customer-period panel as the models of this package read it: rows, designs, weights.

`Panel` and `build_panel` themselves belong to the histories and are only named here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.panel import Panel
from histories.panels import build_panel

__all__ = ["Design", "Panel", "build_panel", "static_design"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Columns of a regression that do not depend on any channel."""

    values: NDArray[np.float64]
    """Shape (N, K): standardised covariates and indicators of missing ones."""
    names: tuple[str, ...]
    """Names of the K columns."""


def static_design(panel: Panel, *, with_proxies: bool = True) -> Design:
    """Covariates (and proxies) standardised, missing values at the mean with an indicator of their own.

    A column without variation is left out.
    """
    blocks = [panel.covariates, panel.proxies] if with_proxies else [panel.covariates]
    names = [*panel.covariate_names, *(panel.proxy_names if with_proxies else ())]
    raw = np.concatenate(blocks, axis=1).astype(np.float64)
    columns: list[NDArray[np.float64]] = []
    kept: list[str] = []
    for name, column in zip(names, raw.T, strict=True):
        missing = np.isnan(column)
        mean = 0.0 if missing.all() else column[~missing].mean()
        filled = np.where(missing, mean, column)
        spread = filled.std()
        if spread > 0:
            columns.append((filled - filled.mean()) / spread)
            kept.append(name)
        if 0 < missing.mean() < 1:
            columns.append(missing - missing.mean())
            kept.append(f"{name} missing")
    values = np.column_stack(columns) if columns else np.zeros((panel.n_customers, 0))
    return Design(values=values, names=tuple(kept))
