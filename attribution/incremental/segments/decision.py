"""Which segments are credited with effects of their own, and the words that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from attribution.effects.effect import holm
from attribution.incremental.segments.own import FAMILIES, Comparison
from attribution.incremental.table import Standing

LEVEL: Final = 0.05
"""Level of the test of equal effects, after Holm over the columns of segments."""
RESTS_ON: Final[Mapping[str, tuple[str, ...]]] = {
    "retention": ("leaving",),
    "spend": FAMILIES,
    "lifetime_value": FAMILIES,
}
"""Families of effects that the credit of an outcome rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the comparison of a column's segments means for their credits."""

    column: str
    comparison: Comparison
    p_values: Mapping[str, float]
    """Of the test of equal effects, by family, after Holm over `columns` columns."""
    columns: int

    @property
    def differ(self) -> frozenset[str]:
        """Families in which effects differ."""
        return frozenset(family for family, p in self.p_values.items() if p < LEVEL)

    def owns(self, label: str, outcome: str) -> bool:
        """Whether a segment's credit of an outcome comes from effects of its own."""
        return label in self.comparison.own and not self.differ.isdisjoint(RESTS_ON[outcome])

    def widening(self, outcome: str) -> float:
        """Factor on the sampling error of an outcome's credit where covariances were found too small."""
        tests = self.comparison.tests
        scales = [tests[family].scale for family in RESTS_ON[outcome] if family in tests]
        return float(np.sqrt(max(1.0, *scales)))


def decide(comparisons: Mapping[str, Comparison]) -> dict[str, Decision]:
    """Holm's correction over the columns within each family, and what follows."""
    adjusted: dict[str, dict[str, float]] = {column: {} for column in comparisons}
    for family in FAMILIES:
        tested = {column: c.tests[family].p_value for column, c in comparisons.items() if family in c.tests}
        for column, p in zip(tested, holm(list(tested.values())), strict=True):
            adjusted[column][family] = p
    return {
        column: Decision(
            column=column, comparison=comparison, p_values=adjusted[column], columns=len(comparisons)
        )
        for column, comparison in comparisons.items()
    }


def standing_of(decision: Decision, label: str) -> dict[str, Standing]:
    """What a segment's credit of each outcome rests on, in words."""
    return {outcome: _standing(decision, label, outcome) for outcome in RESTS_ON}


def _standing(decision: Decision, label: str, outcome: str) -> Standing:
    families = [family for family in RESTS_ON[outcome] if family in decision.p_values]
    differ = [family for family in families if family in decision.differ]
    why = decision.comparison.left_out.get(label)
    if why is not None:
        if not differ:
            return Standing(note=f"common effects: {why}")
        between = " and ".join(f"on {family} ({_p(decision, family)})" for family in differ)
        against = (
            f"effects {between} differ between segments of {decision.column}, and this one has the common"
        )
        return Standing(against=(f"{against} ones: {why}",))
    if not families:
        return Standing(note="common effects: segments could not be compared")
    parts = [
        f"own effects on {family} ({_p(decision, family)})"
        if family in differ
        else f"common effects on {family} (no difference found, {_p(decision, family)})"
        for family in families
    ]
    if differ:
        parts.append(f"segments of {decision.column} need not add up to (all)")
    return Standing(note=", ".join(parts))


def _p(decision: Decision, family: str) -> str:
    p = decision.p_values[family]
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
