"""Was the promise kept: each day, each week, and whether a week is more than chance.

Limits of a week come from the weeks before it, at most 26, of at least eight; see `care.charts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from care.charts import control_limits, signals
from care.intervals import Interval, share_interval
from care.measures.base import kept_of
from care.rows import care_frame, care_row
from care.settings import Promise
from care.view import Desk
from histories.cuts import ALL

WEEKS_BEFORE: Final = 26
FEWEST_WEEKS: Final = 8


def promise_figures(desk: Desk) -> pl.DataFrame:
    """Rows of `CARE_SCHEMA` for every promise.

    `promise`: share kept, in all and by day and week, with target and `attained`. `promise_streak`: days
    (weeks) in a row won, negative when lost, up to the last. `promise_limits`: by week the mean of the
    weeks before and the ends within which it moves by chance, with the signal as `reason`.
    """
    return care_frame(row for promise in desk.settings.promises for row in _rows(desk, promise))


def _rows(desk: Desk, promise: Promise) -> Iterator[dict[str, Any]]:
    if promise.clock == "business" and desk.settings.hours is None:
        yield _row(promise, "promise", reason="[care.hours] does not say when the desk is open")
        return
    view = desk.view().covered(promise)
    kept = kept_of(view, promise, promise.clock)
    rows = view.waits["row"] if promise.kpi == "next_response" else np.flatnonzero(view.chosen)
    asking = desk.arrays["needs_reply"][rows] == 1.0
    kept, rows = kept[asking], rows[asking]
    places = desk.rows("day", "week")[rows]
    customers = desk.arrays["customer"][rows]
    made = (
        pl.DataFrame({"kept": kept, "customer": customers}).hstack(places).filter(pl.col("kept").is_not_nan())
    )
    running = len(kept) - made.height
    note = f"not counted: {running:,} still inside the promise or of unknown time" if running else None
    found = share_interval(made["kept"].to_numpy(), made["customer"].to_numpy())
    yield _row(
        promise, "promise", found, attained=_won(found.value, promise),
        coverage=made.height / len(kept) if len(kept) else None,
        reason=note if found.n else "no case whose promise was kept or has run out",
    )  # fmt: skip
    for name in ("day", "week"):
        shares = made.group_by(name).agg(pl.col("kept").mean(), pl.len()).sort(name)
        won = [_won(share, promise) for share in shares["kept"]]
        for period, part in made.sort(name).group_by(name, maintain_order=True):
            one = share_interval(part["kept"].to_numpy(), part["customer"].to_numpy())
            won_it = _won(one.value, promise)
            yield _row(promise, "promise", one, period=str(period[0]), attained=won_it)
        if won:
            yield _row(
                promise, "promise_streak", value=float(_streak(won)), n=len(won), unit=f"{name}s",
                target=None, attained=won[-1], segment=f"promise: {promise.name}, by {name}",
            )  # fmt: skip
        if name == "week":
            yield from _limits(promise, shares)


def _won(share: float | None, promise: Promise) -> bool | None:
    return None if share is None else share >= promise.share - 1e-12


def _streak(won: list[bool | None]) -> int:
    """Length of the last run of equal outcomes; negative when lost.

    >>> _streak([True, False, True, True]), _streak([True, False])
    (2, -1)
    """
    run = 0
    for outcome in reversed(won):
        if outcome is not won[-1]:
            break
        run += 1
    return run if won[-1] else -run


def _limits(promise: Promise, shares: pl.DataFrame) -> Iterator[dict[str, Any]]:
    values = shares["kept"].to_list()
    for place in range(FEWEST_WEEKS, len(values)):
        before = values[max(0, place - WEEKS_BEFORE) : place]
        limits = control_limits(before)
        signal = signals([*before, values[place]], limits)[-1]
        yield _row(
            promise, "promise_limits", period=shares["week"][place], value=limits.mean, low=limits.low,
            high=limits.high, n=len(before), reason=signal and f"a signal: {signal} of the limits"
            if signal == "outside" else signal and f"a signal: {signal} of the mean",
        )  # fmt: skip


def _row(promise: Promise, kpi: str, found: Interval | None = None, **said: Any) -> dict[str, Any]:
    about = {"channel": promise.channel or ALL, "segment": f"promise: {promise.name}", "clock": promise.clock}
    meant = {"unit": "share", "direction": "up", "target": promise.share}
    return care_row(kpi, "service", found, **about | meant | said)
