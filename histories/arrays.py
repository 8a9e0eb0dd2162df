"""The array types of the house: one name for each kind of number, whatever the shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Single = NDArray[np.float32]
Real = NDArray[np.floating]
"""Of either precision."""
Integer = NDArray[np.int64]
Whole = NDArray[np.integer]
"""Of any width."""
Flags = NDArray[np.bool_]
Labels = NDArray[np.str_]
Moments = NDArray[np.datetime64]
