"""Segments of an adjusted comparison: means of the whole group's scores, so that they add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from attribution.effects.aipw import Scores, estimate_ratio
from attribution.effects.checks import MIN_UNITS, Check, apply_checks
from attribution.effects.comparison import Comparison, bare_effect, effective_units
from attribution.effects.effect import Effect, with_interval, with_refusal
from attribution.effects.segments import heterogeneity_test, holm_rows, segment_masks, too_small
from histories.arrays import Flags

__all__ = ["segment_effects"]


def segment_effects(
    c: Comparison, whole: Effect, scores: Scores, checks: Sequence[Check]
) -> tuple[list[Effect], list[dict[str, object]]]:
    """The mean of the whole group's scores in each segment, with Holm and one global test per column.

    What failed for the whole group holds for its segments.
    """
    effects: list[Effect] = []
    tests: list[dict[str, object]] = []
    for column, labels in c.units.segments.items():
        found = [
            with_refusal(apply_checks(_segment_effect(c, whole, scores, label, mask), checks), c.refusal)
            for label, mask in segment_masks(column, labels)
        ]
        effects += found
        tests += [*heterogeneity_test(found, column), *holm_rows(found, f"segment of {column}")]
    return effects, tests


def _segment_effect(c: Comparison, whole: Effect, scores: Scores, label: str, mask: Flags) -> Effect:
    """One segment's effect; withheld when the segment is too small."""
    side = c.treated[mask]
    effect = replace(
        bare_effect(c, whole.outcome, whole.estimator, whole.estimand),
        segment=label,
        n_treated=int(side.sum()),
        n_control=int((~side).sum()),
    )
    smallest = min(effect.n_treated, effect.n_control)
    if smallest < max(c.design.min_segment, MIN_UNITS):
        return effect.refused(too_small(smallest, c.design.min_segment))
    estimate, error = estimate_ratio(scores, c.units.clusters, mask)
    effect = with_interval(effect, estimate=estimate, std_error=error)
    return replace(effect, effective_n=effective_units(scores.weights[mask], side))
