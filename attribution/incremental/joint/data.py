"""A panel without recorded exits as the arrays of the shared-frailty passes, one row of lives each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.data import FrailtyData, log_arrival, shape_of
from attribution.incremental.frailty.design import FrailtyDesign
from attribution.incremental.frailty.measurements import Rows
from attribution.incremental.frailty.parameters import free_parameters
from attribution.incremental.joint.lives import PossibleLives, possible_lives
from attribution.incremental.latent.design import LatentDesign
from attribution.incremental.latent.fit import LatentDropoutFit
from attribution.incremental.stocks import decayed_stocks
from histories.panel import Panel

__all__ = ["JointDesign", "free_of", "joint_data", "measurements_in_use", "other_acts", "rough_lives"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Mask = NDArray[np.bool_]

FOLLOWED = 2
"""Trailing columns that only touches follow: a trend, and purchases one period ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JointDesign:
    """How a panel becomes covariates and measurements; fixed by the customers a model was fitted to."""

    life: LatentDesign
    """What counts as an emission and a sign of life."""
    columns: FrailtyDesign
    """Covariates and proxies."""
    use: tuple[bool, ...]
    """Measurements of the model: leaving, purchases, touches of each channel, other acts, and not problems:
    the contacts that they make are acts already."""

    def period_columns(self, panel: Panel) -> Array:
        """Stock of problems, changing covariates, season, first period, the `FOLLOWED`, shape (N, P, R)."""
        n, periods = panel.spend.shape
        problems = np.asarray(panel.problems)[:, :, None]
        blocks = [decayed_stocks(problems, decay=self.life.decay).astype(np.float64)]
        if self.columns.over_time is not None and panel.time_covariates is not None:
            blocks.append(self.columns.over_time.filled(panel.time_covariates))
        season = self.life.season(periods)
        blocks.append(np.broadcast_to(season, (n, *season.shape)))
        t = np.arange(periods)
        if self.life.staggered:
            blocks.append((t == panel.entry[:, None]).astype(np.float64)[:, :, None])
        blocks.append(np.broadcast_to((t / periods - 0.5)[None, :, None], (n, periods, 1)))
        before = np.zeros((n, periods, 1))
        before[:, 1:, 0] = np.log1p(np.asarray(panel.purchases)[:, :-1])
        return np.ascontiguousarray(np.concatenate([*blocks, before], axis=2))


def rough_lives(life: LatentDropoutFit, panel: Panel, stocks: Single) -> PossibleLives:
    """The lives of these customers that the model of life alone does not rule out."""
    return possible_lives(life.lives(panel, stocks).dropout, life.design.inputs(panel, stocks).last)


def joint_data(panel: Panel, stocks: Single, design: JointDesign, lives: PossibleLives) -> FrailtyData:
    """Arrange a panel and the possible lives of its customers.

    Purchases stand where the model of recorded leaving has spend. Touches of the customer's own channels
    are measurements, and so are acts of the customer's own that were no treatment (contacts without a
    reply); what the firm sends is exposure only.

    Parameters
    ----------
    panel, stocks
        Customers, and their decayed stocks, shape (N, P, C).
    design
        Columns and measurements.
    lives
        Possible lives of these customers.
    """
    n, periods = panel.spend.shape
    stop = np.minimum(lives.month + 1, periods)
    touches = np.concatenate([panel.touches, other_acts(panel, design.life)[:, :, None]], axis=2)
    purchases = np.array(panel.purchases, dtype=np.float64)
    if design.life.enters_by_purchase:
        purchases[np.arange(n), panel.entry] -= 1.0
    rows = Rows(
        who=lives.who,
        first=np.asarray(panel.entry, dtype=np.int64)[lives.who],
        stop=stop,
        left=lives.month < periods,
        log_share=np.zeros(len(lives.who)),
        log_arrival=log_arrival(panel),
        spend=purchases,
        touches=np.ascontiguousarray(touches, dtype=np.float64),
        covariates=design.columns.static_columns(panel),
        period_covariates=design.period_columns(panel),
        stocks=np.concatenate([stocks, np.zeros((n, periods, 1))], axis=2, dtype=np.float64),
        proxies=design.columns.measurements(panel),
        use=np.array(design.use),
        compound=True,
        proxy_last=design.columns.proxy_last,
    )
    return FrailtyData(rows=rows, shape=shape_of(rows))


def other_acts(panel: Panel, life: LatentDesign) -> Array:
    """Acts of the customer's own that were no treatment, shape (N, P)."""
    treated = np.asarray(panel.touches, dtype=np.float64)[:, :, np.array(life.own)].sum(axis=2)
    rest: Array = np.maximum(np.asarray(panel.own_acts, dtype=np.float64) - treated, 0.0)
    return rest


def measurements_in_use(panel: Panel, life: LatentDesign) -> tuple[bool, ...]:
    """Measurements with any variation: leaving, purchases, own touches, other acts; never problems."""
    touched = np.asarray(panel.touches).sum(axis=(0, 1)) > 0
    own = np.array(life.own) & touched
    other = other_acts(panel, life).sum() > 0
    return (True, bool(panel.purchases.any()), *own.tolist(), bool(other), False)


def free_of(data: FrailtyData, design: JointDesign, *, satisfaction: bool, dynamic: bool) -> Mask:
    """Parameters that may move.

    Every own act rises and falls with the customer's one level (loading 1); what customers have in common
    over time are season and trend, not an effect per period, which silence could not tell from leaving.
    Problems move leaving and purchases; the contacts that they make are acts themselves.
    """
    shape, use = data.shape, data.rows.use
    free = free_parameters(
        shape, use, dynamic=dynamic, second_factor=True, first_factor=satisfaction, gamma_levels=True
    )
    places = shape.slices()
    free[places["months"]] = False
    blocks = {name: free[places[name]].reshape(shape.blocks()[name]) for name in shape.blocks()}
    blocks["loadings"][2:-1, 1] = False
    blocks["stocks"][:, -1] = False
    columns = blocks["period_covariates"]
    columns[[0, 1], -FOLLOWED:] = False
    columns[2:, 0] = False
    if design.life.staggered:
        columns[0, -FOLLOWED - 1] = False
    return free
