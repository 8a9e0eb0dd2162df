"""Each mark drawn exactly, and charts whose names never stand on each other."""

import re
from itertools import pairwise

import pytest

from reports.cells import shown, tint
from reports.chart_drawing import draw_slope
from reports.context import Column, Ledger, Mark, Plot, Row, Slope, SlopePoint
from reports.drawing import draw_axis, draw_plot, with_colours

PLOT = Plot(low=-10.0, high=10.0, zero=0.0, ticks=((-10.0, "−£10"), (0.0, "0"), (10.0, "+£10")))
EMPTY = draw_plot(Plot(low=-10.0, high=10.0), ())


def inside(mark: Mark, height: float = 24) -> str:
    """The mark alone, on an axis from -10 to 10."""
    svg = draw_plot(Plot(low=-10.0, high=10.0), (mark,), height=height)
    return re.sub(r"^<svg[^>]*>|</svg>$", "", svg)


@pytest.mark.parametrize(
    ("mark", "drawn"),
    [
        (
            Mark(form="dot", value=0.0, low=-5.0, high=5.0, hollow=True),
            '<line class="range other" x1="25.75%" x2="74.25%" y1="12" y2="12"/>'
            '<circle class="dot other hollow" cx="50%" cy="12" r="4.5"/>',
        ),
        (
            Mark(form="bar", start=0.0, value=5.0, tone="lead"),
            '<rect class="bar lead" x="50%" width="24.25%" y="6" height="12"/>',
        ),
        (
            Mark(form="bar", start=0.0, value=-5.0, hollow=True),
            '<rect class="bar other hollow" x="25.75%" width="24.25%" y="6" height="12"/>',
        ),
        (
            Mark(form="span", low=0.0, high=5.0),
            '<rect class="span" x="50%" width="24.25%" y="8" height="8" rx="4"/>',
        ),
        (
            Mark(form="pair", start=-5.0, value=5.0, tone="grey"),
            '<line class="join grey" x1="25.75%" x2="74.25%" y1="12" y2="12"/>'
            '<circle class="dot grey hollow" cx="25.75%" cy="12" r="4"/>'
            '<circle class="dot lead" cx="74.25%" cy="12" r="4"/>',
        ),
        (
            Mark(form="bullet", value=5.0, target=10.0),
            '<rect class="track" x="1.5%" width="97%" y="8" height="8"/>'
            '<rect class="bar other" x="50%" width="24.25%" y="8" height="8"/>'
            '<line class="target" x1="98.5%" x2="98.5%" y1="3" y2="21"/>',
        ),
        (
            Mark(form="spark", points=(1.0, None, 3.0)),
            '<svg x="0" y="0" width="92%" height="24" viewBox="0 0 100 24" preserveAspectRatio="none">'
            '<polyline class="line" points="0,20 100,4" vector-effect="non-scaling-stroke"/></svg>'
            '<circle class="dot lead" cx="92%" cy="4" r="3"/>',
        ),
        (Mark(form="dot"), ""),
        (Mark(form="bar"), ""),
    ],
)
def test_a_mark_is_drawn_as_it_always_was(mark: Mark, drawn: str) -> None:
    assert inside(mark) == drawn


def test_an_interval_beyond_the_axis_ends_at_its_edge() -> None:
    assert 'x1="1.5%" x2="98.5%"' in inside(Mark(form="dot", value=0.0, low=-99.0, high=99.0))


def test_labels_at_the_ends_of_an_axis_turn_inwards() -> None:
    axis = draw_axis(PLOT)
    assert '<text x="1.5%" y="12" text-anchor="start">−£10</text>' in axis
    assert '<text x="98.5%" y="12" text-anchor="end">+£10</text>' in axis


def test_names_on_a_slope_never_stand_on_each_other() -> None:
    points = tuple(SlopePoint(name=f"n{i}", left=100.0 + i / 100, right=1.0) for i in range(20))
    svg = draw_slope(Slope(points=points, left="a", right="b", alt="x"))
    height = float(re.findall(r'height="([\d.]+)"', svg)[0])
    for anchor in ("end", "start"):
        places = sorted(
            float(y)
            for y in re.findall(rf'class="name" x="[\d.]+%" y="([\d.]+)" text-anchor="{anchor}"', svg)
        )
        assert len(places) == 20
        assert all(b - a > 12 for a, b in pairwise(places))
        assert places[-1] < height - 16  # the names of the stems stand below


def test_a_drawing_that_stands_alone_carries_its_colours() -> None:
    svg = with_colours(draw_plot(PLOT, ()), width=120)
    assert 'width="120"' in svg
    assert "#0a5f73" in svg
    assert "var(" not in svg


def test_text_in_a_drawing_is_escaped() -> None:
    svg = draw_axis(Plot(low=0, high=1, ticks=((0.0, "<b>&"),)))
    assert "&lt;b&gt;&amp;" in svg


@pytest.mark.parametrize(
    ("column", "cell", "text"),
    [
        (Column(title="", divisor=1000.0), None, ""),
        (Column(title="", divisor=1000.0), 40.0, "<0.1"),
        (Column(title="", divisor=1000.0), -40.0, ">−0.1"),
        (Column(title="", divisor=1000.0, signed=True), 0.0, "0.0"),
        (Column(title="", prefix="£", decimals=2), -3.5, "−£3.50"),
        (Column(title="", prefix="£", decimals=2), "none", "none"),
        (Column(title="", form="tint"), 0.3527, "35"),
    ],
)
def test_a_figure_is_shown_by_one_rule(column: Column, cell: float | str | None, text: str) -> None:
    assert shown(column, cell) == text


def test_the_darkest_cell_of_a_shaded_table_is_ten() -> None:
    ledger = Ledger(label="", columns=(Column(title="1", form="tint"),), rows=(Row(name="", cells=(0.5,)),))
    assert tint(0.5, ledger) == 10
    assert tint(0.0, ledger) == 0
    assert tint(None, ledger) == 0
