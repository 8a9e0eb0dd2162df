"""Does the firm go on reaching those who have left? If it stops, its touches tell who is still there.

Where leaving is silent, a firm's touch is taken for exposure alone: it comes whether the customer has left or
not, given what was seen of him. A firm that knows more (returned mail, deleted accounts, push messages to the
logged in) sends to the living only; then months without its touches follow leaving, and the touch is credited
with keeping the customer. Told by comparison, for equally long silence and with each customer's own rate:

    ratio = touches in silence that did not end  /  touches in silence after which the customer came back

1 where the firm knows no more than the silence itself. Silences are held against others of the same number of
periods: who sends to those who bought within two months says nothing by sending nothing after five. Where too
few came back to say so, all silences of `LONGEST` periods and more are one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Float
from histories.panel import Panel, last_true

GONE = 0.01
"""Chance of so long a silence, by the customer's own habit, below which he is taken to have left."""
SILENT = 2
"""Periods without a sign after which a silence counts."""
LONGEST = 4
"""Lengths of silence from here on are one."""
FEWEST = 20.0
"""Touches to be expected below which nothing is said."""
OVERDISPERSION = 1.5
"""By how much standard errors are wider than those of independent touches."""
STOPS = 0.1
"""Ratio below which touches stop with the customer."""
FADES = 0.7
"""Ratio below which, for certain, touches become fewer."""
CERTAIN = 2.58
PRIOR = 2.0
"""Touches' worth of the average customer in each customer's own rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How often a firm's channel reaches those who have left, against others in the same silence."""

    channel: str
    seen: float
    """Touches in silence that did not end."""
    expected: float
    """The same by the rate of silence that ended."""
    std_error: float
    """Of the log of their ratio."""

    @property
    def ratio(self) -> float:
        """1 where the firm knows no more than the silence."""
        return self.seen / self.expected

    @property
    def verdict(self) -> Literal["goes on", "fades", "stops"]:
        """What happens to the channel's touches when a customer leaves."""
        highest = max(self.ratio, 0.5 / self.expected) * float(np.exp(CERTAIN * self.std_error))
        if highest < FADES and self.ratio < STOPS:
            return "stops"
        return "fades" if highest < FADES else "goes on"


def reach_after_leaving(panel: Panel) -> tuple[Reach, ...]:
    """One reading for each of the firm's channels that the data can say something of.

    Parameters
    ----------
    panel
        Of a company whose customers leave in silence.
    """
    signs = (panel.purchases > 0) | (panel.own_acts > 0)
    periods = np.arange(panel.n_periods)
    last = last_true(signs, none=-1)
    length = _silence(signs, panel.entry)
    silent = (length >= SILENT) & panel.at_risk & ~signs
    back = silent & (periods < last[:, None])
    known = panel.at_risk & (periods <= last[:, None])
    months = known.sum(axis=1)
    habit = (signs & known).sum(axis=1) / np.maximum(months, 1)
    still = panel.n_periods - 1 - last
    gone = (last >= 0) & ((1.0 - np.minimum(habit, 0.999)) ** still < GONE)
    after = silent & gone[:, None] & (periods >= last[:, None] + SILENT)
    active = known & ~silent
    found = []
    for channel, (name, origin) in enumerate(zip(panel.channels, panel.origins, strict=True)):
        if origin != "firm":
            continue
        touches = np.asarray(panel.touches[:, :, channel], dtype=np.float64)
        for lengths in (length, np.minimum(length, LONGEST)):
            reading = _read(name, touches, active, back, after, lengths)
            if reading is not None:
                found.append(reading)
                break
    return tuple(found)


def with_proof_of_life(panel: Panel, build: Callable[[tuple[str, ...]], Panel]) -> Panel:
    """The panel in which touches that stop with the customer count as signs of life, with a note for each.

    Parameters
    ----------
    panel
        Of any company; where leaving is recorded nothing changes.
    build
        Makes the same panel with the touches of these channels among the signs.
    """
    if panel.contractual:
        return panel
    stops = [reach for reach in reach_after_leaving(panel) if reach.verdict == "stops"]
    if not stops:
        return panel
    notes = tuple(
        f"{reach.channel} stops when customers fall silent for good ({reach.seen:,.0f} touches where "
        f"{reach.expected:,.0f} were to be expected): its touches are read as signs of life."
        for reach in stops
    )
    made = build(tuple(reach.channel for reach in stops))
    return replace(made, notes=(*made.notes, *notes))


def fading_channels(panel: Panel) -> tuple[str, ...]:
    """Why no credit is supported: channels whose touches become fewer, but do not stop, with the customer.

    Those of channels that announce a purchase are no cause of anything, and do not matter.
    """
    return tuple(
        f"{reach.channel} reaches customers who seem to have left {reach.ratio:.0%} as often as others in "
        "the same silence: the firm knows more of them than these tables say. Give customers.ended_at, or "
        "leave the channel out"
        for reach in reach_after_leaving(panel)
        if reach.verdict == "fades" and reach.channel not in panel.announces
    )


def _silence(signs: NDArray[np.bool_], entry: NDArray[np.int64]) -> NDArray[np.int64]:
    """Periods since the last sign, 0 in a period with one, shape (N, P)."""
    length = np.zeros(signs.shape, dtype=np.int64)
    for t in range(signs.shape[1]):
        before = length[:, t - 1] if t else np.zeros(len(signs), dtype=np.int64)
        length[:, t] = np.where(signs[:, t] | (t < entry), 0, before + 1)
    return length


def _read(
    name: str,
    touches: Float,
    active: NDArray[np.bool_],
    back: NDArray[np.bool_],
    after: NDArray[np.bool_],
    length: NDArray[np.int64],
) -> Reach | None:
    rate = touches[active].mean() if active.any() else 0.0
    if rate <= 0.0:
        return None
    usual = (touches * active).sum(axis=1), active.sum(axis=1) * rate
    own = (usual[0] + PRIOR) / (usual[1] + PRIOR)
    expected, seen, behind, variance = 0.0, 0.0, 0.0, 0.0
    for silence in range(SILENT, int(length.max()) + 1):
        here, there = back & (length == silence), after & (length == silence)
        weight = (here * own[:, None]).sum()
        if weight > 0.0:
            came = (touches * here).sum()
            times = (there * own[:, None]).sum() / weight
            expected += came * times
            variance += came * times**2
            seen += (touches * there).sum()
            behind += came
    if expected < FEWEST or behind < FEWEST:
        return None
    of_expected = variance / expected**2
    error = OVERDISPERSION * float(np.sqrt(1.0 / max(seen, 0.5) + of_expected))
    if seen < 1.0:
        error = OVERDISPERSION * float(np.sqrt(of_expected))
    return Reach(channel=name, seen=float(seen), expected=float(expected), std_error=error)
