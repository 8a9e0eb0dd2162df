"""One row per customer and period: the panel that models of retention and spend read.

Periods are calendar periods (months by default) that end with the one holding `observation_end`. Every array
has customers first and periods second, so that a chunk of customers is a slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from histories.arrays import Real
from histories.errors import DataError
from histories.exits import LEAST_SHARE

BY_CUSTOMER = (
    "touches",
    "own_acts",
    "problems",
    "spend",
    "purchases",
    "entry",
    "exit",
    "covariates",
    "proxies",
    "margin",
    "time_covariates",
    "acquisition",
    "exit_share",
    "entry_share",
    "last_moment",
    "last_is_purchase",
    "renewal_share",
    "before_renewal",
    "touch_share",
)
"""Arrays with customers first."""
BY_PERIOD = (
    "touches",
    "own_acts",
    "problems",
    "spend",
    "purchases",
    "margin",
    "time_covariates",
    "last_moment",
    "last_is_purchase",
    "renewal_share",
    "before_renewal",
    "touch_share",
)
"""Those of them with periods second."""
SHARES = ("exit_share", "entry_share")
"""Those of them that are 1 for everybody where they are not given."""
TICKS = 255
"""Steps by which a period is told apart in `Panel.touch_share`, an hour or three of a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What each customer received, did and spent in each period.

    Customers N, periods P, channels C, static covariates K, proxies J. The rows of customer i are the periods
    entry[i] <= t < P, and for a contractual company t <= exit[i] too; outside them every array is zero.
    """

    channels: tuple[str, ...]
    """Names of the C channels."""
    groups: tuple[str, ...]
    """Group of each channel, length C."""
    origins: tuple[str | None, ...]
    """Who acts in each channel, "customer" or "firm" (None: not said), length C."""
    touches: Real
    """Days with a treatment, shape (N, P, C), float32."""
    own_acts: Real
    """Days with an act of the customer's own, answered or not, summed over channels, shape (N, P)."""
    problems: Real
    """Problems opened, counts, shape (N, P)."""
    spend: Real
    """Net revenue in currency, shape (N, P)."""
    purchases: Real
    """Purchases, counts, shape (N, P)."""
    entry: NDArray[np.int64]
    """First period of each customer, shape (N,)."""
    exit: NDArray[np.int64] | None
    """Period in which the customer left, or P for those still there, shape (N,); None when nobody knows."""
    covariates: Real
    """Static confounders, numeric, NaN where missing, shape (N, K)."""
    covariate_names: tuple[str, ...]
    """Names of the K covariates."""
    proxies: Real
    """Noisy measurements of satisfaction, NaN where missing, shape (N, J)."""
    proxy_names: tuple[str, ...]
    """Names of the J proxies."""
    customer_ids: pl.Series | None = None
    """Ids in row order, or None for a simulated panel."""
    margin: Real | None = None
    """Margin in currency, shape (N, P); None when unknown."""
    acquisition: Real | None = None
    """Spend of the purchase that made the customer one, part of `spend` in the entry period, shape (N,); None
    for none. It is in every total and no touch is credited with it."""
    answered: tuple[float | None, ...] | None = None
    """Share of the customers' care contacts that were answered, by channel; None for channels without any."""
    time_covariates: Real | None = None
    """Confounders that change, as known before the period starts, NaN where missing, shape (N, P, L)."""
    time_covariate_names: tuple[str, ...] = ()
    """Names of the L changing covariates."""
    exit_share: Real | None = None
    """Share of the period of leaving that the customer lived through, in (0, 1], 1 for those still there,
    shape (N,); None: all who leave do so at the end of a period."""
    entry_share: Real | None = None
    """Share of the first period that the customer was there for, in (0, 1], 1 for those who were there from
    its start, shape (N,); None: all came at the start of a period."""
    last_moment: Real | None = None
    """Share of each period that had passed at its last sign of life (an own act or a purchase), 0 without
    one, shape (N, P), float32; None where the moments of events are not known."""
    last_is_purchase: NDArray[np.bool_] | None = None
    """Whether that last sign was a purchase, shape (N, P); None where the moments of events are not known."""
    touch_moments: Real | None = None
    """Touches of those who were there from the start of a period to its end, by the part of it in which they
    came, counts, shape (P, C, M) for M equal parts; None where the moments of touches are not known."""
    renewal_share: Real | None = None
    """Share of each period that had passed at the customer's own renewal, 0 without one, shape (N, P); None
    where customers leave on any day."""
    before_renewal: Real | None = None
    """Touches of each period until then, counts, shape (N, P, C)."""
    touch_share: NDArray[np.uint8] | None = None
    """Mean share of each period that had passed at its touches, in 255ths (`TICKS`), 0 without any, shape
    (N, P, C); None where the moments of touches are not known."""
    at_any_moment: bool = False
    """Whether customers who leave in silence do so at any moment of a period, not at its end."""
    stops: tuple[str, ...] = ()
    """Channels of the firm whose touches stop with the customer: they count among `own_acts`."""
    reacts: tuple[str, ...] | None = None
    """Channels whose touches follow recent purchases (`histories.reactions`); None where the order of events
    is not known."""
    announces: Mapping[str, str] = field(default_factory=dict)
    """Channels whose touches announce leaving (`histories.last_days`) or a purchase (`histories.on_the_way`),
    with what that speaks against: no stock of theirs is a cause, and none of their touches a sign of
    satisfaction."""
    notes: tuple[str, ...] = ()
    """What of the histories is not in the panel, and why."""

    @property
    def n_customers(self) -> int:
        """Number of customers N."""
        return int(self.touches.shape[0])

    @property
    def n_periods(self) -> int:
        """Number of periods P."""
        return int(self.touches.shape[1])

    @property
    def n_channels(self) -> int:
        """Number of channels C."""
        return int(self.touches.shape[2])

    @property
    def contractual(self) -> bool:
        """Whether the end of each customer's relation is recorded."""
        return self.exit is not None

    @property
    def tells_life(self) -> NDArray[np.bool_]:
        """Whether a touch of the channel shows that the customer is there still, shape (C,)."""
        pairs = zip(self.channels, self.origins, strict=True)
        return np.array([origin == "customer" or name in self.stops for name, origin in pairs])

    @property
    def by_firm(self) -> NDArray[np.bool_]:
        """Whether the firm acts in a channel, shape (C,)."""
        return np.array([origin == "firm" for origin in self.origins])

    @property
    def late(self) -> NDArray[np.bool_]:
        """Whether effects of a channel's touches are told from the periods after theirs, shape (C,).

        They do where they are known to follow purchases and leaving is silent: who left has not bought.
        """
        return np.array([not self.contractual and name in (self.reacts or ()) for name in self.channels])

    @property
    def announcing(self) -> NDArray[np.bool_]:
        """Whether touches of the channel announce leaving or a purchase, shape (C,)."""
        return np.isin(self.channels, list(self.announces))

    @property
    def last(self) -> NDArray[np.int64]:
        """Last period with a row, inclusive, shape (N,)."""
        end = self.n_periods - 1
        return np.full(self.n_customers, end) if self.exit is None else np.minimum(self.exit, end)

    @property
    def exposure(self) -> Real:
        """Share of the period in which the customer was there, 0 without a row, shape (N, P)."""
        share = self.at_risk.astype(np.float64)
        if self.entry_share is not None:
            share[np.arange(self.n_customers), self.entry] = self.entry_share
        if self.exit is not None and self.exit_share is not None:
            left = np.flatnonzero(self.exit < self.n_periods)
            missed = 1.0 - self.exit_share[left]
            share[left, self.exit[left]] = np.maximum(share[left, self.exit[left]] - missed, LEAST_SHARE)
        return share

    @property
    def at_risk(self) -> NDArray[np.bool_]:
        """Whether the customer has a row in the period, shape (N, P)."""
        t = np.arange(self.n_periods)
        return (t >= self.entry[:, None]) & (t <= self.last[:, None])

    @property
    def leaves(self) -> NDArray[np.bool_]:
        """Whether the customer left in the period, shape (N, P).

        Raises
        ------
        DataError
            If nobody knows who left.
        """
        if self.exit is None:
            raise DataError("The panel has no dates of leaving; retention then needs the hidden chain.")
        left: NDArray[np.bool_] = np.arange(self.n_periods) == self.exit[:, None]
        return left

    def take(self, customers: NDArray[np.int64] | slice) -> Panel:
        """The same panel for some of its customers, by position."""
        chosen = {name: getattr(self, name) for name in BY_CUSTOMER}
        parts: dict[str, Any] = {k: None if v is None else v[customers] for k, v in chosen.items()}
        ids = self.customer_ids
        if ids is not None:
            ids = ids[customers] if isinstance(customers, slice) else ids.gather(customers)
        return replace(self, **parts, customer_ids=ids)

    def until(self, periods: int) -> Panel:
        """The same customers in the first periods, where leaving is silent."""
        cut = {name: getattr(self, name) for name in BY_PERIOD}
        first: dict[str, Any] = {name: None if v is None else v[:, :periods] for name, v in cut.items()}
        return replace(self, **first)


