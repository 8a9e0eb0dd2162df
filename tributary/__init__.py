"""The front door: `import tributary as tb`, the command line and the HTTP client.

Frames in are Polars, pandas or Arrow with the column names of the input tables; amounts are in currency.
Nothing is imported before it is used, so that `import tributary` takes no time.

>>> import tributary as tb
>>> paths = {"path": ["forum > chat", "chat"], "conversions": [3, 1], "nulls": [2, 4]}
>>> tb.credit_paths(paths, methods=["last", "shapley"]).shown["channel"].to_list()
['chat', 'forum', '(untouched)', '(total)']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clv.purchases import BgNbd, MbgNbd, ParetoNbd
    from clv.spend import GammaGamma
    from tributary.client import Client
    from tributary.crediting import credit, credit_paths, effect
    from tributary.words import (
        histories,
        load,
        plot,
        read,
        run,
        simulate,
        summarize,
        value,
    )

__all__ = [
    "BgNbd",
    "Client",
    "GammaGamma",
    "MbgNbd",
    "ParetoNbd",
    "credit",
    "credit_paths",
    "effect",
    "histories",
    "load",
    "plot",
    "read",
    "run",
    "simulate",
    "summarize",
    "value",
]

_HOMES = {
    "BgNbd": "clv.purchases",
    "MbgNbd": "clv.purchases",
    "ParetoNbd": "clv.purchases",
    "GammaGamma": "clv.spend",
    "Client": "tributary.client",
    "credit": "tributary.crediting",
    "credit_paths": "tributary.crediting",
    "effect": "tributary.crediting",
}


def __getattr__(name: str) -> Any:
    """Import a word when it is first said."""
    if name not in __all__:
        raise AttributeError(f"tributary has no {name!r}; it has {', '.join(__all__)}.")
    found = getattr(import_module(_HOMES.get(name, "tributary.words")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
