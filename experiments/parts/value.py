"""What customers are worth, or why that cannot be said."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from clv.valuation import CustomerValues, value_customers
from experiments.config import RunConfig
from experiments.parts.histories import Histories
from histories.money import to_currency

__all__ = ["ValuePart", "value_part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuePart:
    """Customer values and why they are absent where they are."""

    values: CustomerValues | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def residual_value(self) -> pl.DataFrame | None:
        """Margin expected of a customer given that it is still there, in currency: value / P(alive)."""
        if self.values is None:
            return None
        value, alive = pl.col("customer_lifetime_value"), pl.col("probability_alive")
        return self.values.customers.select(
            "customer_id", residual_value=pl.when(alive > 0).then(value / alive).otherwise(0.0)
        )

    def pictures(self) -> dict[str, pl.DataFrame]:
        """Frames of the report's value section; of the chosen model where there are several."""
        if self.values is None:
            return {}
        deciles = self.values.deciles
        if not deciles.is_empty():
            deciles = deciles.filter(
                (pl.col("model") == self.values.model["chosen"])
                & (pl.col("origin") == pl.col("origin").max())
            )
        return {
            "holdout_deciles": deciles,
            "cohorts": self.values.cohorts,
            "acquisition": self.values.acquisition,
        }


def value_part(config: RunConfig, histories: Histories) -> ValuePart:
    """Fit, judge, choose, value; nothing where models are switched off or nothing was bought."""
    if not config.value.models:
        return ValuePart(left_out={"customer values": "[value] models = [] switches lifetime value off"})
    if histories.purchases is None:
        return ValuePart(left_out={"customer values": "no transactions were given"})
    customers = histories.customers
    values = value_customers(
        histories.purchases.lazy(),
        settings=config.value,
        observation_end=histories.inputs.observation_end,
        calibration_end=config.calibration_end,
        time_unit=config.time_unit,
        currency=histories.inputs.currency or "",
        seed=config.seed,
        customers=customers,
        cost_to_serve=_cost_to_serve(histories),
        purchases_at=histories.purchases_at,
    )
    return ValuePart(values=values)


def _cost_to_serve(histories: Histories) -> pl.DataFrame | None:
    """Cost of each customer's touches up to the observation end, in currency; None where none is known."""
    touches = histories.touchpoints
    if touches is None or "cost" not in touches.columns or touches["cost"].null_count() == touches.height:
        return None
    return touches.group_by("customer_id").agg(to_currency(pl.col("cost").sum()).alias("cost"))
