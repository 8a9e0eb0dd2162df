"""Customer value: purchase summaries, purchase and spend models, value, validation."""

from clv.evaluate import VALIDATION_SCHEMA
from clv.settings import PURCHASE_MODELS, ValueSettings
from clv.spend import GammaGamma, GammaGammaFit
from clv.summary import summarize_purchases
from clv.valuation import CustomerValues, value_customers
from clv.value import CUSTOMERS_SCHEMA, predict_values

__all__ = [
    "CUSTOMERS_SCHEMA",
    "PURCHASE_MODELS",
    "VALIDATION_SCHEMA",
    "CustomerValues",
    "GammaGamma",
    "GammaGammaFit",
    "ValueSettings",
    "predict_values",
    "summarize_purchases",
    "value_customers",
]
