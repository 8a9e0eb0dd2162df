"""Do customers leave where a term ends? A contract of a year can be left once a year.

Who talks to customers before their contracts end talks to those who may leave: months before the end of a
term then hold both the calls and the leaving, and the call seems to drive customers away. It is told by whole
months since arrival: of those who left, how many did so at a multiple of three, six, twelve or 24 months,
beyond the few that chance leaves there. The panel then knows how far each customer's month is from the end of
his term, so that customers are compared with others at the same distance from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from histories.arrays import Float, Integer, Moments
from histories.periods import DAYS_PER_MONTH
from histories.renewals import same_day, spans_of_leavers

TERMS = (24, 12, 6, 3)
"""Months of a term; longer ones come first, for what ends after a year ends after six months, too."""
SLACK = 16
"""Days that the end may be off the anniversary: notices count to the end of a month."""
MOST = 0.4
"""Share of those who left, beyond what chance leaves there, that must have left at the end of a term."""
ALIKE = 0.1
"""How far behind the best a longer term may be and be taken: whoever leaves after a year leaves after two
times six months, too, and a few leave at any time."""
FEWEST = 50
"""Customers who left below which nothing is said."""
BEFORE = 3
"""Months before the one in which a term ends that are told apart from all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Contracts that can be left after so many months, and again every so many."""

    months: int
    """Length of a term."""
    offset: int = 0
    """Days after the anniversary at which most leave."""
    share: float = 1.0
    """Share of those who left that left there."""

    @property
    def names(self) -> tuple[str, ...]:
        """One for each distance that is told apart."""
        told_apart = min(BEFORE + 1, self.months - 1)
        ends = (
            "term ends",
            "term ends next month",
            *(f"term ends in {k} months" for k in range(2, BEFORE + 1)),
        )
        return ends[:told_apart]

    @property
    def words(self) -> str:
        """What was found, in a sentence."""
        return (
            f"customers leave where a term of {self.months} months ends ({self.share:.0%} of those who "
            "left): they are compared at the same distance from it"
        )

    def columns(self, arrived: Moments, months: Moments) -> Float:
        """Whether a term of the customer ends in the month, in the next, and so on, shape (N, P, K).

        Parameters
        ----------
        arrived
            First days of N customers, NaT where unknown (no term of theirs ends), datetime64[D].
        months
            P months, datetime64[M].

        Examples
        --------
        >>> arrived = np.array(["2025-03-10"], dtype="datetime64[D]")
        >>> months = np.arange("2026-01", "2026-05", dtype="datetime64[M]")
        >>> Term(months=12).columns(arrived, months)[0, :, :2].tolist()
        [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
        """
        known = ~np.isnat(arrived)
        first = np.where(known, arrived, np.datetime64(0, "D")) + self.offset
        since = months.astype(np.int64) - first.astype("datetime64[M]").astype(np.int64)[:, None]
        left = np.where(known[:, None] & (since > 0), -since % self.months, self.months)
        return np.asarray(left[:, :, None] == np.arange(len(self.names)), dtype=np.float64)


def find_term(customers: pl.LazyFrame | None) -> Term | None:
    """The term at whose end customers leave; None where they leave in any month.

    Parameters
    ----------
    customers
        `acquired_at` and `ended_at`, where they are known.
    """
    first, left = spans_of_leavers(customers)
    if len(first) < FEWEST:
        return None
    found: list[tuple[float, Term]] = []
    for months in TERMS:
        off = _days_off(first, left, months)
        near = np.abs(off) <= SLACK
        chance = (2 * SLACK + 1) / (months * DAYS_PER_MONTH)
        beyond = float((near.mean() - chance) / (1.0 - chance))
        if beyond >= MOST:
            offset = round(float(np.median(off[near])))
            found.append((beyond, Term(months=months, offset=offset, share=float(near.mean()))))
    enough = max((beyond for beyond, _ in found), default=0.0) - ALIKE
    return next((term for beyond, term in found if beyond >= enough), None)


def _days_off(first: Moments, left: Moments, months: int) -> Integer:
    """Days from the nearest end of a term: not from arrival, which is none."""
    lived = (left - first).astype(np.int64)
    whole = np.maximum(np.rint(lived / (months * DAYS_PER_MONTH)), 1.0).astype(np.int64)
    arrived: Moments = first.astype("datetime64[M]")
    ends: Moments = arrived + (whole * months).astype("timedelta64[M]")
    days: Integer = left.astype("datetime64[D]").astype(np.int64)
    return np.asarray(days - same_day(first, ends), dtype=np.int64)
