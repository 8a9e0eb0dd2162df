"""What touches do to the worth of a purchase, whatever its law: each customer is compared with himself.

With y_it the spend and n_it the purchases of a customer's month, those months alone that have some::

    E[y_it | customer, purchases] = m_i n_it exp(x_it . c)

m_i is what a purchase of this customer is worth. It drops out of his shares y_it / sum y_is, whose means are
p_it = n_it exp(x_it . c) / sum n_is exp(x_is . c): the Poisson regression with an effect of each customer
(Hausman, Hall & Griliches 1984), right whatever the law and the dependence of amounts (Wooldridge 1999). A
customer counts by his purchases, not by his money, so that none dominates. x holds the channel stocks, the
effects of periods, and time since arrival.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import linalg, stats

from attribution.incremental.chain.standard import Standard
from attribution.incremental.stocks import DECAY, Timing, earlier_stocks, new_stocks, ticks_of
from histories.arrays import Flags, Float, Integer, Real, Single
from histories.panel import Panel

STEPS, ARRIVED = 25, 1e-8
LONGEST, Z = 1.0, 1.96
"""Largest change of a coefficient in a step, and standard errors either side in what is said of effects."""
RIDGE = 1e-6
"""Share of the information's diagonal that is added to it: what never varies stays at 0."""
LEVEL = 0.05
"""Level of the tests over all channels."""
FEWEST = 50
"""Customers with purchases in several months below which nothing is estimated."""
SAME, BILLED = 1e-3, 0.5
"""Relative change below which an amount is that of the month before, and share of such months from which
spend is a bill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Effects of C channels on the log of the worth of a purchase."""

    gamma: Float
    """Per unit of stock, shape (C,)."""
    influence: Single = field(repr=False)
    """Change of gamma per unit of a customer's weight, shape (N, C)."""
    lasts: Flags
    """Channels after whose touches a purchase stays worth more or less when the stock is gone, (C,)."""

    @property
    def sd(self) -> Float:
        """Standard errors, shape (C,): those of White (1980) by customer."""
        return _errors(self.influence)

    @property
    def shows(self) -> bool:
        """Whether some channel changes it, at a level of 5 % over all of them."""
        return bool(_beyond_chance(self.gamma, self.influence).any())

    def words(self, channels: tuple[str, ...]) -> str:
        """What is in the credit of spend besides purchases, in a sentence."""
        effects = ", ".join(
            f"{channel} {np.expm1(g):+.1%} ({np.expm1(g - Z * sd):+.1%} to {np.expm1(g + Z * sd):+.1%})"
            for channel, g, sd in zip(channels, self.gamma, self.sd, strict=True)
            if sd > 0
        )
        return f"what a purchase is worth changes with each unit of a channel's stock: {effects}"

    def reweighted(self, weights: Float) -> Worth:
        """One step towards customers who weigh so much, shape (N,)."""
        return replace(self, gamma=self.gamma + (weights - 1.0) @ self.influence.astype(np.float64))


def is_billed(panel: Panel) -> bool:
    """Whether spend is a bill: most customers pay one month what they paid the month before."""
    worth = np.divide(
        panel.spend, panel.purchases, out=np.zeros(panel.spend.shape), where=panel.purchases > 0
    )
    both = (worth[:, 1:] > 0) & (worth[:, :-1] > 0)
    same = np.abs(worth[:, 1:] - worth[:, :-1]) <= SAME * worth[:, :-1]
    return bool(both.sum() > 0 and (same & both).sum() >= BILLED * both.sum())


