"""incremental_credit: from a panel to the table of incremental credits, with intervals, range and gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.credits import concat_credits, incremental_credits, unavailable_credits
from attribution.incremental.aumann_shapley import PanelCredit, panel_credit
from attribution.incremental.bootstrap import OUTCOMES, CreditDraws, bootstrap_credits
from attribution.incremental.evidence import (
    channel_bounds,
    channel_counts,
    group_bounds,
    group_counts,
    objections,
)
from attribution.incremental.gates import failed_replicates, total_problems
from attribution.incremental.plan import Checked, Plan, plan_for
from attribution.incremental.setfunction import FittedPanelModel
from attribution.incremental.stocks import decayed_stocks
from attribution.settings import AttributionSettings
from histories.errors import ModelError
from histories.panel import Panel

__all__ = ["CreditEstimate", "credit_table", "estimate_credit", "incremental_credit"]

Float = NDArray[np.float64]

METHOD = "incremental"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditEstimate:
    """Everything behind a table of incremental credits."""

    credit: PanelCredit
    """By the default estimator, of all customers."""
    companions: Mapping[str, PanelCredit]
    """By the companions, by name."""
    draws: CreditDraws
    """Sampling error of the default's."""
    fit: FittedPanelModel
    estimator: str
    observed_leaving: bool
    """Whether leaving is recorded; else retention is of expected survivors."""
    hazard: bool
    """Whether leaving was modelled; without it there is no credit of retention or lifetime value."""
    limits: str
    """What the default assumes, in a clause."""
    problems: tuple[str, ...]
    """Why no credit is supported; empty when nothing speaks against it."""
    against_channels: Mapping[str, str]
    """What the checks speak against single channels."""
    notes: tuple[str, ...]
    """What went wrong with companions."""


def incremental_credit(
    panel: Panel,
    *,
    settings: AttributionSettings,
    outcomes: Sequence[str] = OUTCOMES,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
    costs: Mapping[str, float] | None = None,
    seed: int = 1,
    plan: Plan | None = None,
) -> pl.DataFrame:
    """Credit of every channel with retention, spend and lifetime value, in CREDITS_SCHEMA.

    Parameters
    ----------
    panel
        Customers and periods.
    settings
        Level of intervals, bootstrap replicates, and the largest number of customers to fit on; all
        customers are credited.
    outcomes
        Of "retention", "spend" and "lifetime_value"; others are ignored.
    residual_value
        Discounted margin after the observation, given that the customer is still there, in currency,
        shape (N,); None: no credit of lifetime value.
    gross_margin
        Margin per unit of spend where the panel has none.
    costs
        Cost of each channel in currency, for the return on spend.
    seed
        Of all randomness.
    plan
        Estimators; None: those that suit the panel.

    Raises
    ------
    ConvergenceError
        If the default estimator found no optimum.
    """
    estimate = estimate_credit(
        panel,
        settings=settings,
        residual_value=residual_value,
        gross_margin=gross_margin,
        seed=seed,
        plan=plan,
    )
    wanted = [name for name in OUTCOMES if name in outcomes]
    return credit_table(panel, estimate, outcomes=wanted, interval=settings.interval, costs=costs)


