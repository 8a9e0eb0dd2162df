"""Drawings of customers: all of them by value and risk, and one of them over time."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
import polars as pl

from reports.numbers import money_ticks

MOST_POINTS: Final = 20_000
"""Customers drawn one by one; above that squares are counted."""

_WIDTH: Final = 1000.0
_HEIGHT: Final = 560.0
_ROW: Final = 400
_ACROSS, _UP = 50, 36
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """A selection: chance gone from `low` to `high` (0 to 1), and worth at least `worth`."""

    low: float
    high: float
    worth: float


def draw_customers(
    customers: pl.DataFrame, chosen: Rectangle | None, *, currency: str | None, words: str = ""
) -> str:
    """Chance gone across, worth up on a log scale; customers worth less than one unit are not drawn.

    Up to 20,000 are points in one path each for the rest and the chosen; more are squares, darker where there
    are more of them, and the chosen are points again.
    """
    worth = customers["worth"].to_numpy() if customers.height else np.array([])
    gone = customers["gone"].to_numpy() if customers.height else np.array([])
    drawn = worth >= 1.0
    worth, gone = worth[drawn], gone[drawn]
    top = max(1.0, math.ceil(math.log10(float(worth.max(initial=10.0))) * 4) / 4)
    x, y = gone * _WIDTH, _HEIGHT * (1 - np.log10(np.maximum(worth, 1.0)) / top)
    inside = np.zeros(len(x), dtype=bool)
    if chosen is not None:
        inside = (gone >= chosen.low) & (gone <= chosen.high) & (worth >= chosen.worth)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="scatter" width="100%" height="{_ROW + 30}" '
        f'role="img" aria-label="{escape(words)}" data-top="{top:g}">'
    ]
    for power in range(int(top) + 1):
        place = _ROW * (1 - power / top)
        ((_, text),) = money_ticks((float(10**power),), currency)
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{place:.1f}" y2="{place:.1f}"/>')
        parts.append(f'<text x="0" y="{place - 4:.1f}">{text}</text>')
    parts.append(
        f'<svg x="0" y="0" width="100%" height="{_ROW}" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        'preserveAspectRatio="none">'
    )
    if len(x) <= MOST_POINTS:
        parts.append(_points("all", x[~inside], y[~inside]))
        parts.append(_points("chosen", x[inside], y[inside]))
    else:
        parts.append(_squares(x, y))
        most = np.flatnonzero(inside)[:MOST_POINTS]
        parts.append(_points("chosen", x[most], y[most]))
    parts.append("</svg>")
    for share in (0, 25, 50, 75, 100):
        anchor = {0: "start", 100: "end"}.get(share, "middle")
        parts.append(f'<text x="{share}%" y="{_ROW + 16}" text-anchor="{anchor}">{share}%</text>')
    parts.append(_selection(chosen, top))
    return "".join(parts) + "</svg>"


def _points(kind: str, x: Array, y: Array) -> str:
    """One path of strokes without length: a round dot each, told as steps from the one before."""
    if not len(x):
        return ""
    places = np.unique(np.column_stack((np.rint(x), np.rint(y))).astype(int), axis=0)
    steps = np.diff(places, axis=0, prepend=np.zeros((1, 2), dtype=int))
    strokes = "".join(f"m{a} {b}h0" for a, b in steps.tolist())
    return f'<path class="{kind}" d="{strokes}" vector-effect="non-scaling-stroke"/>'


def _squares(x: Array, y: Array) -> str:
    counts, _, _ = np.histogram2d(x, y, bins=(_ACROSS, _UP), range=((0, _WIDTH), (0, _HEIGHT)))
    top = float(counts.max()) or 1.0
    wide, high = _WIDTH / _ACROSS, _HEIGHT / _UP
    return "".join(
        f'<rect class="q{max(1, round(5 * math.sqrt(counts[a, b] / top)))}" x="{a * wide:g}" '
        f'y="{b * high:.4g}" width="{wide:g}" height="{high:.3g}"/>'
        for a, b in zip(*np.nonzero(counts), strict=True)
    )


def _selection(chosen: Rectangle | None, top: float) -> str:
    if chosen is None:
        return ""
    left, right = 100 * chosen.low, 100 * chosen.high
    bottom = _ROW * (1 - min(top, math.log10(max(chosen.worth, 1.0))) / top)
    corners = "".join(
        f'<rect class="corner" x="{x:g}%" y="{y - 4:.1f}" width="8" height="8" transform="translate(-4 0)" '
        f'tabindex="0" role="button" data-edge="{edge}" aria-label="{escape(text)}"/>'
        for x, y, edge, text in (
            (left, bottom, "low", "Corner: smallest chance gone, and smallest value; arrows move it"),
            (right, bottom, "high", "Corner: largest chance gone, and smallest value; arrows move it"),
        )
    )
    return (
        f'<rect class="selection" x="{left:g}%" y="0" width="{max(right - left, 0):g}%" '
        f'height="{bottom:.1f}"/>'
        f"{corners}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """One conversation: when, where, who spoke, and whether a request in it was never answered."""

    day: dt.date
    channel: str
    inbound: bool
    unanswered: bool = False


_LEFT: Final = 13.5
_RIGHT: Final = 92.0
_LANE: Final = 26


def draw_tracks(
    alive: Sequence[tuple[dt.date, float]],
    purchases: Sequence[tuple[dt.date, float, bool]],
    touches: Sequence[Touch],
    *,
    first: dt.date,
    last: dt.date,
    currency: str | None,
    words: str,
) -> str:
    """Three tracks on one time axis: chance still a customer, purchases, conversations by channel.

    `purchases` are day, amount, and whether a conversation came before within the lookback window.
    """
    width = max((last - first).days, 1)

    def x(day: dt.date) -> str:
        place = (day - first).days / width
        return f"{_LEFT + (_RIGHT - _LEFT) * min(max(place, 0.0), 1.0):.2f}%"

    lanes = list(dict.fromkeys(t.channel for t in sorted(touches, key=lambda t: t.channel)))
    height = 26 + 130 + 34 + 96 + 34 + _LANE * max(len(lanes), 1) + 22
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart tracks" width="100%" height="{height}" '
        f'role="img" aria-label="{escape(words)}">'
    ]
    top = 26
    parts += _grid(first, last, x, top, height - 22)
    parts += _alive(alive, x, first, width, top)
    floor = top + 130 + 34 + 96
    parts += _purchases(purchases, x, floor, currency)
    lane = floor + 34
    for place, channel in enumerate(lanes):
        own = [t for t in touches if t.channel == channel]
        y = lane + _LANE * place + 12
        parts.append(f'<line class="grid" x1="{_LEFT}%" x2="{_RIGHT}%" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="note" x="0" y="{y + 4}">{escape(channel)} {len(own)}</text>')
        parts += [_touch(t, x(t.day), y) for t in own]
    parts.append('<text class="track" x="0" y="14">Chance still a customer</text>')
    parts.append(f'<text class="track" x="0" y="{top + 130 + 22}">Purchases</text>')
    parts.append(f'<text class="track" x="0" y="{floor + 22}">Conversations</text>')
    return "".join(parts) + "</svg>"


def _grid(first: dt.date, last: dt.date, x: Any, top: float, bottom: float) -> list[str]:
    span = (last.year - first.year) * 12 + last.month - first.month
    every = next((n for n in (1, 3, 6, 12, 24) if span / n <= 7), 60)
    parts = []
    for number in range(span + 1):
        count = first.year * 12 + first.month - 1 + number
        start = dt.date(count // 12, count % 12 + 1, 1)
        if (start.month - 1) % every == 0 and first <= start <= last:
            name = f"{start:%b}" + (f" {start.year}" if start.month == 1 else "")
            parts.append(f'<line class="grid" x1="{x(start)}" x2="{x(start)}" y1="{top}" y2="{bottom}"/>')
            parts.append(f'<text x="{x(start)}" y="{bottom + 16}" text-anchor="middle">{name}</text>')
    return parts


def _alive(
    alive: Sequence[tuple[dt.date, float]], x: Any, first: dt.date, width: int, top: float
) -> list[str]:
    if not alive:
        return []
    high = 120.0
    points = [(1000 * (day - first).days / width, high * (1 - chance)) for day, chance in alive]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    area = f"{points[0][0]:.1f},{high:g} {line} {points[-1][0]:.1f},{high:g}"
    day, chance = alive[-1]
    end = top + 120 * (1 - chance)
    labels = "".join(
        f'<text x="{_LEFT - 1}%" y="{top + high * (1 - share) + 4:.0f}" text-anchor="end">'
        f"{share * 100:.0f}%</text>"
        for share in (1.0, 0.5, 0.0)
    )
    return [
        labels,
        f'<svg x="{_LEFT}%" y="{top}" width="{_RIGHT - _LEFT}%" height="{high:g}" '
        f'viewBox="0 0 1000 {high:g}" preserveAspectRatio="none"><polygon class="band" points="{area}"/>'
        f'<polyline class="line" points="{line}" vector-effect="non-scaling-stroke"/></svg>',
        f'<circle class="dot lead" cx="{x(day)}" cy="{end:.1f}" r="4.5"/>',
        f'<text class="lead" x="{x(day)}" dx="9" y="{end + 4:.1f}">{chance * 100:.0f}%</text>',
    ]


def _purchases(
    purchases: Sequence[tuple[dt.date, float, bool]], x: Any, floor: float, currency: str | None
) -> list[str]:
    parts = [f'<line class="zero" x1="{_LEFT}%" x2="{_RIGHT}%" y1="{floor}" y2="{floor}"/>']
    top = max((amount for _, amount, _ in purchases), default=0.0)
    for day, amount, after in purchases:
        y = floor - 80 * max(amount, 0.0) / (top or 1.0)
        parts.append(f'<line class="stick" x1="{x(day)}" x2="{x(day)}" y1="{floor}" y2="{y:.1f}"/>')
        kind = "dot lead" if after else "dot lead hollow"
        parts.append(f'<circle class="{kind}" cx="{x(day)}" cy="{y:.1f}" r="4"/>')
    if purchases and top > 0:
        day = max(purchases, key=lambda one: one[1])[0]
        ((_, text),) = money_ticks((float(round(top)),), currency) if top >= 1 else ((0.0, ""),)
        parts.append(f'<text class="note" x="{x(day)}" dx="8" y="{floor - 76:.0f}">{text}</text>')
    return parts


def _touch(touch: Touch, x: str, y: float) -> str:
    if touch.unanswered:
        return f'<text class="cross" x="{x}" y="{y + 5}" text-anchor="middle">×</text>'
    kind = "dot total" if touch.inbound else "dot grey hollow"
    return f'<circle class="{kind}" cx="{x}" cy="{y}" r="4"/>'
