"""Whether customers fall silent as a Poisson process does: what decides what silence says of leaving.

Given the purchases K_i that a customer made strictly between the first and the last period with one, a
Poisson process with rates w_it spreads them over these periods by the multinomial distribution with p_it =
w_it / sum, whatever the customer's level, and leaves

    sum_t (1 - p_it)^K_i

of them empty. Regular buyers leave fewer empty: a silent period then says much more of leaving than exp(-mu).
Customers who buy in clumps leave more empty. Who pauses neither buys nor acts: then the empty
periods and the customer's own acts go together against each other, more than each by itself would show. Acts
that follow purchases, or announce them, do so without any pause, and say nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float
from histories.panel import Panel, last_true

TOLERANCE = 0.10
"""Relative difference of silent periods that is still Poisson."""
CLEAR = 3.0
"""Standard errors that a difference must have too."""
PAUSES = 0.08
"""How far own acts and silence may go against each other within a customer, as a regression slope."""
CLEAR_PAUSES = 4.0
"""Standard errors that this slope must have too."""
ROUNDS = 4
"""Rounds in which common period effects are found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InteriorSilence:
    """Silent periods between purchases, seen and expected."""

    seen: float
    expected: float
    std_error: float
    n: int
    """Customers with periods between their first and last purchase."""
    slope: float
    """Silence on own acts within a customer, relative to the chance of silence: 0 where they have nothing to
    do with each other, negative where customers pause."""
    slope_error: float
    """Its standard error."""

    @property
    def excess(self) -> float:
        """Silent periods seen over those expected, less 1; 0 where nobody says."""
        return self.seen / self.expected - 1.0 if self.expected > 0 else 0.0

    @property
    def clear(self) -> bool:
        """Whether the difference is too large, and no chance."""
        far = abs(self.seen - self.expected) > CLEAR * self.std_error
        return far and abs(self.excess) > TOLERANCE

    @property
    def regular(self) -> bool:
        """Whether silence is rarer than chance leaves it."""
        return self.clear and self.excess < 0

    @property
    def pauses(self) -> bool:
        """Whether customers stop buying and acting at the same time and come back."""
        return self.slope < -PAUSES and self.slope < -CLEAR_PAUSES * self.slope_error

    @property
    def problems(self) -> tuple[str, ...]:
        """What the silence speaks against, in words; empty when it is a Poisson process's."""
        if self.pauses:
            return (
                "customers pause: they stop buying and acting together and come back, which looks like "
                f"leaving (slope {self.slope:.2f}, {self.slope / self.slope_error:.0f} standard errors)",
            )
        if not self.regular:
            return ()
        return (f"customers buy regularly ({self.counts}): silence says more of leaving than assumed",)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What the reader should know; no reason to withhold the credit, which is right in such companies."""
        if not self.clear or self.excess < 0:
            return ()
        return (f"customers buy in clumps ({self.counts})",)

    @property
    def counts(self) -> str:
        """Seen against expected, in words."""
        return f"{self.seen:,.0f} silent periods between purchases where chance leaves {self.expected:,.0f}"


def interior_silence(
    panel: Panel, stocks: NDArray[np.floating], gamma: NDArray[np.floating]
) -> InteriorSilence:
    """Count silent periods between the first and the last purchase, and what chance leaves of them.

    Parameters
    ----------
    panel, stocks
        Customers, and their decayed stocks, shape (N, P, C).
    gamma
        Effects of stocks on log purchases, shape (C,).
    """
    bought = panel.purchases > 0
    t = np.arange(panel.n_periods)
    first = bought.argmax(axis=1)
    last = last_true(bought, none=panel.n_periods - 1)
    rows = np.flatnonzero(bought.any(axis=1) & (last > first + 1))
    inside = (t > first[rows, None]) & (t < last[rows, None])
    counts = np.where(inside, panel.purchases[rows], 0.0).astype(np.float64)
    made = counts.sum(axis=1, keepdims=True)
    rate = np.where(inside, np.exp(stocks[rows].astype(np.float64) @ np.asarray(gamma)), 0.0)
    share = rate
    for _ in range(ROUNDS):
        share = rate / np.maximum(rate.sum(axis=1, keepdims=True), 1e-300)
        common = counts.sum(axis=0) / np.maximum((made * share).sum(axis=0), 1e-9)
        rate = rate * np.where(common > 0, common, 1.0)
    empty = np.where(inside, np.power(np.clip(1.0 - share, 0.0, 1.0), made), 0.0)
    tied = (panel.late | panel.announcing) & panel.tells_life
    acts = np.asarray(panel.own_acts[rows]) - panel.touches[rows][:, :, tied].sum(axis=2)
    slope, slope_error = _with_acts(acts > 0, inside, counts == 0, empty)
    return InteriorSilence(
        seen=float((inside & (counts == 0)).sum()),
        expected=float(empty.sum()),
        std_error=float(np.sqrt((empty * (1.0 - empty)).sum())),
        n=len(rows),
        slope=slope,
        slope_error=slope_error,
    )


def _with_acts(
    acted: NDArray[np.bool_], inside: NDArray[np.bool_], silent: NDArray[np.bool_], empty: Float
) -> tuple[float, float]:
    """How silence beyond chance goes with own acts beyond the customer's mean, and its standard error."""
    usual = (acted & inside).sum(axis=1, keepdims=True) / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    more = np.where(inside, acted - usual, 0.0)
    scale = float((more**2 * empty).sum())
    if scale <= 0.0:
        return 0.0, np.inf
    return (
        float((more * np.where(inside, silent - empty, 0.0)).sum()) / scale,
        float(np.sqrt((more**2 * empty * (1.0 - empty)).sum())) / scale,
    )
