"""Service figures: the bullets of the second page, a tile, and the asks that they fire."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from reports.context import Ask, Cell, Column, Ledger, Mark, Pair, Plot, Row, Section, Sentence, Tile, Verdict
from reports.numbers import money, percent, points, signed
from reports.sources import ReportSources
from reports.words import duration, inside, label, upper_first
from reports.words import months as months_of

__all__ = ["Kpi", "care_asks", "care_tile", "kpis", "service_channel", "service_section"]

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


def _plain_rows(sources: ReportSources) -> pl.DataFrame:
    """Rows without team and segment, calendar clock."""
    care = sources.table("care")
    if care.is_empty():
        return care
    for column in ("team", "segment", "brand", "product", "topic"):
        if column in care.columns:
            care = care.filter(pl.col(column).is_null() | (pl.col(column) == "(all)"))
    if "clock" in care.columns:
        care = care.filter(pl.col("clock").is_null() | (pl.col("clock") != "business"))
    return care


def service_channel(sources: ReportSources) -> str | None:
    """The channel that the second page shows: of the social ones the busiest, else all together."""
    care = _plain_rows(sources)
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
    rows = _plain_rows(sources)
    if channel is None or rows.is_empty():
        return {}
    rows = rows.filter((pl.col("channel") == channel) & (pl.col("kpi") != "waiting_curve"))
    found: dict[str, Kpi] = {}
    for (kpi,), part in rows.group_by(["kpi"], maintain_order=True):
        dated = part.filter(pl.col("period").str.contains(_PERIOD)).sort("period").to_dicts()
        course = [row for row in _by_quarter(dated) if row["value"] is not None]
        whole = part.filter(pl.col("period") == "(all)").to_dicts()
        if not course and not whole:
            continue
        now = course[-1] if course else whole[0]
        if now["target"] is None and whole:
            now = {**now, "target": whole[0]["target"]}
        found[str(kpi)] = Kpi(
            kpi=str(kpi),
            channel=channel,
            period=str(now["period"]),
            now=now,
            before=course[-2] if len(course) > 1 else None,
            course=tuple(row["value"] for row in course),
        )
    return found


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


def _bullets(sources: ReportSources, channel: str | None = None) -> list[Kpi]:
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
    import calendar

    return f"{calendar.month_name[int(period[5:7])]} {period[:4]}"


def _quarter_words(period: str) -> str:
    if "Q" not in period:
        return period_words(period)
    first = dt.date(int(period[:4]), 3 * int(period[-1]) - 2, 1)
    return months_of(first, dt.date(first.year, first.month + 2, 1))


def service_section(sources: ReportSources, channel: str | None = None) -> Section | None:
    """Bullets from nought to all, with target and interval; absent without service figures."""
    shown = _bullets(sources, channel)
    if not shown:
        return None
    chosen = channel or service_channel(sources) or "(all)"
    place = "All channels" if chosen == "(all)" else label(chosen)
    courses = any(len(one.course) > 2 for one in shown)
    targets = any(one.now.get("target") is not None for one in shown)
    changed = any(one.change is not None for one in shown)
    plot = Plot(low=0.0, high=1.0)
    columns = [
        Column(title="0 to 100%" + (", mark: target" if targets else ""), form="plot", plot=plot),
        Column(title="now", divisor=0.01, decimals=1, suffix="%", phone=True, strong=True),
    ]
    if targets:
        columns.append(Column(title="target", divisor=0.01, decimals=0, suffix="%"))
    if changed:
        columns.append(Column(title="change", divisor=0.01, decimals=1, signed=True, suffix=" pts"))
    if courses:
        columns.append(Column(title="course", form="plot", plot=Plot(low=0, high=1)))
    if targets:
        columns.append(Column(title="verdict", form="verdict", phone=True))
    rows = []
    for one in shown:
        bullet = Mark(
            form="bullet",
            value=one.now["value"],
            low=one.now["low"],
            high=one.now["high"],
            target=one.now.get("target"),
        )
        cells: list[Cell] = [(bullet,), one.now["value"]]
        if targets:
            cells.append(one.now.get("target"))
        if changed:
            cells.append(one.change)
        if courses:
            cells.append((Mark(form="spark", points=one.course),) if len(one.course) > 2 else ())
        if targets:
            cells.append(one.verdict)
        rows.append(Row(name=one.title, key=one.kpi, cells=tuple(cells)))
    return Section(
        key="service",
        title="Service",
        question="How good is the service?",
        finding=_finding(shown, place),
        blocks=(
            Ledger(
                label=f"{place}, {_quarter_words(shown[0].period)}", columns=tuple(columns), rows=tuple(rows)
            ),
        ),
        foot=_foot(sources, chosen, shown),
    )


def _foot(sources: ReportSources, channel: str, shown: list[Kpi]) -> str:
    told = []
    n = max(int(one.now["n"] or 0) for one in shown)
    if n:
        told.append(f"{n:,} requests.")
    csat = next((one for one in shown if one.kpi == "csat" and one.now.get("coverage") is not None), None)
    if csat is not None:
        told.append(f"Satisfaction from {int(csat.now['n'] or 0):,} answers.")
    waits = kpis(sources, channel).get("first_response_p50")
    if waits is not None and waits.now["value"] is not None:
        told.append(f"Half of the requests have a reply within {duration(_minutes(waits.now))}.")
    told.append("Requests never answered count as not answered in time. Whiskers: 95% intervals.")
    return " ".join(told)


def _minutes(row: Mapping[str, Any]) -> float:
    value = float(row["value"])
    unit = str(row.get("unit") or "minutes")
    return value / 60 if unit.startswith("second") else value * 60 if unit.startswith("hour") else value


def _finding(shown: list[Kpi], place: str) -> Sentence:
    by_name = {one.kpi: one for one in shown}
    told: list[str] = []
    figures: dict[str, float | None] = {one.kpi: one.now["value"] for one in shown}
    where = "all channels" if place == "All channels" else place
    answered = by_name.get("response_rate")
    ignored = by_name.get("ignored_rate")
    if answered is not None or ignored is not None:
        share = 1 - answered.now["value"] if answered is not None else ignored.now["value"]  # type: ignore[union-attr]
        told.append(f"{percent(share)} of requests on {where} get no answer")
    elif "service_level" in by_name:
        told.append(
            f"{percent(by_name['service_level'].now['value'])} of requests on {where} are answered as "
            "promised"
        )
    csat = by_name.get("csat")
    if csat is not None:
        target = f", {csat.verdict.text}" if csat.now.get("target") is not None else ""
        told.append(f"satisfaction is {percent(csat.now['value'])}{target}")
    if not told:
        first = shown[0]
        told.append(f"{first.title} on {where}: {percent(first.now['value'])}")
    return Sentence(text=upper_first("; ".join(told)), figures=figures)


def care_tile(sources: ReportSources) -> Tile | None:
    """Cost of a case solved, that of other channels beside it."""
    channel = service_channel(sources)
    one = kpis(sources, channel).get("cost_per_resolution")
    if one is None or one.now["value"] is None or channel is None:
        return None
    rows = _plain_rows(sources).filter(
        (pl.col("kpi") == "cost_per_resolution")
        & (pl.col("channel") != channel)
        & (pl.col("channel") != "(all)")
        & (pl.col("period") == one.now["period"])
        & pl.col("value").is_not_null()
    )
    others = [
        f"{inside(c)} {money(v, sources.currency)}" for c, v in rows.select("channel", "value").iter_rows()
    ]
    change = one.change
    return Tile(
        label=f"Cost of a case solved{'' if channel == '(all)' else f' on {label(channel)}'}",
        figure=money(float(one.now["value"]), sources.currency),
        detail=", ".join(others[:2]),
        strong="" if change is None else f"{signed(money(change, sources.currency))} on the period before",
    )


def care_asks(sources: ReportSources) -> list[Ask]:
    """A figure below its target that has not clearly moved: find out why."""
    asks = []
    for one in _bullets(sources):
        if one.verdict.tone != "caution" or one.moved:
            continue
        value, where = (
            float(one.now["value"]),
            "all channels" if one.channel == "(all)" else label(one.channel),
        )
        before = (
            ""
            if one.before is None or one.before["value"] is None
            else f"; the period before it was {percent(float(one.before['value']))}"
        )
        asks.append(
            Ask(
                text=_why(one, value, where),
                detail=f"Target {percent(float(one.now['target']))}, "
                f"{points(value - float(one.now['target']))} points off it, from "
                f"{int(one.now['n'] or 0):,} requests{before}.",
                reading=f"{upper_first(one.verdict.text)}, not moving.",
                evidence="counted",
                rule="why",
            )
        )
    asks.sort(key=lambda ask: "no answer" not in ask.text)
    return asks[:1]


def _why(one: Kpi, value: float, where: str) -> str:
    if one.kpi == "response_rate":
        return f"Find out why {percent(1 - value)} of requests on {where} get no answer."
    if one.kpi == "ignored_rate":
        return f"Find out why {percent(value)} of requests on {where} get no answer."
    return f"Find out why {one.title[:1].lower()}{one.title[1:]} on {where} is {percent(value)}."


def interval_cell(row: Mapping[str, Any]) -> Pair | None:
    """The interval as a cell."""
    return None if row["low"] is None or row["high"] is None else (float(row["low"]), float(row["high"]))
