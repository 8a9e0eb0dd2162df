"""estimate_credit: fit, credit every customer, measure sampling error, run gates and experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import PanelCredit, panel_credit, scaled_to_all
from attribution.incremental.bend import choose_bend
from attribution.incremental.bootstrap import CreditDraws, Replicates, bootstrap_credits
from attribution.incremental.checks.comparison import alike_channels
from attribution.incremental.checks.gates import failed_replicates, total_problems
from attribution.incremental.checks.possible import impossible_values, values_without
from attribution.incremental.checks.silence import interior_silence
from attribution.incremental.checks.tried import FAILURES
from attribution.incremental.decay import Decay, decays_beside, decays_of_channels
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
from histories.arrays import Float
from histories.cuts import ALL
from histories.errors import ConvergenceError
from histories.panel import Panel


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

    What only spans the range is credited on the sample too, and brought to all customers by what the credit
    itself does there (`scaled_to_all`).
    """
    chosen = plan or plan_for(panel)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(panel.n_customers)[: settings.fit_customers])
    sample = panel.take(rows)
    decay = Decay.asked(settings.decay)
    chosen = chosen.at_decay(decay.value)
    stocks = decay.stocks(panel)
    found = _fitted(chosen, sample, stocks[rows], rng)
    decay, beside = decays_beside(found.fit, sample, decay)
    if decay.source == "found":
        chosen, found, stocks = _at(decay, chosen, found, panel, rows, rng)
    decay, timed = choose_timing(found.fit, sample, decay)
    if decay.by_day:
        beside = []
        chosen, found, stocks = _at(decay, chosen, found, panel, rows, rng)
    ends: list[tuple[Decay, FittedPanelModel]] = []
    if decay.source != "given":
        decay, ends = decays_of_channels(found.fit, sample, decay, rng=np.random.default_rng([seed, 4]))
    if decay.own:
        beside, timed = [], []
        chosen, found, stocks = _at(decay, chosen, found, panel, rows, rng)
    bend = choose_bend(found.fit, sample, decay=decay.of(panel), by_day=decay.by_day)
    others = {
        f"bend {b:g}": (fit, replace(decay, bend=replace(bend, value=b)).stocks(sample))
        for b, fit in bend.beside.items()
    }
    if bend.value:
        decay = replace(decay, bend=bend)
        chosen, found, stocks = _at(decay, chosen, found, panel, rows, rng)
    fit, sample_stocks = found.fit, stocks[rows]
    for other, model in (*beside, *ends, *timed) if not bend.value else ():
        others[other.name(panel)] = model, other.stocks(sample)
    crediting = (seed, 3)
    valued: dict[str, Any] = {"residual_value": residual_value, "gross_margin": gross_margin}
    sample_valued = valued | {"residual_value": None if residual_value is None else residual_value[rows]}
    credit = panel_credit(
        fit, panel, stocks, rng=np.random.default_rng(crediting), periods_apart=True, **valued
    )
    times = panel.n_customers / sample.n_customers
    here = credit  # of the sample
    if sample.n_customers < panel.n_customers:
        here = panel_credit(fit, sample, sample_stocks, rng=np.random.default_rng(crediting), **sample_valued)
    checked = chosen.check(fit, sample, sample_stocks, rng) if chosen.check else Checked()
    values = values_without(fit, panel, stocks, rng=np.random.default_rng([seed, 2]))
    impossible = impossible_values(panel, values)
    models, notes = _fit_companions(chosen, sample, sample_stocks, rng)
    models = {**found.beside, **models}
    for name in [name for name, model in models.items() if _cannot_be(model, panel, stocks, seed)]:
        del models[name]
        notes = (*notes, f"{name} is missing from the range: it expects what cannot be")

    def companion(model: FittedPanelModel, own: NDArray[np.float32]) -> PanelCredit:
        found = panel_credit(model, sample, own, rng=rng, **sample_valued)
        return found if here is credit else scaled_to_all(found, here, credit, times=times)

    companions = {name: companion(model, sample_stocks) for name, model in models.items()}
    replicates = Replicates(
        estimator=found.estimator, fit=fit, panel=sample, stocks=sample_stocks, count=settings.replicates
    )
    whole, _ = bootstrap_credits(
        replicates,
        sample,
        sample_stocks,
        {ALL: np.full(sample.n_customers, ALL)},
        rng=rng,
        **sample_valued,
    )
    draws = whole[ALL, ALL].scaled(times)
    problems = (
        *chosen.problems,
        *checked.problems,
        *impossible,
        *fit.problems,
        *total_problems(credit),
        *failed_replicates(draws, settings.replicates),
    )
    for name, (model, own) in others.items():
        companions[name] = companion(model, own)
    readings = tuple(
        read_experiment(
            experiment,
            fit,
            panel,
            relative_error=_relative_error(credit, draws, experiment),
            decay=decay.of(panel),
            bend=decay.bend.value,
            by_day=decay.by_day,
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
        hazard=bool(np.any(fit.beta)),
        limits="; ".join(part for part in (found.caution, found.estimator.limits, decay.words) if part),
        decay=decay,
        problems=problems,
        impossible=impossible,
        against_channels={
            **alike_channels(sample, sample_stocks),
            **decay.faint(sample),
            **checked.by_channel,
        },
        against_spend=checked.of_spend,
        notes=(*panel.notes, *found.notes, *notes, *checked.notes),
        plan=replace(chosen, default=found.estimator, choose=None),
        fitted=rows,
        companion_fits=models,
        crediting=crediting,
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
    decay: Decay, plan: Plan, found: Chosen, panel: Panel, rows: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Plan, Chosen, NDArray[np.float32]]:
    """The plan at this decay and bend, the same settings and those beside them fitted there, all's stocks."""
    decays = tuple(decay.of(panel).tolist()) if decay.own else ()
    estimator = found.estimator.at_decay(decay.value, decays, by_day=decay.by_day)
    stocks = decay.stocks(panel)
    sample, own = panel.take(rows), stocks[rows]
    fit = estimator.fit(sample, own, rng=rng)
    beside = {name: model.with_stocks(sample, own) for name, model in found.beside.items()}
    again = replace(
        found,
        estimator=estimator,
        fit=fit,
        beside={name: moved[0] for name, moved in beside.items() if moved is not None},
    )
    return plan.at_decay(decay.value, decays, by_day=decay.by_day), again, stocks


def _relative_error(credit: PanelCredit, draws: CreditDraws, experiment: ChannelExperiment) -> float:
    """Standard error of the tested channel's credit over the credit; 0 without a bootstrap."""
    k = credit.channels.index(experiment.channel)
    own = credit.require(experiment.outcome).credit[k]
    error = draws.std(experiment.outcome, np.arange(len(credit.channels)) == k)
    return float(error / abs(own)) if np.isfinite(error) and own else 0.0
