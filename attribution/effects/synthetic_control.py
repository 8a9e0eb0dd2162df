"""Synthetic control: one market or channel against a weighted mean of the others.

The weights are non-negative, sum to one and make the others' course before the change follow the treated one
(Abadie, Diamond & Hainmueller 2010), with an intercept for its level (Doudchenko & Imbens 2016). The error
is the scatter of the same estimate over the others, each taken as if it had been treated (placebo in space).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from scipy import optimize, stats

from attribution.effects.checks import Check, apply_checks, check_placebo
from attribution.effects.design import EffectDesign
from attribution.effects.effect import INTERVAL_LEVEL, Effect, effect_of
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from attribution.effects.tables import Setting
from attribution.effects.units import read_table
from histories.arrays import Float
from histories.errors import ConfigError, DataError, SchemaError, nearest

MIN_BEFORE = 12
MIN_DONORS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticFit:
    """A synthetic control of T steps from J donors.

    Attributes
    ----------
    weights : shape (J,)
        Non-negative, summing to one.
    counterfactual : shape (T,)
        What the treated series would have been.
    effect
        Mean difference after the change.
    fit
        Root mean squared difference before it.
    """

    weights: Float
    counterfactual: Float
    effect: float
    fit: float


def fit_synthetic_control(treated: Float, donors: Float, break_at: int) -> SyntheticFit:
    """Weights of donors (T, J) that follow the treated series (T,) before position `break_at`."""
    mean, means = treated[:break_at].mean(), donors[:break_at].mean(axis=0)
    target, table = treated[:break_at] - mean, donors[:break_at] - means
    # a heavy extra row holds the sum of the weights at one
    heavy = 1e3 * max(float(np.abs(table).max()), 1e-9)
    solved, _ = optimize.nnls(np.vstack([table, np.full(table.shape[1], heavy)]), np.append(target, heavy))
    weights = solved / max(solved.sum(), 1e-12)
    counterfactual = mean + (donors - means) @ weights
    gap = treated - counterfactual
    return SyntheticFit(
        weights=weights,
        counterfactual=counterfactual,
        effect=float(gap[break_at:].mean()),
        fit=float(np.sqrt((gap[:break_at] ** 2).mean())),
    )


def estimate_synthetic_control(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Mean effect of a change on the market `treatment.arms` names, in a table with unit, date and outcomes.

    `treatment.intervention` names the change, whose date stands in `interventions`.

    Raises
    ------
    DataError
        With fewer than eight other markets, or twelve steps before the change.
    """
    frame, market, day = _inputs(design, setting)
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: list[pl.DataFrame] = []
    for outcome in design.outcomes:
        wide = _wide(frame, outcome)
        donors = [name for name in wide.columns if name not in ("date", market)]
        at = int((wide["date"] < day).sum())
        if len(donors) < MIN_DONORS or at < MIN_BEFORE or at >= wide.height:
            raise DataError(
                f'effect "{design.name}": {len(donors)} other markets and {at} steps before; '
                f"{MIN_DONORS} and {MIN_BEFORE} needed"
            )
        values = wide.select(donors).to_numpy().astype(float)
        treated = wide[market].to_numpy().astype(float)
        fit = fit_synthetic_control(treated, values, at)
        effect, check = _effect(design, outcome, market, fit, treated, values, at)
        effects.append(effect)
        pairs.append((effect, check))
        pictures.append(_picture(effect, wide["date"], treated, fit, at))
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures={"series": pl.concat(pictures)})


def _inputs(design: EffectDesign, setting: Setting) -> tuple[pl.DataFrame, str, date]:
    """The table, the treated market and the date of its change."""
    wanted = design.treatment
    if wanted.arms is None or len(wanted.arms) != 1 or wanted.intervention is None:
        raise ConfigError(
            f'effect "{design.name}": needs treatment = {{ arms = ["market"], intervention = "name" }}'
        )
    if setting.tables.interventions is None:
        raise DataError(f'effect "{design.name}": needs inputs.interventions, the log of changes')
    frame = read_table(design, setting.base_dir)
    for column in ("unit", "date", *design.outcomes):
        if column not in frame.columns:
            raise SchemaError(
                f'effect "{design.name}": no column "{column}"; {nearest(column, frame.columns)}'
            )
    day = pl.col("date").str.to_date() if frame["date"].dtype == pl.String else pl.col("date").cast(pl.Date)
    frame = frame.with_columns(day, pl.col("unit").cast(pl.String))
    if wanted.arms[0] not in frame["unit"].to_list():
        hint = nearest(wanted.arms[0], frame["unit"].unique().to_list())
        raise DataError(f'effect "{design.name}": no market "{wanted.arms[0]}"; {hint}')
    log = setting.tables.interventions.filter(pl.col("name") == wanted.intervention).collect()
    if log.is_empty():
        raise DataError(f'effect "{design.name}": no intervention "{wanted.intervention}" in the log')
    return frame, wanted.arms[0], log["date"].cast(pl.Date)[0]


def _wide(frame: pl.DataFrame, outcome: str) -> pl.DataFrame:
    """One row per date, one column per market; a market without rows on a date has zero."""
    wide = frame.pivot("unit", index="date", values=outcome, aggregate_function="sum")
    return wide.sort("date").fill_null(0.0)


def _effect(
    design: EffectDesign,
    outcome: str,
    market: str,
    fit: SyntheticFit,
    treated: Float,
    donors: Float,
    at: int,
) -> tuple[Effect, Check]:
    """The effect, its error from placebos in space, a placebo date, and the check of the fit before."""
    others = [
        fit_synthetic_control(donors[:, j], np.delete(donors, j, axis=1), at) for j in range(donors.shape[1])
    ]
    error = float(np.sqrt(np.mean([other.effect**2 for other in others])))
    half = float(stats.t.isf((1 - INTERVAL_LEVEL) / 2, len(others))) * error
    early = fit_synthetic_control(treated[:at], donors[:at], at - at // 4).effect
    effect = effect_of(
        design,
        outcome,
        "synthetic_control",
        "mean change",
        treatment=f"{market}: {design.treatment.intervention}",
        estimate=fit.effect,
        std_error=error,
        low=fit.effect - half,
        high=fit.effect + half,
        n_treated=1,
        n_control=donors.shape[1],
        effective_n=float(1 / max(float(fit.weights @ fit.weights), 1e-12)),
        placebo_estimate=early,
        placebo_low=early - half,
        placebo_high=early + half,
    )
    usual = float(np.median([other.fit for other in others]))
    ratio = fit.fit / usual if usual > 0 else 0.0
    checks = [
        check_placebo(effect),
        Check(
            check="fit before",
            value=ratio,
            limit=2.0,
            passed=ratio <= 2.0,
            reason=f"the others do not follow {market} before the change ({ratio:.1f} x their own misfit)",
        ),
    ]
    return apply_checks(effect, checks), checks[1]


def _picture(effect: Effect, dates: pl.Series, treated: Float, fit: SyntheticFit, at: int) -> pl.DataFrame:
    """Rows of a chart of the market with its synthetic control; the band is that of the mean effect."""
    size = len(treated)
    half = ((effect.high or 0.0) - (effect.low or 0.0)) / 2
    return pl.DataFrame(
        {
            "name": [effect.name] * size,
            "outcome": [effect.outcome] * size,
            "date": dates,
            "observed": treated,
            "counterfactual": fit.counterfactual,
            "low": fit.counterfactual - half,
            "high": fit.counterfactual + half,
            "after": np.arange(size) >= at,
        },
        schema=PICTURE_SCHEMAS["series"],
    )
