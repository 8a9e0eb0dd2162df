"""The report as one HTML file that needs no network and prints well."""

from __future__ import annotations

from reports.cells import templates
from reports.charts import draw_svg
from reports.context import Figure, ReportContext

__all__ = ["render_html"]


def render_html(context: ReportContext) -> str:
    """The whole report as text; every chart is drawn inline as SVG."""
    from markupsafe import Markup

    def draw(figure: Figure) -> Markup:
        return Markup(draw_svg(figure))  # our own SVG, its texts escaped by the chart library

    template = templates(autoescape=True).get_template("report.html.jinja")
    return str(template.render(report=context, draw=draw))