def join_panels(panels: Sequence[Panel]) -> Panel:
    """One panel of the customers of several, one after the other.

    A share of the first or the last period is 1 where a panel has none; the margin is unknown where it is
    unknown to one of them.
    """
    first = panels[0]
    if len(panels) == 1:
        return first
    joined: dict[str, Any] = {}
    for name in BY_CUSTOMER:
        arrays = [getattr(panel, name) for panel in panels]
        if name in SHARES and any(array is not None for array in arrays):
            arrays = [
                np.ones(panel.n_customers) if array is None else array
                for panel, array in zip(panels, arrays, strict=True)
            ]
        joined[name] = None if any(array is None for array in arrays) else np.concatenate(arrays)
    joined["touch_moments"] = add_moments([panel.touch_moments for panel in panels])
    ids = [panel.customer_ids for panel in panels if panel.customer_ids is not None]
    return replace(first, **joined, customer_ids=pl.concat(ids) if len(ids) == len(panels) else None)


def add_moments(moments: Sequence[Real | None]) -> Real | None:
    """Moments of the touches of all these customers together; None where some are not known."""
    known = [counts for counts in moments if counts is not None]
    return np.sum(known, axis=0) if known and len(known) == len(moments) else None


def last_true(flags: NDArray[np.bool_], *, none: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Last period in which each customer's flag is set; `none` where it never is.

    Parameters
    ----------
    flags
        Shape (N, P).
    none
        For those without any: one period, or one for each customer, shape (N,).

    >>> last_true(np.array([[True, False, True, False], [False] * 4]), none=-1).tolist()
    [2, -1]
    """
    periods = flags.shape[1]
    found: NDArray[np.int64] = np.where(
        flags.any(axis=1), periods - 1 - np.argmax(flags[:, ::-1], axis=1), none
    )
    return found
