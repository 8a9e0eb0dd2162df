"""A panel as the arrays that the compiled passes read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.frailty.design import FrailtyDesign
from attribution.incremental.frailty.measurements._kernels import Rows
from attribution.incremental.frailty.parameters import Shape
from histories.errors import ModelError
from histories.panel import Panel

__all__ = ["FrailtyData", "frailty_data"]

Float = NDArray[np.floating]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrailtyData:
    """Rows of a panel, the sizes of the model that they call for, and who is still there at the end."""

    rows: Rows
    shape: Shape
    survival: Array
    """Probability of being a customer after the last period, shape (N,)."""

    @property
    def n_customers(self) -> int:
        """Number of customers N."""
        return int(self.rows.alive.shape[0])


def frailty_data(
    panel: Panel,
    stocks: Float,
    design: FrailtyDesign,
    *,
    alive: Float | None = None,
    use: NDArray[np.bool_] | None = None,
) -> FrailtyData:
    """Arrange a panel for the shared-frailty model.

    Parameters
    ----------
    panel
        Customers and their periods.
    stocks
        Decayed stocks, shape (N, P, C).
    design
        Covariates and proxies.
    alive
        Probability of still being a customer at the start of each period and after the last, shape
        (N, P + 1), for companies without contracts; None reads the recorded exits.
    use
        Measurements of the model, shape (M,); None takes those with any variation here.

    Raises
    ------
    ModelError
        If nobody knows who left and no probabilities are given.
    """
    present, leaving, survival = _presence(panel, alive)
    columns = design.period_columns(panel)
    rows = Rows(
        first=panel.entry.astype(np.int64),
        stop=panel.last.astype(np.int64) + 1,
        alive=present,
        leaving=leaving,
        spend=np.maximum(np.ascontiguousarray(panel.spend, dtype=np.float64), 0.0),
        touches=np.ascontiguousarray(panel.touches, dtype=np.float64),
        covariates=design.static_columns(panel),
        period_covariates=columns,
        stocks=np.ascontiguousarray(stocks, dtype=np.float64),
        proxies=design.measurements(panel),
        use=_usable(panel, present, leaving, columns[:, :, 0]) if use is None else use,
        compound=design.compound,
        proxy_last=design.proxy_last,
    )
    shape = Shape(
        covariates=rows.covariates.shape[1],
        period_covariates=columns.shape[2],
        periods=panel.n_periods,
        channels=panel.n_channels,
        proxies=rows.proxies.shape[1],
    )
    return FrailtyData(rows=rows, shape=shape, survival=survival)


def _presence(panel: Panel, alive: Float | None) -> tuple[Array, Array, Array]:
    """Probability of being there, of leaving at the end of the period (N, P), of staying to the end (N,)."""
    if alive is None:
        if not panel.contractual:
            raise ModelError(
                f"{panel.n_customers} customers have no recorded exit, so the shared-frailty model cannot "
                "see who left. Give `alive`, the probabilities of the latent dropout model, or `ended_at`."
            )
        left = panel.leaves
        stays = 1.0 - left.any(axis=1).astype(np.float64)
        return panel.at_risk.astype(np.float64), left.astype(np.float64), np.asarray(stays)
    expected = (panel.n_customers, panel.n_periods + 1)
    if alive.shape != expected:
        raise ModelError(
            f"`alive` has shape {alive.shape}; expected {expected}, one column more than periods."
        )
    chance = np.asarray(alive, dtype=np.float64)
    there = panel.at_risk
    return chance[:, :-1] * there, (chance[:, :-1] - chance[:, 1:]) * there, chance[:, -1].copy()


def _usable(panel: Panel, alive: Array, leaving: Array, problem: Array) -> NDArray[np.bool_]:
    """Measurements with any variation, shape (M,)."""
    share = (problem * alive).sum() / alive.sum()
    touched = (np.asarray(panel.touches) * alive[:, :, None]).sum(axis=(0, 1)) > 0
    use: NDArray[np.bool_] = np.concatenate(
        [[leaving.sum() > 0, (np.asarray(panel.spend) * alive).sum() > 0], touched, [0 < share < 1]]
    )
    return use
