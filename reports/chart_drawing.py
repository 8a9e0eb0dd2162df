"""Charts that are no ledger: slopes between two stems, and lines over time; SVG like that of the marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import accumulate
from typing import Final
from unicodedata import east_asian_width

from reports.context import Lines, Slope
from reports.drawing import circle, line, open_svg, short_number, strokes
from reports.numbers import decimal, signed

_STEMS: Final = {False: (34.0, 64.0), True: (18.0, 48.0)}
"""Where the stems stand, in percent, on a wide and on a narrow screen."""

_SLOPE_HEIGHT: Final = 260.0
_GAP: Final = 15.0
_NAME: Final = {False: 28, True: 14}
"""Letters of a name that have room beside a stem; names have all of theirs in the table below."""


def draw_slope(slope: Slope, *, narrow: bool = False) -> str:
    """Two stems; the interval is drawn on the right one, names stand outside and never on each other.

    On a narrow screen the names stand on the right alone.
    """
    shown = [value for p in slope.points for value in (p.left, p.right, p.low, p.high) if value is not None]
    low, high = min([*shown, 0.0]), max([*shown, 0.0])
    height = max(_SLOPE_HEIGHT, 46 + _GAP * len(slope.points))
    floor = height - 26

    def y(value: float) -> float:
        return 14 + (floor - 14) * (1 - (value - low) / ((high - low) or 1.0))

    stems = _STEMS[narrow]
    left, right = (f"{x:g}%" for x in stems)
    parts = [open_svg("chart slopes narrow" if narrow else "chart slopes", height, alt=slope.alt)]
    if low < 0 < high or low == 0:
        parts.append(line("limit", left, right, y(0), y(0)))
    for point in sorted(slope.points, key=lambda p: p.lead):
        tone = " lead" if point.lead else ""
        if point.low is not None and point.high is not None:
            parts.append(line(f"stem{tone}", right, right, y(point.high), y(point.low)))
        parts.append(line(f"slope{tone}", left, right, y(point.left), y(point.right)))
        kind = "dot lead" if point.lead else "dot grey"
        parts += [circle(kind, left, y(point.left)), circle(kind, right, y(point.right))]
    for right_side in (False, True):
        parts += _beside(slope, y, floor, right_side=right_side, narrow=narrow)
    base = height - 6
    inner = (0.0, 50.0) if narrow else (stems[0] + 8, stems[1] - 6)
    anchors = ("start", "start") if narrow else ("end", "start")
    for words, x, anchor in zip((slope.left, slope.right), inner, anchors, strict=True):
        parts.append(f'<text x="{x:g}%" y="{base:g}" text-anchor="{anchor}">{escape(words)}</text>')
    return "".join(parts) + "</svg>"


def _beside(
    slope: Slope, y: Callable[[float], float], floor: float, *, right_side: bool, narrow: bool
) -> list[str]:
    stems = _STEMS[narrow]
    wanted = [(y(p.right if right_side else p.left), p) for p in slope.points]
    wanted.sort(key=lambda pair: pair[0])
    places = _apart([place for place, _ in wanted], floor)
    x = stems[1] + (3.5 if narrow else 1.5) if right_side else stems[0] - (4.0 if narrow else 1.5)
    anchor = "start" if right_side else "end"
    words = []
    for place, (_, point) in zip(places, wanted, strict=True):
        figure = decimal((point.right if right_side else point.left) / slope.divisor, slope.decimals)
        name = clipped(point.name, _NAME[narrow])
        text = f"{signed(figure)}  {name}" if right_side else figure if narrow else f"{name}  {figure}"
        tone = "lead" if point.lead else "name"
        words.append(
            f'<text class="{tone}" x="{x:g}%" y="{short_number(place + 4)}" text-anchor="{anchor}" '
            f'xml:space="preserve">{escape(text)}</text>'
        )
    return words


def clipped(name: str, letters: int) -> str:
    """A name cut to the room of so many Latin letters; letters of East Asia take two.

    >>> clipped("newsletter", 30), clipped("customer community", 10), clipped("カスタマー", 6)
    ('newsletter', 'customer…', 'カス…')
    """
    widths = [2 if east_asian_width(letter) in "WF" else 1 for letter in name]
    if sum(widths) <= letters:
        return name
    kept = next(place for place, used in enumerate(accumulate(widths)) if used > letters - 1)
    return name[:kept].rstrip() + "…"


def _apart(places: Sequence[float], floor: float) -> list[float]:
    """Sorted places moved as little as it takes to stand a line's height from each other, above the floor."""
    moved = list(places)
    for _ in range(60):
        touched = False
        for one in range(len(moved) - 1):
            overlap = _GAP - (moved[one + 1] - moved[one])
            if overlap > 1e-6:
                moved[one] -= overlap / 2
                moved[one + 1] += overlap / 2
                touched = True
        if not touched:
            break
    lowest = [floor - _GAP * (len(moved) - 1 - place) for place in range(len(moved))]
    highest = [8 + _GAP * place for place in range(len(moved))]
    return [max(min(*pair), top) for *pair, top in zip(moved, lowest, highest, strict=True)]


