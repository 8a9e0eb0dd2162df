"""The table of incremental credits: channels, groups, baseline and total of every outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from attribution.credits.table import concat_credits, incremental_credits, unavailable_credits
from attribution.incremental.beside import credit_bounds, members_of, objections, touch_counts
from attribution.incremental.checks.possible import unbounded_outcome, unmeasured_channels
from attribution.incremental.estimate import CreditEstimate, estimate_credit
from attribution.incremental.experiment import ChannelExperiment, ExperimentReading
from attribution.incremental.plan import Plan
from attribution.settings import INCREMENTAL_OUTCOMES, AttributionSettings
from histories.arrays import Float
from histories.cuts import ALL
from histories.panel import Panel

METHOD = "incremental"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a segment's credits of one outcome rest on beyond what the whole company's do."""

    note: str = ""
    """In a clause, for the `reason` column."""
    against: tuple[str, ...] = ()
    """Why they are not supported; empty when nothing speaks against them."""


def incremental_credit(
    panel: Panel,
    *,
    settings: AttributionSettings,
    outcomes: Sequence[str] = INCREMENTAL_OUTCOMES,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
    costs: Mapping[str, float] | None = None,
    experiments: Sequence[ChannelExperiment] = (),
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
    experiments
        Randomised comparisons of single channels, which test the model.
    seed
        Of all randomness.
    plan
        Estimators; None: those that suit the panel.

    Raises
    ------
    ConvergenceError
        If the default estimator found no optimum.
    """
    with threadpool_limits(1, user_api="blas"):  # some hundred parameters: threads only wait for each other
        estimate = estimate_credit(
            panel,
            settings=settings,
            residual_value=residual_value,
            gross_margin=gross_margin,
            experiments=experiments,
            seed=seed,
            plan=plan,
        )
    wanted = [name for name in INCREMENTAL_OUTCOMES if name in outcomes]
    return credit_table(panel, estimate, outcomes=wanted, interval=settings.interval, costs=costs)


def credit_table(
    panel: Panel,
    estimate: CreditEstimate,
    *,
    outcomes: Sequence[str],
    interval: float,
    costs: Mapping[str, float] | None = None,
    segment: str = ALL,
    standing: Mapping[str, Standing] | None = None,
) -> pl.DataFrame:
    """The table of credits, one block per outcome: channels, groups, baseline, total.

    For a segment, `panel` and `estimate` hold its customers only, and `standing` says by outcome what its
    credits rest on.
    """
    groups = dict(zip(panel.channels, panel.groups, strict=True))
    members = members_of(panel.channels), members_of(panel.groups)
    counts = [touch_counts(panel, names) for names in members]
    parts = []
    for outcome in outcomes:
        own = (standing or {}).get(outcome, Standing())
        missing = _why_missing(estimate, outcome)
        if missing is not None:
            nothing = unavailable_credits(
                panel.channels,
                outcome=outcome,
                method=METHOD,
                kind="incremental",
                groups=groups,
                reason=missing,
                segment=segment,
            )
            parts.append(nothing)
            continue
        found = estimate.credit.require(outcome)
        refuted = tuple(r.words for r in estimate.readings if r.refuted and r.bears_on(outcome))
        unbounded = unbounded_outcome(estimate.draws, outcome)
        problems = (*own.against, *estimate.problems, *refuted, *unbounded)
        unmeasured = unmeasured_channels(estimate.credit, estimate.draws, outcome)
        of_money = {} if outcome.startswith("retention") else estimate.against_spend
        channels = {**of_money, **estimate.against_channels, **unmeasured}
        against = objections(panel, problems, channels)
        tested = {r.experiment.channel: r for r in estimate.readings if r.replaces(outcome)}
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
            segment=segment,
            bounds=credit_bounds(members[0], **around),
            group_bounds=credit_bounds(members[1], **around),
            interval_level=interval,
            counts=counts[0],
            group_counts=counts[1],
            costs=costs,
            level_source=dict.fromkeys(tested, "experiment"),
            supported={name: not reasons for name, reasons in against.items()},
            reason={
                name: _reason(estimate, outcome, reasons, tested.get(name), own.note)
                for name, reasons in against.items()
            },
        )
        parts.append(table)
    return concat_credits(parts).frame


def _why_missing(estimate: CreditEstimate, outcome: str) -> str | None:
    """Why there is no credit of an outcome; None when there is."""
    if estimate.impossible:
        return estimate.impossible[0]
    fit = estimate.fit
    if fit.problems and not np.any([fit.beta, fit.gamma]):  # effects that never moved are no estimate of none
        return fit.problems[0]
    if outcome == "spend":
        return None
    if estimate.why_no_leaving:
        return estimate.why_no_leaving
    if estimate.credit.outcome(outcome) is None:
        return "no residual lifetime values: no purchase model was fitted"
    return None


def _reason(
    estimate: CreditEstimate,
    outcome: str,
    against: Sequence[str],
    tested: ExperimentReading | None,
    note: str,
) -> str:
    """What speaks against the figure, else what it rests on, what decides it first."""
    if against:
        return "; ".join(against)
    if tested is not None:
        return f"{note}; {tested.words}" if note else tested.words
    noted = f"{note}; " if note else ""
    expected = "expected survivors; " if outcome == "retention" and not estimate.observed_leaving else ""
    modelled = "observed + modelled; " if outcome == "lifetime_value" else ""
    return f"{noted}{estimate.limits}; {expected}{modelled}interval: sampling error only"
