"""Does the firm send by how long ago a customer bought? In months without a purchase the panel tells.

"To all who bought within sixty days": months with touches then are months with purchases, or come soon after
them, whatever touches do. Of customers who are known to be there still, months without a purchase are held
against each other by the months since the last one, each customer against himself and each month against all
customers'::

    ratio = touches so many months after the last purchase / the same where recency does not matter

About 1 for touches that come whenever they come: a touch of today cannot have caused the silence before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from histories.arrays import Float, Integer
from histories.panel import Panel, last_true

LONGEST = 4
"""Months since the last purchase from which on they are one."""
FEWEST = 30.0
"""Touches to be expected below which nothing is said."""
RARER, MORE_OFTEN = 0.6, 1.6
"""Ratios beyond which a channel goes by recency: .9 to 1.1 in simulated companies where it does not."""
CERTAIN = 4.0
OVERDISPERSION = 1.5
"""By how much standard errors are wider than those of independent touches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recency:
    """How often a firm's channel comes by the months since the last purchase, 1 to `LONGEST`."""

    channel: str
    seen: Float
    """Touches, shape (LONGEST,)."""
    expected: Float
    """The same if recency did not matter, shape (LONGEST,)."""

    @property
    def ratios(self) -> Float:
        """Seen over expected, 1 where too few are expected, shape (LONGEST,)."""
        enough = self.expected >= FEWEST
        return np.divide(self.seen, self.expected, out=np.ones(LONGEST), where=enough)

    @property
    def follows(self) -> bool:
        """Whether the firm goes by recency."""
        error = OVERDISPERSION * np.sqrt(np.maximum(self.expected, 1.0))
        certain = np.abs(self.seen - self.expected) > CERTAIN * error
        far = (self.ratios < RARER) | (self.ratios > MORE_OFTEN)
        return bool((certain & far).any())

    @property
    def words(self) -> str:
        """What was found, in a clause."""
        worst = int(np.argmax(np.abs(np.log(np.maximum(self.ratios, 0.01)))))
        after = f"{worst + 1} {'months' if worst else 'month'} after it"
        usual = f"customers get {self.ratios[worst]:.2f} times their usual touches"
        return f"{self.channel} goes by the last purchase: {after} {usual}"


def recency(panel: Panel) -> tuple[Recency, ...]:
    """One reading for each channel of the firm.

    Parameters
    ----------
    panel
        Of any company; months after the last purchase of each customer do not count.
    """
    since = _since_purchase(panel)
    found = []
    for channel, (name, origin) in enumerate(zip(panel.channels, panel.origins, strict=True)):
        if origin != "firm":
            continue
        touches = np.asarray(panel.touches[:, :, channel], dtype=np.float64) * (since > 0)
        usual = (since > 0) * (touches.sum(axis=0) / np.maximum((since > 0).sum(axis=0), 1))
        own = touches.sum(axis=1) / np.maximum(usual.sum(axis=1), 1e-9)
        lengths = np.minimum(since, LONGEST)
        seen, expected = (
            np.asarray(
                np.bincount(lengths.ravel(), weights=cells.ravel(), minlength=LONGEST + 1)[1:], np.float64
            )
            for cells in (touches, usual * own[:, None])
        )
        found.append(Recency(channel=name, seen=seen, expected=expected))
    return tuple(found)


def _since_purchase(panel: Panel) -> Integer:
    """Months since the last purchase in those without one between two purchases, else 0, shape (N, P)."""
    bought = np.asarray(panel.purchases) > 0
    period = np.arange(panel.n_periods)
    latest = np.maximum.accumulate(np.where(bought, period, -1), axis=1)
    inside = ~bought & (latest >= 0) & (period < last_true(bought, none=-1)[:, None])
    return np.where(inside, period - latest, 0)
