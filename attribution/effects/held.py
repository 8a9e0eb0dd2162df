"""Designs of one run held against each other.

An experiment refutes what lies apart from it beyond both errors. Where what moved the answers (the queue, who
was at work) contradicts the adjusted comparisons, or one of the two the other, none is a headline, in
whatever design it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from attribution.effects.design import MOVED, EffectDesign
from attribution.effects.designs.by_lot import asks_for_answers
from attribution.effects.designs.moved import CALM_DAYS
from attribution.effects.effect import Z_INTERVAL, Effect
from attribution.effects.findings import Findings
from histories.estimates import errors_apart, errors_outside


def hold_together(designs: Sequence[EffectDesign], findings: Sequence[Findings]) -> list[Findings]:
    """The findings, with what compares answers refused where another design of the same cases contradicts it.

    Same cases: the same channel and group, or one of them all. An outcome is held against its own alone.
    """
    findings = _held_against_experiments(designs, findings)
    findings = _held_moved_together(designs, findings)
    said = {
        (design.treatment.channel, design.treatment.group, effect.outcome): f"{design.name}: {check.reason}"
        for design, found in zip(designs, findings, strict=True)
        if design.design in MOVED
        for effect, check in found.checks
        if check.check == "agreement" and not check.passed
    }
    return [
        _held(design, found, said) if said and _of_answers(design) else found
        for design, found in zip(designs, findings, strict=True)
    ]


def _held_against_experiments(
    designs: Sequence[EffectDesign], findings: Sequence[Findings]
) -> list[Findings]:
    """The findings, with what says otherwise of an answer in time than a lot did refused.

    The same limit, clock and follow-up; what counts from a later day on may be any part of the lot's. A mean
    over others than those whom the lot moved may differ rightly: the careful side is to believe the lot.
    """
    found = list(findings)
    for lot in (place for place, design in enumerate(designs) if asks_for_answers(design)):
        for place, design in enumerate(designs):
            if design.design == "randomised" or not _same_question(designs[lot], design):
                continue
            for outcome in design.outcomes:
                said = _two_stage(found[lot], outcome)
                other = next((e for e in found[place].effects if e.outcome == outcome and e.supported), None)
                if said is None or other is None or _are_near(said, other, part=design.landmark_days > 0):
                    continue
                reason = (
                    f'refuted by the experiment "{said.name}": by lot an answer in time brings '
                    f"{said.estimate:.3g} {outcome}, further from {other.estimate:.3g} than both errors"
                )
                found[place] = _refused(found[place], outcome, reason)
    return found


def _same_question(lot: EffectDesign, design: EffectDesign) -> bool:
    return (
        (design.design in MOVED or design.control == (lot.control or "slower"))
        and design.treatment.first_response_minutes == lot.treatment.first_response_minutes
        and design.clock == lot.clock
        and design.follow_up_days == lot.follow_up_days
        and _same(
            (design.treatment.channel, design.treatment.group), (lot.treatment.channel, lot.treatment.group)
        )
    )


def _are_near(one: Effect, two: Effect, *, part: bool = False) -> bool:
    """Whether two estimates lie within their errors of each other, or the second as a part of the first."""
    if one.estimate is None or two.estimate is None:
        return True
    apart = errors_outside if part else errors_apart
    return apart(one.estimate, one.std_error or 0.0, two.estimate, two.std_error or 0.0) <= Z_INTERVAL


def _held_moved_together(designs: Sequence[EffectDesign], findings: Sequence[Findings]) -> list[Findings]:
    """The findings, with a queue and agents of the same cases and limit refused where they lie apart.

    The two rest on errors of the same cases, which are taken as independent: the lenient side.
    """
    found = list(findings)
    both = [
        (place, other)
        for place, other in combinations(range(len(designs)), 2)
        if {designs[place].design, designs[other].design} == set(MOVED)
        and designs[place].treatment == designs[other].treatment
        and designs[place].clock == designs[other].clock
        and designs[place].follow_up_days == designs[other].follow_up_days
    ]
    for place, other in both:
        for outcome in designs[place].outcomes:
            one, two = (_two_stage(found[number], outcome) for number in (place, other))
            if one is None or two is None or _are_near(one, two):
                continue
            reason = (
                f'"{one.name}" says {one.estimate:.3g} and "{two.name}" {two.estimate:.3g}, further apart '
                "than their errors: one of them moves more than the wait; neither is quoted"
            )
            for number in (place, other):
                found[number] = _refused(found[number], outcome, reason)
    return found


def _two_stage(found: Findings, outcome: str) -> Effect | None:
    """What a design by an instrument says of an outcome, where it passed its own checks."""
    return next(
        (e for e in found.effects if e.outcome == outcome and e.estimator == CALM_DAYS and e.supported), None
    )


def _refused(found: Findings, outcome: str, reason: str) -> Findings:
    effects = tuple(e.refused(reason) if e.outcome == outcome and e.supported else e for e in found.effects)
    return replace(found, effects=effects)


def _of_answers(design: EffectDesign) -> bool:
    """Whether a design compares fast answers with slow ones; silence is another matter."""
    return design.design == "response_curve" or (design.design == "landmark" and design.control == "slower")


def _held(
    design: EffectDesign, found: Findings, said: dict[tuple[str | None, str | None, str], str]
) -> Findings:
    place = design.treatment.channel, design.treatment.group
    effects = []
    for effect in found.effects:
        reason = next(
            (
                told
                for (*where, outcome), told in said.items()
                if outcome == effect.outcome and _same(where, place)
            ),
            None,
        )
        effects.append(effect.refused(reason) if reason and effect.supported else effect)
    return replace(found, effects=tuple(effects))


def _same(a: Sequence[str | None], b: Sequence[str | None]) -> bool:
    return tuple(a) == tuple(b) or not any(a) or not any(b)
