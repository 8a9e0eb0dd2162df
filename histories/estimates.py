"""How far apart two estimates lie, in their errors."""

from __future__ import annotations

import math


def errors_apart(one: float, one_error: float, two: float, two_error: float) -> float:
    """Distance of two independent estimates of one thing, in standard errors.

    >>> errors_apart(5.0, 0.3, 6.0, 0.4)
    2.0
    """
    error = math.hypot(one_error, two_error)
    distance = abs(one - two)
    return distance / error if error else (math.inf if distance else 0.0)


def errors_outside(whole: float, whole_error: float, part: float, part_error: float) -> float:
    """How far an estimate lies outside of what a part of another can be, in standard errors; 0 inside.

    An effect that counts from a later day on misses what came before: it may be anything from nothing to the
    whole.

    >>> [errors_outside(6.0, 0.3, part, 0.4) for part in (2.0, 7.0, -1.0)]
    [0.0, 2.0, 2.5]
    """
    sign = math.copysign(1.0, whole)
    whole, part = sign * whole, sign * part
    if part > whole:
        return errors_apart(part, part_error, whole, whole_error)
    return errors_apart(part, part_error, 0.0, 0.0) if part < 0 else 0.0
