"""Units: one row per unit, as arrays, whatever table they came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attribution.effects.data.unit_table import outcome_numbers, read_table, require_columns
from attribution.effects.design import EffectDesign
from histories.arrays import Float
from histories.cuts import CROSS
from histories.errors import ConfigError, DataError, TributaryError, nearest

BY_CHANCE = 1e-6
"""Chance below which nobody believes that units of a kind were drawn into one arm each by itself."""

WEIGHTS = r"(?i)^((sampl\w+|survey|design|final|post.?strat\w*|raking|expansion)[ _-]?)?(weights?|wt|wgt)$"
"""How a column is called that says for how many of a population a unit of a survey stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """N units, each with an arm, outcomes and what was known before.

    Attributes
    ----------
    arm : shape (N,)
        Name of the arm; unequal names are unequal treatments.
    outcomes
        Name to values, shape (N,); NaN where the outcome was not observed.
    covariates : shape (N, K)
        Numeric, complete, all known before the start.
    covariate_names
        K names; a category shows as `region=north`.
    before
        Outcome to the same metric before the start, shape (N,).
    placebos
        Outcome to a metric before the start, shape (N,).
    placebo_covariates : shape (N, K)
        The covariates without what that metric says; None where they are the same.
    segments
        Segment column to labels, shape (N,).
    clusters : shape (N,) or None
        Whom a row belongs to, when one customer can have several rows.
    costs : shape (N,) or None
        Cost of treating the unit, in currency; NaN where unknown.
    circumstances
        Covariates that say when a unit came and not who it is: no hidden trait is measured by their strength.
    assigned_by
        What was assigned in place of units: a column, and how many of its values were.
    """

    arm: NDArray[np.str_]
    outcomes: Mapping[str, Float]
    covariates: NDArray[np.float64]
    covariate_names: tuple[str, ...] = ()
    before: Mapping[str, Float] = field(default_factory=dict)
    placebos: Mapping[str, Float] = field(default_factory=dict)
    placebo_covariates: NDArray[np.float64] | None = None
    segments: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    clusters: NDArray[np.int64] | None = None
    costs: Float | None = None
    circumstances: frozenset[str] = frozenset()
    assigned_by: tuple[str, int] | None = None

    def __len__(self) -> int:
        return len(self.arm)

    def where(self, mask: NDArray[np.bool_]) -> Units:
        """The units that `mask` (N,) selects."""
        return Units(
            arm=self.arm[mask],
            outcomes={name: values[mask] for name, values in self.outcomes.items()},
            covariates=self.covariates[mask],
            covariate_names=self.covariate_names,
            before={name: values[mask] for name, values in self.before.items()},
            placebos={name: values[mask] for name, values in self.placebos.items()},
            placebo_covariates=None if self.placebo_covariates is None else self.placebo_covariates[mask],
            segments={name: labels[mask] for name, labels in self.segments.items()},
            clusters=None if self.clusters is None else self.clusters[mask],
            costs=None if self.costs is None else self.costs[mask],
            circumstances=self.circumstances,
            assigned_by=self.assigned_by,
        )

    def without(self, name: str) -> Units:
        """The same units without one covariate."""
        kept = [place for place, other in enumerate(self.covariate_names) if other != name]
        held_out = self.placebo_covariates
        return replace(
            self,
            covariates=self.covariates[:, kept],
            covariate_names=tuple(self.covariate_names[place] for place in kept),
            placebo_covariates=None if held_out is None else held_out[:, kept],
        )


def read_units(design: EffectDesign, base_dir: Path = Path()) -> Units:
    """The table of a design with one row per unit, read and checked.

    Paths are relative to `base_dir`.

    Raises
    ------
    ConfigError
        When the table does not exist.
    SchemaError
        When a column is missing or an outcome is not numeric.
    DataError
        When a unit has several rows, or the control arm is not in the table.
    """
    if design.treatment.column is None:
        raise ConfigError(f'effect "{design.name}": treatment.column, the column of the arm, is missing')
    return units_from_frame(read_table(design, base_dir), design)


def units_from_frame(frame: pl.DataFrame, design: EffectDesign) -> Units:
    """Units of a frame with one row per unit; needs the design's arm, outcome, covariate and segment columns.

    Rows without an arm are left out.
    """
    place = f'effect "{design.name}"'
    column = design.treatment.column or "arm"
    before = before_columns(frame.columns, design)
    named = (
        column,
        *design.outcomes,
        *design.covariates,
        *before.values(),
        *columns_of_segments(design.segments),
    )
    require_columns(frame.columns, named, place)
    for name in design.covariates:
        if name in (column, *design.outcomes):
            what = "the arm" if name == column else "an outcome"
            raise DataError(f'{place}: the covariate "{name}" is {what} itself. Leave it out of covariates.')
    if "unit" in frame.columns and (repeated := frame.height - frame["unit"].n_unique()):
        raise DataError(
            f"{place}: {repeated} of {frame.height} rows repeat a unit. The table of a design has one row "
            "per unit: sum the outcomes per unit first."
        )
    frame = frame.filter(pl.col(column).is_not_null())
    arm = _arm_names(frame[column])
    _require_arms(arm, design)
    covariates, names = encode_covariates(frame, design.covariates)
    before_values = {outcome: _numbers_before(frame, theirs) for outcome, theirs in before.items()}
    return Units(
        arm=arm,
        outcomes={name: outcome_numbers(frame, name, place) for name in design.outcomes},
        covariates=covariates,
        covariate_names=names,
        before={name: v for name, v in before_values.items() if np.isfinite(v).all()},
        segments=label_segments(frame, design.segments),
        assigned_by=assigned_by(frame.drop(column, *design.outcomes), arm),
    )


