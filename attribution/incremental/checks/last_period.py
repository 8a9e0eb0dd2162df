"""Do customers leave at the end of a period or in the middle of it? Their last period tells.

Where leaving is silent nobody records its moment. Who leaves in the middle of a month has had part of the
month's touches only, so that few touches seem to go before leaving and every touch seems to keep customers
(immortal time: Suissa 2008). Of who leaves in the middle the last sign of life comes early in its month. Of
customers who have fallen silent for good, its moment is held against that of the last sign of other months
with as many acts:

    share = moments of last signs / sum of the mean moment after as many acts    near 1 if all stay to its end

Where moments are not known, the acts of the last period are held against a whole one's at each customer's own
rate mu, given that there was one, of those who acted often:

    share = acts of the last period / sum mu / (1 - exp(-mu))
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float
from histories.panel import Panel, last_true

BEFORE = 3
"""Whole periods before the last one from which the customer's rate is taken."""
GONE = 0.05
"""Chance of so long a silence below which a customer is taken to have left."""
FEWEST = 30
"""Customers below which nothing is said."""
WHOLE = 0.95
"""Share that last periods must reach, within error, to be whole: 30 simulated companies of 3,000 have .98 to
1.02 where all leave at the end (standard error .015), .71 to .87 where they leave at any moment."""
MOST = 8
"""Acts of a period from which on their number does not matter for the moment of the last one."""
OFTEN, SURELY_GONE, WHOLE_COUNT = 2.0, 0.01, 0.87
"""Where moments are not known: acts a period from which on a customer's last one tells anything, the chance
of silence, and the share. Simulated companies have .83 to 1.07 (.02 to .06) and .70 to .83 (.02)."""
CERTAIN = 1.64


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPeriod:
    """How much of a usual period the last one with an act held."""

    share: float
    """Of what a whole period would have held."""
    std_error: float
    n: int
    """Customers."""
    least: float
    """Share of a whole one."""

    @property
    def whole(self) -> bool:
        """Whether customers seem to leave at the end of periods."""
        return self.share + CERTAIN * self.std_error >= self.least


def last_periods(panel: Panel) -> LastPeriod | None:
    """Read the last periods of those who left; None where too few can say.

    Parameters
    ----------
    panel
        Of a company whose customers leave in silence.
    """
    acts = np.asarray(panel.own_acts, dtype=np.float64) + np.asarray(panel.purchases, dtype=np.float64)
    periods = np.arange(panel.n_periods)
    last = last_true(acts > 0, none=-1)
    months = last - panel.entry - 1
    before = (periods > panel.entry[:, None]) & (periods < last[:, None])
    rate = _shrunk((acts * before).sum(axis=1), months)
    still = panel.n_periods - 1 - last
    known = panel.last_moment is not None
    gone = np.exp(-rate * still) < (GONE if known else SURELY_GONE)
    chosen = np.flatnonzero((months >= BEFORE) & gone & (still >= 2) & (known | (rate >= OFTEN)))
    if len(chosen) < FEWEST:
        return None
    here = chosen, last[chosen]
    if panel.last_moment is None:
        seen, whole = acts[here], rate[chosen] / -np.expm1(-rate[chosen])
    else:
        many = np.minimum(acts, MOST).astype(np.int64)
        moments = np.asarray(panel.last_moment, dtype=np.float64)
        others = before & (acts > 0)
        count = np.bincount(many[others], minlength=MOST + 1)
        usual = np.bincount(many[others], moments[others], MOST + 1) / np.maximum(count, 1)
        told = count[many[here]] > 0
        seen, whole = moments[here][told], usual[many[here][told]]
    total = float(whole.sum())
    if not total:
        return None
    share = float(seen.sum()) / total
    error = float(np.sqrt(((seen - share * whole) ** 2).sum())) / total
    return LastPeriod(share=share, std_error=error, n=len(seen), least=WHOLE if known else WHOLE_COUNT)


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
    how = "holds" if panel.last_moment is None else "ends with it after"
    note = (
        f"customers leave in the middle of periods: the last one with an act {how} {found.share:.0%} of a "
        f"usual one ({found.n:,} customers)"
    )
    return replace(panel, at_any_moment=True, notes=(*panel.notes, note))
