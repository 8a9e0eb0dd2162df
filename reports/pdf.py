"""The report as PDF: the same context and the same drawings, set by typst (extra `pdf`).

The two pages of the board are set with as much room as they allow: where they would run over, they are set
again with less between the lines, until they fit.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import tempfile
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from histories.errors import ConfigError
from reports.cells import has_axis, shown, tint
from reports.chart_drawing import clipped, draw_lines, draw_slope
from reports.context import Column, Ledger, Mark, ReportContext, Row, Tile, Verdict
from reports.drawing import draw_axis, draw_plot, draw_rungs, with_colours
from reports.html import first_figure, glossary, grouped, is_course
from reports.styles import LIGHT_PAGE

BOARD_PAGES: Final = 2
PAGE_WIDTH: Final = 180.0 / 25.4 * 72  # A4 less both margins, in points
PRINT: Final = 0.74
"""Points of the page for each pixel of a drawing."""
OTHER_SCRIPTS: Final = re.compile(
    "[\u0530-\u1cff\u2c80-\u2dff\u3040-\ud7ff\uf900-\ufdff\U00020000-\U0003ffff]"
)
"""Letters beyond Latin, Greek and Cyrillic, which our fonts lack: the machine's own may have them."""
LONGEST_NAME, UNBROKEN = 90, 22
"""Letters of a row's name, and of a run of them that a narrow column holds."""

_TIGHTNESS: Final = (1.0, 0.85, 0.7, 0.5, 0.3, 0.15)


def render_pdf(context: ReportContext) -> bytes:
    """The whole report as A4 pages.

    Raises
    ------
    ConfigError
        When the extra `pdf` is not installed.
    """
    try:
        import typst
    except ImportError as error:
        raise ConfigError(
            "PDF reports need the package typst. Install tributary-clv[pdf], or ask for html."
        ) from error
    with as_file(files("reports") / "static" / "fonts") as fonts, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.typ"
        for room in _TIGHTNESS:
            source = report_source(context, room=room)
            path.write_text(source, encoding="utf-8")
            alone = OTHER_SCRIPTS.search(source) is None
            compiler = typst.Compiler(str(path), font_paths=[str(fonts)], ignore_system_fonts=alone)
            found = json.loads(compiler.query("<board-end>", field="value", one=True))
            if found <= BOARD_PAGES:
                break
        pdf = compiler.compile(format="pdf", timestamp=_day(context))
        assert isinstance(pdf, bytes)
        return pdf


def _day(context: ReportContext) -> int:
    """The last day of the data as the document's time: the same report gives the same bytes."""
    return int(dt.datetime.fromisoformat(context.as_of).replace(tzinfo=dt.UTC).timestamp())


