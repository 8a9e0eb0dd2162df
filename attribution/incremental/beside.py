"""What stands beside each credit: interval, range, counts, and the reasons that speak against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attribution.credits.rows import BASELINE, TOTAL, Bounds, Counts
from attribution.incremental.aumann_shapley import PanelCredit
from attribution.incremental.bootstrap import CreditDraws
from attribution.incremental.checks.gates import answered_problems, untouched_channels
from attribution.incremental.range import bounds_around
from histories.arrays import Flags
from histories.panel import Panel


def credit_bounds(
    members: Mapping[str, Flags],
    credit: PanelCredit,
    companions: Mapping[str, PanelCredit],
    draws: CreditDraws,
    *,
    outcome: str,
    interval: float,
) -> dict[str, Bounds]:
    """Interval and range of the summed credit of some channels, by name, and of the baseline.

    `members` says which channels belong to each name (see `members_of`); their draws are joint.
    """
    own = credit.require(outcome)
    others = [companion.outcome(outcome) for companion in companions.values()]
    known = [other for other in others if other is not None and np.any(other.credit)]
    bounds = {
        name: bounds_around(
            float(own.credit[mask].sum()),
            companions=[float(other.credit[mask].sum()) for other in known],
            std_error=measured(draws.std(outcome, mask), abs(own.total)),
            interval=interval,
        )
        for name, mask in members.items()
    }
    bounds[BASELINE] = bounds_around(
        own.baseline,
        companions=[other.baseline for other in known],
        std_error=measured(draws.std(outcome), abs(own.total)),
        interval=interval,
    )
    return bounds


def measured(std_error: float, most: float) -> float:
    """The standard error; NaN, so no interval, where it exceeds the whole outcome."""
    return std_error if std_error <= most else float("nan")


def members_of(names: Sequence[str]) -> dict[str, Flags]:
    """Which channels bear each name: of `panel.channels` each its own, of `panel.groups` those of a group."""
    return {str(name): np.array(names) == name for name in dict.fromkeys(names)}


def touch_counts(panel: Panel, members: Mapping[str, Flags]) -> Counts:
    """Touches, customers touched and customer-periods with a touch, by name and in total.

    A customer touched in two channels of a group counts once.
    """
    touches, customers, n = {}, {}, {}
    for name, mask in members.items():
        by_period = panel.touches[:, :, mask].sum(axis=2)
        touches[name] = int(by_period.sum(dtype=np.float64))
        customers[name] = int((by_period > 0).any(axis=1).sum())
        n[name] = int((by_period > 0).sum())
    touches[TOTAL] = int(panel.touches.sum(dtype=np.float64))
    customers[TOTAL] = panel.n_customers
    n[TOTAL] = int(panel.at_risk.sum())
    return Counts(touches=touches, customers=customers, n=n)


def objections(
    panel: Panel, problems: Sequence[str], against_channels: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Reasons why a figure is not supported, for every channel, group, baseline and total.

    `problems` speak against every row, `against_channels` against their channel and its group.
    """
    own = {**against_channels, **untouched_channels(panel), **answered_problems(panel)}
    found = {name: (*problems, *_listed(own, [name])) for name in panel.channels}
    for group, mask in members_of(panel.groups).items():
        inside = [name for name, member in zip(panel.channels, mask, strict=True) if member]
        against = _listed(own, inside)
        found[group] = tuple(dict.fromkeys((*problems, *against)))
    found[BASELINE] = found[TOTAL] = tuple(problems)
    return found


def _listed(own: Mapping[str, str], names: Sequence[str]) -> list[str]:
    return [f"{name}: {own[name]}" if len(names) > 1 else own[name] for name in names if name in own]
