"""What a desk should be told unasked: more messages than chance brings, critics who wait, a decline.

Volume: the count of an hour against what the same hour of the week brought in the eight weeks before. With a
gamma prior of shape 1/2 and rate 0 the next count is negative binomial (Gelman et al. 2013, section 2.6); an
alert is a count above its 99.9 % point. A z-score would alert for small counts: after 10 12 9 11 10 13 8 11 a
count of 18 has a robust z of 5.1, and so many come by chance one time in thirty.

There is at most one alert of a cause and day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
import scipy
from numpy.typing import NDArray

from care.arrivals import PRIOR_SHAPE
from care.charts import control_limits, signals
from care.measures.base import promised
from care.stake import ANGRY
from care.tables import ALERTS_SCHEMA
from care.view import Desk
from histories.cuts import ALL

RECENT_DAYS: Final = 28
"""Alerts of so many days before the end of observation are kept."""
CHANCE: Final = 0.999
WEEKS: Final = 8
FEWEST_WEEKS: Final = 4
"""Weeks of the same hour that are looked back on, and how many there must be."""
HOURS: Final = 168
LOUD_SHARE: Final = 0.99
FEWEST_AUDIENCES: Final = 50
"""An audience is large in the top hundredth of so many known ones, or more."""
PLATEAU_WEEKS: Final = 8
LIMIT_WEEKS: Final = 26
WATCHED: Final = ("service_level", "response_rate", "csat", "first_contact_resolution", "sentiment_better")
"""Shares whose decline is told."""

Counts = NDArray[np.int64]


def volume_limit(counts: Sequence[int]) -> int:
    """Largest count of an hour that still comes by chance after these, of the weeks before.

    >>> volume_limit([10, 12, 9, 11, 10, 13, 8, 11])
    23
    """
    weeks = len(counts)
    return int(scipy.stats.nbinom.ppf(CHANCE, PRIOR_SHAPE + sum(counts), weeks / (weeks + 1.0)))


def alerts_table(desk: Desk, figures: pl.DataFrame) -> pl.DataFrame:
    """Alerts of the last 28 days in `ALERTS_SCHEMA`, the newest first.

    Parameters
    ----------
    desk
        The matters.
    figures
        Rows of `CARE_SCHEMA`, whose weeks are read.
    """
    rows = [*_volume(desk), *_critics(desk), *_declines(desk, figures)]
    table = pl.DataFrame(rows, schema=ALERTS_SCHEMA, orient="row")
    return table.sort("period", "kind", "cause", descending=[True, False, False])


def _last_day(desk: Desk) -> dt.date:
    end = pl.select(pl.lit(desk.journeys.end).dt.convert_time_zone(desk.zone)).item()
    return (end - dt.timedelta(microseconds=1)).date()  # type: ignore[no-any-return]


def _volume(desk: Desk) -> Iterator[dict[str, Any]]:
    """Hours with more matters than chance brings, of each channel; of all where no channel stands out."""
    opened = desk.rows("channel", "opened_at").select(
        "channel", pl.col("opened_at").dt.convert_time_zone(desk.zone).dt.replace_time_zone(None).alias("at")
    )
    last = _last_day(desk)
    told: set[str] = set()
    channels = opened["channel"].unique().sort().to_list()
    for channel in channels:
        for row in _floods(opened.filter(channel=channel)["at"], channel, last):
            told.add(row["period"])
            yield row
    if len(channels) > 1:
        yield from (row for row in _floods(opened["at"], ALL, last) if row["period"] not in told)


def _floods(at: pl.Series, channel: str, last: dt.date) -> Iterator[dict[str, Any]]:
    """The worst hour of each recent day on which some hour was above its limit."""
    first = at.dt.date().min()
    if not isinstance(first, dt.date):
        return
    monday = first - dt.timedelta(days=first.weekday())
    slots = (at.dt.truncate("1h") - dt.datetime.combine(monday, dt.time())).dt.total_hours().to_numpy()
    begun, over = first.weekday() * 24, ((last - monday).days + 1) * 24
    counts = np.bincount(slots[slots < over], minlength=over).astype(np.int64)
    found: dict[dt.date, list[tuple[float, int, Counts, int]]] = {}
    for slot in range(max(begun, over - 24 * RECENT_DAYS), over):
        before = counts[list(range(slot - HOURS, begun - 1, -HOURS))[:WEEKS]]
        if counts[slot] and len(before) >= FEWEST_WEEKS:
            limit = volume_limit(before.tolist())
            if counts[slot] > limit:
                day = monday + dt.timedelta(days=slot // 24)
                found.setdefault(day, []).append((counts[slot] / (limit + 1.0), slot, before, limit))
    for day, hours in found.items():
        _, slot, before, limit = max(hours, key=lambda hour: hour[0])
        more = f", and {len(hours) - 1} more hours of the day were above theirs" if len(hours) > 1 else ""
        where = "on all channels" if channel == ALL else f"on {channel}"
        yield _row(
            "volume", day, f"channel: {channel}", channel, value=counts[slot], expected=before.mean(),
            limit=limit, n=counts[slot],
            words=f"{counts[slot]:,} requests {where} in the hour from {slot % 24:02d}:00 of {day:%A}; that "
            f"hour brought {before.mean():.1f} on average in the {len(before)} weeks before, and more than "
            f"{limit:,} come by chance once in a thousand{more}",
        )  # fmt: skip


def _critics(desk: Desk) -> Iterator[dict[str, Any]]:
    """Customers with a large audience and a bad tone who wait for a human, by channel."""
    audiences = desk.column("audience").drop_nulls()
    if audiences.len() < FEWEST_AUDIENCES:
        return
    loud = float(audiences.quantile(LOUD_SHARE, "higher") or 0.0)
    day = _last_day(desk)
    waiting = desk.rows("channel", "waiting", "audience", "sentiment_last", "waiting_seconds").filter(
        pl.col("waiting").fill_null(False), pl.col("audience") >= loud, pl.col("sentiment_last") < ANGRY
    )
    by_channel = waiting.group_by("channel").agg(
        pl.len().alias("n"), pl.col("audience").max(), pl.col("waiting_seconds").max()
    )
    for row in by_channel.sort("channel").iter_rows(named=True):
        many = "critic waits" if row["n"] == 1 else "critics wait"
        yield _row(
            "critic", day, f"channel: {row['channel']}", row["channel"], value=row["audience"], limit=loud,
            n=row["n"],
            words=f"{row['n']:,} {many} on {row['channel']}, with up to {row['audience']:,} followers and "
            f"for up to {row['waiting_seconds'] / 3600:,.1f} hours; the top hundredth begins at {loud:,.0f}",
        )  # fmt: skip


def _declines(desk: Desk, figures: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Figures that left their limits on the bad side after eight weeks within them."""
    promise = promised(desk.view())
    clock = "calendar" if promise is None else promise.clock
    last = _last_day(desk)
    whole = figures.filter(
        pl.col("kpi").is_in(WATCHED), pl.col("period").str.contains(r"^\d{4}-W\d\d$"),
        pl.col("value").is_not_null(), pl.col("clock").is_null() | (pl.col("clock") == clock),
        channel=ALL, team=ALL, segment=ALL,
    ).with_columns(pl.format("{}-7", "period").str.to_date("%G-W%V-%u").alias("sunday"))  # fmt: skip
    weeks = whole.filter(pl.col("sunday") <= last).sort("kpi", "sunday")
    for (kpi,), part in weeks.group_by(["kpi"], maintain_order=True):
        rows = part.to_dicts()
        for place in range(PLATEAU_WEEKS, len(rows)):
            row = rows[place]
            if (last - row["sunday"]).days < RECENT_DAYS:
                yield from _decline(str(kpi), [r["value"] for r in rows[:place]], row)


