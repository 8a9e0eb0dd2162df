"""Whether the holdout bears the headline out.

A forecast that missed its own holdout by a wide margin is refuted, whatever its interval says now: a report
withholds it, or says so first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Literal

import numpy as np

from clv.purchases.base import PurchaseFit

#: A total further off than the first factor refutes the forecast, than the second makes it doubtful.
REFUTED, DOUBTFUL = 1.5, 1.25
#: So many forecasts that were all off by more than this factor, to one side, make the next one doubtful.
FEWEST_FORECASTS, LASTING = 3, 1.08
#: Totals of fewer purchases than this are too much a matter of chance to refute anything.
FEWEST_PURCHASES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowScore:
    """How the chosen forecast did on one window, scored before the window was learned from.

    Attributes
    ----------
    origin, until, model
        The window and the forecast.
    predicted, low, high, actual
        Purchases of the company; the interval as it was before the window opened.
    mae
        Mean absolute error per customer, in purchases.
    revenue_predicted, revenue_low, revenue_high, revenue_actual
        Revenue in currency; None without amounts.
    """

    origin: date
    until: date
    model: str
    predicted: float
    low: float
    high: float
    actual: float
    mae: float
    revenue_predicted: float | None = None
    revenue_low: float | None = None
    revenue_high: float | None = None
    revenue_actual: float | None = None

    def with_revenue(self, predicted: float, low: float, high: float, actual: float) -> WindowScore:
        """The same with revenue."""
        return replace(
            self,
            revenue_predicted=predicted,
            revenue_low=low,
            revenue_high=high,
            revenue_actual=actual,
        )

    @property
    def log_error(self) -> float:
        """log(actual / forecast) of purchases; NaN where one of them is 0."""
        return _log_ratio(self.actual, self.predicted)

    @property
    def covered(self) -> bool:
        """Whether the interval held what came."""
        return self.low <= self.actual <= self.high

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model card, with the errors as shares of the actual total."""
        fields = asdict(self) | {"origin": self.origin.isoformat(), "until": self.until.isoformat()}
        errors = {"total_error": _share_off(self.predicted, self.actual), "covered": self.covered}
        if self.revenue_actual is not None and self.revenue_predicted is not None:
            errors["revenue_error"] = _share_off(self.revenue_predicted, self.revenue_actual)
        return fields | errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a report may do with the headline.

    Attributes
    ----------
    status
        "supported", "doubtful" (say so beside it), "refuted" (withhold it, or say so first) or "unjudged".
    reason
        In words; None when supported.
    """

    status: Literal["supported", "doubtful", "refuted", "unjudged"]
    reason: str | None = None


def judge_headline(scores: Sequence[WindowScore], fits: Mapping[str, PurchaseFit]) -> Verdict:
    """Hold the chosen forecast against its latest window.

    Parameters
    ----------
    scores
        The latest origin first.
    fits
        The models at that origin; what ended at the edge of its box is named in the reason.
    """
    if not scores:
        return Verdict(status="unjudged", reason="no window was left to hold the forecast against")
    latest = scores[0]
    what, predicted, actual = "purchases", latest.predicted, latest.actual
    off = abs(_log_ratio(actual, predicted))
    if latest.revenue_predicted is not None and latest.revenue_actual is not None:
        revenue = abs(_log_ratio(latest.revenue_actual, latest.revenue_predicted))
        if np.isfinite(revenue) and not revenue <= off:
            what, off = "revenue", revenue
            predicted, actual = latest.revenue_predicted, latest.revenue_actual
    if max(latest.actual, latest.predicted) < FEWEST_PURCHASES:
        return Verdict(
            status="unjudged",
            reason=f"{latest.actual:.0f} purchases from {latest.origin} to {latest.until} are too few to "
            "hold a forecast against",
        )
    if off <= np.log(DOUBTFUL) and latest.covered:
        lasting = _lasting(scores)
        return Verdict(status="doubtful" if lasting else "supported", reason=lasting)
    error = _in_words(predicted, actual)
    bound = [model for model, fit in fits.items() if fit.report.at_bound]
    edge = f"; {len(bound)} of {len(fits)} fits ended at their bound ({', '.join(bound)})" if bound else ""
    reason = f"the forecast of {what} from {latest.origin} to {latest.until}, made before, was {error}{edge}"
    return Verdict(status="refuted" if not off <= np.log(REFUTED) else "doubtful", reason=reason)


def _lasting(scores: Sequence[WindowScore]) -> str | None:
    """That every forecast made before was off to the same side, in words; None where they were not."""
    errors = np.array([score.log_error for score in scores])
    if errors.size < FEWEST_FORECASTS or not (np.abs(errors) > np.log(LASTING)).all():
        return None
    if np.ptp(np.sign(errors)):
        return None
    off = np.sort(np.abs(np.expm1(-errors)))
    side = "high" if errors[0] < 0 else "low"
    return (
        f"each of {errors.size} forecasts of purchases made before was too {side}, by {off[0]:.0%} to "
        f"{off[-1]:.0%}: expect the same of this one"
    )


def _in_words(predicted: float, actual: float) -> str:
    """How far a forecast was off."""
    if actual == 0:
        return f"{predicted:,.0f}, and nothing came"
    if predicted > 5.0 * actual:
        return f"{predicted / actual:,.0f} times what came"
    return f"off by {predicted / actual - 1.0:+.1%}"


def _log_ratio(actual: float, predicted: float) -> float:
    """log(actual / predicted); infinite where one of them alone is 0, NaN where both are."""
    if actual > 0.0 and predicted > 0.0:
        return float(np.log(actual / predicted))
    return float("nan") if actual == predicted else float("inf")


def _share_off(predicted: float, actual: float) -> float | None:
    return predicted / actual - 1.0 if actual > 0.0 else None
