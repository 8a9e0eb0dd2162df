"""A forest of estimates as one SVG that stands alone: a name, a dot with its interval, an axis below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from reports.context import Mark, Plot
from reports.drawing import draw_axis, draw_plot, with_colours
from reports.numbers import axis_number, nice_scale

__all__ = ["Estimate", "draw_forest"]

_ROW: Final = 24
_NAMES: Final = 270
_WIDTH: Final = 760
_TITLE: Final = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One row: what is estimated, the figure, its interval where there is one, whether it is supported."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    supported: bool = True


def draw_forest(estimates: Sequence[Estimate], *, title: str) -> str:
    """One row for each estimate that has a figure; hollow and grey where it is not supported."""
    drawn = [row for row in estimates if row.value is not None]
    low, high, ticks = nice_scale(end for row in drawn for end in (row.value, row.low, row.high))
    plot = Plot(low=low, high=high, zero=0.0, ticks=tuple((tick, axis_number(tick)) for tick in ticks))
    place = f'x="{_NAMES}" width="{_WIDTH - _NAMES}"'
    rows = []
    for position, row in enumerate(drawn):
        y = _TITLE + position * _ROW
        rows.append(
            f'<text x="0" y="{y + _ROW / 2 + 4:g}">{escape(row.name.replace("_", " "))}</text>'
            f'<svg {place} y="{y}" height="{_ROW}">{draw_plot(plot, [_mark(row)])}</svg>'
        )
    below = _TITLE + len(drawn) * _ROW
    axis = f'<svg {place} y="{below}" height="20">{draw_axis(plot)}</svg>'
    head = f'<text class="name" x="0" y="14">{escape(title)}</text>'
    whole = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{below + 22}" role="img" '
        f'aria-label="{escape(title)}">{head}{"".join(rows)}{axis}</svg>'
    )
    return with_colours(whole, width=_WIDTH)


def _mark(row: Estimate) -> Mark:
    holds_zero = row.low is not None and row.high is not None and row.low <= 0 <= row.high
    return Mark(
        form="dot",
        value=row.value,
        low=row.low,
        high=row.high,
        tone="lead" if row.supported else "grey",
        hollow=holds_zero,
    )