def _decline(kpi: str, before: list[float], row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    before = before[-LIMIT_WEEKS:]
    limits = control_limits(before)
    calm = not any(signals(before, limits)[-PLATEAU_WEEKS:])
    signal = signals([*before, row["value"]], limits)[-1]
    worse = (row["value"] < limits.mean) == (row["direction"] == "up")
    if not (calm and signal and worse):
        return
    end = limits.low if row["direction"] == "up" else limits.high
    how = "beyond" if signal == "outside" else "the eighth week in a row on the bad side, within"
    yield _row(
        "decline", row["sunday"], f"kpi: {kpi}", ALL, value=row["value"], expected=limits.mean, limit=end,
        n=row["n"],
        words=f"{kpi.replace('_', ' ')} is {row['value']:.1%} in week {row['period']}, {how} the limits "
        f"{max(limits.low, 0.0):.1%} to {min(limits.high, 1.0):.1%} of the {len(before)} weeks before, whose "
        f"mean is {limits.mean:.1%}",
    )  # fmt: skip


def _row(kind: str, day: dt.date, cause: str, channel: str, *, words: str, **found: Any) -> dict[str, Any]:
    plain = {name: None if value is None else float(value) for name, value in found.items() if name != "n"}
    return dict.fromkeys(ALERTS_SCHEMA) | {
        "kind": kind, "period": day.isoformat(), "cause": cause, "channel": channel, "words": words,
        "n": int(found["n"]), **plain,
    }  # fmt: skip
