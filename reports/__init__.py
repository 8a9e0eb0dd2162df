"""One context object, rendered as HTML, PDF and JSON."""

from reports.build import build_context, render_json, render_report
from reports.charts import draw_svg
from reports.context import Figure, ReportContext, Section, Table, Tile
from reports.html import render_html
from reports.settings import ReportSettings
from reports.sources import ReportSources

__all__ = [
    "Figure",
    "ReportContext",
    "ReportSettings",
    "ReportSources",
    "Section",
    "Table",
    "Tile",
    "build_context",
    "draw_svg",
    "render_html",
    "render_json",
    "render_report",
]
