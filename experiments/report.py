"""A bundle's report drawn again from its tables, with any other bundle as the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from experiments.bundle.manifest import read_manifest
from experiments.bundle.reading import Bundle, load_bundle
from experiments.bundle.sources import kept_report, report_sources
from experiments.champion import champion
from experiments.config import RunConfig
from histories.durable import make_folder, write_whole
from histories.errors import ConfigError, nearest
from reports.build import build_context, render_json
from reports.context import ReportContext
from reports.html import render_html
from reports.pdf import render_pdf

FORMATS: Final[dict[str, Callable[[ReportContext], bytes]]] = {
    "html": lambda context: render_html(context).encode(),
    "pdf": render_pdf,
    "json": render_json,
}


def previous_report(config: RunConfig, runs: Path) -> dict[str, Any] | None:
    """The `report.json` of the report before a run: the configured bundle's, else the served one's.

    Raises
    ------
    BundleError
        When `[report] previous` names a folder that is no bundle, or one without a report.
    """
    if config.report.previous is not None:
        return kept_report(load_bundle(config.base_dir / config.report.previous, verify=False), required=True)
    served = champion(runs)
    if served is None or read_manifest(served)[0].get("name") != config.name:
        return None
    return kept_report(load_bundle(served, verify=False), required=False)


def report_context(bundle: Bundle, *, previous: Path | None = None) -> ReportContext:
    """The report of a bundle as one value, made from its tables."""
    before = None if previous is None else kept_report(load_bundle(previous, verify=False), required=True)
    return build_context(report_sources(bundle, before))


def redraw_report(
    bundle: Bundle, *, formats: Sequence[str], folder: Path, previous: Path | None = None
) -> list[Path]:
    """Write the report in each format into a folder; return the files.

    Raises
    ------
    ConfigError
        When a format is unknown, or its extra is not installed.
    BundleError
        When `previous` holds no report.
    """
    wanted = known_formats(formats)
    make_folder(folder)
    context = report_context(bundle, previous=previous)
    drawn = {name: FORMATS[name](context) for name in wanted}
    written = []
    for name, content in drawn.items():
        path = folder / f"report.{name}"
        write_whole(path, content)
        written.append(path)
    return written


def known_formats(formats: Sequence[str]) -> list[str]:
    """The formats asked for, in lower case.

    Raises
    ------
    ConfigError
        When one is unknown.
    """
    wanted = [name.strip().lower() for name in formats if name.strip()]
    for name in wanted:
        if name not in FORMATS:
            raise ConfigError(f'unknown report format "{name}"; {nearest(name, FORMATS)}')
    if not wanted:
        raise ConfigError(f"no report format was named; there are {', '.join(FORMATS)}.")
    return list(dict.fromkeys(wanted))
