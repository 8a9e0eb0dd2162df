"""Hooks of the site's builder: pages that are made from the code, so that they cannot be older than it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docs.prepare.reference import reference
from experiments.bundle.tables import TABLES

__all__ = ["on_files", "tables_page"]

API_PAGES = {
    "api-desk.md": ("The words of a notebook", ("tributary.words", "tributary.result")),
    "api-value.md": (
        "Customer value",
        (
            "clv.valuation",
            "clv.settings",
            "clv.summary",
            "clv.purchases",
            "clv.spend",
            "clv.stack",
            "clv.season",
            "clv.subscriptions",
        ),
    ),
    "api-effects.md": (
        "Effects",
        (
            "attribution.effects.design",
            "attribution.effects.run",
            "attribution.effects.effect",
            "attribution.effects.nuisance",
        ),
    ),
}


def tables_page() -> str:
    """Every table of a bundle with its columns and types."""
    lines = [
        "# Tables of a bundle",
        "",
        "Parquet files; a table that was not made is present, empty and typed.",
    ]
    for name, schema in TABLES.items():
        lines += ["", f"## {name}", "", "| column | type |", "| --- | --- |"]
        lines += [f"| `{column}` | {dtype} |" for column, dtype in schema.items()]
    return "\n".join(lines) + "\n"


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, and the README as the first one."""
    from mkdocs.structure.files import File

    readme = (Path(config["config_file_path"]).parent / "README.md").read_text(encoding="utf-8")
    pages = {
        "configuration.md": reference(),
        "tables.md": tables_page(),
        "index.md": readme.replace("](docs/", "]("),
    }
    for name, (title, modules) in API_PAGES.items():
        pages[name] = "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules)]) + "\n"
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files
