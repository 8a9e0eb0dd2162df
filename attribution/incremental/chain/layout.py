"""Where each parameter of the chain stands in the one vector that is moved, and its weak prior."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.chain.design import ChainInputs
from attribution.incremental.chain.emissions import AMOUNT, BURST, COUNT, FLAG, HURDLE, SPLIT
from attribution.incremental.chain.states import FEATURES, Structure
from histories.arrays import Flags, Float

CHAIN_PARAMETERS = 4
"""logit of rho, logits of P(active | active), P(active | quiet) and P(active at entry)."""
EXTRA = 4
"""Logs of nu, delta, phi, zeta; of phi_c of each stream after them."""
SLOPE_PRECISION = 0.04
"""Of every coefficient but the constants: a standard deviation of 5."""
LOADING_PRECISION = 0.05
SHAPE_PRECISION = 0.1
CHAIN_PRECISION = 0.05
MASS_PRECISION = 0.1
FINEST_SHAPE, COARSEST_SHAPE = 5.0, -3.5
"""Bounds of log shapes: levels all alike, and as far apart as any."""
NEVER = -30.0
"""Log-odds of leaving where, or while, nobody does."""
MOST_DRIFT, LEAST_DRIFT = -1.0, 6.0
"""Bounds of the logit of rho: beyond them satisfaction is noise, or lasts."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes of the blocks.

    In this order: coefficients of leaving and of each stream; loadings of leaving and each stream on
    satisfaction and on being quiet; log shapes, the shared one last; log extras; constant, slope and log
    standard deviation of each proxy; the chain; masses.
    """

    coefficients: tuple[int, ...]
    """Of leaving, then of each of M streams."""
    static: int
    calendars: tuple[int, ...]
    """Columns of the calendar of leaving, then of each stream."""
    proxies: int
    nodes: int

    @staticmethod
    def of(inputs: ChainInputs, structure: Structure) -> Layout:
        """The layout that these inputs call for."""
        return Layout(
            coefficients=(inputs.leaving.size, *(columns.size for columns in inputs.columns)),
            static=inputs.leaving.static.shape[1],
            calendars=tuple(c.calendar.shape[1] for c in (inputs.leaving, *inputs.columns)),
            proxies=inputs.proxies.shape[1],
            nodes=structure.nodes,
        )

    @cached_property
    def streams(self) -> int:
        """Number of streams M."""
        return len(self.coefficients) - 1

    def linear(self, k: int) -> slice:
        """Coefficients of leaving (0) or of stream k - 1."""
        start = sum(self.coefficients[:k])
        return slice(start, start + self.coefficients[k])

    def calendar(self, k: int) -> slice:
        """Those among them of columns of the calendar."""
        start = self.linear(k).start + self.static
        return slice(start, start + self.calendars[k])

    def cells(self, k: int) -> slice:
        """Those among them of columns of customer and period."""
        where = self.linear(k)
        return slice(where.start + self.static + self.calendars[k], where.stop)

    @cached_property
    def loadings(self) -> slice:
        """Loadings (1 + M, FEATURES), row by row."""
        start = sum(self.coefficients)
        return slice(start, start + FEATURES * (1 + self.streams))

    @cached_property
    def shapes(self) -> slice:
        """Log shapes (M + 1,)."""
        return slice(self.loadings.stop, self.loadings.stop + self.streams + 1)

    @cached_property
    def extra(self) -> slice:
        """Log extras (4 + M,)."""
        return slice(self.shapes.stop, self.shapes.stop + EXTRA + self.streams)

    @cached_property
    def bursts(self) -> slice:
        """Those among them of each stream's bursts (M,)."""
        return slice(self.extra.start + EXTRA, self.extra.stop)

    @cached_property
    def lines(self) -> slice:
        """Constant, slope and log standard deviation of each proxy, (J, 3) row by row."""
        return slice(self.extra.stop, self.extra.stop + 3 * self.proxies)

    @cached_property
    def chain(self) -> slice:
        """Parameters of the chain (4,)."""
        return slice(self.lines.stop, self.lines.stop + CHAIN_PARAMETERS)

    @cached_property
    def masses(self) -> slice:
        """Log masses (K,)."""
        return slice(self.chain.stop, self.chain.stop + self.nodes)

    @cached_property
    def size(self) -> int:
        """Number of parameters."""
        return int(self.masses.stop)

    def effects(self, k: int, channels: int) -> slice:
        """Effects of the channel stocks on leaving (0) or on purchases or spend (1)."""
        start = self.cells(k).start
        return slice(start, start + channels)

    @property
    def tenure(self) -> slice:
        """Coefficients of the first month and of tenure in leaving, where leaving is silent."""
        stop = int(self.cells(0).stop) - 1
        return slice(stop - 2, stop)

    @property
    def after_purchase(self) -> int:
        """Coefficient of a month with a purchase in leaving, where leaving is silent."""
        return int(self.cells(0).stop) - 1

    def beside(self, channels: int) -> slice:
        """Coefficients of the touches of the month itself in purchases or spend."""
        start = self.effects(1, channels).stop
        return slice(start, start + channels)

    def targeting(self, k: int, inputs: ChainInputs) -> slice:
        """Coefficients in leaving (0) or purchases (1) of what the firm sends a customer as a rule."""
        start = self.effects(k, inputs.channels).stop if k == 0 else self.beside(inputs.channels).stop
        return slice(start, start + inputs.targeted)

    @property
    def after_buying(self) -> NDArray[np.int64]:
        """Coefficients of the month's purchases in each stream of acts, where leaving is silent, (M - 1,)."""
        return np.array([self.cells(k).start + 2 for k in range(2, self.streams + 1)], dtype=np.int64)

    def blocks(self) -> NDArray[np.int64]:
        """Part that each parameter belongs to: leaving, a stream, or everything else, shape (size,)."""
        found = np.full(self.size, -1)
        for k in range(self.streams + 1):
            found[self.linear(k)] = k
        found[self.loadings] = np.repeat(np.arange(self.streams + 1), FEATURES)
        found[self.shapes][:-1] = np.arange(1, self.streams + 1)
        return found

    def free(self, inputs: ChainInputs, structure: Structure) -> Flags:
        """Parameters that move under a structure."""
        free = np.zeros(self.size, dtype=bool)
        free[: self.loadings.start] = True
        free[self.linear(0)] = structure.leaving
        if self.calendars[1] > self.calendars[0]:  # effects of periods on purchases come before the season's
            start = self.calendar(1).start
            free[start : start + self.calendars[1] - self.calendars[0]] = structure.periods
        free[self.beside(inputs.channels)] = structure.follows and not inputs.ordered
        if not inputs.silent:
            later = np.zeros(inputs.channels, dtype=bool)
            later[inputs.acting] = inputs.reacting[: inputs.acting.sum()]
            free[self.beside(inputs.channels)] &= later
        if inputs.silent:
            free[self.beside(inputs.channels)] &= ~inputs.acting
            free[self.after_buying] = structure.follows & inputs.reacting
        for k in range(2):
            free[self.targeting(k, inputs)] = structure.targeted and (structure.leaving or k > 0)
        if inputs.silent:
            free[self.after_purchase] = structure.after_purchase and structure.leaving
        loadings = free[self.loadings].reshape(-1, FEATURES)
        if structure.nodes > 1:
            loadings[:, 0] = True
            if structure.leaving_only:
                loadings[1:, 0] = False
            if structure.acts_only:
                loadings[:, 0] = np.append(False, inputs.own)
        loadings[:, 1] = structure.second
        loadings[0] &= structure.leaving
        loadings[1:, 2] = structure.quiet & inputs.own
        loadings[1, 2] = structure.asleep
        grouped = self.kinds(inputs, structure) == SPLIT
        shapes = free[self.shapes]
        shapes[:-1] = inputs.kinds != FLAG
        shapes[-1] = grouped.any()
        free[self.extra.start : self.bursts.start] = [AMOUNT in inputs.kinds, *(3 * [structure.regular])]
        free[self.bursts] = self.kinds(inputs, structure) == BURST
        if self.proxies:
            lines = free[self.lines].reshape(-1, 3)
            lines[:] = [True, structure.satisfaction, True]
        free[self.chain] = [structure.drift, *(3 * [structure.quiet])]
        free[self.masses] = structure.free_masses
        if inputs.billed:
            free[self.linear(1)] = loadings[1] = shapes[0] = free[self.extra.start] = False
        return free

    def held(self, theta: Float, free: Flags) -> Float:
        """The same parameters: loadings that do not move are 0, and where leaving does not, nobody leaves."""
        found = np.array(theta)
        if not free[0]:
            found[self.linear(0)] = 0.0
            found[0] = NEVER
        for where in (self.loadings, self.lines):
            found[where][~free[where]] = 0.0
        return found

    def prior(self, inputs: ChainInputs) -> tuple[Float, Float]:
        """Precision and centre of a normal prior that keeps what the data leave open finite, each (size,)."""
        precision, centre = np.zeros(self.size), np.zeros(self.size)
        for k in range(len(self.coefficients)):
            where = self.linear(k)
            precision[where.start + 1 : where.stop] = SLOPE_PRECISION
        if inputs.precision is not None:
            precision[self.effects(0, len(inputs.precision))] += inputs.precision
        precision[self.loadings] = LOADING_PRECISION
        precision[self.shapes] = SHAPE_PRECISION
        precision[self.extra] = SHAPE_PRECISION
        precision[self.lines] = LOADING_PRECISION
        precision[self.chain], centre[self.chain] = CHAIN_PRECISION, (2.0, 1.5, -1.5, 1.5)
        precision[self.masses] = MASS_PRECISION
        return precision, centre

    def bounds(self) -> tuple[Float, Float]:
        """Lowest and highest value of each parameter."""
        low, high = np.full(self.size, -np.inf), np.full(self.size, np.inf)
        low[self.shapes], high[self.shapes] = COARSEST_SHAPE, FINEST_SHAPE
        low[self.extra], high[self.extra] = -4.0, 6.0
        low[self.chain.start], high[self.chain.start] = MOST_DRIFT, LEAST_DRIFT
        if self.proxies:
            low[self.lines.start + 2 : self.lines.stop : 3] = -3.0
        return low, high

    def kinds(self, inputs: ChainInputs, structure: Structure) -> NDArray[np.int64]:
        """Kinds of the streams under a structure."""
        kinds = inputs.kinds.copy()
        if structure.bursts:
            kinds[kinds == COUNT] = BURST
        elif structure.shared:
            kinds[inputs.own & (kinds == COUNT)] = SPLIT
        if structure.regular:
            kinds[0] = HURDLE
        return kinds
