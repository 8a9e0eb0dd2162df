"""The reference of the input tables names what the program reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from histories.reading.schemas import TABLES, Table

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_stands_in_the_reference_with_what_it_allows(table: Table) -> None:
    section = PAGE.split(f"### {table.name}\n")[1].split("\n### ")[0]
    for name, column in table.columns.items():
        line = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {column.kind} |" in line
        for word in column.allowed:
            assert word in line
        if column.low is not None:
            assert column.range in line
    listed = [line for line in section.splitlines() if line.startswith("| `")]
    assert len(listed) == len(table.columns)
