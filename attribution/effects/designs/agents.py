"""By the agents at work: what a fast answer does to the cases whose answer moved with who was there.

Agents differ in speed, and a customer does not choose who is at work. How fast answers are while an agent is
at work, learned on other days than the case's own (leave-one-out, as with examiners and judges: Kling 2006),
is the instrument. Within hour of the week, trend, channel and topic, and among cases that as many agents met,
it moves the wait. It says what answers do only if agents differ in nothing else that customers feel, and get
no other cases. Both can be looked at: with one effect of speed, all agents lie on one line of outcome by
speed (Frandsen, Lefgren & Leslie 2023, section 3; here the score test of overidentification), and what was
known at the opening does not foretell who is there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from attribution.effects.data.cases import CIRCUMSTANCES, CaseUnits, all_cases, build_case_units, shifts_of
from attribution.effects.data.desk import agents_at_opening
from attribution.effects.data.tables import EffectTables, Setting
from attribution.effects.design import EffectDesign
from attribution.effects.designs.comparison import MIN_GROUP
from attribution.effects.designs.moved import Instrument, moved_findings
from attribution.effects.designs.moved_cases import MovedCases, Mover, time_of, within_hours
from attribution.effects.designs.moved_fit import ALPHA, given_of
from attribution.effects.effect import Effect, holm
from attribution.effects.estimators.checks import WEAK_F, Check
from attribution.effects.estimators.instrument import wald_of_scores
from attribution.effects.estimators.nuisance import assign_folds
from attribution.effects.findings import Findings
from histories.arrays import Flags, Float
from histories.errors import DataError

FEWEST_AGENTS: Final = 4
"""With fewer nobody can tell speed from what the agents differ in besides."""
DAYS_PER_AGENT: Final = 5
"""Agents are tested together, at most one for so many days: the test's errors are those of days."""

AGENTS: Final = Mover(
    name="agents",
    says="the agents at work say",
    weak="who is at work hardly moves the answer",
    unbounded="who was at work moved too few answers to bound the effect",
    foretells="the speed of who is at work foretells",
    others="agents get different cases",
)


def estimate_agent(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effects of a fast answer by the agents at work, adjusted, and naive, on every outcome.

    Raises
    ------
    DataError
        When there are no cases of customers with answers, none is followed to the end, nobody says who was at
        work, or fewer than `FEWEST_AGENTS` agents were.
    """
    cases = build_case_units(design, setting)
    at_work = agents_at_opening(
        all_cases(design, setting.tables),
        shifts_of(setting.tables),
        cases.opening.select("channel", "started"),
    )
    place = f'effect "{design.name}"'
    if at_work is None:
        raise DataError(
            f"{place}: nobody says who was at work; give inputs.hours (agent, start, end), or agent in "
            "cases or posts"
        )
    often = (at_work.sum(axis=0) >= MIN_GROUP) & ((~at_work).sum(axis=0) >= MIN_GROUP)
    if int(often.sum()) < FEWEST_AGENTS:
        raise DataError(
            f"{place}: {int(often.sum())} agents were at work at {MIN_GROUP} openings or more and away at as "
            f"many; {FEWEST_AGENTS} are needed to tell speed from whatever else agents differ in"
        )
    met = np.asarray(at_work.any(axis=1))
    return agent_findings(design, replace(cases, present=at_work).where(met), often, setting.tables, rng)


def agent_findings(
    design: EffectDesign, cases: CaseUnits, often: Flags, tables: EffectTables, rng: np.random.Generator
) -> Findings:
    """Effects on cases that were opened while somebody was at work.

    `often`, shape (A,), says who was there and away often enough to be told from the others; of them all, how
    many were there is held fixed.
    """
    number = cases.present.sum(axis=1).astype(float)
    counts = np.column_stack([number, np.log(number)])
    cases = replace(cases, present=cases.present[:, often])
    by_agents = Instrument(
        mover=AGENTS,
        foretold=foretell(design, cases, np.column_stack([time_of(cases, tables), counts]), rng),
        beside=counts,
        told=lambda moved, effect, placebo: effect,
        checks=check_agents,
    )
    return moved_findings(design, cases, tables, by_agents, rng)


def foretell(design: EffectDesign, cases: CaseUnits, fixed: Float, rng: np.random.Generator) -> Float:
    """The share of fast answers by who is at work, by the other days, given what is held fixed, shape (N,).

    Least squares of fast on presence within hours of the week; only who is there tells, not how many.
    """
    fast = (cases.minutes <= (design.treatment.first_response_minutes or 0.0)).astype(float)
    present = within_hours(cases, cases.present.astype(float))
    x = np.column_stack([present, within_hours(cases, fixed)])
    y = within_hours(cases, fast)
    folds = assign_folds(len(fast), rng, cases.day)
    found = np.zeros(len(fast))
    for fold in np.unique(folds):
        inside = folds == fold
        speeds = np.linalg.lstsq(x[~inside], y[~inside], rcond=None)[0][: present.shape[1]]
        found[inside] = cases.present[inside] @ (speeds - speeds.mean())
    return found


def check_agents(moved: MovedCases, effect: Effect) -> list[Check]:
    """Whether agents get other cases, and whether they differ in more than speed; Holm over both."""
    y = moved.cases.units.outcomes[effect.outcome]
    present, days = moved.cases.present, len(np.unique(moved.cases.day))
    most = np.argsort(-present.sum(axis=0), kind="stable")[: max(days // DAYS_PER_AGENT, FEWEST_AGENTS)]
    agents, z = (moved.within_hours(values) for values in (present[:, most].astype(float), moved.foretold))
    given, time = (
        moved.within_hours(values) for values in (given_of(moved), np.column_stack([moved.time, moved.topic]))
    )
    units = moved.cases.units
    who = [place for place, name in enumerate(units.covariate_names) if name not in CIRCUMSTANCES]
    known = moved.within_hours(units.covariates[:, who])
    x = np.column_stack([time, known])
    inside = moved.within_hours(y)
    expected = known @ np.linalg.lstsq(x, inside, rcond=None)[0][time.shape[1] :]
    found = {
        "agents and their cases": (
            wald_of_scores(agents, expected, time, moved.cases.day),
            f"agents get cases from which other {effect.outcome} is to be expected",
        ),
    }
    if (effect.first_stage_f or 0.0) >= WEAK_F and effect.low is not None and effect.high is not None:
        rest = inside - (effect.estimate or 0.0) * moved.within_hours(moved.fast.astype(float))
        found["agents alike but for speed"] = (
            wald_of_scores(agents, rest, np.column_stack([given, z]), moved.cases.day),
            f"agents differ in what follows by more than their speed explains: they move {effect.outcome} in "
            "other ways too",
        )
    adjusted = holm([p for p, _ in found.values()])
    return [
        Check(check=name, value=p, limit=ALPHA, passed=p >= ALPHA, reason=f"{reason} (p = {p:.2g})")
        for (name, (_, reason)), p in zip(found.items(), adjusted, strict=True)
    ]
