"""Is the recorded end a rule? An account closed after half a year of silence says who is silent.

Who left, and when, is then nobody's record: the end stands so many days after the last sign of life because
somebody made it so, and whoever acts seems kept by his acts, since without them he would have been closed.
Such ends follow the last purchase, or the last act of any kind, after nearly the same number of days::

    gap = end - last sign,   90th less 10th percentile of the gaps at most `SPREAD` times their median

while signs of the same customers come twice as often or more. Bills of a contract are as regular, but come
as seldom as the end after them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from histories.periods import wall_time

CUSTOMERS = 2_000
"""Of those who left, looked at; one or two days more or less show in a hundred."""
FEWEST = 50
"""Of them with a sign of life, below which nothing is said."""
SHORTEST = 45
"""Days of silence below which an end is no rule: who leaves has been silent for some."""
SPREAD = 0.2
OFTEN = 0.5
"""Median days between signs of the same customers, relative to the gap: below it silence is unusual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndBySilence:
    """Ends that follow silence."""

    days: int
    """Median from the last sign to the end."""
    sign: str
    """What the silence is of."""
    customers: int
    """Ends looked at."""

    @property
    def words(self) -> str:
        """What was found, and what is made of it."""
        return (
            f"customers.ended_at stands about {self.days} days after the last {self.sign} of nearly all "
            f"{self.customers:,} customers looked at: a rule of silence, not a record of leaving. "
            "Incremental credit is estimated as if nobody recorded who left; leave ended_at out, or give the "
            "day of notice"
        )


def end_by_silence(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, customers: pl.LazyFrame | None
) -> EndBySilence | None:
    """What the recorded ends of some customers follow; None where they are no rule of silence.

    Parameters
    ----------
    touchpoints
        `customer_id`, `timestamp`, `origin`.
    purchases
        `customer_id`, `timestamp`.
    customers
        `ended_at`, empty for those still there.
    """
    if customers is None or "ended_at" not in customers.collect_schema():
        return None
    ended = customers.filter(pl.col("ended_at").is_not_null()).select(
        "customer_id", end=pl.col("ended_at").cast(pl.Date)
    )
    some = ended.bottom_k(CUSTOMERS, by=pl.col("customer_id").hash(1)).collect()
    if some.height < FEWEST:
        return None
    bought, acted = (
        frame.select("customer_id", day=wall_time("timestamp").cast(pl.Date))
        for frame in (purchases, touchpoints.filter(pl.col("origin") == "customer"))
    )
    for sign, days in (("purchase", bought), ("sign of life", pl.concat([bought, acted]))):
        found = _rule(sign, days, some)
        if found is not None:
            return found
    return None


def _rule(sign: str, days: pl.LazyFrame, ended: pl.DataFrame) -> EndBySilence | None:
    rows = days.join(ended.lazy(), on="customer_id").filter(pl.col("day") <= pl.col("end")).unique()
    each = (
        rows.sort("customer_id", "day")
        .with_columns(between=pl.col("day").diff().over("customer_id").dt.total_days())
        .group_by("customer_id")
        .agg(gap=(pl.col("end").last() - pl.col("day").last()).dt.total_days(), between=pl.col("between"))
        .collect()
    )
    between = each["between"].explode(empty_as_null=False).drop_nulls().to_numpy()
    if each.height < FEWEST or not len(between):
        return None
    low, median, high = np.quantile(each["gap"].to_numpy(), [0.1, 0.5, 0.9])
    if median < SHORTEST or high - low > SPREAD * median or np.median(between) > OFTEN * median:
        return None
    return EndBySilence(days=int(median), sign=sign, customers=each.height)
