"""The report as one value: every figure with its interval, sample size, dates and definition.

HTML, PDF and JSON are renderings of a `ReportContext`; none of them computes anything. The JSON is the
context itself, so a bundle's `report.json` is enough to draw the report again.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

__all__ = ["CHART_FORMS", "Cell", "ChartForm", "Figure", "ReportContext", "Section", "Table", "Tile"]

ChartForm = Literal["ranges", "bars", "lines", "heatmap", "calibration"]
CHART_FORMS: Final[tuple[ChartForm, ...]] = ("ranges", "bars", "lines", "heatmap", "calibration")
FORMAT_VERSION: Final = 1

Cell = str | float | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One of the figures that open the report.

    `text` is the figure as a reader sees it; an unsupported tile has no figure and says why.
    """

    label: str
    text: str
    detail: str = ""
    supported: bool = True
    definition: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart: its form, its rows, and the words that make it readable alone.

    Rows carry the keys of the form:

    - ``ranges``: label, series, value, low, high (low and high may be null)
    - ``bars``: label, series, value
    - ``lines``: x, series, value
    - ``heatmap``: x, y, value (null: suppressed)
    - ``calibration``: label, predicted, observed, low, high
    """

    form: ChartForm
    title: str
    rows: tuple[dict[str, Cell], ...]
    x_title: str = ""
    y_title: str = ""
    caption: str = ""
    reference: float | None = None  # a line to compare with, such as no effect
    percent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text and numbers under named columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report; it opens with a sentence that states its finding."""

    key: str
    title: str
    finding: str
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """Everything that a rendering needs, and nothing else."""

    title: str
    headline: str
    as_of: str
    span: str
    currency: str
    run_id: str
    model_version: str
    tiles: tuple[Tile, ...] = ()
    sections: tuple[Section, ...] = ()
    made_on: str = field(default_factory=lambda: dt.date.today().isoformat())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` restores an equal context."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Restore the context that `to_dict` wrote."""
        plain = {key: value for key, value in values.items() if key != "format_version"}
        plain["tiles"] = tuple(Tile(**tile) for tile in plain["tiles"])
        plain["sections"] = tuple(_section(section) for section in plain["sections"])
        return cls(**plain)


def _section(values: dict[str, Any]) -> Section:
    figures = tuple(Figure(**{**f, "rows": tuple(f["rows"])}) for f in values["figures"])
    tables = tuple(
        Table(**{**t, "columns": tuple(t["columns"]), "rows": tuple(tuple(row) for row in t["rows"])})
        for t in values["tables"]
    )
    return Section(**{**values, "figures": figures, "tables": tables, "notes": tuple(values["notes"])})
