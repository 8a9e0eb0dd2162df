"""The two tables that service figures and returns leave in a bundle."""

from __future__ import annotations

from typing import Final

import polars as pl

__all__ = ["CARE_SCHEMA", "ROI_SCHEMA"]

CARE_SCHEMA: Final[dict[str, pl.DataType]] = {
    "kpi": pl.String(),
    "group": pl.String(),  # service, quality or effectiveness
    "channel": pl.String(),
    "team": pl.String(),
    "period": pl.String(),
    "value": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n": pl.Int64(),
    "coverage": pl.Float64(),  # share of the cases that carry what the figure needs
    "unit": pl.String(),
    "direction": pl.String(),  # which way is better: up or down
    "target": pl.Float64(),
    "attained": pl.Boolean(),
}

ROI_SCHEMA: Final[dict[str, pl.DataType]] = {
    "scenario": pl.String(),
    "period": pl.String(),
    "incremental_margin": pl.Float64(),  # currency, like the costs
    "cost_avoided": pl.Float64(),
    "cost": pl.Float64(),
    "roi": pl.Float64(),
    "roi_low": pl.Float64(),
    "roi_high": pl.Float64(),
    "npv": pl.Float64(),
    "payback_period": pl.Float64(),  # months
    "probability_positive": pl.Float64(),
}
