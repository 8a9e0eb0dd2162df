"""How stocks are made: how long touches work, from when on, and whether effects level off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.setfunction import FittedPanelModel
from attribution.incremental.stocks import DECAY, panel_stocks
from histories.arrays import Flags, Float, Single
from histories.panel import Panel

SHORTER, LONGER = (0.45, 0.3, 0.15), (0.75, 0.85, 0.92)
"""Other decays than the customary one, ordered away from it."""
STEPS = (*reversed(SHORTER), DECAY, *LONGER)
"""Decays that a channel of its own may have."""
FAINT = 0.45
"""Share left after a period below which later periods say little of a touch: an error there is an error of
three times the size in the period of the touch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """The bend of all stocks, and how it is known."""

    value: float = 0.0
    """b, per unit of stock."""
    gain: float = 0.0
    """Log-likelihood above that of linear effects."""

    @property
    def words(self) -> str:
        """The bend in one clause; empty where effects are linear."""
        if not self.value:
            return ""
        half = np.log(2.0) / self.value
        return f"effects level off, half of what a stock can do is done at {half:.2g} (by {self.gain:.0f})"


STRAIGHT = Bend()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay:
    """The decay that stocks are made with, and how it is known."""

    value: float
    """Share of a stock that is left one period later."""
    source: Literal["given", "customary", "found"]
    """"found": not the customary one, because the data speak against that."""
    why: str = ""
    """What speaks for or against it; empty where nothing does."""
    bend: Bend = STRAIGHT
    """Whether effects level off."""
    own: tuple[tuple[str, float], ...] = ()
    """Names and decays of channels whose touches work for longer, or not as long, as all others'."""
    own_gain: float = 0.0
    """Log-likelihood by which these, and `unlike`, are ahead."""
    by_day: bool = False
    """Whether touches work from their day on, instead of for all of their period (`stocks.panel_stocks`)."""
    by_day_gain: float = 0.0
    """Log-likelihood by which that is ahead."""
    unlike: tuple[str, ...] = ()
    """Names of channels of which the opposite is true."""

    @staticmethod
    def asked(value: float | None) -> Decay:
        """The decay that was asked for, or the customary one."""
        return Decay(value=DECAY, source="customary") if value is None else Decay(value=value, source="given")

    def of(self, panel: Panel) -> Float:
        """The decay of each of the panel's channels, shape (C,)."""
        own = dict(self.own)
        return np.array([own.get(name, self.value) for name in panel.channels])

    @property
    def of_their_own(self) -> set[str]:
        """Names of channels whose stocks are not made like all others'."""
        return {*dict(self.own), *self.unlike}

    def days(self, panel: Panel) -> tuple[bool, ...]:
        """Whether the touches of each of the panel's channels work from their day on, length C."""
        return tuple(self.by_day != (name in self.unlike) for name in panel.channels)

    def name(self, panel: Panel) -> str:
        """What tells this decay from another one of the same customers."""
        if self.bend.value:
            return f"bend {self.bend.value:g}"
        values = self.of(panel).tolist()
        first = (
            f"decays {', '.join(f'{value:g}' for value in values)}" if self.own else f"decay {self.value:g}"
        )
        timing = f"{first} by the day" if self.by_day else first
        other = "month" if self.by_day else "day"
        return f"{timing}, by the {other}: {', '.join(self.unlike)}" if self.unlike else timing

    def with_own(self, panel: Panel, decays: Float, days: Flags, *, gain: float = 0.0) -> Decay:
        """The same with decays and timing of single channels, shape (C,), where they differ."""
        pairs = zip(panel.channels, decays.tolist(), strict=True)
        unlike = zip(panel.channels, days.tolist(), strict=True)
        return replace(
            self,
            own=tuple(pair for pair in pairs if pair[1] != self.value),
            unlike=tuple(name for name, day in unlike if day != self.by_day),
            own_gain=gain,
        )

    def stocks(self, panel: Panel, *, touches: NDArray[np.floating] | None = None) -> Single:
        """Stocks that effects are linear in, shape (N, P, C) (see `panel_stocks`)."""
        return panel_stocks(
            panel, decay=self.of(panel), touches=touches, bend=self.bend.value, by_day=self.days(panel)
        )

    @property
    def words(self) -> str:
        """How stocks are made, in one clause."""
        left = f"stocks keep {self.value:.2g} from period to period"
        how = "; ".join(part for part in (self.source, self.why) if part)
        own = [f"{value:g} of {name}" for name, value in self.own]
        day = f"touches work from their day on (by {self.by_day_gain:.0f})" if self.by_day else ""
        if self.unlike:
            own.append(f"{', '.join(self.unlike)} {'for all of the period' if self.by_day else 'by the day'}")
        but = f"but {', '.join(own)} (by {self.own_gain:.0f} in log-likelihood)" if own else ""
        return ", ".join(part for part in (f"{left} ({how})", day, but, self.bend.words) if part)


def faint(panel: Panel, decays: Float) -> dict[str, str]:
    """Channels told from later months, of whose touches hardly anything is left then, with the reason.

    Parameters
    ----------
    panel, decays
        The customers, and the decay of each channel, shape (C,).
    """
    told = zip(panel.channels, panel.late, decays.tolist(), strict=True)
    return {
        name: (
            "its touches follow purchases, or wait until there are none, so that later months alone tell "
            f"of them; with {value:.2g} left after a month they say little"
        )
        for name, late, value in told
        if late and value < FAINT
    }


Climbed = tuple[FittedPanelModel, float]
"""A fit and its log-likelihood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How stocks are made by what the likelihood says, and what explains the company as well."""

    decay: Decay
    fit: Climbed
    """With stocks made so."""
    beside: tuple[tuple[Decay, FittedPanelModel], ...] = ()
