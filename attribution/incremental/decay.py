"""How long touches work: the decay of channel stocks, given, or found by profile likelihood.

For a decay d the model that credits the company is maximised over everything else,

    l(d) = max over theta of log L(theta; stocks S_t = d S_(t-1) + log(1 + touches_t)),

by a short climb from its optimum at another d. Where nobody says, .6 is taken unless one of a few others is
clearly ahead, and those within reach stand beside it; a channel has a decay of its own where the likelihood
asks for that. Where no channel does anything every decay fits alike, and the best of them only follows noise
(Davies 1977): the customary .6 is kept then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from attribution.incremental.along import REACH, fits_along
from attribution.incremental.bend import STRAIGHT, Bend
from attribution.incremental.setfunction import FittedPanelModel
from attribution.incremental.stocks import DECAY, panel_stocks
from histories.arrays import Float, Single
from histories.panel import Panel

LOOKED_AT = 6_000
"""Customers on whom channels' own decays are looked at, at most."""
LEVEL = 0.95
"""Of what stands beside."""
SHORTER, LONGER = (0.45, 0.3, 0.15), (0.75, 0.85, 0.92)
"""Decays that stand beside one that is given, one after the other for as long as they are within reach."""
STEPS = (*reversed(SHORTER), DECAY, *LONGER)
"""Decays that a channel of its own may have."""
OWN_AHEAD = 7.0
"""Log-likelihood that a channel's own decay has to bring: half a logarithm of the customers for a parameter,
and for the choice among several decays of several channels. A better one in its place costs nothing."""
FAINT = 0.45
"""Share left after a period below which later periods say little of a touch: an error there is an error of
three times the size in the period of the touch."""
ROUNDS = 4
"""Times that all channels are looked at, at most."""
AHEAD = 10.0
"""Log-likelihood by which another must be ahead of the customary one to take its place."""


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
    """Log-likelihood by which these are ahead."""
    by_day: bool = False
    """Whether touches work from their day on, instead of for all of their period (`stocks.panel_stocks`)."""
    by_day_gain: float = 0.0
    """Log-likelihood by which that is ahead."""

    @staticmethod
    def asked(value: float | None) -> Decay:
        """The decay that was asked for, or the customary one."""
        return Decay(value=DECAY, source="customary") if value is None else Decay(value=value, source="given")

    def of(self, panel: Panel) -> Float:
        """The decay of each of the panel's channels, shape (C,)."""
        own = dict(self.own)
        return np.array([own.get(name, self.value) for name in panel.channels])

    def name(self, panel: Panel) -> str:
        """What tells this decay from another one of the same customers."""
        values = self.of(panel).tolist()
        first = (
            f"decays {', '.join(f'{value:g}' for value in values)}" if self.own else f"decay {self.value:g}"
        )
        return f"{first} by the day" if self.by_day else first

    def faint(self, panel: Panel) -> dict[str, str]:
        """Channels told from later months, of whose touches hardly anything is left then, with the reason."""
        told = zip(panel.channels, panel.late, self.of(panel), strict=True)
        return {
            name: (
                "its touches follow purchases, or wait until there are none, so that later months alone tell "
                f"of them; with {value:.2g} left after a month they say little"
            )
            for name, late, value in told
            if late and value < FAINT
        }

    def with_own(self, panel: Panel, decays: Float, *, gain: float = 0.0) -> Decay:
        """The same with these decays of single channels, shape (C,), where they differ."""
        pairs = zip(panel.channels, decays.tolist(), strict=True)
        return replace(self, own=tuple(pair for pair in pairs if pair[1] != self.value), own_gain=gain)

    def stocks(self, panel: Panel, *, touches: NDArray[np.floating] | None = None) -> Single:
        """Stocks that effects are linear in, shape (N, P, C) (see `panel_stocks`)."""
        return panel_stocks(
            panel, decay=self.of(panel), touches=touches, bend=self.bend.value, by_day=self.by_day
        )

    @property
    def words(self) -> str:
        """How stocks are made, in one clause."""
        left = f"stocks keep {self.value:.2g} from period to period"
        how = "; ".join(part for part in (self.source, self.why) if part)
        names = ", ".join(f"{value:g} of {name}" for name, value in self.own)
        own = f"but {names} (by {self.own_gain:.0f} in log-likelihood)" if self.own else ""
        day = f"touches work from their day on (by {self.by_day_gain:.0f})" if self.by_day else ""
        return ", ".join(part for part in (f"{left} ({how})", own, day, self.bend.words) if part)


