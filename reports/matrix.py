"""A matrix of shaded cells as SVG: what a purchase model believes by frequency and recency."""

from __future__ import annotations

from html import escape
from typing import Any, Final

import polars as pl

from reports.drawing import LIGHT

__all__ = ["draw_matrix"]

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
