"""One context object, rendered as HTML, PDF and JSON.

A name is imported when it is first asked for: who reads the settings alone does not load the drawing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.build import build_context, render_report
    from reports.context import ReportContext
    from reports.html import render_html
    from reports.settings import ReportSettings
    from reports.sources import ReportSources

__all__ = [
    "ReportContext",
    "ReportSettings",
    "ReportSources",
    "build_context",
    "render_html",
    "render_report",
]

_HOMES = {
    "ReportContext": "reports.context",
    "ReportSettings": "reports.settings",
    "ReportSources": "reports.sources",
    "build_context": "reports.build",
    "render_html": "reports.html",
    "render_report": "reports.build",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"reports has no {name!r}.")
    globals()[name] = getattr(import_module(_HOMES[name]), name)
    return globals()[name]
