"""New data with a fitted model: values of today's customers, how far the data moved, and when to fit again.

The rule says *refit* when one of these holds, and names it:

- customers are others: PSI of frequency or monetary value above .25 (recency and T grow by themselves, and
  are shown only);
- the forecast no longer fits: purchases since the fit lie outside the interval that the fit gave them;
- the fit is older than the horizon that its values look ahead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from clv.intervals import sampling_variance
from clv.outlook import columns_of
from clv.rescoring import Rescorer
from clv.stack import total_interval
from clv.subscriptions import ContractFit, foresee_contracts, has_contracts, kept_contracts
from clv.summary import DAYS_PER_UNIT, summarize_holdout, summarize_purchases
from experiments.bundle.drift import ALERT, INPUTS, kolmogorov_smirnov, population_stability
from experiments.bundle.reading import Bundle
from experiments.config import RunConfig
from experiments.inputs import ID_KEY
from experiments.parts.histories import PURCHASES, Histories
from histories.errors import BundleError, ConfigError, DataError
from histories.periods import DAYS_PER_MONTH

#: Columns whose drift asks for a new fit.
TELLING = ("frequency", "monetary_value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a fitted model says of new data.

    Attributes
    ----------
    customers
        customer_id, first_purchase, frequency, recency, T, monetary_value, probability_alive,
        churn_probability, expected_purchases, expected_spend, customer_lifetime_value; by descending value.
    drift
        column, psi, ks, moved.
    decay
        Purchases since the fit: expected, low, high, actual, days; None when no day has passed.
    refit
        Reasons to fit again; empty when there is none.
    notes
        What of the forecast could not take part, in sentences.
    """

    customers: pl.DataFrame
    drift: pl.DataFrame
    decay: Mapping[str, float] | None
    refit: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the customers as a count."""
        return {
            "customers": self.customers.height,
            "customer_lifetime_value": float(self.customers["customer_lifetime_value"].sum()),
            "drift": self.drift.to_dicts(),
            "decay": None if self.decay is None else dict(self.decay),
            "refit": list(self.refit),
            "notes": list(self.notes),
        }


def score_bundle(bundle: Bundle, histories: Histories) -> Scored:
    """Value the customers of new histories with the models of a bundle; nothing is fitted.

    Raises
    ------
    BundleError
        When the bundle has no purchase model.
    DataError
        When the histories have no purchases.
    """
    card = bundle.model
    if not card.get("purchase_model"):
        raise BundleError(f"{bundle.path.name}: the run fitted no purchase model, so it cannot score.")
    purchases = histories.purchases
    if purchases is None or not histories.rows(PURCHASES):
        raise DataError("there are no purchases to score: give [inputs.transactions].")
    end, unit = histories.inputs.observation_end, str(card["time_unit"])
    summary = (
        summarize_purchases(purchases, observation_end=end, time_unit=unit).sort("customer_id").collect()
    )
    customers, notes = _values(card, summary, purchases, histories)
    before = bundle.table("customers")
    drift = _drift(before, customers)
    decay = since_fit(card, purchases, end, histories if card.get("contract") else None)
    return Scored(
        customers=customers,
        drift=drift,
        decay=decay,
        refit=(*_moved(drift), *reasons_to_refit(card, decay, end)),
        notes=notes,
    )


def check_scorable(bundle: Bundle, config: RunConfig, end: date) -> None:
    """Refuse tables that the bundle's models cannot speak of.

    Raises
    ------
    ConfigError
        When the configuration counts purchases, money or customers in another way than the bundle's.
    DataError
        When the tables end before the models do.
    """
    name, before = bundle.path.name, bundle.manifest.get("configuration") or {}
    was = {key: before.get(key) for key in ("currency", "purchase_unit")}
    now: dict[str, Any] = {"currency": config.currency, "purchase_unit": config.purchase_unit}
    sources = [
        (before.get("inputs") or {}).get("transactions"),
        config.to_dict()["inputs"].get("transactions"),
    ]
    was["zero_orders"], now["zero_orders"] = ((rows or [{}])[0].get("zero_orders") for rows in sources)
    for key, old in was.items():
        if old is not None and now[key] is not None and old != now[key]:
            raise ConfigError(
                f"{name} was made with {key} = {old!r}, and the configuration says {now[key]!r}: its models "
                "know nothing of that. Take it back, or `tributary run` with the new one."
            )
    if bool(bundle.manifest.get("pseudonyms")) != (ID_KEY in os.environ):
        holds = "pseudonyms" if bundle.manifest.get("pseudonyms") else "ids as they are"
        raise ConfigError(f"{name} holds {holds}: set, or unset, {ID_KEY} as it was for the run.")
    fitted = _fitted_on(bundle.model) if bundle.model.get("observation_end") else end
    if end < fitted:
        raise DataError(
            f"the tables end on {end}, and the models of {name} know what came up to {fitted}: they could "
            "tell nothing. Give rows up to that day at least, or another observation_end."
        )


def _values(
    card: Mapping[str, Any], summary: pl.DataFrame, purchases: pl.LazyFrame, histories: Histories
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Each customer's value by the bundle's forecast, and what of it could not take part."""
    rescorer, end = Rescorer.from_card(card), histories.inputs.observation_end
    factor, notes = rescorer.follow(summary, purchases, as_of=end, **covariates_of(histories))
    found = rescorer.values(summary, factor=factor, as_of=end)
    names = (
        "probability_alive",
        "churn_probability",
        "expected_purchases",
        "expected_spend",
        "customer_lifetime_value",
    )
    table = summary.select("customer_id", "first_purchase", *INPUTS).with_columns(
        pl.Series(name, found[name]).fill_nan(None) for name in names
    )
    if card.get("contract"):
        table = _under_contract(table, card, summary, histories)
    ranked = table.sort("customer_lifetime_value", "customer_id", descending=[True, False], nulls_last=True)
    return ranked, notes


