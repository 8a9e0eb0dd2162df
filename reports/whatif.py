"""The picture of a what-if: net (or margin) over the share of customers who are answered in time."""

from __future__ import annotations

from typing import Final

import polars as pl

from reports.chart_drawing import draw_lines
from reports.context import Lines, Series
from reports.drawing import with_colours
from reports.numbers import money, nice_scale, percent

_WIDTH: Final = 640.0


def what_if_lines(course: pl.DataFrame, currency: str | None) -> Lines | None:
    """The chart of answers by rising share; None where there is nothing in money to draw.

    `course` holds rows of `care.whatif.COURSE_SCHEMA`. Net is drawn where it is known, else margin, else what
    the extra work costs.
    """
    if course.height < 2:
        return None
    name = next((one for one in ("net", "margin", "cost") if not course[one].null_count()), "")
    shares = course["share"].to_list()
    if not name or shares[-1] <= shares[0]:
        return None
    places = [(share - shares[0]) / (shares[-1] - shares[0]) for share in shares]
    values, lows, highs = (course[f"{name}{end}"].to_list() for end in ("", "_low", "_high"))
    ranged = lows[-1] is not None
    low, high, ticks = nice_scale([0.0, *(x for x in (*values, *lows, *highs) if x is not None)], count=3)
    title = {"net": "Net", "margin": "Margin", "cost": "Cost of the extra work"}[name]
    final = money(values[-1], currency)
    return Lines(
        title="",
        subtitle=f"{title} over the share answered in time" + (", with 95% range" if ranged else ""),
        series=(
            Series(name="0", points=((0.0, 0.0), (1.0, 0.0)), dashed=True),
            Series(name=final, points=tuple(zip(places, values, strict=True)), lead=True),
        ),
        x_ticks=tuple((places[at], percent(shares[at])) for at in (0, len(shares) // 2, len(shares) - 1)),
        y_ticks=tuple((tick, money(tick, currency)) for tick in ticks),
        low=low,
        high=high,
        band=tuple(zip(places, lows, highs, strict=True)) if ranged else (),
        alt=f"{title} from {percent(shares[0])} to {percent(shares[-1])} answered in time: {final} at the "
        "end",
    )


def draw_what_if(lines: Lines) -> str:
    """The chart as an SVG that stands alone."""
    return with_colours(draw_lines(lines, width=_WIDTH), width=_WIDTH)
