"""Purchase models, one module each."""

from clv.purchases.beta_geometric import BgCnbdFit, BgNbd, BgNbdFit, MbgCnbdFit, MbgNbd, MbgNbdFit
from clv.purchases.fits import PurchaseFit, fit_from_dict, fit_purchases
from clv.purchases.observations import Observations
from clv.purchases.pareto_nbd import ParetoNbd, ParetoNbdFit
from clv.purchases.report import FitReport

__all__ = [
    "BgCnbdFit",
    "BgNbd",
    "BgNbdFit",
    "FitReport",
    "MbgCnbdFit",
    "MbgNbd",
    "MbgNbdFit",
    "Observations",
    "ParetoNbd",
    "ParetoNbdFit",
    "PurchaseFit",
    "fit_from_dict",
    "fit_purchases",
]
