"""Journeys to credit: rules, Markov, Shapley, incremental credit, effects."""

from attribution.credits.table import (
    Bounds,
    Counts,
    Credits,
    compare_credits,
    concat_credits,
    descriptive_credits,
    incremental_credits,
    unavailable_credits,
)
from attribution.paths.descriptive import Descriptive
from attribution.paths.encoded import EncodedPaths, encode_paths, merge_paths
from attribution.paths.markov import MarkovFit, fit_markov
from attribution.paths.markov_order import OrderChoice, choose_order
from attribution.paths.repeat_purchases import walk_repeat_purchases
from attribution.paths.rules import touch_credits
from attribution.paths.sessions import merge_sessions
from attribution.paths.transitions import TransitionCounts, count_transitions, read_transitions
from attribution.paths.walks import PathWalk, Trails
from attribution.settings import AttributionSettings

__all__ = [
    "AttributionSettings",
    "Bounds",
    "Counts",
    "Credits",
    "Descriptive",
    "EncodedPaths",
    "MarkovFit",
    "OrderChoice",
    "PathWalk",
    "Trails",
    "TransitionCounts",
    "choose_order",
    "compare_credits",
    "concat_credits",
    "count_transitions",
    "descriptive_credits",
    "encode_paths",
    "fit_markov",
    "incremental_credits",
    "merge_paths",
    "merge_sessions",
    "read_transitions",
    "touch_credits",
    "unavailable_credits",
    "walk_repeat_purchases",
]
