"""How long touches work: the decay of channel stocks, given, found or estimated by profile likelihood.

For every decay d the model that credits the company is maximised over everything else,

    l(d) = max over theta of log L(theta; stocks S_t = d S_(t-1) + log(1 + touches_t)),

by a short climb from its optimum at another d. Where nobody says, .6 is taken unless one of a few others is
clearly ahead, and those within reach stand beside it; a channel has a decay of its own where the likelihood
asks for that. Asked for, the estimate maximises l; its interval holds
every d with 2 (l(max) - l(d)) below the 95 % point of chi-squared with one degree of freedom (Cox & Hinkley
1974, 9.3).

Where no channel does anything every decay fits alike, and the best of them only follows noise (Davies 1977).
So the customary .6 is kept then, and the credit says so, unless the best decay beats a model without effects
beyond doubt and the interval is short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

from attribution.incremental.along import REACH, fits_along
from attribution.incremental.bend import STRAIGHT, Bend
from attribution.incremental.setfunction import FittedPanelModel, PanelEstimator, Profile
from attribution.incremental.stocks import DECAY, panel_stocks
from histories.arrays import Float, Single
from histories.errors import ModelError
from histories.panel import Panel

CUSTOMERS, LOOKED_AT = 4_000, 6_000
"""Customers on whom a decay is estimated at most, and those on whom channels' own are looked at."""
LOWEST, HIGHEST = 0.02, 0.97
"""Decays that are searched: from nothing left of a touch after a period to a stock that lasts for years."""
PRECISION = 0.015
"""Distance between decays that does not matter."""
TRIES = 3
"""Decays tried at most for each end of the interval."""
LEVEL = 0.95
"""Of the interval."""
FLAT = 0.5
"""Length of an interval from which on the data cannot tell."""
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
NO_EFFECT = 0.999
"""Point of chi-squared, two degrees of freedom a channel, that effects as a whole have to pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay:
    """The decay that stocks are made with, and how it is known."""

    value: float
    """Share of a stock that is left one period later."""
    source: Literal["given", "estimated", "kept", "found"]
    """"kept": the customary value, because the data or the estimator cannot tell; "found": not the customary
    one, because the data speak against that."""
    low: float | None = None
    """Lower end of the 95 % interval; None without a profile."""
    high: float | None = None
    """Upper end."""
    n_customers: int = 0
    """Customers on whom it was estimated."""
    why: str = ""
    """Why it was kept or found, or what speaks against it; empty otherwise."""
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
        how = self.why
        if self.source == "given":
            how = f"given; {self.why}" if self.why else "given"
        if self.source == "estimated":
            how = f"estimated: {self.low:.2f} to {self.high:.2f}"
        names = ", ".join(f"{value:g} of {name}" for name, value in self.own)
        own = f"but {names} (by {self.own_gain:.0f} in log-likelihood)" if self.own else ""
        day = f"touches work from their day on (by {self.by_day_gain:.0f})" if self.by_day else ""
        return ", ".join(part for part in (f"{left} ({how})", own, day, self.bend.words) if part)


def choose_decay(
    wanted: float | Literal["estimate"],
    estimator: PanelEstimator,
    panel: Panel,
    *,
    rng: np.random.Generator,
) -> Decay:
    """The decay as given, or estimated with the estimator's own likelihood on some customers.

    Parameters
    ----------
    wanted
        A number in (0, 1), or "estimate".
    estimator
        Who credits the company.
    panel
        Customers to estimate on.
    rng
        Draws at most `CUSTOMERS` of them.
    """
    if wanted != "estimate":
        return Decay(value=wanted, source="given")
    few = panel.take(np.sort(rng.permutation(panel.n_customers)[:CUSTOMERS]))
    try:
        profile: Profile | None = estimator.decay_profile(few, rng=rng)
        if profile is None:
            why = f"{estimator.name} has no likelihood to estimate it with"
            return Decay(value=DECAY, source="kept", why=why)
        best, low, high = maximise_profile(profile)
        gain = 2.0 * (profile(best) - profile.without_effects())
    except ModelError as error:
        return Decay(value=DECAY, source="kept", why=f"it could not be estimated: {error}")
    unclear = gain < chi2.ppf(NO_EFFECT, 2 * panel.n_channels)
    if unclear or high - low > FLAT:
        why = "the data cannot tell: " + (
            "effects are too small" if unclear else f"{low:.2f} to {high:.2f} fit alike"
        )
        return Decay(value=DECAY, source="kept", low=low, high=high, n_customers=few.n_customers, why=why)
    return Decay(value=best, source="estimated", low=low, high=high, n_customers=few.n_customers)


def decays_beside(
    fit: FittedPanelModel, panel: Panel, decay: Decay, *, customary: bool
) -> tuple[Decay, dict[float, FittedPanelModel]]:
    """The decay to credit by, and fits at others that explain the company as well.

    How long touches work is seldom known, and credit depends on it: of what works for three months half is
    seen at .6. The customary decay gives way to one that is clearly ahead; one that was asked for stays, and
    all between it and the best stay in the range.

    Parameters
    ----------
    fit, panel
        The model that credits the company, fitted to these customers at that decay.
    decay
        As it was given; one that was estimated has nothing beside it.
    customary
        Whether nobody asked for it.
    """
    stocks = panel_stocks(panel, decay=decay.value)
    start = fit.with_stocks(panel, stocks) if decay.source == "given" else None
    if start is None:
        return decay, {}
    climbed = {decay.value: start}
    for side in (SHORTER, LONGER):
        further = [other for other in side if (other - decay.value) * (side[0] - DECAY) > 0.0]
        others = {other: panel_stocks(panel, decay=other) for other in further}
        highest = max(height for _, height in climbed.values())
        climbed |= fits_along(start, panel, others, before=stocks, highest=highest)
    best = max(climbed, key=lambda value: climbed[value][1])
    gain = climbed[best][1] - start[1]
    beside = {value: found for value, (found, _) in climbed.items() if value != decay.value}
    if gain <= REACH:
        return decay, beside
    if not customary or gain <= AHEAD:
        why = f"{best:g} explains more, by {gain:.0f} in log-likelihood: the range holds both"
        return replace(decay, why=why), beside
    why = f"found: ahead of the customary {decay.value:g} by {gain:.0f} in log-likelihood"
    near = {v: f for v, (f, height) in climbed.items() if v != best and height > climbed[best][1] - REACH}
    return replace(decay, value=best, source="found", why=why), near


def decays_of_channels(
    fit: FittedPanelModel, panel: Panel, decay: Decay, *, rng: np.random.Generator
) -> tuple[Decay, list[tuple[Decay, FittedPanelModel]]]:
    """Decays of single channels where the likelihood asks for them, and fits at others that explain as much.

    A mail is forgotten within days, a community works for months. From the optimum with one decay for all,
    each channel's is moved along `STEPS` for as long as one step of a climb promises more; those that
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
    now = fit.with_stocks(few, panel_stocks(few, decay=values, by_day=decay.by_day))
    if now is None:
        return decay, []
    start = now[1]
    looks: list[_Look] = []
    for _ in range(ROUNDS):
        looks = _looks(now[0], few, values, by_day=decay.by_day)
        if not looks:
            return decay, []
        charge = np.where(values == decay.value, OWN_AHEAD, REACH)
        ahead = np.array([look.gain for look in looks]) > charge
        wanted = np.where(ahead, [look.best for look in looks], values)
        again = (
            now[0].with_stocks(few, panel_stocks(few, decay=wanted, by_day=decay.by_day))
            if ahead.any()
            else None
        )
        if again is None or again[1] < now[1] + charge[ahead].max():
            break
        values, now = wanted, again
    ends = {tuple(pick(look.near) for look in looks) for pick in (min, max)} - {tuple(values.tolist())}
    whole = now
    if ends and few is not panel:
        whole = now[0].with_stocks(panel, panel_stocks(panel, decay=values, by_day=decay.by_day)) or now
    beside = []
    for end in sorted(ends):
        again = whole[0].with_stocks(panel, panel_stocks(panel, decay=np.array(end), by_day=decay.by_day))
        together = 0.5 * float(chi2.ppf(LEVEL, np.count_nonzero(end != values)))
        if again is not None and again[1] > whole[1] - together:
            beside.append((decay.with_own(panel, np.array(end)), again[0]))
    return decay.with_own(panel, values, gain=now[1] - start), beside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What other decays of a channel promise."""

    best: float
    gain: float
    near: tuple[float, ...]
    """Decays within reach of the best."""


def _looks(fit: FittedPanelModel, panel: Panel, values: Float, *, by_day: bool) -> list[_Look]:
    """What each channel's other decays promise, all others' as they are; nothing without a likelihood.

    A channel that is told from what is left of its touches keeps what it has: others are guesses.
    """
    told_later = np.isin(panel.channels, panel.reacts or ())
    before = panel_stocks(panel, decay=values, by_day=by_day)
    ahead = fit.outlook(panel, before)
    if ahead is None:
        return []
    promised: list[dict[float, float]] = [{value: ahead(before)} for value in values.tolist()]
    for other in STEPS:
        stocks = panel_stocks(panel, decay=other, by_day=by_day)
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


def maximise_profile(profile: Callable[[float], float]) -> tuple[float, float, float]:
    """The decay with the highest likelihood, and the ends of its likelihood-ratio interval.

    The root of the deviance is nearly a straight line in the decay on either side, so each end is read off
    from the decays that the search has tried, tried itself, and read off again.

    Examples
    --------
    >>> found = maximise_profile(lambda d: -800.0 * (d - 0.7) ** 2)
    >>> [round(value, 2) for value in found]
    [0.7, 0.65, 0.75]
    """
    tried: dict[float, float] = {}

    def deviance(decay: float) -> float:
        key = float(decay)
        if key not in tried:
            tried[key] = -2.0 * profile(key)
        return tried[key]

    minimize_scalar(deviance, bounds=(LOWEST, HIGHEST), method="bounded", options={"xatol": PRECISION})
    for side in (-1.0, 1.0):
        for _ in range(TRIES):
            guess = _end(tried, side)
            if min(abs(guess - decay) for decay in tried) < PRECISION:
                break
            deviance(guess)
    return min(tried, key=lambda decay: tried[decay]), _end(tried, -1.0), _end(tried, 1.0)


def _end(tried: dict[float, float], side: float) -> float:
    """Where the root of the deviance above the best reaches its quantile, on one side of the best.

    Read off between the decays tried, or beyond the last of them; never outside what is searched.
    """
    bound = LOWEST if side < 0 else HIGHEST
    best = min(tried, key=lambda decay: tried[decay])
    there = sorted((d for d in tried if side * (d - best) >= 0.0), key=lambda d: side * d)
    roots = [float(np.sqrt(tried[d] - tried[best])) for d in there]
    if len(there) == 1:
        return float(0.5 * (best + bound))
    limit = float(np.sqrt(chi2.ppf(LEVEL, 1)))
    k = next((k for k, root in enumerate(roots) if root >= limit), len(roots) - 1)
    rise = roots[k] - roots[k - 1]
    if rise <= 0.0:
        return bound
    reach = there[k - 1] + (limit - roots[k - 1]) / rise * (there[k] - there[k - 1])
    return float(np.clip(reach, LOWEST, HIGHEST))
