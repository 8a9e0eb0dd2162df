"""How each service figure is computed from some matters of a desk: one function a figure.

A function returns a `Measure`; where the figure cannot be said its value is None and the reason stands
beside it, never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from care.intervals import Interval
from care.settings import Promise
from care.view import Clock, View
from histories.arrays import Flags, Float


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


def measure_of(found: Interval, *, of: int | None = None, **more: object) -> Measure:
    """A figure from its interval; `of` is the number of matters that it could rest on."""
    coverage = None if not of else found.n / of
    reason = None if found.value is not None else "no case to count"
    made = Measure(
        value=found.value, low=found.low, high=found.high, n=found.n, coverage=coverage, reason=reason
    )
    return replace(made, **more)  # type: ignore[arg-type]


def absent(reason: str) -> Measure:
    """A figure that cannot be said, and why."""
    return Measure(value=None, reason=reason)


def in_minutes(found: Interval) -> Interval:
    """An interval of seconds in minutes."""

    def scaled(value: float | None) -> float | None:
        return None if value is None else value / 60.0

    return Interval(value=scaled(found.value), low=scaled(found.low), high=scaled(found.high), n=found.n)


def where(mask: Flags, values: Float | Flags) -> Float:
    """Values where a condition holds, NaN elsewhere."""
    return np.where(mask, values.astype(float), np.nan)


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
    return where(known, kept)


def promised(view: View) -> Promise | None:
    """The promise that the headline service level is about: the first one on the first reply."""
    return next((p for p in view.settings.promises if p.kpi == "first_response"), None)
