"""Cells as text: one rule for every number that a rendering shows."""

from __future__ import annotations

from reports.context import Cell, Column, Ledger, Verdict
from reports.numbers import decimal, signed

_TINTS = 10


def shown(column: Column, cell: Cell, *, unsigned: bool = False) -> str:
    """A cell of numbers, ranges or text as a reader sees it; drawings are drawn, not shown.

    >>> shown(Column(title="", divisor=1000, signed=True), 150257.0)
    '+150.3'
    >>> shown(Column(title="", form="range", divisor=0.01, suffix="%"), (-0.013, 0.076))
    '−1.3% to 7.6%'
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Verdict):
        return cell.text
    if column.form == "range" and isinstance(cell, tuple):
        low, high = (_number(column, float(end), unsigned) for end in cell)  # type: ignore[arg-type]
        return f"{low} to {high}"
    if isinstance(cell, int | float):
        return _number(column, float(cell), unsigned)
    return ""


def _number(column: Column, value: float, unsigned: bool) -> str:
    if column.form == "tint":
        return decimal(value * 100, 0)
    text = f"{decimal(value / column.divisor, column.decimals)}{column.suffix}"
    if column.prefix:
        minus = text[:1] if text[:1] in "−<>" else ""
        text = f"{minus}{column.prefix}{text[len(minus) :]}"
    return signed(text) if column.signed and not unsigned else text


def tint(cell: Cell, ledger: Ledger) -> int:
    """How dark a shaded cell is, from 0 to 10, against the darkest of its table."""
    top = max((float(c) for row in ledger.rows for c in row.cells if isinstance(c, int | float)), default=0.0)
    if not isinstance(cell, int | float) or top <= 0:
        return 0
    return round(_TINTS * max(0.0, float(cell)) / top)


def has_axis(ledger: Ledger) -> bool:
    """Whether a drawing of the ledger has labels under it."""
    return any(column.plot is not None and column.plot.ticks for column in ledger.columns)
