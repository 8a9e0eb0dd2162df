"""Living states of a customer: satisfaction on nodes, and whether the customer is quiet.

Satisfaction takes K values u_k with mean 0 and variance 1. Drifting, it moves by Rouwenhorst's chain (1995;
Kopecky & Suen 2010), whose autocorrelation is exactly rho and whose stationary law is binomial; static, it
keeps its first value; free masses replace the binomial ones (Kiefer & Wolfowitz 1956). A quiet customer acts
less often and is a customer all the same; being active is a two-state chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, gammaln, logsumexp

from histories.arrays import Float

FEATURES = 3
"""Satisfaction, a second factor, and being quiet."""
SECOND_NODES, BESIDE_DRIFT = 5, 3
"""Values that the second factor takes, and beside satisfaction that drifts, where every move has a price."""
STEP = 1e-5
"""Of the central differences that give the slopes of transitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """Which settings of the chain are on."""

    nodes: int = 1
    """Values K that satisfaction takes; 1: none."""
    drift: bool = False
    """Whether it moves."""
    free_masses: bool = False
    """Whether its distribution is free on its nodes; static only."""
    leaving_only: bool = False
    """Whether it moves leaving alone: a frailty, not satisfaction."""
    acts_only: bool = False
    """Whether it moves the customer's own acts alone: a level that all of them share, not satisfaction."""
    second: bool = False
    """Whether there is a second satisfaction, which lasts and moves everything in other proportions."""
    quiet: bool = False
    """Whether customers fall silent without leaving."""
    asleep: bool = False
    """Whether quiet customers do not buy either."""
    shared: bool = True
    """Whether the customer's own acts share one level; else each channel has its own."""
    bursts: bool = False
    """Whether events come in bursts, each channel's acts with a level of its own: `shared` is off then."""
    follows: bool = False
    """Whether touches follow what customers do within the same month."""
    after_purchase: bool = False
    """Whether customers leave after a purchase rather than at any time; where leaving is silent only."""
    periods: bool = False
    """Whether purchases have an effect of each period, where leaving is silent; else they always have."""
    regular: bool = False
    """Whether purchases are more regular than chance."""
    leaving: bool = True
    """Whether anybody leaves."""
    targeted: bool = False
    """Whether the firm writes most to customers who buy or stay more, or less, than others anyhow."""

    @property
    def satisfaction(self) -> bool:
        """Whether there is satisfaction that moves more than leaving."""
        return self.nodes > 1 and not (self.leaving_only or self.acts_only)

    def is_twin(self, other: Structure) -> bool:
        """Whether one moves acts alone and the other everything, all else alike."""
        return self != other and replace(self, acts_only=False) == replace(other, acts_only=False)

    @property
    def static(self) -> bool:
        """Whether every state lasts."""
        return not self.drift and not self.quiet

    @property
    def words(self) -> str:
        """The settings in a clause."""
        parts = []
        if self.leaving_only:
            parts.append("customers who differ in leaving")
        elif self.acts_only:
            parts.append("customers who differ in all they do but buy")
        elif self.nodes == 2 and self.free_masses:
            parts.append("two kinds of customers")
        elif self.nodes > 1:
            law = (
                "that drifts" if self.drift else "of free distribution" if self.free_masses else "that lasts"
            )
            parts.append(f"satisfaction {law}")
        else:
            parts.append("no satisfaction")
        if self.second:
            parts.append("a second factor")
        if not self.leaving:
            parts.append("nobody who leaves")
        if self.targeted:
            parts.append("a firm that chooses whom it writes to")
        if self.quiet:
            parts.append("pauses" if self.asleep else "quiet spells")
        if self.follows:
            parts.append("touches that follow purchases")
        if self.after_purchase:
            parts.append("leaving after a purchase")
        if self.periods:
            parts.append("months of their own")
        if self.regular:
            parts.append("regular purchases")
        if self.bursts:
            parts.append("acts in bursts")
        parts.append("one level of acts" if self.shared else "a level for each channel")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class LivingStates:
    """J living states, with the slopes by the R free parameters of their chain."""

    features: Float
    """Satisfaction, the second factor, and 1 where quiet, shape (J, FEATURES)."""
    block: int
    """Neighbouring states between which customers move; 1: every state lasts."""
    log_first: Float
    """Log chance of each state at entry, shape (J,)."""
    first_slopes: Float
    """Slopes of it, shape (R, J)."""
    moves: Float
    """Transitions, shape (J, J)."""
    move_slopes: Float
    """Slopes of it, shape (R, J, J)."""


