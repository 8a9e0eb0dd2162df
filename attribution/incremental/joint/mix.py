"""How customers spread their acts over channels when nothing unseen moves them: the rival of satisfaction.

The model of life alone reads only the sum of a customer's own acts. For its likelihood to compare with that
of the joint model it needs one for the split of the sum: each customer has a mix of their own for good
(Dirichlet), and the company's mix may be another in each period.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import gammaln, psi

__all__ = ["mix_log_likelihood"]

Array = NDArray[np.float64]

LOG_BOUNDS = (-6.0, 12.0)
"""Of the logarithm of a Dirichlet parameter: one act tells all, or none ever does."""


def mix_log_likelihood(acts: Array) -> tuple[float, int]:
    """Log-likelihood of the split of own acts, without multinomial coefficients, and its parameters' number.

    A mix for each period enters when its gain, that of the company's counts over a mix that stays, is worth
    Schwarz's charge for its parameters.

    Parameters
    ----------
    acts
        Acts by customer, period and channel, shape (N, P, C).
    """
    used = acts[:, :, acts.sum(axis=(0, 1)) > 0]
    channels = used.shape[2]
    if channels < 2:
        return 0.0, 0
    by_period = used.sum(axis=0)
    by_period = by_period[by_period.sum(axis=1) > 0]
    gain = _multinomial(by_period) - _multinomial(by_period.sum(axis=0, keepdims=True))
    moving = (len(by_period) - 1) * (channels - 1)
    own = _dirichlet_multinomial(used.sum(axis=1))
    if gain < 0.5 * moving * np.log(len(acts)):
        return own, channels
    return own + gain, channels + moving


def _multinomial(counts: Array) -> float:
    """Largest log-likelihood of rows of counts, each with shares of its own."""
    shares = counts / counts.sum(axis=1, keepdims=True)
    return float((counts * np.log(np.where(counts > 0, shares, 1.0))).sum())


def _dirichlet_multinomial(counts: Array) -> float:
    """Largest log-likelihood of customers' counts with shares drawn from one Dirichlet distribution."""
    totals = counts.sum(axis=1)

    def negative(log_shape: Array) -> tuple[float, Array]:
        shape = np.exp(log_shape)
        whole = shape.sum()
        value = (gammaln(whole) - gammaln(whole + totals)).sum() + (
            gammaln(shape + counts) - gammaln(shape)
        ).sum()
        slope = (psi(whole) - psi(whole + totals)).sum() + (psi(shape + counts) - psi(shape)).sum(axis=0)
        return -float(value), -slope * shape

    start = np.log(4.0 * counts.mean(axis=0) / counts.mean(axis=0).sum() * counts.shape[1])
    found = optimize.minimize(
        negative, start, jac=True, method="L-BFGS-B", bounds=[LOG_BOUNDS] * counts.shape[1]
    )
    return -float(found.fun)
