"""Sampling intervals of descriptive credit: how far another draw of journeys would move it.

Each journey is drawn a Poisson(1) number of times. Credit by a rule is a sum over journeys, so its variance
is the sum of the squared parts, exactly; a Markov chain and the rate game are computed anew on drawn counts.
The interval is credit -+ z times the standard deviation. It covers sampling of journeys only: customers with
several journeys count as if these were independent, and no interval says anything about causes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.special import ndtri

from attribution.credits.rows import TOTAL, UNTOUCHED, Bounds, group_members
from attribution.paths.methods import METHODS, Chain, Journeys, credit_by, fit_chains
from attribution.paths.rules import RULES, path_weights
from attribution.paths.touched import CHANNEL, GROUP
from histories.arrays import Float

MAX_RESAMPLED_TOUCHES = 5_000_000
"""Touches of distinct paths above which chains and the rate game get no interval: it would cost too much."""
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledBounds:
    """Intervals by channel, `(untouched)` and `(total)`, and by group."""

    of_channels: Mapping[str, Bounds]
    of_groups: Mapping[str, Bounds]


def sample_bounds(
    method: str,
    journeys: Journeys,
    credit: Mapping[str, float],
    *,
    groups: Mapping[str, str],
    chains: Mapping[str, Chain],
    untouched: float,
) -> SampledBounds:
    """Intervals of `credit` by `method` at the level of the settings.

    `untouched` is the outcome without a touch; where the paths do not hold all of it, neither it nor the
    total has an interval.
    """
    members = group_members(list(credit), groups)
    if METHODS[method].rule and RULES[method].needs_times:
        of_channel = _touch_deviation(method, journeys, credit, level=CHANNEL)
        of_group = _touch_deviation(method, journeys, members, level=GROUP)
    elif METHODS[method].rule:
        of_channel = _path_deviation(method, journeys, {name: [name] for name in credit})
        of_group = _path_deviation(method, journeys, members)
    elif journeys.paths.codes.size <= MAX_RESAMPLED_TOUCHES and journeys.settings.replicates > 1:
        draws = _drawn_credit(method, journeys, list(credit), chains)
        of_channel = dict(zip(credit, draws.std(axis=0, ddof=1).tolist(), strict=True))
        of_group = _group_deviation(draws, list(credit), members)
    else:
        of_channel, of_group = {}, {}
    of_channel = {**of_channel, **_whole_deviation(journeys, untouched)}
    at = {**credit, UNTOUCHED: untouched, TOTAL: sum(credit.values()) + untouched}
    in_groups = {group: sum(credit[name] for name in inside) for group, inside in members.items()}
    level = journeys.settings.interval
    signed = METHODS[method].signed
    return SampledBounds(
        of_channels=_intervals(at, of_channel, level=level, signed=signed),
        of_groups=_intervals(in_groups, of_group, level=level, signed=signed),
    )


def _intervals(
    at: Mapping[str, float], deviation: Mapping[str, float], *, level: float, signed: bool
) -> dict[str, Bounds]:
    """Figure -+ z standard deviations; below zero only where credit may be negative."""
    z = float(ndtri(0.5 + level / 2))
    floor = -np.inf if signed else 0.0
    return {
        name: Bounds(low=max(at[name] - z * sd, min(floor, at[name])), high=at[name] + z * sd)
        for name, sd in deviation.items()
    }


def _squared_worth(journeys: Journeys) -> Float:
    """Sum over the journeys of each path of their squared outcome, shape (n_paths,).

    The journeys of one path are taken to be worth the same.
    """
    conversions = journeys.paths.conversions
    if journeys.outcome != "spend":
        return conversions
    none = np.zeros_like(conversions)
    return np.divide(journeys.worth**2, conversions, out=none, where=conversions > 0)


def _whole_deviation(journeys: Journeys, untouched: float) -> dict[str, float]:
    """Standard deviation of the outcome without a touch and of all outcome, if the paths hold it all."""
    no_touch = journeys.paths.lengths == 0
    if untouched > float(journeys.worth[no_touch].sum()):
        return {}
    squares = _squared_worth(journeys)
    return {UNTOUCHED: float(np.sqrt(squares[no_touch].sum())), TOTAL: float(np.sqrt(squares.sum()))}


def _path_deviation(
    method: str, journeys: Journeys, members: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Standard deviation of what each set of channels earned by a rule on counted paths."""
    shares = path_weights(journeys.paths, method, settings=journeys.rules)
    place = {name: code for code, name in enumerate(journeys.paths.channels)}
    belongs = np.zeros((len(place), len(members)))
    for column, inside in enumerate(members.values()):
        belongs[[place[name] for name in inside], column] = 1.0
    together = sparse.csr_array(shares @ sparse.csr_array(belongs))
    variance = together.power(2).T @ _squared_worth(journeys)
    return dict(zip(members, np.sqrt(variance).tolist(), strict=True))


def _touch_deviation(
    method: str, journeys: Journeys, names: Iterable[str], *, level: str
) -> dict[str, float]:
    """Standard deviation of what each channel or group earned by a rule that needs times."""
    assert journeys.touches is not None  # without touches the rule has no figure
    known = journeys.touches.squares(method, of_value=journeys.outcome == "spend", level=level)
    return {name: float(np.sqrt(known.get(name, 0.0))) for name in names}


def _drawn_credit(method: str, journeys: Journeys, channels: list[str], chains: Mapping[str, Chain]) -> Float:
    """Credit on drawn counts, shape (replicates, C)."""
    rng = np.random.default_rng(SEED)
    paths = journeys.paths
    each = np.divide(
        journeys.worth, paths.conversions, out=np.zeros_like(journeys.worth), where=paths.conversions > 0
    )
    draws = np.zeros((journeys.settings.replicates, len(channels)))
    for draw in draws:
        conversions = rng.poisson(paths.conversions).astype(np.float64)
        nulls = rng.poisson(paths.nulls).astype(np.float64)
        drawn = replace(paths, conversions=conversions, nulls=nulls, value=each * conversions)
        sample = replace(journeys, paths=drawn, worth=each * conversions)
        if sample.paths.journeys[paths.lengths > 0].any():
            order = chains[method].counts.order if method in chains else None
            again = fit_chains(sample, [method], order=order)
            draw[:] = list(credit_by(method, sample, again).values())
    return draws


def _group_deviation(draws: Float, channels: list[str], members: Mapping[str, list[str]]) -> dict[str, float]:
    """Standard deviation of the credit of each group."""
    place = {name: code for code, name in enumerate(channels)}
    return {
        group: float(draws[:, [place[name] for name in inside]].sum(axis=1).std(ddof=1))
        for group, inside in members.items()
    }
