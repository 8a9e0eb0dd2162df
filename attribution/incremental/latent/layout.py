"""Where each parameter of the latent dropout model stands in the vector that is optimised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from attribution.incremental.latent.arrays import FloatArray
from attribution.incremental.latent.design import LatentInputs

__all__ = [
    "EMISSIONS",
    "LEVELS",
    "Emission",
    "Layout",
    "Predictors",
    "cell_gradient",
    "predictors",
    "row_scores",
]

Emission = Literal["poisson", "coupled", "episodes"]
"""How a customer's own acts arrive.

poisson: at a level independent of the purchase level. coupled: Poisson, and the purchase level follows the
level of acts with an exponent. episodes: coupled, and on only in spells.
"""

LEVELS: dict[Emission, tuple[str, ...]] = {
    "poisson": (),
    "coupled": ("coupling",),
    "episodes": ("coupling", "logit stay on", "logit turn on", "logit start on", "log off rate"),
}
"""Parameters that each emission adds after the shapes."""

MAX_PREDICTOR = 30.0
"""Bound on every linear predictor: a wild step of the search must not overflow."""
EMISSIONS: tuple[Emission, ...] = tuple(LEVELS)
"""From the simplest to the richest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Sizes of the blocks: leaving, purchases, acts, the two shapes, and what an emission adds."""

    static: int
    """Static columns K."""
    season: int
    """Columns of the season G."""
    drivers: int
    """Driver columns M; the first C are channel stocks."""
    first: int
    """1 with an effect of the first period on purchases, else 0."""
    habits: int
    """Habit columns H."""
    emission: Emission
    """How own acts arrive."""
    frailty: bool
    """Whether customers differ in leaving beyond what is seen of them."""

    @classmethod
    def of(cls, inputs: LatentInputs, *, emission: Emission) -> Layout:
        """The layout that fits these inputs."""
        return cls(
            static=inputs.static.shape[1],
            season=inputs.season.shape[1],
            drivers=inputs.drivers.shape[2],
            first=inputs.first.shape[2],
            habits=inputs.habits.shape[2],
            emission=emission,
            frailty=inputs.frailty,
        )

    @property
    def hazard(self) -> slice:
        """Intercept, static, season and drivers of leaving."""
        return slice(0, 1 + self.static + self.season + self.drivers)

    @property
    def purchase(self) -> slice:
        """Intercept, static, season, drivers and first period of purchases."""
        start = self.hazard.stop
        return slice(start, start + 1 + self.static + self.season + self.drivers + self.first)

    @property
    def touch(self) -> slice:
        """Intercept, static, season and habits of the customer's own acts."""
        start = self.purchase.stop
        return slice(start, start + 1 + self.static + self.season + self.habits)

    @property
    def shapes(self) -> slice:
        """Log shapes of the gamma levels of purchases and of acts."""
        return slice(self.touch.stop, self.touch.stop + 2)

    @property
    def spread(self) -> slice:
        """Log standard deviation of the frailty of leaving; empty without one."""
        return slice(self.shapes.stop, self.shapes.stop + int(self.frailty))

    @property
    def levels(self) -> slice:
        """Parameters named in `LEVELS`; empty with a plain Poisson emission."""
        return slice(self.spread.stop, self.spread.stop + len(LEVELS[self.emission]))

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(self.levels.stop)

    def hazard_drivers(self, channels: int) -> slice:
        """Positions of beta, the effects of the channel stocks on the log-odds of leaving."""
        start = self.hazard.stop - self.drivers
        return slice(start, start + channels)

    def purchase_drivers(self, channels: int) -> slice:
        """Positions of gamma, the effects of the channel stocks on the log rate of purchases."""
        start = self.purchase.stop - self.first - self.drivers
        return slice(start, start + channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictors:
    """The three linear predictors, each of shape (N, P)."""

    eta: FloatArray
    """Log-odds of leaving at the end of the period."""
    log_e: FloatArray
    """Log rate of purchases at a level of one."""
    log_m: FloatArray
    """Log rate of the customer's own acts at a level of one."""


def predictors(inputs: LatentInputs, layout: Layout, theta: FloatArray) -> Predictors:
    """Linear predictors at a parameter vector."""
    return Predictors(
        eta=_predict(inputs, (inputs.drivers,), theta[layout.hazard]),
        log_e=_predict(inputs, (inputs.drivers, inputs.first), theta[layout.purchase]),
        log_m=_predict(inputs, (inputs.habits,), theta[layout.touch]),
    )


def cell_gradient(inputs: LatentInputs, layout: Layout, d: Predictors) -> FloatArray:
    """Gradient by the parameters of the predictors, shape (layout.touch.stop,), from that of each cell."""
    blocks = (
        (d.eta, (inputs.drivers,)),
        (d.log_e, (inputs.drivers, inputs.first)),
        (d.log_m, (inputs.habits,)),
    )
    parts: list[FloatArray] = []
    for values, cells in blocks:
        by_customer = values.sum(axis=1)
        parts += [
            by_customer.sum(keepdims=True),
            by_customer @ inputs.static,
            values.sum(axis=0) @ inputs.season,
        ]
        parts += [values.reshape(-1) @ block.reshape(values.size, -1) for block in cells]
    return np.concatenate(parts)


def row_scores(inputs: LatentInputs, d: Predictors) -> FloatArray:
    """`cell_gradient` customer by customer, shape (N, layout.touch.stop)."""
    blocks = (
        (d.eta, (inputs.drivers,)),
        (d.log_e, (inputs.drivers, inputs.first)),
        (d.log_m, (inputs.habits,)),
    )
    parts: list[FloatArray] = []
    for values, cells in blocks:
        by_customer = values.sum(axis=1, keepdims=True)
        parts += [by_customer, by_customer * inputs.static, values @ inputs.season]
        parts += [np.matmul(values[:, None, :], block)[:, 0] for block in cells]
    return np.concatenate(parts, axis=1)


def _predict(inputs: LatentInputs, cells: tuple[FloatArray, ...], theta: FloatArray) -> FloatArray:
    static, season = inputs.static.shape[1], inputs.season.shape[1]
    at = 1 + static + season
    value = theta[0] + (inputs.static @ theta[1 : 1 + static])[:, None]
    value = value + inputs.season @ theta[1 + static : at] + inputs.offset
    for block in cells:
        value = value + block @ theta[at : at + block.shape[2]]
        at += block.shape[2]
    result: FloatArray = np.clip(value, -MAX_PREDICTOR, MAX_PREDICTOR)
    return result
