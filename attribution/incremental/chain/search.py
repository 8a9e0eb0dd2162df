"""Which settings of the chain a company calls for: each is climbed, and Schwarz's charge decides.

A structure costs half a logarithm of the number of customers for each parameter that moves (Schwarz 1978).
The search runs on some of the customers; structures within reach of the best are climbed on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from attribution.incremental.chain.climb import TOLERANCE, Optimum, climb
from attribution.incremental.chain.design import ChainInputs
from attribution.incremental.chain.emissions import COUNT
from attribution.incremental.chain.likelihood import Likelihood
from attribution.incremental.chain.start import (
    bursting,
    carried_over,
    common_axis,
    crude_rates,
    frailty,
    own_levels,
    quieter,
    residual_axis,
    second_axis,
    sooner,
)
from attribution.incremental.chain.states import Structure
from histories.arrays import Float

SILENT_NODES, RECORDED_NODES, DRIFTING_NODES = 7, 9, 5
"""Values that satisfaction takes; the last where it drifts beside a second factor."""
REACH = 5.0
"""Log-likelihood less charge by which a rival may be behind and stay in the range."""
FIRST_STEPS = 5
"""Steps from each start before the best goes on."""
LARGEST_EFFECT = 3.0
"""Effect of a stock on leaving or purchases that can be believed: one touch changes odds eightfold by it."""
MONTHS_FIRST = 0.25
"""Log-likelihood less charge, for each customer, by which months of their own must be ahead to go first: .09
for a December of twice the purchases, .9 where a shop closes for two months."""
HOPELESS = 20.0
"""Log-likelihood less charge by which a climb that promises no more is given up."""


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

    @property
    def largest_effect(self) -> float:
        """Of a stock on leaving or purchases, its size."""
        layout, channels = self.problem.layout, self.problem.inputs.channels
        effects = [self.optimum.theta[layout.effects(k, channels)] for k in range(2)]
        return float(np.abs(np.concatenate(effects)).max(initial=0.0))

    @property
    def never_wakes(self) -> bool:
        """Whether pauses outlast the panel where leaving is silent: leaving that no touch would hold up."""
        wakes = float(expit(self.optimum.theta[self.problem.layout.chain][2]))
        silent = self.problem.inputs.silent
        return silent and self.structure.asleep and wakes * self.problem.inputs.values.shape[1] < 1.0


def believed(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those whose effects are of a size that touches can have, if one of them is within reach; else all.

    Where the data say little of a setting, such as pauses that nobody makes, it may put all leaving into the
    months without some stock. Nor are pauses believed from which nobody comes back.
    """
    least = max(candidate.score for candidate in candidates) - HOPELESS
    found = [c for c in candidates if c.largest_effect <= LARGEST_EFFECT and not c.never_wakes]
    return found if any(candidate.score > least for candidate in found) else list(candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Climbs on the same customers."""

    inputs: ChainInputs
    weights: Float
    tolerance: float = TOLERANCE
    """Gain expected of one more step at which a climb has arrived."""
    regular_silence: bool = False
    """Whether there is less silence between purchases than chance leaves, whatever customers' levels are."""

    @property
    def recorded(self) -> bool:
        """Whether it is known who left."""
        return not self.inputs.silent

    @property
    def may_follow(self) -> bool:
        """Whether the order of events leaves open that touches follow purchases; no bill has any."""
        return bool(self.inputs.reacting.any()) and not self.inputs.billed

    def compare(self) -> list[Candidate]:
        """Every structure that the inputs may call for at its optimum, the best first."""
        several = self.inputs.own.sum() > 1
        alone = self._simplest(shared=bool(several))
        pairs = [(alone, self.lasting(alone))]
        if several:
            own = self.climb(replace(alone.structure, shared=False), alone, shift=own_levels)
            pairs.append((own, self.lasting(own, rival=_ahead(pairs[0]))))
        else:
            own = alone
        bursts = self.climb(replace(own.structure, bursts=True), own, shift=bursting, rival=_ahead(pairs[0]))
        if bursts.score > own.score:
            pairs.append((bursts, self.lasting(bursts, rival=_ahead(pairs[0]))))
        found = [candidate for pair in pairs for candidate in pair]
        alone, lasting = max(pairs, key=lambda pair: _ahead(pair).score)
        found.append(self.kinds(alone, rival=_ahead(found)))
        found.append(self.climb(replace(lasting.structure, drift=True), lasting, rival=_ahead(found)))
        best = _ahead(found)
        if best.structure.satisfaction:
            shift = second_axis(best.optimum.value.scores)
            nodes = DRIFTING_NODES if best.structure.drift else best.structure.nodes
            both = replace(best.structure, second=True, nodes=nodes)
            found.append(self.climb(both, best, shift=shift, rival=best))
        leaves = alone.structure.leaving
        if self.recorded:
            free = replace(lasting.structure, free_masses=True)
            found.append(self.climb(free, lasting, rival=_ahead(found)))
        elif leaves:
            found.append(self.frail(alone, rival=_ahead(found)))
        if COUNT in self.inputs.kinds[:1]:
            found += self.quiet(alone, _ahead(found))
        found = self.with_periods(found)
        best = _ahead(found)
        if self.may_follow and not best.structure.follows:
            found.append(self.climb(replace(best.structure, follows=True), best, rival=best))
        if COUNT in self.inputs.kinds[:1]:
            found += self.regular(_ahead(found))
        best = _ahead(found)
        if not self.recorded and best.structure.satisfaction and not best.structure.second:
            found.append(self.climb(replace(best.structure, acts_only=True), best))
        return sorted(found, key=lambda candidate: -candidate.score)

    def _simplest(self, *, shared: bool) -> Candidate:
        """No satisfaction: whether anybody leaves, and when, whom the firm writes to, what touches follow.

        Months of their own go first where they are far ahead: a closed shop would be taken for pauses.
        """
        alone = self.alone(shared=shared)
        if not self.recorded:
            months = self.climb(replace(alone.structure, periods=True), alone, rival=alone)
            far = MONTHS_FIRST * self.inputs.n_customers
            alone = months if months.score > alone.score + far else alone
        if self.inputs.stays.all():
            alone = _ahead([alone, self.climb(replace(alone.structure, leaving=False), alone, rival=alone)])
        if self.inputs.targeted:
            chosen = self.climb(replace(alone.structure, targeted=True), alone, rival=alone)
            alone = _ahead([alone, chosen])
        if not self.recorded and COUNT in self.inputs.kinds[:1]:
            if alone.structure.leaving:
                after = self.climb(replace(alone.structure, after_purchase=True), alone, shift=sooner)
                alone = _ahead([alone, after]) if _leave_satisfied(after) else alone
            if self.may_follow:
                alone = _ahead([alone, self.climb(replace(alone.structure, follows=True), alone)])
        return alone

    def with_periods(self, found: list[Candidate]) -> list[Candidate]:
        """These, and the best of them with months of their own: so many effects show on all only."""
        best = _ahead(found)
        if self.recorded or best.structure.periods:
            return found
        return [*found, self.climb(replace(best.structure, periods=True), best, rival=best)]

    def only(self, structure: Structure) -> Candidate:
        """One structure from scratch, by way of simpler ones."""
        found = self.alone(shared=structure.shared, leaving=structure.leaving)
        if structure.leaving_only:
            found = self.frail(found)
        elif structure.nodes > 1:
            found = self.lasting(found)
        if structure.acts_only:
            found = self.climb(replace(found.structure, acts_only=True), found)
        if structure.quiet:
            found = self.climb(replace(found.structure, quiet=True), found, shift=quieter)
        return found if found.structure == structure else self.climb(structure, found)

    def climb(
        self,
        structure: Structure,
        before: Candidate,
        *,
        shift: Callable[[Likelihood, Float], Float] = lambda _, theta: theta,
        rival: Candidate | None = None,
    ) -> Candidate:
        """A structure from the optimum of another, or a shift of it; given up if a rival is out of reach."""
        problem = Likelihood.of(self.inputs, structure)
        start = carried_over(before.optimum.theta, before.problem.layout, problem.layout)
        return self._climb(problem, shift(problem, start), rival=rival)

    def on_from(self, structure: Structure, theta: Float) -> Candidate:
        """A structure from parameters near its optimum."""
        return self._climb(Likelihood.of(self.inputs, structure), theta)

    def alone(self, *, shared: bool, leaving: bool = True) -> Candidate:
        """No satisfaction, from crude rates."""
        problem = Likelihood.of(self.inputs, Structure(shared=shared, leaving=leaving))
        return self._climb(problem, crude_rates(problem, self.weights))

    def lasting(self, alone: Candidate, *, rival: Candidate | None = None) -> Candidate:
        """Satisfaction that lasts, from what scores have in common and from loadings alike."""
        count = RECORDED_NODES if self.recorded else SILENT_NODES
        problem = Likelihood.of(self.inputs, replace(alone.structure, nodes=count))
        theta = carried_over(alone.optimum.theta, alone.problem.layout, problem.layout)
        starts = (
            residual_axis(problem.layout, theta, alone.optimum.value.scores),
            common_axis(problem.layout, theta),
        )
        tried = [self._climb(problem, start, steps=FIRST_STEPS, more=0) for start in starts]
        best = max(tried, key=lambda candidate: candidate.optimum.bound)
        return self.climb(problem.structure, best, rival=rival or alone)

    def kinds(self, alone: Candidate, *, rival: Candidate) -> Candidate:
        """Two kinds of customers, as regions or tariffs nobody recorded, from what scores have in common."""

        def shift(problem: Likelihood, theta: Float) -> Float:
            return residual_axis(problem.layout, theta, alone.optimum.value.scores)

        structure = replace(alone.structure, nodes=2, free_masses=True)
        return self.climb(structure, alone, shift=shift, rival=rival)

    def frail(self, alone: Candidate, *, rival: Candidate | None = None) -> Candidate:
        """Customers who differ in leaving."""
        structure = replace(alone.structure, nodes=SILENT_NODES, leaving_only=True)
        return self.climb(structure, alone, shift=frailty, rival=rival)

    def quiet(self, alone: Candidate, best: Candidate) -> list[Candidate]:
        """Quiet spells and pauses, and one of them beside the best where it is called for."""
        spells = replace(alone.structure, quiet=True)
        found = [
            self.climb(structure, alone, shift=quieter, rival=alone)
            for structure in (spells, replace(spells, asleep=True))
        ]
        ahead = _ahead(found)
        if ahead.score < alone.score or best is alone:
            return found
        both = replace(best.structure, quiet=True, asleep=ahead.structure.asleep)
        return [*found, self.climb(both, best, shift=quieter, rival=best)]

    def regular(self, best: Candidate) -> list[Candidate]:
        """Regular purchases, where silence, or the first steps and the last, find them so."""
        structure = replace(best.structure, regular=True)
        problem = Likelihood.of(self.inputs, structure)
        start = carried_over(best.optimum.theta, best.problem.layout, problem.layout)
        first = self._climb(problem, start, steps=FIRST_STEPS, more=0)
        if not (self.regular_silence or _more_regular(first)):
            return []
        found = self.climb(structure, first, rival=best)
        return [found] if self.regular_silence or _more_regular(found) else []

    def _climb(
        self,
        problem: Likelihood,
        start: Float,
        *,
        steps: int = 40,
        more: int = 60,
        rival: Candidate | None = None,
    ) -> Candidate:
        free = problem.layout.free(self.inputs, problem.structure)
        charge = 0.5 * float(free.sum()) * float(np.log(self.inputs.n_customers))
        target = -np.inf if rival is None else rival.score - HOPELESS + charge
        optimum = climb(
            problem,
            problem.layout.held(start, free),
            free,
            self.weights,
            steps=steps,
            more=more,
            tolerance=self.tolerance,
            target=target,
        )
        return Candidate(problem=problem, optimum=optimum)


def _more_regular(candidate: Candidate) -> bool:
    """Whether months without a purchase grow rarer with the rate more slowly than by chance.

    Where they do so faster the form fits levels of customers that are not gamma, and foresees too much,
    unless there is little silence between the purchases of one and the same customer.
    """
    return bool(candidate.optimum.theta[candidate.problem.layout.extra][1] < 0.0)


def _leave_satisfied(candidate: Candidate) -> bool:
    """Whether a purchase makes leaving likelier.

    Where it makes it less likely, purchases stand for satisfaction, which has a form of its own.
    """
    return bool(candidate.optimum.theta[candidate.problem.layout.after_purchase] > 0.0)


def _ahead(candidates: Sequence[Candidate]) -> Candidate:
    return max(believed(candidates), key=lambda candidate: candidate.score)
