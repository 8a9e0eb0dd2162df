"""segment_credits: divide the common fit's credit, compare the segments, credit those that differ alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import PanelCredit, panel_credit
from attribution.incremental.bootstrap import CreditDraws, Key, Replicates, bootstrap_credits
from attribution.incremental.checks.gates import total_problems
from attribution.incremental.estimate import CreditEstimate
from attribution.incremental.experiment import combine
from attribution.incremental.plan import Checked
from attribution.incremental.segments.decision import Decision, decide, standing_of
from attribution.incremental.segments.own import Comparison, compare_segments
from attribution.incremental.segments.targets import OwnTarget, moved_models
from attribution.incremental.setfunction import FittedPanelModel
from attribution.incremental.table import Standing
from attribution.settings import INCREMENTAL_OUTCOMES, AttributionSettings
from histories.arrays import Float, Labels
from histories.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCredit:
    """What there is to say of one segment."""

    column: str
    label: str
    customers: NDArray[np.int64]
    """Positions of its customers."""
    estimate: CreditEstimate
    """Its credit, companions and sampling error in the place of the whole company's."""
    standing: Mapping[str, Standing]
    """By outcome, which effects it is credited with and why."""


def segment_credits(
    panel: Panel,
    estimate: CreditEstimate,
    columns: Mapping[str, Labels],
    *,
    settings: AttributionSettings,
    rng: np.random.Generator,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
) -> list[SegmentCredit]:
    """Credit every segment, in the order of columns and labels (parameters: `segment_table`)."""
    if not columns:
        return []
    company = _Company(
        panel=panel,
        stocks=estimate.decay.stocks(panel),
        estimate=estimate,
        columns={column: np.asarray(labels, dtype=np.str_) for column, labels in columns.items()},
        value={"residual_value": residual_value, "gross_margin": gross_margin},
    )
    decisions = _decisions(company, rng)
    targets = _targets(company, decisions)
    common = _divided(company, estimate.fit, np.random.default_rng(estimate.crediting))
    companions = {name: _divided(company, fit, rng) for name, fit in estimate.companion_fits.items()}
    replicates = Replicates(
        estimator=estimate.plan.default,
        fit=estimate.fit,
        panel=company.sample,
        stocks=company.stocks[estimate.fitted],
        count=settings.replicates,
    )
    common_draws, own_draws = bootstrap_credits(
        replicates,
        panel,
        company.stocks,
        company.columns,
        rng=rng,
        alone=partial(moved_models, targets, replicates),
        **company.value,
    )
    found = []
    for key, credit in common.items():
        column, label = key
        part = SegmentCredit(
            column=column,
            label=label,
            customers=np.flatnonzero(company.columns[column] == label),
            estimate=replace(
                estimate,
                credit=credit,
                companions={name: parts[key] for name, parts in companions.items()},
                draws=common_draws[key],
            ),
            standing=standing_of(decisions[column], label),
        )
        part = _with_experiments(part)
        if key in targets:
            part = _credited_alone(company, part, decisions[column], targets[key], own_draws[key], rng)
        found.append(part)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Company:
    """All customers, their segments and the estimate to divide."""

    panel: Panel
    stocks: NDArray[np.float32]
    estimate: CreditEstimate
    columns: Mapping[str, Labels]
    value: Mapping[str, Any]
    """Residual value and gross margin, as `panel_credit` takes them."""

    @property
    def sample(self) -> Panel:
        """The customers fitted to."""
        return self.panel.take(self.estimate.fitted)


def _decisions(company: _Company, rng: np.random.Generator) -> dict[str, Decision]:
    """Compare the segments of every column; not where no credit of such a company is ever supported."""
    estimate, fitted = company.estimate, company.estimate.fitted
    if estimate.plan.problems:
        why = "segments are not compared where no credit is supported"
        nothing = np.zeros(0, dtype=np.int64)
        return decide(
            {
                column: Comparison(left_out={str(name): why for name in np.unique(labels)}, compared=nothing)
                for column, labels in company.columns.items()
            }
        )
    sample, stocks = company.sample, company.stocks[fitted]
    return decide(
        {
            column: compare_segments(
                estimate.plan.default,
                sample,
                stocks,
                labels[fitted],
                rng=rng,
                hazard=not estimate.why_no_leaving,
                expected=np.unique(labels),
            )
            for column, labels in company.columns.items()
        }
    )


def _targets(company: _Company, decisions: Mapping[str, Decision]) -> dict[Key, OwnTarget]:
    """The segments with effects of their own, by column and label."""
    fit = company.estimate.fit
    common = np.concatenate([fit.beta, fit.gamma])
    found = {}
    for column, decision in decisions.items():
        if not decision.differ:
            continue
        comparison = decision.comparison
        free = np.zeros(len(common), dtype=np.bool_)
        for family in decision.differ:
            free[comparison.places(family)] = True
        for label, effects in comparison.targets(common, decision.differ).items():
            found[column, label] = OwnTarget(own=comparison.own[label], effects=effects, free=free)
    return found


def _divided(company: _Company, fit: FittedPanelModel, rng: np.random.Generator) -> Mapping[Key, PanelCredit]:
    return panel_credit(
        fit, company.panel, company.stocks, rng=rng, labels=company.columns, **company.value
    ).by_label


def _with_experiments(part: SegmentCredit) -> SegmentCredit:
    """Experiments that agree scale the credits with common effects as they did those of all customers."""
    credit, draws = part.estimate.credit, part.estimate.draws
    for reading in part.estimate.readings:
        credit, draws = combine(credit, draws, reading)
    return replace(part, estimate=replace(part.estimate, credit=credit, draws=draws))


def _credited_alone(
    company: _Company,
    part: SegmentCredit,
    decision: Decision,
    target: OwnTarget,
    own_draws: CreditDraws,
    rng: np.random.Generator,
) -> SegmentCredit:
    """Credits with the segment's own effects in the outcomes that rest on what differs.

    The common credit stays beside them as a companion, so that the range holds it.
    """
    plan, fitted = company.estimate.plan, company.estimate.fitted
    sample = company.sample.take(target.own.customers)
    stocks = company.stocks[fitted][target.own.customers]
    model = target.moved(plan.default, sample, stocks, rng=rng)
    rows, value = part.customers, company.value["residual_value"]
    own = panel_credit(
        model,
        company.panel.take(rows),
        company.stocks[rows],
        rng=rng,
        residual_value=None if value is None else value[rows],
        gross_margin=company.value["gross_margin"],
    )
    checked = plan.check(target.own.fit, sample, stocks, rng) if plan.check else Checked()
    against = (*company.estimate.problems, *checked.problems, *total_problems(own))
    common = part.estimate
    chosen: dict[str, Any] = {
        name: (own if decision.owns(part.label, name) else common.credit).outcome(name)
        for name in INCREMENTAL_OUTCOMES
    }
    deviations = {
        name: decision.widening(name) * own_draws.deviations[name]
        if decision.owns(part.label, name)
        else common.draws.deviations[name]
        for name in own_draws.deviations
    }
    estimate = replace(
        common,
        credit=replace(own, **chosen),
        companions={"common effects": common.credit, **common.companions},
        draws=replace(own_draws, deviations=deviations),
        problems=against,
        against_channels=checked.by_channel,
        against_spend=checked.of_spend,
        readings=tuple(
            reading
            for reading in common.readings
            if reading.refuted or not decision.owns(part.label, reading.experiment.outcome)
        ),
    )
    return replace(part, estimate=estimate)
