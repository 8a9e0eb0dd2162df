"""One context object, rendered as HTML, PDF and JSON."""

from reports.build import build_context, render_json, render_report
from reports.context import ReportContext
from reports.html import render_html
from reports.pdf import render_pdf
from reports.settings import ReportSettings
from reports.sources import ReportSources

__all__ = [
    "ReportContext",
    "ReportSettings",
    "ReportSources",
    "build_context",
    "render_html",
    "render_json",
    "render_pdf",
    "render_report",
]
