"""Service figures as the report tells them: by channel, as they are now, as they were, and their course."""

from __future__ import annotations

import calendar
import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from reports.context import Verdict
from reports.sources import ReportSources
from reports.words import label
from reports.words import months as months_of

NAMES: Final = {
    "response_rate": "Answered at all",
    "service_level": "Answered as promised",
    "resolution_rate": "Solved",
    "first_contact_resolution": "Solved at the first contact",
    "ignored_rate": "Never answered",
    "reopen_rate": "Reopened",
    "csat": "Satisfied (4 or 5 of 5)",
    "repeat_rate": "Came back",
    "escalation_rate": "Passed on to experts",
    "redirection_rate": "Sent to another channel",
    "containment": "Kept in the channel",
    "proactive_share": "Started by us",
    "first_response_p50": "First reply, half of cases",
    "first_response_p90": "First reply, nine in ten",
    "resolution_p50": "Solution, half of cases",
    "applicable": "Requests",
    "cost_per_resolution": "Cost of a case solved",
}
_BULLETS: Final = (
    "response_rate",
    "service_level",
    "resolution_rate",
    "first_contact_resolution",
    "reopen_rate",
    "csat",
    "ignored_rate",
    "repeat_rate",
    "escalation_rate",
    "redirection_rate",
    "containment",
)
_MOST: Final = 6
_LOWER_IS_BETTER: Final = frozenset(
    {"ignored_rate", "reopen_rate", "repeat_rate", "escalation_rate", "redirection_rate"}
)
_PERIOD: Final = r"^\d{4}-(Q[1-4]|\d{2})$"
_POOLED: Final = frozenset({"share", "currency"})
"""Units whose months may be averaged into a quarter, weighted by the cases behind them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One service figure of one channel: as it is now, as it was, and its course.

    Attributes
    ----------
    now
        The row of the latest period, else of all time; `before` the period ahead of it, or None.
    course
        Values by period, oldest first.
    """

    kpi: str
    channel: str
    period: str
    now: Mapping[str, Any]
    before: Mapping[str, Any] | None
    course: tuple[float | None, ...]

    @property
    def title(self) -> str:
        """What the figure is called."""
        return NAMES.get(self.kpi, label(self.kpi))

    @property
    def lower_is_better(self) -> bool:
        """Whether a falling figure is good."""
        return str(self.now.get("direction")) == "down" or self.kpi in _LOWER_IS_BETTER

    @property
    def change(self) -> float | None:
        """Now less before."""
        if self.before is None or self.before["value"] is None or self.now["value"] is None:
            return None
        return float(self.now["value"]) - float(self.before["value"])

    @property
    def moved(self) -> bool | None:
        """Whether the change is more than chance; None where that cannot be said."""
        change = self.change
        if change is None or self.before is None:
            return None
        halves = [_half(self.now), _half(self.before)]
        if halves[0] is None or halves[1] is None:
            return None
        return bool(abs(change) > math.hypot(halves[0], halves[1]))

    @property
    def better(self) -> bool:
        """Whether it has clearly got better."""
        change = self.change
        return bool(self.moved) and change is not None and (change < 0) == self.lower_is_better

    @property
    def verdict(self) -> Verdict:
        """Whether the target is met, is missed, or lies within the interval."""
        target, value = self.now.get("target"), self.now["value"]
        if target is None or value is None:
            return Verdict(text="no target", tone="open")
        low, high = self.now["low"], self.now["high"]
        if low is not None and high is not None and low <= target <= high:
            return Verdict(text="about on target", tone="open")
        good = value <= target if self.lower_is_better else value >= target
        if good:
            return Verdict(text="on target", tone="clear")
        return Verdict(text="above target" if self.lower_is_better else "below target", tone="caution")


def _half(row: Mapping[str, Any]) -> float | None:
    return None if row["low"] is None or row["high"] is None else (row["high"] - row["low"]) / 2


def plain_rows(sources: ReportSources) -> pl.DataFrame:
    """Rows without team and segment, calendar clock; the promise on the clock that it means."""
    care = sources.table("care")
    if care.is_empty():
        return care
    for column in ("team", "segment", "brand", "product", "topic"):
        if column in care.columns:
            care = care.filter(pl.col(column).is_null() | (pl.col(column) == "(all)"))
    if "clock" in care.columns:
        promised = care.filter(pl.col("kpi") == "service_level", pl.col("target").is_not_null())
        meant = promised["clock"].drop_nulls()
        is_promise = pl.col("kpi").is_in(("service_level", "value_weighted_service_level"))
        clock = (
            pl.when(is_promise)
            .then(pl.lit(meant[0] if meant.len() else "calendar"))
            .otherwise(pl.lit("calendar"))
        )
        care = care.filter(pl.col("clock").is_null() | (pl.col("clock") == clock))
    return care


