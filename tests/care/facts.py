"""A small desk's facts for questions: 3,000 matters of a promise, of which 44 % were kept."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from care.asking import CareFacts
from care.tables import CARE_SCHEMA

CONFIGURATION: dict[str, Any] = {
    "value": {"gross_margin": 0.45},
    "care": {
        "promises": [
            {"name": "answer within the hour", "within_minutes": 60.0, "share": 0.6, "clock": "business"}
        ],
        "hours": {"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "opens": "9:00", "closes": "17:00"},
    },
    "effects": [
        {
            "name": "fast answers",
            "design": "landmark",
            "control": "slower",
            "clock": "business",
            "treatment": {"first_response_minutes": 60.0},
        }
    ],
}


def promise_rows(*rows: tuple[str, float, int]) -> pl.DataFrame:
    """Rows of the care table: period, share kept, matters."""
    whole: dict[str, Any] = dict.fromkeys(CARE_SCHEMA)
    whole |= {"kpi": "promise", "channel": "(all)", "team": "(all)", "clock": "business"}
    made = [
        whole | {"segment": "promise: answer within the hour", "period": period, "value": share, "n": n}
        for period, share, n in rows
    ]
    contact = whole | {"kpi": "cost_per_contact", "segment": "(all)", "period": "(all)", "value": 4.0}
    return pl.DataFrame([*made, contact | {"clock": None}], schema=CARE_SCHEMA)


def effect_row(outcome: str, value: float | None, error: float | None, **more: Any) -> dict[str, Any]:
    """A row of the effects table."""
    ends = (None, None) if value is None or error is None else (value - 1.96 * error, value + 1.96 * error)
    return {
        "name": "fast answers", "outcome": outcome, "segment": "(all)", "design": "landmark",
        "estimator": "aipw", "estimand": "ATU", "estimate": value, "std_error": error,
        "low": ends[0], "high": ends[1],
        "n_treated": 900, "n_control": 900, "supported": True, "reason": None,
    } | more  # fmt: skip


def facts(
    effects: list[dict[str, Any]] | None = None,
    *,
    care: pl.DataFrame | None = None,
    known: float = 1.0,
    **more: Any,
) -> CareFacts:
    """Four weeks of ten matters a working hour, each of them five minutes of work."""
    rows = [effect_row("spend", 7.0, 2.0), effect_row("issues", 0.05, 0.01)] if effects is None else effects
    monday = dt.datetime(2026, 3, 2, 9)
    waiting = [
        monday + dt.timedelta(days=7 * week + day, hours=hour, minutes=6 * k)
        for week in range(4)
        for day in range(5)
        for hour in range(8)
        for k in range(10)
    ]
    n = len(waiting)
    cases = pl.DataFrame(
        {
            "case_id": [f"c{k}" for k in range(n)],
            "journey_id": [f"c{k}" for k in range(n)],
            "customer_id": [k if k < known * n else None for k in range(n)],
            "channel": ["chat"] * n,
            "needs_reply": [True] * n,
            "waiting_since": waiting,
            "handling_seconds": [300.0] * n,
            "answered": [k % 10 > 0 for k in range(n)],
            "first_response_minutes": [30.0 * (k % 10) if k % 10 else None for k in range(n)],
            "first_response_business_minutes": [30.0 * (k % 10) if k % 10 else None for k in range(n)],
        }
    )
    given: dict[str, Any] = {
        "care": promise_rows(("(all)", 0.44, 3000), ("2026-W10", 0.70, 400), ("2026-W11", 0.95, 12))
        if care is None
        else care,
        "cases": cases,
        "effects": pl.DataFrame(rows, infer_schema_length=None),
        "configuration": CONFIGURATION,
        "assumptions": ({"name": "cost_per_hour", "value": 25.0},),
        "as_of": dt.date(2026, 3, 29),
    }
    return CareFacts(**(given | more))
