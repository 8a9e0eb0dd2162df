"""Sums of weights by a whole-number key."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["sum_by"]


def sum_by(key: NDArray[np.integer], weight: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Summed weight of each key from 0 to size - 1, shape (size,).

    >>> sum_by(np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]), 4)
    array([1., 0., 5., 0.])
    """
    return cast("NDArray[np.float64]", np.bincount(key, weights=weight, minlength=size))
