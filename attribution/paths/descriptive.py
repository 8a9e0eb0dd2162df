"""Descriptive credit: one outcome, every method asked for, from counted paths.

Descriptive credit hands out the whole outcome of touched journeys. It says who was there, not what it did.
Beside it stand the touches, customers and journeys that it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import polars as pl

from attribution.credits.rows import TOTAL, UNTOUCHED, Counts, group_members
from attribution.credits.schemas import (
    CUSTOMER_CREDITS_SCHEMA,
    PATHS_SCHEMA,
    REMOVAL_EFFECTS_SCHEMA,
    TRANSITIONS_SCHEMA,
)
from attribution.credits.table import Credits, concat_credits, descriptive_credits, unavailable_credits
from attribution.paths.by_customer import customer_credits
from attribution.paths.encoded import EncodedPaths, path_table
from attribution.paths.markov import fit_markov
from attribution.paths.methods import (
    METHODS,
    Chain,
    Journeys,
    credit_by,
    fit_chains,
    read_journeys,
    rule_settings,
    why_unavailable,
    why_unsupported,
)
from attribution.paths.sampling import sample_bounds
from attribution.paths.touched import CHANNEL, GROUP, TouchSums
from attribution.paths.transitions import read_transitions, transition_table
from attribution.settings import INCREMENTAL, OUTCOMES, AttributionSettings
from histories.cuts import ALL
from histories.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptive:
    """Descriptive credit of one outcome and segment, with the tables behind it."""

    credits: Credits
    """Every method asked for; a method without a figure has rows that say why."""
    paths: pl.DataFrame
    """PATHS_SCHEMA, the most walked path first."""
    transitions: pl.DataFrame
    """TRANSITIONS_SCHEMA, for each order used; empty when no Markov method was asked for."""
    removal_effects: pl.DataFrame
    """REMOVAL_EFFECTS_SCHEMA, one row per Markov method and channel."""
    customer_credits: pl.DataFrame
    """CUSTOMER_CREDITS_SCHEMA, for the methods that are sums over journeys; empty without touches."""


def descriptive(
    paths: pl.DataFrame | EncodedPaths,
    touches: pl.LazyFrame | TouchSums | None = None,
    *,
    outcome: str,
    groups: Mapping[str, str],
    methods: Sequence[str] | None = None,
    untouched: tuple[float, float] = (0.0, 0.0),
    segment: str = ALL,
    costs: Mapping[str, float] | None = None,
    settings: AttributionSettings | None = None,
) -> Descriptive:
    """Credit of `outcome` by each of `methods`.

    Parameters
    ----------
    paths
        Counted paths: `path` (a list, or text "a > b"), `conversions`, and, where known, `value` in currency
        and `nulls`; or what `encode_paths` made of them. An empty path is an outcome without a touch.
        Conversions are purchases, repeat purchases or retained periods, as `outcome` says.
    touches
        Touches of the same journeys (see `rules.touch_credits`), for time decay, customers counted and
        credit per customer; or sums over them, without credit per customer.
    outcome
        conversion, repeat_purchase, retention or spend. Lifetime value has no descriptive credit.
    groups
        Channel to channel group; a channel without an entry is its own.
    methods
        Descriptive methods, by default those of the settings; "incremental" is passed over.
    untouched
        Further outcomes without a touch that `paths` does not hold: their count, and worth in currency.
    segment
        Label of the rows.
    costs
        By channel, in currency.
    settings
        Half-life, direct channel, order of "markov", unique and excluded channels.

    Returns
    -------
    Descriptive

    Raises
    ------
    ConfigError
        A method or the outcome does not exist.
    SchemaError, DataError
        `paths` is not a table of counted paths.
    ModelError
        The touches are not those of the paths, so that credit does not add up.
    """
    settings = settings or AttributionSettings()
    methods = settings.methods if methods is None else methods
    _refuse_unknown(methods, outcome)
    asked = [name for name in methods if name in METHODS]
    sums = (
        TouchSums.of(
            touches,
            methods=asked,
            groups=groups,
            exclude=settings.exclude_channels,
            settings=rule_settings(settings),
        )
        if isinstance(touches, pl.LazyFrame)
        else touches
    )
    journeys = read_journeys(paths, sums, outcome=outcome, settings=settings)
    chains = fit_chains(journeys, asked)
    subject = _Subject(outcome=outcome, groups=groups, segment=segment)
    return Descriptive(
        credits=_credits(journeys, chains, asked, subject, untouched=untouched, costs=costs or {}),
        paths=path_table(journeys.paths, outcome=outcome, segment=segment),
        transitions=_transitions(chains, subject),
        removal_effects=_removal_effects(chains, subject),
        customer_credits=_customer_credits(journeys, touches, asked, subject),
    )


def descriptive_from_transitions(
    transitions: pl.DataFrame,
    *,
    groups: Mapping[str, str],
    methods: Sequence[str] | None = None,
    outcome: str = "conversion",
    segment: str = ALL,
    costs: Mapping[str, float] | None = None,
    settings: AttributionSettings | None = None,
) -> Descriptive:
    """Credit from counts of transitions alone: a Markov chain of order 1.

    `transitions` has from_state, to_state and n (see `read_transitions`). Other methods, and outcomes in
    currency, have rows that say what is missing. `methods` are those of the settings unless given.
    """
    methods = (settings or AttributionSettings()).methods if methods is None else methods
    _refuse_unknown(methods, outcome)
    counts = read_transitions(transitions)
    chain = Chain(counts=counts, fit=fit_markov(counts))
    total = float(counts.conversions.sum())
    subject = _Subject(outcome=outcome, groups=groups, segment=segment)
    tables = []
    for method in (name for name in methods if name in METHODS):
        if method == "markov" and outcome not in ("spend", "lifetime_value"):
            credit = chain.fit.credit(total)
            tables.append(
                descriptive_credits(
                    credit, method=method, untouched=0.0, total=total, costs=costs, **subject.labels
                )
            )
        else:
            reason = "counts of transitions hold no whole journeys and no value"
            tables.append(_unavailable(counts.channels, method, reason, subject))
    chains = {"markov": chain} if "markov" in methods else {}
    return Descriptive(
        credits=concat_credits(tables),
        paths=pl.DataFrame(schema=PATHS_SCHEMA),
        transitions=_transitions(chains, subject),
        removal_effects=_removal_effects(chains, subject),
        customer_credits=pl.DataFrame(schema=CUSTOMER_CREDITS_SCHEMA),
    )


class _Labels(TypedDict):
    outcome: str
    groups: Mapping[str, str]
    segment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What the tables are about."""

    outcome: str
    groups: Mapping[str, str]
    segment: str

    @property
    def labels(self) -> _Labels:
        """As keyword arguments."""
        return {"outcome": self.outcome, "groups": self.groups, "segment": self.segment}


