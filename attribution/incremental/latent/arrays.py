"""Array types of the latent dropout model: one name per kind of array."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "FloatArray", "IntArray", "Stocks"]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
Stocks: TypeAlias = NDArray[np.float32]
BoolArray: TypeAlias = NDArray[np.bool_]
