"""A small bundle with every table filled, for the tests of what is written, loaded and served."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from experiments.bundle.tables import TABLES
from experiments.bundle.writing import write_bundle

START = dt.date(2025, 1, 1)


def sample_customers(n: int = 50, *, text: bool = False, seed: int = 1) -> pl.DataFrame:
    """Scores of `n` customers with ids 1, 2, … (or `c-0001`, …), in no order; some values are null."""
    rng = np.random.default_rng(seed)
    frequency = rng.poisson(1.5, n)
    repeat = frequency > 0
    recency = np.where(repeat, rng.uniform(1, 30, n), 0.0)
    value = rng.gamma(2.0, 50.0, n)
    frame = pl.DataFrame(
        {
            "customer_id": [f"c-{i:04d}" for i in range(1, n + 1)] if text else list(range(1, n + 1)),
            "first_purchase": [START + dt.timedelta(days=int(d)) for d in rng.integers(0, 90, n)],
            "frequency": frequency,
            "recency": recency,
            "T": recency + rng.uniform(0, 20, n),
            "monetary_value": [float(v) if r else None for v, r in zip(value / 3, repeat, strict=True)],
            "customer_lifetime_value": value,
            "customer_lifetime_value_low": value * 0.8,
            "customer_lifetime_value_high": value * 1.2,
            "historic_value": value / 2,
            "total_value": value * 1.5,
            "expected_next_purchase": [dt.date(2026, 2, 1) if r else None for r in repeat],
            "decile": 1 + np.arange(n) * 10 // n,
            "model": ["bg_nbd"] * n,
        }
    )
    drawn = {
        name: rng.uniform(0, 1, n)
        for name in TABLES["customers"].schema
        if name not in frame.columns
    }  # fmt: skip
    return (
        frame.with_columns(**{name: pl.Series(values) for name, values in drawn.items()})
        .select(*TABLES["customers"].schema)
        .sample(fraction=1.0, shuffle=True, seed=seed)
    )


def sample_touchpoints(customers: pl.DataFrame, *, each: int = 3) -> pl.DataFrame:
    """`each` touchpoints of every second customer, newest first."""
    ids = customers["customer_id"].sort().gather_every(2)
    times = [dt.datetime(2025, 6, 1 + i, 12, 30) for i in reversed(range(each))]
    rows = [
        (value, time, ("chat", "forum", "newsletter")[i % 3]) for value in ids for i, time in enumerate(times)
    ]
    return pl.DataFrame(rows, schema=["customer_id", "timestamp", "channel"], orient="row").with_columns(
        pl.lit("social").alias("channel_group"), pl.lit("care").alias("kind")
    )


_CREDITS: tuple[dict[str, Any], ...] = (
    {"kind": "descriptive", "method": "linear", "level": "channel", "channel": "chat", "credit": 30.0},
    {"kind": "descriptive", "method": "linear", "level": "channel", "channel": "forum", "credit": 50.0},
    {
        "kind": "descriptive",
        "method": "linear",
        "level": "untouched",
        "channel": "(untouched)",
        "credit": 20.0,
    },
    {"kind": "descriptive", "method": "linear", "level": "total", "channel": "(total)", "credit": 100.0},
    {"kind": "incremental", "method": "incremental", "level": "channel", "channel": "chat", "credit": 10.0},
    {
        "kind": "incremental",
        "method": "incremental",
        "level": "baseline",
        "channel": "(baseline)",
        "credit": 90.0,
    },
    {"kind": "incremental", "method": "incremental", "level": "total", "channel": "(total)", "credit": 100.0},
)
_EFFECT: dict[str, Any] = {
    "name": "reply within an hour",
    "outcome": "retention",
    "segment": "(all)",
    "design": "landmark",
    "estimate": 0.04,
    "low": 0.01,
    "high": 0.07,
    "n_treated": 20,
    "n_control": 30,
    "supported": True,
}
_KPI: dict[str, Any] = {
    "kpi": "first_response_time",
    "group": "service",
    "channel": "chat",
    "period": "(all)",
    "value": 12.5,
    "n": 9,
}


_ALERT: dict[str, Any] = {
    "kind": "volume",
    "period": "2025-12-30",
    "cause": "channel: chat",
    "channel": "chat",
    "value": 31.0,
    "limit": 23.0,
    "n": 31,
    "words": "31 requests on chat in the hour from 14:00 of Tuesday",
}


_CASE: dict[str, Any] = {
    "channel": "chat",
    "status": "open",
    "needs_reply": True,
    "opened_at": dt.datetime(2026, 3, 2, 9),
    "waiting_minutes": 90.0,
}


def _cases(customers: pl.DataFrame) -> pl.DataFrame:
    """Three who wait, one of whom is nobody's known handle, and one who was answered."""
    first, second = customers["customer_id"].head(2)
    rows = [
        {**_CASE, "case_id": "a", "customer_id": first, "value_at_stake": 5.0, "priority_rank": 3},
        {
            **_CASE, "case_id": "b", "customer_id": second, "value_at_stake": 50.0, "waiting_minutes": 30.0,
            "priority_rank": 1, "priority_reason": "asks again",
        },
        {**_CASE, "case_id": "c", "channel": "mail", "priority_rank": 2},
        {**_CASE, "case_id": "d", "customer_id": first, "status": "answered", "waiting_minutes": None},
    ]  # fmt: skip
    schema = dict(TABLES["cases"].schema) | {"customer_id": customers.schema["customer_id"]}
    return pl.DataFrame(rows, schema=schema)


