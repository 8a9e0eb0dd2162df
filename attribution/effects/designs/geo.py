"""Plan a test in some markets: which to treat, and what it would find, by the company's own past.

Every candidate set of markets is treated in name only at each moment of the past, and read exactly as
`synthetic_control` would read it: the estimate against the other markets, and the size from which on it is no
chance (`critical`). A lift added to what the markets would have done is found in the share of those tests in
which the estimate passes that size; errors count with either sign. The smallest lift that is found in the
wanted share of tests is the set's detectable lift.

Lift and chance are told as the worse of the older and the newer half of the past: the best of many looks
better where it was looked for. Which of the sets that find the wanted lift is treated is drawn by lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from attribution.effects.designs.synthetic_control import (
    MIN_BEFORE,
    MIN_DONORS,
    critical,
    fit_synthetic_control,
    market_sets,
    past_breaks,
    read_markets,
    scales,
)
from attribution.effects.effect import INTERVAL_LEVEL
from histories.arrays import Flags, Float, Integer
from histories.errors import ConfigError, DataError

#: Candidate sets of one size.
MOST_SETS = 150
#: Tests that each half of the past must allow.
FEWEST_TESTS = 6
#: A set that found something in more past tests, where nothing was done, is not proposed.
MOST_FALSE = 0.1
#: Sets that are told of.
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoPlan:
    """What tests in some markets would find.

    Attributes
    ----------
    sets
        One row per candidate set, the best first: markets, n_markets, share (of the outcome of all markets
        that is treated), misfit (root mean square error of the estimate in the past, relative), detectable
        (smallest lift, relative), power (chance of finding `lift`), false_alarms (share of past tests that
        found something where nothing was done), finds (whether the chance is the wanted one, and false alarms
        are rare).
    drawn
        Markets of the set drawn by lot among those that find the lift; None where none does.
    lift, power
        What is to be found (relative), and the chance wanted.
    steps, tests
        Length of the test, and how many past tests there are.
    markets, left_out
        Markets that took part, and those that lack steps.
    """

    sets: pl.DataFrame
    drawn: tuple[str, ...] | None
    lift: float
    power: float
    steps: int
    tests: int
    markets: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def refusal(self) -> str | None:
        """Why no set is proposed; None where one is."""
        if self.drawn is not None:
            return None
        best = self.sets.filter(pl.col("false_alarms") <= MOST_FALSE)
        smallest = (
            f"the smallest lift that one finds is {best['detectable'][0]:+.1%} ({best['markets'][0]})"
            if best.height
            else f"each found something in over {MOST_FALSE:.0%} of past tests, where nothing was done"
        )
        return (
            f"no set of markets finds a lift of {self.lift:+.1%} in {self.steps} steps with a chance of "
            f"{self.power:.0%}: {smallest}. Test longer, treat more markets, or measure something larger."
        )


def plan_markets(
    frame: pl.DataFrame,
    *,
    outcome: str,
    steps: int,
    lift: float,
    sizes: Sequence[int] = (1, 2, 3),
    power: float = 0.8,
    most_share: float = 0.5,
    seed: int = 1,
) -> GeoPlan:
    """Rank sets of markets by what a test in them would find.

    Parameters
    ----------
    frame
        One row per unit (a market) and date: unit, date and the outcome.
    outcome
        What is to rise; its sum per market and date is read.
    steps
        How many dates the test lasts.
    lift
        Smallest change worth finding, as a share of what the markets would have had.
    sizes
        How many markets are treated.
    power
        Chance of finding it, in a two-sided test of 5 %.
    most_share
        Of the outcome, at most, that may be treated.
    seed
        Of the draws.

    Raises
    ------
    ConfigError
        When a setting cannot be.
    SchemaError
        When a column is missing or cannot be read.
    DataError
        When there are too few markets, or too little past, for any test.
    """
    _check(steps, lift, sizes, power, most_share)
    names, values, left_out = _whole_markets(read_markets(frame, (outcome,), "markets"), outcome)
    T, J = values.shape
    first, last = max(4 * steps, MIN_BEFORE), T - steps
    usable = [size for size in sizes if J - size >= MIN_DONORS]
    if not usable or last - first + 1 < 2 * FEWEST_TESTS:
        raise DataError(
            f"{J} markets with {T} steps each ({len(left_out)} more lack steps): a test of {min(sizes)} "
            f"markets over {steps} steps needs {MIN_DONORS + min(sizes)} markets and "
            f"{first + steps + 2 * FEWEST_TESTS - 1} steps of past"
        )
    rng = np.random.default_rng(seed)
    tests = np.arange(first, last + 1)
    newer = tests >= tests[tests.size // 2]
    rows: list[dict[str, object]] = []
    for size in usable:
        sets = [s for s in market_sets(J, size, MOST_SETS, rng) if _share(values, s) <= most_share]
        if sets:
            rows += _tried(values, names, sets, tests, newer, steps=steps, lift=lift, power=power)
    if not rows:
        raise DataError(f"every set of {sizes} markets has more than {most_share:.0%} of {outcome}")
    table = pl.DataFrame(rows).sort("detectable", "misfit", "markets")
    found = table.filter("finds")
    drawn = None
    if found.height:
        drawn = tuple(str(found["markets"][int(rng.integers(found.height))]).split(" + "))
    return GeoPlan(
        sets=table,
        drawn=drawn,
        lift=lift,
        power=power,
        steps=steps,
        tests=int(tests.size),
        markets=tuple(names),
        left_out=left_out,
    )


def _check(steps: int, lift: float, sizes: Sequence[int], power: float, most_share: float) -> None:
    allowed = {
        f"steps = {steps}": (steps >= 1, "at least 1"),
        f"lift = {lift}": (0 < abs(lift) <= 10, "a share above 0, as 0.05 for 5 %"),
        f"markets = {list(sizes)}": (bool(sizes) and min(sizes, default=0) >= 1, "numbers from 1 on"),
        f"power = {power}": (1 - INTERVAL_LEVEL < power < 1, "between 0.05 and 1"),
        f"most_share = {most_share}": (0 < most_share <= 1, "above 0 and at most 1"),
    }
    for given, (right, words) in allowed.items():
        if not right:
            raise ConfigError(f"power of markets: {given} cannot be; allowed: {words}")


def _whole_markets(frame: pl.DataFrame, outcome: str) -> tuple[list[str], Float, tuple[str, ...]]:
    """Markets with a number on every date, their course (T, J), and those that lack some."""
    wide = frame.pivot("unit", index="date", values=outcome, aggregate_function="sum").sort("date")
    seen = frame.filter(pl.col(outcome).is_not_null()).group_by("unit").agg(pl.col("date").n_unique())
    known = dict(seen.iter_rows())
    names = sorted(name for name in wide.columns if name != "date" and known.get(name) == wide.height)
    values = wide.select(pl.col(name).cast(pl.Float64) for name in names).to_numpy()
    flat = [name for name, course in zip(names, values.T, strict=True) if np.ptp(course) == 0.0]
    kept = [name for name in names if name not in flat]
    left_out = tuple(sorted(set(wide.columns) - {"date"} - set(kept)))
    return kept, wide.select(kept).to_numpy().astype(np.float64), left_out


def _share(values: Float, chosen: tuple[int, ...]) -> float:
    return float(values[:, list(chosen)].sum() / values.sum())


def _tried(
    values: Float,
    names: Sequence[str],
    sets: list[tuple[int, ...]],
    tests: Integer,
    newer: Flags,
    *,
    steps: int,
    lift: float,
    power: float,
) -> list[dict[str, object]]:
    """Rows of candidate sets of one size, each tested at every moment of the past."""
    span = np.arange(int(tests[0]) // 2, int(tests[-1]) + 1)
    on = scales(values[: max(int(span[0]) // 2, 1)])
    missed, usual = np.empty((2, len(on), len(sets), span.size))
    for row, chosen in enumerate(sets):
        treated = values[:, list(chosen)].mean(axis=1)
        others = np.delete(values, chosen, axis=1)
        for scale, levelled in enumerate(on):
            for column, at in enumerate(span):
                end = at + steps
                fit = fit_synthetic_control(treated[:end], others[:end], int(at), levelled=levelled)
                missed[scale, row, column] = fit.effect
                usual[scale, row, column] = fit.counterfactual[at:].mean()
    by_scale = np.empty((len(on), len(sets), tests.size))
    for column, at in enumerate(tests):
        past = [b - span[0] for b in past_breaks(int(at), steps)]
        by_scale[:, :, column] = np.sqrt(np.mean(missed[:, :, past] ** 2, axis=2))
    best, now = by_scale.argmin(axis=0)[None], tests - span[0]
    sigma, estimate, level = (
        np.take_along_axis(each, best, axis=0)[0]
        for each in (by_scale, missed[:, :, now], np.abs(usual[:, :, now]))
    )
    ratio = np.sqrt(np.mean((estimate / np.maximum(sigma, 1e-12)) ** 2, axis=0))
    size = len(sets[0])
    limit = critical(sigma, ratio, max((values.shape[1] - size) // size, 2))
    # a lift is found where it passes the limit less, or plus, what the estimate missed
    needed = np.stack([limit - estimate, limit + estimate], axis=-1) / np.maximum(level, 1e-12)[..., None]
    rows: list[dict[str, object]] = []
    for row, chosen in enumerate(sets):
        halves = [needed[row, half].ravel() for half in (newer, ~newer)]
        found = min(float(np.mean(half <= abs(lift))) for half in halves)
        false = float(np.mean(np.abs(estimate[row]) > limit[row]))
        rows.append(
            {
                "markets": " + ".join(names[j] for j in chosen),
                "n_markets": size,
                "share": _share(values, chosen),
                "misfit": float(np.sqrt(np.mean((estimate[row] / level[row]) ** 2))),
                "detectable": max(float(np.quantile(half, power, method="higher")) for half in halves),
                "power": found,
                "false_alarms": false,
                "finds": found >= power and false <= MOST_FALSE,
            }
        )
    return rows
