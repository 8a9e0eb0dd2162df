"""Sampling error of credits: refit on randomly reweighted customers (Rubin 1981).

Each replicate gives every customer a weight from an exponential distribution, refits warm, and credits
the *same* customers. The error is therefore that of the estimate of this company's credit, not of another
company's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import PanelCredit, panel_credit
from attribution.incremental.checks.tried import FAILURES
from attribution.incremental.setfunction import FittedPanelModel, PanelEstimator
from attribution.settings import INCREMENTAL_OUTCOMES
from histories.panel import Panel

__all__ = ["CreditDraws", "bootstrap_credits"]

Float = NDArray[np.float64]

EVALUATED = 2_000
"""Customers on whom replicates are credited; the spread is scaled up to all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditDraws:
    """Deviations of replicates from the fit, by outcome."""

    deviations: Mapping[str, Float]
    """Shape (replicates, C), in units of the outcome and scaled to all customers."""
    failed: int
    """Replicates that found no optimum and were left out."""

    def std(self, outcome: str, channels: NDArray[np.bool_] | None = None) -> float:
        """Standard error of the summed credit of some channels (default: all); NaN below two replicates."""
        draws = self.deviations[outcome]
        if len(draws) < 2:
            return float("nan")
        return float(draws[:, slice(None) if channels is None else channels].sum(axis=1).std(ddof=1))


def bootstrap_credits(
    estimator: PanelEstimator,
    fit: FittedPanelModel,
    panel: Panel,
    stocks: NDArray[np.float32],
    *,
    replicates: int,
    n_customers: int,
    rng: np.random.Generator,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
) -> CreditDraws:
    """Refit on reweighted customers and credit them again.

    Parameters
    ----------
    estimator, fit
        The estimator and its fit to `panel`.
    panel, stocks
        The customers it was fitted to.
    replicates
        Number of refits.
    n_customers
        Customers whom the credits are for; spreads are scaled from `panel` to so many.
    rng
        Draws weights; every replicate uses the same posterior draws, so that only the fit varies.
    residual_value, gross_margin
        As in `panel_credit`.
    """
    chosen = np.sort(rng.permutation(panel.n_customers)[:EVALUATED])
    few, few_stocks = panel.take(chosen), stocks[chosen]
    value = None if residual_value is None else residual_value[chosen]
    seed = int(rng.integers(2**32))

    def credits_of(model: FittedPanelModel) -> PanelCredit:
        same = np.random.default_rng(seed)
        return panel_credit(model, few, few_stocks, rng=same, residual_value=value, gross_margin=gross_margin)

    centre = credits_of(fit)
    found: dict[str, list[Float]] = {
        name: [] for name in INCREMENTAL_OUTCOMES if centre.outcome(name) is not None
    }
    failed = 0
    for _ in range(replicates):
        weights = rng.exponential(1.0, panel.n_customers)
        try:
            again = credits_of(estimator.fit(panel, stocks, weights=weights, start=fit, rng=rng))
        except FAILURES:
            failed += 1
            continue
        for name, rows in found.items():
            rows.append(again.require(name).credit - centre.require(name).credit)
    scale = n_customers / few.n_customers
    empty = np.zeros((0, panel.n_channels))
    return CreditDraws(
        deviations={name: scale * np.array(rows) if rows else empty for name, rows in found.items()},
        failed=failed,
    )
