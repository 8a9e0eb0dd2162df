"""A run's forecast, kept: its clock, models, weights and level, asked on later purchases; nothing is fitted.

The stack (`clv.stack`) scales each member to the company's level and mixes them, so a customer's forecast is
a sum of the members' own, each times one factor. The factors are kept with the members, as they were: on the
day of the run its own forecast comes out, and later a customer's forecast does not depend on who else is
asked for. The clock carries its season and level on; covariates of days are read from today's calendar, as
far from the same means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Self

import numpy as np
import polars as pl

from clv.calendar import covariates_by_day
from clv.challenger import CHALLENGER, Boosting, Tilt
from clv.clock import Clock
from clv.explained import WITH_COVARIATES, Explained
from clv.influences import Influences
from clv.outlook import Outlook, asked_of, columns_of, predict
from clv.purchases.base import PurchaseFit
from clv.purchases.covariates import CovariateFit
from clv.purchases.fits import fit_from_dict
from clv.summary import DAYS_PER_UNIT
from histories.arrays import Float
from histories.errors import DataError, TributaryError


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptForecast:
    """The members of a forecast, and what each counts.

    Attributes
    ----------
    days
        How far ahead.
    clock
        Of the company.
    factors
        What the forecast of each member is multiplied by.
    weights
        What each member counts; where one cannot take part, the others share its weight.
    fits
        Purchase models on the clock.
    explained
        Models with covariates, by the model they build on, and what they were centred on.
    boosting
        The regression; None without one.
    tilt
        How values follow the forecast.
    """

    days: float
    clock: Clock
    factors: Mapping[str, float]
    weights: Mapping[str, float]
    fits: Mapping[str, PurchaseFit]
    explained: Mapping[str, tuple[CovariateFit, Mapping[str, float]]]
    boosting: Boosting | None
    tilt: Tilt

    @classmethod
    def of(cls, outlook: Outlook, tilt: Tilt) -> Self:
        """Keep the forecast that counts."""
        stack = outlook.stack
        mixed = {model: outlook.predicted[model] for model in stack.weights}
        level = float(outlook.expected.sum())
        factors = {
            model: weight * level / float(mixed[model].sum()) if mixed[model].sum() > 0.0 else 0.0
            for model, weight in stack.weights.items()
        }
        explained = {
            model: (one.fit, one.influences.centre)
            for model, one in outlook.explained.items()
            if WITH_COVARIATES[model] in factors
        }
        return cls(
            days=outlook.days,
            clock=outlook.clock,
            factors=factors,
            weights=dict(stack.weights),
            fits={model: fit for model, fit in outlook.fits.items() if model in factors},
            explained=explained,
            boosting=outlook.boosting if CHALLENGER in factors else None,
            tilt=tilt,
        )

    def forecast(
        self,
        summary: pl.DataFrame,
        purchases: pl.LazyFrame | None,
        *,
        origin: date,
        customers: pl.DataFrame | None = None,
        calendar: pl.DataFrame | None = None,
    ) -> tuple[Float, tuple[str, ...]]:
        """Purchases of each customer in the days behind `origin`, shape (n,), and what could not take part.

        Parameters
        ----------
        summary
            Of `summarize_purchases` up to `origin`, by customer_id.
        purchases
            Of the same customers; None where the summary is all that is known of them.
        origin
            Last day seen; not before the run's.
        customers, calendar
            Where covariates come from.
        """
        clock, notes = self._clock(calendar, origin), list[str]()
        timed = clock.retime(summary, origin=origin)
        found = predict(self.fits, asked_of(self.fits, timed, summary, clock, origin=origin, days=self.days))
        for model in self.explained:
            try:
                found[WITH_COVARIATES[model]] = self._explain(
                    model, summary, clock, origin=origin, customers=customers, calendar=calendar
                )
            except TributaryError as error:
                notes.append(f"{WITH_COVARIATES[model]} takes no part: {error}")
        if self.boosting is not None and purchases is None:
            notes.append(f"{CHALLENGER} takes no part: it reads whole histories, and a summary was given")
        elif self.boosting is not None:
            assert purchases is not None
            found[CHALLENGER] = self.boosting.forecast(purchases, clock=clock, origin=origin, days=self.days)
        taking = {name: factor for name, factor in self.factors.items() if name in found}
        counted = sum(self.weights[name] for name in taking)
        if counted <= 0.0:
            raise DataError(f"no model of the forecast could be asked on {origin}: {'; '.join(notes)}")
        expected = sum(
            (factor / counted * found[name] for name, factor in taking.items()), np.zeros(summary.height)
        )
        return np.asarray(expected, dtype=np.float64), tuple(notes)

    def factor(self, fit: PurchaseFit, summary: pl.DataFrame, forecast: Float) -> Float:
        """What the purchase model's expectations are multiplied by to follow the forecast, shape (n,).

        The summary is in the time that the purchase model was fitted on.
        """
        x, t_x, T = columns_of(summary, "frequency", "recency", "T")
        horizon = np.array([self.days / DAYS_PER_UNIT[self.clock.time_unit]])
        return self.tilt.factor(forecast, fit.predict_purchases(horizon, x, t_x, T)[0])

    def _clock(self, calendar: pl.DataFrame | None, origin: date) -> Clock:
        """The clock, with the covariates of today's calendar where there are some."""
        if not self.clock.covariates or calendar is None:
            return self.clock
        names = [name for name, _, _ in self.clock.covariates]
        effect = np.array([estimate for _, estimate, _ in self.clock.covariates])
        means = dict(zip(names, self.clock.means, strict=True))
        days = covariates_by_day(calendar, names, first=self.clock.first, end=origin, means=means)
        return replace(self.clock, moved=tuple((days.matrix @ effect).tolist()))

    def _explain(
        self,
        model: str,
        summary: pl.DataFrame,
        clock: Clock,
        *,
        origin: date,
        customers: pl.DataFrame | None,
        calendar: pl.DataFrame | None,
    ) -> Float:
        """The forecast of a model with covariates."""
        fit, centre = self.explained[model]
        frame = summary
        if customers is not None:
            frame = summary.join(
                customers.unique("customer_id"),
                on="customer_id",
                how="left",
                maintain_order="left",
                suffix=" ",
            )
        influences = Influences.like(
            frame,
            names=fit.names,
            centre=centre,
            calendar=calendar,
            clock=clock,
            origin=origin,
        )
        timed = (clock if influences.constant else influences.clock).retime(summary, origin=origin)
        one = Explained(fit=fit, frame=timed, influences=influences, clock=clock)
        return np.maximum(one.predict(self.days), 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model card."""
        return {
            "days": self.days,
            "clock": self.clock.fields(),
            "factors": dict(self.factors),
            "weights": dict(self.weights),
            "fits": {model: fit.to_dict() for model, fit in self.fits.items()},
            "explained": {
                model: fit.to_dict() | {"centre": dict(centre)}
                for model, (fit, centre) in self.explained.items()
            },
            "boosting": self.boosting.to_dict() if self.boosting else None,
            "tilt": {"level": self.tilt.level, "scale": self.tilt.scale},
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Undo `to_dict`, also after a trip through JSON."""
        boosting, factors = fields["boosting"], fields["factors"]
        return cls(
            days=float(fields["days"]),
            clock=Clock.of(fields["clock"]),
            factors={model: float(factor) for model, factor in factors.items()},
            weights={model: float(weight) for model, weight in (fields.get("weights") or factors).items()},
            fits={model: fit_from_dict(fit) for model, fit in fields["fits"].items()},
            explained={
                model: (CovariateFit.from_dict(fit), fit["centre"])
                for model, fit in fields["explained"].items()
            },
            boosting=None if boosting is None else Boosting.from_dict(boosting),
            tilt=Tilt(**fields["tilt"]),
        )
