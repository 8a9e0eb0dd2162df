"""Why a customer is worth more or less than the company's mean: a product of factors, taken apart exactly.

A customer's lifetime value is

    probability of being a customer x purchases of one who is x amount of a purchase x margin and discounting

and the company's mean is the same product of the company's factors, each weighted by the product of those
before it. The difference is shared among the factors by their Shapley values over the sixteen products in
which each factor is the customer's or the company's: they add up to it, whatever the order, zeros included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from histories.arrays import Float

FACTORS = {
    "probability_alive": "Chance of being a customer still.",
    "purchases_if_alive": "Purchases within the horizon of one who is.",
    "expected_spend": "Revenue of a purchase, in currency.",
    "margin_and_discount": "Discounted margin of one unit of expected revenue.",
}
"""The factors in order, and what each is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One factor of one customer.

    Attributes
    ----------
    value, company
        The customer's, and the company's.
    contribution
        What it adds to the customer's value against the company's mean, in currency.
    """

    name: str
    value: float
    company: float
    contribution: float


def company_factors(alive: Float, purchases: Float, spend: Float, value: Float) -> tuple[float, ...] | None:
    """The company's factors, whose product is its mean value; None where no customer has a value.

    Parameters
    ----------
    alive, purchases, spend, value
        probability_alive, expected_purchases, expected_spend and customer_lifetime_value, shape (n,).
        Customers without one of them are passed over.
    """
    known = np.isfinite(alive) & np.isfinite(purchases) & np.isfinite(spend) & np.isfinite(value)
    if not known.any():
        return None
    A, E, S, V = (column[known] for column in (alive, purchases, spend, value))
    totals = (float(A.size), float(A.sum()), float(E.sum()), float(E @ S), float(V.sum()))
    return tuple(_ratio(after, before) for before, after in pairwise(totals))


def explain(
    alive: float, purchases: float, spend: float, value: float, company: Sequence[float]
) -> list[Factor]:
    """A customer's factors, and what each adds against the company's mean.

    Examples
    --------
    >>> found = explain(0.5, 2.0, 10.0, 8.0, company=(0.8, 5.0, 10.0, 0.4))
    >>> [round(factor.contribution, 6) for factor in found]
    [-5.4, -2.6, 0.0, 0.0]
    >>> round(sum(factor.contribution for factor in found), 6)  # 8 against a mean of 16
    -8.0
    """
    own = (alive, _ratio(purchases, alive), spend, _ratio(value, purchases * spend))
    shares = _shapley(own, company)
    return [
        Factor(name=name, value=mine, company=theirs, contribution=share)
        for name, mine, theirs, share in zip(FACTORS, own, company, shares, strict=True)
    ]


def _shapley(own: Sequence[float], company: Sequence[float]) -> list[float]:
    """Each factor's mean addition to the product, over all orders in which they change hands."""
    n = len(own)
    shares = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        total = 0.0
        for size in range(n):
            weight = 1.0 / (n * math.comb(n - 1, size))
            for changed in combinations(others, size):
                rest = math.prod(own[j] if j in changed else company[j] for j in others)
                total += weight * rest * (own[i] - company[i])
        shares.append(total)
    return shares


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0
