"""One chart module for every picture: five forms, one look, SVG text out.

A picture is drawn without a browser or a network, and the same rows give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from reports.context import ChartForm, Figure

__all__ = ["PALETTE", "chart", "draw_pdf", "draw_svg"]

INK: Final = "#1d2733"
MUTED: Final = "#6b7785"
RULE: Final = "#d9dee4"
PALETTE: Final = ("#0b6e75", "#c8553d", "#6c757d", "#e0a030", "#5b5ea6", "#8ab17d", "#2a9d8f", "#9c6644")
FONT: Final = "Helvetica, Arial, sans-serif"
WIDTH: Final = 560
ROW: Final = 30
_GRID_LINES: Final = 25  # rows of a heat map above which lines between cells would hide them


def draw_svg(figure: Figure) -> str:
    """The figure as one `<svg>` element, without an XML declaration."""
    import vl_convert

    svg = str(vl_convert.vegalite_to_svg(chart(figure).to_json(validate=False)))
    return svg[svg.index("<svg") :]


def draw_pdf(figure: Figure) -> bytes:
    """The figure as a one-page PDF of its own size."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_pdf(chart(figure).to_json(validate=False)))


def chart(figure: Figure) -> Any:
    """The figure as an Altair chart, for notebooks or for changes of one's own."""
    return _look(_FORMS[figure.form](figure))


def _data(figure: Figure) -> Any:
    import altair as alt

    return alt.Data(values=[dict(row) for row in figure.rows])


def _order(figure: Figure, key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in figure.rows))


def _series_colour(figure: Figure) -> Any:
    import altair as alt

    series = _order(figure, "series")
    legend = alt.Legend(title=None, orient="top") if len(series) > 1 else None
    return alt.Color("series:N", sort=series, legend=legend, scale=alt.Scale(domain=series, range=PALETTE))


def _number(figure: Figure) -> str:
    """Axis format: percentages, plain small numbers, or thousands with a letter."""
    if figure.percent:
        return ".0%"
    sizes = [abs(v) for row in figure.rows for v in row.values() if isinstance(v, int | float)]
    return "~s" if max(sizes, default=0.0) >= 10 else ".3~g"


def _ranges(figure: Figure) -> Any:
    """Points with intervals, one row per label, series beside each other."""
    import altair as alt

    labels, series = _order(figure, "label"), _order(figure, "series")
    y = alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(labelLimit=240, ticks=False, domain=False))
    offset = alt.YOffset("series:N", sort=series)
    colour = _series_colour(figure)
    base = alt.Chart(_data(figure))
    axis = alt.Axis(format=_number(figure), title=figure.x_title or None)
    x = alt.X("value:Q", axis=axis)
    span = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(
        y=y, yOffset=offset, x=alt.X("low:Q", axis=axis), x2="high:Q", color=colour
    )
    points = base.mark_point(filled=True, size=64, opacity=1).encode(y=y, yOffset=offset, x=x, color=colour)
    layers = [span, points]
    if figure.reference is not None:
        layers.insert(
            0, alt.Chart().mark_rule(color=MUTED, strokeDash=[3, 3]).encode(x=alt.datum(figure.reference))
        )
    step = max(ROW, 11 * len(series) + 8)
    return alt.layer(*layers).properties(width=WIDTH, height=step * len(labels))


def _bars(figure: Figure) -> Any:
    import altair as alt

    labels, series = _order(figure, "label"), _order(figure, "series")
    encoding: dict[str, Any] = {
        "x": alt.X(
            "label:N", sort=labels, title=figure.x_title or None, axis=alt.Axis(labelAngle=0, ticks=False)
        ),
        "y": alt.Y("value:Q", title=figure.y_title or None, axis=alt.Axis(format=_number(figure))),
        "color": _series_colour(figure),
    }
    if len(series) > 1:
        encoding["xOffset"] = alt.XOffset("series:N", sort=series)
    bars = alt.Chart(_data(figure)).mark_bar(cornerRadiusEnd=2).encode(**encoding)
    return bars.properties(width=WIDTH, height=220)


