"""The table of effects: its columns, in order, with their types."""

from __future__ import annotations

from typing import Final

import polars as pl

__all__ = ["EFFECTS_SCHEMA"]

EFFECTS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "name": pl.String(),
    "treatment": pl.String(),
    "control": pl.String(),
    "outcome": pl.String(),
    "segment": pl.String(),
    "design": pl.String(),
    "estimator": pl.String(),
    "estimand": pl.String(),
    "bin": pl.String(),
    "estimate": pl.Float64(),
    "std_error": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n_treated": pl.Int64(),
    "n_control": pl.Int64(),
    "effective_n": pl.Float64(),
    "supported": pl.Boolean(),
    "reason": pl.String(),
    "e_value": pl.Float64(),
    "robustness_value": pl.Float64(),
    "placebo_estimate": pl.Float64(),
    "placebo_low": pl.Float64(),
    "placebo_high": pl.Float64(),
    "first_stage_f": pl.Float64(),
    "direct_to_zero": pl.Float64(),
    "direct_allowed": pl.Float64(),
}
