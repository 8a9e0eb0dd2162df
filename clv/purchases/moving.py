"""Pareto/NBD whose rates move with covariates over time (Bachmann, Meierer & Naef 2021).

With covariates z(u) of a customer at time u since the first purchase, purchases come at rate lambda exp(g
z(u)) and the customer leaves at rate mu exp(h z(u)); lambda ~ gamma(r, alpha) and mu ~ gamma(s, beta). With
A(u) and B(u) the integrals of exp(g z) and exp(h z) from 0 to u, the likelihood of purchases at t_1 .. t_x is

    Gamma(n) / Gamma(r) alpha^r beta^s prod_j exp(g z(t_j)) [ (alpha + A(T))^-n (beta + B(T))^-s + s I ]
    I = integral from t_x to T of exp(h z(u)) (alpha + A(u))^-n (beta + B(u))^-(s + 1) du,    n = r + x

Covariates are constant on spells, so I is a sum of integrals of the plain model (`clv.purchases.pareto`), one
a spell, with alpha + A and beta + B at its start in the place of alpha and beta: every term is positive, and
the same nodes give the gradient. Covariates that never change are the case of one spell: the static model,
whose alpha_i = alpha exp(-g z) and beta_i = beta exp(-h z) say the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy

from clv.purchases import pareto
from clv.purchases.maximum import Score
from histories.arrays import Flags, Float, Integer


@dataclass(frozen=True, slots=True, kw_only=True)
class Spells:
    """Stretches of time on which nothing moves, customer by customer in order of time.

    Attributes
    ----------
    customer
        Row of the customer, shape (m,), ascending; every customer has a spell.
    length
        In time units, shape (m,).
    z
        Covariates, shape (m, k).
    silent
        Whether the spell lies behind the last purchase, shape (m,).
    """

    customer: Integer
    length: Float
    z: Float
    silent: Flags

    @classmethod
    def unmoved(cls, t_x: Float, T: Float, z: Float) -> Self:
        """Covariates that never change: one spell to the last purchase, one from there to T."""
        n = T.size
        return cls(
            customer=np.repeat(np.arange(n), 2),
            length=np.column_stack([t_x, T - t_x]).ravel(),
            z=np.repeat(z, 2, axis=0),
            silent=np.tile([False, True], n),
        )

    @property
    def starts(self) -> Integer:
        """Place of each customer's first spell, shape (n,)."""
        return np.flatnonzero(np.diff(self.customer, prepend=-1))

    def chosen(self, rows: Integer) -> Self:
        """The spells of some customers, `rows` ascending, numbered from 0."""
        place = np.searchsorted(rows, self.customer)
        kept = rows[np.minimum(place, rows.size - 1)] == self.customer
        return replace(
            self,
            customer=place[kept],
            length=self.length[kept],
            z=self.z[kept],
            silent=self.silent[kept],
        )

    def of(self, first: int, last: int) -> Self:
        """The spells of customers `first` to `last`, the latter excluded, numbered from 0."""
        return self.chosen(np.arange(first, last))

    def rescaled(self, factor: float) -> Self:
        """Lengths in another unit."""
        return replace(self, length=self.length * factor)


@dataclass(frozen=True, slots=True)
class _Pace:
    """Integrated rate of one process: at the start of each spell, and at T.

    Attributes
    ----------
    log_rate
        Logs of exp(g z), shape (m,).
    before, slope_before
        Integral before the spell, shape (m,), and its gradient in g, shape (m, k).
    whole, slope_whole
        The same to T, by customer.
    """

    log_rate: Float
    before: Float
    slope_before: Float
    whole: Float
    slope_whole: Float

    @classmethod
    def of(cls, spells: Spells, effect: Float) -> _Pace:
        log_rate = spells.z @ effect
        added = np.exp(log_rate) * spells.length
        moved = added[:, None] * spells.z
        starts = spells.starts
        whole, slope_whole = np.add.reduceat(added, starts), np.add.reduceat(moved, starts, axis=0)
        earlier, slope_earlier = np.cumsum(whole) - whole, np.cumsum(slope_whole, axis=0) - slope_whole
        before = np.maximum(np.cumsum(added) - added - earlier[spells.customer], 0.0)
        slope_before = np.cumsum(moved, axis=0) - moved - slope_earlier[spells.customer]
        return cls(log_rate, before, slope_before, whole, slope_whole)


