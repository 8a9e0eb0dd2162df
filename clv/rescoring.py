"""Values from a model card: nobody is fitted.

The run's forecast is a levelled stack (`clv.stack`), which the card keeps (`clv.kept`). It says by how much a
customer lies above or below the purchase model on calendar time, and the customer's expected purchases and
value are multiplied by it; the chance of no purchase follows. Whoever asks with the same knowledge of a
customer gets the same value. Its regression reads each whole history: where a purchase summary is all there
is, the other members share its weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from clv.clock import Clock, prices_of
from clv.intervals import churn_under
from clv.kept import KeptForecast
from clv.outlook import WHOLE_TIME, columns_of
from clv.purchases.base import PurchaseFit
from clv.purchases.fits import fit_from_dict
from clv.spend import GammaGammaFit
from clv.summary import DAYS_PER_UNIT
from clv.updating import Bought, merge_purchases, purchases_frame, summarize_customer
from clv.value import predict_values
from histories.arrays import Flags, Float
from histories.errors import DataError

#: What the forecast multiplies.
LEVELLED = ("expected_purchases", "discounted_purchases", "customer_lifetime_value")
#: A summary reaches back so many days at most.
_FURTHEST_DAYS = 700_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Valued:
    """Values of customers.

    Attributes
    ----------
    columns
        What `clv.value.predict_values` says, after the forecast; shape (n,) each, NaN where `invalid`.
    invalid
        Which rows no customer can have, or contradict the purchases beside them; shape (n,).
    notes
        What of the forecast could not take part, in sentences.
    """

    columns: Mapping[str, Float]
    invalid: Flags
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescorer:
    """The fitted models of a run, and how its values were counted.

    Attributes
    ----------
    fit, spend_fit
        Final fits of the purchase model and of the spend model.
    kept
        The forecast that counts; None where it is the purchase model's own.
    opened
        Calendar time without the stretches in which the company was closed.
    chosen
        Name of that forecast.
    level
        Its total over the purchase model's.
    as_of
        Last day that the run saw.
    horizon_months, discount_rate, gross_margin, time_unit
        As in the run: months, per year, share of revenue, day or week.
    purchase_unit, count_zero
        Orders of one day (or week) are one purchase; whether one of net 0 is.
    """

    fit: PurchaseFit
    spend_fit: GammaGammaFit | None
    kept: KeptForecast | None
    opened: Clock
    chosen: str
    level: float
    as_of: date
    horizon_months: int
    discount_rate: float
    gross_margin: float
    time_unit: str
    purchase_unit: Literal["day", "week"] = "day"
    count_zero: bool = False

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """Read a run's `model.json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it lacks a figure.
        """
        spend, kept, unit = card.get("spend"), card.get("kept"), str(card["time_unit"])
        first, end = (date.fromisoformat(str(card[name])) for name in ("first_purchase", "observation_end"))
        closed = tuple((int(start), int(stop)) for start, stop in card.get("closed") or ())
        return cls(
            fit=fit_from_dict(card["final"][card["purchase_model"]]),
            spend_fit=GammaGammaFit.from_dict(spend) if spend else None,
            kept=KeptForecast.from_dict(kept) if kept else None,
            opened=Clock(
                first=first, end=end, time_unit=unit, closed=closed, prices=prices_of(card.get("prices"))
            ),
            chosen=str(card.get("chosen", card["purchase_model"])),
            level=float((card.get("forecast") or {}).get("level", 1.0)),
            as_of=end,
            horizon_months=int(card["horizon_months"]),
            discount_rate=float(card["discount_rate"]),
            gross_margin=float(card["gross_margin"]),
            time_unit=unit,
            purchase_unit=cast(Literal["day", "week"], card.get("purchase_unit", "day")),
            count_zero=bool(card.get("count_zero", False)),
        )

    def open_time(self, summary: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
        """The summary as the models read it: without days on which nobody could buy, at today's prices."""
        clock = self.opened.calendar if self.fit.model == WHOLE_TIME else self.opened
        return clock.retime(summary, origin=as_of)

    def follow(
        self,
        summary: pl.DataFrame,
        purchases: pl.LazyFrame | None = None,
        *,
        as_of: date | None = None,
        customers: pl.DataFrame | None = None,
        calendar: pl.DataFrame | None = None,
    ) -> tuple[Float, tuple[str, ...]]:
        """By how much the forecast sees each customer above the purchase model, and what could not take part.

        Parameters
        ----------
        summary
            Of `summarize_purchases` up to `as_of`, by customer_id.
        purchases
            Of the same customers, as `build_purchases` makes them; None where they are not known.
        as_of
            Last day seen; the run's by default.
        customers, calendar
            Where covariates come from.
        """
        level = np.full(summary.height, self.level)
        if self.kept is None or not summary.height:
            return level, ()
        day = as_of or self.as_of
        try:
            forecast, notes = self.kept.forecast(
                summary, purchases, origin=day, customers=customers, calendar=calendar
            )
        except DataError as error:
            return level, (str(error),)
        return self.kept.factor(self.fit, self.open_time(summary, as_of=day), forecast), notes

    def values(
        self,
        summary: pl.DataFrame,
        *,
        factor: Float,
        as_of: date | None = None,
        horizon_months: int | None = None,
    ) -> dict[str, Float]:
        """What `predict_values` says of these customers, after the run's forecast; shape (n,) each.

        The day of the next purchase is the purchase model's own.

        Parameters
        ----------
        summary
            As for `follow`.
        factor
            Of each customer, by `follow`.
        as_of, horizon_months
            The run's by default.
        """
        timed = self.open_time(summary, as_of=as_of or self.as_of)
        x, t_x, T = columns_of(timed, "frequency", "recency", "T")
        found = predict_values(
            self.fit,
            self.spend_fit,
            x,
            t_x,
            T,
            columns_of(timed, "monetary_value")[0] if "monetary_value" in timed.columns else None,
            horizon_months=self.horizon_months if horizon_months is None else horizon_months,
            discount_rate=self.discount_rate,
            gross_margin=self.gross_margin,
            time_unit=self.time_unit,
        )
        churn = churn_under(found["probability_alive"], found["churn_probability"], factor)
        return found | {name: found[name] * factor for name in LEVELLED} | {"churn_probability": churn}

    def value_rows(
        self,
        frequency: npt.ArrayLike,
        recency: npt.ArrayLike,
        T: npt.ArrayLike,
        monetary_value: npt.ArrayLike | None = None,
        *,
        purchases: Sequence[Sequence[Bought]] | None = None,
        as_of: date | None = None,
        horizon_months: int | None = None,
    ) -> Valued:
        """Value what somebody sent.

        Parameters
        ----------
        frequency, recency, T, monetary_value
            Of each customer on `as_of`, shape (n,); recency and T in the time unit, monetary_value in
            currency and NaN where it is not known; without it there is no value in money.
        purchases
            All orders of each customer, where the whole forecast is to be asked.
        as_of, horizon_months
            The run's by default.
        """
        x, t_x, age = (np.asarray(column, dtype=np.float64) for column in (frequency, recency, T))
        day, possible, rows = as_of or self.as_of, is_possible(x, t_x, age), None
        if purchases is not None:
            rows = [self._merged(orders) for orders in purchases]
            possible &= np.array(
                [self._tells(*one, day) for one in zip(rows, x, t_x, age, strict=True)], bool
            )
        known = np.flatnonzero(possible)
        summary = _dated(x[known], t_x[known], age[known], day, DAYS_PER_UNIT[self.time_unit])
        if monetary_value is not None:
            money = np.asarray(monetary_value, dtype=np.float64)[known]
            summary = summary.with_columns(pl.Series("monetary_value", money))
        history = None if rows is None else purchases_frame({i: rows[row] for i, row in enumerate(known)})
        factor, notes = self.follow(summary, history, as_of=day)
        found = self.values(summary, factor=factor, as_of=day, horizon_months=horizon_months)
        columns = {name: np.full(x.size, np.nan) for name in found}
        for name, values in found.items():
            columns[name][known] = values
        return Valued(columns=columns, invalid=~possible, notes=notes)

    def _merged(self, orders: Sequence[Bought]) -> list[Bought]:
        return merge_purchases((), orders, purchase_unit=self.purchase_unit, count_zero=self.count_zero)

    def _tells(self, bought: Sequence[Bought], x: float, t_x: float, T: float, day: date) -> bool:
        """Whether a summary is that of these purchases, to the day."""
        own = summarize_customer(bought, as_of=day, time_unit=self.time_unit)
        if own is None:
            return False
        near = 1.0 / DAYS_PER_UNIT[self.time_unit] + 1e-9
        return own.frequency == x and abs(own.recency - t_x) < near and abs(own.T - T) < near