def covariates_of(histories: Histories) -> dict[str, pl.DataFrame | None]:
    """The tables that covariates come from, as `Rescorer.follow` takes them."""
    calendar = histories.table("calendar")
    return {
        "customers": histories.customers,
        "calendar": None if calendar is None else calendar.collect(),
    }


def _contracts(
    card: Mapping[str, Any], summary: pl.DataFrame, histories: Histories, end: date
) -> ContractFit:
    """The contracts of a day, by the bundle's parameters."""
    if not has_contracts(histories.customers):
        raise DataError(
            "the run valued contracts, so leaving is known and not guessed: give [inputs] customers with "
            "acquired_at and ended_at."
        )
    assert histories.customers is not None
    return kept_contracts(card["contract"], histories.customers, summary, end=end)


def _under_contract(
    table: pl.DataFrame, card: Mapping[str, Any], summary: pl.DataFrame, histories: Histories
) -> pl.DataFrame:
    """Presence, purchases and value of customers with a contract, as the run has them."""
    told = foresee_contracts(
        _contracts(card, summary, histories, histories.inputs.observation_end),
        months=int(card["horizon_months"]),
        discount_rate=float(card["discount_rate"]),
        gross_margin=float(card["gross_margin"]),
    )
    joined = table.join(told, on="customer_id", how="left", maintain_order="left")
    worth = pl.col("c_expected") * pl.col("expected_spend") * pl.col("c_discount")
    told_of = {
        "probability_alive": pl.col("c_alive"),
        "churn_probability": pl.col("c_churn"),
        "customer_lifetime_value": worth,
        "expected_purchases": pl.col("c_expected"),
    }
    known = pl.col("c_alive").is_not_null()
    return joined.with_columns(
        pl.when(known).then(value).otherwise(pl.col(name)).alias(name) for name, value in told_of.items()
    ).select(table.columns)


