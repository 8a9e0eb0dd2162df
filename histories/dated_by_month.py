"""Are events dated by the month alone? Exports by the month date all of them on its first day, or its last.

Invoices at the end of the month, activity by the month: the day says nothing then of what came first, nor of
when within the month a customer left. What a firm sends may well go out on the first, unless acts are dated
so too; where the end of a relation is known, nobody knows then whether it was sent before or after it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

BEFORE_OR_AFTER = "its touches are dated by the month alone: which came before a customer left is not known"
NEARLY_ALL = 0.95
"""Share of events on the first days of months and the last from which the day is no day."""
FEWEST, MONTHS = 100, 3
"""Events and months with any below which nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedByMonth:
    """What is dated by the month alone."""

    channels: tuple[str, ...] = ()
    """Channels, one in which customers act among them."""
    purchases: bool = False

    @property
    def any(self) -> bool:
        """Whether anything is, so that the order of events within a month is not known."""
        return self.purchases or bool(self.channels)

    @property
    def words(self) -> str:
        """What is known by the month only, in a sentence."""
        what = [*self.channels, *(["purchases"] if self.purchases else [])]
        return (
            f"{', '.join(what)}: nearly all are dated the first day of a month, or the last. They are taken "
            "as of any day of it: what came first within a month is not known"
        )


DAYS_ARE_KNOWN = DatedByMonth()


def dated_by_month(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, *, own: Collection[str]
) -> DatedByMonth:
    """Which channels, and whether purchases, are dated by the month; what a firm sends only beside own acts.

    Parameters
    ----------
    touchpoints, purchases
        `timestamp`, and `channel` of touches.
    own
        Channels in which customers act.
    """
    day, name = pl.col("timestamp").dt.date(), "channel"
    edge = (day == day.dt.month_start()) | (day == day.dt.month_end())
    months = day.dt.month_start().n_unique()
    told = [edge.mean().alias("edge"), pl.len().alias("n"), months.alias("months")]
    coarse = (pl.col("edge") >= NEARLY_ALL) & (pl.col("n") >= FEWEST) & (pl.col("months") >= MONTHS)
    by_channel = touchpoints.group_by(pl.col(name).cast(pl.String)).agg(told).filter(coarse)
    found, bought = pl.collect_all([by_channel.sort(name), purchases.select(told).filter(coarse)])
    acted = any(channel in own for channel in found[name])
    return DatedByMonth(channels=tuple(found[name]) if acted else (), purchases=bought.height > 0)
