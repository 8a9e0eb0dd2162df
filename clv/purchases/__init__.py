"""Purchase models, one module each."""

from clv.purchases.base import FitReport, PurchaseFit
from clv.purchases.beta_geometric import BgCnbd, BgNbd, Geometric, GeometricFit, MbgCnbd, MbgNbd
from clv.purchases.bg_bb import BgBb, BgBbFit
from clv.purchases.fits import fit_from_dict, fit_purchases
from clv.purchases.observations import Observations
from clv.purchases.pareto_nbd import ParetoNbd, ParetoNbdFit
from clv.purchases.sarmanov import SarmanovNbd, SarmanovNbdFit

__all__ = [
    "BgBb",
    "BgBbFit",
    "BgCnbd",
    "BgNbd",
    "FitReport",
    "Geometric",
    "GeometricFit",
    "MbgCnbd",
    "MbgNbd",
    "Observations",
    "ParetoNbd",
    "ParetoNbdFit",
    "PurchaseFit",
    "SarmanovNbd",
    "SarmanovNbdFit",
    "fit_from_dict",
    "fit_purchases",
]
