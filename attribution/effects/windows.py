"""Sums over windows of days before and after a date, for many customers at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from histories.arrays import Float, Integer

_SPAN = 1 << 22
"""Days that fit beside a customer's number in one sorted key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events of many customers, sorted by customer and day, with running sums.

    Attributes
    ----------
    keys : shape (E,)
        Customer number x 2^22 + day.
    days : shape (E,)
        Days since 1970-01-01.
    sums
        Name to running sums, shape (E + 1,); `n` counts events.
    """

    keys: Integer
    days: Integer
    sums: Mapping[str, Float]

    def between(self, customers: Integer, first: Integer, last: Integer, what: str = "n") -> Float:
        """Sum of `what` over days first..last, both included, for each customer, shape (N,)."""
        low = np.searchsorted(self.keys, customers * _SPAN + first, side="left")
        high = np.searchsorted(self.keys, customers * _SPAN + last, side="right")
        totals = self.sums[what]
        return np.asarray(totals[np.maximum(high, low)] - totals[low], dtype=np.float64)

    def last_before(self, customers: Integer, day: Integer) -> Integer:
        """Day of each customer's last event strictly before `day`; -1 without one."""
        position = np.searchsorted(self.keys, customers * _SPAN + day, side="left") - 1
        found = np.maximum(position, 0)
        same = (position >= 0) & (self.keys[found] // _SPAN == customers) if len(self.keys) else position >= 0
        return np.asarray(np.where(same, self.days[found] if len(self.days) else -1, -1))

    def first_from(self, customers: Integer, day: Integer) -> Integer:
        """Day of each customer's first event on or after `day`; a day beyond all data without one."""
        position = np.searchsorted(self.keys, customers * _SPAN + day, side="left")
        found = np.minimum(position, max(len(self.keys) - 1, 0))
        never = np.full(len(customers), _SPAN - 1)
        if not len(self.keys):
            return never
        same = (position < len(self.keys)) & (self.keys[found] // _SPAN == customers)
        return np.asarray(np.where(same, self.days[found], never))


def build_events(customers: Integer, days: Integer, values: Mapping[str, Float] | None = None) -> Events:
    """Events from unsorted arrays of equal length; `values` are summed beside the count."""
    keys = customers * _SPAN + days
    order = np.argsort(keys, kind="stable")
    columns = {"n": np.ones(len(keys)), **(values or {})}
    sums = {name: np.concatenate([[0.0], np.cumsum(column[order])]) for name, column in columns.items()}
    return Events(keys=keys[order], days=days[order], sums=sums)
