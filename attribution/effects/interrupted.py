"""Interrupted series: what a change did to a metric over time, against the trend it interrupted.

Level and slope change at the date (Wagner et al. 2002) by generalised least squares with lag-one
autocorrelation, estimated by restricted likelihood (Cheang & Reinsel 2000) because plain residuals
understate it. Each error is the larger of the model's and of Newey & West's (1987) on what is left; alone
the latter covers 90 % where 95 % are meant at 80 points. At least twelve points before, six after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import optimize, stats

from attribution.effects.checks import Check, apply_checks, check_placebo
from attribution.effects.design import EffectDesign
from attribution.effects.effect import INTERVAL_LEVEL, Effect
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from attribution.effects.sensitivity import robustness_value
from attribution.effects.series import Series, find_series
from attribution.effects.tables import Setting
from histories.arrays import Float
from histories.errors import DataError, nearest

__all__ = [
    "MIN_AFTER",
    "MIN_BEFORE",
    "SegmentedFit",
    "estimate_change",
    "estimate_interrupted",
    "fit_segmented",
]

MIN_BEFORE = 12
MIN_AFTER = 6
APART = 4
"""Steps that two changes have to lie apart to be told apart."""
MAX_MOVED = 0.10
"""Largest move of the number of customers under which a total of the company is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentedFit:
    """A segmented regression of T points.

    Attributes
    ----------
    level, slope
        Change of level at the date, and of slope per step.
    mean
        Mean difference from the continued trend over all points after.
    errors
        Standard errors of mean, level and slope.
    dof
        Points less coefficients.
    counterfactual, band : shape (T,)
        The continued trend, and its standard error.
    """

    level: float
    slope: float
    mean: float
    errors: tuple[float, float, float]
    dof: int
    counterfactual: Float
    band: Float


def fit_segmented(values: Float, break_at: int, *, period: float | None = None) -> SegmentedFit:
    """Level and slope change at position `break_at` of a series, shape (T,).

    y = b0 + b1 t + b2 1(t >= break) + b3 (t - break)+, with one annual harmonic when `period` (steps per
    year) is given.
    """
    t = np.arange(len(values), dtype=float)
    after = (t >= break_at).astype(float)
    columns = [np.ones_like(t), t, after, after * (t - break_at)]
    if period is not None:
        columns += [np.sin(2 * np.pi * t / period), np.cos(2 * np.pi * t / period)]
    design = np.column_stack(columns)
    rho = _autocorrelation(values, design)
    quasi, target = _quasi_difference(design, rho), _quasi_difference(values, rho)
    coefficients, classical, robust = _least_squares(quasi, target)

    def variance(rows: Float) -> Float:
        both = [((rows @ covariance) * rows).sum(axis=1) for covariance in (classical, robust)]
        return np.asarray(np.maximum(*both), dtype=np.float64)

    mean_row = np.zeros(design.shape[1])
    mean_row[2], mean_row[3] = 1.0, (after * (t - break_at)).sum() / max(after.sum(), 1)
    rows = np.vstack([mean_row, np.eye(design.shape[1])[2:4]])
    errors = np.sqrt(variance(rows)).tolist()
    trend = design.copy()
    trend[:, 2:4] = 0.0
    return SegmentedFit(
        level=float(coefficients[2]),
        slope=float(coefficients[3]),
        mean=float(mean_row @ coefficients),
        errors=(errors[0], errors[1], errors[2]),
        dof=max(len(values) - design.shape[1], 1),
        counterfactual=trend @ coefficients,
        band=np.sqrt(variance(trend)),
    )


