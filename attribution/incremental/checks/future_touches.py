"""Touches to come: what cannot have caused a purchase and still goes with it tells of something hidden.

Purchases of period t are regressed on stocks, covariates, proxies, the period, and the customer's own touches
of t+3..t+5, in the rows of customers who are known to be there until then. A touch to come causes nothing
(negative control exposure: Lipsitch, Tchetgen Tchetgen & Cohen 2010; Miao, Geng & Tchetgen Tchetgen 2018).
Coefficients of one sign tell of a level that touching and buying share; of both signs, of satisfaction that
moves customers between channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats as distributions

from attribution.incremental.glm import POISSON, fit_glm
from histories.arrays import Float
from histories.errors import ModelError
from histories.panel import Panel, last_true

LAG, SPAN = 3, 3
"""Periods until the touches to come, and how many."""
LEVEL = 0.01
"""Chance of the Wald test below which something is hidden."""
CLEAR = 1.64
"""Standard errors from zero at which a sign counts."""
FEWEST = 1_000
"""Rows below which nothing is said."""
FEWEST_TOUCHES = 30
"""Rows with touches to come that a channel must have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FutureTouches:
    """What touches to come say of purchases. Own channels K."""

    channels: tuple[str, ...]
    coefficients: Float
    """Change of log purchases per log(1 + touches to come), shape (K,)."""
    std_errors: Float
    """Clustered by customer, shape (K,)."""
    statistic: float
    """Wald statistic, chi-squared with K degrees of freedom where nothing is hidden."""

    @property
    def p_value(self) -> float:
        """Chance of as large a statistic where nothing is hidden."""
        return float(distributions.chi2.sf(self.statistic, len(self.channels)))

    @property
    def verdict(self) -> Literal["nothing", "level", "satisfaction"]:
        """What seems to be hidden."""
        if self.p_value >= LEVEL:
            return "nothing"
        clear = np.abs(self.coefficients) > CLEAR * self.std_errors
        signs = set(np.sign(self.coefficients[clear]).tolist())
        return "satisfaction" if len(signs) == 2 else "level"

    @property
    def words(self) -> str:
        """The test in a clause."""
        return f"touches to come go with purchases (chi-squared {self.statistic:.0f} on {len(self.channels)})"


def future_touches(panel: Panel, stocks: NDArray[np.floating]) -> FutureTouches | None:
    """Test whether own touches of t+3..t+5 go with purchases at t; None where too few rows can say.

    Parameters
    ----------
    panel, stocks
        Customers, and their decayed stocks, shape (N, P, C).
    """
    own = [k for k, origin in enumerate(panel.origins) if origin == "customer"]
    rows = _known_rows(panel)
    later = np.log1p(_touches_to_come(panel)[:, :, own])[rows]
    own = [k for k, there in zip(own, (later > 0).sum(axis=0) >= FEWEST_TOUCHES, strict=True) if there]
    later = np.log1p(_touches_to_come(panel)[:, :, own])[rows]
    bought = np.asarray(panel.purchases[rows], dtype=np.float64)
    if len(bought) < FEWEST or not own or not bought.any():
        return None
    design = np.concatenate([_columns(panel, rows), np.asarray(stocks)[rows], later], axis=1)
    customers = np.nonzero(rows)[0]
    try:
        found = fit_glm(design, bought, POISSON)
    except ModelError:
        return None
    moved = found.influence(design, bought, POISSON, customers, panel.n_customers).astype(np.float64)
    covariance = (moved.T @ moved)[-len(own) :, -len(own) :]
    effect = found.coefficients[-len(own) :]
    return FutureTouches(
        channels=tuple(panel.channels[k] for k in own),
        coefficients=effect,
        std_errors=np.sqrt(np.diag(covariance)),
        statistic=float(effect @ np.linalg.pinv(covariance) @ effect),
    )


def _known_rows(panel: Panel) -> NDArray[np.bool_]:
    """Rows of customers known to be there until the end of the touches to come, shape (N, P)."""
    t = np.arange(panel.n_periods)
    if panel.exit is not None:
        until = panel.exit
    else:
        bought = panel.purchases > 0  # not acts: those who act little would be kept for buying much
        until = last_true(bought, none=panel.n_periods - 1)
        until = np.where(bought.any(axis=1), until, -1)
    known: NDArray[np.bool_] = (t + LAG + SPAN <= until[:, None]) & (t >= panel.entry[:, None])
    known[:, panel.n_periods - LAG - SPAN :] = False
    return known


def _touches_to_come(panel: Panel) -> Float:
    """Touches of t+3..t+5, shape (N, P, C)."""
    later = np.zeros(panel.touches.shape)
    for lag in range(LAG, LAG + SPAN):
        later[:, : panel.n_periods - lag] += panel.touches[:, lag:]
    return later


def _columns(panel: Panel, rows: NDArray[np.bool_]) -> Float:
    """Constant, covariates and proxies (missing ones at the mean, and flagged), problems, periods, entry."""
    fixed = np.concatenate([panel.covariates, panel.proxies], axis=1).astype(np.float64)
    missing = np.isnan(fixed)
    counts = np.maximum((~missing).sum(axis=0), 1)
    means = np.where(missing, 0.0, fixed).sum(axis=0) / counts
    filled = np.where(missing, means, fixed) - means
    scale = np.maximum(filled.std(axis=0), 1e-12)
    gaps = missing[:, missing.any(axis=0)].astype(np.float64)
    customer, t = np.nonzero(rows)
    blocks = [
        np.ones((len(t), 1)),
        (filled / scale)[customer],
        gaps[customer],
        panel.problems[rows][:, None],
        (t[:, None] == np.unique(t)[1:]).astype(np.float64),
        (t == panel.entry[customer])[:, None].astype(np.float64) * float(panel.entry.any()),
    ]
    return np.concatenate(blocks, axis=1, dtype=np.float64)
