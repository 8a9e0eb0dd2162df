"""Whether claimed errors are the errors that are made."""

from collections.abc import Sequence

import numpy as np


def claimed_over_seen(estimates: Sequence[float], errors: Sequence[float]) -> float:
    """Root mean square of the claimed standard errors over the seen deviation of the estimates.

    1 when intervals are as wide as they should be. With n samples it is seen to within 1 / sqrt(2 n).
    """
    return float(np.sqrt(np.mean(np.square(errors))) / np.std(estimates, ddof=1))
