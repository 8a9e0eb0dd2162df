"""What stands beside each credit: interval, range, counts, and the reasons that speak against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attribution.credits.table import BASELINE, TOTAL, Bounds, Counts
from attribution.incremental.aumann_shapley import PanelCredit
from attribution.incremental.bootstrap import CreditDraws
from attribution.incremental.checks.gates import answered_problems, untouched_channels
from attribution.incremental.range import bounds_around
from histories.panel import Panel

__all__ = ["channel_bounds", "channel_counts", "group_bounds", "group_counts", "objections"]

Mask = NDArray[np.bool_]


def channel_bounds(
    credit: PanelCredit,
    companions: Mapping[str, PanelCredit],
    draws: CreditDraws,
    *,
    outcome: str,
    interval: float,
) -> dict[str, Bounds]:
    """Interval and range of every channel's credit, and of the baseline."""
    own = credit.require(outcome)
    others = [companion.outcome(outcome) for companion in companions.values()]
    known = [other for other in others if other is not None and np.any(other.credit)]
    most = abs(own.total)
    bounds = {}
    for k, name in enumerate(credit.channels):
        one = np.arange(len(credit.channels)) == k
        bounds[name] = bounds_around(
            float(own.credit[k]),
            companions=[float(other.credit[k]) for other in known],
            std_error=_measured(draws.std(outcome, one), most),
            interval=interval,
        )
    bounds[BASELINE] = bounds_around(
        own.baseline,
        companions=[other.baseline for other in known],
        std_error=_measured(draws.std(outcome), most),
        interval=interval,
    )
    return bounds


def group_bounds(
    panel: Panel,
    credit: PanelCredit,
    companions: Mapping[str, PanelCredit],
    draws: CreditDraws,
    *,
    outcome: str,
    interval: float,
) -> dict[str, Bounds]:
    """Interval and range of every group's total, from the joint draws of its channels."""
    own = credit.require(outcome)
    others = [companion.outcome(outcome) for companion in companions.values()]
    bounds = {}
    for group, members in _members(panel).items():
        bounds[group] = bounds_around(
            float(own.credit[members].sum()),
            companions=[float(o.credit[members].sum()) for o in others if o is not None and np.any(o.credit)],
            std_error=_measured(draws.std(outcome, members), abs(own.total)),
            interval=interval,
        )
    return bounds


def _measured(std_error: float, most: float) -> float:
    """The standard error; NaN, so no interval, where it exceeds the whole outcome."""
    return std_error if std_error <= most else float("nan")


def channel_counts(panel: Panel) -> Counts:
    """Touches, customers touched and customer-periods with a touch, by channel and in total."""
    return _counts(panel, {name: np.array(panel.channels) == name for name in panel.channels}, total=True)


def group_counts(panel: Panel) -> Counts:
    """The same by group: a customer touched in two channels of a group counts once."""
    return _counts(panel, _members(panel), total=False)


def _members(panel: Panel) -> dict[str, Mask]:
    groups = np.array(panel.groups)
    return {str(group): groups == group for group in dict.fromkeys(panel.groups)}


def _counts(panel: Panel, members: Mapping[str, Mask], *, total: bool) -> Counts:
    touches, customers, n = {}, {}, {}
    for name, mask in members.items():
        by_period = panel.touches[:, :, mask].sum(axis=2)
        touches[name] = int(by_period.sum(dtype=np.float64))
        customers[name] = int((by_period > 0).any(axis=1).sum())
        n[name] = int((by_period > 0).sum())
    if total:
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
    for group, mask in _members(panel).items():
        inside = [name for name, member in zip(panel.channels, mask, strict=True) if member]
        against = _listed(own, inside)
        found[group] = tuple(dict.fromkeys((*problems, *against)))
    found[BASELINE] = found[TOTAL] = tuple(problems)
    return found


def _listed(own: Mapping[str, str], names: Sequence[str]) -> list[str]:
    return [f"{name}: {own[name]}" if len(names) > 1 else own[name] for name in names if name in own]