def estimate_credit(
    panel: Panel,
    *,
    settings: AttributionSettings,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
    seed: int = 1,
    plan: Plan | None = None,
) -> CreditEstimate:
    """Fit the plan's estimators on a sample of customers, credit all, and measure the sampling error."""
    chosen = plan or plan_for(panel)
    rng = np.random.default_rng(seed)
    stocks = decayed_stocks(panel.touches)
    rows = np.sort(rng.permutation(panel.n_customers)[: settings.fit_customers])
    sample, sample_stocks = panel.take(rows), stocks[rows]
    fit = chosen.default.fit(sample, sample_stocks, rng=rng)
    credit = panel_credit(
        fit, panel, stocks, rng=rng, residual_value=residual_value, gross_margin=gross_margin
    )
    checked = chosen.check(fit, sample, sample_stocks, rng) if chosen.check else Checked()
    models, notes = _fit_companions(chosen, sample, sample_stocks, rng)
    companions = {
        name: panel_credit(
            model, panel, stocks, rng=rng, residual_value=residual_value, gross_margin=gross_margin
        )
        for name, model in {**models, **checked.companions}.items()
    }
    draws = bootstrap_credits(
        chosen.default,
        fit,
        sample,
        sample_stocks,
        replicates=settings.replicates,
        n_customers=panel.n_customers,
        rng=rng,
        residual_value=None if residual_value is None else residual_value[rows],
        gross_margin=gross_margin,
    )
    problems = (
        *chosen.problems,
        *fit.problems,
        *checked.problems,
        *total_problems(credit),
        *failed_replicates(draws, settings.replicates),
    )
    return CreditEstimate(
        credit=credit,
        companions=companions,
        draws=draws,
        fit=fit,
        estimator=chosen.default.name,
        observed_leaving=panel.contractual,
        hazard=bool(np.any(fit.beta)),
        limits=chosen.default.limits,
        problems=problems,
        against_channels=checked.by_channel,
        notes=notes,
    )


def _fit_companions(
    plan: Plan, panel: Panel, stocks: NDArray[np.float32], rng: np.random.Generator
) -> tuple[dict[str, FittedPanelModel], tuple[str, ...]]:
    """Fits of the companions by name, and what went wrong with the others."""
    models: dict[str, FittedPanelModel] = {}
    notes: list[str] = []
    for companion in plan.companions:
        try:
            models[companion.name] = companion.fit(panel, stocks, rng=rng)
        except ModelError as error:
            notes.append(f"{companion.name} is missing from the range: {error}")
    return models, tuple(notes)


def credit_table(
    panel: Panel,
    estimate: CreditEstimate,
    *,
    outcomes: Sequence[str],
    interval: float,
    costs: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """The table of credits, one block per outcome: channels, groups, baseline, total."""
    groups = dict(zip(panel.channels, panel.groups, strict=True))
    against = objections(panel, estimate.problems, estimate.against_channels)
    counts = channel_counts(panel), group_counts(panel)
    parts = []
    for outcome in outcomes:
        missing = _why_missing(estimate, outcome)
        if missing is not None:
            nothing = unavailable_credits(
                panel.channels,
                outcome=outcome,
                method=METHOD,
                kind="incremental",
                groups=groups,
                reason=missing,
            )
            parts.append(nothing)
            continue
        found = estimate.credit.require(outcome)
        around: dict[str, Any] = {
            "credit": estimate.credit,
            "companions": estimate.companions,
            "draws": estimate.draws,
            "outcome": outcome,
            "interval": interval,
        }
        table = incremental_credits(
            dict(zip(panel.channels, found.credit.tolist(), strict=True)),
            outcome=outcome,
            method=METHOD,
            baseline=found.baseline,
            total=found.total,
            groups=groups,
            bounds=channel_bounds(**around),
            group_bounds=group_bounds(panel, **around),
            interval_level=interval,
            counts=counts[0],
            group_counts=counts[1],
            costs=costs,
            supported={name: not reasons for name, reasons in against.items()},
            reason={name: _reason(estimate, outcome, reasons) for name, reasons in against.items()},
        )
        parts.append(table)
    return concat_credits(parts).frame


def _why_missing(estimate: CreditEstimate, outcome: str) -> str | None:
    """Why there is no credit of an outcome; None when there is."""
    if outcome == "spend":
        return None
    if not estimate.hazard:
        return f"{estimate.estimator} does not model leaving: no credit of {outcome.replace('_', ' ')}"
    if estimate.credit.outcome(outcome) is None:
        return "no residual lifetime values: no purchase model was fitted"
    return None


def _reason(estimate: CreditEstimate, outcome: str, against: Sequence[str]) -> str:
    """What speaks against the figure, else what it rests on."""
    if against:
        return "; ".join(against)
    expected = "expected survivors; " if outcome == "retention" and not estimate.observed_leaving else ""
    modelled = "observed + modelled; " if outcome == "lifetime_value" else ""
    return f"{expected}{modelled}{estimate.limits}; interval: sampling error only"
