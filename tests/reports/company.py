"""A small company for reports: its tables by hand, so that every sentence can be checked against them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from attribution.credits.schemas import CREDITS_SCHEMA
from attribution.effects.effect import Effect, effects_frame
from care.tables import ROI_SCHEMA
from clv.tables import VALIDATION_SCHEMA
from reports.settings import ReportSettings
from reports.sources import ReportSources

GROUPS = {"social": 150.0, "newsletter": 85.0, "ads": 63.0, "chat": 36.0, "phone": -24.0}
COSTS = {"social": 60.0, "newsletter": 1.2, "ads": 9.0, "chat": 50.0, "phone": 80.0}

MANIFEST: dict[str, Any] = {
    "name": "acme",
    "currency": "GBP",
    "as_of": "2026-06-30",
    "span": "2025-01-01 to 2026-06-30",
    "run_id": "abc123def456",
    "model_version": "acme-abc123def456",
    "code_version": "0.2.0",
    "interval_level": 0.9,
    "inputs": {
        "transactions": {
            "rows_read": 100,
            "rows_valid": 97,
            "rejected_by_rule": {"bad_date": 3},
            "set_aside_by_rule": {},
            "sha256": "0123456789abcdef",
        }
    },
    "assumptions": [],
    "left_out": {},
    "notes": [],
    "configuration": {"attribution": {"lookback_days": 30.0, "period": "month"}},
}


def credit(level: str, channel: str, amount: float | None, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(CREDITS_SCHEMA)
    return (
        row
        | {
            "outcome": "spend",
            "method": "incremental",
            "kind": "incremental",
            "level": level,
            "channel": channel,
            "channel_group": channel,
            "segment": "(all)",
            "period": "(all)",
            "credit": amount,
            "n": 500,
            "customers": 500,
            "supported": True,
            "interval_level": 0.95,
            "level_source": "observational",
        }
        | more
    )


def credits(
    groups: Mapping[str, float] | None = None, *, half: float = 0.3, scale: float = 1000.0, **said: Any
) -> pl.DataFrame:
    """Incremental spend of each group with an interval of `half` its size on each side, and last touch."""
    groups = GROUPS if groups is None else groups
    rows = []
    for name, thousands in groups.items():
        amount = thousands * scale
        ends = {"low": amount - half * abs(amount), "high": amount + half * abs(amount)}
        rows.append(credit("channel", f"{name}_one", amount, channel_group=name, **ends, **said))
        rows.append(credit("group", name, amount, **ends, **said))
        rows.append(
            credit("group", name, abs(amount) * 2, kind="descriptive", method="last", low=None, high=None)
        )
    added = sum(groups.values()) * scale
    base = 1000.0 * scale
    rows.append(credit("baseline", "(baseline)", base, low=base - 0.1 * scale, high=base + 0.1 * scale))
    rows.append(credit("total", "(total)", base + added))
    return pl.DataFrame(rows, schema=CREDITS_SCHEMA)


def paths_only() -> pl.DataFrame:
    rows = [
        credit("channel", "forum", 900.0, method="last", kind="descriptive"),
        credit("channel", "forum", 600.0, method="linear", kind="descriptive"),
        credit("untouched", "(untouched)", 100.0, method="last", kind="descriptive"),
        credit("total", "(total)", 1000.0, method="last", kind="descriptive"),
        credit("total", "(total)", 1000.0, method="linear", kind="descriptive"),
    ]
    return pl.DataFrame(rows, schema=CREDITS_SCHEMA)


def roi(groups: Mapping[str, float] | None = None, costs: Mapping[str, float] | None = None) -> pl.DataFrame:
    groups, costs = groups or GROUPS, costs or COSTS
    rows = []
    for name, thousands in {**groups, "all channels": sum(groups.values())}.items():
        cost = sum(costs.values()) if name == "all channels" else costs[name]
        margin, half = 0.45 * thousands, 0.3 * 0.45 * abs(thousands)
        rows.append(
            dict.fromkeys(ROI_SCHEMA)
            | {
                "scenario": name,
                "period": "(all)",
                "incremental_margin": margin * 1000,
                "cost": cost * 1000,
                "cost_avoided": 0.0,
                "roi": (margin - cost) / cost,
                "roi_low": (margin - half - cost) / cost,
                "roi_high": (margin + half - cost) / cost,
                "probability_positive": 0.9 if name == "social" else float(margin > cost),
            }
        )
    return pl.DataFrame(rows, schema=ROI_SCHEMA)


def touchpoints() -> pl.DataFrame:
    kinds = {
        "social": "community",
        "newsletter": "marketing",
        "ads": "marketing",
        "chat": "care",
        "phone": "care",
    }
    return pl.DataFrame({"channel_group": list(kinds), "kind": list(kinds.values())})


def effect(**changes: Any) -> Effect:
    known: dict[str, Any] = {
        "name": "reply within an hour",
        "treatment": "fast",
        "control": "slow",
        "outcome": "retention",
        "design": "landmark",
        "estimator": "aipw",
        "estimand": "ATE",
        "estimate": 0.032,
        "std_error": 0.0226,
        "low": -0.013,
        "high": 0.076,
        "n_treated": 2322,
        "n_control": 613,
    }
    return Effect(**(known | changes))


def effects() -> pl.DataFrame:
    test = {"name": "newsletter test", "design": "randomised", "estimator": "difference_in_means"}
    return effects_frame(
        [
            effect(**test, outcome="spend", estimate=12.9, low=1.1, high=24.6),
            effect(**test, estimate=0.004, low=-0.023, high=0.032),
            effect(),
            effect(estimator="naive").refused("naive: customers were not alike before the treatment"),
            effect(segment="region=east", estimate=0.01, low=-0.08, high=0.1, n_treated=500, n_control=200),
            effect(segment="region=west", estimate=0.05, low=-0.06, high=0.12, n_treated=600, n_control=200),
        ]
    )


def customers(count: int = 40) -> pl.DataFrame:
    worth = [100.0 - 2 * place for place in range(count)]
    return pl.DataFrame(
        {
            "customer_id": list(range(count)),
            "first_purchase": [dt.date(2025, 2, 1)] * count,
            "customer_lifetime_value": worth,
            "probability_alive": [0.9 - 0.01 * place for place in range(count)],
            "decile": [1 + place * 10 // count for place in range(count)],
        }
    )


def purchases(count: int = 40) -> pl.DataFrame:
    """Everybody bought in the first quarter of 2026, half as many in the second."""
    rows = [(who, dt.date(2026, 2, 3), 50.0) for who in range(count)]
    rows += [(who, dt.date(2026, 5, 3), 50.0) for who in range(count // 2)]
    return pl.DataFrame(
        rows, schema={"customer_id": pl.Int64, "date": pl.Date, "amount": pl.Float64}, orient="row"
    )


def validation() -> pl.DataFrame:
    row = {
        "origin": dt.date(2025, 12, 31),
        "model": "bg_nbd",
        "metric": "total_error",
        "value": 0.11,
        "n": 40,
    }
    return pl.DataFrame([dict.fromkeys(VALIDATION_SCHEMA) | row], schema=VALIDATION_SCHEMA)


def care() -> pl.DataFrame:
    """Two quarters of Twitter: answers below target and not moving, satisfaction about on target."""
    figures = {
        "response_rate": (0.643, 0.646, 0.9, "up"),
        "service_level": (0.516, 0.501, 0.6, "up"),
        "csat": (0.642, 0.651, 0.65, "up"),
        "reopen_rate": (0.037, 0.030, 0.05, "down"),
    }
    rows = []
    for kpi, (before, now, target, direction) in figures.items():
        for period, value in (("2026-Q1", before), ("2026-Q2", now)):
            rows.append(
                {
                    "kpi": kpi,
                    "group": "service",
                    "channel": "twitter",
                    "team": "(all)",
                    "period": period,
                    "value": value,
                    "low": value - 0.02,
                    "high": value + 0.02,
                    "n": 2197,
                    "coverage": 1.0,
                    "unit": "share",
                    "direction": direction,
                    "target": target,
                    "attained": None,
                }
            )
    return pl.DataFrame(rows)


TABLES: dict[str, Any] = {
    "credits": credits,
    "roi": roi,
    "touchpoints": touchpoints,
    "effects": effects,
    "customers": customers,
    "purchases": purchases,
    "validation": validation,
    "care": care,
}

PREVIOUS: dict[str, Any] = {
    "as_of": "2026-03-31",
    "measures": [
        {"key": "return", "value": 1.01, "low": 0.8, "high": 1.2, "as_of": "2026-03-31"},
        {"key": "margin", "value": 52_000.0, "low": 40_000.0, "high": 64_000.0, "as_of": "2026-03-31"},
    ],
}


def sources(*names: str, without: str = "", **more: Any) -> ReportSources:
    """Sources with the named tables, or with all but one."""
    chosen = names or tuple(name for name in TABLES if name != without)
    given: dict[str, Any] = {
        "tables": {name: TABLES[name]() for name in chosen},
        "manifest": MANIFEST,
        "model": {"chosen": "bg_nbd", "horizon_months": 12, "discount_rate": 0.1},
        "settings": ReportSettings(headline_effect="newsletter test"),
        "gross_margin": 0.45,
    }
    return ReportSources(**(given | more))
