"""The report shows a promise on the clock that it means, and the last whole month."""

from __future__ import annotations

import polars as pl

from care.tables import CARE_SCHEMA
from reports.sections.care_figures import kpis, plain_rows
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


def test_a_month_that_has_just_begun_is_not_how_the_service_is_now() -> None:
    place = dict.fromkeys(("channel", "team", "segment"), "(all)") | {"kpi": "ignored_rate", "unit": "share"}
    rows = [
        {"period": "(all)", "value": 0.25, "n": 104},
        {"period": "2026-02", "value": 0.2, "n": 100},
        {"period": "2026-03", "value": 1.0, "n": 4},
    ]

    def now(last: str) -> tuple[str, float]:
        sources = ReportSources(
            tables={"care": pl.DataFrame([place | row for row in rows], schema=CARE_SCHEMA)},
            manifest={"as_of": last},
            model={},
            pictures={},
            settings=ReportSettings(),
            gross_margin=None,
        )
        shown = kpis(sources)["ignored_rate"]
        return shown.period, shown.now["value"]

    assert now("2026-03-01") == ("2026-02", 0.2)
    assert now("2026-03-20") == ("2026-02", 0.2)
    assert now("2026-03-28") == ("2026-03", 1.0)
