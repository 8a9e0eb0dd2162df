"""Every check of a latent dropout fit in one value, as a table and as reasons to withhold a credit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl

from attribution.incremental.checks.holdout import HoldoutCheck, run_holdout
from attribution.incremental.checks.lapse import LapseCheck, check_lapse
from attribution.incremental.checks.placebo import PlaceboCheck, run_placebo
from attribution.incremental.checks.tried import Tried
from attribution.incremental.latent.arrays import FloatArray, Stocks
from attribution.incremental.latent.fit import LatentDropoutFit
from attribution.incremental.latent.model import LatentDropout
from histories.panel import Panel

__all__ = ["LatentChecks", "run_checks"]

Row: TypeAlias = tuple[str, str | None, float, float | None, float | None]
UNDECIDED = (0.1, 0.9)
"""Probabilities of being there between which a customer counts as undecided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentChecks:
    """What stands beside a credit from the latent dropout model."""

    fit: LatentDropoutFit
    """The model checked."""
    lapse: LapseCheck | None
    """Signs of the lapse window; None when the panel is too short for it."""
    placebo: PlaceboCheck | None
    """Credit where nothing has an effect; None when not asked for."""
    holdout: HoldoutCheck | None
    """Foreseen against seen; None when not asked for, or the panel is too short."""
    survivors: float
    """Expected customers still there."""
    undecided: int
    """Customers whose probability of being there lies between .1 and .9."""
    n: int
    """Customers scored."""
    notes: tuple[str, ...] = ()
    """Checks that could not be done, and why."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why no credit is supported; empty when nothing speaks against it."""
        found = list(self.fit.problems)
        for check in (self.lapse, self.placebo, self.holdout):
            found += [] if check is None else check.problems
        return tuple(found)

    def to_frame(self) -> pl.DataFrame:
        """One row per check: check, channel (null for the whole), value, low, high."""
        rows: list[Row] = [
            ("survivors", None, self.survivors, None, None),
            ("undecided customers", None, float(self.undecided), None, None),
            *(
                (f"survivors, {name} acts", None, value * self.n / self.fit.comparison.n, None, None)
                for name, value in self.fit.comparison.survivors.items()
            ),
            *self._lapse_rows(),
            *self._placebo_rows(),
            *self._holdout_rows(),
        ]
        schema = {
            "check": pl.String,
            "channel": pl.String,
            "value": pl.Float64,
            "low": pl.Float64,
            "high": pl.Float64,
        }
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _lapse_rows(self) -> list[Row]:
        lapse = self.lapse
        if lapse is None:
            return []
        return [
            ("lapse window", None, float(lapse.window), None, None),
            ("lapse horizon", None, float(lapse.horizon), None, None),
            ("customers not lapsed", None, float(lapse.n - lapse.lapsed), None, None),
            *_with_interval("lapse effect on leaving", lapse.channels, lapse.beta, lapse.beta_sd),
        ]

    def _placebo_rows(self) -> list[Row]:
        placebo = self.placebo
        if placebo is None:
            return []
        names = placebo.channels
        return [
            *_with_interval("placebo retention", names, placebo.retention, placebo.retention_sd),
            *_with_interval("placebo spend", names, placebo.spend, placebo.spend_sd),
        ]

    def _holdout_rows(self) -> list[Row]:
        holdout = self.holdout
        if holdout is None:
            return []
        values = (
            ("holdout purchases foreseen", holdout.predicted_purchases),
            ("holdout purchases seen", holdout.observed_purchases),
            ("holdout customers foreseen", holdout.predicted_heard),
            ("holdout customers seen", holdout.observed_heard),
        )
        return [(name, None, value, None, None) for name, value in values]


def run_checks(
    model: LatentDropout,
    fit: LatentDropoutFit,
    panel: Panel,
    stocks: Stocks,
    *,
    rng: np.random.Generator,
    placebo: bool = True,
    holdout: bool = True,
) -> LatentChecks:
    """Lapse window, placebo, holdout, and the count of customers about whom the model cannot say.

    Parameters
    ----------
    model, fit
        Choices, and the model fitted with them.
    panel, stocks
        Customers and their decayed stocks, shape (N, P, C).
    rng
        Draws the simulated companies.
    placebo, holdout
        Whether to run the two checks that refit.
    """
    survival = fit.lives(panel, stocks).survival
    low, high = UNDECIDED
    tried = Tried()
    return LatentChecks(
        fit=fit,
        lapse=tried("lapse check", lambda: check_lapse(fit, panel, stocks)),
        placebo=tried("zero-effect placebo", lambda: run_placebo(fit, panel, stocks, rng=rng))
        if placebo
        else None,
        holdout=tried("holdout check", lambda: run_holdout(model, panel, stocks, rng=rng))
        if holdout
        else None,
        survivors=float(survival.sum()),
        undecided=int(((survival > low) & (survival < high)).sum()),
        n=panel.n_customers,
        notes=tuple(tried.notes),
    )


def _with_interval(name: str, channels: tuple[str, ...], value: FloatArray, sd: FloatArray) -> list[Row]:
    """Rows with a 95 % interval."""
    return [
        (name, channel, float(v), float(v - 1.96 * s), float(v + 1.96 * s))
        for channel, v, s in zip(channels, value, sd, strict=True)
    ]
