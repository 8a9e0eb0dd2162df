"""Synthetic control: one or several markets against a weighted mean of the others.

The weights are non-negative, sum to one and make the others' course before the change follow the treated one
(Abadie, Diamond & Hainmueller 2010), with an intercept for its level (Doudchenko & Imbens 2016). The others
enter as they are or, where that missed less in the past, brought to the level of the treated before the
change, as markets of unequal size ask for. Several treated markets are read as their mean.

The error is what the same estimate misses where nothing was done. In the markets' own past it missed by
sigma, the root mean square over windows as long as what follows the change; behind the change, sets of as
many other markets, each taken as if treated (placebo in space), missed by r_j of their own sigma_j. The error
is sigma of the treated times the root mean square of r_j, or sigma where that is less. So a large market
among small ones, or a quiet one among loud ones, is measured by its own noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import scipy

from attribution.effects.data.tables import Setting
from attribution.effects.data.unit_table import read_table
from attribution.effects.design import EffectDesign
from attribution.effects.effect import INTERVAL_LEVEL, Effect, effect_of
from attribution.effects.estimators.checks import Check, apply_checks, check_placebo
from attribution.effects.findings import PICTURE_SCHEMAS, Findings
from histories.arrays import Float
from histories.errors import ConfigError, DataError, SchemaError, nearest

MIN_BEFORE = 12
MIN_DONORS = 8
#: Sets of other markets that are taken as if treated.
MOST_PLACEBOS = 200


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


def fit_synthetic_control(
    treated: Float, donors: Float, break_at: int, *, levelled: bool = False
) -> SyntheticFit:
    """Weights of donors (T, J) that follow the treated series (T,) before position `break_at`.

    `levelled` brings each donor to the mean of the treated before it, by a factor.
    """
    mean, means = treated[:break_at].mean(), donors[:break_at].mean(axis=0)
    if levelled:
        donors, means = donors * (mean / means), np.full_like(means, mean)
    target, table = treated[:break_at] - mean, donors[:break_at] - means
    # a heavy extra row holds the sum of the weights at one
    heavy = 1e3 * max(float(np.abs(table).max()), 1e-9)
    solved, _ = scipy.optimize.nnls(
        np.vstack([table, np.full(table.shape[1], heavy)]), np.append(target, heavy)
    )
    weights = solved / max(solved.sum(), 1e-12)
    counterfactual = mean + (donors - means) @ weights
    gap = treated - counterfactual
    return SyntheticFit(
        weights=weights,
        counterfactual=counterfactual,
        effect=float(gap[break_at:].mean()),
        fit=float(np.sqrt((gap[:break_at] ** 2).mean())),
    )


def past_breaks(before: int, after: int) -> range:
    """Positions in a history of `before` steps at which a window as long as `after` may begin.

    The window is a quarter of the history at most, and half of the history lies before it.

    >>> past_breaks(12, 6), past_breaks(40, 6)
    (range(6, 10), range(20, 35))
    """
    return range(before // 2, before - past_length(before, after) + 1)


def past_length(before: int, after: int) -> int:
    """Length of those windows."""
    return max(min(after, before // 4), 1)


def past_error(treated: Float, donors: Float, before: int, after: int, *, levelled: bool = False) -> float:
    """sigma: root mean square of the estimate over windows before the change."""
    length = past_length(before, after)
    missed = [
        fit_synthetic_control(treated[: at + length], donors[: at + length], at, levelled=levelled).effect
        for at in past_breaks(before, after)
    ]
    return float(np.sqrt(np.mean(np.square(missed))))


def read_one(treated: Float, donors: Float, at: int) -> tuple[SyntheticFit, float]:
    """The fit on the scale that missed less in the past, and its sigma."""
    after = treated.size - at
    tried = {
        levelled: past_error(treated, donors, at, after, levelled=levelled)
        for levelled in scales(np.column_stack([treated, donors])[: max(at // 2, 1)])
    }
    levelled = min(tried, key=tried.__getitem__)
    return fit_synthetic_control(treated, donors, at, levelled=levelled), tried[levelled]


def scales(early: Float) -> tuple[bool, ...]:
    """The scales there are, by the earliest steps (t, J): a factor lies between positive means only."""
    return (False, True) if (early.mean(axis=0) > 0.0).all() and (early >= 0.0).all() else (False,)


def market_sets(markets: int, size: int, most: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Sets of `size` of so many markets: all of them, or `most` drawn."""
    if comb(markets, size) <= most:
        return list(combinations(range(markets), size))
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < most:
        drawn.add(tuple(sorted(rng.choice(markets, size, replace=False).tolist())))
    return sorted(drawn)


def critical(sigma: Float, ratio: Float, sets: int, *, alpha: float = 1 - INTERVAL_LEVEL) -> Float:
    """How large an estimate is not chance: t with `sets` degrees of freedom x error."""
    return np.asarray(scipy.stats.t.isf(alpha / 2, sets) * sigma * np.maximum(ratio, 1.0), dtype=np.float64)


