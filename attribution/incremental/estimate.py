"""estimate_credit: fit, credit every customer, measure sampling error, run gates and experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import PanelCredit, panel_credit, scaled_to_all
from attribution.incremental.bend import choose_bend
from attribution.incremental.bootstrap import CreditDraws, Replicates, bootstrap_credits
from attribution.incremental.channel_decays import charged, choose_by_channel
from attribution.incremental.checks.comparison import alike_channels
from attribution.incremental.checks.gates import failed_replicates, total_problems
from attribution.incremental.checks.possible import impossible_values, values_without
from attribution.incremental.checks.silence import interior_silence
from attribution.incremental.checks.tried import FAILURES
from attribution.incremental.common_decay import choose_decay
from attribution.incremental.decay import Decay, Making, faint
from attribution.incremental.experiment import (
    ChannelExperiment,
    ExperimentReading,
    combine,
    read_experiment,
)
from attribution.incremental.plan import Checked, Plan, plan_for
from attribution.incremental.setfunction import Chosen, FittedPanelModel
from attribution.incremental.timing import choose_timing
from attribution.settings import AttributionSettings
from histories.arrays import Float, Single
from histories.cuts import ALL
from histories.errors import ConvergenceError
from histories.panel import Panel

LOOKED_AT = 6_000
"""Customers on whom it is chosen how stocks are made, at most."""


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
    why_no_leaving: str
    """Why there is no credit of retention or lifetime value, in a clause; empty where there is."""
    limits: str
    """What the default assumes, and the decay of stocks, in a clause."""
    decay: Decay
    """Of all stocks."""
    problems: tuple[str, ...]
    """Why no credit is supported; empty when nothing speaks against it."""
    impossible: tuple[str, ...]
    """What the fit expects that cannot be; then there is no credit at all."""
    against_channels: Mapping[str, str]
    """What the checks speak against single channels."""
    against_spend: Mapping[str, str]
    """The same against their credit of spend and lifetime value alone."""
    readings: tuple[ExperimentReading, ...]
    """What experiments say; those that agree are combined into credit and draws already."""
    notes: tuple[str, ...]
    """Why this estimator, and what went wrong with companions."""
    plan: Plan
    """With the estimator that was chosen as its default."""
    fitted: NDArray[np.int64]
    """Positions of the customers fitted to."""
    companion_fits: Mapping[str, FittedPanelModel]
    """Fits of the companions, by name."""
    crediting: tuple[int, int]
    """Seed of the latents that `credit` drew: a generator made from it divides the same credit."""


def estimate_credit(
    panel: Panel,
    *,
    settings: AttributionSettings,
    residual_value: Float | None = None,
    gross_margin: float = 1.0,
    experiments: Sequence[ChannelExperiment] = (),
    seed: int = 1,
    plan: Plan | None = None,
) -> CreditEstimate:
    """Fit the plan's estimators on a sample of customers, credit all, and measure the sampling error.

    How stocks are made is chosen on at most `LOOKED_AT` of the sample. What only spans the range is credited
    on those it was fitted to, and brought to all customers by what the credit itself does there
    (`scaled_to_all`).
    """
    chosen = plan or plan_for(panel)
    rng = np.random.default_rng(seed)
    company = _Customers(panel=panel, residual_value=residual_value, gross_margin=gross_margin)
    rows = np.sort(rng.permutation(panel.n_customers)[: settings.fit_customers])
    sample = company.take(rows)
    few = sample.take(_drawn(sample.panel.n_customers, np.random.default_rng([seed, 4])))
    asked = Decay.asked(settings.decay)
    chosen = chosen.at_decay(asked.value)
    found = _fitted(chosen, sample.panel, asked.stocks(sample.panel), rng)
    making = _choose_making(found.fit, few.panel, asked)
    decay = making.decay if making else asked
    if replace(decay, why="") != asked:
        chosen, found = _at(decay, chosen, found, sample.panel, making.fit[0] if making else None, rng)
    stocks = decay.stocks(panel)
    fit, sample_stocks = found.fit, stocks if sample is company else decay.stocks(sample.panel)
    crediting = (seed, 3)
    credit = company.credit(fit, stocks, np.random.default_rng(crediting), periods_apart=True)
    here = credit  # of the sample
    if sample is not company:
        here = sample.credit(fit, sample_stocks, np.random.default_rng(crediting))
    checked = chosen.check(fit, sample.panel, sample_stocks, rng) if chosen.check else Checked()
    values = values_without(fit, panel, stocks, rng=np.random.default_rng([seed, 2]))
    impossible = impossible_values(panel, values)
    models, notes = _fit_companions(chosen, sample.panel, sample_stocks, rng)
    models = {**found.beside, **models}
    for name in [name for name, model in models.items() if _cannot_be(model, panel, stocks, seed)]:
        del models[name]
        notes = (*notes, f"{name} is missing from the range: it expects what cannot be")

    def beside(some: _Customers, model: FittedPanelModel, stocks: Single, own: PanelCredit) -> PanelCredit:
        found = some.credit(model, stocks, rng)
        times = panel.n_customers / some.panel.n_customers
        return found if own is credit else scaled_to_all(found, own, credit, times=times)

    companions = {name: beside(sample, model, sample_stocks, here) for name, model in models.items()}
    replicates = Replicates(
        estimator=found.estimator,
        fit=fit,
        panel=sample.panel,
        stocks=sample_stocks,
        count=settings.replicates,
    )
    whole, _ = bootstrap_credits(
        replicates,
        sample.panel,
        sample_stocks,
        {ALL: np.full(sample.panel.n_customers, ALL)},
        residual_value=sample.residual_value,
        gross_margin=gross_margin,
        rng=rng,
    )
    draws = whole[ALL, ALL].scaled(panel.n_customers / sample.panel.n_customers)
    problems = (
        *chosen.problems,
        *checked.problems,
        *impossible,
        *fit.problems,
        *total_problems(credit),
        *failed_replicates(draws, settings.replicates),
    )
    if making and making.beside:
        there = here
        if few is not sample:
            there = few.credit(making.fit[0], decay.stocks(few.panel), np.random.default_rng(crediting))
        for other, model in making.beside:
            companions[other.name(panel)] = beside(few, model, other.stocks(few.panel), there)
    readings = tuple(
        read_experiment(
            experiment,
            fit,
            panel,
            relative_error=_relative_error(credit, draws, experiment),
            decay=decay.of(panel),
            bend=decay.bend.value,
            by_day=decay.days(panel),
            rng=rng,
        )
        for experiment in experiments
    )
    for reading in readings:
        credit, draws = combine(credit, draws, reading)
    return CreditEstimate(
        credit=credit,
        companions=companions,
        draws=draws,
        readings=readings,
        fit=fit,
        estimator=found.estimator.name,
        observed_leaving=panel.contractual,
        why_no_leaving=fit.why_no_leaving,
        limits="; ".join(part for part in (found.caution, found.estimator.limits, decay.words) if part),
        decay=decay,
        problems=problems,
        impossible=impossible,
        against_channels={
            **alike_channels(sample.panel, sample_stocks),
            **faint(panel, decay.of(panel)),
            **checked.by_channel,
        },
        against_spend=checked.of_spend,
        notes=(*panel.notes, *found.notes, *notes, *checked.notes),
        plan=replace(chosen, default=found.estimator, choose=None),
        fitted=rows,
        companion_fits=models,
        crediting=crediting,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Customers:
    """Customers, and what their outcomes are worth."""

    panel: Panel
    residual_value: Float | None
    gross_margin: float

    def take(self, rows: NDArray[np.int64]) -> _Customers:
        """Some of them; themselves where these are all."""
        if len(rows) == self.panel.n_customers:
            return self
        value = None if self.residual_value is None else self.residual_value[rows]
        return replace(self, panel=self.panel.take(rows), residual_value=value)

    def credit(
        self,
        model: FittedPanelModel,
        stocks: Single,
        rng: np.random.Generator,
        *,
        periods_apart: bool = False,
    ) -> PanelCredit:
        """What a model credits of their outcomes."""
        return panel_credit(
            model,
            self.panel,
            stocks,
            residual_value=self.residual_value,
            gross_margin=self.gross_margin,
            periods_apart=periods_apart,
            rng=rng,
        )


def _drawn(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of at most `LOOKED_AT` of so many."""
    return np.arange(n) if n <= LOOKED_AT else np.sort(rng.choice(n, LOOKED_AT, replace=False))


