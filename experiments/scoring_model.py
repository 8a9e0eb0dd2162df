"""The model that MLflow loads and serves: purchase summaries in, values out.

MLflow keeps this file with the model and runs it when the model is loaded, in any process where Tributary is
installed; the fitted parameters are in the artifact `model`, the model card of the run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd  # at run time: MLflow reads the types of `predict`


class CustomerValueModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Values of customers by the purchase and spend model of a run, at the level of its forecast."""

    def load_context(self, context: Any) -> None:
        """Read the fitted models from the model card."""
        from clv.rescoring import Rescorer

        card = json.loads(Path(context.artifacts["model"]).read_text(encoding="utf-8"))
        self.rescorer = Rescorer.from_card(card)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Value each row.

        Parameters
        ----------
        context
            Of MLflow; not used.
        model_input
            frequency, recency and T in the model's time unit; monetary_value in its currency, missing where
            it is not known.
        params
            horizon_months; the run's by default.

        Returns
        -------
        DataFrame
            probability_alive, churn_probability, expected_purchases, expected_spend and
            customer_lifetime_value; missing where a row is impossible.
        """
        from clv.rescoring import is_possible

        x, t_x, T = (
            np.asarray(model_input[name], dtype=np.float64) for name in ("frequency", "recency", "T")
        )
        money = np.full(x.size, np.nan)
        if "monetary_value" in model_input:
            money = np.asarray(model_input["monetary_value"], dtype=np.float64)
        possible = is_possible(x, t_x, T)
        found = self.rescorer.values(
            x[possible],
            t_x[possible],
            T[possible],
            money[possible],
            horizon_months=int((params or {}).get("horizon_months", self.rescorer.horizon_months)),
        )
        columns = {}
        for name in (
            "probability_alive",
            "churn_probability",
            "expected_purchases",
            "expected_spend",
            "customer_lifetime_value",
        ):
            values = np.full(x.size, np.nan)
            values[possible] = found[name]
            columns[name] = values
        return pd.DataFrame(columns, index=model_input.index)


mlflow.models.set_model(CustomerValueModel())