def moving_score(x: Float, spells: Spells, bought: Float, weights: Float) -> Score:
    """Score in (r, alpha, s, beta, multipliers exp(g), multipliers exp(h)).

    Parameters
    ----------
    x
        Repeat purchases, shape (n,).
    spells
        From the first purchase to T.
    bought
        Sum of the covariates at the repeat purchases, shape (n, k).
    weights
        Customers per row, shape (n,).
    """
    k = bought.shape[1]
    gammaln, psi = scipy.special.gammaln, scipy.special.digamma

    def score(parameters: Float) -> tuple[float, Float]:
        r, alpha, s, beta = map(float, parameters[:4])
        g, h = np.log(parameters[4 : 4 + k]), np.log(parameters[4 + k :])
        n = r + x
        fates = _Fates.of(r, alpha, s, beta, g, h, x, spells)
        here, A, B = fates.here * weights, alpha + fates.buying.whole, beta + fates.leaving.whole
        each = fates.log_density + r * np.log(alpha) + s * np.log(beta) + bought @ g + gammaln(n) - gammaln(r)
        gradient = np.zeros(parameters.size)
        total = float(weights.sum())
        gradient[0] = weights @ (np.log(alpha) + psi(n) - psi(r)) - here @ np.log(A)
        gradient[1] = total * r / alpha - here @ (n / A)
        gradient[2] = total * np.log(beta) - here @ np.log(B)
        gradient[3] = total * s / beta - s * (here @ (1.0 / B))
        by_g = weights @ bought - (here * n / A) @ fates.buying.slope_whole
        by_h = -s * ((here / B) @ fates.leaving.slope_whole)
        # the spells in which the customer may have left
        rows, who = fates.rows, spells.customer[fates.rows]
        gone, own, z = fates.gone * weights[who], n[who], spells.z[rows]
        log_a, log_b = fates.buying.log_rate[rows], fates.leaving.log_rate[rows]
        by_A, by_B = own * np.exp(-log_a) * fates.inverse_near, (s + 1.0) * np.exp(-log_b) * fates.inverse_far
        gradient[0] -= gone @ (log_a + fates.log_near)
        gradient[1] -= gone @ by_A
        gradient[2] += gone @ (1.0 / s - log_b - fates.log_far)
        gradient[3] -= gone @ by_B
        within_A = own - by_A * (alpha + fates.buying.before[rows])
        within_B = s - by_B * (beta + fates.leaving.before[rows])
        by_g -= (gone * by_A) @ fates.buying.slope_before[rows] + (gone * within_A) @ z
        by_h -= (gone * by_B) @ fates.leaving.slope_before[rows] + (gone * within_B) @ z
        gradient[4 : 4 + k] = by_g / parameters[4 : 4 + k]
        gradient[4 + k :] = by_h / parameters[4 + k :]
        return float(weights @ each), gradient

    return score


@dataclass(frozen=True, slots=True)
class _Fates:
    """Alive at T, or gone in one of the silent spells.

    Attributes
    ----------
    buying, leaving
        The integrated rates.
    log_density
        Log of the bracket of the likelihood, shape (n,).
    here
        P(alive at T), shape (n,).
    rows
        The silent spells of some length, shape (q,).
    gone
        P(gone in the spell), shape (q,).
    log_near, log_far, inverse_near, inverse_far
        Means over the moment u of leaving within the spell of log(P + u), log(Q + u) and of their inverses,
        with P = (alpha + A) / exp(g z) and Q = (beta + B) / exp(h z) at its start; shape (q,).
    """

    buying: _Pace
    leaving: _Pace
    log_density: Float
    here: Float
    rows: Integer
    gone: Float
    log_near: Float
    log_far: Float
    inverse_near: Float
    inverse_far: Float

    @classmethod
    def of(
        cls,
        r: float,
        alpha: float,
        s: float,
        beta: float,
        g: Float,
        h: Float,
        x: Float,
        spells: Spells,
    ) -> _Fates:
        buying, leaving = _Pace.of(spells, g), _Pace.of(spells, h)
        n = r + x
        stay = -n * np.log(alpha + buying.whole) - s * np.log(beta + leaving.whole)
        rows = np.flatnonzero(spells.silent & (spells.length > 0.0))
        found = np.empty((5, rows.size))
        for block in pareto.blocks(rows.size):
            part = rows[block]
            who, log_a, log_b = spells.customer[part], buying.log_rate[part], leaving.log_rate[part]
            near = (alpha + buying.before[part]) * np.exp(-log_a)
            far = (beta + leaving.before[part]) * np.exp(-log_b)
            integral = pareto.integrate(near, far, n[who], s + 1.0, np.zeros(part.size), spells.length[part])
            # exp(h z) (a (P + u))^-n (b (Q + u))^-(s + 1)
            found[0, block] = np.log(s) + integral.log - n[who] * log_a - s * log_b
            found[1:, block] = (
                integral.log_alpha,
                integral.log_beta,
                integral.inverse_alpha,
                integral.inverse_beta,
            )
        who = spells.customer[rows]
        top = stay.copy()
        np.maximum.at(top, who, found[0])
        bracket = np.exp(stay - top)
        bracket += np.bincount(who, weights=np.exp(found[0] - top[who]), minlength=x.size)
        log_density = top + np.log(bracket)
        return cls(
            buying,
            leaving,
            log_density,
            np.exp(stay - log_density),
            rows,
            np.exp(found[0] - log_density[who]),
            *found[1:],
        )


def probability_alive(parameters: Float, g: Float, h: Float, x: Float, spells: Spells) -> Float:
    """P(alive at T), shape (n,)."""
    r, alpha, s, beta = map(float, parameters)
    return _Fates.of(r, alpha, s, beta, g, h, x, spells).here


def purchases_alive(parameters: Float, g: Float, h: Float, x: Float, spells: Spells, ahead: Spells) -> Float:
    """E[purchases over the spells `ahead` of T | alive at T], shape (n,).

    The mean rate (r + x) / (alpha + A(T)) times the integral of exp(g z) ((beta + B(T)) / (beta + B))^s,
    which is a difference of powers on each spell.
    """
    r, alpha, s, beta = map(float, parameters)
    A = alpha + _Pace.of(spells, g).whole
    B = beta + _Pace.of(spells, h).whole
    coming = _Pace.of(ahead, h)
    who = ahead.customer
    log_a, b = ahead.z @ g, np.exp(coming.log_rate)
    low = np.log1p(coming.before / B[who])
    step = np.log1p(b * ahead.length / (B[who] + coming.before))
    if abs(s - 1.0) < pareto.NEAR_ONE:
        lasting = B[who] * step
    else:
        lasting = B[who] * np.exp((1.0 - s) * low) * np.expm1((1.0 - s) * step) / (1.0 - s)
    bought = np.bincount(who, weights=np.exp(log_a) / b * lasting, minlength=x.size)
    return np.asarray((r + x) / A * bought, dtype=np.float64)
