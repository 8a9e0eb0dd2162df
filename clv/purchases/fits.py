"""The purchase models by name: one registry, how to fit one, and how to bring one back from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import polars as pl

from clv.purchases.base import PurchaseFit
from clv.purchases.beta_geometric import Geometric
from clv.purchases.bg_bb import BgBb
from clv.purchases.pareto_nbd import ParetoNbd
from clv.purchases.sarmanov import SarmanovNbd
from histories.errors import BundleError, ConfigError, nearest

#: Every purchase model, as a value; a stack builds on the first of them that was fitted.
MODELS: Final[Mapping[str, Geometric | ParetoNbd | SarmanovNbd | BgBb]] = {
    "mbg_nbd": Geometric(k=1, birth=1),
    "bg_nbd": Geometric(k=1, birth=0),
    "pareto_nbd": ParetoNbd(),
    "mbg_cnbd_2": Geometric(k=2, birth=1),
    "mbg_cnbd_3": Geometric(k=3, birth=1),
    "bg_cnbd_2": Geometric(k=2, birth=0),
    "bg_cnbd_3": Geometric(k=3, birth=0),
    "pareto_nbd_sarmanov": SarmanovNbd(),
    "bg_bb": BgBb(),
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
    if model not in MODELS:
        raise ConfigError(f'unknown purchase model "{model}"; {nearest(model, MODELS)}')
    return replace(MODELS[model], penalizer=penalizer).fit(summary)


def fit_from_dict(fields: Mapping[str, Any]) -> PurchaseFit:
    """Bring a fit back from `to_dict`, also after a trip through JSON.

    Raises
    ------
    BundleError
        When the model is not one of ours.
    """
    model = str(fields.get("model"))
    if model not in MODELS:
        raise BundleError(f'a fit names the purchase model "{model}"; {nearest(model, MODELS)}')
    return MODELS[model].fitted.from_dict(fields)
