"""Figures of quality: settled at the first go, passed on, sent elsewhere, content."""

from __future__ import annotations

import numpy as np

from care.intervals import difference_interval, mean_interval, net_score, share_interval, z_of
from care.measures.base import Measure, Measured, absent, measure_of, where
from care.view import Clock, View
from histories.arrays import Flags, Float


def first_contact_resolution(view: View, clock: Clock) -> Measure:
    """Share resolved in one turn of the customer, without a further contact about it."""
    once = np.where(np.isnan(view["turns"]), view["contacts"], view["turns"])
    closed = view.needs & (view["from_desk"] == 1.0) & (view["window_closed"] == 1.0) & ~np.isnan(once)
    resolved = view["resolved"] == 1.0
    hit = resolved & (once <= 1) & (view["returned"] == 0.0) & (view["reopened"] != 1.0)
    found = share_interval(where(closed, hit), view["customer"])
    seen = resolved & ~np.isnan(once) & view.needs
    tool = float((once[seen] <= 1).mean()) if seen.any() else None
    reason = None if found.n else "no window of repeat_days is over"
    return measure_of(found, of=view.applicable, as_tool=tool, reason=reason)


def repeat_rate(view: View, clock: Clock) -> Measure:
    """Share that follows another matter of the same customer within the repeat days."""
    return measure_of(
        share_interval(where(view.needs, view["has_repeat_of"]), view["customer"]), of=view.applicable
    )


def reopen_rate(view: View, clock: Clock) -> Measure:
    """Share of resolved matters that were opened again."""
    resolved = view.needs & (view["resolved"] == 1.0)
    return measure_of(
        share_interval(where(resolved, view["reopened"] == 1.0), view["customer"]), of=int(resolved.sum())
    )


def escalation_rate(view: View, clock: Clock) -> Measure:
    """Share passed on to a higher level."""
    return measure_of(
        share_interval(where(view.needs, view["escalated"]), view["customer"]), of=view.applicable
    )


def misroute_rate(view: View, clock: Clock) -> Measure:
    """Share whose first team is not the one that handled it."""
    return measure_of(
        share_interval(where(view.needs, view["misrouted"]), view["customer"]), of=view.applicable
    )


def handovers(view: View, clock: Clock) -> Measure:
    """Mean number of times that a matter changed hands."""
    hands = np.maximum(view["stations"] - 1.0, 0.0)
    handled = view.needs & (view["answered"] == 1.0)
    return measure_of(mean_interval(where(handled, hands), view["customer"]), of=int(handled.sum()))


def _handled(view: View) -> Flags:
    return np.asarray(view.needs & (view["answered"] == 1.0))


def redirection_rate(view: View, clock: Clock) -> Measure:
    """Share of handled matters in which a human asked the customer to move."""
    handled = _handled(view)
    return measure_of(
        share_interval(where(handled, view["has_redirected_at"]), view["customer"]), of=int(handled.sum())
    )


def redirection_completion(view: View, clock: Clock) -> Measure:
    """Share of redirected customers who came where they were sent."""
    sent = _handled(view) & view["has_redirected_at"]
    return measure_of(
        share_interval(where(sent, view["has_joined_at"]), view["customer"]), of=int(sent.sum())
    )


def redirection_minutes(view: View, clock: Clock) -> Measure:
    """Median time from being sent to coming."""
    sent = _handled(view) & view["has_redirected_at"]
    minutes = view["redirection_minutes"][sent]
    came = minutes[~np.isnan(minutes)]
    if not came.size:
        return absent("nobody came where they were sent")
    return Measure(value=float(np.median(came)), n=int(came.size), coverage=came.size / int(sent.sum()))


def redirection_csat_gap(view: View, clock: Clock) -> Measure:
    """Share satisfied among the redirected less that among the others who were handled."""
    satisfied = _satisfied(view, 4)
    handled, sent = _handled(view), view["has_redirected_at"]
    there = share_interval(where(handled & sent, satisfied), view["customer"])
    here = share_interval(where(handled & ~sent, satisfied), view["customer"])
    gap = difference_interval(there, here)
    if gap.value is None:
        return absent("needs satisfaction of redirected customers and of others")
    rated = int((handled & ~np.isnan(satisfied)).sum())
    return Measure(
        value=gap.value, low=gap.low, high=gap.high, n=rated,
        coverage=rated / int(handled.sum()),
    )  # fmt: skip


def containment(view: View, clock: Clock) -> Measure:
    """Share of handled matters that stayed in the channel in which they began."""
    handled = _handled(view)
    moved = view["has_redirected_at"] | (view["channel_changes"] > 0)
    return measure_of(share_interval(where(handled, ~moved), view["customer"]), of=int(handled.sum()))


def sentiment_shift(view: View, clock: Clock) -> Measure:
    """Mean tone of the last message less that of the first."""
    shift = view["sentiment_last"] - view["sentiment_first"]
    return measure_of(mean_interval(where(view.needs, shift), view["customer"]), of=view.applicable)


def sentiment_better(view: View, clock: Clock) -> Measure:
    """Share whose last message is friendlier than the first."""
    shift = view["sentiment_last"] - view["sentiment_first"]
    better = np.where(np.isnan(shift), np.nan, shift > 0)
    return measure_of(share_interval(where(view.needs, better), view["customer"]), of=view.applicable)


def _satisfied(view: View, least: int) -> Float:
    return np.where(np.isnan(view["csat"]), np.nan, view["csat"] >= least)


def csat(least: int) -> Measured:
    """Share of given scores that are `least` or more."""
    return lambda view, clock: measure_of(
        share_interval(where(view.needs, _satisfied(view, least)), view["customer"]), of=view.applicable
    )


def nps(view: View, clock: Clock) -> Measure:
    """Share of promoters (9, 10) less that of detractors (0 to 6)."""
    scores = view["nps"][view.needs]
    given = scores[~np.isnan(scores)]
    if not given.size:
        return absent("no case to count")
    n = int(given.size)
    value, error = net_score(int((given >= 9).sum()), int((given <= 6).sum()), n)
    half = z_of(0.95) * error
    return Measure(
        value=value, low=max(-1.0, value - half), high=min(1.0, value + half), n=n,
        coverage=n / view.applicable,
    )  # fmt: skip


def ces(view: View, clock: Clock) -> Measure:
    """Mean effort score."""
    return measure_of(mean_interval(where(view.needs, view["ces"]), view["customer"]), of=view.applicable)


def effort(view: View, clock: Clock) -> Measure:
    """Mean of turns, channel changes and repeats of a matter."""
    turns = np.where(np.isnan(view["turns"]), view["contacts"], view["turns"])
    work = turns + view["channel_changes"] + view["has_repeat_of"]
    return measure_of(mean_interval(where(view.needs, work), view["customer"]), of=view.applicable)
