"""Figures as a reader wants to see them: currency, shares, ranges, axes.

Text has three significant figures and never a "k"; tables have one count of decimals per column, with the
unit in the header; only the labels of an axis are short.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

MINUS: Final = "\u2212"
NO_BREAK: Final = "\u00a0"
_SYMBOLS: Final = {"GBP": "£", "USD": "$", "EUR": "€"}


def symbol(currency: str | None) -> str:
    r"""What stands before an amount: a symbol, else the code and a space, else nothing.

    >>> symbol("GBP"), symbol("CHF"), symbol(None)
    ('£', 'CHF\xa0', '')
    """
    if not currency:
        return ""
    return _SYMBOLS.get(currency, currency + NO_BREAK)


def decimal(value: float, decimals: int) -> str:
    """A number with so many decimals, its own minus, and no zero that stands for something small.

    >>> decimal(-1234.56, 1), decimal(0.004, 1), decimal(-0.004, 1), decimal(0.0, 1)
    ('−1,234.6', '<0.1', '>−0.1', '0.0')
    """
    text = f"{abs(value):,.{decimals}f}"
    if value != 0 and float(text.replace(",", "")) == 0:
        least = f"{10**-decimals:.{decimals}f}"
        return f"<{least}" if value > 0 else f">{MINUS}{least}"
    return f"{MINUS}{text}" if value < 0 else text


def signed(text: str) -> str:
    """The same with a plus where it is above zero.

    >>> signed("9.5"), signed("−3.0"), signed("0.0"), signed("£9")
    ('+9.5', '−3.0', '0.0', '+£9')
    """
    nothing = not any(digit in text for digit in "123456789")
    return text if nothing or MINUS in text or text.startswith("<") else f"+{text}"


def money(value: float, currency: str | None) -> str:
    """An amount in a sentence: three significant figures, pence below a hundred, millions as "m".

    >>> money(67615.8, "GBP"), money(1360487, "GBP"), money(-9.531, "GBP"), money(0.0004, "EUR")
    ('£67,600', '£1.36m', '−£9.53', '<€0.01')
    """
    sign, size = (MINUS if value < 0 else ""), abs(value)
    before = symbol(currency)
    for scale, unit in ((1e9, "bn"), (1e6, "m")):
        if _significant(size) >= scale:
            return f"{sign}{before}{_plain(_significant(size) / scale)}{unit}"
    if size < 100:
        cents = "" if round(size, 2) == round(size) else f"{size:,.2f}"
        if size and not round(size, 2):
            return f"{'>' if sign else '<'}{sign}{before}0.01"
        return f"{sign}{before}{cents or round(size)}"
    return f"{sign}{before}{_significant(size):,.0f}"


def _significant(value: float) -> float:
    if value == 0:
        return 0.0
    return round(value, 2 - math.floor(math.log10(abs(value))))


def _plain(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def money_unit(largest: float, currency: str | None) -> tuple[float, str, int]:
    """How a column of amounts is shown: divisor, the unit's name in the header, decimals.

    >>> money_unit(150_000, "GBP"), money_unit(87, None)
    ((1000.0, '£ thousand', 1), (1.0, '', 2))
    """
    before = symbol(currency).strip()
    for scale, name in ((1e10, "billion"), (1e7, "million"), (1e4, "thousand")):
        if largest >= scale:
            divisor = 1e6 if name == "million" else 1e9 if name == "billion" else 1e3
            return divisor, f"{before} {name}".strip(), 1
    return 1.0, before, 0 if largest >= 1000 else 2


def percent(share: float, decimals: int = 0) -> str:
    """A share as a percentage, without a space.

    >>> percent(0.7592), percent(-0.5), percent(0.0111, 1), percent(0.002)
    ('76%', '−50%', '1.1%', '<1%')
    """
    return f"{decimal(share * 100, decimals)}%"


def points(difference: float, *, plus: bool = True) -> str:
    """A difference of shares, in percentage points.

    >>> points(0.0317), points(-0.013)
    ('+3.2', '−1.3')
    """
    text = decimal(difference * 100, 1)
    return signed(text) if plus else text


def count(value: float, noun: str, plural: str | None = None) -> str:
    """A count with its noun.

    >>> count(1, "customer"), count(2357, "customer")
    ('1 customer', '2,357 customers')
    """
    return f"{value:,.0f} {noun if round(value) == 1 else plural or noun + 's'}"


def money_ticks(
    ticks: Sequence[float], currency: str | None, *, plus: bool = False
) -> tuple[tuple[float, str], ...]:
    """Short labels of an axis of amounts, all in one unit.

    >>> money_ticks((0.0, 500_000.0, 1_000_000.0), "GBP")
    ((0.0, '0'), (500000.0, '£0.5m'), (1000000.0, '£1.0m'))
    >>> [label for _, label in money_ticks((-100_000.0, 0.0, 50_000.0), "GBP", plus=True)]
    ['−£100k', '0', '+£50k']
    """
    largest = max((abs(tick) for tick in ticks), default=0.0)
    scale, unit = next(((s, u) for s, u in ((1e9, "bn"), (1e6, "m"), (1e3, "k")) if largest >= s), (1.0, ""))
    smallest = min((abs(tick) for tick in ticks if tick), default=1.0) / scale
    decimals = next((n for n in range(3) if abs(round(smallest, n) - smallest) < 1e-9), 2)

    def label(tick: float) -> str:
        if tick == 0:
            return "0"
        sign = MINUS if tick < 0 else "+" if plus else ""
        return f"{sign}{symbol(currency)}{abs(tick) / scale:,.{decimals}f}{unit}"

    return tuple((tick, label(tick)) for tick in ticks)


def axis_number(value: float, *, plus: bool = False) -> str:
    """A short label of an axis without a unit.

    >>> axis_number(-4), axis_number(0.25, plus=True), axis_number(30000)
    ('−4', '+0.25', '30,000')
    """
    text = f"{abs(value):,.10g}"
    return "0" if value == 0 else f"{MINUS if value < 0 else '+' if plus else ''}{text}"


def nice_scale(
    values: Iterable[float | None], *, zero: bool = True, count: int = 4
) -> tuple[float, float, tuple[float, ...]]:
    """An axis that holds all values: its two ends and round ticks between them.

    >>> nice_scale([-100900, 51700])
    (-100900.0, 51700.0, (-100000.0, -50000.0, 0.0, 50000.0))
    >>> nice_scale([0, 1360487])
    (0.0, 1500000.0, (0.0, 500000.0, 1000000.0, 1500000.0))
    """
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if zero:
        known.append(0.0)
    low, high = min(known, default=0.0), max(known, default=1.0)
    if low == high:
        low, high = (low, low + 1.0) if low >= 0 else (low, 0.0)
    ticks = _ticks(low, high, count)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
    for end in (ticks[0] - step, ticks[-1] + step) if ticks else ():
        if low - end > 0 and low - end <= _ROOM * (high - low):
            low, ticks = end, (end, *ticks)
        elif end - high > 0 and end - high <= _ROOM * (high - low):
            high, ticks = end, (*ticks, end)
    return low, high, ticks


_ROOM: Final = 0.12
"""How far an axis may be longer than its values, so that it ends on a round label."""


def _ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(place * step, 12) + 0.0 for place in range(first, last + 1))


def short(value: float) -> str:
    """A number alone, with as many digits as its size deserves.

    >>> short(1234567.8), short(12.345), short(0.01234), short(-3)
    ('1,234,568', '12.3', '0.0123', '−3')
    """
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    text = f"{size:,.0f}" if size >= 1000 or size == int(size) else f"{size:.3g}"
    return f"{MINUS}{text}" if value < 0 else text
