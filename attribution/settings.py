"""What `[attribution]` in the configuration may say, with its defaults."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from histories.errors import nearest

Outcome = Literal[
    "conversion", "repeat_purchase", "retention", "retention_periods", "spend", "lifetime_value"
]
INCREMENTAL = "incremental"
"""The method that is no descriptive one."""


def _method(name: str) -> str:
    """A name of the registry of descriptive methods, or "incremental"."""
    from attribution.paths.methods import METHODS

    known = (*METHODS, INCREMENTAL)
    if name not in known:
        raise ValueError(f"there is no such method; {nearest(name, known)}")
    return name


Method = Annotated[str, AfterValidator(_method)]

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PATH_OUTCOMES: tuple[Outcome, ...] = tuple(name for name in OUTCOMES if name != "lifetime_value")
"""Those at the end of a journey; lifetime value lies ahead of every journey."""
INCREMENTAL_OUTCOMES: tuple[str, ...] = ("retention", "spend", "lifetime_value")
"""Those of a customer and period, which incremental credit divides."""
MAX_RATE_GAME_CHANNELS = 20
LONGEST_DAYS = 36_525.0
"""A hundred years: longer times cannot be counted in microseconds."""

PositiveDays = Annotated[float, Field(gt=0, le=LONGEST_DAYS, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names as they were given, each once."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f'"{repeated[0]}" stands there twice')
    return names


def _some(names: tuple[str, ...]) -> tuple[str, ...]:
    """At least one name, each once."""
    if not names:
        raise ValueError("name at least one, or leave the key out")
    return _once(names)


_EACH_ONCE = AfterValidator(_some)


def _decay(value: object) -> object:
    """A decay as it may be given."""
    if isinstance(value, (int, float)) and 0 < value < 1:
        return value
    raise ValueError("allowed: a number between 0 and 1; left out, it is found")


Decay = Annotated[float, BeforeValidator(_decay)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class AttributionSettings:
    """Choices for journeys, descriptive rules and incremental credit.

    Attributes
    ----------
    lookback_days
        Longest time before an outcome in which a touch may earn credit.
    period
        Step of the customer-period panel and of retention journeys.
    outcomes
        What is credited: conversions, retention, spend, lifetime value, repeat purchases.
    methods
        How: the descriptive rules by name, and "incremental".
    confounders
        Columns of customers or cases that moved customers into channels and to the outcome.
    segments
        Columns of the customers table whose values get credit of their own, descriptive and incremental.
    session_minutes
        Above 0, touches of one channel that follow each other within so many minutes are one.
    views
        Whether touches that were seen and not acted on count.
    exclude_channels
        Channels left out of every journey.
    unique_channels
        Keep the first touch of each channel in a journey only.
    direct_channel
        Name of the channel that "last non-direct" passes over.
    half_life_days
        Time in which the weight of a touch halves under time decay.
    markov_order
        Order of the method "markov"; "holdout" chooses it by prediction of held-out journeys.
    repeat_window_days
        Time within which a further purchase counts as the outcome "repeat_purchase".
    interval
        Level of every interval.
    replicates
        Bootstrap fits behind the intervals of incremental credit.
    fit_customers
        Largest number of customers on which incremental models are fitted; all of them are credited.
    decay
        Share of what a touch has built up that is left one period later; None: found.

    Examples
    --------
    >>> AttributionSettings(half_life_days=14).half_life_days
    14.0
    """

    lookback_days: PositiveDays = 30.0
    period: Literal["week", "month", "quarter"] = "month"
    outcomes: Annotated[tuple[Outcome, ...], _EACH_ONCE] = (
        "conversion",
        "retention",
        "spend",
        "lifetime_value",
    )
    methods: Annotated[tuple[Method, ...], _EACH_ONCE] = (
        "last",
        "linear",
        "markov",
        "shapley",
        "incremental",
    )
    confounders: Annotated[tuple[str, ...], AfterValidator(_once)] = ()
    segments: Annotated[tuple[str, ...], AfterValidator(_once)] = ()
    session_minutes: Annotated[float, Field(ge=0, le=LONGEST_DAYS * 1440, allow_inf_nan=False)] = 0.0
    views: bool = False
    exclude_channels: tuple[str, ...] = ()
    unique_channels: bool = False
    direct_channel: str = "direct"
    half_life_days: PositiveDays = 7.0
    markov_order: Literal[1, 2, 3, "holdout"] = 1
    repeat_window_days: PositiveDays = 90.0
    interval: Share = 0.95
    replicates: Annotated[int, Field(ge=0, le=10_000)] = 40
    fit_customers: Annotated[int, Field(ge=100, le=10**9)] = 20_000
    decay: Decay | None = None