def _filled(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(TABLES[name].schema))


def sample_tables(n: int = 50, *, text: bool = False, seed: int = 1) -> dict[str, pl.DataFrame]:
    """Every table of a bundle that the service answers from."""
    customers = sample_customers(n, text=text, seed=seed)
    credit = {"segment": "(all)", "period": "(all)", "n": n, "supported": True}
    spend = {"outcome": "spend", **credit}
    return {
        "customers": customers,
        "touchpoints": sample_touchpoints(customers),
        "credits": _filled("credits", [{**spend, **row} for row in _CREDITS]),
        "effects": _filled("effects", [_EFFECT]),
        "care": _filled("care", [_KPI]),
        "cases": _cases(customers),
        "alerts": _filled("alerts", [_ALERT]),
        "roi": _filled("roi", [{"scenario": "base", "period": "(all)", "cost": 100.0, "roi": 0.4}]),
        "validation": _filled(
            "validation",
            [{"origin": dt.date(2025, 9, 30), "model": "bg_nbd", "metric": "mae", "value": 0.7, "n": n}],
        ),
    }  # fmt: skip


_WRITTEN: dict[str, Path] = {}


def write_sample(path: Path, *, version: str | None = None, **choices: Any) -> Path:
    """A bundle as `write_anew` writes it; of the same choices it is written once, and copied."""
    choices = {"version": version or path.name, **choices}
    if "tables" in choices or path.exists():
        return write_anew(path, **choices)
    asked = repr(sorted(choices.items()))
    if asked not in _WRITTEN:
        _WRITTEN[asked] = write_anew(Path(tempfile.mkdtemp(prefix="sample-")) / path.name, **choices)
    return Path(shutil.copytree(_WRITTEN[asked], path))


def write_anew(
    path: Path,
    *,
    n: int = 50,
    text: bool = False,
    seed: int = 1,
    version: str | None = None,
    tables: dict[str, pl.DataFrame] | None = None,
    **changes: Any,
) -> Path:
    """Write a bundle of `n` customers; `version` names its model."""
    manifest = {
        "run_id": version or path.name,
        "as_of": "2025-12-31",
        "currency": "GBP",
        "time_unit": "week",
        "interval_level": 0.9,
        **changes,
    }
    files = {"report.html": b"<!doctype html><title>Report</title>", "report.json": b'{"headline": "up"}'}
    return write_bundle(
        path,
        tables=sample_tables(n, text=text, seed=seed) | (tables or {}),
        manifest=manifest,
        model={"chosen": None},
        files=files,
        rejected={"transactions": pl.DataFrame({"customer_id": [3], "rule": ["amount"], "row": [17]})},
    )
