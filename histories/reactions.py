"""Which channels' touches follow recent purchases? The order of events tells, touch by touch.

A question after an order, an offer to those who just bought, a catalogue for whoever has not bought for
three weeks: touches of a month then depend on its purchases, and to say that purchases follow the touches of
the month takes one for the other. For every touch, purchases of the customer in the 14 days before are held
against those in the 28 days before these, each relative to what all customers bought in the same days:

    ratio = (near / expected near) / (far / expected far)

1 where touches come whenever they come, whatever they do afterwards. Where the firm sends to all who bought
within some months the ratio is 1 all the same; `histories.recency` tells that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl

from histories.arrays import Float, Integer
from histories.panel import Panel
from histories.recency import recency

NEAR, FAR = timedelta(days=14), timedelta(days=42)
FEWEST = 100.0
"""Purchases before touches, near and far together, below which nothing is said."""
MORE, LESS = 1.12, 0.8
"""Ratios beyond which touches follow purchases: .90 to 1.09 in simulated companies where they do not, because
some have left just before; 1.13 to 1.65 after orders, near 0 for whoever has not bought for weeks."""
CERTAIN = 3.0
OVERDISPERSION = 1.5
"""By how much standard errors are wider than those of independent purchases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """Counts that add up over customers. C channels, D days that end with the last one observed."""

    touches: Float
    """Touches by channel and day, shape (C, D)."""
    near: Float
    """Purchases in the `NEAR` before them, shape (C,)."""
    far: Float
    """Those before, back to `FAR`, shape (C,)."""
    purchases: Float
    """Purchases of all customers by day, shape (D,)."""

    def __add__(self, other: Recent) -> Recent:
        days = max(self.touches.shape[1], other.touches.shape[1])
        first, second = self._of(days), other._of(days)
        return Recent(
            touches=first.touches + second.touches,
            near=first.near + second.near,
            far=first.far + second.far,
            purchases=first.purchases + second.purchases,
        )

    def _of(self, days: int) -> Recent:
        before = days - self.touches.shape[1]
        return Recent(
            touches=np.pad(self.touches, ((0, 0), (before, 0))),
            near=self.near,
            far=self.far,
            purchases=np.pad(self.purchases, (before, 0)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """How much more customers had bought just before a channel's touches than some weeks before them."""

    channel: str
    ratio: float
    """Above 1: touches come after purchases; below 1: when purchases stay away."""
    std_error: float
    """Of its log where it is 1."""

    @property
    def follows(self) -> bool:
        """Whether touches follow purchases."""
        margin = float(np.exp(CERTAIN * self.std_error))
        return self.ratio > max(MORE, margin) or self.ratio < min(LESS, 1.0 / margin)


def recent_purchases(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, *, channels: Sequence[str], observation_end: date
) -> Recent:
    """Count purchases before touches of some of the customers.

    Parameters
    ----------
    touchpoints, purchases
        `customer_id`, `timestamp`, and `channel` of touches.
    channels
        The C channels, in order.
    observation_end
        Last day observed.
    """
    end = datetime.combine(observation_end + timedelta(days=1), time())
    of_customers = purchases.filter(pl.col("customer_id").is_not_null())
    bought = (
        of_customers.select("customer_id", at=pl.col("timestamp").cast(pl.Datetime("us")))
        .sort("at")
        .collect()
    )
    bought = bought.with_columns(number=pl.int_range(1, pl.len() + 1).over("customer_id").cast(pl.Float64))
    first = bought.group_by("customer_id").agg(first=pl.col("at").min())
    touched = touchpoints.filter(
        pl.col("channel").is_in(list(channels)) & pl.col("customer_id").is_not_null()
    )
    touched = touched.select(
        "customer_id", pl.col("channel").cast(pl.String), at=pl.col("timestamp").cast(pl.Datetime("us"))
    )
    known = touched.collect().join(first, on="customer_id").filter(pl.col("first") < pl.col("at") - FAR)
    for name, back in (("now", timedelta(0)), ("before", NEAR), ("long_before", FAR)):
        when = known.with_columns(when=pl.col("at") - back).sort("when")
        known = when.join_asof(
            bought.select("customer_id", "at", pl.col("number").alias(name)).rename({"at": "bought"}),
            left_on="when",
            right_on="bought",
            by="customer_id",
            allow_exact_matches=False,
            check_sortedness=False,
        ).drop("bought", "when")
    again = bought.filter(pl.col("number") > 1.0)
    of_touches, of_purchases = _days(known["at"], end), _days(again["at"], end)
    days = 1 + max(int(back.max(initial=0)) for back in (of_touches, of_purchases))
    touches, near, far = np.zeros((len(channels), days)), np.zeros(len(channels)), np.zeros(len(channels))
    for k, channel in enumerate(channels):
        own = (known["channel"] == channel).to_numpy()
        touches[k] = np.bincount(days - 1 - of_touches[own], minlength=days)
        counts = known.filter(own)
        near[k] = (counts["now"] - counts["before"]).sum()
        far[k] = (counts["before"] - counts["long_before"]).sum()
    by_day = np.bincount(days - 1 - of_purchases, minlength=days).astype(np.float64)
    return Recent(touches=touches, near=near, far=far, purchases=by_day)


def reactions(recent: Recent, channels: Sequence[str]) -> tuple[Reaction, ...]:
    """One reading for each channel that the counts can say something of."""
    total = np.concatenate([[0.0], np.cumsum(recent.purchases)])
    day = np.arange(recent.touches.shape[1])
    now, before, long_before = (total[np.maximum(day - back.days, 0)] for back in (timedelta(0), NEAR, FAR))
    found = []
    for k, channel in enumerate(channels):
        near = float(recent.touches[k] @ (now - before))
        far = float(recent.touches[k] @ (before - long_before))
        if recent.near[k] + recent.far[k] < FEWEST or not (near and far):
            continue
        seen = np.array([recent.near[k], recent.far[k]])
        expected = np.array([near, far]) * seen.sum() / (near + far)
        found.append(
            Reaction(
                channel=channel,
                ratio=float(seen[0] / near * far / max(seen[1], 0.5)),
                std_error=OVERDISPERSION * float(np.sqrt((1.0 / expected).sum())),
            )
        )
    return tuple(found)


def with_order_of_events(panel: Panel, recent: Recent) -> Panel:
    """The panel that knows which channels' touches follow purchases, with a note for each."""
    follow = [reading for reading in reactions(recent, panel.channels) if reading.follows]
    notes = tuple(
        f"{reading.channel} follows purchases: in the two weeks before a touch customers bought "
        f"{reading.ratio:.2f} times as often as in the four before; their effect is told from later periods"
        for reading in follow
        if not panel.contractual
    )
    reacts = [reading.channel for reading in follow]
    sent = [reading for reading in recency(panel) if reading.follows and reading.channel not in reacts]
    if not panel.contractual:
        reacts += [reading.channel for reading in sent]
        notes += tuple(f"{reading.words}; their effect is told from later periods" for reading in sent)
    return replace(panel, reacts=tuple(reacts), notes=(*panel.notes, *notes))


def _days(at: pl.Series, end: datetime) -> Integer:
    """Whole days before the end of the observation, at least 0."""
    seconds = (pl.Series([end]).cast(pl.Datetime("us")) - at).dt.total_seconds()
    return np.asarray((seconds // 86_400).clip(0).cast(pl.Int64).to_numpy())
