"""Pictures of a purchase model, from its frames to SVG."""

import datetime as dt

import pytest

from clv.pictures import alive_history, alive_matrix, frequency_recency_matrix
from clv.purchases import FitReport, GeometricFit
from reports import Figure, draw_svg
from reports.model_pictures import alive_history_figure, alive_matrix_figure, frequency_recency_figure

FIT = GeometricFit(
    r=0.2426,
    alpha=4.4136,
    a=0.7929,
    b=2.4259,
    report=FitReport(log_likelihood=-9582.43, customers=2357, covariance=None),
)
DAYS = [dt.date(2026, 1, 1), dt.date(2026, 1, 20), dt.date(2026, 2, 3)]


def figures() -> dict[str, Figure]:
    return {
        "alive": alive_matrix_figure(alive_matrix(FIT, frequency=4, age=10), time_unit="week"),
        "expected": frequency_recency_figure(
            frequency_recency_matrix(FIT, frequency=4, age=10, t=52.0), time_unit="week"
        ),
        "history": alive_history_figure(
            alive_history(FIT, DAYS, until=dt.date(2026, 4, 1), time_unit="week")
        ),
    }


@pytest.mark.parametrize("name", ["alive", "expected", "history"])
def test_each_picture_is_drawn_with_its_axes(name: str) -> None:
    figure = figures()[name]
    svg = draw_svg(figure)
    assert svg.startswith("<svg")
    assert figure.x_title in svg
    assert figure.y_title in svg


def test_the_longer_the_silence_the_lower_the_probability_of_being_alive() -> None:
    rows = {(row["x"], row["y"]): row["value"] for row in figures()["alive"].rows}
    assert rows[4, 2.0] < rows[4, 5.0] < rows[4, 10.0]


def test_one_customers_line_falls_in_silence_and_says_how_often_he_bought() -> None:
    figure = figures()["history"]
    values = [float(str(row["value"])) for row in figure.rows]
    assert values[-1] < values[-20]
    assert figure.caption.startswith("3 purchases")
