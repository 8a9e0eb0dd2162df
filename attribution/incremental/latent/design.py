"""What the latent dropout model reads of a panel: emissions, drivers and their names.

Three log-linear predictors share the static columns and the season::

    leaving    eta_it   = a0 + x_i a + season_t g + drivers_it (beta, ...)
    purchases  log e_it = c0 + x_i c + season_t g' + drivers_it (gamma, ...) + first_it f
    own acts   log m_it = b0 + x_i b + season_t g'' + habits_it k

The drivers are the channel stocks, the stock of problems where any are recorded, and covariates that change.
The habits let acts follow earlier acts, purchases, channel stocks and a trend, so that what is left of
silence is evidence of dropout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from attribution.incremental.latent.arrays import FloatArray, IntArray, Stocks
from attribution.incremental.latent.scales import ColumnScale
from attribution.incremental.stocks import decayed_stocks
from histories.panel import Panel

__all__ = ["LatentDesign", "LatentInputs", "season_columns"]

YEAR = 12
"""Periods in one turn of the season."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentInputs:
    """Arrays of N customers, P periods, ready for the likelihood; nothing here depends on a parameter."""

    static: FloatArray
    """Standardised covariates, shape (N, K)."""
    season: FloatArray
    """Harmonics of the year, shape (P, G)."""
    drivers: FloatArray
    """Channel stocks, the stock of problems if any, then changing covariates, shape (N, P, M)."""
    first: FloatArray
    """1 in a customer's first period, shape (N, P, 1), or (N, P, 0) when all start with the first period."""
    habits: FloatArray
    """What the customer's own acts follow, shape (N, P, H)."""
    purchases: FloatArray
    """Purchases that count as emissions, shape (N, P)."""
    acts: FloatArray
    """The customer's own acts, shape (N, P)."""
    entry: IntArray
    """First period, shape (N,)."""
    last: IntArray
    """Last period with a purchase or an act of the customer's own, at least the entry, shape (N,)."""
    frailty: bool
    """Whether customers may differ in leaving beyond these columns."""
    offset: FloatArray
    """Log of the share of each period that a customer was there for, 0 for all of it, shape (N, P)."""

    @property
    def n_customers(self) -> int:
        """Number of customers N."""
        return int(self.purchases.shape[0])

    @property
    def n_periods(self) -> int:
        """Number of periods P."""
        return int(self.purchases.shape[1])

    def take(self, customers: IntArray | slice) -> LatentInputs:
        """The same arrays for some customers, by position."""
        rows = ("static", "drivers", "first", "habits", "purchases", "acts", "entry", "last", "offset")
        return replace(self, **{name: getattr(self, name)[customers] for name in rows})


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentDesign:
    """How a panel becomes inputs: fixed by the customers a model was fitted to."""

    static: ColumnScale
    """Covariates and proxies."""
    changing: ColumnScale
    """Covariates that change, as known before each period."""
    own: tuple[bool, ...]
    """Whether each channel's touches are acts of the customer's own, length C."""
    with_problems: bool
    """Whether the stock of problems drives leaving and purchases."""
    enters_by_purchase: bool
    """Whether every customer enters with a purchase; that one is then no emission."""
    staggered: bool
    """Whether customers enter in different periods."""
    harmonics: int
    """Number of sine and cosine pairs of the year in each predictor."""
    decay: float
    """Share of a stock left after one period."""
    frailty: bool
    """Whether customers may differ in leaving beyond what is seen of them."""

    @classmethod
    def measure(cls, panel: Panel, *, harmonics: int, decay: float, frailty: bool = True) -> LatentDesign:
        """Read from a panel which columns exist."""
        rows = np.arange(panel.n_customers)
        return cls(
            static=ColumnScale.measure(_static_columns(panel), (*panel.covariate_names, *panel.proxy_names)),
            changing=ColumnScale.measure(_changing_columns(panel), panel.time_covariate_names),
            own=tuple(origin == "customer" for origin in panel.origins),
            with_problems=bool(panel.problems.any()),
            enters_by_purchase=bool((panel.purchases[rows, panel.entry] > 0).all()),
            staggered=bool(np.ptp(panel.entry) > 0),
            harmonics=harmonics,
            decay=decay,
            frailty=frailty,
        )

    def season(self, periods: int) -> FloatArray:
        """Harmonics of the year, shape (periods, 2 harmonics)."""
        return season_columns(periods, self.harmonics)

    @property
    def n_drivers(self) -> int:
        """Number of driver columns M."""
        return self.n_fading + len(self.changing.names)

    @property
    def n_fading(self) -> int:
        """Number of the first driver columns that are stocks: channels, then problems if any."""
        return len(self.own) + int(self.with_problems)

    @property
    def habit_names(self) -> tuple[str, ...]:
        """Names of the columns that the customer's own acts follow."""
        firm = () if all(self.own) else ("stock of the firm's acts",)
        first = ("first period",) if self.staggered else ()
        return (
            "earlier own stock",
            "acts one period ago",
            "purchases one period ago",
            "purchases",
            "trend",
            *firm,
            *first,
        )

    def inputs(self, panel: Panel, stocks: Stocks) -> LatentInputs:
        """The model's arrays for these customers.

        Parameters
        ----------
        panel
            Customers and periods.
        stocks
            Decayed stocks of the panel's touches, shape (N, P, C).
        """
        acts = np.asarray(panel.own_acts, dtype=np.float64)
        purchases = np.asarray(panel.purchases, dtype=np.float64)
        emitted = purchases.copy()
        if self.enters_by_purchase:
            emitted[np.arange(len(emitted)), panel.entry] -= 1.0
        drivers = np.asarray(stocks, dtype=np.float64)
        if self.with_problems:
            problem = decayed_stocks(panel.problems[:, :, None], decay=self.decay)
            drivers = np.concatenate([drivers, problem.astype(np.float64)], axis=2)
        drivers = np.concatenate([drivers, self.changing.apply(_changing_columns(panel))], axis=2)
        periods = np.arange(panel.n_periods)
        first = (periods == panel.entry[:, None])[:, :, None].astype(np.float64)
        signs = (purchases > 0) | (acts > 0)
        seen = np.where(signs.any(axis=1), panel.n_periods - 1 - signs[:, ::-1].argmax(axis=1), 0)
        return LatentInputs(
            static=self.static.apply(_static_columns(panel)),
            season=self.season(panel.n_periods),
            drivers=drivers,
            first=first if self.staggered else first[:, :, :0],
            habits=self._habits(acts, purchases, np.asarray(stocks), first),
            purchases=emitted,
            acts=acts,
            entry=np.asarray(panel.entry, dtype=np.int64),
            last=np.maximum(seen, panel.entry).astype(np.int64),
            frailty=self.frailty,
            offset=_log_share(panel),
        )

    def _habits(
        self, acts: FloatArray, purchases: FloatArray, stocks: Stocks, first: FloatArray
    ) -> FloatArray:
        own = np.array(self.own)
        count, periods = acts.shape
        trend = np.broadcast_to(np.arange(periods) / YEAR, (count, periods))
        columns = [
            _lagged(stocks[:, :, own].sum(axis=2)),
            _lagged(np.log1p(acts)),
            _lagged(np.log1p(purchases)),
            np.log1p(purchases),
            trend,
        ]
        if not own.all():
            columns.append(stocks[:, :, ~own].sum(axis=2))
        if self.staggered:
            columns.append(first[:, :, 0])
        return np.stack(columns, axis=2).astype(np.float64)


def _log_share(panel: Panel) -> FloatArray:
    """Log of the share of its first period that a customer was there for, 0 in all others."""
    offset = np.zeros((panel.n_customers, panel.n_periods))
    if panel.entry_share is not None:
        offset[np.arange(panel.n_customers), panel.entry] = np.log(panel.entry_share)
    return offset


def _static_columns(panel: Panel) -> FloatArray:
    return np.concatenate([panel.covariates, panel.proxies], axis=1).astype(np.float64)


def _changing_columns(panel: Panel) -> FloatArray:
    if panel.time_covariates is None:
        return np.zeros((panel.n_customers, panel.n_periods, 0))
    return np.asarray(panel.time_covariates, dtype=np.float64)


def _lagged(values: FloatArray) -> FloatArray:
    shifted = np.zeros_like(values)
    shifted[:, 1:] = values[:, :-1]
    return shifted


def season_columns(periods: int, count: int) -> FloatArray:
    """Cosines and sines of the year, shape (periods, 2 count); period 0 is the panel's first."""
    angle = 2 * np.pi * np.arange(periods)[:, None] / YEAR * np.arange(1, count + 1)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