_LINES_HEIGHT: Final = 190.0
_LINES_WIDTH: Final = {False: 86.0, True: 97.0}


def draw_lines(lines: Lines, *, width: float | None = None, narrow: bool = False) -> str:
    """Lines over time, each named at its end; `width` as for `draw_plot`.

    On a narrow screen the names stand above the ends, and every other time goes without a label.
    """
    room, top = _LINES_HEIGHT - 44, 16.0
    share = _LINES_WIDTH[narrow]

    def y(value: float) -> float:
        return top + room * (1 - (value - lines.low) / ((lines.high - lines.low) or 1.0))

    parts = [open_svg("chart lines narrow" if narrow else "chart lines", _LINES_HEIGHT, alt=lines.alt)]
    for value, label in lines.y_ticks:
        parts.append(line("grid", "0", f"{share:g}%", y(value), y(value)))
        parts.append(f'<text x="0" y="{short_number(y(value) - 4)}">{escape(label)}</text>')
    inner: list[tuple[str, list[tuple[float, float]]]] = []
    if lines.band:
        upper = [(x, y(high)) for x, _, high in lines.band]
        lower = [(x, y(low)) for x, low, _ in reversed(lines.band)]
        inner.append(("band", upper + lower))
    for series in lines.series:
        kind = f"line{'' if series.lead else ' grey'}{' dashed' if series.dashed else ''}"
        inner.append((kind, [(x, y(value)) for x, value in series.points]))
    parts.append(strokes(inner, share=share, height=_LINES_HEIGHT, width=width))
    ends = sorted(((y(s.points[-1][1]), s) for s in lines.series if s.points), key=lambda pair: pair[0])
    for place, (end, series) in zip(_apart([end for end, _ in ends], top + room), ends, strict=True):
        x = share * series.points[-1][0]
        kind = "dot lead" if series.lead else "dot grey hollow"
        parts.append(circle(kind, f"{short_number(x)}%", end, 4))
        tone = "lead" if series.lead else "name"
        words = f'x="{short_number(x + 1.2)}%" y="{short_number(place + 4)}"'
        if narrow:
            words = f'x="{short_number(x - 2)}%" y="{short_number(place - 7)}" text-anchor="end"'
        parts.append(f'<text class="{tone}" {words}>{escape(series.name)}</text>')
    crowded = narrow and len(lines.x_ticks) > 4
    for place, label in lines.x_ticks[:: 2 if crowded else 1]:
        x = share * place
        anchor = "start" if place < 0.04 else "end" if place > 0.96 else "middle"
        parts.append(
            f'<text x="{short_number(x)}%" y="{_LINES_HEIGHT - 6:g}" text-anchor="{anchor}">'
            f"{escape(label)}</text>"
        )
    if lines.divider is not None:
        place, label = lines.divider
        cut = f"{short_number(share * place)}%"
        parts.append(line("limit", cut, cut, top, top + room))
        parts.append(
            f'<text class="note" x="{cut}" y="{short_number(top + room - 6)}" text-anchor="middle">'
            f"{escape(label)}</text>"
        )
    return "".join(parts) + "</svg>"
