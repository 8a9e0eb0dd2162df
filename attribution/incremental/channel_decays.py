"""Decays and timing of single channels: a mail is forgotten within days, a community works for months.

From the optimum with one decay for all, each channel's is held against all `STEPS`, for its period and from
its day on, by what one step of a climb promises; those that promise enough are climbed on together, or the
most promising alone, and all are looked at again from there. Beside what is found stand the shortest decays
of all channels that are within reach, each by itself, the longest, and the other timing, if they are so
together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2

from attribution.incremental.along import REACH, climbed_at, promised
from attribution.incremental.decay import STEPS, Decay, Making
from attribution.incremental.setfunction import FittedPanelModel
from histories.panel import Panel

LEVEL = 0.95
"""Of what stands beside."""
AHEAD = 7.0
"""Log-likelihood that a channel of its own has to bring: half a logarithm of the customers for a parameter,
and for the choice among several decays of several channels. A better one in its place costs nothing."""
ROUNDS = 4
"""Times that all channels are looked at, at most."""

Choice = tuple[float, bool]
"""The decay of a channel, and whether its touches work from their day on."""


def choose_by_channel(making: Making, panel: Panel) -> Making:
    """Channels of their own where the likelihood asks for them, and fits at others that explain as much.

    What stood beside the one decay of all channels is left behind by decays of their own.

    Parameters
    ----------
    making, panel
        The decay that all channels have, with the model that credits the company at it, and its customers;
        a decay that was given stays theirs.
    """
    decay, start = making.decay, making.fit
    common = (decay.value, decay.by_day)
    chosen: list[Choice] = [common] * panel.n_channels
    now = start
    looks: list[_Look] = []
    refuted: set[tuple[int, Choice]] = set()
    for _ in range(ROUNDS):
        looks = _looks(now[0], panel, decay, chosen, refuted)
        if not looks:
            return making
        charge = np.array([AHEAD if own == common else REACH for own in chosen])
        gain = np.array([look.gain for look in looks])
        if not (gain > charge).any():
            break
        promising = np.flatnonzero(gain > charge)
        for moved in (promising, promising[[(gain - charge)[promising].argmax()]]):
            wanted = [look.best if k in moved else chosen[k] for k, look in enumerate(looks)]
            again = climbed_at(_with(decay, panel, wanted), now, panel)
            if again is not None and again[1] >= now[1] + charge[moved].max():
                chosen, now = wanted, again
                break
            if len(moved) == 1:
                refuted.add((int(moved[0]), wanted[moved[0]]))
                break
    found = _with(decay, panel, chosen, gain=now[1] - start[1])
    beside = [] if found.of_their_own else list(making.beside)
    for end in _ends(looks, chosen):
        other = _with(decay, panel, end)
        again = climbed_at(other, now, panel)
        freedom = sum(own != there for own, there in zip(chosen, end, strict=True))
        if again is not None and again[1] > now[1] - 0.5 * float(chi2.ppf(LEVEL, freedom)):
            beside.append((other, again[0]))
    return Making(decay=found, fit=now, beside=tuple(beside))


def charged(making: Making) -> float:
    """Log-likelihood less what channels of their own have to bring."""
    return making.fit[1] - AHEAD * len(making.decay.of_their_own)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What choices for a channel promise."""

    best: Choice
    gain: float
    near: tuple[Choice, ...]
    """Choices within reach of the best, which is one of them, the best first."""


def _looks(
    fit: FittedPanelModel,
    panel: Panel,
    decay: Decay,
    chosen: list[Choice],
    refuted: set[tuple[int, Choice]],
) -> list[_Look]:
    """What each channel's other choices promise, all others' as they are; nothing without a likelihood.

    Those that a climb has refuted are no choices. A channel that is told from what is left of its touches
    keeps what it has: others are guesses.
    """
    told_later = np.isin(panel.channels, panel.reacts or ())
    before = _with(decay, panel, chosen).stocks(panel)
    ahead = fit.outlook(panel, before)
    if ahead is None:
        return []
    own_made = _with(decay, panel, chosen)
    found: list[dict[Choice, float]] = [{own: promised(ahead, own_made, panel, before)} for own in chosen]
    for value in STEPS if decay.source != "given" else (decay.value,):
        for day in (False, True)[: 1 if panel.touch_share is None else 2]:
            stocks = replace(decay, value=value, by_day=day, own=(), unlike=()).stocks(panel)
            for k, own in enumerate(chosen):
                if own != (value, day) and (k, (value, day)) not in refuted:
                    moved = before.copy()
                    moved[:, :, k] = stocks[:, :, k]
                    made = _with(decay, panel, [*chosen[:k], (value, day), *chosen[k + 1 :]])
                    found[k][value, day] = promised(ahead, made, panel, moved)
    looks = []
    for late, own, promise in zip(told_later, chosen, found, strict=True):
        best = own if late else max(promise, key=lambda choice: promise[choice])
        near = [choice for choice in promise if promise[choice] > promise[best] - REACH]
        near.sort(key=lambda choice: -promise[choice])
        looks.append(_Look(best=best, gain=promise[best] - promise[own], near=tuple(near)))
    return looks


def _ends(looks: list[_Look], chosen: list[Choice]) -> list[list[Choice]]:
    """The shortest decays within reach, the longest, each with its channel's timing, and the other timing."""
    ends: list[list[Choice]] = []
    for pick in (min, max):
        ends.append(
            [
                pick([choice for choice in look.near if choice[1] == own[1]], default=own)
                for look, own in zip(looks, chosen, strict=True)
            ]
        )
    ends.append(
        [
            next((choice for choice in look.near if choice[1] != own[1]), own)
            for look, own in zip(looks, chosen, strict=True)
        ]
    )
    return [end for k, end in enumerate(ends) if end != chosen and end not in ends[:k]]


def _with(decay: Decay, panel: Panel, chosen: list[Choice], *, gain: float = 0.0) -> Decay:
    values, days = zip(*chosen, strict=True)
    return decay.with_own(panel, np.array(values), np.array(days), gain=gain)