def worth_of_purchase(
    panel: Panel,
    stocks: Single,
    *,
    weights: Float | None = None,
    follows: bool = False,
    decay: float | Float = DECAY,
    by_day: Timing = False,
) -> Worth | None:
    """Estimate the effects; None where too few customers bought in several months.

    Parameters
    ----------
    panel, stocks
        Customers, and their stocks as the credit uses them, shape (N, P, C).
    weights
        Weight of each customer, shape (N,); None for ones.
    follows
        Whether touches follow the purchases of their month: then those of earlier months alone tell.
    decay, by_day
        As the stocks were made.
    """
    bought = (np.asarray(panel.purchases) > 0) & (np.asarray(panel.spend) > 0) & panel.at_risk
    bought &= bought.sum(axis=1, keepdims=True) > 1
    customer, period = np.nonzero(bought)
    starts = np.flatnonzero(np.diff(customer, prepend=-1))
    if len(starts) < FEWEST:
        return None
    rows = customer[starts]
    own = np.ones(panel.n_customers) if weights is None else weights
    felt = earlier_stocks(panel, stocks, decay=decay, by_day=by_day)[customer, period]
    design = _columns(panel, felt, customer, period)
    if follows:
        ticks = ticks_of(panel, by_day=by_day)
        here = None if ticks is None else ticks[customer, period]
        seen = np.asarray(panel.touches[customer, period])
        design = np.column_stack(
            [design, new_stocks(panel, seen, period, decay=decay, by_day=by_day, ticks=here)]
        )
    ever = np.log1p(np.cumsum(panel.touches, axis=1, dtype=np.float64))[customer, period]
    purchases = np.asarray(panel.purchases, dtype=np.float64)[customer, period]
    spend = np.asarray(panel.spend, dtype=np.float64)[customer, period]
    total = np.add.reduceat(purchases, starts)
    seen = spend * _each(total / np.add.reduceat(spend, starts), starts, len(spend))
    weight = own[rows]
    channels = panel.n_channels
    fits = []
    for columns in (design, np.column_stack([ever, design])):
        found, scores, information = _climb(columns, purchases, seen, total, weight, starts)
        if found is None:
            return None
        fits.append((found[:channels], (scores @ linalg.pinvh(information))[:, :channels]))
    (gamma, moved), (beyond, moved_beyond) = fits
    influence = np.zeros((panel.n_customers, channels), dtype=np.float32)
    influence[rows] = moved
    return Worth(gamma=gamma, influence=influence, lasts=_beyond_chance(beyond, moved_beyond))


def _errors(influence: Real) -> Float:
    found: Float = np.sqrt((np.asarray(influence, dtype=np.float64) ** 2).sum(axis=0))
    return found


def _beyond_chance(effects: Float, influence: Real) -> Flags:
    """Effects that are not zero at a level of 5 % over all of them (Bonferroni), shape (C,)."""
    sd = _errors(influence)
    z = np.divide(np.abs(effects), sd, out=np.zeros_like(effects), where=sd > 0)
    found: Flags = 2.0 * stats.norm.sf(z) * max(int((sd > 0).sum()), 1) < LEVEL
    return found


def _columns(panel: Panel, felt: Float, customer: Integer, period: Integer) -> Float:
    """Stocks first, then periods but one, time since arrival, and changing covariates, one row a month."""
    parts = [felt, np.eye(panel.n_periods)[period, 1:]]
    if np.ptp(panel.entry) > 0:
        age = period - panel.entry[customer]
        parts.append(np.column_stack([age == 0, np.log1p(np.maximum(age, 0))]).astype(np.float64))
    if panel.time_covariates is not None:
        changing = np.asarray(panel.time_covariates[customer, period], dtype=np.float64)
        parts.append(np.nan_to_num(Standard.learn(changing).scaled(changing)))
    return np.concatenate(parts, axis=1)


def _climb(
    design: Float, purchases: Float, seen: Float, total: Float, weight: Float, starts: Integer
) -> tuple[Float | None, Float, Float]:
    """Newton's method: coefficients (None if they do not settle), scores of customers, information."""
    theta = np.zeros(design.shape[1])
    for _ in range(STEPS):
        expected, centred = _expected(design, purchases, total, theta, starts)
        scores = np.add.reduceat(design * (seen - expected)[:, None], starts, axis=0)
        information = (centred * (expected * _each(weight, starts, len(seen)))[:, None]).T @ centred
        information[np.diag_indices_from(information)] *= 1.0 + RIDGE
        step = linalg.pinvh(information) @ (weight @ scores)
        if float(np.abs(step).max()) < ARRIVED:
            return theta, scores, information
        theta = theta + np.clip(step, -LONGEST, LONGEST)
    return None, scores, information


def _expected(
    design: Float, purchases: Float, total: Float, theta: Float, starts: Integer
) -> tuple[Float, Float]:
    """Expected purchases' worth of each month, and columns less the customer's mean of them."""
    eta = design @ theta
    eta -= _each(np.maximum.reduceat(eta, starts), starts, len(eta))
    rate = purchases * np.exp(eta)
    sums = np.add.reduceat(rate, starts)
    expected = rate * _each(total / sums, starts, len(eta))
    mean = np.add.reduceat(design * expected[:, None], starts, axis=0) / total[:, None]
    return expected, design - _each(mean, starts, len(eta))


def _each(values: Float, starts: Integer, rows: int) -> Float:
    """A value of each customer on all his rows."""
    return np.repeat(values, np.diff(np.append(starts, rows)), axis=0)
