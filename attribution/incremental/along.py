"""Fits of one company at other stocks, each climbed from the one before, as long as they are within reach."""

from __future__ import annotations

from collections.abc import Sequence

from attribution.incremental.decay import Climbed, Decay
from attribution.incremental.setfunction import Ahead, FittedPanelModel
from histories.arrays import Single
from histories.panel import Panel

REACH = 2.0
"""Log-likelihood by which a fit may be behind the best and stay in the range (a 95 % interval's)."""
HOPELESS = 6.0
"""The same of what one step promises, from which on it is not climbed."""


def promised(look: Ahead, decay: Decay, panel: Panel, stocks: Single) -> float:
    """What a step promises with these stocks, which are made so."""
    return look(stocks, tuple(decay.of(panel).tolist()), decay.days(panel))


def climbed_at(
    decay: Decay,
    start: Climbed,
    panel: Panel,
    *,
    stocks: Single | None = None,
    before: Single | None = None,
) -> Climbed | None:
    """A fit climbed on from another one's optimum with stocks made so, which may be given.

    `before` are those of the other.
    """
    made = start[0].made_by(tuple(decay.of(panel).tolist()), decay.days(panel))
    return made.with_stocks(panel, decay.stocks(panel) if stocks is None else stocks, before=before)


def fits_along(
    own: Decay, start: Climbed, panel: Panel, sides: Sequence[Sequence[Decay]]
) -> dict[Decay, Climbed]:
    """Fits at these decays; on each side until one is out of reach of the highest.

    Parameters
    ----------
    own, start, panel
        The decay to start from on each side, the fit there, and its customers.
    sides
        Others, ordered away from it.
    """
    found: dict[Decay, Climbed] = {}
    before = own.stocks(panel)
    look = start[0].outlook(panel, before)
    here, highest = promised(look, own, panel, before) if look else 0.0, start[1]
    for side in sides:
        last, carried = start, before
        for decay in side:
            stocks = decay.stocks(panel)
            if look and start[1] + promised(look, decay, panel, stocks) - here < highest - HOPELESS:
                break
            again = climbed_at(decay, last, panel, stocks=stocks, before=carried)
            if again is None or again[1] < highest - REACH:
                break
            last, carried, found[decay] = again, stocks, again
            highest = max(highest, again[1])
    return found


def highest_of(climbed: dict[Decay, Climbed]) -> Decay:
    """The decay that explains most."""
    return max(climbed, key=lambda decay: climbed[decay][1])


def near(climbed: dict[Decay, Climbed], best: Decay) -> tuple[tuple[Decay, FittedPanelModel], ...]:
    """Those within reach of the best, and their fits."""
    lowest = climbed[best][1] - REACH
    return tuple(
        (decay, fit) for decay, (fit, height) in climbed.items() if decay != best and height > lowest
    )
