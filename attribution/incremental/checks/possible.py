"""Whether what a model says of companies without a channel is possible at all, and measured at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from attribution.incremental.aumann_shapley import PanelCredit, creditable_share
from attribution.incremental.bootstrap import CreditDraws
from attribution.incremental.setfunction import FittedPanelModel
from histories.arrays import Float
from histories.panel import Panel, last_true

CUSTOMERS = 2_000
"""Customers on whom the values are taken; they are scaled to all."""
SLACK = 1.01
"""Rounding that a bound allows for."""
FAR = 10.0
"""Times the bound above which it does not matter by how much."""
MOST_SPENT = 2.0
"""What those who are there may spend without a channel, in what they spend with all."""


def values_without(
    model: FittedPanelModel, panel: Panel, stocks: NDArray[np.float32], *, rng: np.random.Generator
) -> Float:
    """Expected survivors and spend without each channel, then without any, shape (2, C + 1).

    v(K) of `attribution.incremental.setfunction` on at most 2,000 customers, scaled to all.

    Parameters
    ----------
    model
        A fit.
    panel, stocks
        Customers, and their decayed stocks, shape (N, P, C).
    rng
        Draws the customers, and their latents where the model has any.
    """
    rows = np.sort(rng.permutation(panel.n_customers)[:CUSTOMERS])
    scale = panel.n_customers / len(rows)
    few, held = panel.take(rows), stocks[rows].astype(np.float64)
    prediction = model.predict(few, stocks[rows], rng=rng)
    share, staying = prediction.layer_weights
    offsets = prediction.hazard_offset
    at_risk, spend = few.at_risk, np.asarray(few.spend, dtype=np.float64)
    credited = spend * creditable_share(few)
    found = np.empty((2, few.n_channels + 1))
    for k in range(few.n_channels + 1):
        away = held if k == few.n_channels else held * (np.arange(few.n_channels) == k)
        kept, spent = 0.0, 0.0
        amount = spend - credited, credited * np.exp(-(away @ model.gamma))
        for layer in range(len(share)):
            stays = np.zeros((few.n_customers, few.n_periods + 1))
            if offsets is not None:
                odds = offsets[layer] + held @ model.beta
                gain = np.logaddexp(0.0, odds) - np.logaddexp(0.0, odds - away @ model.beta)
                stays[:, 1:] = np.cumsum(np.where(at_risk, gain, 0.0), axis=1)
            with np.errstate(over="ignore"):  # what cannot be is infinite, and found out
                weight = np.exp(stays)
                kept += float(_times(staying[layer], weight[:, -1]))
                moved = amount[0] + weight[:, :-1] * amount[1]
                spent += float(_times(share[layer], moved.sum(axis=1)))
        found[:, k] = kept * scale, spent * scale
    return found


def _times(weight: NDArray[np.floating], value: Float) -> np.float64:
    """Weighted sum in which nothing weighs nothing, also infinity."""
    return np.float64(np.where(weight > 0, weight * value, 0.0).sum())


def impossible_values(panel: Panel, values: Float) -> tuple[str, ...]:
    """What of `values_without` cannot be, in words.

    Retention lies between none and all customers; spend is at most what all would have spent had they stayed
    to the end and spent twice as much while there.
    """
    signs = (panel.purchases > 0) | (panel.own_acts > 0) | (panel.spend > 0)
    last = last_true(signs, none=panel.entry)
    lived = (np.minimum(last, panel.last) - panel.entry + 1).sum()
    whole = (panel.n_periods - panel.entry).sum()
    most = (float(panel.n_customers), MOST_SPENT * float(panel.spend.sum()) * whole / max(lived, 1))
    names = [f"without {name}" for name in panel.channels] + ["without any channel"]
    found = []
    for what, row, bound in zip(("customers kept", "spend"), values, most, strict=True):
        worst = int(np.argmax(row))
        if row[worst] > SLACK * bound:
            far = row[worst] > FAR * bound
            expected = f"more than {FAR:g} times" if far else f"{row[worst]:,.0f} {what}, above"
            than = f"the {bound:,.0f} {what} that" if far else f"the {bound:,.0f} that"
            found.append(f"impossible: {names[worst]} the model expects {expected} {than} there can be")
    return tuple(found)


def unmeasured_channels(credit: PanelCredit, draws: CreditDraws, outcome: str) -> Mapping[str, str]:
    """Channels whose standard error exceeds the whole outcome, with the reason."""
    total = abs(credit.require(outcome).total)
    found = {}
    for k, name in enumerate(credit.channels):
        error = draws.std(outcome, np.arange(len(credit.channels)) == k)
        if error > 1000.0 * total:
            found[name] = "not measured: the standard error is over 1,000 times the whole outcome"
        elif error > total:
            found[name] = f"not measured: the standard error, {error:,.0f}, exceeds the whole outcome"
    return found


def unbounded_outcome(draws: CreditDraws, outcome: str) -> tuple[str, ...]:
    """Why no credit of an outcome is supported whose replicates are no numbers: nothing bounds it."""
    if np.isfinite(draws.deviations[outcome]).all():
        return ()
    return ("no standard error could be worked out: the data do not bound the effects",)
