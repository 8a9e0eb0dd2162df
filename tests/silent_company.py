"""A panel of one's own making, for tests that write down what each customer did."""

from __future__ import annotations

from typing import Any

import numpy as np

from histories.arrays import Real
from histories.panel import Panel

AMOUNT = 20.0
"""Spend of every purchase."""


def panel_of(
    origins: dict[str, str], touches: Real, purchases: Real, *, groups: tuple[str, ...] = (), **more: Any
) -> Panel:
    """Customers who entered in the first period, told by their touches and purchases; nobody says who left.

    Parameters
    ----------
    origins
        Who acts in each of the C channels; touches of customers are their acts.
    touches, purchases
        Counts, shapes (N, P, C) and (N, P).
    groups
        Of the channels; by default their own names.
    more
        Other fields of the panel.
    """
    n = len(purchases)
    acting = [who == "customer" for who in origins.values()]
    fields: dict[str, Any] = {
        "own_acts": touches[:, :, acting].sum(axis=2).astype(np.float64),
        "problems": np.zeros(purchases.shape),
        "spend": AMOUNT * purchases,
        "entry": np.zeros(n, dtype=np.int64),
        "exit": None,
        "covariates": np.zeros((n, 0)),
        "covariate_names": (),
        "proxies": np.zeros((n, 0)),
        "proxy_names": (),
    }
    return Panel(
        channels=tuple(origins),
        groups=groups or tuple(origins),
        origins=tuple(origins.values()),
        touches=touches.astype(np.float32),
        purchases=np.asarray(purchases, dtype=np.float64),
        **(fields | more),
    )
