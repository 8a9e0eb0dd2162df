"""The report as one HTML file that needs no network and prints well."""

from __future__ import annotations

from reports.charts import draw_svg
from reports.context import Cell, Figure, ReportContext, Table
from reports.words import number

__all__ = ["render_html"]


def render_html(context: ReportContext) -> str:
    """The whole report as text; every chart is drawn inline as SVG."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["shown"] = _shown
    environment.filters["number_columns"] = _number_columns

    def draw(figure: Figure) -> Markup:
        return Markup(draw_svg(figure))  # our own SVG, its texts escaped by the chart library

    return environment.get_template("report.html.jinja").render(report=context, draw=draw)


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return number(cell) if isinstance(cell, int | float) else cell


def _number_columns(table: Table) -> frozenset[int]:
    """The positions of the columns that hold numbers only."""
    return frozenset(
        position
        for position in range(len(table.columns))
        if all(_is_number(row[position]) for row in table.rows)
        and any(row[position] is not None for row in table.rows)
    )


def _is_number(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))
