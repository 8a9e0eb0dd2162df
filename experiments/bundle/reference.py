"""The reference of a bundle's tables, written from their declarations.

``python -m experiments.bundle.reference > docs/tables.md``
"""

from __future__ import annotations

from typing import Final

import polars as pl

from clv.tables import CUSTOMERS
from experiments.bundle.tables import TABLES, BundleTable

_KINDS: Final = {
    pl.String: "text",
    pl.Int64: "whole number",
    pl.Float64: "number",
    pl.Date: "date",
    pl.Datetime: "time",
    pl.Boolean: "true or false",
}


def reference() -> str:
    """Every table and its columns, in Markdown."""
    parts = [
        "# Tables of a run",
        "Parquet files in a run's bundle, and what the service answers with. Written by "
        "`python -m experiments.bundle.reference` from the declarations in the code.",
    ]
    for name, table in TABLES.items():
        parts += [f"## {name}", table.words, *_asked(table), _columns(name, table)]
    return "\n\n".join(parts) + "\n"


def _asked(table: BundleTable) -> list[str]:
    """How a client asks for its rows."""
    if not table.route:
        return []
    filters = ", ".join(f"`{column}`" for column in table.filters)
    return [
        f"`GET /v1/{table.route}`, `client.{table.called}(...)`; filters {filters}.",
    ]


def _columns(name: str, table: BundleTable) -> str:
    if name == "customers":
        rows = [f"| `{c.name}` | {_kind(c.dtype)} | {c.unit} | {c.words} |" for c in CUSTOMERS]
        return "\n".join(["| column | kind | unit | meaning |", "| --- | --- | --- | --- |", *rows])
    rows = [f"| `{column}` | {_kind(dtype)} |" for column, dtype in table.schema.items()]
    return "\n".join(["| column | kind |", "| --- | --- |", *rows])


def _kind(dtype: pl.DataType | type[pl.DataType]) -> str:
    return _KINDS.get(dtype.base_type(), str(dtype).lower())


if __name__ == "__main__":
    print(reference(), end="")