def _lines(figure: Figure) -> Any:
    import altair as alt

    dated = bool(figure.rows) and isinstance(figure.rows[0]["x"], str)
    lines = (
        alt.Chart(_data(figure))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("x:T" if dated else "x:Q", title=figure.x_title or None),
            y=alt.Y("value:Q", title=figure.y_title or None, axis=alt.Axis(format=_number(figure))),
            color=_series_colour(figure),
        )
    )
    if figure.reference is not None:
        rule = alt.Chart().mark_rule(color=MUTED, strokeDash=[3, 3]).encode(y=alt.datum(figure.reference))
        lines = alt.layer(rule, lines)
    return lines.properties(width=WIDTH, height=240)


def _heatmap(figure: Figure) -> Any:
    import altair as alt

    columns, rows = _order(figure, "x"), _order(figure, "y")
    if all(isinstance(column, int | float) for column in columns):
        columns = sorted(columns)
    cells = (
        alt.Chart(_data(figure))
        .transform_filter("isValid(datum.value)")
        .mark_rect(stroke="white", strokeWidth=1 if len(rows) <= _GRID_LINES else 0)
        .encode(
            x=alt.X(
                "x:O",
                sort=columns,
                title=figure.x_title or None,
                axis=alt.Axis(labelAngle=0, labelOverlap=True),
            ),
            y=alt.Y("y:O", sort=rows, title=figure.y_title or None, axis=alt.Axis(labelOverlap=True)),
            color=alt.Color(
                "value:Q",
                title=None,
                scale=alt.Scale(range=["#eef4f4", PALETTE[0]]),
                legend=alt.Legend(format=_number(figure)),
            ),
        )
    )
    return cells.properties(width=WIDTH - 60, height=max(120, min(22 * len(rows), 420)))


def _calibration(figure: Figure) -> Any:
    """Predicted against observed, with the line on which both agree."""
    import altair as alt

    values = [float(v) for row in figure.rows for v in (row["predicted"], row["observed"]) if v is not None]
    top = max(values, default=1.0) * 1.05
    scale = alt.Scale(domain=[0, top])
    diagonal = (
        alt.Chart(alt.Data(values=[{"a": 0, "b": 0}, {"a": top, "b": top}]))
        .mark_line(color=MUTED, strokeDash=[3, 3])
        .encode(
            x=alt.X("a:Q", scale=scale, title=figure.x_title),
            y=alt.Y("b:Q", scale=scale, title=figure.y_title),
        )
    )
    base = alt.Chart(_data(figure)).encode(x=alt.X("predicted:Q", scale=scale))
    span = base.mark_rule(strokeWidth=2.5, opacity=0.5, color=PALETTE[0]).encode(
        y=alt.Y("low:Q", scale=scale), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=64, opacity=1, color=PALETTE[0]).encode(
        y=alt.Y("observed:Q", scale=scale)
    )
    return alt.layer(diagonal, span, points).properties(width=300, height=300)


_FORMS: Final[dict[ChartForm, Callable[[Figure], Any]]] = {
    "ranges": _ranges,
    "bars": _bars,
    "lines": _lines,
    "heatmap": _heatmap,
    "calibration": _calibration,
}


def _look(drawing: Any) -> Any:
    """The same quiet axes and type on every picture."""
    axis = {
        "labelColor": INK,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "gridColor": RULE,
        "domainColor": RULE,
        "tickColor": RULE,
        "labelFontSize": 12,
        "titleFontSize": 12,
    }
    return (
        drawing.configure(font=FONT, background="transparent")
        .configure_axis(**axis)
        .configure_view(stroke=None)
        .configure_legend(labelColor=INK, labelFontSize=12, symbolType="circle")
    )
