"""Appendix C: every estimate, the refused ones too, and how alike the groups were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from histories.cuts import ALL
from reports.context import Block, Cell, Column, Ledger, Lines, Mark, Plot, Row, Section, Sentence, Series
from reports.facts import EffectFact, effects_of
from reports.numbers import axis_number, nice_scale
from reports.sections.earned import range_of
from reports.sections.proven import effect_columns, effect_mark, effect_plot
from reports.sentences import outcome_word, verdict_of, without_notes
from reports.sources import ReportSources
from reports.words import ESTIMATORS, TARGETS, covariate, inside, label, upper_first

_COVARIATES = 16
LIMIT = 0.1
"""Standardised difference up to which two groups count as alike."""

_MOVED: Final = {"queue": ("By the queue", "the queue"), "agent": ("By who was at work", "who was at work")}
"""Designs by an instrument on cases: how a row is called, and what moved the answers."""


def evidence_section(sources: ReportSources) -> Section | None:
    """Estimates by outcome and effect, balance, and the course around a start."""
    effects = tuple(e for e in effects_of(sources.table("effects")) if e.segment == ALL)
    if not effects:
        return None
    outcomes = list(dict.fromkeys(e.outcome for e in effects))
    blocks: list[Block] = [
        estimates_ledger([e for e in effects if e.outcome == outcome], sources.currency)
        for outcome in outcomes
    ]
    blocks += _balance(sources)
    blocks += _event_study(sources)
    blocks += _series(sources)
    refused = [e for e in effects if e.estimate.state == "not_supported"]
    several = len({(e.name, e.outcome, e.estimator) for e in effects}) > len(
        {(e.name, e.outcome) for e in effects}
    )
    text = "Every estimate, from experiment to unadjusted" if several else "Every effect that was asked for"
    if refused:
        text += ", the refused ones too"
    return Section(
        key="evidence",
        letter="C",
        title="Evidence",
        question="Would another method say the same?",
        finding=Sentence(text=text),
        blocks=tuple(blocks),
        foot=_foot(effects, refused),
    )


def _foot(effects: Sequence[EffectFact], refused: Sequence[EffectFact]) -> str:
    told = []
    reasons = list(dict.fromkeys(f"{e.title}: {without_notes(e.estimate.reason)}" for e in refused))
    if reasons:
        shown = "; ".join(reasons[:3]) + (
            f"; and {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        )
        told.append(f"Not supported: {shown}.")
    strong = [
        e for e in effects if e.estimate.state in ("positive", "negative") and e.rungs < 4 and e.e_value
    ]
    if strong:
        weakest = min(strong, key=lambda e: e.e_value or 0.0)
        told.append(
            f"An unmeasured cause would need to go with both treatment and {outcome_word(weakest.outcome)} "
            f"by a risk ratio of {weakest.e_value:.2f} to explain the effect away."
        )
    told += _direct(effects)
    return " ".join(told)


def _direct(effects: Sequence[EffectFact]) -> list[str]:
    """For each estimate by the queue, what busy times would have to do by themselves to explain it away."""
    return [
        f"{e.title}: {outcome_word(e.outcome)} would have to change by {e.direct_to_zero:+.3g} for each open "
        "case per agent by itself to bring this to zero; "
        + (
            "nothing before the opening says how far that can be."
            if e.direct_allowed is None
            else f"the time before the opening allows up to {e.direct_allowed:.3g}."
        )
        for e in effects
        if e.direct_to_zero is not None and e.estimator == "two_stage"
    ]


def estimates_ledger(effects: Sequence[EffectFact], currency: str | None) -> Ledger:
    """Estimates of one outcome under a head for each effect."""
    outcome = effects[0].outcome
    sizes = [
        abs(x) for e in effects for x in (e.estimate.value, e.estimate.low, e.estimate.high) if x is not None
    ]
    plot = effect_plot(effects, currency, ticks=4)
    columns = effect_columns(outcome, plot, currency, largest=max(sizes, default=0.0))
    placebos = any(e.placebo_passed is not None for e in effects)
    if placebos:
        columns = (*columns[:3], Column(title="placebo", form="text", right=True), columns[3])
    rows: list[Row] = []
    last: tuple[str, str] | None = None
    for effect in effects:
        if (effect.name, effect.treatment) != last:
            last = effect.name, effect.treatment
            name = effect.title
            detail = ", ".join(word for word in (effect.design_words, effect.sizes) if word)
            rows.append(
                Row(name=name, cells=(), role="group", rungs=_design_rungs(effects, effect), detail=detail)
            )
        cells: list[Cell] = [
            effect_mark(effect),
            effect.estimate.value,
            range_of(effect.estimate),
            verdict_of(effect.estimate),
        ]
        if placebos:
            said = "" if effect.placebo_passed is None else "passed" if effect.placebo_passed else "failed"
            cells.insert(3, said)
        refused = effect.estimate.state == "not_supported"
        rows.append(Row(name=_estimator(effect), cells=tuple(cells), role="muted" if refused else "child"))
    return Ledger(
        label=f"Effect on {outcome_word(outcome)}",
        columns=columns,
        rows=tuple(rows),
        dense=True,
    )


def _design_rungs(effects: Sequence[EffectFact], one: EffectFact) -> int:
    return max(e.rungs for e in effects if e.name == one.name and e.treatment == one.treatment)


def _estimator(effect: EffectFact) -> str:
    name = ESTIMATORS.get(effect.estimator, label(effect.estimator))
    if effect.design in _MOVED and effect.estimand == "LATE":
        days = ", with days of surge" if effect.estimator == "two_stage_all_days" else ""
        by, mover = _MOVED[effect.design]
        return f"{by}{days}, cases whose answer moved with {mover}"
    whom = TARGETS.get(effect.estimand, inside(effect.estimand))
    return f"{name}, {whom}" if whom else name


def _balance(sources: ReportSources) -> list[Ledger]:
    """Love plot as a ledger: standardised differences before and after."""
    love = sources.picture("love")
    if love.is_empty():
        return []
    made = []
    for (name,), part in love.group_by(["name"], maintain_order=True):
        rows = (
            part.with_columns(pl.col("before", "after").abs())
            .filter(pl.col("before").is_not_null() & pl.col("after").is_not_null())
            .unique("covariate", keep="first", maintain_order=True)
            .sort("before", descending=True)
        )
        if rows.is_empty():
            continue
        worst = float(rows["after"].max() or 0.0)  # type: ignore[arg-type]
        top = max(float(rows["before"].max() or 0.0), worst, LIMIT) * 1.08  # type: ignore[arg-type]
        _, _, ticks = nice_scale([0.0, top], count=3)
        plot = Plot(low=0.0, high=top, limit=LIMIT, ticks=tuple((t, axis_number(t)) for t in ticks))
        left = rows.height - _COVARIATES
        more = f" {left} more covariates were closer before." if left > 0 else ""
        alike = f"After matching, {inside(str(name))} compares like with like"
        unlike = f"{label(str(name))}: {rows.filter(pl.col('after') > LIMIT).height} covariates still differ"
        made.append(
            Ledger(
                label="Difference between the groups",
                title=alike if worst <= LIMIT else unlike,
                subtitle=f"In standard deviations; the dotted line is the limit, 0.1.{more}",
                columns=(
                    Column(title="○ before ● after", form="plot", plot=plot),
                    Column(title="before", decimals=2, phone=True),
                    Column(title="after", decimals=2, phone=True),
                ),
                rows=tuple(
                    Row(
                        name=covariate(str(row["covariate"])),
                        cells=(
                            (Mark(form="pair", start=row["before"], value=row["after"], tone="grey"),),
                            row["before"],
                            row["after"],
                        ),
                    )
                    for row in rows.head(_COVARIATES).iter_rows(named=True)
                ),
                dense=True,
            )
        )
    return made


def _event_study(sources: ReportSources) -> list[Ledger]:
    """Differences by period around a start; before it there should be none."""
    frame = sources.picture("event_study")
    if frame.is_empty():
        return []
    made = []
    for (name, outcome), part in frame.group_by(["name", "outcome"], maintain_order=True):
        rows = part.sort("period").filter(pl.col("estimate").is_not_null())
        ends = [x for row in rows.iter_rows(named=True) for x in (row["estimate"], row["low"], row["high"])]
        low, high, ticks = nice_scale(ends, count=4)
        plot = Plot(low=low, high=high, zero=0.0, ticks=tuple((t, axis_number(t, plus=True)) for t in ticks))
        body = []
        for row in rows.iter_rows(named=True):
            clear = row["low"] is not None and (row["low"] > 0 or row["high"] < 0)
            dot = Mark(form="dot", value=row["estimate"], low=row["low"], high=row["high"], hollow=not clear)
            ends_of = None if row["low"] is None else (row["low"], row["high"])
            when = "before" if row["period"] < 0 else "after"
            body.append(
                Row(
                    name=f"{abs(row['period'])} {'period' if abs(row['period']) == 1 else 'periods'} {when}",
                    cells=((dot,), row["estimate"], ends_of),
                    role="muted" if row["period"] < 0 else "plain",
                )
            )
        made.append(
            Ledger(
                label="Period around the start",
                title=f"{label(str(name))}: {outcome_word(str(outcome))} around the start",
                subtitle="Beyond the mean of the periods before, where there should be no difference",
                columns=(
                    Column(title="", form="plot", plot=plot),
                    Column(title="difference", decimals=2, signed=True, phone=True),
                    Column(title="95% range", form="range", decimals=2, signed=True),
                ),
                rows=tuple(body),
                dense=True,
            )
        )
    return made


def _series(sources: ReportSources) -> list[Lines]:
    """What was observed, and what would have been expected without the change."""
    frame = sources.picture("series")
    if frame.is_empty():
        return []
    made = []
    for (name, outcome), part in frame.group_by(["name", "outcome"], maintain_order=True):
        rows = part.sort("date")
        days = rows["date"].to_list()
        width = max((days[-1] - days[0]).days, 1)
        values = [v for column in ("observed", "counterfactual") for v in rows[column].drop_nulls().to_list()]
        low, high, ticks = nice_scale(values, count=3, zero=min(values) < 0.5 * max(values))

        def points(
            column: str, rows: pl.DataFrame = rows, days: list[object] = days, width: int = width
        ) -> tuple[tuple[float, float], ...]:
            return tuple(
                ((day - days[0]).days / width, float(value))  # type: ignore[operator]
                for day, value in zip(days, rows[column].to_list(), strict=True)
                if value is not None
            )

        title = f"{label(str(name))}: {outcome_word(str(outcome))} before and after"
        made.append(
            Lines(
                title=title,
                subtitle="Dashed: the course before the change, continued",
                series=(
                    Series(name="expected", points=points("counterfactual"), dashed=True),
                    Series(name="observed", points=points("observed"), lead=True),
                ),
                x_ticks=((0.0, f"{days[0]:%b %Y}"), (1.0, f"{days[-1]:%b %Y}")),
                y_ticks=tuple((t, axis_number(t)) for t in ticks),
                low=low,
                high=high,
                alt=upper_first(title),
            )
        )
    return made
