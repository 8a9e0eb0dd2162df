"""Chances of leaving within a month: at any time, and after each purchase where customers leave after one.

With p the chance after a purchase (BG/NBD has it alone), q that of leaving at any time, and
n purchases,

    stays                       (1 - p)^n (1 - q)
    leaves after the last one   p (1 - p)^(n-1)
    leaves after an act         q (1 - p)^n

so that they add up whatever p is: a chance of several purchases within one month would otherwise pay for
customers who leave for certain. Where customers leave at any time alone, n is 0.
"""

from __future__ import annotations

import numpy as np

from histories.compiled import compiled

UNKNOWN, AFTER_ACT, AFTER_PURCHASE = -1.0, 0.0, 1.0
"""What the last sign of life was."""
TINY = 1e-300


@compiled
def _logistic(z: float) -> float:
    value: float = 1.0 / (1.0 + np.exp(-z))
    return value


@compiled
def stays(odds: float, after: float, bought: float) -> float:
    """Chance of staying through a month.

    Parameters
    ----------
    odds
        Log-odds of leaving after a purchase; in a month without one, of leaving at any time.
    after
        How much higher they are after a purchase.
    bought
        Purchases n.
    """
    if bought == 0.0:
        return 1.0 - _logistic(odds)
    value: float = (1.0 - _logistic(odds)) ** bought * (1.0 - _logistic(odds - after))
    return value


@compiled
def slopes_of_staying(odds: float, after: float, bought: float) -> tuple[float, float]:
    """Slopes of its log by all log-odds, and by those of leaving at any time in a month with purchases."""
    if bought == 0.0:
        return -_logistic(odds), 0.0
    at_any_time = _logistic(odds - after)
    return -bought * _logistic(odds) - at_any_time, -at_any_time


@compiled
def leaves(odds: float, shift: float, after: float, bought: float, sign: float) -> float:
    """Chance of leaving in the month of the last sign; `shift` is added to the log-odds of who does."""
    if bought == 0.0:
        return _logistic(odds + shift)
    if sign == UNKNOWN:
        return 1.0 - stays(odds + shift, after, bought)
    if sign == AFTER_PURCHASE:
        value: float = _logistic(odds + shift) * (1.0 - _logistic(odds)) ** (bought - 1.0)
        return value
    other: float = _logistic(odds - after + shift) * (1.0 - _logistic(odds)) ** bought
    return other


@compiled
def slopes_of_leaving(
    odds: float, shift: float, after: float, bought: float, sign: float
) -> tuple[float, float, float]:
    """Slopes of its log by all log-odds, by those of leaving at any time as above, and by the shift."""
    if bought == 0.0:
        slope = 1.0 - _logistic(odds + shift)
        return slope, 0.0, slope
    if sign == UNKNOWN:
        staying = stays(odds + shift, after, bought)
        by_odds, at_any_time = slopes_of_staying(odds + shift, after, bought)
        factor = -staying / max(1.0 - staying, TINY)
        return factor * by_odds, factor * at_any_time, factor * by_odds
    if sign == AFTER_PURCHASE:
        slope = 1.0 - _logistic(odds + shift)
        return slope - (bought - 1.0) * _logistic(odds), 0.0, slope
    slope = 1.0 - _logistic(odds - after + shift)
    return slope - bought * _logistic(odds), slope, slope
