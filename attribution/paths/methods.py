"""The descriptive methods: each one value, by which it is credited, refused, sampled and named.

A further method is a module of its own and an entry of `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.paths.encoded import EncodedPaths, encode_paths, exclude_channels, unique_channels
from attribution.paths.markov import MarkovFit, fit_markov
from attribution.paths.markov_order import choose_order
from attribution.paths.rules import RULES, RuleSettings, path_weights
from attribution.paths.shapley import shapley_equal_split, shapley_rate
from attribution.paths.touched import TouchSums
from attribution.paths.transitions import TransitionCounts, count_transitions
from attribution.settings import MAX_RATE_GAME_CHANNELS, AttributionSettings

FEWEST_PATHS = 30
"""Paths with the outcome (and, to compare rates, without it) below which an estimated share is chance."""

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
    touches: TouchSums | None
    """Sums over the touches of the same journeys, with times; None when only counts are known."""
    settings: AttributionSettings

    @property
    def touched(self) -> float:
        """The outcome of journeys with a touch."""
        return float(self.worth[self.paths.lengths > 0].sum())

    @property
    def rules(self) -> RuleSettings:
        """Choices of the rules."""
        return rule_settings(self.settings)


def rule_settings(settings: AttributionSettings) -> RuleSettings:
    """Choices of the rules among all settings."""
    return RuleSettings(direct_channel=settings.direct_channel, half_life_days=settings.half_life_days)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """A Markov chain with the counts behind it."""

    counts: TransitionCounts
    fit: MarkovFit


def read_journeys(
    paths: pl.DataFrame | EncodedPaths,
    touches: TouchSums | None,
    *,
    outcome: str,
    settings: AttributionSettings,
) -> Journeys:
    """Counted paths as arrays, with channels excluded and repeats dropped as the settings say."""
    encoded = paths if isinstance(paths, EncodedPaths) else encode_paths(paths)
    if settings.exclude_channels:
        encoded = exclude_channels(encoded, settings.exclude_channels)
    if settings.unique_channels:
        encoded = unique_channels(encoded)
    return Journeys(
        paths=encoded,
        outcome=outcome,
        worth=encoded.value if outcome == "spend" else encoded.conversions,
        has_value=isinstance(paths, EncodedPaths) or "value" in paths.columns,
        touches=touches,
        settings=settings,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How one method credits.

    Attributes
    ----------
    label
        Its name in reports and on pages.
    credit
        Credit by channel, in units of the outcome, that adds up to the outcome of touched journeys; the chain
        is given where `order` is.
    why_not
        Why there is no figure for these journeys; None when there is one.
    order
        Of a Markov chain: its order by the settings, None to choose it by held-out journeys.
    rule
        Whether credit is a sum over journeys by the rule of the same name, so that its error is exact and
        every customer has a share; else it is computed anew on drawn journeys.
    signed
        Whether credit may be negative.
    too_few
        Why a figure is not supported: what it is estimated from is too little. A rule counts, and needs none.
    """

    label: str
    credit: Callable[[Journeys, Chain | None], dict[str, float]]
    why_not: Callable[[Journeys], str | None] = lambda journeys: None
    order: Callable[[AttributionSettings], int | None] | None = None
    rule: bool = False
    signed: bool = False
    too_few: Callable[[Journeys], str | None] = lambda journeys: None


def fit_chains(journeys: Journeys, methods: Sequence[str], *, order: int | None = None) -> dict[str, Chain]:
    """The chain of each Markov method, all of `order` if given; none when no journey has a touch."""
    if not journeys.paths.codes.size:
        return {}
    chains = {}
    for method in methods:
        asked = METHODS[method].order
        if asked is None:
            continue
        remembered = order or asked(journeys.settings)
        if remembered is None:
            remembered = choose_order(journeys.paths, rng=np.random.default_rng(HOLDOUT_SEED))
        counts = count_transitions(journeys.paths, order=remembered)
        chains[method] = Chain(counts=counts, fit=fit_markov(counts))
    return chains


def why_unavailable(method: str, journeys: Journeys) -> str | None:
    """Why `method` has no figure for these journeys; None when it has one."""
    if journeys.outcome == "lifetime_value":
        return "lifetime value has no descriptive credit: it lies ahead of every journey"
    if journeys.outcome == "spend" and not journeys.has_value:
        return "the paths hold no value, so spend is unknown"
    return METHODS[method].why_not(journeys)


def why_unsupported(method: str, journeys: Journeys) -> str | None:
    """Why the figure of `method` rests on too little; None when it does not."""
    return METHODS[method].too_few(journeys)


