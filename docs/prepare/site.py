"""Hooks of the site's builder: pages that are made from the code, so that they cannot be older than it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docs.prepare.reference import reference

API_PAGES = {
    "api-desk.md": (
        "The words of a notebook",
        ("tributary.words", "tributary.crediting", "tributary.result"),
    ),
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
            "attribution.effects.estimators.nuisance",
        ),
    ),
}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, and the README as the first one."""
    from mkdocs.structure.files import File

    readme = (Path(config["config_file_path"]).parent / "README.md").read_text(encoding="utf-8")
    pages = {
        "configuration.md": reference(),
        "index.md": readme.replace("](docs/", "]("),
    }
    for name, (title, modules) in API_PAGES.items():
        pages[name] = "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules)]) + "\n"
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files
