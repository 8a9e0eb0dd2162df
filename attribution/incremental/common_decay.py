"""How long touches work: the decay of all channels' stocks, given, or found by profile likelihood.

For a decay d the model that credits the company is maximised over everything else,

    l(d) = max over theta of log L(theta; stocks S_t = d S_(t-1) + log(1 + touches_t)),

by a short climb from its optimum at another d. Where nobody says, .6 is taken unless one of a few others is
clearly ahead, and those within reach stand beside it. Where no channel does anything every decay fits alike,
and the best of them only follows noise (Davies 1977): the customary .6 is kept then.
"""

from __future__ import annotations

from dataclasses import replace

from attribution.incremental.along import REACH, fits_along, highest_of, near
from attribution.incremental.decay import LONGER, SHORTER, Climbed, Decay, Making
from attribution.incremental.stocks import DECAY
from histories.panel import Panel

AHEAD = 10.0
"""Log-likelihood by which another must be ahead of the customary one to take its place."""


def choose_decay(start: Climbed, panel: Panel, decay: Decay) -> Making:
    """The decay to credit by, and fits at others that explain the company as well.

    How long touches work is seldom known, and credit depends on it: of what works for three months half is
    seen at .6. The customary decay gives way to one that is clearly ahead; one that was asked for stays, and
    all between it and the best stay in the range.

    Parameters
    ----------
    start, panel, decay
        The model that credits the company, fitted to these customers at that decay, which was given or is the
        customary one.
    """
    sides = [
        [replace(decay, value=other) for other in side if (other - decay.value) * (side[0] - DECAY) > 0.0]
        for side in (SHORTER, LONGER)
    ]
    climbed = {decay: start} | fits_along(decay, start, panel, sides)
    best = highest_of(climbed)
    gain = climbed[best][1] - start[1]
    beside = tuple((other, fit) for other, (fit, _) in climbed.items() if other != decay)
    if gain <= REACH:
        return Making(decay=decay, fit=start, beside=beside)
    if decay.source == "given" or gain <= AHEAD:
        why = f"{best.value:g} explains more, by {gain:.0f} in log-likelihood: the range holds both"
        return Making(decay=replace(decay, why=why), fit=start, beside=beside)
    why = f"ahead of the customary {decay.value:g} by {gain:.0f} in log-likelihood"
    found = replace(best, source="found", why=why)
    return Making(decay=found, fit=climbed[best], beside=near(climbed, best))
