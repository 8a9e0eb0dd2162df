"""How a customer's own acts arrive: the emissions beside each other, and which one is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from attribution.incremental.latent.arrays import FloatArray
from attribution.incremental.latent.design import LatentInputs
from attribution.incremental.latent.layout import EMISSIONS, LEVELS, Emission
from attribution.incremental.latent.search import Solution, search_on_nodes, search_poisson

__all__ = ["EmissionComparison", "compare_emissions"]

SUBSET = 4_000
"""Customers on which the emissions are compared."""
BUDGET = 60
"""Evaluations for each emission in the comparison: a feature that is not there has no sharp optimum."""
LOOSE = 0.1
"""Log-likelihood that may be left to gain in the comparison, whose threshold is some ten times as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmissionComparison:
    """The emissions on the same customers, each at its own optimum."""

    n: int
    """Customers compared."""
    loglik: Mapping[Emission, float]
    """Log-likelihood of each emission compared: all, or up to the one that was asked for."""
    survivors: Mapping[Emission, float]
    """Expected customers still there, of each emission compared."""
    chosen: Emission
    """The emission used."""

    @property
    def survivor_range(self) -> float:
        """Largest difference of survivors from the chosen emission's, as a share of it."""
        chosen = self.survivors[self.chosen]
        return max(abs(value - chosen) for value in self.survivors.values()) / max(chosen, 1e-9)


def compare_emissions(
    inputs: LatentInputs,
    weights: FloatArray,
    poisson: Solution,
    *,
    emission: Emission | Literal["best"],
    effect_sd: float,
) -> tuple[EmissionComparison, FloatArray]:
    """The emissions on a subset of customers, and the parameters of the chosen one there.

    "best" is the highest log-likelihood less half the logarithm of the number of customers for each parameter
    beyond the Poisson emission (Schwarz 1978).
    """
    few = slice(0, SUBSET)
    sample, w = inputs.take(few), weights[few]
    found: dict[Emission, Solution] = {
        "poisson": search_poisson(sample, w, effect_sd=effect_sd, start=poisson.theta, tolerance=LOOSE)
    }
    before = found["poisson"]
    steps: tuple[tuple[Emission, int], ...] = (("coupled", 1), ("episodes", 2))
    wanted = EMISSIONS if emission == "best" else EMISSIONS[: EMISSIONS.index(emission) + 1]
    for richer, rounds in steps:
        if richer not in wanted:
            continue
        before = found[richer] = search_on_nodes(
            sample,
            w,
            emission=richer,
            start=before.theta,
            lives=before.lives,
            effect_sd=effect_sd,
            rounds=rounds,
            tolerance=LOOSE,
            max_evaluations=BUDGET,
        )
    charge = {name: 0.5 * len(LEVELS[name]) * np.log(sample.n_customers) for name in wanted}
    best = max(wanted, key=lambda name: found[name].loglik - charge[name])
    chosen = best if emission == "best" else emission
    comparison = EmissionComparison(
        n=sample.n_customers,
        loglik={name: found[name].loglik for name in wanted},
        survivors={name: float(found[name].lives.survival.sum()) for name in wanted},
        chosen=chosen,
    )
    return comparison, found[chosen].theta
