"""The report as one HTML file that needs no network, reads on a phone, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from reports.cells import has_axis, shown, tint
from reports.chart_drawing import draw_lines, draw_slope
from reports.context import Block, Column, Ledger, Lines, ReportContext, Slope
from reports.drawing import draw_axis, draw_plot, draw_rungs
from reports.numbers import decimal
from reports.styles import stylesheet


def render_html(context: ReportContext) -> str:
    """The whole report as text; every chart is drawn inline as SVG."""
    from markupsafe import Markup

    template = environment().get_template("report.html.jinja")
    style = Markup(stylesheet())  # our own, without a word of the data
    return str(template.render(report=context, style=style, terms=glossary(context)))


@cache
def environment(*packages: str) -> Any:
    """The templates of the report, and of the packages named, with the drawing functions."""
    import jinja2
    from markupsafe import Markup

    loader = jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in ("reports", *packages)])
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)

    def drawn(draw: Callable[..., str]) -> Callable[..., Markup]:
        return lambda *args, **options: Markup(draw(*args, **options))  # our SVG, its texts escaped

    made.globals |= {
        "shown": shown,
        "tint": tint,
        "has_axis": has_axis,
        "grouped": grouped,
        "kind": lambda block: type(block).__name__,
        "is_course": is_course,
        "first_figure": first_figure,
        "hidden_figures": hidden_figures,
        "kept_titles": kept_titles,
        "line_rows": line_rows,
        **{f.__name__: drawn(f) for f in (draw_plot, draw_axis, draw_rungs)},
        "draw_slope": drawn(lambda slope: _fitting(draw_slope(slope), draw_slope(slope, narrow=True))),
        "draw_lines": drawn(lambda lines: _fitting(draw_lines(lines), draw_lines(lines, narrow=True))),
    }
    made.tests["course"] = is_course
    made.tests["drawn"] = is_drawn
    return made


def _fitting(wide: str, narrow: str) -> str:
    """Both forms of a chart; the style sheet shows the one that fits the room there is."""
    return f'<div class="drawn">{wide}{narrow}</div>'


def is_course(column: Column) -> bool:
    """Whether a column holds spark lines."""
    return column.form == "plot" and column.title == "course"


def is_drawn(block: Block) -> bool:
    """Whether a block holds a drawing."""
    if isinstance(block, Ledger):
        return any(column.form == "plot" for column in block.columns)
    return isinstance(block, Slope | Lines)


def first_figure(ledger: Ledger) -> int:
    """Position of the figure that carries the accent of a leading row."""
    numbers = [(place, column) for place, column in enumerate(ledger.columns) if column.form == "number"]
    ranked = sorted(numbers, key=lambda one: (not one[1].strong, not one[1].signed))
    return ranked[0][0] if ranked else -1


def hidden_figures(ledger: Ledger) -> bool:
    """Whether a narrow screen leaves figures out that can be unfolded."""
    return any(not column.phone and column.form in ("number", "range", "text") for column in ledger.columns)


def kept_titles(ledger: Ledger) -> str:
    """What the figures are that a narrow screen keeps beside the name, where no head stands above them.

    >>> columns = Column(title="£ each", phone=True), Column(title="n")
    >>> kept_titles(Ledger(label="a", columns=columns, rows=()))
    '£ each'
    """
    kept = [c.title for c in ledger.columns if c.phone and c.aligned_right and c.form != "verdict"]
    return ", ".join(title for title in kept if title)


def grouped(blocks: tuple[Block, ...]) -> list[tuple[Block, ...]]:
    """Blocks in their order; two half ledgers that follow each other stand side by side."""
    rows: list[tuple[Block, ...]] = []
    for block in blocks:
        half = isinstance(block, Ledger) and block.half
        last = rows[-1] if rows else ()
        if half and len(last) == 1 and isinstance(last[0], Ledger) and last[0].half:
            rows[-1] = (last[0], block)
        else:
            rows.append((block,))
    return rows


def line_rows(lines: Lines) -> list[tuple[str, list[str]]]:
    """The figures behind a line chart at its labelled times."""
    rows = []
    for place, label in lines.x_ticks:
        values = []
        for series in lines.series:
            nearest = min(series.points, key=lambda point: abs(point[0] - place))
            values.append(decimal(nearest[1], 0 if abs(lines.high) >= 100 else 2))
        rows.append((label, values))
    return rows


def glossary(context: ReportContext) -> tuple[tuple[str, str], ...]:
    """Every word that a section defines, once, in order of the alphabet."""
    found = {word: meaning for section in context.sections for word, meaning in section.terms}
    return tuple(sorted(found.items()))
