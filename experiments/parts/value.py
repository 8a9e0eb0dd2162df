"""What customers are worth, or why that cannot be said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl
import scipy.optimize  # noqa: F401  (loads the linear algebra that is then held to one thread)
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from clv.pictures import alive_matrix, frequency_recency_matrix, tracking
from clv.purchases.fits import fit_from_dict
from clv.summary import DAYS_PER_UNIT
from clv.valuation import CustomerValues, value_customers
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from experiments.parts.part import Part, attempt

_LARGEST_FREQUENCY: Final = 15
_LARGEST_AGE: Final = 60


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
    drawn = attempt(
        left_out, "pictures of the purchase model", lambda: _model_pictures(config, histories, values)
    )
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


def _model_pictures(
    config: RunConfig, histories: Histories, values: CustomerValues
) -> dict[str, pl.DataFrame]:
    """Tracking by the calibration fit, and the matrices of the final one at the oldest customer's age."""
    name = values.model["purchase_model"]
    final = fit_from_dict(values.model["final"][name])
    oldest = max(int(values.customers["T"].max() or 1), 1)  # type: ignore[arg-type]
    age, frequency = min(oldest, _LARGEST_AGE), _LARGEST_FREQUENCY
    year = 365.25 / DAYS_PER_UNIT[config.time_unit]
    drawn = {
        "alive_matrix": alive_matrix(final, frequency=frequency, age=age),
        "frequency_recency": frequency_recency_matrix(final, frequency=frequency, age=age, t=year),
    }
    if name in values.model["calibration"] and histories.purchases is not None:
        drawn["tracking"] = tracking(
            histories.purchases,
            fit_from_dict(values.model["calibration"][name]),
            observation_end=date.fromisoformat(values.model["observation_end"]),
            time_unit=config.time_unit,
            closed=values.model["closed"],
        )
    return drawn
