"""One context object, rendered as HTML, PDF and JSON."""

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