def credit_by(method: str, journeys: Journeys, chains: Mapping[str, Chain]) -> dict[str, float]:
    """Credit by channel, in units of the outcome, that adds up to the outcome of touched journeys."""
    if not journeys.paths.codes.size:
        return {}
    return METHODS[method].credit(journeys, chains.get(method))


def _by_chain(journeys: Journeys, chain: Chain | None) -> dict[str, float]:
    assert chain is not None
    return chain.fit.credit(journeys.touched, of_value=journeys.outcome == "spend")


def _by_paths(rule: str) -> Callable[[Journeys, Chain | None], dict[str, float]]:
    """Credit by a rule that needs the order of touches only."""

    def credit(journeys: Journeys, chain: Chain | None) -> dict[str, float]:
        earned = path_weights(journeys.paths, rule, settings=journeys.rules).T @ journeys.worth
        return dict(zip(journeys.paths.channels, earned.tolist(), strict=True))

    return credit


def _by_times(rule: str) -> Callable[[Journeys, Chain | None], dict[str, float]]:
    """Credit by a rule that needs times."""

    def credit(journeys: Journeys, chain: Chain | None) -> dict[str, float]:
        assert journeys.touches is not None
        earned = journeys.touches.earned(rule, of_value=journeys.outcome == "spend")
        return {channel: earned.get(channel, 0.0) for channel in journeys.paths.channels}

    return credit


def _needs_times(journeys: Journeys) -> str | None:
    return None if journeys.touches is not None else "counted paths hold no times, which this method needs"


def _needs_rates(journeys: Journeys) -> str | None:
    if not journeys.paths.nulls.any():
        return "no journeys without the outcome were given, which the rate game compares with"
    n_channels = len(journeys.paths.channels)
    if n_channels > MAX_RATE_GAME_CHANNELS:
        return f"the rate game takes {MAX_RATE_GAME_CHANNELS} channels; there are {n_channels}"
    return None


def _too_few_for_chain(journeys: Journeys) -> str | None:
    conversions = _touched_conversions(journeys)
    if conversions >= FEWEST_PATHS:
        return None
    return f"{conversions:,.0f} paths end in the outcome; {FEWEST_PATHS} needed for the shares of a chain"


def _too_few_for_rates(journeys: Journeys) -> str | None:
    conversions = _touched_conversions(journeys)
    nulls = float(journeys.paths.nulls[journeys.paths.lengths > 0].sum())
    if min(conversions, nulls) >= FEWEST_PATHS:
        return None
    return (
        f"{conversions:,.0f} paths end in the outcome and {nulls:,.0f} without it; {FEWEST_PATHS} of each "
        "needed to compare rates"
    )


def _touched_conversions(journeys: Journeys) -> float:
    return float(journeys.paths.conversions[journeys.paths.lengths > 0].sum())


def _rule(label: str, name: str) -> Method:
    if RULES[name].needs_times:
        return Method(label=label, credit=_by_times(name), why_not=_needs_times, rule=True)
    return Method(label=label, credit=_by_paths(name), rule=True)


def _order_of(settings: AttributionSettings) -> int | None:
    return None if settings.markov_order == "holdout" else int(settings.markov_order)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "first": _rule("first touch", "first"),
        "last": _rule("last touch", "last"),
        "last_non_direct": _rule("last touch but direct", "last_non_direct"),
        "linear": _rule("equal shares", "linear"),
        "time_decay": _rule("time decay", "time_decay"),
        "position": _rule("position based", "position"),
        "markov": Method(label="Markov", credit=_by_chain, order=_order_of, too_few=_too_few_for_chain),
        "markov_2": Method(
            label="Markov, order 2",
            credit=_by_chain,
            order=lambda settings: 2,
            too_few=_too_few_for_chain,
        ),
        "markov_3": Method(
            label="Markov, order 3",
            credit=_by_chain,
            order=lambda settings: 3,
            too_few=_too_few_for_chain,
        ),
        "shapley": Method(
            label="Shapley",
            credit=lambda journeys, chain: shapley_equal_split(journeys.paths, journeys.worth),
            rule=True,
        ),
        "shapley_rate": Method(
            label="Shapley, rates",
            credit=lambda journeys, chain: shapley_rate(journeys.paths, journeys.worth),
            why_not=_needs_rates,
            signed=True,
            too_few=_too_few_for_rates,
        ),
    }
)
"""Every descriptive method by its name in the configuration."""
