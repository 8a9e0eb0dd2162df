"""The bundle's fitted model, applied to summaries that a client sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from api.problems import Problem
from api.store import Store
from experiments.bundle.reading import Bundle
from histories.errors import BundleError

if TYPE_CHECKING:
    import polars as pl

    from api.bodies import PredictBody
    from clv.rescoring import Rescorer, Valued


_BEYOND: Final = 20
"""How far beyond the bundle's customers a summary may lie: further out, series converge slowly or never."""


MOST_DAYS: Final = 3_660
"""How long after the run's day a summary may be of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """What `model.json` says about prediction.

    Attributes
    ----------
    rescorer
        The fitted models, and the forecast that they follow.
    model
        Name of that forecast.
    most
        Largest frequency and T that are predicted, from those of the customers in the bundle.
    """

    rescorer: Rescorer
    model: str
    most: Mapping[str, float] = field(default_factory=dict)

    def check(self, body: PredictBody) -> None:
        """Refuse summaries far beyond what the model was fitted on, and days that the run cannot speak of.

        Raises
        ------
        Problem
            With the number of summaries and the largest value that is allowed.
        """
        errors = []
        for name, most in self.most.items():
            beyond = sum(value > most for value in getattr(body, name))
            if beyond:
                detail = (
                    f"{beyond} above {most:g}, {_BEYOND} times the largest of the customers in the bundle"
                )
                errors.append({"at": f"$.{name}", "detail": detail})
        first, last = self.rescorer.as_of, self.rescorer.as_of + timedelta(days=MOST_DAYS)
        if body.as_of is not None and not first <= body.as_of <= last:
            errors.append({"at": "$.as_of", "detail": f"a day from {first} to {last}"})
        if errors:
            raise Problem(
                name="invalid-request",
                detail="Some summaries lie too far beyond what the model knows; see errors.",
                errors=errors,
            )

    def horizon(self, body: PredictBody) -> int:
        """Months ahead: those asked for, or the run's."""
        return self.rescorer.horizon_months if body.horizon_months is None else body.horizon_months

    def predict(self, body: PredictBody) -> Valued:
        """Values of the customers sent."""
        money, bought = None, None
        if body.monetary_value is not None:
            money = [np.nan if value is None else value for value in body.monetary_value]
        if body.purchases is not None:
            from clv.updating import Bought

            bought = [[Bought.on(order.date, order.amount) for order in orders] for orders in body.purchases]
        return self.rescorer.value_rows(
            body.frequency,
            body.recency,
            body.T,
            money,
            purchases=bought,
            as_of=body.as_of,
            horizon_months=self.horizon(body),
        )

    def alive_history(self, days: list[date], *, until: date, step_days: int) -> pl.DataFrame:
        """P(alive) of a customer who bought on these days, as `clv.pictures.alive_history` has it."""
        from clv.pictures import alive_history  # with the models, which most workers never need

        return alive_history(
            self.rescorer.fit,
            days,
            until=until,
            time_unit=self.rescorer.time_unit,
            step_days=step_days,
            opened=self.rescorer.opened,
        )


def read_predictor(bundle: Bundle, store: Store) -> Predictor | None:
    """The predictor that a bundle describes; None when the run fitted no purchase model.

    Raises
    ------
    BundleError
        When it names a model that this version does not know, or lacks a figure.
    """
    model = bundle.model
    if not model.get("purchase_model"):
        return None
    from clv.rescoring import Rescorer, scoring_card  # not before it is asked for: most workers never predict

    try:
        rescorer = Rescorer.from_card(scoring_card(model, bundle.manifest))
        return Predictor(
            rescorer=rescorer,
            model=rescorer.chosen,
            most={name: _BEYOND * max(1.0, _largest(store, name)) for name in ("frequency", "T")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"model.json lacks what a prediction needs: {error}. Run again.") from error


def _largest(store: Store, name: str) -> float:
    """Largest known value of a column; infinite where no customer has one."""
    values = store.columns[name].values
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(known.max()) if len(known) else float("inf")
