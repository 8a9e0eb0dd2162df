"""Where the queue contradicts the adjusted comparisons, none is a headline, in whatever design it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from attribution.effects.design import EffectDesign
from attribution.effects.findings import Findings


def hold_against_queue(designs: Sequence[EffectDesign], findings: Sequence[Findings]) -> list[Findings]:
    """The findings, with curves and landmarks of answers refused where a queue on the same cases contradicts.

    Same cases: the same channel and group, or one of them all. An outcome is held against its own alone.
    """
    said = {
        (design.treatment.channel, design.treatment.group, effect.outcome): f"{design.name}: {check.reason}"
        for design, found in zip(designs, findings, strict=True)
        if design.design == "queue"
        for effect, check in found.checks
        if check.check == "agreement" and not check.passed
    }
    return [
        _held(design, found, said) if said and _of_answers(design) else found
        for design, found in zip(designs, findings, strict=True)
    ]


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
