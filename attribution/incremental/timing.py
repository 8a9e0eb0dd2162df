"""Whether touches work from their day on, or for all of their period: by the likelihood of both.

By the day a letter of the 28th has nothing to do with what was bought before it (`days`). A company whose
touches are dated by the month, or whose effects are, is explained by the period. Both are compared at the
decay that was found by the period, and by the day at the next shorter one, because the same touches then seem
to work for less long. Where the day is ahead other decays are climbed on from there. What is within reach of
what is taken stays in the range.
"""

from __future__ import annotations

from dataclasses import replace

from attribution.incremental.along import HOPELESS, REACH, fits_along
from attribution.incremental.decay import STEPS, Decay
from attribution.incremental.setfunction import FittedPanelModel
from histories.panel import Panel

AHEAD = 3.0
"""Log-likelihood by which the day has to be ahead."""


def choose_timing(
    fit: FittedPanelModel, panel: Panel, decay: Decay
) -> tuple[Decay, list[tuple[Decay, FittedPanelModel]]]:
    """The decay as it is, or by the day, and fits at others that explain as much.

    Parameters
    ----------
    fit, panel, decay
        The model that credits the company, its customers, and the decay of its stocks; one that was given
        stays.
    """
    if panel.touch_share is None:
        return decay, []
    before = decay.stocks(panel)
    ahead = fit.outlook(panel, before)
    if ahead is None:
        return decay, []
    others = STEPS if decay.source != "given" else ()
    shorter = sorted((value for value in others if value < decay.value), reverse=True)
    longer = sorted(value for value in others if value > decay.value)
    first = {value: _by_day(decay, value).stocks(panel) for value in (decay.value, *shorter[:1])}
    if max(ahead(own) for own in first.values()) < ahead(before) - HOPELESS:
        return decay, []
    now = fit.with_stocks(panel, before)
    found = {value: fit.with_days().with_stocks(panel, own, before=before) for value, own in first.items()}
    climbed = {value: other for value, other in found.items() if other is not None}
    if now is None or not climbed:
        return decay, []
    top = max(climbed, key=lambda value: climbed[value][1])
    if climbed[top][1] - now[1] <= AHEAD:
        within = climbed[top][1] > now[1] - REACH
        return decay, [(_by_day(decay, top), climbed[top][0])] if within else []
    sides = [
        {value: _by_day(decay, value).stocks(panel) for value in side if value not in climbed}
        for side in (shorter, longer)
    ]
    climbed |= fits_along(climbed[top], panel, sides, before=first[top])
    best = max(climbed, key=lambda value: climbed[value][1])
    taken = replace(_by_day(decay, best), by_day_gain=climbed[best][1] - now[1])
    if best != decay.value:
        taken = replace(taken, source="found", why=f"by the day; {decay.value:g} by the period")
    return taken, [
        (_by_day(decay, value), model)
        for value, (model, height) in climbed.items()
        if value != best and height > climbed[best][1] - REACH
    ]


def _by_day(decay: Decay, value: float) -> Decay:
    return replace(decay, value=value, by_day=True)
