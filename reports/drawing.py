"""The one drawing code: marks and charts as SVG, for the page, the PDF and the explorer alike.

x is in percent, so that a drawing takes any width without being scaled; colours come from classes, so that a
page's tokens (light, dark, print) reach them. `with_colours` makes a drawing stand alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from reports.context import AXIS_CHARACTERS, Mark, Plot

LIGHT: Final = {
    "paper": "#ffffff",
    "ink": "#17212b",
    "ink2": "#46535f",
    "ink3": "#5f6b77",
    "rule": "#dfe3e5",
    "rule2": "#aeb7be",
    "accent": "#0a5f73",
    "accent2": "#5b9aa8",
    "mark": "#87929c",
    "markwash": "#e6e9eb",
}
_INSET: Final = 1.5  # percent on each side, so that a dot on the axis' end is whole
_ROW: Final = 24
_SPARK_SHARE: Final = 92.0

_STYLE: Final = """
.grid{{stroke:{rule};stroke-width:1}} .zero{{stroke:{ink3};stroke-width:1}}
.limit{{stroke:{ink3};stroke-width:1.2;stroke-dasharray:2 2}}
.range{{stroke-width:3;stroke-opacity:.38}} .whisker{{stroke:{ink};stroke-width:1.2}}
.lead.range,.other.range,.base.range{{stroke:{accent}}}
.grey.range,.total.range{{stroke:{mark};stroke-opacity:.6}}
.dot.lead,.dot.other{{fill:{accent};stroke:{accent}}} .dot.total{{fill:{ink2};stroke:{ink2}}}
.dot.grey{{fill:{mark};stroke:{mark}}} .dot{{stroke-width:1.6}} .dot.hollow{{fill:{paper}}}
.bar.lead{{fill:{accent}}} .bar.other{{fill:{accent2}}} .bar.total{{fill:{ink2}}} .bar.grey{{fill:{mark}}}
.bar.base{{fill:{markwash};stroke:{rule2};stroke-width:1}}
.bar.hollow{{fill:{paper};stroke:{accent};stroke-width:1.6}}
.span{{fill:{mark};fill-opacity:.5}} .track{{fill:{markwash}}} .target{{stroke:{ink};stroke-width:2.5}}
.join{{stroke:{accent2};stroke-width:1.6}} .join.grey{{stroke:{rule2}}}
.line{{fill:none;stroke:{accent};stroke-width:1.8}}
.line.grey{{stroke:{mark}}} .dashed{{stroke-dasharray:4 3}}
.band{{fill:{accent};fill-opacity:.14}} .stem{{stroke:{mark};stroke-width:3;stroke-opacity:.5}}
.stem.lead{{stroke:{accent};stroke-opacity:.38}} .slope{{stroke:{mark};stroke-width:1.8}}
.slope.lead{{stroke:{accent}}} .rung{{fill:{accent}}} .rung.off{{fill:{markwash}}}
svg text{{font-family:Inter,system-ui,sans-serif;font-size:11px;fill:{ink3}}}
svg text.name{{fill:{ink3};font-weight:600}}
svg text.lead{{fill:{accent};font-weight:600}} svg text.note{{fill:{ink2}}}
"""


def drawing_rules(colours: Mapping[str, str]) -> str:
    """The style rules of all marks, with these colours or custom properties."""
    return _STYLE.format(**colours)


def with_colours(svg: str, *, width: float) -> str:
    """A drawing that needs no page around it: the light tokens inside, its width in points."""
    style = f"<style>{drawing_rules(LIGHT)}</style>"
    head, _, rest = svg.partition(">")
    head = head.replace('width="100%"', f'width="{width:g}"', 1)
    return f"{head}>{style}{rest}"


def open_svg(kind: str, height: float, *, alt: str = "", width: str = "100%") -> str:
    """The start of a drawing, named where it is an image of its own."""
    words = f'role="img" aria-label="{escape(alt)}"' if alt else 'aria-hidden="true"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" width="{width}" height="{height:g}" {words}>'
    )


def short_number(value: float) -> str:
    """A number of a drawing, without digits that nobody sees."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _place(plot: Plot, value: float) -> float:
    """Where a value lies, in percent of the width; beyond the axis it lies at its end."""
    width = plot.high - plot.low or 1.0
    share = min(1.0, max(0.0, (value - plot.low) / width))
    return _INSET + share * (100 - 2 * _INSET)


