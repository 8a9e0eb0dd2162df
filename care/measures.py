"""How each service figure is computed from some matters of a desk: one function a figure.

A function returns a `Measure`; where the figure cannot be said its value is None and the reason stands
beside it, never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from care.intervals import Interval, mean_interval, net_score, share_interval, z_of
from care.settings import Promise
from care.view import Clock, View
from care.waits import count_waits, kaplan_meier, quantile_of

__all__ = ["Measure", "Measured", "kept_of"]

Float = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A figure with its interval, what it rests on, and what is to be known about it."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    coverage: float | None = None
    as_tool: float | None = None
    reason: str | None = None


Measured = Callable[[View, Clock], Measure]
"""A figure's function; the clock matters only to figures that measure time."""


def _of(found: Interval, *, of: int | None = None, **more: object) -> Measure:
    coverage = None if not of else found.n / of
    reason = None if found.value is not None else "no case to count"
    made = Measure(
        value=found.value, low=found.low, high=found.high, n=found.n, coverage=coverage, reason=reason
    )
    return replace(made, **more)  # type: ignore[arg-type]


def _absent(reason: str) -> Measure:
    return Measure(value=None, reason=reason)


def _minutes(found: Interval) -> Interval:
    def scaled(value: float | None) -> float | None:
        return None if value is None else value / 60.0

    return Interval(value=scaled(found.value), low=scaled(found.low), high=scaled(found.high), n=found.n)


def _where(mask: Flags, values: Float | Flags) -> Float:
    """Values where a condition holds, NaN elsewhere."""
    return np.where(mask, values.astype(float), np.nan)


# ---- service ---------------------------------------------------------------------------------------------


def listened(view: View, clock: Clock) -> Measure:
    """All matters."""
    n = int(view.chosen.sum())
    return Measure(value=float(n), n=n, coverage=1.0)


def applicable(view: View, clock: Clock) -> Measure:
    """Matters that need a reply."""
    return Measure(value=float(view.applicable), n=view.applicable, coverage=1.0)


def noise_rate(view: View, clock: Clock) -> Measure:
    """Share of matters that need none."""
    return _of(share_interval(1.0 - view["needs_reply"], view["customer"]), of=len(view.needs))


def match_rate(view: View, clock: Clock) -> Measure:
    """Share of matters whose author is a known customer."""
    return _of(
        share_interval(view["known_customer"].astype(float), view["customer"]), of=int(view.chosen.sum())
    )


def _old_enough(view: View) -> Flags:
    return view.needs & (view["age_seconds"] >= view.settings.horizon_days * 86_400)


def response_rate(view: View, clock: Clock) -> Measure:
    """Share answered by a human, of those older than the horizon."""
    return _of(
        share_interval(_where(_old_enough(view), view["answered"]), view["customer"]), of=view.applicable
    )


def ignored_rate(view: View, clock: Clock) -> Measure:
    """Share not answered by a human, of those older than the horizon."""
    return _of(
        share_interval(_where(_old_enough(view), 1.0 - view["answered"]), view["customer"]),
        of=view.applicable,
    )


