"""Figures as a reader wants to see them: short, with their unit and interval."""

from __future__ import annotations

import math

__all__ = ["between", "count", "money", "number", "percent"]


def number(value: float) -> str:
    """A number with as many digits as its size deserves.

    >>> number(1234567.8), number(12.345), number(0.01234), number(3)
    ('1,234,568', '12.3', '0.0123', '3')
    """
    if not math.isfinite(value):
        return "–"
    if isinstance(value, int) or abs(value) >= 1000 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1000 and abs(value) >= 1e-4 else f"{value:.1e}"


def money(value: float, currency: str) -> str:
    """An amount in thousands or millions where it is large.

    >>> money(1234567, "GBP"), money(-53210, "GBP"), money(12.5, "GBP")
    ('GBP 1.23 m', '−GBP 53.2 k', 'GBP 12.50')
    """
    sign, size = ("−" if value < 0 else ""), abs(value)
    if not math.isfinite(value):
        return "–"
    for scale, unit in ((1e9, " bn"), (1e6, " m"), (1e4, " k")):
        if size >= scale:
            shown = size / (1e3 if unit == " k" else scale)
            return f"{sign}{currency} {shown:.3g}{unit}".replace("  ", " ")
    return f"{sign}{currency} {size:,.2f}" if size < 1000 else f"{sign}{currency} {size:,.0f}"


def percent(share: float, *, digits: int = 1) -> str:
    """A share as a percentage.

    >>> percent(0.0609), percent(-0.5, digits=0)
    ('6.1 %', '−50 %')
    """
    if not math.isfinite(share):
        return "–"
    return f"{'−' if share < 0 else ''}{abs(share) * 100:.{digits}f} %"


def count(value: float, noun: str, plural: str | None = None) -> str:
    """A count with its noun.

    >>> count(1, "customer"), count(2357, "customer")
    ('1 customer', '2,357 customers')
    """
    return f"{value:,.0f} {noun if round(value) == 1 else plural or noun + 's'}"


def between(low: str, high: str, *, level: float = 0.95) -> str:
    """An interval in words.

    >>> between("5.5 %", "6.6 %")
    '95 % interval 5.5 % to 6.6 %'
    """
    return f"{level * 100:.0f} % interval {low} to {high}"