def _refuse_unknown(methods: Sequence[str], outcome: str) -> None:
    """Raise ConfigError for a method or an outcome that does not exist."""
    known = (*METHODS, INCREMENTAL)
    for method in methods:
        if method not in known:
            raise ConfigError(f'attribution.methods: there is no method "{method}"; {nearest(method, known)}')
    if outcome not in OUTCOMES:
        raise ConfigError(
            f'attribution.outcomes: there is no outcome "{outcome}"; {nearest(outcome, OUTCOMES)}'
        )


def _credits(
    journeys: Journeys,
    chains: Mapping[str, Chain],
    methods: Sequence[str],
    subject: _Subject,
    *,
    untouched: tuple[float, float],
    costs: Mapping[str, float],
) -> Credits:
    """The credits of all methods."""
    paths = journeys.paths
    no_touch = paths.lengths == 0
    count = float(paths.conversions[no_touch].sum()) + untouched[0]
    worth = float(journeys.worth[no_touch].sum()) + untouched[journeys.outcome == "spend"]
    counts = count_by_channel(paths, journeys.touches, untouched=count)
    group_counts = count_by_group(paths, journeys.touches, groups=subject.groups)
    tables = []
    for method in methods:
        reason = why_unavailable(method, journeys)
        if reason is not None:
            tables.append(_unavailable(paths.channels, method, reason, subject))
            continue
        credit = credit_by(method, journeys, chains)
        sampled = sample_bounds(
            method, journeys, credit, groups=subject.groups, chains=chains, untouched=worth
        )
        tables.append(
            descriptive_credits(
                credit,
                method=method,
                bounds=sampled.of_channels,
                group_bounds=sampled.of_groups,
                interval_level=journeys.settings.interval,
                untouched=worth,
                total=journeys.touched + worth,
                counts=counts,
                group_counts=group_counts,
                costs=costs,
                too_few=why_unsupported(method, journeys),
                **subject.labels,
            )
        )
    return concat_credits(tables)


