"""The holdout check: whether a fit without the last periods foresees them.

The model is climbed again on the first P - 5 periods; every customer is then simulated onwards from the
posterior at that point. Purchases, and the number of customers heard of at all, are compared with what
happened. Season, effects of months and of tenure are those of all periods: too few are left to tell them from
leaving. A model that takes quiet spells for dropout foresees too few customers and shows here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.fitted import HiddenChainFit
from attribution.incremental.chain.imitation import onwards
from histories.arrays import Float
from histories.errors import ModelError
from histories.panel import Panel

HOLDOUT_PERIODS = 5
"""Periods kept back."""
CUSTOMERS = 4_000
"""Customers on whom it is done at most."""
HOLDOUT_LIMIT = 0.10
"""Largest relative error of purchases, or of customers heard of, that passes."""
CERTAIN = 3.0
"""Standard errors that the error must have too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutCheck:
    """Predicted against observed in the periods kept back."""

    periods: int
    """Periods kept back."""
    predicted_purchases: float
    """Purchases foreseen."""
    observed_purchases: float
    """Purchases made."""
    purchases_error: float
    """Standard error of their difference, over customers: some buy a hundred times as often as others."""
    predicted_heard: float
    """Customers foreseen to buy or act at least once."""
    observed_heard: float
    """Customers who did."""
    heard_error: float
    """Standard error of their difference."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What the model did not foresee, in words."""
        found: list[str] = []
        for what, predicted, observed, error in (
            ("purchases", self.predicted_purchases, self.observed_purchases, self.purchases_error),
            ("customers heard of", self.predicted_heard, self.observed_heard, self.heard_error),
        ):
            off = predicted / max(observed, 1.0) - 1.0
            if abs(off) > HOLDOUT_LIMIT and abs(predicted - observed) > CERTAIN * error:
                found.append(
                    f"holdout of {self.periods} periods: {what} foreseen {predicted:,.0f}, "
                    f"seen {observed:,.0f}"
                )
        return tuple(found)


def run_holdout(
    fit: HiddenChainFit,
    panel: Panel,
    stocks: NDArray[np.float32],
    *,
    rng: np.random.Generator,
    periods: int = HOLDOUT_PERIODS,
) -> HoldoutCheck:
    """Fit without the last periods and simulate them.

    Parameters
    ----------
    fit
        The model, whose settings are kept.
    panel, stocks
        Customers and their decayed stocks, shape (N, P, C).
    rng
        Draws customers, and the simulated periods.
    periods
        Periods to keep back.

    Raises
    ------
    ModelError
        If no more than twice as many periods exist as are kept back.
    """
    cut = panel.n_periods - periods
    if cut <= periods:
        raise ModelError(
            f"Holdout: {panel.n_periods} periods, {periods} of them kept back. Keep back fewer, or give more."
        )
    rows = np.flatnonzero(panel.entry < cut)
    rows = np.sort(rng.permutation(rows)[:CUSTOMERS])
    panel, stocks = panel.take(rows), stocks[rows]
    past = panel.until(cut)
    again = fit.refit(past, stocks[:, :cut], hold_calendar=True)
    purchases, heard = onwards(again, panel, past, stocks, rng=rng)
    made: Float = np.asarray(panel.purchases[:, cut:], dtype=np.float64)
    was_heard = np.asarray(((made > 0) | (panel.own_acts[:, cut:] > 0)).any(axis=1), dtype=np.float64)
    return HoldoutCheck(
        periods=periods,
        predicted_purchases=float(purchases.sum()),
        observed_purchases=float(made.sum()),
        purchases_error=_error(purchases.sum(axis=1), made.sum(axis=1)),
        predicted_heard=float(heard.sum()),
        observed_heard=float(was_heard.sum()),
        heard_error=_error(heard.astype(np.float64), was_heard),
    )


def _error(foreseen: Float, seen: Float) -> float:
    """Standard error of the difference of two sums over the same customers, foreseen by one drawn life."""
    return max(float(np.sqrt(((foreseen - seen) ** 2).sum())), 1.0)
