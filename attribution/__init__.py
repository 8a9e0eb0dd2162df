"""Journeys to credit: rules, Markov, Shapley, incremental credit, effects."""

from attribution.credits import (
    Bounds,
    Counts,
    Credits,
    compare_credits,
    concat_credits,
    descriptive_credits,
    incremental_credits,
    unavailable_credits,
)
from attribution.settings import AttributionSettings

__all__ = [
    "AttributionSettings",
    "Bounds",
    "Counts",
    "Credits",
    "compare_credits",
    "concat_credits",
    "descriptive_credits",
    "incremental_credits",
    "unavailable_credits",
]
