"""Interrupted series: what a change did to a metric over time, against the trend it interrupted.

Level and slope change at the date (equations: `effects.estimators.segmented`). Every entry of the log has a
level and a slope of its own, whichever is asked about: a change is held against the course since the entry
before it, up to the next. At least twelve points since the one, six up to the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial

import numpy as np
import polars as pl
import scipy

from attribution.effects.data.series import Series, find_series
from attribution.effects.data.tables import Setting
from attribution.effects.design import EffectDesign
from attribution.effects.effect import Effect, effect_of
from attribution.effects.estimators.checks import Check, apply_checks, check_placebo
from attribution.effects.estimators.segmented import Figure, SegmentedFit, fit_segmented
from attribution.effects.estimators.sensitivity import robustness_value
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.arrays import Float
from histories.errors import DataError, nearest

MIN_BEFORE = 12
MIN_AFTER = 6
MAX_MOVED = 0.10
"""Largest move of the number of customers under which a total of the company is read."""
SEASON_P = 0.1
"""p-value below which a yearly course is likely."""
PEAK = 5.0
"""Robust standard deviations from its line from which a step is out of all proportion."""


def estimate_interrupted(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Mean, level and slope change of every outcome at every entry of the change log.

    Raises
    ------
    DataError
        When there is no change log, or no entry in it that the design names.
    """
    log = _log(design, setting)
    asked = _asked(design, log)
    entries = [(row["name"], row["date"]) for row in log.select("name", "date").iter_rows(named=True)]
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: list[pl.DataFrame] = []
    for series in find_series(design, setting):
        for name, day in asked:
            found, checks, picture = estimate_change(design, series, name, day, entries)
            effects += found
            pairs += [(effect, check) for effect in found for check in checks]
            pictures += picture
    frames = {"series": pl.concat(pictures)} if pictures else {}
    return Findings(effects=tuple(effects), checks=tuple(pairs), pictures=frames)


def _log(design: EffectDesign, setting: Setting) -> pl.DataFrame:
    """The log of changes, by date."""
    if setting.tables.interventions is None:
        raise DataError(f'effect "{design.name}": needs inputs.interventions, the log of changes')
    return setting.tables.interventions.with_columns(pl.col("date").cast(pl.Date)).sort("date").collect()


def _asked(design: EffectDesign, log: pl.DataFrame) -> list[tuple[str, date]]:
    """Names and dates of the changes that the design selects, by date."""
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
    """Effects of one change on one series: mean first, then level and slope.

    `changes` are all entries of the log, among them this one.
    """
    position = _position(series, day)
    others = [
        (other, place)
        for other, when in changes
        if (other, when) != (name, day) and 0 < (place := _position(series, when)) < len(series.values)
    ]
    earlier = max((place for _, place in others if place <= position), default=0)
    later = min((place for _, place in others if place >= position), default=len(series.values))
    bare = effect_of(
        design,
        series.outcome,
        "segmented_regression",
        "mean change",
        treatment=name,
        n_treated=later - position,
        n_control=position - earlier,
        effective_n=float(later - earlier),
    )
    if bare.n_control < MIN_BEFORE or bare.n_treated < MIN_AFTER:
        return [bare.refused(_too_few(bare, dict(map(reversed, others)), earlier, later))], [], []  # type: ignore[arg-type]
    places = [place for _, place in others]
    fitting = partial(fit_segmented, others=places, period=series.period, cycle=series.cycle)
    fit = fitting(series.values, position)
    calm, odd = _without_peaks(series, earlier, position)
    again = fitting(calm, position) if odd else fit
    early, middle = series.values[earlier:position], (position - earlier) // 2
    placebo = fit_segmented(early, middle, cycle=series.cycle).mean
    effects = [
        _figure(bare, what, figure, placebo, fit.dof)
        for what, figure in (("mean change", fit.mean), ("level", fit.level), ("slope", fit.slope))
    ]
    checks = [check_placebo(effects[0]), _check_peaks(series, odd, fit.mean, again.mean)]
    if series.period is None:
        yearly = fitting(series.values, position, period=series.year)
        checks.append(_check_season(yearly, fit.mean))
    if series.base is not None:
        checks.append(_check_base(series.outcome, series.base[earlier:later], position - earlier))
    return (
        [apply_checks(effect, checks) for effect in effects],
        checks,
        [_picture(design, series, fit, position, name)],
    )