def _percent(plot: Plot, value: float) -> str:
    return f"{short_number(_place(plot, value))}%"


def line(kind: str, x1: str, x2: str, y1: float, y2: float) -> str:
    """One line; x as it stands, y in pixels."""
    return f'<line class="{kind}" x1="{x1}" x2="{x2}" y1="{short_number(y1)}" y2="{short_number(y2)}"/>'


def circle(kind: str, x: str, y: float, r: float = 4.5) -> str:
    """One circle; x as it stands, y in pixels."""
    return f'<circle class="{kind}" cx="{x}" cy="{short_number(y)}" r="{short_number(r)}"/>'


def draw_plot(plot: Plot, marks: Sequence[Mark], *, height: float = _ROW, width: float | None = None) -> str:
    """The marks of one row on their axis, with the lines of its ticks behind them.

    `width` in pixels is for those who set it at a fixed size; without it the drawing takes any width.
    """
    parts = [open_svg("plot", height)]
    for tick, _ in plot.ticks:
        if tick != plot.zero:
            x = _percent(plot, tick)
            parts.append(line("grid", x, x, 0, height))
    if plot.zero is not None:
        x = _percent(plot, plot.zero)
        parts.append(line("zero", x, x, 0, height))
    if plot.limit is not None:
        x = _percent(plot, plot.limit)
        parts.append(line("limit", x, x, 0, height))
    for mark in marks:
        drawn = _spark(mark, height, width) if mark.form == "spark" else _FORMS[mark.form](plot, mark, height)
        parts.append(drawn)
    return "".join(parts) + "</svg>"


def _dot(plot: Plot, mark: Mark, height: float) -> str:
    middle, drawn = height / 2, ""
    if mark.low is not None and mark.high is not None:
        low, high = _percent(plot, mark.low), _percent(plot, mark.high)
        drawn = line(f"range {mark.tone}", low, high, middle, middle)
    if mark.value is not None and plot.low <= mark.value <= plot.high:
        kind = f"dot {mark.tone}{' hollow' if mark.hollow else ''}"
        drawn += circle(kind, _percent(plot, mark.value), middle)
    return drawn


def _whisker(plot: Plot, mark: Mark, middle: float, cap: float = 3.5) -> str:
    if mark.low is None or mark.high is None:
        return ""
    low, high = _percent(plot, mark.low), _percent(plot, mark.high)
    return line("whisker", low, high, middle, middle) + "".join(
        line("whisker", x, x, middle - cap, middle + cap) for x in (low, high)
    )


def _rect(kind: str, plot: Plot, one: float, other: float, y: float, height: float) -> str:
    left, right = sorted((_place(plot, one), _place(plot, other)))
    return (
        f'<rect class="{kind}" x="{short_number(left)}%" width="{short_number(max(right - left, 0.25))}%" '
        f'y="{short_number(y)}" height="{short_number(height)}"/>'
    )


def _bar(plot: Plot, mark: Mark, height: float) -> str:
    if mark.value is None:
        return ""
    thick = height / 2
    kind = f"bar {mark.tone}{' hollow' if mark.hollow else ''}"
    bar = _rect(kind, plot, mark.start or 0.0, mark.value, (height - thick) / 2, thick)
    return bar + _whisker(plot, mark, height / 2)


def _span(plot: Plot, mark: Mark, height: float) -> str:
    if mark.low is None or mark.high is None:
        return ""
    return _rect("span", plot, mark.low, mark.high, height / 2 - 4, 8).replace("/>", ' rx="4"/>')