def assigned_by(frame: pl.DataFrame, arm: NDArray[np.str_]) -> tuple[str, int] | None:
    """The coarsest column within whose values the arm (N,) never differs, and how many values it has.

    Only one that chance does not make (as if each unit had been drawn by itself), and of which every arm has
    two values of two units and more: what is told of the treated alone, or of one arm, says how they were
    treated.

    >>> store = [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4] * 3
    >>> arm = np.array(["new" if s % 2 else "old" for s in store])
    >>> assigned_by(pl.DataFrame({"store": store}), arm)
    ('store', 4)
    """
    share = {str(name): float((arm == name).mean()) for name in np.unique(arm)}
    found = []
    for series in frame:
        if series.dtype.is_nested() or not 1 < series.n_unique() <= len(arm) / 2:
            continue
        named = pl.DataFrame({"value": series, "arm": pl.Series(arm)}).drop_nulls()
        groups = named.group_by("value").agg(pl.col("arm").first(), pl.len(), arms=pl.col("arm").n_unique())
        whole = groups.filter(pl.col("len") > 1)
        if (groups["arms"] > 1).any() or (whole.group_by("arm").len()["len"] > 1).sum() < len(share):
            continue
        chances = {size: np.log(sum(p**size for p in share.values())) for size in whole["len"].unique()}
        if sum(chances[size] for size in whole["len"]) < np.log(BY_CHANCE):
            found.append((groups.height, series.name))
    return (min(found)[1], min(found)[0]) if found else None


def _arm_names(column: pl.Series) -> NDArray[np.str_]:
    """Names of arms; whole numbers that a file holds as decimals are written without their point."""
    if column.dtype.is_float() and (column == column.floor()).all():
        column = column.cast(pl.Int64)
    return np.asarray(column.cast(pl.String).to_numpy().astype(np.str_))


