"""What the user may choose about customer value: the `[value]` part of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from histories.errors import nearest

#: The forecast that combines all models.
STACK = "stack"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ValueSettings:
    """How customers are valued.

    Attributes
    ----------
    models
        Purchase models to fit, from `clv.purchases.fits.MODELS`; empty switches lifetime value off.
    forecast
        "stack" combines all models, levelled and weighted by past windows; or the name of the one model (of
        `models`) whose forecast counts. A single model listed is the forecast.
    season
        Run purchases on a clock with season and level, from 360 days of history on.
    engine
        "fast" maximises with analytic gradients; "lifetimes" fits with the fitters of that package.
    horizon_months
        How far ahead value is counted, in months of 30.4375 days.
    discount_rate
        Per year.
    gross_margin
        Share of revenue that is margin; used where transactions carry no margin of their own.
    interval
        Probability inside every interval.
    penalizer
        Weight of the sum of squared parameters (rescaled time), as in lifetimes.
    prior
        Prior of the posterior: "weak", "flat" or "pymc" (the defaults of PyMC-Marketing).
    posterior_draws
        Draws of the importance sampler; 0 switches intervals off.
    origins
        Rolling origins on which forecasts are judged; 1 uses the calibration end alone.
    challenger
        Let a gradient-boosted regression take part in the stack.
    spend_trend
        Correct expected spend for its dependence on frequency.
    covariates
        Columns of the customers table that may shift purchase rate and dropout; BG/NBD and Pareto/NBD with
        them join the stack.
    dynamic_covariates
        Columns of the calendar table, such as campaigns and prices, that move purchases from day to day, in
        fit and forecast; Pareto/NBD with them on purchases and dropout joins the stack, and takes those of
        single customers.
    retention_cohorts
        Cohort length of the retention table.
    """

    models: tuple[str, ...] = ("bg_nbd", "mbg_nbd", "pareto_nbd", "mbg_cnbd_2")
    forecast: str = STACK
    season: bool = True
    engine: Literal["fast", "lifetimes"] = "fast"
    horizon_months: int = Field(default=12, ge=1, le=240)
    discount_rate: float = Field(default=0.10, ge=0.0, le=3.0)
    gross_margin: float | None = Field(default=None, gt=0.0, le=1.0)
    interval: float = Field(default=0.9, gt=0.0, lt=1.0)
    penalizer: float = Field(default=0.0, ge=0.0, le=1e6, allow_inf_nan=False)
    prior: Literal["weak", "flat", "pymc"] = "weak"
    posterior_draws: int = Field(default=4000, ge=0, le=100_000)
    origins: int = Field(default=3, ge=1, le=12)
    challenger: bool = True
    spend_trend: bool = False
    covariates: tuple[str, ...] = ()
    dynamic_covariates: tuple[str, ...] = ()
    retention_cohorts: Literal["month", "quarter", "year"] = "quarter"

    @field_validator("models")
    @classmethod
    def _known_models(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a model that nobody wrote, naming the nearest one that exists."""
        from clv.purchases.fits import MODELS  # settings are read by who fits nothing

        for name in models:
            if name not in MODELS:
                raise ValueError(f'unknown purchase model "{name}"; {nearest(name, MODELS)}')
        if len(set(models)) != len(models):
            raise ValueError("a purchase model is listed twice")
        return models

    @model_validator(mode="after")
    def _forecast_is_fitted(self) -> ValueSettings:
        """Refuse a forecast by a model that is not fitted."""
        allowed = (STACK, *self.models)
        if self.models and self.forecast not in allowed:
            raise ValueError(
                f'forecast = "{self.forecast}" is none of the models of this run; '
                f"{nearest(self.forecast, allowed)}"
            )
        return self
