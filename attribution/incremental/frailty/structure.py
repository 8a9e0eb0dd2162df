"""Which latents the data call for: drifting or constant satisfaction, one factor or two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData
from attribution.incremental.frailty.influence import effects_apart
from attribution.incremental.frailty.optimise import Optimum, maximise
from attribution.incremental.frailty.parameters import MAX_PERSISTENCE, Parameters, free_parameters
from attribution.incremental.frailty.posterior import Posterior
from attribution.incremental.frailty.start import add_second_factor, fit_without_factors, start_with_factor

__all__ = ["SAME_OPTIMUM", "WEAK_START", "Solution", "free_of", "search", "second_start"]

Array = NDArray[np.float64]

SAME_OPTIMUM = 1.0
"""Log-likelihood within which two climbs have found the same optimum."""
WEAK_START = 0.4
"""Factor on the loadings in the second start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """An optimum and the structure that it belongs to."""

    optimum: Optimum[Posterior]
    base: Optimum[Posterior] | None
    """The fit without factors from which the climb started."""
    dynamic: bool
    second_factor: bool


def free_of(data: FrailtyData, *, dynamic: bool, second_factor: bool) -> NDArray[np.bool_]:
    """Parameters that may move in this structure."""
    return free_parameters(data.shape, data.rows.use, dynamic=dynamic, second_factor=second_factor)


def search(
    data: FrailtyData,
    weights: Array,
    *,
    dynamic: bool | None,
    second_factor: bool | None,
    max_iterations: int,
) -> Solution:
    """Fit one factor; hold it still, and add a second, where asked for or where the data say so."""
    base = fit_without_factors(data, weights)
    drifting = dynamic is not False
    one = _climb(
        data,
        start_with_factor(data, base),
        None,
        weights,
        drifting,
        second=False,
        max_iterations=max_iterations,
        until=_stands_still if dynamic is None else None,
    )
    if dynamic is None and _stands_still(one.parameters):
        drifting = False
        one = _climb(data, one.parameters, None, weights, False, second=False, max_iterations=max_iterations)
    solution = Solution(optimum=one, base=base, dynamic=drifting, second_factor=False)
    if second_factor is False:
        return solution
    price = 0.5 * data.rows.use.sum() * np.log(data.n_lives)
    two = _climb(
        data,
        add_second_factor(data, one),
        one.posterior.copy(),
        weights,
        drifting,
        second=True,
        max_iterations=max_iterations,
        hold_shape=True,
        target=-np.inf if second_factor else one.bound + price,
    )
    if second_factor or two.bound > one.bound + price:
        final = _climb(
            data, two.parameters, two.posterior, weights, drifting, second=True, max_iterations=max_iterations
        )
        return Solution(optimum=final, base=base, dynamic=drifting, second_factor=True)
    return solution


def second_start(
    data: FrailtyData, weights: Array, first: Solution, *, max_iterations: int
) -> tuple[Solution, float]:
    """Climb again from weaker loadings; return the better optimum and how far the two are apart.

    The distance is the largest difference between stock effects, in standard errors, and 0 as soon as the
    second climb comes within `SAME_OPTIMUM` of the first one's bound.
    """
    base = first.base or fit_without_factors(data, weights)
    start = start_with_factor(data, base, scale=WEAK_START)
    if first.second_factor:
        start = add_second_factor(
            data,
            Optimum(parameters=start, posterior=base.posterior, bound=0.0, iterations=0, converged=False),
        )
    again = _climb(
        data,
        start,
        None,
        weights,
        first.dynamic,
        second=first.second_factor,
        max_iterations=max_iterations,
        shape_of_spend=first.optimum.parameters.shape_of_spend,
        enough=first.optimum.bound - SAME_OPTIMUM,
    )
    if not again.converged and again.bound >= first.optimum.bound - SAME_OPTIMUM:
        return first, 0.0
    free = free_of(data, dynamic=first.dynamic, second_factor=first.second_factor)
    distance = effects_apart(data, first.optimum, again.parameters, free, weights)
    better = again.bound > first.optimum.bound + SAME_OPTIMUM
    best = again if better else first.optimum
    return Solution(
        optimum=best, base=base, dynamic=first.dynamic, second_factor=first.second_factor
    ), distance


def _stands_still(parameters: Parameters) -> bool:
    """Whether the persistence has reached its bound."""
    return bool(parameters.rho >= MAX_PERSISTENCE - 1e-9)


def _climb(
    data: FrailtyData,
    start: Parameters,
    posterior: Posterior | None,
    weights: Array,
    dynamic: bool,
    *,
    second: bool,
    max_iterations: int,
    hold_shape: bool = False,
    shape_of_spend: float | None = None,
    target: float = -np.inf,
    enough: float = np.inf,
    until: Callable[[Parameters], bool] | None = None,
) -> Optimum[Posterior]:
    if shape_of_spend is not None:
        start, hold_shape = replace(start, shape_of_spend=shape_of_spend), True
    return maximise(
        data,
        start,
        posterior or Posterior.blank(data),
        free_of(data, dynamic=dynamic, second_factor=second),
        dynamic=dynamic,
        weights=weights,
        max_iterations=max_iterations,
        hold_shape=hold_shape,
        warm_up=4 if posterior is None else 1,
        target=target,
        enough=enough,
        until=until,
    )