def estimate_interrupted(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Mean, level and slope change of every outcome at every entry of the change log.

    Raises
    ------
    DataError
        When there is no change log, or no entry in it that the design names.
    """
    changes = _changes(design, setting)
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: list[pl.DataFrame] = []
    for series in find_series(design, setting):
        for name, day in changes:
            found, checks, picture = estimate_change(design, series, name, day, changes)
            effects += found
            pairs += [(effect, check) for effect in found for check in checks]
            pictures += picture
    frames = {"series": pl.concat(pictures)} if pictures else {}
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures=frames)


def _changes(design: EffectDesign, setting: Setting) -> list[tuple[str, date]]:
    """Names and dates of the change log that the design selects, by date."""
    if setting.tables.interventions is None:
        raise DataError(f'effect "{design.name}": needs inputs.interventions, the log of changes')
    log = setting.tables.interventions.with_columns(pl.col("date").cast(pl.Date)).sort("date").collect()
    wanted = design.treatment
    if wanted.channel is not None and "channel" in log.columns:
        log = log.filter(pl.col("channel") == wanted.channel)
    if wanted.intervention is not None:
        names = log["name"].unique().to_list()
        if wanted.intervention not in names:
            hint = nearest(wanted.intervention, names)
            raise DataError(f'effect "{design.name}": no intervention "{wanted.intervention}"; {hint}')
        log = log.filter(pl.col("name") == wanted.intervention)
    if log.is_empty():
        raise DataError(f'effect "{design.name}": the log of changes has no entry for it')
    return [(row["name"], row["date"]) for row in log.select("name", "date").iter_rows(named=True)]


def estimate_change(
    design: EffectDesign, series: Series, name: str, day: date, changes: Sequence[tuple[str, date]]
) -> tuple[list[Effect], list[Check], list[pl.DataFrame]]:
    """Effects of one change on one series: mean first, then level and slope."""
    position = int(np.searchsorted(series.dates, np.datetime64(day)))
    before, after = position, len(series.values) - position
    bare = Effect(
        name=design.name,
        treatment=name,
        control=design.control_label,
        outcome=series.outcome,
        design=design.design,
        estimator="segmented_regression",
        estimand="mean change",
        n_treated=after,
        n_control=before,
        effective_n=float(before + after),
    )
    if before < MIN_BEFORE or after < MIN_AFTER:
        reason = (
            f"{before} points before and {after} after the change; "
            f"{MIN_BEFORE} before and {MIN_AFTER} after needed"
        )
        return [bare.refused(reason)], [], []
    fit = fit_segmented(series.values, position, period=series.period)
    placebo = fit_segmented(series.values[:position], position // 2)
    figures = zip(
        ("mean change", "level", "slope"), (fit.mean, fit.level, fit.slope), fit.errors, strict=True
    )
    effects = [_figure(replace(bare, estimand=what), value, se, fit.dof) for what, value, se in figures]
    half = float(stats.t.isf((1 - INTERVAL_LEVEL) / 2, placebo.dof)) * placebo.errors[0]
    effects = [
        replace(
            e,
            placebo_estimate=placebo.mean,
            placebo_low=placebo.mean - half,
            placebo_high=placebo.mean + half,
        )
        for e in effects
    ]
    checks = [check_placebo(effects[0]), _check_alone(name, day, changes, series)]
    if series.base is not None:
        checks.append(_check_base(series.outcome, series.base, position))
    return (
        [apply_checks(effect, checks) for effect in effects],
        checks,
        [_picture(design, series, fit, position, name)],
    )


def _figure(effect: Effect, value: float, error: float, dof: int) -> Effect:
    """The effect with its figures; the interval uses t quantiles, because series are short."""
    half = float(stats.t.isf((1 - INTERVAL_LEVEL) / 2, dof)) * error
    return replace(
        effect,
        estimate=value,
        std_error=error,
        low=value - half,
        high=value + half,
        robustness_value=robustness_value(value / error, dof) if error > 0 else None,
    )


def _check_alone(name: str, day: date, changes: Sequence[tuple[str, date]], series: Series) -> Check:
    """Whether no other change happened within a few steps."""
    step = timedelta(days=series.step_days)
    others = [other for other, when in changes if other != name and abs(when - day) < APART * step]
    return Check(
        check="other changes",
        value=float(len(others)),
        limit=0.0,
        passed=not others,
        reason=f'"{others[0] if others else ""}" changed within {APART} steps: the two cannot be told apart',
    )


def _check_base(outcome: str, base: Float, break_at: int) -> Check:
    """Whether the customers of a total stayed as many: a company that grows changes at any date."""
    before, after = float(base[:break_at].mean()), float(base[break_at:].mean())
    moved = after / before - 1 if before > 0 else float("inf")
    instead = "" if outcome == "active_customers" else f"; use {outcome}_per_customer"
    return Check(
        check="base moved",
        value=abs(moved),
        limit=MAX_MOVED,
        passed=abs(moved) <= MAX_MOVED,
        reason=f"customers who bought in a step went from {before:,.0f} to {after:,.0f} ({moved:+.0%}), "
        f"so a total of the company moves without any change{instead}",
    )


def _autocorrelation(values: Float, design: Float) -> float:
    """Lag-one autocorrelation of the errors within +-.95, by restricted likelihood."""
    size, width = design.shape

    def loss(rho: float) -> float:
        x, y = _quasi_difference(design, rho), _quasi_difference(values, rho)
        rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        _, log_det = np.linalg.slogdet(x.T @ x)
        spread = max(float(rest @ rest), 1e-300)
        return float((size - width) * np.log(spread) + log_det - np.log(1 - rho**2))

    return float(optimize.minimize_scalar(loss, bounds=(-0.95, 0.95), method="bounded").x)


def _quasi_difference(values: NDArray[np.float64], rho: float) -> NDArray[np.float64]:
    """Prais-Winsten: x_t - rho x_{t-1}, and sqrt(1 - rho^2) x_1."""
    first = np.sqrt(1 - rho**2) * values[:1]
    return np.concatenate([first, values[1:] - rho * values[:-1]])


def _least_squares(design: Float, values: Float) -> tuple[Float, Float, Float]:
    """Coefficients, their classical covariance, and Newey-West's with lags up to 4 (T / 100)^(2/9)."""
    size, width = design.shape
    bread = np.linalg.pinv(design.T @ design, hermitian=True)
    coefficients = bread @ (design.T @ values)
    rest = values - design @ coefficients
    scores = design * rest[:, None]
    lags = int(4 * (size / 100) ** (2 / 9))
    meat = scores.T @ scores
    for lag in range(1, lags + 1):
        cross = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / (lags + 1)) * (cross + cross.T)
    freedom = max(size - width, 1)
    return coefficients, rest @ rest / freedom * bread, size / freedom * bread @ meat @ bread


def _picture(
    design: EffectDesign, series: Series, fit: SegmentedFit, position: int, name: str
) -> pl.DataFrame:
    """Rows of a chart of the series with its counterfactual."""
    size = len(series.values)
    half = float(stats.t.isf((1 - INTERVAL_LEVEL) / 2, fit.dof)) * fit.band
    return pl.DataFrame(
        {
            "name": [f"{design.name}: {name}"] * size,
            "outcome": [series.outcome] * size,
            "date": pl.Series(series.dates).cast(pl.Date),
            "observed": series.values,
            "counterfactual": fit.counterfactual,
            "low": fit.counterfactual - half,
            "high": fit.counterfactual + half,
            "after": np.arange(size) >= position,
        },
        schema=PICTURE_SCHEMAS["series"],
    )