def _drift(before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """PSI and KS of the customer figures since the fit."""
    rows = []
    for column in INPUTS:
        old, new = (columns_of(frame, column)[0] for frame in (before, now))
        psi = population_stability(old, new)
        rows.append({"column": column, "psi": psi, "ks": kolmogorov_smirnov(old, new), "moved": psi > ALERT})
    return pl.DataFrame(rows)


def since_fit(
    card: Mapping[str, Any], purchases: pl.LazyFrame, end: date, contracts: Histories | None = None
) -> dict[str, float] | None:
    """What the fit expected of its own customers from then to now, and what came; None before a day passed.

    Parameters
    ----------
    card
        The run's `model.json`.
    purchases
        Of all customers, as `build_purchases` makes them.
    end
        Last day seen.
    contracts
        Where a run that valued contracts finds them.
    """
    fitted, unit = _fitted_on(card), str(card["time_unit"])
    if end <= fitted:
        return None
    rescorer = Rescorer.from_card(card)
    fit = rescorer.fit
    summary = summarize_purchases(purchases, observation_end=fitted, time_unit=unit).sort("customer_id")
    known = summary.collect()
    timed = rescorer.open_time(known, as_of=fitted)
    later = summarize_holdout(purchases, after=fitted, until=end).collect()
    bought = known.select("customer_id").join(later, on="customer_id", how="inner")["holdout_purchases"]
    x, t_x, T = columns_of(timed, "frequency", "recency", "T")
    days = (end - fitted).days
    horizon = days / DAYS_PER_UNIT[unit]
    each = fit.predict_purchases(np.array([horizon]), x, t_x, T)[0] * rescorer.level
    if contracts is not None:
        under = _contracts(card, known, contracts, fitted)
        ahead = pl.Series("ahead", under.expected_purchases(days / DAYS_PER_MONTH))
        signed = under.frame.select("customer_id", ahead)
        told = known.select("customer_id").join(signed, on="customer_id", how="left", maintain_order="left")
        each = told.select(pl.col("ahead").fill_null(pl.Series(each))).to_series().to_numpy()
    expected = float(each.sum())
    forecast = card.get("forecast") or {}
    errors = [
        float(np.log(window["actual"] / window["forecast"])) - float(forecast.get("bias", 0.0))
        for window in forecast.get("past_windows", ())
    ]
    sampling = sampling_variance(fit, None, timed, horizon, rng=np.random.default_rng(0)).purchases
    low, high = total_interval(
        expected, sampling=sampling, errors=errors, level=float(card.get("interval", 0.9))
    )
    return {
        "days": float(days),
        "expected": expected,
        "low": low,
        "high": high,
        "actual": float(bought.sum() or 0),
    }


def _fitted_on(card: Mapping[str, Any]) -> date:
    return date.fromisoformat(str(card["observation_end"]))


def _moved(drift: pl.DataFrame) -> list[str]:
    """Which figures of the customers have moved too far."""
    return [
        f"{row['column']} has moved (PSI {row['psi']:.2f}, {ALERT:.2f} allowed)"
        for row in drift.filter(pl.col("moved") & pl.col("column").is_in(TELLING)).iter_rows(named=True)
    ]


def reasons_to_refit(card: Mapping[str, Any], decay: Mapping[str, float] | None, end: date) -> list[str]:
    """Why to fit again: what came lies outside what was expected, or the fit is too old for its horizon."""
    reasons = []
    if decay is not None and not decay["low"] <= decay["actual"] <= decay["high"]:
        reasons.append(
            f"{decay['actual']:,.0f} purchases came in {decay['days']:.0f} days where "
            f"{decay['expected']:,.0f} [{decay['low']:,.0f}, {decay['high']:,.0f}] were expected"
        )
    age, longest = (end - _fitted_on(card)).days, round(int(card["horizon_months"]) * DAYS_PER_MONTH)
    if age > longest:
        reasons.append(f"the fit is {age} days old, its values look {longest} days ahead")
    return reasons