def _bullet(plot: Plot, mark: Mark, height: float) -> str:
    middle = height / 2
    drawn = _rect("track", plot, plot.low, plot.high, middle - 4, 8)
    if mark.value is not None:
        drawn += _rect("bar other", plot, max(plot.low, 0.0), mark.value, middle - 4, 8)
        drawn += _whisker(plot, mark, middle, cap=2.5)
    if mark.target is not None:
        x = _percent(plot, mark.target)
        drawn += line("target", x, x, middle - 9, middle + 9)
    return drawn


def _pair(plot: Plot, mark: Mark, height: float) -> str:
    if mark.value is None or mark.start is None:
        return ""
    one, other = _percent(plot, mark.start), _percent(plot, mark.value)
    grey = " grey" if mark.tone == "grey" else ""
    return (
        line(f"join{grey}", one, other, height / 2, height / 2)
        + circle("dot grey hollow", one, height / 2, 4)
        + circle("dot lead", other, height / 2, 4)
    )


def _spark(mark: Mark, height: float, width: float | None) -> str:
    known = [(place, value) for place, value in enumerate(mark.points) if value is not None]
    if not known:
        return ""
    values = [value for _, value in known]
    low, high = min(values), max(values)
    last = max(len(mark.points) - 1, 1)
    top, room = 4.0, height - 8.0

    def y(value: float) -> float:
        return top + room * (1 - (value - low) / (high - low) if high > low else 0.5)

    end = _SPARK_SHARE * known[-1][0] / last
    points = [(place / last, y(value)) for place, value in known]
    return strokes([("line", points)], share=_SPARK_SHARE, height=height, width=width) + circle(
        "dot lead", f"{short_number(end)}%", y(known[-1][1]), 3
    )


def strokes(
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    share: float,
    height: float,
    width: float | None,
) -> str:
    """Lines and areas over a share (percent) of the width; x runs from 0 to 1, y is in pixels.

    Where the width is not known the lines stretch with the page, and their strokes do not.
    """
    scale = 100.0 if width is None else width * share / 100
    drawn = []
    for kind, points in lines:
        where = " ".join(f"{short_number(scale * x)},{short_number(y)}" for x, y in points)
        form = "polygon" if kind == "band" else "polyline"
        effect = ' vector-effect="non-scaling-stroke"' if width is None else ""
        drawn.append(f'<{form} class="{kind}" points="{where}"{effect}/>')
    if width is not None:
        return "".join(drawn)
    return (
        f'<svg x="0" y="0" width="{share:g}%" height="{height:g}" viewBox="0 0 100 {height:g}" '
        f'preserveAspectRatio="none">{"".join(drawn)}</svg>'
    )


_FORMS: Final = {
    "dot": _dot,
    "bar": _bar,
    "span": _span,
    "bullet": _bullet,
    "pair": _pair,
}


def draw_axis(plot: Plot) -> str:
    """The labels under the ticks; those that would leave the axis stand further in."""
    parts = [open_svg("axis", 16)]
    for tick, label in plot.ticks:
        place, half = _place(plot, tick), 50.0 * len(label) / AXIS_CHARACTERS
        x, anchor = place, "middle"
        if place < half:
            x, anchor = _INSET, "start"
        elif place > 100 - half:
            x, anchor = 100 - _INSET, "end"
        parts.append(f'<text x="{short_number(x)}%" y="12" text-anchor="{anchor}">{escape(label)}</text>')
    return "".join(parts) + "</svg>"


def draw_rungs(rungs: int) -> str:
    """How far up the ladder of evidence a design stands, of four."""
    bars = "".join(
        f'<rect class="rung{"" if place < rungs else " off"}" x="{place * 7}" y="0" width="6" height="10"/>'
        for place in range(4)
    )
    return open_svg("rungs", 10, width="27") + bars + "</svg>"
