"""Whom a firm writes to: rates of its touches by customer, and where they end.

A firm writes most to its best customers, and who stops a newsletter is another kind of customer than who
reads it. Where leaving is silent the chain is told of both (`chain.design`), unless touches follow what a
customer has done: they are fewer for who has left then. Where leaving is recorded the firm stops with the
customer: a rate says something of how long he stayed, and a silence before the end nothing certain
(`checks.receivers`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.arrays import Flags, Float, Integer
from histories.panel import Panel, last_true

BY_CHANCE = 0.01
"""Chance of so long a silence, at the rate before it, below which the firm has stopped with a customer."""
FOLLOWS, CLEAR, OVERDISPERSION = 0.15, 2.58, 1.5
"""Log ratio, and standard errors, from which touches follow what customers do; their variance to chance's."""
EARNED, SURELY, ROUNDS = 0.15, 4.0, 20
"""Elasticity to purchases so far, and standard errors, from which touches are earned by them: -.10 to .07 in
20 companies where they are not, .34 (9.5 errors) where the fourth purchase brings six times as many; rounds
in which means of customers and of periods are taken out by turns."""
ALIKE, STOPPED = 1e-3, 0.1
"""Least variance of customers' relative rates of touches, and the rate of whom the firm has stopped with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualTouches:
    """How often each of F channels of the firm reaches a customer as a rule, to the mean.

    Where leaving is silent: the firm writes on to who has left, and its rate tells nothing of how long he
    was there. The posterior mean of it under a gamma law of rates, `STOPPED` from where it ends for good.
    With it the effect of a stock is told by what differs from what is usual (Mundlak 1978): who buys more
    anyhow may be written to more, and who stops a newsletter may leave.
    """

    channels: tuple[int, ...]
    """Positions of the channels."""
    mean: tuple[float, ...]
    """Touches a period."""
    shape: tuple[float, ...]
    """Of the gamma law of rates."""

    @staticmethod
    def learn(panel: Panel) -> UsualTouches:
        """From customers; no channel where leaving is recorded."""
        steady = np.zeros(panel.n_channels, dtype=bool) if panel.contractual else steadily_sent(panel)
        chosen = np.flatnonzero(steady)
        count, lived = _received(panel, _written_to(panel, chosen), chosen)
        mean = count.sum(axis=0) / np.maximum(lived.sum(axis=0), 1.0)
        spread = ((count - mean * lived) ** 2 - mean * lived).sum(axis=0)
        spread = spread / np.maximum((lived**2).sum(axis=0), 1.0)
        shape = mean**2 / np.maximum(spread, ALIKE * mean**2)
        return UsualTouches(
            channels=tuple(chosen.tolist()), mean=tuple(mean.tolist()), shape=tuple(shape.tolist())
        )

    def of(self, panel: Panel) -> Float:
        """Of these customers in each period, shape (N, P, F)."""
        if not self.channels:
            return np.zeros((*panel.spend.shape, 0))
        chosen = np.array(self.channels)
        there = _written_to(panel, chosen)
        count, lived = _received(panel, there, chosen)
        often = (count + self.shape) / (lived * self.mean + self.shape)
        return np.asarray(np.where(there, often[:, None], STOPPED))


def _written_to(panel: Panel, chosen: Integer) -> NDArray[np.bool_]:
    """Periods in which the firm still writes to each customer by these channels, shape (N, P, F)."""
    t = np.arange(panel.n_periods)[:, None]
    until = np.where(has_stopped(panel), last_touch(panel), panel.last[:, None])[:, chosen]
    return np.asarray((t >= panel.entry[:, None, None]) & (t <= until[:, None]))


def _received(panel: Panel, there: NDArray[np.bool_], chosen: Integer) -> tuple[Float, Float]:
    """Touches in these periods, and how much of them was lived through, each (N, F)."""
    count = (there * np.asarray(panel.touches[:, :, chosen], dtype=np.float64)).sum(axis=1)
    return count, (there * np.asarray(panel.exposure, dtype=np.float64)[:, :, None]).sum(axis=1)


def sent_by_firm(panel: Panel) -> Flags:
    """Channels with touches in which the firm acts, shape (C,)."""
    return np.asarray(panel.by_firm & (np.asarray(panel.touches).sum(axis=(0, 1)) > 0))


def steadily_sent(panel: Panel) -> Flags:
    """Those whose touches follow no purchases of the period or so far, and no signs of the one before, (C,).

    While he shows signs of life: touches after a period with acts or purchases and after one without, each
    to what the customer's own mean leaves to expect.
    """
    signs = (np.asarray(panel.own_acts) > 0) | (np.asarray(panel.purchases) > 0)
    t = np.arange(1, panel.n_periods)
    there = (t > panel.entry[:, None]) & (t <= last_true(signs, none=0)[:, None])
    touches = np.where(there[:, :, None], np.asarray(panel.touches, dtype=np.float64)[:, 1:], 0.0)
    mean = touches.sum(axis=1) / np.maximum(there.sum(axis=1), 1)[:, None]
    ratios, error = [], np.zeros(panel.n_channels)
    for rows in (there & signs[:, :-1], there & ~signs[:, :-1]):
        expected = (rows.sum(axis=1)[:, None] * mean).sum(axis=0)
        seen = (rows[:, :, None] * touches).sum(axis=(0, 1))
        ratios.append(np.log(np.maximum(seen, 0.5) / np.maximum(expected, 0.5)))
        error += OVERDISPERSION / np.maximum(seen, 0.5)
    apart = np.abs(ratios[0] - ratios[1])
    follow = (apart > FOLLOWS) & (apart > CLEAR * np.sqrt(error))
    chosen = sent_by_firm(panel) & ~panel.late & ~follow
    chosen[chosen] = ~_earned(panel, touches[:, :, chosen], there)
    return np.asarray(chosen)


def _earned(panel: Panel, touches: Float, there: NDArray[np.bool_]) -> Flags:
    """Whether touches of F channels change with what a customer has bought, as tiers of a club, shape (F,).

    A score test of an elasticity to purchases so far in a Poisson model with an effect of each customer and
    each period. How often such a channel reaches a customer as a rule tells what he is going to buy.

    Parameters
    ----------
    panel
        Customers and their purchases.
    touches
        In each period but the first, 0 where the customer is not known to be there, shape (N, P - 1, F).
    there
        Whether he is, shape (N, P - 1).
    """
    so_far = np.log1p(np.cumsum(np.asarray(panel.purchases, dtype=np.float64), axis=1)[:, :-1])
    earned = np.zeros(touches.shape[2], dtype=bool)
    for k, seen in enumerate(np.moveaxis(touches, 2, 0)):
        own, period = np.ones((len(seen), 1)), np.ones((1, seen.shape[1]))
        bought = so_far
        for _ in range(ROUNDS):
            own = own * _share(seen, there * own * period, axis=1)
            period = period * _share(seen, there * own * period, axis=0)
        expected = there * own * period
        for _ in range(ROUNDS):
            bought = bought - _share(expected * bought, expected, axis=1)
            bought = bought - _share(expected * bought, expected, axis=0)
        information = float((expected * bought**2).sum())
        if information > 0.0:
            score = float(((seen - expected) * bought).sum())
            far = abs(score) > EARNED * information
            earned[k] = far and abs(score) > SURELY * np.sqrt(OVERDISPERSION * information)
    return earned


def _share(part: Float, whole: Float, *, axis: int) -> Float:
    """Sum over sum, 0 where there is nothing."""
    total = whole.sum(axis=axis, keepdims=True)
    found = np.divide(part.sum(axis=axis, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(found, dtype=np.float64)


def last_touch(panel: Panel) -> Integer:
    """Last period with a touch of each channel, its first where there is none, shape (N, C)."""
    t = np.arange(panel.n_periods)[:, None]
    return np.asarray(np.maximum((t * (panel.touches > 0)).max(axis=1), panel.entry[:, None]))


def has_stopped(panel: Panel) -> NDArray[np.bool_]:
    """Whether so long a silence before the end comes to one in a hundred at his rate, shape (N, C)."""
    last = last_touch(panel)
    rate = np.asarray(panel.touches, dtype=np.float64).sum(axis=1) / (last - panel.entry[:, None] + 1.0)
    return np.asarray(rate * (panel.last[:, None] - last) > -np.log(BY_CHANCE))
