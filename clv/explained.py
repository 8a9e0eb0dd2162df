"""Models with covariates: traits of customers, and what moved them from day to day.

Each model that takes covariates is fitted with them on the company's clock and makes a further member of the
stack, which weighs its forecast by past windows like any other; so covariates that say nothing move nothing.
BG/NBD takes traits; Pareto/NBD takes covariates of days as well, on purchases and on leaving.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from clv.clock import Clock
from clv.influences import Influences
from clv.purchases.covariates import CovariateFit, Covariates, Design, fit_moving
from clv.purchases.moving import Spells
from clv.settings import ValueSettings
from histories.arrays import Float, Integer
from histories.errors import DataError, TributaryError

#: Models that take covariates, and what their forecasts are called.
WITH_COVARIATES = {"bg_nbd": "bg_nbd_covariates", "pareto_nbd": "pareto_nbd_covariates"}
#: The model that takes covariates of days.
MOVES = "pareto_nbd"
#: Customers are predicted pattern by pattern of their covariates where these never change.
MOST_PATTERNS = 5_000
#: Customers, and spells behind their last purchases, of the sample that is fitted.
FITTED_CUSTOMERS, FITTED_SPELLS = 20_000, 30_000
#: Spells of all customers: more would take minutes at every origin.
MOST_SPELLS = 4_000_000
#: Customers predicted at once.
BLOCK = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A model with covariates and the customers it was made for.

    Attributes
    ----------
    fit
        Of a sample, where there are many customers.
    frame
        Their summary on the clock.
    influences
        Their covariates.
    clock
        The company's; time without covariates of days where there are some.
    """

    fit: CovariateFit
    frame: pl.DataFrame
    influences: Influences
    clock: Clock

    def predict(self, days: float) -> Float:
        """Purchases of each customer in the `days` behind the origin, shape (n,)."""
        x, t_x, T = (self.frame[name].cast(pl.Float64).to_numpy() for name in ("frequency", "recency", "T"))
        if self.influences.constant:
            design = Design(names=self.influences.names, matrix=self.influences.traits)
            horizon = np.array([self.clock.ahead(self.influences.origin, days)])
            return np.asarray(self.fit.predict_purchases(horizon, x, t_x, T, design)[0], dtype=np.float64)
        past, ahead = self.influences.past(), self.influences.ahead(days)
        blocks = [(first, min(first + BLOCK, x.size)) for first in range(0, x.size, BLOCK)]
        parts = [
            self.fit.predict_moving(x[first:last], past.of(first, last), ahead.of(first, last))
            for first, last in blocks
        ]
        return np.concatenate(parts)


def explain(
    summary: pl.DataFrame,
    *,
    models: Sequence[str],
    settings: ValueSettings,
    customers: pl.DataFrame | None,
    calendar: pl.DataFrame | None,
    purchases: Callable[[], pl.DataFrame],
    clock: Clock,
    origin: date,
) -> tuple[dict[str, Explained], tuple[str, ...]]:
    """Fit the models that take the configured covariates: those that could be, and why one could not.

    Parameters
    ----------
    summary
        Purchase summary at `origin` on calendar time.
    models
        Models that were fitted without covariates.
    settings
        Names the covariates.
    customers, calendar
        Where these are.
    purchases
        customer_id and date of each purchase by `origin`.
    clock, origin
        The company's clock, and the last day of history.
    """
    traits, moving = settings.covariates, settings.dynamic_covariates
    if not traits and not moving:
        return {}, ()
    if traits and customers is None:
        return {}, ("covariates were asked for, but there is no customers table",)
    frame = summary
    if customers is not None:
        present = [column for column in traits if column in customers.columns]
        known = customers.select("customer_id", *present).unique("customer_id")
        frame = summary.join(known, on="customer_id", how="left", maintain_order="left")
    found, notes = {}, []
    for model in models:
        if model not in WITH_COVARIATES or (model != MOVES and not traits):
            continue
        try:
            influences = Influences.of(
                frame,
                traits=traits,
                moving=moving if model == MOVES else (),
                calendar=calendar,
                clock=clock,
                origin=origin,
            )
            found[model] = _explain(model, frame, influences, traits, clock, purchases)
        except TributaryError as error:
            notes.append(f"{WITH_COVARIATES[model]} by {origin}: {error}")
    return found, tuple(notes)


def _explain(
    model: str,
    frame: pl.DataFrame,
    influences: Influences,
    traits: Sequence[str],
    clock: Clock,
    purchases: Callable[[], pl.DataFrame],
) -> Explained:
    """Fit one model."""
    origin = influences.origin
    if influences.constant:
        patterns = len(np.unique(influences.traits, axis=0))
        if patterns > MOST_PATTERNS:
            raise DataError(f"{patterns:,} patterns of covariates, {MOST_PATTERNS:,} at most; use classes")
        timed = clock.retime(frame, origin=origin)
        part = timed if timed.height <= FITTED_CUSTOMERS else timed.sample(FITTED_CUSTOMERS, seed=0)
        fit = Covariates(model=model, columns=tuple(traits)).fit(part)
        return Explained(fit=fit, frame=timed, influences=influences, clock=clock)
    timed = influences.clock.retime(frame, origin=origin)
    spells = influences.past()
    if spells.customer.size > MOST_SPELLS:
        raise DataError(
            f"covariates of days cut {frame.height:,} customers into {spells.customer.size:,} spells, "
            f"{MOST_SPELLS:,} at most; use weeks or months in the calendar"
        )
    rows = _sample(spells, timed.height)
    x, t_x, T = (timed[name].cast(pl.Float64).to_numpy()[rows] for name in ("frequency", "recency", "T"))
    bought = influences.bought(purchases())[rows]
    fit = fit_moving(x, t_x, T, spells.chosen(rows), bought, names=influences.names)
    return Explained(fit=fit, frame=timed, influences=influences, clock=influences.clock)


def _sample(spells: Spells, n: int) -> Integer:
    """Rows of the customers that are fitted, ascending."""
    silent = np.bincount(spells.customer[spells.silent], minlength=n)
    order = np.random.default_rng(0).permutation(n)
    room = np.searchsorted(np.cumsum(silent[order]), FITTED_SPELLS, side="right")
    return np.sort(order[: max(min(int(room), FITTED_CUSTOMERS), 1)])


def describe(explained: Mapping[str, Explained]) -> dict[str, Any]:
    """For the model card: coefficients on purchase and leaving, by model."""
    return {model: one.fit.to_dict() for model, one in explained.items()}
