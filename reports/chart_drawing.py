"""Charts that are no ledger: slopes between two stems, and lines over time; SVG like that of the marks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from reports.context import Lines, Slope
from reports.drawing import circle, line, open_svg, short_number, strokes
from reports.numbers import decimal, signed

__all__ = ["draw_lines", "draw_slope"]

_STEMS: Final = (34.0, 64.0)
_SLOPE_HEIGHT: Final = 260.0
_GAP: Final = 15.0


def draw_slope(slope: Slope) -> str:
    """Two stems; the interval is drawn on the right one, names stand outside and never on each other."""
    shown = [value for p in slope.points for value in (p.left, p.right, p.low, p.high) if value is not None]
    low, high = min([*shown, 0.0]), max([*shown, 0.0])
    room = _SLOPE_HEIGHT - 40

    def y(value: float) -> float:
        return 14 + room * (1 - (value - low) / ((high - low) or 1.0))

    left, right = (f"{x:g}%" for x in _STEMS)
    parts = [open_svg("chart slopes", _SLOPE_HEIGHT, alt=slope.alt)]
    if low < 0 < high or low == 0:
        parts.append(line("limit", left, right, y(0), y(0)))
    for point in sorted(slope.points, key=lambda p: p.lead):
        tone = " lead" if point.lead else ""
        if point.low is not None and point.high is not None:
            parts.append(line(f"stem{tone}", right, right, y(point.high), y(point.low)))
        parts.append(line(f"slope{tone}", left, right, y(point.left), y(point.right)))
        kind = "dot lead" if point.lead else "dot grey"
        parts += [circle(kind, left, y(point.left)), circle(kind, right, y(point.right))]
    parts += _beside(slope, y, right_side=False) + _beside(slope, y, right_side=True)
    base = _SLOPE_HEIGHT - 6
    inner = f"{_STEMS[0] + 8:g}%", f"{_STEMS[1] - 6:g}%"
    parts.append(f'<text x="{inner[0]}" y="{base:g}" text-anchor="end">{escape(slope.left)}</text>')
    parts.append(f'<text x="{inner[1]}" y="{base:g}" text-anchor="start">{escape(slope.right)}</text>')
    return "".join(parts) + "</svg>"


def _beside(slope: Slope, y: object, *, right_side: bool) -> list[str]:
    assert callable(y)
    wanted = [(float(y(p.right if right_side else p.left)), p) for p in slope.points]
    wanted.sort(key=lambda pair: pair[0])
    places = _apart([place for place, _ in wanted])
    x = _STEMS[1] + 1.5 if right_side else _STEMS[0] - 1.5
    anchor = "start" if right_side else "end"
    words = []
    for place, (_, point) in zip(places, wanted, strict=True):
        figure = decimal((point.right if right_side else point.left) / slope.divisor, slope.decimals)
        text = f"{signed(figure)}  {point.name}" if right_side else f"{point.name}  {figure}"
        tone = "lead" if point.lead else "name"
        words.append(
            f'<text class="{tone}" x="{x:g}%" y="{short_number(place + 4)}" text-anchor="{anchor}" '
            f'xml:space="preserve">{escape(text)}</text>'
        )
    return words


def _apart(places: Sequence[float]) -> list[float]:
    """Sorted places moved as little as it takes to stand a line's height from each other."""
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
    shift = max(0.0, 8 - min(moved, default=8.0))
    return [place + shift for place in moved]


_LINES_HEIGHT: Final = 190.0
_LINES_WIDTH: Final = 86.0


def draw_lines(lines: Lines, *, width: float | None = None) -> str:
    """Lines over time, each named at its end; `width` as for `draw_plot`."""
    room, top = _LINES_HEIGHT - 40, 12.0

    def y(value: float) -> float:
        return top + room * (1 - (value - lines.low) / ((lines.high - lines.low) or 1.0))

    parts = [open_svg("chart lines", _LINES_HEIGHT, alt=lines.alt)]
    for value, label in lines.y_ticks:
        parts.append(line("grid", "0", f"{_LINES_WIDTH:g}%", y(value), y(value)))
        parts.append(f'<text x="0" y="{short_number(y(value) - 4)}">{escape(label)}</text>')
    inner: list[tuple[str, list[tuple[float, float]]]] = []
    if lines.band:
        upper = [(x, y(high)) for x, _, high in lines.band]
        lower = [(x, y(low)) for x, low, _ in reversed(lines.band)]
        inner.append(("band", upper + lower))
    for series in lines.series:
        kind = f"line{'' if series.lead else ' grey'}{' dashed' if series.dashed else ''}"
        inner.append((kind, [(x, y(value)) for x, value in series.points]))
    parts.append(strokes(inner, share=_LINES_WIDTH, height=_LINES_HEIGHT, width=width))
    ends = sorted(((y(s.points[-1][1]), s) for s in lines.series if s.points), key=lambda pair: pair[0])
    for place, (end, series) in zip(_apart([end for end, _ in ends]), ends, strict=True):
        x = _LINES_WIDTH * series.points[-1][0]
        kind = "dot lead" if series.lead else "dot grey hollow"
        parts.append(circle(kind, f"{short_number(x)}%", end, 4))
        tone = "lead" if series.lead else "name"
        parts.append(
            f'<text class="{tone}" x="{short_number(x + 1.2)}%" y="{short_number(place + 4)}">'
            f"{escape(series.name)}</text>"
        )
    for place, label in lines.x_ticks:
        x = _LINES_WIDTH * place
        anchor = "start" if place < 0.04 else "end" if place > 0.96 else "middle"
        parts.append(
            f'<text x="{short_number(x)}%" y="{_LINES_HEIGHT - 6:g}" text-anchor="{anchor}">'
            f"{escape(label)}</text>"
        )
    if lines.divider is not None:
        place, label = lines.divider
        cut = f"{short_number(_LINES_WIDTH * place)}%"
        parts.append(line("limit", cut, cut, top, top + room))
        parts.append(
            f'<text class="note" x="{cut}" y="{short_number(top + room - 6)}" text-anchor="middle">'
            f"{escape(label)}</text>"
        )
    return "".join(parts) + "</svg>"
