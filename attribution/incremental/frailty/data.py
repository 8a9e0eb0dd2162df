"""A panel as the arrays that the compiled passes read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.design import FrailtyDesign
from attribution.incremental.frailty.measurements import Rows
from attribution.incremental.frailty.parameters import Shape, prior_precision
from attribution.incremental.stocks import moment_precision
from histories.errors import ModelError
from histories.panel import Panel

__all__ = ["FrailtyData", "frailty_data", "log_arrival", "shape_of"]

Float = NDArray[np.floating]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrailtyData:
    """Rows of a panel, the sizes of the model that they call for, and who is still there at the end."""

    rows: Rows
    shape: Shape
    moments: Array | None = None
    """What unseen moments of leaving add to the precision of effects on leaving, in all lives, shape (C,)."""

    @property
    def n_lives(self) -> int:
        """Number of lives L: customers, where leaving is recorded."""
        return int(self.rows.who.shape[0])

    def take(self, lives: NDArray[np.int64]) -> FrailtyData:
        """Some lives, by position; the rows of all customers stay."""
        rows = self.rows
        chosen = rows._replace(
            who=rows.who[lives],
            first=rows.first[lives],
            stop=rows.stop[lives],
            left=rows.left[lives],
            log_share=rows.log_share[lives],
        )
        return replace(self, rows=chosen)

    @property
    def precision(self) -> tuple[Array, Array]:
        """Precision and centre of the penalty on the flat parameters."""
        precision, centre = prior_precision(self.shape)
        if self.moments is not None:
            start = self.shape.slices()["stocks"].start
            precision[start : start + self.shape.channels] += self.moments
        return precision, centre

    @property
    def survival(self) -> Array:
        """1 for lives that go on after the last period, else 0, shape (L,)."""
        return 1.0 - self.rows.left.astype(np.float64)

    @property
    def at_risk(self) -> NDArray[np.bool_]:
        """Whether a life has a row in a period, shape (L, T)."""
        t = np.arange(self.shape.periods)
        return (t >= self.rows.first[:, None]) & (t < self.rows.stop[:, None])


def frailty_data(
    panel: Panel, stocks: Float, design: FrailtyDesign, *, use: NDArray[np.bool_] | None = None
) -> FrailtyData:
    """Arrange a panel with recorded leaving for the shared-frailty model.

    Parameters
    ----------
    panel
        Customers and their periods.
    stocks
        Stocks of the panel's touches, shape (N, P, C).
    design
        Covariates and proxies.
    use
        Measurements of the model, shape (M,); None takes those with any variation here.

    Raises
    ------
    ModelError
        If nobody knows who left.
    """
    if panel.exit is None:
        raise ModelError(
            f"{panel.n_customers} customers have no recorded exit, so the shared-frailty model cannot "
            "see who left. Give `ended_at`, or use the joint model of satisfaction and dropout."
        )
    columns = design.period_columns(panel)
    rows = Rows(
        who=np.arange(panel.n_customers),
        first=panel.entry.astype(np.int64),
        stop=panel.last.astype(np.int64) + 1,
        left=panel.exit < panel.n_periods,
        log_share=np.zeros(panel.n_customers)
        if panel.exit_share is None
        else np.log(np.asarray(panel.exit_share, dtype=np.float64)),
        log_arrival=log_arrival(panel),
        spend=np.maximum(np.ascontiguousarray(panel.spend, dtype=np.float64), 0.0),
        touches=np.ascontiguousarray(panel.touches, dtype=np.float64),
        covariates=design.static_columns(panel),
        period_covariates=columns,
        stocks=np.ascontiguousarray(stocks, dtype=np.float64),
        proxies=design.measurements(panel),
        use=_usable(panel, columns[:, :, 0]) if use is None else use,
        compound=design.compound,
        proxy_last=design.proxy_last,
    )
    return FrailtyData(rows=rows, shape=shape_of(rows), moments=moment_precision(panel))


def log_arrival(panel: Panel) -> Array:
    """Log of the share of its first period that each customer was there for, shape (N,)."""
    if panel.entry_share is None:
        return np.zeros(panel.n_customers)
    return np.log(np.asarray(panel.entry_share, dtype=np.float64))


def shape_of(rows: Rows) -> Shape:
    """Sizes of the model that these rows call for."""
    _, periods, channels = rows.touches.shape
    return Shape(
        covariates=rows.covariates.shape[1],
        period_covariates=rows.period_covariates.shape[2],
        periods=periods,
        channels=channels,
        proxies=rows.proxies.shape[1],
    )


def _usable(panel: Panel, problem: Array) -> NDArray[np.bool_]:
    """Measurements with any variation, shape (M,)."""
    there = panel.at_risk
    share = problem[there].mean()
    touched = (np.asarray(panel.touches) * there[:, :, None]).sum(axis=(0, 1)) > 0
    use: NDArray[np.bool_] = np.concatenate(
        [[panel.leaves.any(), np.asarray(panel.spend)[there].sum() > 0], touched, [0 < share < 1]]
    )
    return use
