"""What descriptive credit needs of the touches of journeys, as sums: those of several partitions add up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from attribution.credits.rows import TOTAL
from attribution.paths.rules import JOURNEY, RULES, RuleSettings, touch_weight

CHANNEL: Final = "channel"
GROUP: Final = "group"
ALL: Final = "all"

_KEYS: Final = ("level", "label")


@dataclass(frozen=True, slots=True, kw_only=True)
class TouchSums:
    """Sums over touches by channel, by channel group and over all.

    Attributes
    ----------
    frame
        level (channel, group or all), label, customers (distinct), and for each rule that needs times its
        credit in conversions and in value (currency), with the sums over journeys of their squares:
        `<rule>.conversions`, `<rule>.value`, `<rule>.conversions_squared`, `<rule>.value_squared`.
    """

    frame: pl.DataFrame

    @staticmethod
    def of(
        touches: pl.LazyFrame,
        *,
        methods: Sequence[str],
        groups: Mapping[str, str],
        exclude: Collection[str] = (),
        settings: RuleSettings | None = None,
    ) -> TouchSums:
        """Sum the touches of journeys of complete customers.

        Parameters
        ----------
        touches
            The touches of `histories.journeys.walk_journeys`.
        methods
            Of these, rules that need times are summed.
        groups
            Channel to channel group; a channel without an entry is its own.
        exclude
            Channels that belong to no group.
        settings
            Choices of the rules.
        """
        channel = pl.col("channel").cast(pl.String)
        group = pl.when(~channel.is_in(list(exclude))).then(channel.replace(dict(groups)))
        weighted = {
            name: _weighted(touches, name, settings)
            for name in methods
            if name in RULES and RULES[name].needs_times
        }
        parts = [
            _of_level(touches, CHANNEL, channel, weighted),
            _of_level(touches, GROUP, group, weighted),
            _of_level(touches, ALL, pl.lit(TOTAL), {}),
        ]
        return TouchSums(frame=pl.concat(parts, how="diagonal"))

    @staticmethod
    def merged(frames: pl.LazyFrame) -> TouchSums:
        """The sums of several partitions, from the rows of their frames."""
        return TouchSums(frame=frames.group_by(_KEYS).agg(pl.exclude(*_KEYS).sum()).sort(_KEYS).collect())

    def customers(self, level: str) -> dict[str, int]:
        """Distinct customers with a touch of each label of a level, and of any."""
        known = self.frame.filter(pl.col("level").is_in([level, ALL]) & pl.col("label").is_not_null())
        return dict(known.select("label", "customers").iter_rows())

    def earned(self, rule: str, *, of_value: bool) -> dict[str, float]:
        """Credit of each channel by a rule that needs times, in conversions or in currency."""
        return self._known(CHANNEL, f"{rule}.{_unit(of_value)}")

    def squares(self, rule: str, *, of_value: bool, level: str) -> dict[str, float]:
        """Sum over journeys of the squared credit of each label of a level."""
        return self._known(level, f"{rule}.{_unit(of_value)}_squared")

    def _known(self, level: str, column: str) -> dict[str, float]:
        rows = self.frame.filter(pl.col("level") == level).select("label", column).drop_nulls()
        return dict(rows.iter_rows())


def _unit(of_value: bool) -> str:
    return "value" if of_value else "conversions"


def _weighted(touches: pl.LazyFrame, rule: str, settings: RuleSettings | None) -> pl.LazyFrame:
    """Touches that led to the outcome, with their weight under a rule."""
    led = touches.filter("converted").with_columns(touch_weight(rule, settings=settings))
    return led.select(*JOURNEY, "channel", "weight", "value").collect().lazy()


def _of_level(
    touches: pl.LazyFrame, level: str, label: pl.Expr, weighted: Mapping[str, pl.LazyFrame]
) -> pl.DataFrame:
    found = (
        touches.select("customer_id", label=label)
        .unique()
        .group_by("label")
        .agg(customers=pl.col("customer_id").n_unique().cast(pl.Int64))
        .collect()
    )
    for rule, led in weighted.items():
        for part in _earned(led.with_columns(label=label), rule):
            found = found.join(part, on="label", how="left", nulls_equal=True)
    return found.select(pl.lit(level).alias("level"), pl.all()).sort("label")


def _earned(led: pl.LazyFrame, rule: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What each label earns under a rule, and the sum over journeys of its square."""
    units = {"conversions": pl.col("weight"), "value": pl.col("weight") * pl.col("value")}
    earned = led.group_by("label").agg(earned.sum().alias(f"{rule}.{unit}") for unit, earned in units.items())
    by_journey = led.group_by(*JOURNEY, "label").agg(
        earned.sum().alias(f"{rule}.{unit}_squared") for unit, earned in units.items()
    )
    squared = by_journey.group_by("label").agg(
        (pl.col(f"{rule}.{unit}_squared") ** 2).sum() for unit in units
    )
    return earned.collect(), squared.collect()