def _choose_making(fit: FittedPanelModel, panel: Panel, decay: Decay) -> Making | None:
    """How the likelihood of these customers says that stocks are made; nothing where there is none.

    What stands beside an earlier choice is dropped where a later one leaves it behind.
    """
    start = fit.with_stocks(panel, decay.stocks(panel))
    if start is None:
        return None
    common = choose_decay(start, panel, decay)
    timed = choose_timing(common.fit, panel, common.decay)
    if not timed.decay.by_day:
        timed = replace(timed, beside=(*common.beside, *timed.beside))
    apart = choose_by_channel(timed, panel)
    if timed.decay.by_day and apart.decay.of_their_own:
        apart = max(apart, choose_by_channel(common, panel), key=charged)
    bent = choose_bend(apart.fit, panel, apart.decay)
    return bent if bent.decay.bend.value else apart


def _fit_companions(
    plan: Plan, panel: Panel, stocks: NDArray[np.float32], rng: np.random.Generator
) -> tuple[dict[str, FittedPanelModel], tuple[str, ...]]:
    """Fits of the companions by name, and what went wrong with the others."""
    models: dict[str, FittedPanelModel] = {}
    notes: list[str] = []
    for companion in plan.companions:
        try:
            models[companion.name] = companion.fit(panel, stocks, rng=rng)
        except FAILURES as error:
            notes.append(f"{companion.name} is missing from the range: {error}")
    return models, tuple(notes)


