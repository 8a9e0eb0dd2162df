"""Covariates and proxies of the shared-frailty model: learned once, applied to any customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histories.panel import Panel

__all__ = ["FrailtyDesign", "Standard", "learn_design"]

Array = NDArray[np.float64]
Float = NDArray[np.floating]

ZERO_SHARE = 0.05
"""Share of customer-periods without spend above which spend is compound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Means and scales of columns; constant columns are dropped, missing values may get a flag."""

    centre: Array
    scale: Array
    kept: NDArray[np.bool_]
    """Columns that vary."""
    flagged: NDArray[np.bool_]
    """Columns whose missing values get an indicator."""

    @staticmethod
    def learn(values: Float) -> Standard:
        """From rows of shape (n, k), NaN where missing."""
        table = np.asarray(values, dtype=np.float64)
        known = ~np.isnan(table)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, table, 0.0).sum(axis=0) / count
        scale = np.sqrt((np.where(known, table - centre, 0.0) ** 2).sum(axis=0) / count)
        kept = scale > 1e-9
        missing = 1.0 - known.mean(axis=0) if len(table) else np.zeros(table.shape[1])
        return Standard(
            centre=centre, scale=np.where(kept, scale, 1.0), kept=kept, flagged=(missing > 0) & (missing < 1)
        )

    def scaled(self, values: Float) -> Array:
        """Kept columns on the learned scale, missing values still NaN, shape (..., kept)."""
        table: Array = (np.asarray(values, dtype=np.float64) - self.centre) / self.scale
        return table[..., self.kept]

    def filled(self, values: Float) -> Array:
        """Kept columns with missing values at the mean, then the indicators of missing ones."""
        missing = np.isnan(np.asarray(values)[..., self.flagged]).astype(np.float64)
        return np.concatenate([np.nan_to_num(self.scaled(values)), missing], axis=-1)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {name: getattr(self, name).tolist() for name in ("centre", "scale", "kept", "flagged")}

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> Standard:
        """The inverse of `to_dict`."""
        return Standard(
            centre=np.array(stored["centre"], dtype=np.float64),
            scale=np.array(stored["scale"], dtype=np.float64),
            kept=np.array(stored["kept"], dtype=bool),
            flagged=np.array(stored["flagged"], dtype=bool),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrailtyDesign:
    """How a panel becomes covariates and measurements.

    Problems enter as a flag. Where customers entered at different times, their first period and
    log(1 + age) are covariates of every measurement. Calendar effects belong to the model itself.
    """

    covariates: Standard
    proxies: Standard
    over_time: Standard | None
    """Of the covariates that change with time; None when there are none."""
    staggered: bool
    """Whether customers entered at different times."""
    compound: bool
    """Whether many periods are without spend: it is then a count times a value, and its variance goes with
    its mean (a Gamma likelihood would reward a customer's level for falling without end)."""
    proxy_last: bool
    """Whether proxies measure a customer's last period instead of the first."""

    def static_columns(self, panel: Panel) -> Array:
        """A constant and the covariates, shape (N, K)."""
        return np.column_stack([np.ones(panel.n_customers), self.covariates.filled(panel.covariates)])

    def period_columns(self, panel: Panel) -> Array:
        """Problem flag and everything else that changes with time, shape (N, P, R)."""
        flag = (np.asarray(panel.problems) > 0).astype(np.float64)
        blocks = [flag[:, :, None]]
        if self.over_time is not None and panel.time_covariates is not None:
            blocks.append(self.over_time.filled(panel.time_covariates))
        if self.staggered:
            age = np.arange(panel.n_periods) - panel.entry[:, None]
            blocks.append(np.stack([age == 0, np.log1p(np.maximum(age, 0))], axis=2))
        return np.ascontiguousarray(np.concatenate(blocks, axis=2))

    def measurements(self, panel: Panel) -> Array:
        """Standardised proxies, NaN where missing, shape (N, J)."""
        return np.ascontiguousarray(self.proxies.scaled(panel.proxies))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "covariates": self.covariates.to_dict(),
            "proxies": self.proxies.to_dict(),
            "over_time": None if self.over_time is None else self.over_time.to_dict(),
            "staggered": self.staggered,
            "compound": self.compound,
            "proxy_last": self.proxy_last,
        }

    @staticmethod
    def from_dict(stored: Mapping[str, Any]) -> FrailtyDesign:
        """The inverse of `to_dict`."""
        over_time = stored["over_time"]
        return FrailtyDesign(
            covariates=Standard.from_dict(stored["covariates"]),
            proxies=Standard.from_dict(stored["proxies"]),
            over_time=None if over_time is None else Standard.from_dict(over_time),
            staggered=bool(stored["staggered"]),
            compound=bool(stored["compound"]),
            proxy_last=bool(stored["proxy_last"]),
        )


def learn_design(panel: Panel, *, use_proxies: bool, proxy_last: bool) -> FrailtyDesign:
    """Learn means and scales from a panel.

    Parameters
    ----------
    panel
        Customers and periods.
    use_proxies
        Whether proxies are measurements.
    proxy_last
        Whether they measure a customer's last period.
    """
    proxies = Standard.learn(panel.proxies)
    if not use_proxies:
        proxies = Standard(
            centre=proxies.centre,
            scale=proxies.scale,
            kept=np.zeros_like(proxies.kept),
            flagged=proxies.flagged,
        )
    over_time = None
    if panel.time_covariates is not None and panel.time_covariates.shape[2]:
        over_time = Standard.learn(panel.time_covariates[panel.at_risk])
    return FrailtyDesign(
        covariates=Standard.learn(panel.covariates),
        proxies=proxies,
        over_time=over_time,
        staggered=bool(panel.entry.min() != panel.entry.max()),
        compound=_share_without_spend(panel) > ZERO_SHARE,
        proxy_last=proxy_last,
    )


def _share_without_spend(panel: Panel) -> float:
    """Share of the customer-periods without spend."""
    return float((np.asarray(panel.spend)[panel.at_risk] <= 0).mean())
