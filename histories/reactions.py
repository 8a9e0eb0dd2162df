"""Which channels' touches follow recent purchases? The order of events tells, touch by touch.

A question after an order, an offer to those who just bought, a catalogue for whoever has not bought for
three weeks: touches of a month then depend on its purchases, and to say that purchases follow the touches of
the month takes one for the other. For every touch, purchases of the customer in the 14 days before are held
against those in the 28 days before these, each relative to what all customers bought in the same days:

    ratio = (near / expected near) / (far / expected far)

1 where touches come whenever they come, whatever they do afterwards. A mail to win back who has not bought
for six weeks has none in either: where the six weeks before touches hold hardly any purchases, they are held
against the eight weeks before them. Where the firm advertises for a month to whoever did something the ratio
is near 1, too: what it sends is also read over four weeks against the four before, and over seven against
seven. Of customers' own acts these say nothing: who pauses neither acts nor buys. Where the firm sends to all
who bought within some months every ratio is 1; `histories.recency` tells that. What is counted after touches
is for `histories.on_the_way`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl

from histories.arrays import Flags, Float, Integer
from histories.compiled import compiled
from histories.panel import Panel
from histories.recency import recency

NEAR, FAR, LONG = timedelta(days=14), timedelta(days=42), timedelta(days=98)
BACK = (timedelta(0), timedelta(days=28), FAR, timedelta(days=49), timedelta(days=56), LONG)
"""Edges of the windows before touches of customers who were there long enough."""
SIX_WEEKS, FOUR_WEEKS, SEVEN_WEEKS = ("six weeks", "eight"), ("four weeks", "four"), ("seven weeks", "seven")
_WINDOWS = {SIX_WEEKS: (2, 5), FOUR_WEEKS: (1, 4), SEVEN_WEEKS: (3, 5)}
"""How many of these windows are near, and near or far."""
SOON, LATER = timedelta(days=3), timedelta(days=42)
"""Ends of the windows after a touch; the later one starts `NEAR` after it."""
FEWEST = 100.0
"""Purchases before touches, near and far together, below which nothing is said."""
SILENT = 0.3
"""Ratio of the six weeks below which touches wait for silence; .7 to 1.1 where they do not."""
MORE, LESS = 1.12, 0.8
"""Ratios beyond which touches follow purchases: .90 to 1.09 in simulated companies where they do not, because
some have left just before; 1.13 to 1.65 after orders, near 0 for whoever has not bought for weeks."""
CERTAIN = 3.0
MORE_SENT, CERTAIN_SENT = 1.05, 4.0
"""The same of what a firm sends, over four and seven weeks: up to 1.03, 2.5 errors above 1, in 31 simulated
companies where it comes whenever it comes; 1.08 to 1.6, 6 errors or more, where it follows activity."""
OVERDISPERSION = 1.5
"""By how much standard errors are wider than those of independent purchases."""
_MOMENTS = {
    "now": timedelta(0),
    "before": -NEAR,
    "long_before": -FAR,
    "soon": SOON,
    "after": NEAR,
    "later": LATER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """Counts that add up over customers. C channels, D days that end with the last one observed."""

    touches: Float
    """Touches by channel and day, shape (C, D)."""
    near: Float
    """Purchases in the `NEAR` before them, shape (C,)."""
    far: Float
    """Those before, back to `FAR`, shape (C,)."""
    soon: Float
    """Purchases in the `SOON` after them, shape (C,)."""
    later: Float
    """Purchases from `NEAR` to `LATER` after them, shape (C,)."""
    old_touches: Float
    """Touches of customers who came `LONG` before them or earlier, shape (C, D)."""
    back: Float
    """Purchases between the edges `BACK` before these, shape (C, 5)."""
    purchases: Float
    """Purchases of all customers by day, shape (D,)."""

    def __add__(self, other: Recent) -> Recent:
        days = max(self.touches.shape[1], other.touches.shape[1])
        first, second = self._of(days), other._of(days)
        names = [each.name for each in fields(self)]
        return Recent(**{name: getattr(first, name) + getattr(second, name) for name in names})

    def _of(self, days: int) -> Recent:
        before = days - self.touches.shape[1]
        return replace(
            self,
            touches=np.pad(self.touches, ((0, 0), (before, 0))),
            old_touches=np.pad(self.old_touches, ((0, 0), (before, 0))),
            purchases=np.pad(self.purchases, (before, 0)),
        )

    def expected(self, touches: Float, start: timedelta, end: timedelta) -> Float:
        """Purchases of all customers together from so long after each touch to so long after it, (C,)."""
        total = np.concatenate([[0.0], np.cumsum(self.purchases)])
        day = np.arange(len(self.purchases))
        first, last = (total[np.clip(day + back.days, 0, len(day))] for back in (start, end))
        return np.asarray(touches @ (last - first), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """How much more customers had bought just before a channel's touches than some weeks before them."""

    channel: str
    ratio: float
    """Above 1: touches come after purchases; below 1: when purchases stay away."""
    std_error: float
    """Of its log where it is 1."""
    weeks: tuple[str, str] = ("two weeks", "four")
    """What was compared."""
    sent: bool = False
    """Whether it is what a firm sends, over two windows of one length."""

    @property
    def follows(self) -> bool:
        """Whether touches follow purchases."""
        certain, more = (CERTAIN_SENT, MORE_SENT) if self.sent else (CERTAIN, MORE)
        margin = float(np.exp(certain * self.std_error))
        return self.ratio > max(more, margin) or self.ratio < min(LESS, 1.0 / margin)


