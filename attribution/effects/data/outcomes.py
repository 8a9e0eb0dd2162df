"""Outcomes of customers after a date, and the same metrics before it.

=================  ====================================================================================
retention          contractual: not ended by the end of follow-up; else a purchase in the second half of it
repeat_purchase    at least one purchase in follow-up
purchases          number of purchases
spend, margin      currency
issues             problems raised: cases opened, or inbound care contacts
issue_cost         cost of the contacts that the customer began, currency
=================  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable

from attribution.effects.data.history import History
from histories.arrays import Float, Integer
from histories.errors import ConfigError, DataError, nearest


def _active_late(history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    """Whether there is a purchase in the second half of days first..last."""
    middle = first + (last - first + 1) // 2
    return (history.purchases.between(customers, middle, last) > 0).astype(float)


def _retention(history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    if history.contractual:
        return (history.ended[customers] > last).astype(float)
    return _active_late(history, customers, first, last)


def _repeat_purchase(history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    return (history.purchases.between(customers, first, last) > 0).astype(float)


def _purchases(history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    return history.purchases.between(customers, first, last)


def _spend(history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    return history.purchases.between(customers, first, last, "amount")


def _margin(history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    if not history.margin_known:
        raise DataError('outcome "margin" needs transactions.margin on every purchase; use "spend"')
    return history.purchases.between(customers, first, last, "margin")


def _issues(history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    return history.issues.between(customers, first, last)


def _issue_cost(history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    if not history.cost_known:
        raise DataError('outcome "issue_cost" needs touchpoints.cost; use "issues"')
    return history.issues.between(customers, first, last, "cost")


_Measure = Callable[[History, Integer, Integer, Integer], Float]

OUTCOMES: dict[str, _Measure] = {
    "retention": _retention,
    "repeat_purchase": _repeat_purchase,
    "purchases": _purchases,
    "spend": _spend,
    "margin": _margin,
    "issues": _issues,
    "issue_cost": _issue_cost,
}


def measure(outcome: str, history: History, customers: Integer, first: Integer, last: Integer) -> Float:
    """The outcome of each customer over days first..last, both included, shape (N,).

    Raises
    ------
    ConfigError
        When there is no such outcome.
    DataError
        When a column that it needs is missing.
    """
    if outcome not in OUTCOMES:
        raise ConfigError(f'no outcome "{outcome}" of customers; {nearest(outcome, OUTCOMES)}')
    return OUTCOMES[outcome](history, customers, first, last)


def measure_before(
    outcome: str, history: History, customers: Integer, first: Integer, last: Integer
) -> Float:
    """The same metric over days before the start; of retention its likeness, a purchase in the later half."""
    if outcome == "retention":
        return _active_late(history, customers, first, last)
    return measure(outcome, history, customers, first, last)