def scoring_card(card: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A run's `model.json` with what its bundle's manifest says of counting orders as purchases."""
    configured = manifest.get("configuration", {})
    sources = configured.get("inputs", {}).get("transactions") or [{}]
    return {
        "gross_margin": configured.get("value", {}).get("gross_margin"),
        "purchase_unit": configured.get("purchase_unit", "day"),
        "count_zero": sources[0].get("zero_orders") == "count",
        **card,
    }


def _dated(x: Float, t_x: Float, T: Float, day: date, unit: int) -> pl.DataFrame:
    """A summary with the days that follow from it, by customer_id from 0 on."""
    born = np.datetime64(day) - np.minimum(np.round(T * unit), _FURTHEST_DAYS).astype("timedelta64[D]")
    last = born + np.minimum(np.round(t_x * unit), _FURTHEST_DAYS).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "customer_id": np.arange(x.size),
            "first_purchase": born,
            "last_purchase": last,
            "frequency": x,
            "recency": t_x,
            "T": T,
        }
    )


def is_possible(x: Float, t_x: Float, T: Float) -> npt.NDArray[np.bool_]:
    """Which summaries a customer can have; shape (n,).

    >>> is_possible(np.array([0.0, 2.0, 2.0]), np.array([0.0, 0.0, 9.0]), np.array([5.0, 5.0, 5.0])).tolist()
    [True, False, False]
    """
    counts = (x >= 0) & (x == np.floor(x))
    return np.asarray(counts & (t_x >= 0) & (t_x <= T) & ((x > 0) == (t_x > 0)))
