"""Which estimators credit a company: the default, and the companions that span the range with it."""

from __future__ import annotations

from dataclasses import dataclass

from attribution.incremental.frailty import SharedFrailty
from attribution.incremental.latent import LatentDropout
from attribution.incremental.regression import OWN_MEANS, POISSON_SPEND
from attribution.incremental.setfunction import PanelEstimator
from histories.panel import Panel

__all__ = ["Plan", "plan_for"]

MIN_PERIODS = 6
"""Periods below which stocks and levels of customers cannot be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Estimators for one panel."""

    default: PanelEstimator
    companions: tuple[PanelEstimator, ...] = ()
    """Estimators that fail differently from the default."""
    problems: tuple[str, ...] = ()
    """Why no credit of this panel is supported whatever the fit; empty when nothing speaks against it."""


def plan_for(panel: Panel) -> Plan:
    """Shared frailty where leaving is recorded, the latent dropout month where it is not.

    Without the origin of every channel nothing can be said of leaving; then spend alone is credited by a
    Poisson regression, and not as supported.
    """
    short = (
        (f"{panel.n_periods} periods; at least {MIN_PERIODS} are needed",)
        if panel.n_periods < MIN_PERIODS
        else ()
    )
    if panel.contractual:
        return Plan(
            default=SharedFrailty(),
            companions=(SharedFrailty(dynamic=False, second_factor=False), OWN_MEANS),
            problems=short,
        )
    if None in panel.origins or not panel.purchases.any():
        return Plan(default=POISSON_SPEND, problems=(*short, POISSON_SPEND.limits))
    return Plan(default=LatentDropout(), problems=short)
