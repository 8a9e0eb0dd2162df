"""Which settings of the chain a company calls for: each is climbed, and Schwarz's charge decides.

A structure costs half a logarithm of the number of customers for each parameter that moves (Schwarz 1978).
The search runs on some of the customers; structures within reach of the best are climbed on all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.climb import Optimum, climb
from attribution.incremental.chain.design import ChainInputs
from attribution.incremental.chain.likelihood import Likelihood
from attribution.incremental.chain.start import (
    carried_over,
    common_axis,
    crude_rates,
    quieter,
    residual_axis,
)
from attribution.incremental.chain.states import Structure

__all__ = ["REACH", "Candidate", "carried", "climb_to", "compare"]

Array = NDArray[np.float64]

SILENT_NODES, RECORDED_NODES = 7, 9
FREE_NODES = 9
REACH = 5.0
"""Log-likelihood less charge by which a rival may be behind and stay in the range."""
FIRST_STEPS = 15
"""Steps from each start before the best goes on."""
HOPELESS = 20.0
"""Log-likelihood less charge by which a first climb may be behind and still go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A structure at its optimum."""

    problem: Likelihood
    optimum: Optimum

    @property
    def structure(self) -> Structure:
        """Its settings."""
        return self.problem.structure

    @property
    def score(self) -> float:
        """Log-likelihood less Schwarz's charge."""
        free = self.problem.layout.free(self.problem.inputs, self.structure)
        charge = 0.5 * float(free.sum()) * float(np.log(self.problem.inputs.n_customers))
        return self.optimum.loglik - charge


def climb_to(
    inputs: ChainInputs,
    weights: Array,
    structure: Structure,
    start: Callable[[Likelihood], Array],
    *,
    steps: int = 25,
    more: int = 60,
) -> Candidate:
    """The optimum of a structure from one start."""
    problem = Likelihood.of(inputs, structure)
    free = problem.layout.free(inputs, structure)
    return Candidate(
        problem=problem, optimum=climb(problem, start(problem), free, weights, steps=steps, more=more)
    )


def compare(inputs: ChainInputs, weights: Array, *, only: Structure | None = None) -> list[Candidate]:
    """Every structure that the inputs may call for at its optimum, the best first; or `only` one."""
    if only is not None:
        return [_climb_only(inputs, weights, only)]
    recorded = not bool((inputs.stays & (inputs.low <= inputs.high)).any())
    found: list[Candidate] = []
    by_level: list[list[Candidate]] = []
    for shared in _level_forms(inputs):
        alone = climb_to(
            inputs, weights, Structure(shared=shared), lambda problem: crude_rates(problem, weights)
        )
        lasting = _satisfaction(inputs, weights, alone, RECORDED_NODES if recorded else SILENT_NODES)
        by_level.append([alone, lasting])
        found += [alone, lasting]
    alone, lasting = max(by_level, key=lambda pair: max(candidate.score for candidate in pair))
    drifting = climb_to(inputs, weights, replace(lasting.structure, drift=True), carried(lasting))
    found.append(drifting)
    if recorded:
        free = replace(lasting.structure, free_masses=True, nodes=FREE_NODES)
        found.append(climb_to(inputs, weights, free, carried(lasting)))
    else:
        frail = replace(lasting.structure, leaving_only=True)
        found.append(climb_to(inputs, weights, frail, _frail(alone)))
        quiet = replace(alone.structure, quiet=True)
        spells = climb_to(inputs, weights, quiet, _quiet(alone))
        found.append(spells)
        best = max(found, key=lambda candidate: candidate.score)
        if spells.score > alone.score and best is not spells and best is not alone:
            both = replace(best.structure, quiet=True)
            found.append(climb_to(inputs, weights, both, _quiet(best)))
    return sorted(found, key=lambda candidate: -candidate.score)


def _climb_only(inputs: ChainInputs, weights: Array, structure: Structure) -> Candidate:
    """One structure from scratch, by way of simpler ones."""
    plain = Structure(shared=structure.shared)
    found = climb_to(inputs, weights, plain, lambda problem: crude_rates(problem, weights))
    if structure.leaving_only:
        found = climb_to(
            inputs, weights, replace(plain, nodes=structure.nodes, leaving_only=True), _frail(found)
        )
    elif structure.nodes > 1:
        found = _satisfaction(inputs, weights, found, structure.nodes)
    if structure.quiet:
        found = climb_to(inputs, weights, replace(found.structure, quiet=True), _quiet(found))
    return found if found.structure == structure else climb_to(inputs, weights, structure, carried(found))


def _level_forms(inputs: ChainInputs) -> tuple[bool, ...]:
    """Levels shared or own; where there is but one act both are the same."""
    return (True, False) if inputs.own.sum() > 1 else (False,)


def _satisfaction(inputs: ChainInputs, weights: Array, alone: Candidate, count: int) -> Candidate:
    """Satisfaction that lasts, from the axis of what scores have in common and from the common axis."""
    structure = replace(alone.structure, nodes=count)
    layout = Likelihood.of(inputs, structure).layout
    wide = replace(alone.optimum, theta=carried_over(alone.optimum.theta, alone.problem.layout, layout))
    tried = []
    for axis in (residual_axis, common_axis):
        theta = axis(layout, wide)
        tried.append(
            climb_to(inputs, weights, structure, lambda _, at=theta: at, steps=FIRST_STEPS, more=0)  # type: ignore[misc]
        )
    best = max(tried, key=lambda candidate: candidate.optimum.bound)
    if best.score < alone.score - HOPELESS:
        return best
    return climb_to(inputs, weights, structure, carried(best))


def carried(before: Candidate) -> Callable[[Likelihood], Array]:
    """Where a climb goes on from the optimum of another structure."""
    return lambda problem: carried_over(before.optimum.theta, before.problem.layout, problem.layout)


def _frail(before: Candidate) -> Callable[[Likelihood], Array]:
    def start(problem: Likelihood) -> Array:
        theta = carried(before)(problem)
        theta[problem.layout.loadings.start] = -0.5
        return theta

    return start


def _quiet(before: Candidate) -> Callable[[Likelihood], Array]:
    return lambda problem: quieter(problem.inputs, problem.layout, carried(before)(problem))
