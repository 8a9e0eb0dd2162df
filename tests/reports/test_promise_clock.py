"""The report shows a promise on the clock that it means."""

from __future__ import annotations

import polars as pl

from care.tables import CARE_SCHEMA
from reports.sections.care_figures import plain_rows
from reports.settings import ReportSettings
from reports.sources import ReportSources


def test_a_promise_in_opening_hours_is_not_judged_by_the_calendar() -> None:
    place = dict.fromkeys(("channel", "team", "segment", "period"), "(all)")
    rows = [
        {"kpi": "service_level", "clock": "calendar", "value": 0.4},
        {"kpi": "service_level", "clock": "business", "value": 0.9, "target": 0.8},
        {"kpi": "first_response_p50", "clock": "calendar", "value": 400.0},
        {"kpi": "first_response_p50", "clock": "business", "value": 11.0},
        {"kpi": "csat", "clock": None, "value": 0.5},
    ]
    care = pl.DataFrame([place | row for row in rows], schema=CARE_SCHEMA)
    sources = ReportSources(
        tables={"care": care},
        manifest={},
        model={},
        pictures={},
        settings=ReportSettings(),
        gross_margin=None,
    )
    shown = dict(plain_rows(sources).select("kpi", "value").rows())
    assert shown == {"service_level": 0.9, "first_response_p50": 400.0, "csat": 0.5}
