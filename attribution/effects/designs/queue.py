"""By the queue: what a fast answer does to the cases whose answer moved with the queue.

Agents choose whom to answer first, by an anger that nobody wrote down. A comparison of fast with slow
answers then credits the choice (`tests/attribution/effects/test_queue.py` shows how far). The length of the
queue at the opening is nobody's choice. Within hour of the week, trend and topic it moves the wait and
nothing else, unless busy times are bad times by themselves: no table can rule that out. So beside the
estimate always stands the direct effect of the queue that would bring it to zero (Conley, Hansen & Rossi
2012, section 3.1, the direct effect at one point) and the largest that the time before the opening allows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from scipy.optimize import isotonic_regression

from attribution.effects.data.cases import CaseUnits, build_case_units
from attribution.effects.data.tables import EffectTables, Setting
from attribution.effects.design import EffectDesign
from attribution.effects.designs.moved import Instrument, finite, moved_findings
from attribution.effects.designs.moved_cases import MovedCases, Mover
from attribution.effects.designs.moved_fit import MovedPlacebo, two_stage
from attribution.effects.effect import Z_INTERVAL, Effect
from attribution.effects.estimators.checks import Check
from attribution.effects.estimators.instrument import TwoStage
from attribution.effects.estimators.nuisance import assign_folds
from attribution.effects.findings import Findings
from histories.arrays import Float
from histories.errors import DataError

QUEUE: Final = Mover(
    name="queue",
    says="the queue says",
    weak="the queue hardly moves the answer",
    unbounded="the queue moved answers on too few days to bound the effect",
    foretells="the queue foretells",
    others="busy times bring other cases",
)


def estimate_queue(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Effects of a fast answer by the queue, adjusted, and naive, on every outcome.

    Raises
    ------
    DataError
        When there are no cases of customers with answers, none is followed to the end, or nobody was ever at
        work when one was opened.
    """
    cases = build_case_units(design, setting)
    met = np.isfinite(cases.queue)
    if not met.any():
        raise DataError(
            f'effect "{design.name}": nobody was at work when a case was opened. Do the shifts in '
            "inputs.hours belong to the same days and time zone?"
        )
    return queue_findings(design, cases.where(met), setting.tables, rng)


def queue_findings(
    design: EffectDesign, cases: CaseUnits, tables: EffectTables, rng: np.random.Generator
) -> Findings:
    """Effects on cases that were opened while somebody was at work."""
    by_queue = Instrument(
        mover=QUEUE,
        foretold=foretell(design, cases, rng),
        beside=np.empty((len(cases.minutes), 0)),
        told=with_direct_effect,
        checks=check_direct_effect,
    )
    return moved_findings(design, cases, tables, by_queue, rng)


def foretell(design: EffectDesign, cases: CaseUnits, rng: np.random.Generator) -> Float:
    """The share of fast answers at each case's queue, by the other days, falling with the queue, shape (N,).

    Beyond some length nobody is fast, and a longer queue moves nothing more: so the instrument is what the
    queue foretells, not its length, whose longest days would outweigh all others.
    """
    fast = (cases.minutes <= (design.treatment.first_response_minutes or 0.0)).astype(float)
    folds = assign_folds(len(fast), rng, cases.day)
    found = np.full(len(fast), fast.mean())
    for fold in np.unique(folds):
        inside = folds == fold
        lengths, place, counts = np.unique(cases.queue[~inside], return_inverse=True, return_counts=True)
        if len(lengths) < 2:
            continue
        shares = np.bincount(place, fast[~inside]) / counts
        falling = isotonic_regression(shares, weights=counts, increasing=False).x
        found[inside] = np.interp(cases.queue[inside], lengths, falling)
    return found


def with_direct_effect(moved: MovedCases, effect: Effect, placebo: MovedPlacebo | None) -> Effect:
    """The effect with what busy times would have to do by themselves to explain it away."""
    needed = _direct_effect(moved, moved.cases.units.outcomes[effect.outcome]).estimate
    effect = replace(effect, direct_to_zero=finite(needed))
    if placebo is None:
        return effect
    found = _direct_effect(placebo.moved, placebo.past)
    return replace(effect, direct_allowed=finite(abs(found.estimate) + Z_INTERVAL * found.std_error))


def _direct_effect(moved: MovedCases, y: Float) -> TwoStage:
    """What one unit more of the queue would have to do by itself for all that the instrument does to y."""
    return two_stage(moved, y, moved.cases.queue, np.column_stack([moved.time, moved.topic]))


def check_direct_effect(moved: MovedCases, effect: Effect) -> list[Check]:
    """Whether a direct effect of busy times could explain all of an effect; nothing where none is bounded."""
    if effect.direct_to_zero is None or effect.direct_allowed is None:
        return []
    needed, allowed = effect.direct_to_zero, effect.direct_allowed
    share = allowed / abs(needed) if needed else float("inf")
    return [
        Check(
            check="direct effect",
            value=share,
            limit=1.0,
            passed=not effect.claims_sign or share <= 1.0,
            reason=(
                f"busy times that are bad by themselves could explain all of it: {needed:.3g} "
                f"{effect.outcome} per {moved.cases.queue_unit} would do, and the time before the opening "
                f"allows up to {allowed:.3g}"
            ),
        )
    ]
