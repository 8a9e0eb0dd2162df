"""Every descriptive method as a function of the same journeys, and when it has no figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.paths.encoded import EncodedPaths, encode_paths, exclude_channels, unique_channels
from attribution.paths.markov import MarkovFit, fit_markov
from attribution.paths.markov_order import choose_order
from attribution.paths.rules import RULES, RuleSettings, credit_by_rule, path_weights
from attribution.paths.shapley import shapley_equal_split, shapley_rate
from attribution.paths.transitions import TransitionCounts, count_transitions
from attribution.settings import MAX_RATE_GAME_CHANNELS, AttributionSettings

__all__ = ["Chain", "Journeys", "credit_by", "fit_chains", "read_journeys", "why_unavailable"]

HOLDOUT_SEED = 1
"""Seed of the random folds by which `markov_order = "holdout"` chooses."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Journeys:
    """What every method reads."""

    paths: EncodedPaths
    outcome: str
    worth: NDArray[np.float64]
    """The outcome of each path in its unit, a count or, for spend, currency; shape (n_paths,)."""
    has_value: bool
    """Whether the worth of conversions is known."""
    touches: pl.LazyFrame | None
    """The same journeys touch by touch, with times; None when only counts are known."""
    settings: AttributionSettings

    @property
    def touched(self) -> float:
        """The outcome of journeys with a touch."""
        return float(self.worth[self.paths.lengths > 0].sum())

    @property
    def rules(self) -> RuleSettings:
        """Choices of the rules."""
        chosen = self.settings
        return RuleSettings(direct_channel=chosen.direct_channel, half_life_days=chosen.half_life_days)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """A Markov chain with the counts behind it."""

    counts: TransitionCounts
    fit: MarkovFit


def read_journeys(
    paths: pl.DataFrame, touches: pl.LazyFrame | None, *, outcome: str, settings: AttributionSettings
) -> Journeys:
    """Counted paths as arrays, with channels excluded and repeats dropped as the settings say."""
    encoded = encode_paths(paths)
    if settings.exclude_channels:
        encoded = exclude_channels(encoded, settings.exclude_channels)
    if settings.unique_channels:
        encoded = unique_channels(encoded)
    return Journeys(
        paths=encoded,
        outcome=outcome,
        worth=encoded.value if outcome == "spend" else encoded.conversions,
        has_value="value" in paths.columns,
        touches=touches,
        settings=settings,
    )


def fit_chains(journeys: Journeys, methods: Sequence[str], *, order: int | None = None) -> dict[str, Chain]:
    """The chain of each Markov method, all of `order` if given; none when no journey has a touch."""
    if not journeys.paths.codes.size:
        return {}
    usual = journeys.settings.markov_order
    orders = {"markov": None if usual == "holdout" else int(usual), "markov_2": 2, "markov_3": 3}
    chains = {}
    for method in (name for name in methods if name in orders):
        remembered = order or orders[method]
        if remembered is None:
            remembered = choose_order(journeys.paths, rng=np.random.default_rng(HOLDOUT_SEED)).order
        counts = count_transitions(journeys.paths, order=remembered)
        chains[method] = Chain(counts=counts, fit=fit_markov(counts))
    return chains


def why_unavailable(method: str, journeys: Journeys) -> str | None:
    """Why `method` has no figure for these journeys; None when it has one."""
    n_channels = len(journeys.paths.channels)
    if journeys.outcome == "lifetime_value":
        return "lifetime value has no descriptive credit: it lies ahead of every journey"
    if journeys.outcome == "spend" and not journeys.has_value:
        return "the paths hold no value, so spend is unknown"
    if method in RULES and RULES[method].needs_times and journeys.touches is None:
        return "counted paths hold no times, which time decay needs"
    if method == "shapley_rate" and not journeys.paths.nulls.any():
        return "no journeys without the outcome were given, which the rate game compares with"
    if method == "shapley_rate" and n_channels > MAX_RATE_GAME_CHANNELS:
        return f"the rate game takes {MAX_RATE_GAME_CHANNELS} channels; there are {n_channels}"
    return None


def credit_by(method: str, journeys: Journeys, chains: Mapping[str, Chain]) -> dict[str, float]:
    """Credit by channel, in units of the outcome, that adds up to the outcome of touched journeys."""
    paths = journeys.paths
    if not paths.codes.size:
        return {}
    if method in chains:
        return chains[method].fit.credit(journeys.touched, of_value=journeys.outcome == "spend")
    if method == "shapley":
        return shapley_equal_split(paths, journeys.worth)
    if method == "shapley_rate":
        return shapley_rate(paths, journeys.worth)
    if RULES[method].needs_times and journeys.touches is not None:
        return _credit_of_touches(method, journeys, journeys.touches)
    earned = path_weights(paths, method, settings=journeys.rules).T @ journeys.worth
    return dict(zip(paths.channels, earned.tolist(), strict=True))


def _credit_of_touches(method: str, journeys: Journeys, touches: pl.LazyFrame) -> dict[str, float]:
    """Credit by a rule that needs times."""
    converted = touches.filter("converted").with_columns(conversions=pl.lit(1.0))
    sums = credit_by_rule(converted, method, settings=journeys.rules)
    column = "value" if journeys.outcome == "spend" else "conversions"
    earned = dict(sums.select(pl.col("channel").cast(pl.String), column).collect().iter_rows())
    return {channel: earned.get(channel, 0.0) for channel in journeys.paths.channels}
