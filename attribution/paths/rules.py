"""Rules of thumb: each hands one journey's outcome to its touches by their place in it.

A rule is a Polars expression over touches in rows, with the columns `position` (0-based), `n_touches`,
`channel` and, for time decay, `hours_before` the outcome. The weights of one journey sum to 1, so that the
credit of a channel is the sum of weight times outcome: additive over journeys, customers and partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl
from scipy import sparse

from attribution.paths.encoded import EncodedPaths
from histories.errors import ConfigError, nearest

JOURNEY = ("customer_id", "journey_id")
HOURS_PER_DAY = 24.0
POSITION_ENDS = 0.4
"""Share of the first and of the last touch in the position rule; the touches between share the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSettings:
    """Choices of the rules that have any."""

    direct_channel: str = "direct"
    """Channel that "last_non_direct" passes over."""
    half_life_days: float = 7.0
    """Age at which a touch counts half in "time_decay"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule by its weight, given the columns that identify a journey."""

    weight: Callable[[Sequence[str], RuleSettings], pl.Expr]
    needs_times: bool = False


_position = pl.col("position").cast(pl.Int64)
_n = pl.col("n_touches").cast(pl.Int64)


def _first(keys: Sequence[str], settings: RuleSettings) -> pl.Expr:
    """All to the first touch."""
    return (_position == 0).cast(pl.Float64)


def _last(keys: Sequence[str], settings: RuleSettings) -> pl.Expr:
    """All to the last touch."""
    return (_position == _n - 1).cast(pl.Float64)


def _last_non_direct(keys: Sequence[str], settings: RuleSettings) -> pl.Expr:
    """All to the last touch that is not direct; to the last one if all are."""
    other = pl.when(pl.col("channel") != settings.direct_channel).then(_position).max().over(keys)
    return (_position == other.fill_null(_n - 1)).cast(pl.Float64)


def _linear(keys: Sequence[str], settings: RuleSettings) -> pl.Expr:
    """The same to each touch."""
    return 1.0 / _n


def _time_decay(keys: Sequence[str], settings: RuleSettings) -> pl.Expr:
    """Half as much for each half-life before the outcome."""
    hours = pl.col("hours_before")
    age = (hours - hours.min().over(keys)) / (HOURS_PER_DAY * settings.half_life_days)
    decayed = pl.lit(2.0).pow(-age)
    return decayed / decayed.sum().over(keys)


def _position_based(keys: Sequence[str], settings: RuleSettings) -> pl.Expr:
    """40 % to the first, 40 % to the last, 20 % to those between; 50/50 of two touches."""
    at_end = (_position == 0) | (_position == _n - 1)
    between = (1.0 - 2.0 * POSITION_ENDS) / (_n - 2)
    few = 1.0 / _n
    return pl.when(_n <= 2).then(few).when(at_end).then(POSITION_ENDS).otherwise(between)


def _distinct(keys: Sequence[str], settings: RuleSettings) -> pl.Expr:
    """The same to each distinct channel (the Shapley value of `v(S)` = outcomes of journeys within S)."""
    channels = pl.col("channel").n_unique().over(keys)
    repeats = pl.len().over([*keys, "channel"])
    return 1.0 / (channels * repeats)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "first": Rule(weight=_first),
        "last": Rule(weight=_last),
        "last_non_direct": Rule(weight=_last_non_direct),
        "linear": Rule(weight=_linear),
        "time_decay": Rule(weight=_time_decay, needs_times=True),
        "position": Rule(weight=_position_based),
        "shapley": Rule(weight=_distinct),
    }
)
"""Every rule by its name as a method."""


def touch_weight(
    rule: str, *, keys: Sequence[str] = JOURNEY, settings: RuleSettings | None = None
) -> pl.Expr:
    """Share of its journey's outcome that each touch earns under `rule`.

    Raises ConfigError for a rule that does not exist.

    >>> columns = {"j": [1, 1, 1], "position": [0, 1, 2], "n_touches": 3, "channel": ["a", "b", "a"]}
    >>> pl.DataFrame(columns).select(touch_weight("position", keys=["j"])).to_series().round(12).to_list()
    [0.4, 0.2, 0.4]
    """
    if rule not in RULES:
        raise ConfigError(f'there is no rule "{rule}" that credits single touches; {nearest(rule, RULES)}')
    return RULES[rule].weight(keys, settings or RuleSettings()).alias("weight")


def touch_credits(
    touches: pl.LazyFrame, *, rule: str = "linear", settings: RuleSettings | None = None
) -> pl.LazyFrame:
    """Journey touches with what they earn under `rule`: `conversion_credit`, `spend_credit` (currency).

    `touches` holds complete journeys: customer_id, journey_id, position, n_touches, channel, hours_before,
    converted, value, and any further column. Touches of journeys without an outcome earn 0.
    """
    earned = touch_weight(rule, settings=settings) * pl.col("converted").cast(pl.Float64)
    return touches.with_columns(conversion_credit=earned, spend_credit=earned * pl.col("value"))


def path_touches(paths: EncodedPaths) -> pl.DataFrame:
    """The touches of counted paths in rows, in order: path, position, n_touches, channel."""
    lengths = paths.lengths
    path = np.repeat(np.arange(lengths.size), lengths)
    names = pl.Series(list(paths.channels), dtype=pl.Enum(list(paths.channels)))
    return pl.DataFrame(
        {
            "path": path,
            "position": np.arange(path.size) - paths.offsets[:-1][path],
            "n_touches": lengths[path],
            "channel": names.gather(paths.codes),
        }
    )


def path_weights(paths: EncodedPaths, rule: str, *, settings: RuleSettings | None = None) -> sparse.csr_array:
    """Share of its outcome that each path gives each channel under `rule`, shape (n_paths, C)."""
    weight = touch_weight(rule, keys=["path"], settings=settings)
    shares = [
        part.spread(path_touches(part).select(weight).to_series().to_numpy(writable=True))
        for part in paths.parts()
    ]
    return sparse.vstack(shares, format="csr")
