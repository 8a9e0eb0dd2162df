"""The picture of a what-if: net (or margin) over the share of customers who are answered in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from care.whatif import Figure, WhatIf
from reports.chart_drawing import draw_lines
from reports.context import Lines, Series
from reports.drawing import with_colours
from reports.numbers import money, nice_scale, percent

__all__ = ["draw_what_if", "what_if_lines"]

_WIDTH: Final = 640.0


def _shown(course: Sequence[WhatIf]) -> tuple[str, list[Figure]]:
    """Net where it is known, else margin, else what it costs."""
    for name in ("net", "margin", "cost"):
        figures = [getattr(one, name) for one in course]
        if all(figure.value is not None for figure in figures):
            return name, figures
    return "", []


def what_if_lines(course: Sequence[WhatIf], currency: str | None) -> Lines | None:
    """The chart of answers by rising share; None where there is nothing in money to draw."""
    name, figures = _shown(course)
    first, last = course[0], course[-1]
    if not figures or last.share <= first.share:
        return None
    places = [(one.share - first.share) / (last.share - first.share) for one in course]
    ends = [x for figure in figures for x in (figure.value, figure.low, figure.high) if x is not None]
    low, high, ticks = nice_scale([0.0, *ends], count=3)
    middle = len(course) // 2
    final = figures[-1].value or 0.0
    return Lines(
        title="",
        subtitle=f"{name} over the share answered in time"
        + ("" if figures[-1].low is None else ", with 95% range"),
        series=(
            Series(name="0", points=((0.0, 0.0), (1.0, 0.0)), dashed=True),
            Series(
                name=money(final, currency),
                points=tuple((x, figure.value or 0.0) for x, figure in zip(places, figures, strict=True)),
                lead=True,
            ),
        ),
        x_ticks=tuple((places[at], percent(course[at].share)) for at in (0, middle, len(course) - 1)),
        y_ticks=tuple((tick, money(tick, currency)) for tick in ticks),
        low=low,
        high=high,
        band=tuple(
            (x, figure.low, figure.high)
            for x, figure in zip(places, figures, strict=True)
            if figure.low is not None and figure.high is not None
        ),
        alt=f"{name} from {percent(first.share)} to {percent(last.share)} answered in time: "
        f"{money(final, currency)} at the end",
    )


def draw_what_if(lines: Lines) -> str:
    """The chart as an SVG that stands alone."""
    return with_colours(draw_lines(lines, width=_WIDTH), width=_WIDTH)
