"""The lives that a customer may have had: one for each month in which the customer may have left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["LEAST_CHANCE", "PossibleLives", "possible_lives"]

Array = NDArray[np.float64]
Integer = NDArray[np.int64]

LEAST_CHANCE = 3e-3
"""Months less likely than this, by the model of life alone, are left out: less than 1 % of all lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PossibleLives:
    """L possible lives of N customers, those of one customer next to each other, the shortest first."""

    who: Integer
    """Position of the customer, shape (L,)."""
    month: Integer
    """Period at whose end this life ends, P for one that goes on, shape (L,)."""
    begin: Integer
    """Where each customer's lives begin, shape (N,)."""

    @property
    def n_customers(self) -> int:
        """Number of customers N."""
        return int(self.begin.shape[0])

    def total(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Sum over each customer's lives, shape (N, ...) for values of shape (L, ...)."""
        result: NDArray[np.floating] = np.add.reduceat(values, self.begin, axis=0)
        return result

    def weighted(self, chance: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Sum of chance times value over each customer's lives, shape (N, p) for values of shape (L, p)."""
        ends = np.append(self.begin, len(self.who))
        weights = sparse.csr_array(
            (chance, np.arange(len(self.who)), ends), shape=(self.n_customers, len(self.who))
        )
        result: NDArray[np.floating] = weights @ values
        return result

    def chances(self, loglik: Array) -> tuple[Array, Array]:
        """Probability of each life, shape (L,), and log-likelihood of each customer, shape (N,).

        `loglik` is the joint log-likelihood of a life and what was seen, shape (L,).
        """
        top = np.maximum.reduceat(loglik, self.begin)
        scaled = np.exp(loglik - top[self.who])
        sums = self.total(scaled)
        return scaled / sums[self.who], top + np.log(sums)


def possible_lives(dropout: Array, last: Integer, *, least: float = LEAST_CHANCE) -> PossibleLives:
    """The lives worth looking at.

    Parameters
    ----------
    dropout
        Rough probability of leaving at the end of each period, last column of going on, shape (N, P + 1).
    last
        Period of each customer's last sign of life, shape (N,): no life ends before.
    least
        Probability below which a life is left out; the likeliest is always kept.
    """
    months = np.arange(dropout.shape[1])
    allowed = np.where(months >= last[:, None], dropout, -1.0)
    likeliest = months == allowed.argmax(axis=1)[:, None]
    who, month = np.nonzero((allowed >= least) | likeliest)
    return PossibleLives(who=who, month=month, begin=np.searchsorted(who, np.arange(len(dropout))))