def report_source(context: ReportContext, *, room: float = 1.0) -> str:
    """The report in the typesetter's own language; `room` is a share of the space between its parts."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"), autoescape=False, undefined=jinja2.StrictUndefined
    )
    environment.filters["typ"] = _literal
    environment.globals |= {
        "grouped": grouped,
        "kind": lambda block: type(block).__name__,
        "ledger_of": _ledger,
        "tile_drawing": _tile,
        "slope_drawing": lambda slope: _image(draw_slope(slope), PAGE_WIDTH, slope.alt),
        "lines_drawing": lambda lines: _image(
            draw_lines(lines, width=PAGE_WIDTH / PRINT), PAGE_WIDTH, lines.alt
        ),
    }
    template = environment.get_template("report.typ.jinja")
    footer = f"Tributary board report · run {context.run_id[:12]} · data to {context.as_of_words}"
    return str(
        template.render(report=context, footer=footer, terms=glossary(context), colours=LIGHT_PAGE, room=room)
    )


def _literal(text: str) -> str:
    r"""A text as a string of the typesetting language, whatever it holds.

    >>> print(_literal('a "quoted" #word'))
    "a \"quoted\" #word"
    """
    return json.dumps(text, ensure_ascii=False)


def _image(svg: str, width: float, alt: str = "") -> str:
    drawn = with_colours(svg, width=width / PRINT)
    words = f", alt: {_literal(alt)}" if alt else ""
    return f'image(bytes({_literal(drawn)}), format: "svg", width: {width:.2f}pt{words})'


def _tile(tile: Tile, width: float) -> str:
    if tile.plot is None or tile.mark is None:
        return "[]"
    return _artifact(_image(draw_plot(tile.plot, (tile.mark,), height=18), width))


def _artifact(image: str) -> str:
    """A drawing whose figure stands beside it: nothing for a reader who listens."""
    return f"pdf.artifact({image})"


def _text(words: str, *, size: str = "", weight: int = 0, fill: str = "") -> str:
    options = [f"size: {size}"] if size else []
    options += [f"weight: {weight}"] if weight else []
    options += [f"fill: {fill}"] if fill else []
    return f"text({', '.join([*options, _literal(words)])})"


def _breakable(name: str) -> str:
    """A name of whatever length for a narrow column: cut, and long runs of letters may break.

    >>> _breakable("newsletter"), len(_breakable("x" * 300)) < 100, "\u200b" in _breakable("x" * 300)
    ('newsletter', True, True)
    """
    return re.sub(rf"\S{{{UNBROKEN}}}(?=\S)", "\\g<0>\u200b", clipped(name, LONGEST_NAME))


def _ledger(ledger: Ledger, width: float) -> str:
    """One ledger as a table of the typesetting language; columns that are drawn share what is left."""
    widths = _widths(ledger, width)
    columns = ", ".join(f"{one:.1f}pt" for one in widths)
    aligned = [
        "left",
        *("left" if c.form in ("plot", "tint") or not c.aligned_right else "right" for c in ledger.columns),
    ]
    aligned = [
        "center" if place and ledger.columns[place - 1].form == "tint" else one
        for place, one in enumerate(aligned)
    ]
    head = ", ".join(
        _text(c.title, size="7.3pt", fill="ink3", weight=500) for c in [_named(ledger), *ledger.columns]
    )
    rows = [_row(ledger, row, widths) for row in ledger.rows]
    if has_axis(ledger):
        rows.append(_axis(ledger, widths))
    drawn = any(column.form == "plot" for column in ledger.columns)
    pad = (1.6 if ledger.dense else 2.4) if drawn else (3.0 if ledger.dense else 4.2)
    return (
        f"ledger(({columns},), ({', '.join(aligned)},), ({head},), ({', '.join(rows)},), pad: {pad}pt, "
        f"count: {len(rows)}, axis: {'true' if has_axis(ledger) else 'false'})"
    )


def _named(ledger: Ledger) -> Column:
    return Column(title=ledger.label, form="text")


_CHARACTER: Final = 4.3  # points of an average character at 8 pt
_PAD: Final = 8.0


def _widths(ledger: Ledger, width: float) -> list[float]:
    """Names and figures as wide as their words; the rest for drawings, or for words that may break."""
    if any(column.form == "tint" for column in ledger.columns):
        first = 92.0
        return [first, *[(width - first) / len(ledger.columns)] * len(ledger.columns)]
    words = [
        max(_wide(row.name, 1.05), _wide(row.detail, 0.92) + (24 if row.rungs else 0))
        for row in ledger.rows
        if row.role != "group"
    ]
    name = min(max([*words, _wide(ledger.label, 0.95), 40.0]) + _PAD, width * 0.36)
    fixed: list[float | None] = [name]
    flexible: dict[int, float] = {}
    for place, column in enumerate(ledger.columns):
        if column.form == "plot":
            fixed.append(46.0 if is_course(column) else None)
            if not is_course(column):
                flexible[place + 1] = 1.0
            continue
        cells = [shown(column, row.cells[place], unsigned=row.unsigned) for row in ledger.rows if row.cells]
        needed = max([_wide(text, 1.0) for text in cells] + [_wide(column.title, 0.95)]) + _PAD
        if column.form == "verdict":
            needed += 13
        if column.form == "text" and not column.aligned_right:
            flexible[place + 1] = needed
            fixed.append(None)
        else:
            fixed.append(needed)
    left = width - sum(one for one in fixed if one is not None)
    if not flexible:
        fixed[0] = name + left
        return [float(one or 0.0) for one in fixed]
    weight = left / sum(flexible.values())
    return [max(flexible[place] * weight, 30.0) if one is None else one for place, one in enumerate(fixed)]


def _wide(text: str, scale: float) -> float:
    return len(text) * _CHARACTER * scale


def _row(ledger: Ledger, row: Row, widths: Sequence[float]) -> str:
    bold = 620 if row.role in ("total", "lead", "group") else 400 if row.role in ("child", "muted") else 500
    fill = "accent" if row.role == "lead" else "ink3" if row.role == "muted" else "ink"
    name = _text(_breakable(row.name), weight=600 if bold == 620 else bold, fill=fill)
    if row.role == "child":
        name = f"pad(left: 10pt, {name})"
    if row.role == "group":
        rungs = (
            f"box(baseline: 1pt, {_artifact(_image(draw_rungs(row.rungs), 20))}) + h(4pt) + "
            if row.rungs
            else ""
        )
        detail = _text(row.detail, size="7.3pt", fill="ink3")
        inset = "inset: (top: 8pt, bottom: 3pt, left: 0pt)"
        return f"table.cell(colspan: {len(widths)}, {inset}, {name} + h(6pt) + {rungs}{detail})"
    if row.detail or row.rungs:
        rungs = (
            f"box(baseline: 1pt, {_artifact(_image(draw_rungs(row.rungs), 20))}) + h(4pt) + "
            if row.rungs
            else ""
        )
        name = f"stack(spacing: 2.5pt, {name}, {rungs}{_text(row.detail, size='7.3pt', fill='ink3')})"
    cells = [name]
    for place, column in enumerate(ledger.columns):
        cells.append(_cell(ledger, column, row, place, widths[place + 1]))
    return ", ".join(cells)


def _cell(ledger: Ledger, column: Column, row: Row, place: int, width: float) -> str:
    value = row.cells[place]
    if column.form == "plot":
        if not isinstance(value, tuple) or not value or column.plot is None:
            return "[]"
        marks = [mark for mark in value if isinstance(mark, Mark)]
        height = 18 if ledger.dense else 21
        drawn = draw_plot(column.plot, marks, height=height, width=(width - 6) / PRINT)
        return _artifact(_image(drawn, width - 6))
    if isinstance(value, Verdict):
        return f"chip({_literal(value.text)}, {_literal(value.tone)})"
    text = shown(column, value, unsigned=row.unsigned)
    if column.form == "tint":
        if value is None:
            return "[]"
        percent = 4.2 * tint(value, ledger)
        size = "7.3pt" if len(ledger.columns) <= 18 else "5.6pt"
        return f"table.cell(fill: accent.transparentize({100 - percent:.0f}%), {_text(text, size=size)})"
    lead = row.role == "lead" and place == first_figure(ledger)
    strong = row.role == "total" or column.strong or lead
    fill = (
        "accent"
        if lead
        else "ink3"
        if row.role == "muted"
        else "ink2"
        if column.form in ("range", "text")
        else "ink"
    )
    return _text(text, weight=600 if strong else 400, fill=fill)


def _axis(ledger: Ledger, widths: Sequence[float]) -> str:
    cells = ["[]"]
    for place, column in enumerate(ledger.columns):
        drawn = column.plot is not None and bool(column.plot.ticks)
        axis = draw_axis(column.plot) if drawn and column.plot is not None else ""
        cells.append(_artifact(_image(axis, widths[place + 1] - 6)) if drawn else "[]")
    return ", ".join(cells)
