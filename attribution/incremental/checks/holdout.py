"""The holdout check: whether a fit without the last periods foresees them.

The model is fitted to the first P - 5 periods; every customer is then simulated onwards from the posterior at
that point. Purchases, and the number of customers heard of at all, are compared with what happened. A touch
model that takes quiet spells for dropout foresees too few customers and shows here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from attribution.incremental.checks.replica import act_mix, act_rates, followed_part, spell_chances
from attribution.incremental.latent.arrays import BoolArray, FloatArray, Stocks
from attribution.incremental.latent.fit import LatentDropoutFit
from attribution.incremental.latent.layout import predictors
from attribution.incremental.latent.likelihood import Lives
from attribution.incremental.latent.model import LatentDropout
from attribution.incremental.latent.nodes import frailty_nodes
from histories.errors import ModelError
from histories.panel import Panel

__all__ = ["HOLDOUT_LIMIT", "HoldoutCheck", "run_holdout"]

HOLDOUT_PERIODS = 5
"""Periods kept back."""
HOLDOUT_LIMIT = 0.10
"""Largest relative error of purchases, or of customers heard of, that passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutCheck:
    """Predicted against observed in the periods kept back."""

    periods: int
    """Periods kept back."""
    n: int
    """Customers who had entered before."""
    predicted_purchases: float
    """Purchases foreseen."""
    observed_purchases: float
    """Purchases made."""
    predicted_heard: float
    """Customers foreseen to buy or act at least once."""
    observed_heard: float
    """Customers who did."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What the model did not foresee, in words."""
        found: list[str] = []
        for what, predicted, observed in (
            ("purchases", self.predicted_purchases, self.observed_purchases),
            ("customers heard of", self.predicted_heard, self.observed_heard),
        ):
            off = predicted / max(observed, 1.0) - 1.0
            if abs(off) > HOLDOUT_LIMIT and abs(predicted - observed) > 3.0 * np.sqrt(max(observed, 1.0)):
                found.append(
                    f"holdout of {self.periods} periods: {what} foreseen {predicted:,.0f}, "
                    f"seen {observed:,.0f}"
                )
        return tuple(found)


def run_holdout(
    model: LatentDropout,
    panel: Panel,
    stocks: Stocks,
    *,
    rng: np.random.Generator,
    periods: int = HOLDOUT_PERIODS,
) -> HoldoutCheck:
    """Fit without the last periods and simulate them.

    Parameters
    ----------
    model
        Choices of the model.
    panel, stocks
        Customers and their decayed stocks, shape (N, P, C).
    rng
        Draws the simulated periods.
    periods
        Periods to keep back.

    Raises
    ------
    ModelError
        If no more than twice as many periods exist as are kept back.
    """
    cut = panel.n_periods - periods
    if cut <= periods:
        raise ModelError(
            f"Holdout: {panel.n_periods} periods, {periods} of them kept back. Keep back fewer, or give more."
        )
    rows = np.flatnonzero(panel.entry < cut)
    if rows.size > model.sample:
        rows = np.sort(rng.choice(rows, model.sample, replace=False))
    panel, stocks = panel.take(rows), stocks[rows]
    past = _until(panel, cut)
    fit = replace(model, errors=False).fit(past, stocks[:, :cut], rng=rng)
    purchases, heard = _onwards(fit, panel, past, stocks, rng)
    signs = (panel.purchases[:, cut:] > 0) | (panel.own_acts[:, cut:] > 0)
    return HoldoutCheck(
        periods=periods,
        n=panel.n_customers,
        predicted_purchases=purchases,
        observed_purchases=float(panel.purchases[:, cut:].sum()),
        predicted_heard=heard,
        observed_heard=float(signs.any(axis=1).sum()),
    )