def _wait_quantile(
    view: View, waits: tuple[Float, Flags, Flags], share: float, tool: Float | None
) -> Measure:
    seconds, ended, known = waits
    if not known.any():
        return _absent("no wait of known length")
    curve = kaplan_meier(count_waits(pl.Series(seconds[known]), pl.Series(ended[known])))
    found = _minutes(quantile_of(curve, share))
    answered = int(ended[known].sum())
    reason = None
    if found.value is None:
        reason = (
            f"{answered / int(known.sum()):.0%} answered by the end, so the {share:.0%} point is not reached"
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
    return _where(view.needs, view["tool_business_seconds" if clock == "business" else "tool_seconds"])


def first_response(share: float) -> Measured:
    """Quantile of the wait for the first human reply, open cases censored."""
    return lambda view, clock: _wait_quantile(view, view.first_wait(clock), share, _tool(view, clock))


def next_response(share: float) -> Measured:
    """Quantile of the waits for the replies after the first, open ones censored."""

    def measure(view: View, clock: Clock) -> Measure:
        waits = view.waits
        seconds = waits["business_seconds" if clock == "business" else "seconds"]
        known = ~np.isnan(seconds)
        found = _wait_quantile(view, (seconds, waits["ended"], known), share, None)
        return replace(found, coverage=float(known.mean()) if known.size else None)

    return measure


def resolution(share: float) -> Measured:
    """Quantile of the time from opening to resolution, unresolved cases censored."""

    def measure(view: View, clock: Clock) -> Measure:
        seconds, ended, known = view.resolution(clock)
        return _wait_quantile(view, (seconds, ended, known), share, _where(ended & known, seconds))

    return measure


def kept_of(view: View, promise: Promise, clock: Clock) -> Float:
    """1 where a promise was kept, 0 where it was broken, NaN while it runs or where the time is not known.

    For next replies one entry per wait, else one per matter.
    """
    limit = promise.within_minutes * 60.0
    if promise.kpi == "next_response":
        seconds = view.waits["business_seconds" if clock == "business" else "seconds"]
        ended, known = view.waits["ended"], ~np.isnan(seconds)
    else:
        seconds, ended, known = (
            view.first_wait(clock) if promise.kpi == "first_response" else view.resolution(clock)
        )
    kept = np.where(ended, (seconds <= limit).astype(float), np.where(seconds > limit, 0.0, np.nan))
    return _where(known, kept)


def promised(view: View) -> Promise | None:
    """The promise that the headline service level is about: the first one on the first reply."""
    return next((p for p in view.settings.promises if p.kpi == "first_response"), None)


def service_level(view: View, clock: Clock) -> Measure:
    """Share of cases whose promise was kept, of those kept or broken."""
    promise = promised(view)
    if promise is None:
        return _absent("no promise on the first reply is set; add [[care.promises]]")
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
    return _of(
        share_interval(_where(view.needs, view["has_abandoned_at"]), view["customer"]), of=view.applicable
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
    return _of(
        mean_interval(_where(view.needs, view["handling_seconds"] / 60.0), view["customer"]),
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
        return _absent(_HOURS)
    n = int((view.needs & (view["resolved"] == 1.0)).sum())
    return Measure(value=n / hours, n=n, coverage=1.0)


def occupancy(view: View, clock: Clock) -> Measure:
    """Time of work on matters over paid time."""
    hours = _paid_hours(view)
    if hours is None:
        return _absent(_HOURS)
    worked = view["handling_seconds"]
    known = ~np.isnan(worked)
    return Measure(
        value=float(worked[known].sum()) / 3600.0 / hours, n=int(known.sum()), coverage=float(known.mean())
    )


def proactive_share(view: View, clock: Clock) -> Measure:
    """Share of care contacts that the company began."""
    n, began = view.desk.care_touches, view.desk.proactive_touches
    if view.cut:
        return _absent("counted over all care touchpoints only")
    if not n or began is None:
        return _absent("needs touchpoints.proactive")
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
            return _absent("nobody with known followers waits")
        return Measure(
            value=_REACH[which](known), n=int(known.size), coverage=known.size / int(waiting.sum())
        )

    return measure


# ---- quality ---------------------------------------------------------------------------------------------


def first_contact_resolution(view: View, clock: Clock) -> Measure:
    """Share resolved in one turn of the customer, without a further contact about it."""
    once = np.where(np.isnan(view["turns"]), view["contacts"], view["turns"])
    closed = view.needs & (view["from_desk"] == 1.0) & (view["window_closed"] == 1.0) & ~np.isnan(once)
    resolved = view["resolved"] == 1.0
    hit = resolved & (once <= 1) & (view["returned"] == 0.0) & (view["reopened"] != 1.0)
    found = share_interval(_where(closed, hit), view["customer"])
    seen = resolved & ~np.isnan(once) & view.needs
    tool = float((once[seen] <= 1).mean()) if seen.any() else None
    reason = None if found.n else "no window of repeat_days is over"
    return _of(found, of=view.applicable, as_tool=tool, reason=reason)


def repeat_rate(view: View, clock: Clock) -> Measure:
    """Share that follows another matter of the same customer within the repeat days."""
    return _of(
        share_interval(_where(view.needs, view["has_repeat_of"]), view["customer"]), of=view.applicable
    )


def reopen_rate(view: View, clock: Clock) -> Measure:
    """Share of resolved matters that were opened again."""
    resolved = view.needs & (view["resolved"] == 1.0)
    return _of(
        share_interval(_where(resolved, view["reopened"] == 1.0), view["customer"]), of=int(resolved.sum())
    )


def escalation_rate(view: View, clock: Clock) -> Measure:
    """Share passed on to a higher level."""
    return _of(share_interval(_where(view.needs, view["escalated"]), view["customer"]), of=view.applicable)


def misroute_rate(view: View, clock: Clock) -> Measure:
    """Share whose first team is not the one that handled it."""
    return _of(share_interval(_where(view.needs, view["misrouted"]), view["customer"]), of=view.applicable)


def handovers(view: View, clock: Clock) -> Measure:
    """Mean number of times that a matter changed hands."""
    hands = np.maximum(view["stations"] - 1.0, 0.0)
    handled = view.needs & (view["answered"] == 1.0)
    return _of(mean_interval(_where(handled, hands), view["customer"]), of=int(handled.sum()))


def _handled(view: View) -> Flags:
    return np.asarray(view.needs & (view["answered"] == 1.0))


def redirection_rate(view: View, clock: Clock) -> Measure:
    """Share of handled matters in which a human asked the customer to move."""
    handled = _handled(view)
    return _of(
        share_interval(_where(handled, view["has_redirected_at"]), view["customer"]), of=int(handled.sum())
    )


def redirection_completion(view: View, clock: Clock) -> Measure:
    """Share of redirected customers who came where they were sent."""
    sent = _handled(view) & view["has_redirected_at"]
    return _of(share_interval(_where(sent, view["has_joined_at"]), view["customer"]), of=int(sent.sum()))


def redirection_minutes(view: View, clock: Clock) -> Measure:
    """Median time from being sent to coming."""
    sent = _handled(view) & view["has_redirected_at"]
    minutes = view["redirection_minutes"][sent]
    came = minutes[~np.isnan(minutes)]
    if not came.size:
        return _absent("nobody came where they were sent")
    return Measure(value=float(np.median(came)), n=int(came.size), coverage=came.size / int(sent.sum()))


def redirection_csat_gap(view: View, clock: Clock) -> Measure:
    """Share satisfied among the redirected less that among the others who were handled."""
    satisfied = _satisfied(view, 4)
    handled, sent = _handled(view), view["has_redirected_at"]
    there = share_interval(_where(handled & sent, satisfied), view["customer"])
    here = share_interval(_where(handled & ~sent, satisfied), view["customer"])
    if there.value is None or here.value is None or there.low is None or here.low is None:
        return _absent("needs satisfaction of redirected customers and of others")
    assert there.high is not None
    assert here.high is not None
    gap = there.value - here.value
    # Newcombe (1998), method 10: Wilson's ends of both shares, put together.
    below = np.hypot(there.value - there.low, here.high - here.value)
    above = np.hypot(there.high - there.value, here.value - here.low)
    rated = int((handled & ~np.isnan(satisfied)).sum())
    return Measure(
        value=gap, low=gap - float(below), high=gap + float(above), n=rated,
        coverage=rated / int(handled.sum()),
    )  # fmt: skip


def containment(view: View, clock: Clock) -> Measure:
    """Share of handled matters that stayed in the channel in which they began."""
    handled = _handled(view)
    moved = view["has_redirected_at"] | (view["channel_changes"] > 0)
    return _of(share_interval(_where(handled, ~moved), view["customer"]), of=int(handled.sum()))


def sentiment_shift(view: View, clock: Clock) -> Measure:
    """Mean tone of the last message less that of the first."""
    shift = view["sentiment_last"] - view["sentiment_first"]
    return _of(mean_interval(_where(view.needs, shift), view["customer"]), of=view.applicable)


def sentiment_better(view: View, clock: Clock) -> Measure:
    """Share whose last message is friendlier than the first."""
    shift = view["sentiment_last"] - view["sentiment_first"]
    better = np.where(np.isnan(shift), np.nan, shift > 0)
    return _of(share_interval(_where(view.needs, better), view["customer"]), of=view.applicable)


def _satisfied(view: View, least: int) -> Float:
    return np.where(np.isnan(view["csat"]), np.nan, view["csat"] >= least)


def csat(least: int) -> Measured:
    """Share of given scores that are `least` or more."""
    return lambda view, clock: _of(
        share_interval(_where(view.needs, _satisfied(view, least)), view["customer"]), of=view.applicable
    )


def nps(view: View, clock: Clock) -> Measure:
    """Share of promoters (9, 10) less that of detractors (0 to 6)."""
    scores = view["nps"][view.needs]
    given = scores[~np.isnan(scores)]
    if not given.size:
        return _absent("no case to count")
    n = int(given.size)
    value, error = net_score(int((given >= 9).sum()), int((given <= 6).sum()), n)
    half = z_of(0.95) * error
    return Measure(
        value=value, low=max(-1.0, value - half), high=min(1.0, value + half), n=n,
        coverage=n / view.applicable,
    )  # fmt: skip


def ces(view: View, clock: Clock) -> Measure:
    """Mean effort score."""
    return _of(mean_interval(_where(view.needs, view["ces"]), view["customer"]), of=view.applicable)


def effort(view: View, clock: Clock) -> Measure:
    """Mean of turns, channel changes and repeats of a matter."""
    turns = np.where(np.isnan(view["turns"]), view["contacts"], view["turns"])
    work = turns + view["channel_changes"] + view["has_repeat_of"]
    return _of(mean_interval(_where(view.needs, work), view["customer"]), of=view.applicable)


# ---- effectiveness ---------------------------------------------------------------------------------------


_PER: Final[dict[str, Callable[[View], Float]]] = {
    "contact": lambda view: np.where(
        np.isnan(view["contacts"]), np.fmax(view["turns"], 1.0), view["contacts"]
    ),
    "answered": lambda view: (view.needs & (view["answered"] == 1.0)).astype(float),
    "resolved": lambda view: (view.needs & (view["resolved"] == 1.0)).astype(float),
}


def cost_per(what: str) -> Measured:
    """Costs of the channels over what they did, for channels whose cost is known."""

    def measure(view: View, clock: Clock) -> Measure:
        costs = view.desk.costs
        if costs is None:
            return _absent("no costs were given")
        if set(view.cut) - {"channel", "week", "month"}:
            return _absent("costs are known by channel only")
        first, last = view.days()
        spent = (
            costs.filter(pl.col("day").is_between(first, last)).group_by("channel").agg(pl.col("cost").sum())
        )
        channels = view.desk.frame["channel"]
        if what == "resolved":  # channels whose cases the desk can close
            closing = set(channels.filter(view.desk.frame["from_desk"].fill_null(False)).to_list())
            spent = spent.filter(pl.col("channel").is_in(list(closing)))
        priced = channels.is_in(spent["channel"].implode()).to_numpy()[view.chosen]
        if not priced.any():
            return _absent("no cost of these channels is known")
        used = set(channels.filter(pl.Series(view.chosen)).to_list())
        cost = float(spent.filter(pl.col("channel").is_in(list(used)))["cost"].sum())
        count = float(_PER[what](view)[priced].sum())
        if not count:
            return _absent(f"nothing to divide by: no {what} case")
        left = "" if priced.all() else "channels without a known cost are left out"
        if left and what == "resolved":
            left = "channels without a known cost, or whose cases nobody closes, are left out"
        return Measure(value=cost / count, n=int(count), coverage=float(priced.mean()), reason=left or None)

    return measure


def value_weighted_service_level(view: View, clock: Clock) -> Measure:
    """The service level with every case weighted by its customer's lifetime value."""
    promise = promised(view)
    if promise is None:
        return _absent("no promise on the first reply is set; add [[care.promises]]")
    part = view.covered(promise)
    kept, value = kept_of(part, promise, clock), part["value"]
    if np.isnan(value).all():
        return _absent("no customer has a lifetime value")
    decided, worth = ~np.isnan(kept), np.clip(value, 0.0, None)
    usable = decided & ~np.isnan(value)
    found = share_interval(np.where(usable, kept, np.nan), part["customer"], weights=np.nan_to_num(worth))
    without = int((decided & ~usable).sum())
    reason = f"{without:,} cases of customers without a value are left out" if without else None
    plain = share_interval(np.where(usable, kept, np.nan), part["customer"])
    made = _of(found, of=int(decided.sum()), as_tool=plain.value)
    return replace(made, reason=made.reason or reason)


def service_to_sales(view: View, clock: Clock) -> Measure:
    """Share of known customers' matters followed by a purchase within the sales days."""
    if view.desk.purchases is None:
        return _absent("no transactions were given")
    return _of(
        share_interval(_where(view.needs, view["bought"]), view["customer"]),
        of=view.applicable,
        **({"reason": "descriptive: who asks is already a customer"} if (view["bought"] >= 0).any() else {}),
    )