def _position(series: Series, day: date) -> int:
    """The first step that starts on this day or later."""
    return int(np.searchsorted(series.dates, np.datetime64(day)))


def _too_few(effect: Effect, names: Mapping[int, str], earlier: int, later: int) -> str:
    """How many points there are on each side, and which other changes bound them."""
    if earlier == later and earlier in names:  # where they are the ends of an empty series no other change is
        return f'"{names[earlier]}" changed in the same step: the two cannot be told apart'
    before = f'since "{names[earlier]}"' if earlier in names else "before"
    after = f'until "{names[later]}"' if later in names else "after the change"
    needed = f"{MIN_BEFORE} before and {MIN_AFTER} after needed"
    return f"{effect.n_control} points {before} and {effect.n_treated} {after}; {needed}"


def _figure(effect: Effect, estimand: str, figure: Figure, placebo: Figure, dof: int) -> Effect:
    """The effect with its figures, and those of a date half-way before it."""
    return replace(
        effect,
        estimand=estimand,
        estimate=figure.value,
        std_error=figure.std_error,
        low=figure.low,
        high=figure.high,
        robustness_value=robustness_value(figure.value / figure.std_error, dof) if figure.std_error else None,
        placebo_estimate=placebo.value,
        placebo_low=placebo.low,
        placebo_high=placebo.high,
    )


def _without_peaks(series: Series, earlier: int, position: int) -> tuple[Float, list[int]]:
    """The series with peaks before a change brought to the line through the others; and where they are."""
    calm = series.values.astype(np.float64)
    before = calm[earlier:position]
    phase = np.arange(before.size) % (series.cycle or 1)
    usual = np.array([np.median(before[phase == k]) for k in range(phase.max() + 1)])[phase]
    slope, level, *_ = scipy.stats.theilslopes(before - usual)
    line = usual + level + slope * np.arange(before.size)
    rest = before - line
    spread = float(scipy.stats.median_abs_deviation(rest, scale="normal"))
    odd = np.flatnonzero(np.abs(rest) > PEAK * spread) if spread > 0 else np.zeros(0, dtype=np.int64)
    calm[earlier + odd] = line[odd]
    return calm, [int(earlier + place) for place in odd]


def _check_peaks(series: Series, odd: list[int], mean: Figure, calm: Figure) -> Check:
    """Whether a few steps before the change, out of all proportion, make the course that it is held against.

    After Christmas all metrics of a shop change.
    """
    moved = abs(mean.value - calm.value) / mean.std_error if mean.std_error > 0 else 0.0
    when = ", ".join(str(series.dates[place]) for place in odd[:3])
    return Check(
        check="peaks before",
        value=moved,
        limit=1.0,
        passed=moved <= 1.0,
        reason=(
            f"{len(odd)} steps before the change are out of all proportion ({when}), and were they as usual "
            f"it would be {calm.value:.3g}, not {mean.value:.3g}: what followed may be their end. Hold it "
            "against other markets (synthetic_control)"
        ),
    )


def _check_season(yearly: SegmentedFit, mean: Figure) -> Check:
    """Whether a yearly course, which two years tell from a change, explains a shorter series too."""
    moved = abs(mean.value - yearly.mean.value) / mean.std_error if mean.std_error > 0 else 0.0
    seasonal = yearly.season < SEASON_P
    return Check(
        check="season",
        value=moved,
        limit=1.0,
        passed=not (seasonal and moved > 1.0),
        reason=(
            f"with a yearly course the series is followed better (p = {yearly.season:.1g}), and it would be "
            f"{yearly.mean.value:.3g}, not {mean.value:.3g}: less than two years do not tell a season from a "
            "change. Give a longer series, or hold it against other markets (synthetic_control)"
        ),
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


def _picture(
    design: EffectDesign, series: Series, fit: SegmentedFit, position: int, name: str
) -> pl.DataFrame:
    """Rows of a chart of the series with its counterfactual."""
    size = len(series.values)
    return pl.DataFrame(
        {
            "name": [f"{design.name}: {name}"] * size,
            "outcome": [series.outcome] * size,
            "date": pl.Series(series.dates).cast(pl.Date),
            "observed": series.values,
            "counterfactual": fit.counterfactual,
            "low": fit.low,
            "high": fit.high,
            "after": np.arange(size) >= position,
        },
        schema=PICTURE_SCHEMAS["series"],
    )
