"""A bundle's report drawn again, from the context that the bundle keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import orjson

from experiments.bundle.reading import Bundle
from histories.errors import BundleError, ConfigError, nearest
from reports import ReportContext, render_html, render_json
from reports.pdf import render_pdf

__all__ = ["FORMATS", "redraw_report"]

FORMATS: Final[dict[str, Callable[[ReportContext], bytes]]] = {
    "html": lambda context: render_html(context).encode(),
    "pdf": render_pdf,
    "json": render_json,
}


def redraw_report(bundle: Bundle, *, formats: Sequence[str], folder: Path) -> list[Path]:
    """Write the report in each format into a folder; return the files.

    Raises
    ------
    ConfigError
        When a format is unknown, or its extra is not installed.
    BundleError
        When the bundle holds no report.
    """
    wanted = [name.strip().lower() for name in formats]
    for name in wanted:
        if name not in FORMATS:
            raise ConfigError(f'unknown report format "{name}"; {nearest(name, FORMATS)}')
    kept = bundle.file("report.json")
    if kept is None:
        raise BundleError(f"{bundle.path}: holds no report.json. Run the configuration again.")
    context = ReportContext.from_dict(orjson.loads(kept))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in wanted:
        path = folder / f"report.{name}"
        path.write_bytes(FORMATS[name](context))
        written.append(path)
    return written