def recent_purchases(
    touchpoints: pl.LazyFrame, purchases: pl.LazyFrame, *, channels: Sequence[str], observation_end: date
) -> Recent:
    """Count purchases before and after touches of some of the customers.

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
    bought = (
        purchases.filter(pl.col("customer_id").is_not_null())
        .select("customer_id", at=pl.col("timestamp").cast(pl.Datetime("us")))
        .sort("customer_id", "at")
        .collect()
    )
    place = bought.lazy().with_row_index("place").group_by("customer_id")
    own = place.agg(first=pl.col("at").min(), start=pl.col("place").min(), end=pl.col("place").max() + 1)
    known = (
        touchpoints.filter(pl.col("channel").is_in(list(channels)) & pl.col("customer_id").is_not_null())
        .select(
            "customer_id",
            pl.col("channel").cast(pl.String).cast(pl.Enum(channels)),
            at=pl.col("timestamp").cast(pl.Datetime("us")),
        )
        .join(own, on="customer_id")
        .filter(pl.col("first") < pl.col("at") - FAR)
        .collect()
    )
    after = [*_MOMENTS.values(), *(-back for back in BACK)]
    moments = np.array([moment // timedelta(microseconds=1) for moment in after], dtype=np.int64)
    touched, start, stop, times = (
        column.to_physical().cast(pl.Int64).to_numpy()
        for column in (known["at"], known["start"], known["end"], bought["at"])
    )
    counts = _count_before(touched, start, stop, times, moments).T
    before = dict(zip(_MOMENTS, counts, strict=False))
    again = bought.filter(pl.col("customer_id") == pl.col("customer_id").shift(1))
    of_touches, of_purchases = _days(known["at"], end), _days(again["at"], end)
    days = 1 + max(int(back.max(initial=0)) for back in (of_touches, of_purchases))
    channel = known["channel"].to_physical().cast(pl.Int64).to_numpy()
    all_, old = np.ones(known.height, dtype=bool), (known["first"] < known["at"] - LONG).to_numpy()

    def by_day(rows: Flags) -> Float:
        cell = (channel * days + days - 1 - of_touches)[rows]
        return np.bincount(cell, minlength=len(channels) * days).reshape(-1, days).astype(np.float64)

    def summed(purchases: Integer, rows: Flags) -> Float:
        found = np.bincount(channel[rows], weights=purchases[rows], minlength=len(channels))
        return found.astype(np.float64)

    def between(first: str, last: str) -> Float:
        return summed(before[last] - before[first], all_)

    return Recent(
        touches=by_day(all_),
        near=between("before", "now"),
        far=between("long_before", "before"),
        soon=between("now", "soon"),
        later=between("after", "later"),
        old_touches=by_day(old),
        back=np.stack([summed(window, old) for window in -np.diff(counts[-len(BACK) :], axis=0)], axis=1),
        purchases=np.bincount(days - 1 - of_purchases, minlength=days).astype(np.float64),
    )


@compiled
def _count_before(
    touched: Integer, start: Integer, stop: Integer, bought: Integer, moments: Integer
) -> Integer:
    """Purchases before moments around each touch, shape (R, M).

    Parameters
    ----------
    touched
        Times of R touches, microseconds.
    start, stop
        Where the purchases of each touch's customer lie in `bought`.
    bought
        Times of purchases, in order for each customer.
    moments
        M times after the touch; negative ones are before it.
    """
    found = np.empty((len(touched), len(moments)), dtype=np.int64)
    for i in range(len(touched)):
        for m in range(len(moments)):
            low, high = start[i], stop[i]
            while low < high:
                middle = (low + high) // 2
                if bought[middle] < touched[i] + moments[m]:
                    low = middle + 1
                else:
                    high = middle
            found[i, m] = low - start[i]
    return found


def reactions(recent: Recent, channels: Sequence[str], *, firm: Collection[str] = ()) -> tuple[Reaction, ...]:
    """One reading for each channel that the counts can say something of.

    `firm` names the channels in which the firm acts; by default none.
    """
    now = timedelta(0)
    near = recent.expected(recent.touches, -NEAR, now), recent.expected(recent.touches, -FAR, -NEAR)
    edges = zip(BACK[1:], BACK[:-1], strict=True)
    of_all = np.stack([recent.expected(recent.old_touches, -far, -close) for far, close in edges], axis=1)

    def over(channel: int, weeks: tuple[str, str]) -> Reaction | None:
        near, both = _WINDOWS[weeks]
        seen, expected = (
            (counts[channel, :near].sum(), counts[channel, near:both].sum())
            for counts in (recent.back, of_all)
        )
        reading = _read(channels[channel], seen, expected)
        return None if reading is None else replace(reading, weeks=weeks, sent=weeks != SIX_WEEKS)

    found = []
    for k, channel in enumerate(channels):
        reading = _read(channel, (recent.near[k], recent.far[k]), (near[0][k], near[1][k]))
        six = over(k, SIX_WEEKS)
        if six is not None and six.ratio < SILENT and six.follows:
            reading = six
        if channel in firm and not (reading and reading.follows):
            longer = (over(k, FOUR_WEEKS), over(k, SEVEN_WEEKS))
            reading = next((each for each in longer if each is not None and each.follows), reading)
        if reading is not None:
            found.append(reading)
    return tuple(found)


def _read(channel: str, seen: tuple[float, float], of_all: tuple[float, float]) -> Reaction | None:
    """Purchases in a window and the one before it, beside those of all customers in the same days."""
    if sum(seen) < FEWEST or not all(of_all):
        return None
    expected = np.array(of_all) * sum(seen) / sum(of_all)
    return Reaction(
        channel=channel,
        ratio=float(seen[0] / of_all[0] * of_all[1] / max(seen[1], 0.5)),
        std_error=OVERDISPERSION * float(np.sqrt((1.0 / expected).sum())),
    )


def with_order_of_events(panel: Panel, recent: Recent) -> Panel:
    """The panel that knows which channels' touches follow purchases, with a note for each."""
    firm = [name for name, sends in zip(panel.channels, panel.by_firm, strict=True) if sends]
    follow = [reading for reading in reactions(recent, panel.channels, firm=firm) if reading.follows]
    notes = tuple(
        f"{reading.channel} follows purchases: in the {reading.weeks[0]} before a touch customers bought "
        f"{reading.ratio:.2f} times as often as in the {reading.weeks[1]} before; their effect is told from "
        "later periods"
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