def _unavailable(channels: Sequence[str], method: str, reason: str, subject: _Subject) -> Credits:
    """Rows without a figure."""
    return unavailable_credits(channels, method=method, kind="descriptive", reason=reason, **subject.labels)


def _transitions(chains: Mapping[str, Chain], subject: _Subject) -> pl.DataFrame:
    """The transitions of each order once."""
    by_order = {chain.counts.order: chain.counts for chain in chains.values()}
    tables = [
        transition_table(by_order[order], outcome=subject.outcome, segment=subject.segment)
        for order in sorted(by_order)
    ]
    return pl.concat(tables) if tables else pl.DataFrame(schema=TRANSITIONS_SCHEMA)


def _removal_effects(chains: Mapping[str, Chain], subject: _Subject) -> pl.DataFrame:
    """The removal effects of each Markov method."""
    tables = [chain.fit.to_frame(method=method, **subject.labels) for method, chain in chains.items()]
    return pl.concat(tables) if tables else pl.DataFrame(schema=REMOVAL_EFFECTS_SCHEMA)


def _customer_credits(
    journeys: Journeys,
    touches: pl.LazyFrame | TouchSums | None,
    methods: Sequence[str],
    subject: _Subject,
) -> pl.DataFrame:
    """Credit per customer of the methods that have a figure and are sums over journeys."""
    if not isinstance(touches, pl.LazyFrame):
        return pl.DataFrame(schema=CUSTOMER_CREDITS_SCHEMA)
    available = [method for method in methods if why_unavailable(method, journeys) is None]
    return customer_credits(touches, methods=available, settings=journeys.rules, **subject.labels).collect()


def count_by_channel(paths: EncodedPaths, touches: TouchSums | None, *, untouched: float = 0.0) -> Counts:
    """Counts of each channel, of `(untouched)` and of `(total)`.

    n is the number of journeys, with and without the outcome, that hold the channel. Customers are unknown
    where the sums over `touches` are not given.
    """
    member = paths.membership()
    by_channel = (member.T @ paths.journeys).tolist()
    member.data[:] = 1.0
    journeys = (member.T @ paths.journeys).tolist()
    touched = float(paths.journeys[paths.lengths > 0].sum())
    n = dict(zip(paths.channels, journeys, strict=True))
    return Counts(
        touches=_whole({**dict(zip(paths.channels, by_channel, strict=True)), UNTOUCHED: 0.0}),
        n=_whole({**n, UNTOUCHED: untouched, TOTAL: touched + untouched}),
        customers={} if touches is None else touches.customers(CHANNEL),
    )


def count_by_group(paths: EncodedPaths, touches: TouchSums | None, *, groups: Mapping[str, str]) -> Counts:
    """Counts of each group; a journey or customer with several of its channels counts once."""
    member = paths.membership().tocsc()
    place = {name: code for code, name in enumerate(paths.channels)}
    n = {}
    for group, inside in group_members(paths.channels, groups).items():
        visits = np.asarray(member[:, [place[name] for name in inside]].sum(axis=1)).ravel()
        n[group] = float(paths.journeys[visits > 0].sum())
    return Counts(n=_whole(n), customers={} if touches is None else touches.customers(GROUP))


def _whole(values: Mapping[str, float]) -> dict[str, int]:
    """Counts as whole numbers."""
    return {name: round(value) for name, value in values.items()}
