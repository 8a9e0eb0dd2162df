"""Pictures as one SVG that stands alone: a forest of estimates, and a matrix of shaded cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import polars as pl

from reports.context import Mark, Plot
from reports.drawing import LIGHT, draw_axis, draw_plot, with_colours
from reports.numbers import axis_number, nice_scale

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


_CELL: Final = 22
_LEFT: Final = 46
_TOP: Final = 26
_ROWS: Final = 24  # at most, so that a label fits beside each


def draw_matrix(frame: pl.DataFrame, value: str, *, title: str, x_title: str, y_title: str) -> str:
    """One cell for each `frequency` (across) and `recency` (up), darker where `value` is larger.

    The figure of a cell is its tooltip; where there are more recencies than rows, every so many are drawn.
    """
    across = sorted(frame["frequency"].unique())
    up = sorted(frame["recency"].unique(), reverse=True)
    step = -(-len(up) // _ROWS) if up else 1
    up = up[::step]
    cells: dict[tuple[Any, Any], float] = {
        (row["frequency"], row["recency"]): row[value]
        for row in frame.iter_rows(named=True)
        if row[value] is not None
    }
    top = max(cells.values(), default=0.0) or 1.0
    width, height = _LEFT + _CELL * len(across), _TOP + _CELL * len(up) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}" font-family="Inter,system-ui,sans-serif" font-size="11" '
        f'fill="{LIGHT["ink3"]}"><text x="0" y="12" font-weight="600">{escape(title)}</text>'
    ]
    for row, recency in enumerate(up):
        y = _TOP + _CELL * row
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 15}" text-anchor="end">{recency:g}</text>')
        for column, frequency in enumerate(across):
            found = cells.get((frequency, recency))
            if found is not None:
                parts.append(
                    f'<rect x="{_LEFT + _CELL * column}" y="{y}" width="{_CELL - 1}" height="{_CELL - 1}" '
                    f'fill="{LIGHT["accent"]}" fill-opacity="{max(0.0, found / top):.3f}">'
                    f"<title>{frequency:g}, {recency:g}: {found:.3g}</title></rect>"
                )
    base = _TOP + _CELL * len(up)
    for column, frequency in enumerate(across):
        x = _LEFT + _CELL * column + _CELL // 2
        parts.append(f'<text x="{x}" y="{base + 13}" text-anchor="middle">{frequency:g}</text>')
    parts.append(f'<text x="{_LEFT}" y="{base + 29}">{escape(x_title)}; {escape(y_title)}</text></svg>')
    return "".join(parts)
