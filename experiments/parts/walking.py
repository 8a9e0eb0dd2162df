"""Journeys of the customers of one bucket, and what is kept of them: counted paths, sums, single credits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import polars as pl

from attribution.paths.by_customer import customer_credits
from attribution.paths.encoded import EncodedPaths, encode_paths
from attribution.paths.methods import METHODS, rule_settings
from attribution.paths.rules import touch_credits
from attribution.paths.touched import TouchSums
from attribution.paths.walks import PathWalk, Trails
from attribution.settings import AttributionSettings
from experiments.config import RunConfig
from histories.cuts import ALL
from histories.engines.base import Buckets, Made, Tables
from histories.journeys import JourneyCounts, merge_path_texts
from histories.tables import TOUCH, purchases_table, touchpoints_table
from histories.touchpoints import uncredited_channels

COUNTS: Final = "journey_counts"
TOUCH_CREDIT: Final = "touch_credit"
TOUCHED: Final = "touched_purchases"
LABELS: Final = "segment_labels"
LEAVERS: Final = "contracts"
PER_PURCHASE: Final = ("conversion", "spend")
"""Outcomes that share the journeys to purchases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walking:
    """Walks a bucket's customers towards outcomes that share their journeys.

    Attributes
    ----------
    outcomes
        Of one kind of journey, such as conversion and spend.
    labels
        By segment column, the values whose customers are walked apart.
    lapse_days
        Days without a purchase after which a customer has lapsed; None where contracts say who left.
    """

    outcomes: tuple[str, ...]
    settings: AttributionSettings
    groups: Mapping[str, str]
    exclude: Collection[str]
    observation_end: dt.date
    labels: Mapping[str, tuple[str, ...]]
    lapse_days: int | None

    @classmethod
    def of(
        cls, config: RunConfig, *, observation_end: dt.date, labels: Mapping[str, tuple[str, ...]]
    ) -> Self:
        """The walk to purchases that a configuration asks for."""
        return cls(
            outcomes=PER_PURCHASE,
            settings=config.attribution,
            groups=config.channel_groups,
            exclude=uncredited_channels(config.channels),
            observation_end=observation_end,
            labels=labels,
            lapse_days=None,
        )

    def to_purchases(self, tables: Tables) -> Made:
        """Journeys to purchases, with how touches were divided and what single touches earn."""
        trails = self._trails(tables)
        return {
            **self._kept(trails.to_purchases, tables),
            COUNTS: pl.DataFrame([trails.counts.to_dict()]),
            **_credited(trails.to_purchases),
        }

    def credited(self, tables: Tables) -> Made:
        """What single touches earn and which purchases had touches: no more than the bundle's tables show."""
        return _credited(self._trails(tables).to_purchases)

    def towards(self, tables: Tables) -> Made:
        """Journeys towards the outcomes."""
        return self._kept(self._trails(tables).towards(self.outcomes[0]), tables)

    def _trails(self, tables: Tables) -> Trails:
        return Trails(
            tables["touchpoints"],
            tables["purchases"],
            tables.get(LEAVERS),
            observation_end=self.observation_end,
            settings=self.settings,
            exclude=self.exclude,
            keep=[TOUCH],
            lapse_days=self.lapse_days,
        )

    def _kept(self, walk: PathWalk, tables: Tables) -> Made:
        """Counted paths, sums over touches and credits of customers, whole and by segment."""
        kind = self.outcomes[0]
        asked = [name for name in self.settings.methods if name in METHODS]
        rules = rule_settings(self.settings)
        paths, sums, credits = [], [], []
        for segment, part in self._parts(walk, tables):
            label = pl.lit(segment).alias("segment")
            paths.append(part.counted.with_columns(label))
            summed = TouchSums.of(
                part.touches,
                methods=asked,
                groups=self.groups,
                exclude=self.settings.exclude_channels,
                settings=rules,
            )
            sums.append(summed.frame.with_columns(label))
            credits += [
                customer_credits(
                    part.touches,
                    methods=asked,
                    outcome=outcome,
                    groups=self.groups,
                    segment=segment,
                    settings=rules,
                ).collect()
                for outcome in self.outcomes
            ]
        return {
            f"{kind}.paths": pl.concat(paths),
            f"{kind}.sums": pl.concat(sums, how="diagonal"),
            f"{kind}.customer_credits": pl.concat(credits),
        }

    def _parts(self, walk: PathWalk, tables: Tables) -> Iterator[tuple[str, PathWalk]]:
        yield ALL, walk
        for column, values in self.labels.items():
            for value in values:
                chosen = tables[LABELS].filter(pl.col(column) == value).select("customer_id")
                yield f"{column}: {value}", walk.of_customers(chosen)


def _credited(walk: PathWalk) -> Made:
    credit = touch_credits(walk.touches, rule="linear")
    return {
        TOUCH_CREDIT: credit.select(TOUCH, "conversion_credit", "spend_credit").collect(),
        TOUCHED: walk.journeys.select("customer_id", "end", "n_touches", "converted").collect(),
    }


def told_purchases(tables: Tables) -> Made:
    """The bundle's table of purchases."""
    return {"told.purchases": purchases_table(tables["purchases"], tables.get(TOUCHED))}


def told_touchpoints(tables: Tables) -> Made:
    """The bundle's table of touchpoints."""
    return {"told.touchpoints": touchpoints_table(tables["touchpoints"], tables.get(TOUCH_CREDIT))}


def read_counts(buckets: Buckets) -> JourneyCounts:
    """How all purchases and touches were divided."""
    return JourneyCounts(**buckets.gather(COUNTS).sum().collect().row(0, named=True))


def read_paths(buckets: Buckets, kind: str, segment: str = ALL) -> EncodedPaths:
    """The counted paths of all customers of a segment; their texts, which may be long, are let go."""
    return encode_paths(merge_path_texts(_of_segment(buckets, f"{kind}.paths", segment)).collect())


def read_sums(buckets: Buckets, kind: str, segment: str = ALL) -> TouchSums:
    """The sums over touches of all customers of a segment."""
    return TouchSums.merged(_of_segment(buckets, f"{kind}.sums", segment))


def credits_of(buckets: Buckets, kind: str, outcome: str, segments: Sequence[str]) -> pl.LazyFrame:
    """Credit by channel of each customer: the whole company, then one segment after the other."""
    rows = buckets.gather(f"{kind}.customer_credits").filter(pl.col("outcome") == outcome)
    return pl.concat([rows.filter(pl.col("segment") == segment) for segment in segments])


def _of_segment(buckets: Buckets, table: str, segment: str) -> pl.LazyFrame:
    return buckets.gather(table).filter(pl.col("segment") == segment).drop("segment")
