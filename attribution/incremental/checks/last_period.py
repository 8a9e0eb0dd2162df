"""Do customers leave at the end of a period or in the middle of it? Their last period tells.

Where leaving is silent nobody records its moment. Who leaves in the middle of a month has had part of the
month's touches only, so that few touches seem to go before leaving and every touch seems to keep customers
(immortal time: Suissa 2008). Of customers who acted often and then fell silent for good, the acts of the last
period with any are held against a whole period's at each customer's own rate, given that there was one:

    share = acts of the last period / sum mu / (1 - exp(-mu))        near 1 if all leave at its end
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float
from histories.panel import Panel, last_true

OFTEN = 2.0
"""Acts a period from which on a customer's last period tells anything."""
BEFORE = 3
"""Whole periods before the last one from which the customer's rate is taken."""
GONE = 0.01
"""Chance of so long a silence below which a customer is taken to have left."""
FEWEST = 30
"""Customers below which nothing is said."""
WHOLE = 0.87
"""Share that last periods must reach, within error, to be whole: simulated companies have .83 to 1.07 where
all leave at the end (standard error .02 to .06), .70 to .83 (.02) where they leave at any moment."""
CERTAIN = 1.64


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPeriod:
    """How much of a usual period the last one with an act held."""

    share: float
    """Of what a whole period would have held."""
    std_error: float
    n: int
    """Customers."""

    @property
    def whole(self) -> bool:
        """Whether customers seem to leave at the end of periods."""
        return self.share + CERTAIN * self.std_error >= WHOLE


def last_periods(panel: Panel) -> LastPeriod | None:
    """Read the last periods of those who acted often and left; None where too few can say.

    Parameters
    ----------
    panel
        Of a company whose customers leave in silence.
    """
    acts = np.asarray(panel.own_acts, dtype=np.float64) + np.asarray(panel.purchases, dtype=np.float64)
    periods = np.arange(panel.n_periods)
    any_act = acts > 0
    last = last_true(any_act, none=-1)
    months = last - panel.entry - 1
    before = (periods > panel.entry[:, None]) & (periods < last[:, None])
    rate = _shrunk((acts * before).sum(axis=1), months)
    still = panel.n_periods - 1 - last
    chosen = (months >= BEFORE) & (rate >= OFTEN) & (np.exp(-rate * still) < GONE) & (still >= 2)
    n = int(chosen.sum())
    if n < FEWEST:
        return None
    mu = rate[chosen]
    seen, whole = acts[chosen, last[chosen]], mu / -np.expm1(-mu)
    share = float(seen.sum() / whole.sum())
    error = float(np.sqrt(((seen - share * whole) ** 2).sum()) / whole.sum())
    return LastPeriod(share=share, std_error=error, n=n)


def _shrunk(acts: Float, periods: NDArray[np.int64]) -> Float:
    """Rates of customers, drawn towards the mean as a gamma prior of the same spread would, shape (N,)."""
    enough = periods >= BEFORE
    if not enough.any():
        return np.zeros(len(acts))
    rate = acts[enough] / periods[enough]
    mean = float(rate.mean())
    spread = float(rate.var() - mean * np.mean(1.0 / periods[enough]))
    prior = mean / max(spread, 0.01 * mean * mean, 1e-9)
    shrunk: Float = (acts + prior * mean) / (np.maximum(periods, 0) + prior)
    return shrunk


def with_moments_of_leaving(panel: Panel) -> Panel:
    """The panel that says whether customers leave at any moment of a period, with a note where they do."""
    if panel.contractual:
        return panel
    found = last_periods(panel)
    if found is None or found.whole:
        return panel
    note = (
        f"customers leave in the middle of periods: the last one with an act holds {found.share:.0%} of a "
        f"usual one ({found.n:,} customers)"
    )
    return replace(panel, at_any_moment=True, notes=(*panel.notes, note))