def nodes(count: int) -> Float:
    """Equally spaced values with variance 1 under binomial masses, shape (count,).

    Examples
    --------
    >>> nodes(3).round(4).tolist()
    [-1.4142, 0.0, 1.4142]
    """
    if count == 1:
        return np.zeros(1)
    half = np.sqrt(count - 1.0)
    return np.linspace(-half, half, count)


def rouwenhorst(count: int, rho: float) -> Float:
    """Transitions between `nodes` with autocorrelation rho, shape (count, count).

    Examples
    --------
    >>> rouwenhorst(2, 0.8).round(2).tolist()
    [[0.9, 0.1], [0.1, 0.9]]
    """
    p = 0.5 * (1.0 + rho)
    moves = np.ones((1, 1))
    for size in range(2, count + 1):
        larger = np.zeros((size, size))
        larger[:-1, :-1] += p * moves
        larger[:-1, 1:] += (1.0 - p) * moves
        larger[1:, :-1] += (1.0 - p) * moves
        larger[1:, 1:] += p * moves
        larger[1:-1] *= 0.5
        moves = larger
    return moves


def living_states(structure: Structure, chain: Float, masses: Float) -> LivingStates:
    """States at the parameters of their chain.

    Parameters
    ----------
    structure
        Settings.
    chain
        logit of rho, then logits of P(active next | active), P(active next | quiet) and P(active at entry),
        shape (4,).
    masses
        Log masses of the K nodes relative to the binomial ones, shape (K,); read where masses are free.

    Returns
    -------
    States whose slopes are by `chain` (4 rows) and then by `masses` (K rows).
    """
    u, v = nodes(structure.nodes), nodes(_second(structure))
    quiet = np.arange(2.0 if structure.quiet else 1.0)
    second, first, third = np.meshgrid(v, u, quiet, indexing="ij")
    features = np.stack([first, second, third], axis=-1).reshape(-1, FEATURES)
    parameters = len(chain) + structure.nodes
    first_slopes = np.zeros((parameters, len(features)))
    move_slopes = np.zeros((parameters, len(features), len(features)))
    moves = _moves(structure, chain)
    for r in range(len(chain)):
        if not (structure.drift if r == 0 else structure.quiet):
            continue
        moved = np.zeros(len(chain))
        moved[r] = STEP
        above, below = chain + moved, chain - moved
        move_slopes[r] = (_moves(structure, above) - _moves(structure, below)) / (2.0 * STEP)
        first_slopes[r] = (_start(structure, above, masses) - _start(structure, below, masses)) / (2.0 * STEP)
    if structure.free_masses:
        law = np.exp(_law(structure, masses))
        slopes = np.eye(structure.nodes) - law[:, None]
        first_slopes[len(chain) :] = np.tile(np.repeat(slopes, len(quiet), axis=1), len(v))
    return LivingStates(
        features=features,
        block=(len(u) if structure.drift else 1) * len(quiet),
        log_first=_start(structure, chain, masses),
        first_slopes=first_slopes,
        moves=moves,
        move_slopes=move_slopes,
    )


def _second(structure: Structure) -> int:
    if not structure.second:
        return 1
    return BESIDE_DRIFT if structure.drift else SECOND_NODES


def _binomial(count: int) -> Float:
    """Log of the binomial masses of `nodes`."""
    k = np.arange(count)
    last = count - 1
    return np.asarray(gammaln(last + 1) - gammaln(k + 1) - gammaln(last - k + 1) - last * np.log(2.0))


def _law(structure: Structure, masses: Float) -> Float:
    """Log masses of the nodes of satisfaction."""
    law = _binomial(structure.nodes)
    if structure.free_masses:
        law = law + masses
        law = law - logsumexp(law)
    return np.asarray(law)


def _start(structure: Structure, chain: Float, masses: Float) -> Float:
    law = np.add.outer(_binomial(_second(structure)), _law(structure, masses)).ravel()
    if not structure.quiet:
        return law
    active = expit(chain[3])
    return (law[:, None] + np.log([active, 1.0 - active])).ravel()


def _moves(structure: Structure, chain: Float) -> Float:
    moves = (
        rouwenhorst(structure.nodes, float(expit(chain[0]))) if structure.drift else np.eye(structure.nodes)
    )
    moves = np.asarray(np.kron(np.eye(_second(structure)), moves), dtype=np.float64)
    if not structure.quiet:
        return moves
    stay, turn = expit(chain[1:3])
    return np.kron(moves, np.array([[stay, 1.0 - stay], [turn, 1.0 - turn]]))