def encode_covariates(
    frame: pl.DataFrame, columns: Sequence[str], *, max_levels: int = 20
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Numeric covariates of shape (N, K) and their names.

    A number keeps its value, with the mean and a flag where it is missing. A text becomes one column per
    level but the commonest; levels beyond the `max_levels` commonest are one.

    Raises
    ------
    DataError
        When a number is infinite: nothing could be adjusted for by it.
    """
    parts: list[Float] = []
    names: list[str] = []
    for name in columns:
        series = frame[name]
        if series.dtype.is_temporal():
            series = series.cast(pl.Date).to_physical()
        if series.dtype.is_numeric() or series.dtype == pl.Boolean:
            values = series.cast(pl.Float64).fill_nan(None)
            endless = int(values.is_infinite().sum())
            if endless:
                raise DataError(
                    f'covariate "{name}" is infinite in {endless} of {values.len()} rows. Look for a '
                    "division by zero where the table is made."
                )
            parts.append(values.fill_null(values.mean() or 0.0).to_numpy())
            names.append(name)
            if values.null_count():
                parts.append(values.is_null().cast(pl.Float64).to_numpy())
                names.append(f"{name}=missing")
            continue
        labels = segment_labels(frame, name)
        levels, counts = np.unique(labels, return_counts=True)
        for level in levels[np.argsort(-counts, kind="stable")][1:max_levels]:
            parts.append((labels == level).astype(float))
            names.append(f"{name}={level}")
    matrix = np.column_stack(parts) if parts else np.empty((frame.height, 0))
    return np.asarray(matrix, dtype=np.float64), tuple(names)


def segment_labels(frame: pl.DataFrame, column: str, *, max_levels: int = 12) -> NDArray[np.str_]:
    """Labels of a segment column, shape (N,); a number with many values is cut at its quartiles.

    Every table that is cut by segments is cut here, so that a segment is the same customers everywhere.
    """
    series = frame[column]
    if series.dtype.is_float():
        series = series.fill_nan(None)
    if series.dtype.is_numeric() and series.drop_nulls().n_unique() > max_levels:
        values = series.cast(pl.Float64).fill_null(np.nan).to_numpy()
        edges = np.unique(np.nanquantile(values, [0.25, 0.5, 0.75]))
        names = _quartile_names(edges)
        labels = np.asarray(names)[np.searchsorted(edges, values, side="left").clip(0, len(edges))]
        return np.where(np.isnan(values), "unknown", labels).astype(np.str_)
    if series.dtype.is_float() and (series.drop_nulls() == series.drop_nulls().round()).all():
        series = series.cast(pl.Int64)
    return series.cast(pl.String).fill_null("unknown").to_numpy().astype(np.str_)


def label_segments(frame: pl.DataFrame, names: Iterable[str]) -> dict[str, NDArray[np.str_]]:
    """Labels by each segment column, each shape (N,); `"a x b"` crosses two columns, each cut by itself.

    >>> frame = pl.DataFrame({"plan": ["free", "paid"], "new": [True, False]})
    >>> label_segments(frame, ["plan x new"])["plan x new"].tolist()
    ['free x true', 'paid x false']
    """
    found = {}
    for name in names:
        first, *others = (segment_labels(frame, column) for column in columns_of_segments([name]))
        found[name] = np.array(
            [CROSS.join(labels) for labels in zip(first, *others, strict=True)], dtype=np.str_
        )
    return found


def columns_of_segments(names: Iterable[str]) -> list[str]:
    """The columns that segments are made of, each once.

    >>> columns_of_segments(["region", "care_user x spend", "spend"])
    ['region', 'care_user', 'spend']
    """
    return list(dict.fromkeys(column for name in names for column in name.split(CROSS)))


def _quartile_names(edges: Float) -> list[str]:
    """One name per interval between the edges."""
    inner = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
    return [f"up to {edges[0]:g}", *inner, f"above {edges[-1]:g}"]


def before_columns(columns: Iterable[str], design: EffectDesign) -> dict[str, str]:
    """For each outcome the column that is the same metric before the start, where there is one."""
    have = set(columns)
    found = dict(design.before)
    for outcome in design.outcomes:
        for name in (f"{outcome}_before", f"pre_{outcome}"):
            if name in have:
                found.setdefault(outcome, name)
    return found


def _numbers_before(frame: pl.DataFrame, name: str) -> Float:
    """A metric before the start as floats; what is no number is NaN, and the metric then of no use."""
    return frame[name].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()


def units_left_out(design: EffectDesign, base_dir: Path = Path()) -> tuple[str, ...]:
    """Sentences on rows of a design's own table that no figure rests on, and on weights that none uses."""
    frame, arm = read_table(design, base_dir), design.treatment.column
    require_columns(frame.columns, [*design.outcomes, *([arm] if arm else [])], f'effect "{design.name}"')
    known = frame if arm is None else frame.filter(pl.col(arm).is_not_null())
    without = {} if arm is None else {f"no {arm}": frame.height - known.height}
    for name in design.outcomes:
        without[f"no {name}"] = int(np.isnan(outcome_numbers(known, name, "")).sum())
    told = [
        f'effect "{design.name}": {count} of {frame.height} rows have {what} and are left out'
        for what, count in without.items()
        if count
    ]
    named = {*design.outcomes, *design.covariates, *design.before.values(), arm, design.instrument}
    told += [
        f'effect "{design.name}": column "{name}" looks like weights, and every unit counts once: the effect '
        "is that of the units in the table. Name it in covariates or segments if it tells who they stand for"
        for name in frame.columns
        if re.search(WEIGHTS, name) and name not in named and name not in design.segments
    ]
    return tuple(told)


def group_outcomes(
    design: EffectDesign, base_dir: Path = Path()
) -> tuple[tuple[tuple[str, ...], ...], dict[str, TributaryError]]:
    """Outcomes of a design's own table that were observed of the same rows, and why others cannot be used.

    So that an outcome which is infinite, no number, or not observed of some rows costs no other outcome.
    """
    frame = read_table(design, base_dir)
    place = f'effect "{design.name}"'
    groups: dict[bytes, list[str]] = {}
    unusable: dict[str, TributaryError] = {}
    for name in design.outcomes:
        try:
            require_columns(frame.columns, [name], place)
            missing = np.isnan(outcome_numbers(frame, name, place))
        except DataError as error:
            unusable[name] = error
        else:
            groups.setdefault(missing.tobytes(), []).append(name)
    return tuple(map(tuple, groups.values())), unusable


def _require_arms(arm: NDArray[np.str_], design: EffectDesign) -> None:
    """Refuse a table without the control arm, or with nothing beside it."""
    found = [str(name) for name in np.unique(arm)]
    for name in (design.treatment.control, *(design.treatment.arms or ())):
        if name is not None and name not in found:
            raise DataError(f'effect "{design.name}": no unit in arm "{name}"; {nearest(name, found)}')
    refuse_odd_arms(found, design)
    if len(found) < 2:
        raise DataError(f'effect "{design.name}": one arm only ({found[0] if found else "no rows"}).')


def refuse_odd_arms(found: Sequence[str], design: EffectDesign) -> None:
    """Refuse arms that are one but for how they are written, and planned shares of an arm that is not there.

    Raises
    ------
    DataError
        With the arms.
    """
    if alike := sorted(a for a in found for b in found if a != b and a.strip().lower() == b.strip().lower()):
        raise DataError(
            f'effect "{design.name}": arms that differ by letter case or blanks alone: '
            f"{', '.join(map(repr, alike[:4]))}. Have them written in one way."
        )
    for name in design.treatment.shares or ():
        if name not in found:
            raise DataError(
                f'effect "{design.name}": treatment.shares names the arm "{name}", which no unit is in; '
                f"{nearest(name, found)}"
            )