def estimate_synthetic_control(design: EffectDesign, setting: Setting, rng: np.random.Generator) -> Findings:
    """Mean effect, per step and market, of a change on the markets that `treatment.arms` names.

    The table has unit, date and outcomes; `treatment.intervention` names the change, whose date stands in
    `interventions`.

    Raises
    ------
    DataError
        With fewer than eight other markets, or twelve steps before the change.
    """
    frame, change = _inputs(design, setting)
    markets, day = change.markets, change.day
    effects: list[Effect] = []
    pairs: list[tuple[Effect, Check]] = []
    pictures: list[pl.DataFrame] = []
    notes: list[str] = []
    for outcome in design.outcomes:
        wide, lacking = _wide(frame, outcome, markets, f'effect "{design.name}"')
        there = [name for name in wide.columns if name not in ("date", *markets)]
        donors = [name for name in there if name not in change.elsewhere]
        notes += _left_out(design, lacking, [name for name in there if name in change.elsewhere])
        at = int((wide["date"] < day).sum())
        if len(donors) < MIN_DONORS or at < MIN_BEFORE or at >= wide.height:
            raise DataError(
                f'effect "{design.name}": {len(donors)} other markets, {at} steps before {day} and '
                f"{wide.height - at} from then on; {MIN_DONORS}, {MIN_BEFORE} and 1 needed"
            )
        values = wide.select(donors).to_numpy().astype(float)
        treated = wide.select(markets).to_numpy().astype(float).mean(axis=1)
        fit, sigma = read_one(treated, values, at)
        effect, check = _effect(design, outcome, markets, fit, sigma, treated, values, at, rng)
        if change.beside is not None:
            effect = effect.refused(change.beside)
        effects.append(effect)
        pairs.append((effect, check))
        pictures.append(_picture(effect, wide["date"], treated, fit, at))
    return Findings(
        effects=tuple(effects),
        checks=tuple(pairs),
        pictures={"series": pl.concat(pictures)},
        notes=tuple(dict.fromkeys(notes)),
    )


