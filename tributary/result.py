"""What a word of the front door answers: a frame that prints, with what stands behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

_SHOWN_ROWS = 40


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing as SVG text; a notebook shows it, `save` writes it."""

    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write the SVG; returns where it is."""
        written = Path(path)
        written.write_text(self.svg, encoding="utf-8")
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A table, what it is called, and how far to believe it.

    Attributes
    ----------
    title
        What the table holds, with units.
    frame
        The whole table.
    notes
        What a reader should know, in sentences.
    shown
        Columns and rows that a terminal or a notebook shows; None for the whole table.
    detail
        The package's own result behind the table, for those who want more.
    draw
        Makes the picture that `plot` shows.
    """

    title: str
    frame: pl.DataFrame
    notes: tuple[str, ...] = ()
    shown: pl.DataFrame | None = None
    detail: Any = None
    draw: Callable[[], str] | None = None

    def to_frame(self) -> pl.DataFrame:
        """The whole table, a Polars frame; `.to_pandas()` and `.to_arrow()` of it are others."""
        return self.frame

    def plot(self) -> Picture:
        """The table's picture.

        Raises
        ------
        DataError
            When this table has none.
        """
        from histories.errors import DataError

        if self.draw is None:
            raise DataError(f"{self.title}: there is no picture of this table.")
        return Picture(self.draw())

    def __repr__(self) -> str:
        with _printing():
            table = str(self._shown())
        return "\n".join([self.title, table, *self.notes])

    def _repr_html_(self) -> str:
        with _printing():
            table = self._shown()._repr_html_()
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<p><b>{escape(self.title)}</b></p>{table}" + (f"<ul>{notes}</ul>" if notes else "")

    def _shown(self) -> pl.DataFrame:
        return self.frame if self.shown is None else self.shown


def _printing() -> pl.Config:
    """How tables are printed: plain, a column in one line."""
    return pl.Config(
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_rows=_SHOWN_ROWS,
        tbl_cols=-1,
        tbl_width_chars=140,
        fmt_str_lengths=60,
    )


def forest(frame: pl.DataFrame, name: str, value: str, title: str) -> str:
    """A row for each figure in column `value`, with its interval where `low` and `high` are there; SVG."""
    from reports.pictures import Estimate, draw_forest

    rows = [
        Estimate(
            name=str(row[name]),
            value=row[value],
            low=row.get("low"),
            high=row.get("high"),
            supported=row.get("supported", True),
        )
        for row in frame.iter_rows(named=True)
    ]
    return draw_forest(rows, title=title)
