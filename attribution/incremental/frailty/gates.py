"""What speaks against a fit of the shared-frailty model, in words."""

from __future__ import annotations

import numpy as np

from attribution.incremental.frailty.optimise import Optimum, Workspace

__all__ = ["frailty_problems"]

MAX_LOADING = 3.0
MAX_FRAILTY = 1.5
"""A frailty variance above this is a Heywood case: one channel has become a factor of its own."""
MAX_DISAGREEMENT = 0.5
"""Standard errors by which two starts may differ."""


def frailty_problems(
    optimum: Optimum[Workspace], channels: tuple[str, ...], *, disagreement: float | None
) -> tuple[str, ...]:
    """Reasons why credits from this optimum are not supported; empty when there are none."""
    found: list[str] = []
    if not optimum.converged:
        found.append(f"the satisfaction model had not converged after {optimum.iterations} iterations")
    parameters = optimum.parameters
    names = ("leaving", "spend", *channels, "problems")
    largest = np.abs(parameters.loadings).max(axis=1)
    found += [
        f"the loading of {name} on satisfaction is {size:.1f}, above {MAX_LOADING:g}"
        for name, size in zip(names, largest, strict=True)
        if size > MAX_LOADING
    ]
    variances = np.exp(parameters.log_variances)
    if parameters.gamma_levels:  # levels of purchases are as far apart as they are
        variances = variances[:-1]
    found += [
        f"the frailty variance of {name} is {variance:.2f}, above {MAX_FRAILTY:g}"
        for name, variance in zip((*channels, "spend"), variances, strict=False)
        if variance > MAX_FRAILTY
    ]
    if disagreement is not None and disagreement > MAX_DISAGREEMENT:
        found.append(f"two starts of the satisfaction model differ by {disagreement:.1f} standard errors")
    return tuple(found)
