"""Tables on acquisition: what customers of each channel bring against what they cost."""

from __future__ import annotations

from reports.context import Cell, Table
from reports.sources import ReportSources
from reports.suppression import cells_to_suppress

__all__ = ["acquisition_tables"]


def acquisition_tables(sources: ReportSources) -> tuple[Table, ...]:
    """Value against cost by acquisition channel and cohort, and what the next customer will bring."""
    made = (
        _table(
            sources,
            "acquisition",
            title="Lifetime value against acquisition cost, by channel and cohort",
            caption="Lifetime value: past margin plus expected discounted margin, mean per customer. "
            "Payback: mean cost over mean margin per month so far.",
        ),
        _table(
            sources,
            "newcomers",
            title="What the next customer of each acquisition channel will bring",
            caption="From the purchases of those who came through the same channel, first purchase included.",
        ),
    )
    return tuple(table for table in made if table is not None)


def _table(sources: ReportSources, name: str, *, title: str, caption: str) -> Table | None:
    frame = sources.picture(name)
    if frame.is_empty() or frame["acquisition_channel"].null_count() == frame.height:
        return None
    keys = [column for column in ("acquisition_channel", "cohort") if column in frame.columns]
    labels = [
        " / ".join("unknown" if part is None else str(part) for part in row)
        for row in frame.select(keys).rows()
    ]
    counts = dict(zip(labels, frame["customers"].to_list(), strict=True))
    hidden = cells_to_suppress(counts, smallest=sources.settings.minimum_cell)
    columns = [column for column in frame.columns if column not in keys]
    rows: list[tuple[Cell, ...]] = []
    for label, row in zip(labels, frame.select(columns).rows(), strict=True):
        rows.append((label, *((None,) * len(columns) if label in hidden else map(_cell, row))))
    left_out = f" {len(hidden)} small cells are left out." if hidden else ""
    return Table(
        title=title,
        columns=(" / ".join(keys).replace("_", " "), *(column.replace("_", " ") for column in columns)),
        rows=tuple(rows),
        caption=f"{caption} Amounts in {sources.currency}.{left_out}",
    )


def _cell(value: object) -> Cell:
    return value if value is None or isinstance(value, str | float | int | bool) else str(value)
