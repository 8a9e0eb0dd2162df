"""The bundle's fitted model, applied to summaries that a client sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from api.problems import Problem
from api.store import Store
from experiments.bundle.columns import Array
from experiments.bundle.reading import Bundle
from histories.errors import BundleError

if TYPE_CHECKING:
    from api.bodies import PredictBody
    from clv.rescoring import Rescorer


_BEYOND: Final = 20
"""How far beyond the bundle's customers a summary may lie: further out, series converge slowly or never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """What `model.json` says about prediction.

    Attributes
    ----------
    rescorer
        The fitted models at the level of the run's forecast.
    model
        Name of the purchase model.
    most
        Largest frequency and T that are predicted, from those of the customers in the bundle.
    """

    rescorer: Rescorer
    model: str
    most: Mapping[str, float] = field(default_factory=dict)

    def check(self, body: PredictBody) -> None:
        """Refuse summaries far beyond what the model was fitted on.

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
        if errors:
            raise Problem(
                name="invalid-request",
                detail="Some summaries lie too far beyond what the model knows; see errors.",
                errors=errors,
            )

    def horizon(self, body: PredictBody) -> int:
        """Months ahead: those asked for, or the run's."""
        return self.rescorer.horizon_months if body.horizon_months is None else body.horizon_months

    def predict(self, body: PredictBody) -> tuple[dict[str, Array], Array]:
        """Values by column, NaN where the summary is impossible; and where it is; shapes (n,)."""
        from clv.rescoring import is_possible  # with the models, which most workers never need

        x, t_x, age = (np.array(v, dtype=np.float64) for v in (body.frequency, body.recency, body.T))
        money = None
        if body.monetary_value is not None:
            money = np.array([np.nan if v is None else v for v in body.monetary_value], dtype=np.float64)
        possible = is_possible(x, t_x, age)
        found = self.rescorer.values(
            x[possible],
            t_x[possible],
            age[possible],
            None if money is None else money[possible],
            horizon_months=self.horizon(body),
        )
        columns = {name: np.full(len(x), np.nan) for name in found}
        for name, values in found.items():
            columns[name][possible] = values
        return columns, ~possible


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
    from clv.rescoring import Rescorer  # not before it is asked for: most workers never predict

    configured = bundle.manifest.get("configuration", {}).get("value", {})
    try:
        return Predictor(
            rescorer=Rescorer.from_card({"gross_margin": configured.get("gross_margin"), **model}),
            model=str(model["purchase_model"]),
            most={name: _BEYOND * max(1.0, _largest(store, name)) for name in ("frequency", "T")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"model.json lacks what a prediction needs: {error}. Run again.") from error


def _largest(store: Store, name: str) -> float:
    """Largest known value of a column; infinite where no customer has one."""
    values = store.columns[name].values
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(known.max()) if len(known) else float("inf")
