"""What the appendix says of customer value beyond its tenths."""

import datetime as dt

import polars as pl
import pytest

from reports.build import build_context
from reports.context import Ledger, Lines

from .company import sources, validation


def test_campaigns_and_prices_are_told_by_what_one_unit_does() -> None:
    effects = {
        "campaign": {"estimate": 0.6, "std_error": 0.05},
        "price": {"estimate": -0.02, "std_error": 0.02},
    }
    model = {"chosen": "stack", "horizon_months": 12, "forecast": {"clock": {"covariates": effects}}}
    section = build_context(sources(model=model)).section("value")
    assert section is not None
    told = next(b for b in section.blocks if getattr(b, "label", "") == "One unit more")
    assert isinstance(told, Ledger)
    first, second = told.rows
    assert first.cells[1] == pytest.approx(0.8221, abs=1e-4)
    assert first.cells[2] == pytest.approx((0.6520, 1.0098), abs=1e-4)
    assert [row.cells[3].text for row in (first, second)] == ["clear", "not shown"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "ran"),
    [(1.0, "50% below the forecast"), (-0.5, "100% above the forecast"), (0.001, "as forecast")],
)
def test_what_came_is_told_in_parts_of_the_forecast(error: float, ran: str) -> None:
    judged = validation().with_columns(pl.lit(error).alias("value"))
    days = [dt.date(2026, month, 1) for month in range(1, 5)]
    bought = [0.0, 50.0, 100.0, 150.0]
    drawn = pl.DataFrame({"date": days, "cumulative_observed": bought, "cumulative_expected": bought})
    model = {"chosen": "bg_nbd", "horizon_months": 12, "calibration_end": "2026-02-01"}
    found = sources(
        model=model, pictures={"tracking": drawn}, tables=dict(sources().tables) | {"validation": judged}
    )
    section = build_context(found).section("value")
    assert section is not None
    lines = next(block for block in section.blocks if isinstance(block, Lines))
    assert lines.title == f"Purchases ran {ran} after February 2026"


def test_behind_the_cut_the_course_draws_the_forecast_that_is_judged() -> None:
    days = [dt.date(2025, 12, 1) + dt.timedelta(days=30 * month) for month in range(7)]
    drawn = pl.DataFrame(
        {
            "date": days,
            "cumulative_observed": [0.0, 100.0, 200.0, 260.0, 320.0, 360.0, 400.0],
            "cumulative_expected": [0.0, 90.0, 170.0, 200.0, 230.0, 250.0, 270.0],
        }
    )
    model = {"chosen": "bg_nbd", "horizon_months": 12, "calibration_end": "2026-02-01"}
    section = build_context(sources(model=model, pictures={"tracking": drawn})).section("value")
    assert section is not None
    lines = next(b for b in section.blocks if isinstance(b, Lines))
    assert lines.title.startswith("Purchases ran 10% below the forecast")
    forecast = [value for _, value in lines.series[0].points]
    assert forecast[:3] == [0.0, 90.0, 170.0]
    assert forecast[-1] == pytest.approx(200.0 + 1.11 * 200.0)
