"""Whether touches work from their day on, or for all of their period: by the likelihood of both.

By the day a letter of the 28th has nothing to do with what was bought before it (`days`). A company whose
touches are dated by the month, or whose effects are, is explained by the period. Both are compared at the
decay that was found by the period, and by the day at the next shorter one, because the same touches then seem
to work for less long. Where the day is ahead other decays are climbed on from there. What is within reach of
what is taken stays in the range. Single channels may do it the other way (`channel_decays`).
"""

from __future__ import annotations

from dataclasses import replace

from attribution.incremental.along import HOPELESS, REACH, climbed_at, fits_along, highest_of, near, promised
from attribution.incremental.decay import STEPS, Climbed, Decay, Making
from histories.panel import Panel

AHEAD = 3.0
"""Log-likelihood by which the day has to be ahead."""


def choose_timing(start: Climbed, panel: Panel, decay: Decay) -> Making:
    """The decay as it is, or by the day, and fits at others that explain as much.

    Parameters
    ----------
    start, panel, decay
        The model that credits the company, its customers, and the decay of its stocks; one that was given
        stays.
    """
    stays = Making(decay=decay, fit=start)
    before = decay.stocks(panel)
    ahead = start[0].outlook(panel, before)
    if panel.touch_share is None or ahead is None:
        return stays
    by_day = replace(decay, by_day=True)
    others = STEPS if decay.source != "given" else ()
    shorter = [replace(by_day, value=value) for value in reversed(others) if value < decay.value]
    longer = [replace(by_day, value=value) for value in others if value > decay.value]
    first = [by_day, *shorter[:1]]
    here = promised(ahead, decay, panel, before)
    made = {other: other.stocks(panel) for other in first}
    if max(promised(ahead, other, panel, stocks) for other, stocks in made.items()) < here - HOPELESS:
        return stays
    found = {
        other: climbed_at(other, start, panel, stocks=stocks, before=before) for other, stocks in made.items()
    }
    climbed = {other: fit for other, fit in found.items() if fit is not None}
    if not climbed:
        return stays
    top = highest_of(climbed)
    if climbed[top][1] - start[1] <= AHEAD:
        within = climbed[top][1] > start[1] - REACH
        return replace(stays, beside=((top, climbed[top][0]),) if within else ())
    sides = [[other for other in side if other not in climbed] for side in (shorter, longer)]
    climbed |= fits_along(top, climbed[top], panel, sides)
    best = highest_of(climbed)
    taken = replace(best, by_day_gain=climbed[best][1] - start[1])
    if best.value != decay.value:
        taken = replace(taken, source="found", why=f"by the day; {decay.value:g} by the period")
    return Making(decay=taken, fit=climbed[best], beside=near(climbed, best))