def _until(panel: Panel, cut: int) -> Panel:
    """The first periods of a panel."""
    series = ("touches", "own_acts", "problems", "spend", "purchases", "margin", "time_covariates")
    cuts: dict[str, Any] = {name: getattr(panel, name) for name in series}
    shorter: dict[str, Any] = {name: None if v is None else v[:, :cut] for name, v in cuts.items()}
    return replace(panel, **shorter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Customers at the start of a period. `here` and `on` are drawn, the levels hold for good."""

    here: BoolArray
    on: BoolArray
    stock: FloatArray
    purchase_level: FloatArray
    act_level: FloatArray
    frailty: FloatArray


def _onwards(
    fit: LatentDropoutFit, panel: Panel, past: Panel, stocks: Stocks, rng: np.random.Generator
) -> tuple[float, float]:
    """Purchases and customers heard of in the periods after `past`, simulated."""
    cut, channels = past.n_periods, len(fit.channels)
    own = np.array(fit.design.own)
    inputs = fit.design.inputs(_carried(panel, cut), stocks)
    state = _last_state(fit, past, stocks[:, :cut], rng)
    stay, turn, _, off = spell_chances(fit)
    linear = predictors(inputs, fit.layout, fit.theta)
    log_m = linear.log_m - followed_part(fit, inputs)
    acts, purchases = inputs.acts.copy(), np.array(panel.purchases, dtype=np.float64)
    mix = act_mix(fit, past)
    for t in range(cut, panel.n_periods):
        on = rng.random(len(state.on)) < np.where(state.on, stay, turn)
        purchases[:, t] = 0.0
        rate = act_rates(fit, log_m, acts, purchases, state.stock[:, own].sum(axis=1), t)
        drawn = rng.poisson(rate * state.act_level * np.where(on, 1.0, off) * state.here)
        touches = np.array(panel.touches[:, t], dtype=np.float64)
        touches[:, own] = rng.multinomial(drawn, mix)[:, :-1]
        acts[:, t] = drawn
        stock = fit.design.decay * state.stock + np.log1p(touches)
        shift = stock - inputs.drivers[:, t, :channels]
        expected = np.exp(linear.log_e[:, t] + shift @ fit.gamma) * state.purchase_level
        purchases[:, t] = rng.poisson(expected * state.here)
        stays = rng.random(len(stock)) >= expit(linear.eta[:, t] + state.frailty + shift @ fit.beta)
        state = replace(state, here=state.here & stays, on=on, stock=stock)
    heard = ((purchases[:, cut:] > 0) | (acts[:, cut:] > 0)).any(axis=1)
    return float(purchases[:, cut:].sum()), float(heard.sum())


def _last_state(fit: LatentDropoutFit, past: Panel, stocks: Stocks, rng: np.random.Generator) -> _State:
    """Customers at the end of the past, drawn from the posterior."""
    lives = fit.lives(past, stocks)
    r, s = np.exp(fit.theta[fit.layout.shapes])
    mean_purchase, mean_act, chance_on = lives.end_means.T
    shape_purchase = r + past.purchases.sum(axis=1)
    shape_act = s + past.own_acts.sum(axis=1)
    return _State(
        here=rng.random(past.n_customers) < lives.survival,
        on=rng.random(past.n_customers) < chance_on,
        stock=np.asarray(stocks[:, -1], dtype=np.float64),
        purchase_level=mean_purchase * rng.gamma(shape_purchase) / shape_purchase,
        act_level=mean_act * rng.gamma(shape_act) / shape_act,
        frailty=_draw_frailty(fit, lives, rng),
    )


def _draw_frailty(fit: LatentDropoutFit, lives: Lives, rng: np.random.Generator) -> FloatArray:
    """The frailty of leaving of each customer, drawn from its posterior given that the customer is there."""
    deviation, _ = frailty_nodes(fit.theta[fit.layout.spread])
    cumulative = np.cumsum(lives.frailty_there, axis=1)
    threshold = rng.random(len(cumulative)) * cumulative[:, -1]
    node = (cumulative < threshold[:, None]).sum(axis=1)
    result: FloatArray = deviation[np.minimum(node, deviation.size - 1)]
    return result


def _carried(panel: Panel, cut: int) -> Panel:
    """The panel with problems and changing covariates as they were known at the cut."""
    problems = np.array(panel.problems)
    problems[:, cut:] = 0.0
    changing = panel.time_covariates
    if changing is not None:
        changing = np.array(changing)
        changing[:, cut:] = changing[:, cut - 1 : cut]
    return replace(panel, problems=problems, time_covariates=changing)
