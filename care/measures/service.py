"""Figures of service: how many write, how long they wait, whether the promise was kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from care.intervals import mean_interval, share_interval
from care.measures.base import Measure, Measured, absent, in_minutes, kept_of, measure_of, promised, where
from care.view import Clock, View
from care.waits import kaplan_meier, quantile_of
from histories.arrays import Flags, Float


def listened(view: View, clock: Clock) -> Measure:
    """All matters."""
    n = int(view.chosen.sum())
    return Measure(value=float(n), n=n, coverage=1.0)


def applicable(view: View, clock: Clock) -> Measure:
    """Matters that need a reply."""
    return Measure(value=float(view.applicable), n=view.applicable, coverage=1.0)


def noise_rate(view: View, clock: Clock) -> Measure:
    """Share of matters that need none."""
    return measure_of(share_interval(1.0 - view["needs_reply"], view["customer"]), of=len(view.needs))


def match_rate(view: View, clock: Clock) -> Measure:
    """Share of matters whose author is a known customer."""
    return measure_of(
        share_interval(view["known_customer"].astype(float), view["customer"]), of=int(view.chosen.sum())
    )


def _old_enough(view: View) -> Flags:
    return view.needs & (view["age_seconds"] >= view.settings.horizon_days * 86_400)


def response_rate(view: View, clock: Clock) -> Measure:
    """Share answered by a human, of those older than the horizon."""
    return measure_of(
        share_interval(where(_old_enough(view), view["answered"]), view["customer"]), of=view.applicable
    )


def ignored_rate(view: View, clock: Clock) -> Measure:
    """Share not answered by a human, of those older than the horizon."""
    return measure_of(
        share_interval(where(_old_enough(view), 1.0 - view["answered"]), view["customer"]),
        of=view.applicable,
    )


def _wait_quantile(
    view: View,
    of: tuple[str, Clock],
    waits: tuple[Float, Flags, Flags],
    share: float,
    tool: Float | None,
) -> Measure:
    seconds, ended, known = waits
    if not known.any():
        return absent("no wait of known length")
    if of not in view.curves:
        view.curves[of] = kaplan_meier(seconds[known], ended[known])
    found = in_minutes(quantile_of(view.curves[of], share))
    answered = int(ended[known].sum())
    reason = None
    if found.value is None:
        done = "resolved" if of[0] == "resolution" else "answered"
        reason = (
            f"{answered / int(known.sum()):.0%} {done} by the end, so the {share:.0%} point is not reached"
        )
    as_tool = None
    if tool is not None and (quick := tool[~np.isnan(tool)]).size:
        as_tool = float(np.quantile(quick, share, method="inverted_cdf")) / 60.0
    return Measure(
        value=found.value, low=found.low, high=found.high, n=int(known.sum()),
        coverage=int(known.sum()) / view.applicable if view.applicable else None,
        as_tool=as_tool, reason=reason,
    )  # fmt: skip


def _tool(view: View, clock: Clock) -> Float:
    return where(view.needs, view["tool_business_seconds" if clock == "business" else "tool_seconds"])


def first_response(share: float) -> Measured:
    """Quantile of the wait for the first human reply, open cases censored."""
    return lambda view, clock: _wait_quantile(
        view, ("first", clock), view.first_wait(clock), share, _tool(view, clock)
    )


def next_response(share: float) -> Measured:
    """Quantile of the waits for the replies after the first, open ones censored."""

    def measure(view: View, clock: Clock) -> Measure:
        waits = view.waits
        seconds = waits["business_seconds" if clock == "business" else "seconds"]
        known = ~np.isnan(seconds)
        found = _wait_quantile(view, ("next", clock), (seconds, waits["ended"], known), share, None)
        return replace(found, coverage=float(known.mean()) if known.size else None)

    return measure


def resolution(share: float) -> Measured:
    """Quantile of the time from opening to resolution, unresolved cases censored."""

    def measure(view: View, clock: Clock) -> Measure:
        seconds, ended, known = view.resolution(clock)
        return _wait_quantile(
            view, ("resolution", clock), (seconds, ended, known), share, where(ended & known, seconds)
        )

    return measure


def service_level(view: View, clock: Clock) -> Measure:
    """Share of cases whose promise was kept, of those kept or broken."""
    promise = promised(view)
    if promise is None:
        return absent("no promise on the first reply is set; add [[care.promises]]")
    part = view.covered(promise)
    kept = kept_of(part, promise, clock)
    found = share_interval(kept, part["customer"])
    tool = _tool(part, clock)
    quick = tool[~np.isnan(tool)]
    _, _, known = part.first_wait(clock)
    running = int((known & np.isnan(kept)).sum())
    note = None
    if found.value is None:
        note = "no case whose promise was kept or has run out"
    elif running:
        note = f"{running:,} still inside the promise are not counted"
    return Measure(
        value=found.value, low=found.low, high=found.high, n=found.n,
        coverage=int(known.sum()) / part.applicable if part.applicable else None,
        as_tool=float((quick <= promise.within_minutes * 60).mean()) if quick.size else None,
        reason=note,
    )  # fmt: skip


def abandonment(view: View, clock: Clock) -> Measure:
    """Share that the customer is known to have left before it was resolved."""
    return measure_of(
        share_interval(where(view.needs, view["has_abandoned_at"]), view["customer"]), of=view.applicable
    )


def backlog(view: View, clock: Clock) -> Measure:
    """Customers who wait for a human at the end."""
    n = int((view["waiting"] == 1.0).sum())
    return Measure(value=float(n), n=view.applicable, coverage=1.0)


def oldest_waiting(view: View, clock: Clock) -> Measure:
    """Longest open wait."""
    waited = view["waiting_seconds"]
    waited = waited[~np.isnan(waited)]
    if not waited.size:
        return Measure(value=None, n=0, reason="nobody waits")
    return Measure(value=float(waited.max()) / 60.0, n=int(waited.size), coverage=1.0)


def handling_time(view: View, clock: Clock) -> Measure:
    """Mean time of work on a matter."""
    return measure_of(
        mean_interval(where(view.needs, view["handling_seconds"] / 60.0), view["customer"]),
        of=view.applicable,
    )


def _paid_hours(view: View) -> float | None:
    hours = view.desk.hours
    if hours is None or set(view.cut) - {"agent", "team"}:
        return None
    for name in ("agent", "team"):
        if name in view.cut:
            hours = hours.filter(pl.col(name) == view.cut[name]) if name in hours.columns else hours.clear()
    total = float(hours["hours"].sum())
    return total if total > 0 else None


_HOURS = "paid hours are known for all, by team and by agent only; give the table hours"


def resolutions_per_hour(view: View, clock: Clock) -> Measure:
    """Resolved matters per paid hour."""
    hours = _paid_hours(view)
    if hours is None:
        return absent(_HOURS)
    n = int((view.needs & (view["resolved"] == 1.0)).sum())
    return Measure(value=n / hours, n=n, coverage=1.0)


def occupancy(view: View, clock: Clock) -> Measure:
    """Time of work on matters over paid time."""
    hours = _paid_hours(view)
    if hours is None:
        return absent(_HOURS)
    worked = view["handling_seconds"]
    known = ~np.isnan(worked)
    return Measure(
        value=float(worked[known].sum()) / 3600.0 / hours, n=int(known.sum()), coverage=float(known.mean())
    )


def proactive_share(view: View, clock: Clock) -> Measure:
    """Share of care contacts that the company began."""
    n, began = view.desk.care_touches, view.desk.proactive_touches
    if view.cut:
        return absent("counted over all care touchpoints only")
    if not n or began is None:
        return absent("needs touchpoints.proactive")
    return Measure(value=began / n, n=n, coverage=1.0)


_REACH: Final[dict[str, Callable[[Float], float]]] = {
    "median": lambda reach: float(np.median(reach)),
    "sum": lambda reach: float(reach.sum()),
    "largest": lambda reach: float(np.sort(reach)[-10:].sum()),
}


def unanswered_audience(which: str) -> Measured:
    """Followers x hours of customers who wait at the end: median, sum, or that of the largest ten."""

    def measure(view: View, clock: Clock) -> Measure:
        waiting = view["waiting"] == 1.0
        reach = (view["audience"] * view["waiting_seconds"] / 3600.0)[waiting]
        known = reach[~np.isnan(reach)]
        if not known.size:
            return absent("nobody with known followers waits")
        return Measure(
            value=_REACH[which](known), n=int(known.size), coverage=known.size / int(waiting.sum())
        )

    return measure