def service_channel(sources: ReportSources) -> str | None:
    """The channel that the second page shows: of the social ones the busiest, else all together."""
    care = plain_rows(sources)
    if care.is_empty():
        return None
    groups = (sources.manifest.get("configuration") or {}).get("channels") or {}
    social = [name for name, entry in groups.items() if (entry or {}).get("group") == "social"]
    sizes = care.filter(pl.col("channel").is_in(social)).group_by("channel").agg(pl.col("n").max()).sort("n")
    if sizes.height:
        return str(sizes["channel"][-1])
    names = care["channel"].unique().to_list()
    return "(all)" if "(all)" in names else str(sorted(map(str, names))[0])


def kpis(sources: ReportSources, channel: str | None = None) -> dict[str, Kpi]:
    """Figures of a channel by name."""
    channel = channel or service_channel(sources)
    rows = plain_rows(sources)
    if channel is None or rows.is_empty():
        return {}
    rows = rows.filter((pl.col("channel") == channel) & (pl.col("kpi") != "waiting_curve"))
    cut_short = _cut_short(sources.as_of)
    found: dict[str, Kpi] = {}
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        by_name.setdefault(row["kpi"], []).append(row)
    for kpi, part in by_name.items():
        dated = [row for row in part if re.search(_PERIOD, row["period"]) and row["period"] != cut_short]
        dated.sort(key=lambda row: row["period"])
        course = [row for row in _by_quarter(dated) if row["value"] is not None]
        whole = [row for row in part if row["period"] == "(all)"]
        if not course and not whole:
            continue
        now = course[-1] if course else whole[0]
        if now["target"] is None and whole:
            now = {**now, "target": whole[0]["target"]}
        found[kpi] = Kpi(
            kpi=kpi,
            channel=channel,
            period=str(now["period"]),
            now=now,
            before=course[-2] if len(course) > 1 else None,
            course=tuple(row["value"] for row in course),
        )
    return found


def _cut_short(last: dt.date) -> str:
    """The month that the observation ends in before two thirds of it are over; empty otherwise."""
    return f"{last:%Y-%m}" if last.day * 3 < calendar.monthrange(last.year, last.month)[1] * 2 else ""


def _by_quarter(months: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whole calendar quarters out of months; the months themselves where they make fewer than two.

    A share or a mean is weighted by its cases; its interval is that of independent months. Other units, such
    as medians, stay by month.
    """
    if not months or any("Q" in str(row["period"]) for row in months):
        return months
    if str(months[0]["unit"]) not in _POOLED:
        return months
    quarters: dict[str, list[dict[str, Any]]] = {}
    for row in months:
        year, month = str(row["period"]).split("-")
        quarters.setdefault(f"{year}-Q{(int(month) + 2) // 3}", []).append(row)
    whole = {name: rows for name, rows in quarters.items() if len(rows) == 3}
    return [_pooled(name, rows) for name, rows in whole.items()] if len(whole) > 1 else months


def _pooled(period: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    known = [row for row in rows if row["value"] is not None and row["n"]]
    n = sum(row["n"] for row in known)
    made = {**rows[-1], "period": period, "n": n, "value": None, "low": None, "high": None}
    if not n:
        return made
    made["value"] = sum(row["value"] * row["n"] for row in known) / n
    halves = [_half(row) for row in known]
    if all(half is not None for half in halves):
        half = math.hypot(*(float(h or 0) * row["n"] for h, row in zip(halves, known, strict=True))) / n
        made["low"], made["high"] = made["value"] - half, made["value"] + half
        if made["unit"] == "share":
            made["low"], made["high"] = max(made["low"], 0.0), min(made["high"], 1.0)
    return made


def bullets(sources: ReportSources, channel: str | None = None) -> list[Kpi]:
    """The shares that the second page draws, in their order."""
    found = kpis(sources, channel)
    shown = [found[name] for name in _BULLETS if name in found and found[name].now["value"] is not None]
    if any(one.kpi == "response_rate" for one in shown):
        shown = [one for one in shown if one.kpi != "ignored_rate"]  # the same figure, turned round
    return shown[:_MOST]


def period_words(period: str) -> str:
    """A period of the service table in words.

    >>> period_words("2026-Q2"), period_words("2026-06"), period_words("(all)")
    ('2026 Q2', 'June 2026', 'the whole time')
    """
    if period == "(all)":
        return "the whole time"
    if "Q" in period:
        return period.replace("-", " ")
    return f"{calendar.month_name[int(period[5:7])]} {period[:4]}"


def quarter_words(period: str) -> str:
    """A period in words, a quarter by its months."""
    if "Q" not in period:
        return period_words(period)
    first = dt.date(int(period[:4]), 3 * int(period[-1]) - 2, 1)
    return months_of(first, dt.date(first.year, first.month + 2, 1))
