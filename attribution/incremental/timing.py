"""Whether touches work from their day on, or for all of their period: by the likelihood of both.

By the day a letter of the 28th has nothing to do with what was bought before it (`days`). A company whose
touches are dated by the month, or whose effects are, is explained by the period. Both are compared at the
decay that was found by the period, and by the day at others beside it too, because the same touches then seem
to work for longer or for less long: one look each. Where the day promises enough it is climbed on. What is
within reach of what is taken stays in the range.
"""

from __future__ import annotations

from dataclasses import replace

from attribution.incremental.along import HOPELESS, REACH
from attribution.incremental.decay import STEPS, Decay
from attribution.incremental.setfunction import FittedPanelModel
from histories.panel import Panel

AHEAD = 3.0
"""Log-likelihood by which the day has to be ahead."""


def choose_timing(
    fit: FittedPanelModel, panel: Panel, decay: Decay, *, customary: bool
) -> tuple[Decay, list[tuple[Decay, FittedPanelModel]]]:
    """The decay as it is, or by the day, and fits at others that explain as much.

    Parameters
    ----------
    fit, panel, decay
        The model that credits the company, its customers, and the decay of its stocks.
    customary
        Whether nobody asked for that decay; else it stays.
    """
    if panel.touch_share is None:
        return decay, []
    before, fit_by_day = decay.stocks(panel), fit.with_days()
    ahead = fit.outlook(panel, before)
    if ahead is None:
        return decay, []
    start = ahead(before)

    def promise(value: float) -> float:
        return ahead(replace(decay, value=value, by_day=True).stocks(panel)) - start

    def by_the_day(value: float) -> tuple[FittedPanelModel, float] | None:
        stocks = replace(decay, value=value, by_day=True).stocks(panel)
        return fit_by_day.with_stocks(panel, stocks, before=before)

    promised = {decay.value: promise(decay.value)}
    shorter = sorted((value for value in STEPS if value < decay.value), reverse=True)
    longer = sorted(value for value in STEPS if value > decay.value)
    for side in (shorter, longer) if customary else ():
        for value in side:
            promised[value] = promise(value)
            if promised[value] < max(promised.values()):
                break
    best = max(promised, key=lambda value: promised[value])
    if promised[best] < -HOPELESS:
        return decay, []
    now, climbed = fit.with_stocks(panel, before), {best: by_the_day(best)}
    found = climbed[best]
    if now is None or found is None:
        return decay, []
    if found[1] - now[1] <= AHEAD:
        beside = [(replace(decay, value=best, by_day=True), found[0])]
        return decay, beside if found[1] > now[1] - REACH else []
    near = [value for value, gain in promised.items() if gain > promised[best] - REACH]
    climbed |= {value: by_the_day(value) for value in near if value != best}
    heights = {value: other[1] for value, other in climbed.items() if other is not None}
    top = max(heights, key=lambda value: heights[value])
    taken = replace(decay, value=top, by_day=True, by_day_gain=heights[top] - now[1])
    if top != decay.value:
        taken = replace(taken, source="found", why=f"found by the day; {decay.value:g} by the period")
    return taken, [
        (replace(taken, value=value), other[0])
        for value, other in climbed.items()
        if other is not None and value != top and other[1] > heights[top] - REACH
    ]
