"""What customers are worth, or why that cannot be said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl
import scipy.optimize  # noqa: F401  (loads the linear algebra that is then held to one thread)
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from clv.pictures import tracking
from clv.purchases.fits import fit_from_dict
from clv.valuation import CustomerValues, value_customers
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from experiments.parts.part import Part, attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuePart(Part):
    """Customer values, the tables and pictures of them, and why they are absent where they are."""

    values: CustomerValues | None = None

    @property
    def residual_value(self) -> pl.DataFrame | None:
        """Margin expected of a customer given that it is still there, in currency: value / P(alive)."""
        if self.values is None:
            return None
        value, alive = pl.col("customer_lifetime_value"), pl.col("probability_alive")
        return self.values.customers.select(
            "customer_id", residual_value=pl.when(alive > 0).then(value / alive).otherwise(0.0)
        )


def value_part(
    config: RunConfig, histories: Histories, cost_to_serve: pl.DataFrame | None = None
) -> ValuePart:
    """Fit, judge, choose, value; nothing where models are switched off or nothing was bought.

    `cost_to_serve` holds customer_id and what each has cost so far, in currency.
    """
    if not config.value.models:
        return ValuePart(left_out={"customer values": "[value] models = [] switches lifetime value off"})
    if histories.purchases is None:
        return ValuePart(left_out={"customer values": "no transactions were given"})
    left_out: dict[str, str] = {}
    values = attempt(left_out, "customer values", lambda: _values(config, histories, cost_to_serve))
    if values is None:
        return ValuePart(left_out=left_out)
    drawn = attempt(left_out, "pictures of the purchase model", lambda: _tracking(config, histories, values))
    deciles = values.deciles
    if not deciles.is_empty():  # of the chosen model where there are several
        chosen = pl.col("model") == values.model["chosen"]
        deciles = deciles.filter(chosen & (pl.col("origin") == pl.col("origin").max()))
    return ValuePart(
        values=values,
        tables={"customers": values.customers, "validation": values.validation},
        pictures={
            "holdout_deciles": deciles,
            "cohorts": values.cohorts,
            "acquisition": values.acquisition,
            "newcomers": values.newcomers,
            **(drawn or {}),
        },
        notes=tuple(values.warnings),
        left_out=left_out,
    )


def _values(config: RunConfig, histories: Histories, cost_to_serve: pl.DataFrame | None) -> CustomerValues:
    assert histories.purchases is not None
    calendar = histories.table("calendar")
    with threadpool_limits(1, user_api="blas"):  # a handful of parameters: threads only wait for each other
        return value_customers(
            histories.purchases,
            settings=config.value,
            observation_end=histories.inputs.observation_end,
            calibration_end=config.calibration_end,
            time_unit=config.time_unit,
            currency=histories.inputs.currency or "",
            seed=config.seed,
            customers=histories.customers,
            cost_to_serve=cost_to_serve,
            purchases_at=histories.purchases_at,
            calendar=None if calendar is None else calendar.collect(),
        )


def _tracking(config: RunConfig, histories: Histories, values: CustomerValues) -> dict[str, pl.DataFrame]:
    """Purchases over time, as they came and as the calibration fit expected them."""
    name, fits = values.model["purchase_model"], values.model["calibration"]
    if name not in fits or histories.purchases is None:
        return {}
    made = tracking(
        histories.purchases,
        fit_from_dict(fits[name]),
        observation_end=date.fromisoformat(values.model["observation_end"]),
        time_unit=config.time_unit,
        closed=values.model["closed"],
    )
    return {"tracking": made}
