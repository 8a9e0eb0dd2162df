"""What nobody measured and somebody takes for granted: a value with its range, owner and end.

Assumptions that figures of care use by name:

=========================  ==========================================================================
gross_margin               share of revenue that is margin, where [value] does not say
cases_per_month            answered cases of known customers, for a plan
spend_per_case             spend that one handled case brings, in currency, for a plan
issues_per_case            further contacts that an answer makes, per case
cost_per_contact           currency, where the costs do not tell it
cost_per_hour              currency, of an hour at work
handling_seconds           work on a case, where the desk does not write it down
cost_per_month             currency, of care, for a plan
cost_at_start              currency, paid before the first month, for a plan
plan_months                length of the plan; 12 without it
cost_per_assisted_contact  currency, of a contact that self-service or social care takes the place of
recontact_share            share of those who come back all the same
contacts_avoided_per_month  assisted contacts fewer, for a plan
would_have_come_anyway     share of referred customers who would have come without it
would_have_been_answered_anyway  of what customers answered each other, the desk's share all the same
=========================  ==========================================================================
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from histories.arrays import Float

KNOWN: Final = (
    "gross_margin",
    "cases_per_month",
    "spend_per_case",
    "issues_per_case",
    "cost_per_contact",
    "cost_per_hour",
    "handling_seconds",
    "cost_per_month",
    "cost_at_start",
    "plan_months",
    "cost_per_assisted_contact",
    "recontact_share",
    "contacts_avoided_per_month",
    "would_have_come_anyway",
    "would_have_been_answered_anyway",
)
SHARES: Final = (
    "gross_margin", "recontact_share", "would_have_come_anyway", "would_have_been_answered_anyway"
)  # fmt: skip
"""Those that lie between 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """One of them; `low` and `high` are its value where nobody gave a range."""

    name: str
    value: float
    low: float
    high: float
    expires: dt.date | None = None

    def draws(self, uniform: Float) -> Float:
        """Triangular draws from uniform ones, from low over value to high, shape (n,).

        >>> once = Assumption(name="margin", value=0.4, low=0.2, high=0.6)
        >>> once.draws(np.array([0.0, 0.5, 1.0])).round(2).tolist()
        [0.2, 0.4, 0.6]
        """
        width = self.high - self.low
        if width <= 0:
            return np.full(uniform.shape, self.value)
        mode = (self.value - self.low) / width
        rising = self.low + np.sqrt(uniform * mode) * width
        falling = self.high - np.sqrt((1 - uniform) * (1 - mode)) * width
        return np.where(uniform < mode, rising, falling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Assumptions by name, as they stood on a day."""

    by_name: Mapping[str, Assumption]
    as_of: dt.date

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], as_of: dt.date) -> Assumptions:
        """From rows of the assumptions table, or of a manifest."""
        return cls(by_name={row["name"]: _assumption(row) for row in rows}, as_of=as_of)

    def __contains__(self, name: object) -> bool:
        return name in self.by_name

    def __iter__(self) -> Iterator[Assumption]:
        return iter(self.by_name.values())

    def get(self, name: str) -> Assumption | None:
        """The assumption, or None."""
        return self.by_name.get(name)

    def value(self, name: str) -> float | None:
        """Its value, or None."""
        found = self.by_name.get(name)
        return None if found is None else found.value

    def expired(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the names that had expired."""
        found = (self.by_name.get(name) for name in names)
        return tuple(
            one.name
            for one in found
            if one is not None and one.expires is not None and one.expires < self.as_of
        )


def _assumption(row: Mapping[str, Any]) -> Assumption:
    value, low, high, expires = (row.get(name) for name in ("value", "low", "high", "expires"))
    assert value is not None
    return Assumption(
        name=str(row["name"]),
        value=float(value),
        low=float(value if low is None else low),
        high=float(value if high is None else high),
        expires=dt.date.fromisoformat(expires) if isinstance(expires, str) else expires,
    )