def _left_out(design: EffectDesign, lacking: list[str], changed: list[str]) -> Iterator[str]:
    """Which other markets are compared with nothing, and why."""
    for names, why in (
        (lacking, "lack a value on some date; write 0 where nothing came"),
        (changed, "changed something themselves, by the log of changes"),
    ):
        if names:
            some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            yield f'effect "{design.name}": {len(names)} other markets {why} ({some}). They are left out.'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What is asked about: the treated markets and their day, by the log of changes.

    Attributes
    ----------
    elsewhere
        Other names of the log's column channel: markets, perhaps, with a change of their own.
    beside
        What else changed in the treated markets from that day on, as a reason; None where nothing did.
    """

    markets: list[str]
    day: date
    elsewhere: frozenset[str] = frozenset()
    beside: str | None = None


def _inputs(design: EffectDesign, setting: Setting) -> tuple[pl.DataFrame, _Change]:
    """The table, and the change that the design names."""
    wanted = design.treatment
    if not wanted.arms or wanted.intervention is None:
        raise ConfigError(
            f'effect "{design.name}": needs treatment = {{ arms = ["market"], intervention = "name" }}'
        )
    if setting.tables.interventions is None:
        raise DataError(f'effect "{design.name}": needs inputs.interventions, the log of changes')
    frame = read_markets(read_table(design, setting.base_dir), design.outcomes, f'effect "{design.name}"')
    there = frame["unit"].unique().to_list()
    for arm in wanted.arms:
        if arm not in there:
            raise DataError(f'effect "{design.name}": no market "{arm}"; {nearest(arm, there)}')
    log = setting.tables.interventions.with_columns(pl.col("date").cast(pl.Date)).collect()
    if "channel" not in log.columns:
        log = log.with_columns(channel=pl.lit(None, dtype=pl.String))
    return frame, _change(design, log, frame["date"].min(), frame["date"].max())  # type: ignore[arg-type]


def _change(design: EffectDesign, log: pl.DataFrame, first: date, last: date) -> _Change:
    """What the log says of a change between two days: where else something changed, and what else there."""
    name, markets = design.treatment.intervention, list(dict.fromkeys(design.treatment.arms or ()))
    own, there = log.filter(pl.col("name") == name), pl.col("channel").is_in(markets)
    if own.is_empty():
        raise DataError(f'effect "{design.name}": no intervention "{name}" in the log')
    theirs = own.filter(there)
    days = (own if theirs.is_empty() else theirs)["date"].unique().sort()
    if days.len() > 1:
        raise DataError(
            f'effect "{design.name}": "{name}" is in the log on {days.len()} days ({days[0]}, {days[1]}). '
            "Name each of them apart, and give an entry for the markets that began then."
        )
    during = log.filter(pl.col("date").is_between(first, last, closed="right"))
    beside = during.filter(there, pl.col("name") != name, pl.col("date") >= days[0])["name"].to_list()
    return _Change(
        markets=markets,
        day=days[0],
        elsewhere=frozenset(during["channel"].drop_nulls().to_list()) - {*markets},
        beside=f'"{beside[0]}" changed there from then on, too: the two cannot be told apart'
        if beside
        else None,
    )


def read_markets(frame: pl.DataFrame, outcomes: tuple[str, ...], place: str) -> pl.DataFrame:
    """A table of markets over time with its columns checked: unit as text, date as a day, numbers.

    Raises
    ------
    SchemaError
        When a column is missing, no day, or no number.
    """
    for column in ("unit", "date", *outcomes):
        if column not in frame.columns:
            raise SchemaError(f'{place}: no column "{column}"; {nearest(column, frame.columns)}')
    words = [
        name for name in outcomes if not (frame[name].dtype.is_numeric() or frame[name].dtype.is_decimal())
    ]
    if words:
        raise SchemaError(f"{place}: {', '.join(words)} holds {frame[words[0]].dtype}; numbers are needed")
    text = frame["date"].dtype == pl.String
    if not (text or frame["date"].dtype.is_temporal()):
        raise SchemaError(f"{place}: date holds {frame['date'].dtype}; days as 2026-01-31 are needed")
    day = pl.col("date").str.to_date(strict=False) if text else pl.col("date").cast(pl.Date)
    read = frame.with_columns(day, pl.col("unit").cast(pl.String))
    lost = read["date"].null_count()
    if lost:
        raise SchemaError(f"{place}: {lost} of {frame.height} dates are no days as 2026-01-31")
    return read


def _wide(
    frame: pl.DataFrame, outcome: str, markets: list[str], place: str
) -> tuple[pl.DataFrame, list[str]]:
    """One row per date, one column per market with a value on each; and other markets that lack some.

    Raises
    ------
    DataError
        When a treated market lacks a value.
    """
    known = frame.filter(pl.col(outcome).cast(pl.Float64).is_not_nan())
    wide = known.pivot("unit", index="date", values=outcome, aggregate_function="sum").sort("date")
    seen = dict(known.group_by("unit").agg(pl.col("date").n_unique()).iter_rows())
    lacking = sorted(name for name in wide.columns if name != "date" and seen[name] < wide.height)
    lost = [name for name in markets if seen.get(name, 0) < wide.height]
    if lost:
        raise DataError(
            f"{place}: {lost[0]} has a value of {outcome} on {seen.get(lost[0], 0)} of {wide.height} dates. "
            "Write the others, 0 where nothing came."
        )
    return wide.drop(lacking), lacking


def _placebos(
    donors: Float, size: int, at: int, rng: np.random.Generator
) -> Iterator[tuple[Float, SyntheticFit, float]]:
    """Sets of `size` donors as if treated: their mean, the fit and its sigma."""
    for chosen in market_sets(donors.shape[1], size, MOST_PLACEBOS, rng):
        treated = donors[:, list(chosen)].mean(axis=1)
        yield treated, *read_one(treated, np.delete(donors, chosen, axis=1), at)


def _effect(
    design: EffectDesign,
    outcome: str,
    markets: list[str],
    fit: SyntheticFit,
    sigma: float,
    treated: Float,
    donors: Float,
    at: int,
    rng: np.random.Generator,
) -> tuple[Effect, Check]:
    """The effect, its error from past and placebos, a placebo date, and the check of the fit before."""
    size = min(len(markets), donors.shape[1] // 2)
    placebos = list(_placebos(donors, size, at, rng))
    missed = [other.effect / max(usual, 1e-12) for _, other, usual in placebos]
    ratio = max(float(np.sqrt(np.mean(np.square(missed)))), 1.0)
    independent = max(donors.shape[1] // size, 2)
    half = float(critical(np.array(sigma), np.array(ratio), independent))
    early = read_one(treated[:at], donors[:at], at - at // 4)[0].effect
    effect = effect_of(
        design,
        outcome,
        "synthetic_control",
        "mean change",
        treatment=f"{', '.join(markets)}: {design.treatment.intervention}",
        estimate=fit.effect,
        std_error=sigma * ratio,
        low=fit.effect - half,
        high=fit.effect + half,
        n_treated=len(markets),
        n_control=donors.shape[1],
        effective_n=float(1 / max(float(fit.weights @ fit.weights), 1e-12)),
        placebo_estimate=early,
        placebo_low=early - half,
        placebo_high=early + half,
    )
    usual = float(np.median([other.fit / max(float(each[:at].std()), 1e-12) for each, other, _ in placebos]))
    misfit = fit.fit / max(float(treated[:at].std()), 1e-12)
    follows = misfit / usual if usual > 0 else 0.0
    told = ", ".join(markets)
    checks = [
        check_placebo(effect),
        Check(
            check="fit before",
            value=follows,
            limit=2.0,
            passed=follows <= 2.0,
            reason=f"the others do not follow {told} before the change ({follows:.1f} x their own misfit)",
        ),
    ]
    return apply_checks(effect, checks), checks[1]


def _picture(effect: Effect, dates: pl.Series, treated: Float, fit: SyntheticFit, at: int) -> pl.DataFrame:
    """Rows of a chart of the markets with their synthetic control; the band is that of the mean effect."""
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
