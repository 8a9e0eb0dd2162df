"""Is a channel met on the way to a purchase? Then purchases crowd into the days after its touches.

Who is about to buy looks for a coupon, is followed by advertisements for what he looked at, asks whether it
fits. Touch and purchase then have one cause, and nothing but an experiment could tell what the touch does.
Purchases in the three days after a touch are held against those of the same customers two to six weeks later,
and two to six weeks before, each relative to what all customers bought in the same days::

    ratio = (soon / expected soon) / max(later / expected later, before / expected before)

About 1 where touches come whenever they come, and little above where they make customers buy; twice and more
where purchase and touch belong together. What goes out to many on the same day waits for nobody's intention:
if purchases crowd after that, it is the touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from histories.arrays import Float
from histories.reactions import FAR, FEWEST, LATER, NEAR, OVERDISPERSION, SOON, Recent

CROWDED = 1.8
"""Ratio above which touches are on the way: .8 to 1.3 in 80 channels of simulated companies whose touches
move purchases or do not, 2.3 to 4.3 for coupon sites and advertisements that follow a visit."""
CERTAIN = 3.0
TOGETHER = 4.0
"""How many times likelier than by chance two touches of a channel are on one day, above which they go out
together: 1.0 to 1.6 where each customer has his own, 7 to 110 for newsletters."""


def on_the_way(recent: Recent, channels: Sequence[str]) -> dict[str, str]:
    """Channels that are met on the way to a purchase, with what that speaks against.

    Parameters
    ----------
    recent
        Purchases around the touches of all customers.
    channels
        The C channels, in order.
    """
    now, touches = timedelta(0), recent.touches
    soon = recent.expected(touches, now, SOON)
    later, before = recent.expected(touches, NEAR, LATER), recent.expected(touches, -FAR, -NEAR)
    together = _together(touches)
    found = {}
    for k, name in enumerate(channels):
        around = recent.later[k] + recent.far[k]
        if around < FEWEST or not (soon[k] and later[k] and before[k]) or together[k] > TOGETHER:
            continue
        usual = max(recent.later[k] / later[k], recent.far[k] / before[k])
        ratio = recent.soon[k] / soon[k] / usual
        error = OVERDISPERSION * np.sqrt(1.0 / (soon[k] * usual) + 1.0 / around)
        if ratio > max(CROWDED, float(np.exp(CERTAIN * error))):
            found[name] = (
                f"customers buy {ratio:.1f} times as often in the three days after its touches as weeks "
                "before and after: they meet it on the way to a purchase, which only an experiment could "
                "tell from an effect"
            )
    return found


def _together(touches: Float) -> Float:
    """How many times likelier than by chance two touches of a channel are on one day, shape (C,)."""
    n, days = touches.sum(axis=1), touches.shape[1]
    pairs = (touches * (touches - 1.0)).sum(axis=1)
    chance = n * (n - 1.0) / days
    times: Float = np.divide(pairs, chance, out=np.ones_like(pairs), where=chance > 0)
    return times
