"""The table of service figures: every figure of the catalogue for all, by cut and by period."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from care.catalogue import CATALOGUE, Kpi
from care.intervals import LEVEL
from care.measures.base import Measure, promised
from care.rows import care_frame, care_row
from care.view import Clock, Desk, View
from care.waits import kaplan_meier, share_by
from histories.cuts import ALL

SEGMENTS: Final = ("brand", "product", "topic", "agent")
CURVE_MINUTES: Final = (0, 5, 10, 15, 30, 60, 120, 240, 480, 960, 1440, 2880, 4320, 10080)


def care_figures(desk: Desk) -> pl.DataFrame:
    """All figures of a desk in `CARE_SCHEMA`, those that cannot be said with their reason."""
    columns = desk.columns | ({"hours"} if desk.hours is not None else set())
    rows = [
        row_of(kpi, measure, view.cut, clock=clock, desk=desk)
        for view in _views(desk)
        for kpi in CATALOGUE
        if _is_made(kpi, view)
        for clock, measure in _measured(kpi, view, columns)
    ]
    return care_frame([*rows, *waiting_curve(desk)])


def _is_made(kpi: Kpi, view: View) -> bool:
    if "hour" in view.cut:
        return kpi.hourly
    return kpi.dated or not {"week", "month"} & set(view.cut)


def _views(desk: Desk) -> Iterator[View]:
    """All matters; then by channel, team and segment; then by week and month, the channels' months too."""
    yield desk.view()
    for name in ("channel", "team", *SEGMENTS, "hour", "month", "week"):
        yield from _cuts(desk, name)
    months = list(_cuts(desk, "month"))
    for channel in _cuts(desk, "channel"):
        for month in months:
            both = channel.chosen & month.chosen
            if both.any():
                yield View(desk=desk, chosen=both, cut={**channel.cut, **month.cut})


def _cuts(desk: Desk, name: str) -> Iterator[View]:
    words, places = desk.coded(name)
    for place, word in enumerate(words):
        yield desk.view(places == place, **{name: word})


def _measured(kpi: Kpi, view: View, columns: frozenset[str]) -> Iterator[tuple[Clock | None, Measure]]:
    """The figure on each clock that it has."""
    clocks: tuple[Clock, ...] = ("calendar", "business") if kpi.timed else ("calendar",)
    missing = kpi.missing(columns)
    for clock in clocks:
        shown = clock if kpi.timed else None
        if missing:
            named = " and ".join(need.replace("|", " or ") for need in missing)
            yield shown, Measure(value=None, reason=f"needs {named}, which no table gives")
        elif clock == "business" and view.settings.hours is None and not _has_business(view):
            if not view.cut:
                yield shown, Measure(value=None, reason="[care.hours] does not say when the desk is open")
        else:
            yield shown, kpi.measure(view, clock)


def _has_business(view: View) -> bool:
    """Whether the desk itself gives times on the business clock."""
    return bool((~np.isnan(view["first_business_seconds"])).any())


def row_of(kpi: Kpi, measure: Measure, cut: Any, *, clock: str | None, desk: Desk) -> dict[str, Any]:
    """One row of the table."""
    reason = measure.reason
    if measure.value is not None and 0 < measure.n < kpi.smallest_n:
        counted = "1 case" if measure.n == 1 else f"{measure.n} cases"
        few = f"rests on {counted} only ({kpi.smallest_n} or more to rely on)"
        reason = f"{reason}; {few}" if reason else few
    promise = promised(desk.view()) if kpi.name == "service_level" else None
    meant = promise is not None and promise.clock == clock
    return {
        **_placed(cut),
        "kpi": kpi.name,
        "group": kpi.group,
        "clock": clock,
        "value": measure.value,
        "low": measure.low,
        "high": measure.high,
        "interval_level": LEVEL if measure.low is not None or measure.high is not None else None,
        "n": measure.n,
        "coverage": measure.coverage,
        "unit": kpi.unit,
        "direction": kpi.direction,
        "target": promise.share if promise is not None and meant else None,
        "attained": measure.value >= promise.share
        if promise is not None and meant and measure.value is not None
        else None,
        "as_tool": measure.as_tool,
        "reason": reason,
    }


def _placed(cut: Any) -> dict[str, str]:
    """Channel, team, segment and period of a cut."""
    segment = next((f"{name}: {cut[name]}" for name in (*SEGMENTS, "hour") if name in cut), ALL)
    period = cut.get("week") or cut.get("month") or ALL
    return {
        "channel": cut.get("channel", ALL),
        "team": cut.get("team", ALL),
        "segment": segment,
        "period": period,
    }


def waiting_curve(desk: Desk) -> list[dict[str, Any]]:
    """Share still waiting for a human after so many minutes, with the open cases; `as_tool` without them."""
    view, rows = desk.view(), []
    clocks: tuple[Clock, ...] = ("calendar", "business") if desk.settings.hours else ("calendar",)
    for clock in clocks:
        seconds, ended, known = view.first_wait(clock)
        if not known.any():
            continue
        curve = kaplan_meier(seconds[known], ended[known])
        tool = kaplan_meier(seconds[known & ended], ended[known & ended])
        longest = float(seconds[known].max())
        for minutes in CURVE_MINUTES:
            if minutes * 60 > longest:
                break
            last = np.searchsorted(curve.seconds, minutes * 60, side="right") - 1
            low, high = (float(curve.low[last]), float(curve.high[last])) if last >= 0 else (1.0, 1.0)
            rows.append(
                care_row(
                    "waiting_curve", "service", segment=f"waiting: {minutes}", clock=clock,
                    value=1.0 - share_by(curve, minutes * 60), low=low, high=high, interval_level=LEVEL,
                    n=int(known.sum()), coverage=int(known.sum()) / view.applicable, unit="share",
                    direction="down",
                    as_tool=1.0 - share_by(tool, minutes * 60) if tool.seconds.size else None,
                )
            )  # fmt: skip
    return rows