def decays_beside(
    fit: FittedPanelModel, panel: Panel, decay: Decay
) -> tuple[Decay, list[tuple[Decay, FittedPanelModel]]]:
    """The decay to credit by, and fits at others that explain the company as well.

    How long touches work is seldom known, and credit depends on it: of what works for three months half is
    seen at .6. The customary decay gives way to one that is clearly ahead; one that was asked for stays, and
    all between it and the best stay in the range.

    Parameters
    ----------
    fit, panel
        The model that credits the company, fitted to these customers at that decay.
    decay
        As it was given, or the customary one.
    """
    stocks = decay.stocks(panel)
    start = fit.with_stocks(panel, stocks)
    if start is None:
        return decay, []
    sides = [
        {
            other: replace(decay, value=other).stocks(panel)
            for other in side
            if (other - decay.value) * (side[0] - DECAY) > 0.0
        }
        for side in (SHORTER, LONGER)
    ]
    climbed = {decay.value: start} | fits_along(start, panel, sides, before=stocks)
    best = max(climbed, key=lambda value: climbed[value][1])
    gain = climbed[best][1] - start[1]
    beside = [
        (replace(decay, value=value), found) for value, (found, _) in climbed.items() if value != decay.value
    ]
    if gain <= REACH:
        return decay, beside
    if decay.source == "given" or gain <= AHEAD:
        why = f"{best:g} explains more, by {gain:.0f} in log-likelihood: the range holds both"
        return replace(decay, why=why), beside
    why = f"ahead of the customary {decay.value:g} by {gain:.0f} in log-likelihood"
    near = [
        (replace(decay, value=value), found)
        for value, (found, height) in climbed.items()
        if value != best and height > climbed[best][1] - REACH
    ]
    return replace(decay, value=best, source="found", why=why), near


def decays_of_channels(
    fit: FittedPanelModel, panel: Panel, decay: Decay, *, rng: np.random.Generator
) -> tuple[Decay, list[tuple[Decay, FittedPanelModel]]]:
    """Decays of single channels where the likelihood asks for them, and fits at others that explain as much.

    A mail is forgotten within days, a community works for months. From the optimum with one decay for all,
    each channel's is held against all `STEPS` by what one step of a climb promises; those that
    promise enough are climbed on together, and all are looked at again from there. Beside what is found stand
    the shortest decays of all channels that are within reach, each by itself, and the longest, if they are so
    together.

    Parameters
    ----------
    fit, panel, decay
        The model that credits the company, its customers, and the decay that all channels have.
    rng
        Draws at most `LOOKED_AT` of them to look at.
    """
    few = panel
    if panel.n_customers > LOOKED_AT:
        few = panel.take(np.sort(rng.choice(panel.n_customers, LOOKED_AT, replace=False)))
    values = decay.of(panel)
    now = fit.with_stocks(few, decay.stocks(few))
    if now is None:
        return decay, []
    start = now[1]
    looks: list[_Look] = []
    for _ in range(ROUNDS):
        looks = _looks(now[0], few, decay.with_own(panel, values))
        if not looks:
            return decay, []
        charge = np.where(values == decay.value, OWN_AHEAD, REACH)
        ahead = np.array([look.gain for look in looks]) > charge
        if not ahead.any():
            break
        wanted = np.where(ahead, [look.best for look in looks], values)
        again = now[0].with_stocks(few, decay.with_own(panel, wanted).stocks(few))
        if again is None or again[1] < now[1] + charge[ahead].max():
            break
        values, now = wanted, again
    found = decay.with_own(panel, values, gain=now[1] - start)
    ends = {tuple(pick(look.near) for look in looks) for pick in (min, max)} - {tuple(values.tolist())}
    whole = now
    if ends and few is not panel:
        whole = now[0].with_stocks(panel, found.stocks(panel)) or now
    beside = []
    for end in sorted(ends):
        other = decay.with_own(panel, np.array(end))
        again = whole[0].with_stocks(panel, other.stocks(panel))
        together = 0.5 * float(chi2.ppf(LEVEL, np.count_nonzero(end != values)))
        if again is not None and again[1] > whole[1] - together:
            beside.append((other, again[0]))
    return found, beside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What other decays of a channel promise."""

    best: float
    gain: float
    near: tuple[float, ...]
    """Decays within reach of the best."""


def _looks(fit: FittedPanelModel, panel: Panel, decay: Decay) -> list[_Look]:
    """What each channel's other decays promise, all others' as they are; nothing without a likelihood.

    A channel that is told from what is left of its touches keeps what it has: others are guesses.
    """
    told_later = np.isin(panel.channels, panel.reacts or ())
    values, before = decay.of(panel), decay.stocks(panel)
    ahead = fit.outlook(panel, before)
    if ahead is None:
        return []
    promised: list[dict[float, float]] = [{value: ahead(before)} for value in values.tolist()]
    for other in STEPS:
        stocks = replace(decay, value=other, own=()).stocks(panel)
        for k in np.flatnonzero(values != other):
            moved = before.copy()
            moved[:, :, k] = stocks[:, :, k]
            promised[k][other] = ahead(moved)
    found = []
    for value, late, own in zip(values.tolist(), told_later, promised, strict=True):
        best = value if late else max(own, key=lambda decay: own[decay])
        near = tuple(decay for decay, promise in own.items() if promise > own[best] - REACH)
        found.append(_Look(best=best, gain=own[best] - own[value], near=near))
    return found