def _cannot_be(
    model: FittedPanelModel, panel: Panel, stocks: NDArray[np.float32], seed: int
) -> tuple[str, ...]:
    """What of a companion's values is impossible."""
    rng = np.random.default_rng([seed, 2])
    return impossible_values(panel, values_without(model, panel, stocks, rng=rng))


def _fitted(plan: Plan, panel: Panel, stocks: NDArray[np.float32], rng: np.random.Generator) -> Chosen:
    """What credits the company; where nothing does, the refusal says what about its customers may be why."""
    try:
        return plan.fit(panel, stocks, rng)
    except FAILURES as error:
        silence = interior_silence(panel, stocks, np.zeros(panel.n_channels))
        odd = () if panel.contractual else silence.problems
        remedy = " Record when customers leave (`ended_at`)." if odd else ""
        why = "; ".join((*odd, str(error).rstrip(".")))
        raise ConvergenceError(f"{plan.default.name} could not be fitted: {why}.{remedy}") from error


def _at(
    decay: Decay,
    plan: Plan,
    found: Chosen,
    panel: Panel,
    start: FittedPanelModel | None,
    rng: np.random.Generator,
) -> tuple[Plan, Chosen]:
    """The plan where stocks are made so, and the same settings and those beside them fitted there."""
    decays, days = tuple(decay.of(panel).tolist()), decay.days(panel)
    estimator = found.estimator.at_decay(decay.value, decays, by_day=days)
    stocks = decay.stocks(panel)
    moved = {
        name: model.made_by(decays, days).with_stocks(panel, stocks) for name, model in found.beside.items()
    }
    again = replace(
        found,
        estimator=estimator,
        fit=estimator.fit(panel, stocks, start=start, rng=rng),
        beside={name: climbed[0] for name, climbed in moved.items() if climbed is not None},
    )
    return plan.at_decay(decay.value, decays, by_day=days), again


def _relative_error(credit: PanelCredit, draws: CreditDraws, experiment: ChannelExperiment) -> float:
    """Standard error of the tested channel's credit over the credit; 0 without a bootstrap."""
    k = credit.channels.index(experiment.channel)
    own = credit.require(experiment.outcome).credit[k]
    error = draws.std(experiment.outcome, np.arange(len(credit.channels)) == k)
    return float(error / abs(own)) if np.isfinite(error) and own else 0.0
