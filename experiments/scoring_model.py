"""The model that MLflow loads and serves: purchase summaries in, values out.

MLflow keeps this file with the model and runs it when the model is loaded, in any process where Tributary is
installed; the fitted parameters are in the artifact `model`, the model card of the run.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd  # at run time: MLflow reads the types of `predict`


class CustomerValueModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Values of customers by the forecast of a run."""

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
            it is not known. With `purchases`, all orders of a row's customer as {"date", "amount"}, the whole
            forecast is asked, as in the run; without, what reads whole histories takes no part in it.
        params
            horizon_months, and as_of, the day that the rows are of; both the run's by default.

        Returns
        -------
        DataFrame
            probability_alive, churn_probability, expected_purchases, expected_spend and
            customer_lifetime_value; missing where a row is impossible, or is not that of its purchases.
        """
        asked, bought = params or {}, None
        if "purchases" in model_input:
            from clv.updating import Bought

            bought = [
                [Bought.on(date.fromisoformat(order["date"]), order["amount"]) for order in orders]
                for orders in model_input["purchases"]
            ]
        found = self.rescorer.value_rows(
            model_input["frequency"],
            model_input["recency"],
            model_input["T"],
            model_input.get("monetary_value"),
            purchases=bought,
            as_of=date.fromisoformat(asked["as_of"]) if asked.get("as_of") else None,
            horizon_months=asked.get("horizon_months"),
        )
        names = (
            "probability_alive",
            "churn_probability",
            "expected_purchases",
            "expected_spend",
            "customer_lifetime_value",
        )
        return pd.DataFrame({name: found.columns[name] for name in names}, index=model_input.index)


mlflow.models.set_model(CustomerValueModel())
