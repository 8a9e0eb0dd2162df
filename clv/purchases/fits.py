"""The purchase models by name: how to fit one, and how to bring one back from JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from clv.purchases.base import PurchaseFit
from clv.purchases.beta_geometric import (
    BgCnbd,
    BgCnbdFit,
    BgNbd,
    BgNbdFit,
    MbgCnbd,
    MbgCnbdFit,
    MbgNbd,
    MbgNbdFit,
)
from clv.purchases.bg_bb import BgBb, BgBbFit
from clv.purchases.pareto_nbd import ParetoNbd, ParetoNbdFit
from histories.errors import BundleError, ConfigError, nearest

__all__ = ["PurchaseFit", "fit_from_dict", "fit_purchases"]

#: How to fit each model, from a summary and a penalizer.
FITTERS: dict[str, Callable[[pl.DataFrame, float], PurchaseFit]] = {
    "bg_nbd": lambda summary, penalizer: BgNbd(penalizer=penalizer).fit(summary),
    "mbg_nbd": lambda summary, penalizer: MbgNbd(penalizer=penalizer).fit(summary),
    "pareto_nbd": lambda summary, penalizer: ParetoNbd(penalizer=penalizer).fit(summary),
    "bg_bb": lambda summary, penalizer: BgBb(penalizer=penalizer).fit(summary),
    "bg_cnbd_2": lambda summary, penalizer: BgCnbd(k=2, penalizer=penalizer).fit(summary),
    "bg_cnbd_3": lambda summary, penalizer: BgCnbd(k=3, penalizer=penalizer).fit(summary),
    "mbg_cnbd_2": lambda summary, penalizer: MbgCnbd(k=2, penalizer=penalizer).fit(summary),
    "mbg_cnbd_3": lambda summary, penalizer: MbgCnbd(k=3, penalizer=penalizer).fit(summary),
}

#: The class of each fit.
FITS: dict[str, type[PurchaseFit]] = {
    "bg_nbd": BgNbdFit,
    "mbg_nbd": MbgNbdFit,
    "pareto_nbd": ParetoNbdFit,
    "bg_bb": BgBbFit,
    "bg_cnbd_2": BgCnbdFit,
    "bg_cnbd_3": BgCnbdFit,
    "mbg_cnbd_2": MbgCnbdFit,
    "mbg_cnbd_3": MbgCnbdFit,
}


def fit_purchases(model: str, summary: pl.DataFrame, *, penalizer: float = 0.0) -> PurchaseFit:
    """Fit the purchase model called `model`.

    Raises
    ------
    ConfigError
        When there is no such model.
    ConvergenceError
        When no maximum is found.
    """
    if model not in FITTERS:
        raise ConfigError(f'unknown purchase model "{model}"; {nearest(model, FITTERS)}')
    return FITTERS[model](summary, penalizer)


def fit_from_dict(fields: Mapping[str, Any]) -> PurchaseFit:
    """Bring a fit back from `to_dict`, also after a trip through JSON.

    Raises
    ------
    BundleError
        When the model is not one of ours.
    """
    model = str(fields.get("model"))
    if model not in FITS:
        raise BundleError(f'a fit names the purchase model "{model}"; {nearest(model, FITS)}')
    return FITS[model].from_dict(fields)
