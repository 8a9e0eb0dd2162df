"""What descriptive credit rests on: touches, customers and journeys by channel and by group."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from attribution.credits.rows import TOTAL, UNTOUCHED, Counts, group_members
from attribution.paths.encoded import EncodedPaths
from attribution.paths.touched import CHANNEL, GROUP, TouchSums

__all__ = ["count_by_channel", "count_by_group"]


def count_by_channel(paths: EncodedPaths, touches: TouchSums | None, *, untouched: float = 0.0) -> Counts:
    """Counts of each channel, of `(untouched)` and of `(total)`.

    n is the number of journeys, with and without the outcome, that hold the channel. Customers are unknown
    where the sums over `touches` are not given.
    """
    member = paths.membership()
    by_channel = (member.T @ paths.journeys).tolist()
    member.data[:] = 1.0
    journeys = (member.T @ paths.journeys).tolist()
    touched = float(paths.journeys[paths.lengths > 0].sum())
    n = dict(zip(paths.channels, journeys, strict=True))
    return Counts(
        touches=_whole({**dict(zip(paths.channels, by_channel, strict=True)), UNTOUCHED: 0.0}),
        n=_whole({**n, UNTOUCHED: untouched, TOTAL: touched + untouched}),
        customers={} if touches is None else touches.customers(CHANNEL),
    )


def count_by_group(paths: EncodedPaths, touches: TouchSums | None, *, groups: Mapping[str, str]) -> Counts:
    """Counts of each group; a journey or customer with several of its channels counts once."""
    member = paths.membership().tocsc()
    place = {name: code for code, name in enumerate(paths.channels)}
    n = {}
    for group, inside in group_members(paths.channels, groups).items():
        visits = np.asarray(member[:, [place[name] for name in inside]].sum(axis=1)).ravel()
        n[group] = float(paths.journeys[visits > 0].sum())
    return Counts(n=_whole(n), customers={} if touches is None else touches.customers(GROUP))


def _whole(values: Mapping[str, float]) -> dict[str, int]:
    """Counts as whole numbers."""
    return {name: round(value) for name, value in values.items()}
