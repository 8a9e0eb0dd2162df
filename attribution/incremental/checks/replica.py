"""Customers simulated from a fitted latent dropout model.

Month by month: purchases, then the customer's own acts given them, then leaving. Acts are spread over the
channels in the customer's own mix. What the firm does is kept as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from attribution.incremental.latent.arrays import BoolArray, FloatArray, Stocks
from attribution.incremental.latent.design import LatentInputs
from attribution.incremental.latent.fit import LatentDropoutFit
from attribution.incremental.latent.layout import Predictors, predictors
from histories.panel import Panel

__all__ = ["act_mix", "act_rates", "followed_part", "spell_chances", "without_effects"]

MIX_PRIOR = 2.0
"""Acts' worth of the company's mix that every customer's own mix is shrunk by."""
FOLLOWED = 4
"""Habits that depend on the simulated past: own stock, acts, purchases one period ago, purchases."""
MOST_LOG_RATE = 6.0
"""Bound on a simulated log rate of acts: habits must not feed on themselves."""


def without_effects(
    fit: LatentDropoutFit, panel: Panel, stocks: Stocks, *, rng: np.random.Generator
) -> Panel:
    """The same customers simulated from the fit with every channel effect set to zero.

    The constants are moved so that leaving and buying stay as frequent as they were. Touches of the
    customer's own stop at dropout as in life: a method that takes proof of life for an effect shows it here.
    """
    inputs = fit.design.inputs(panel, stocks)
    history = _simulate(fit, panel, inputs, _flattened(fit, panel, stocks, inputs), rng)
    if fit.design.enters_by_purchase:
        history.purchases[np.arange(len(inputs.entry)), inputs.entry] += 1.0
    return replace(
        panel,
        touches=history.touches,
        own_acts=history.acts,
        purchases=history.purchases,
        spend=history.purchases * fit.value_per_purchase,
        margin=None,
    )


def act_rates(
    fit: LatentDropoutFit,
    log_m: FloatArray,
    acts: FloatArray,
    purchases: FloatArray,
    stock: FloatArray,
    t: int,
) -> FloatArray:
    """Rates of own acts in period t at a level of one, shape (N,).

    Parameters
    ----------
    fit
        The model.
    log_m
        Log rates without the habits that depend on the past, shape (N, P).
    acts, purchases
        What has happened so far, purchases of period t included, shape (N, P).
    stock
        Stock of own acts before period t, shape (N,).
    t
        The period.
    """
    zeros = np.zeros(len(stock))
    past_acts, past_purchases = (acts[:, t - 1], purchases[:, t - 1]) if t else (zeros, zeros)
    columns = (stock, np.log1p(past_acts), np.log1p(past_purchases), np.log1p(purchases[:, t]))
    coefficients = fit.theta[fit.layout.touch][-fit.layout.habits :][:FOLLOWED]
    result: FloatArray = np.exp(
        np.minimum(log_m[:, t] + np.column_stack(columns) @ coefficients, MOST_LOG_RATE)
    )
    return result


def followed_part(fit: LatentDropoutFit, inputs: LatentInputs) -> FloatArray:
    """The part of the log rate of acts that depends on the past, as it was, shape (N, P)."""
    coefficients = fit.theta[fit.layout.touch][-fit.layout.habits :][:FOLLOWED]
    result: FloatArray = inputs.habits[:, :, :FOLLOWED] @ coefficients
    return result


def spell_chances(fit: LatentDropoutFit) -> tuple[float, float, float, float]:
    """P(on | on), P(on | off), P(on at entry), rate when off as a share; all 1 without episodes."""
    if fit.emission != "episodes":
        return 1.0, 1.0, 1.0, 1.0
    values = fit.levels
    stay, turn, start = (float(expit(values[f"logit {name}"])) for name in ("stay on", "turn on", "start on"))
    return stay, turn, start, float(np.exp(values["log off rate"]))


def act_mix(fit: LatentDropoutFit, panel: Panel) -> FloatArray:
    """Share of each own channel, then of acts that were no treatment, shape (N, C_own + 1)."""
    own = np.flatnonzero(fit.design.own)
    treated = np.asarray(panel.touches[:, :, own].sum(axis=1), dtype=np.float64)
    rest = np.maximum(panel.own_acts.sum(axis=1) - treated.sum(axis=1), 0.0)
    counts = np.column_stack([treated, rest])
    company = (counts.sum(axis=0) + 1e-9) / (counts.sum() + 1e-9 * counts.shape[1])
    mix = counts + MIX_PRIOR * company
    result: FloatArray = mix / mix.sum(axis=1, keepdims=True)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """What simulated customers did."""

    touches: Stocks
    acts: FloatArray
    purchases: FloatArray


def _flattened(fit: LatentDropoutFit, panel: Panel, stocks: Stocks, inputs: LatentInputs) -> Predictors:
    """The predictors without channel effects, and acts without the habits that depend on the past."""
    linear = predictors(inputs, fit.layout, fit.theta)
    lived = fit.lives(panel, stocks).alive * (np.arange(inputs.n_periods) >= inputs.entry[:, None])
    drivers = inputs.drivers[:, :, : len(fit.channels)]
    return Predictors(
        eta=_without(linear.eta, drivers @ fit.beta, lived),
        log_e=_without(linear.log_e, drivers @ fit.gamma, lived),
        log_m=linear.log_m - followed_part(fit, inputs),
    )


def _without(linear: FloatArray, part: FloatArray, lived: FloatArray) -> FloatArray:
    """A predictor without one part, its mean over months lived kept."""
    result: FloatArray = linear - part + float((lived * part).sum() / lived.sum())
    return result


def _simulate(
    fit: LatentDropoutFit, panel: Panel, inputs: LatentInputs, flat: Predictors, rng: np.random.Generator
) -> _History:
    own = np.flatnonzero(fit.design.own)
    count, periods = inputs.purchases.shape
    act_level, purchase_level = _levels(fit, count, rng)
    mix = act_mix(fit, panel)
    stay, turn, start, off = spell_chances(fit)
    acts, purchases = np.zeros((count, periods)), np.zeros((count, periods))
    touches = np.array(panel.touches, dtype=np.float32)
    touches[:, :, own] = 0.0
    stock = np.zeros(count)
    here = np.ones(count, dtype=bool)
    eta = flat.eta + fit.frailty_sd * rng.standard_normal((count, 1))
    on = np.asarray(rng.random(count) < start)
    for t in range(periods):
        active = here & (t >= inputs.entry)
        on = _turned(on, active & (t > inputs.entry), stay, turn, rng)
        purchases[:, t] = rng.poisson(np.exp(flat.log_e[:, t]) * purchase_level * active)
        rate = act_level * act_rates(fit, flat.log_m, acts, purchases, stock, t) * np.where(on, 1.0, off)
        acts[:, t] = rng.poisson(rate * active)
        parts = rng.multinomial(acts[:, t].astype(np.int64), mix)[:, :-1]
        touches[:, t, own] = parts
        stock = fit.design.decay * stock + np.log1p(parts).sum(axis=1)
        here &= ~(active & (rng.random(count) < expit(eta[:, t])))
    return _History(touches=touches, acts=acts, purchases=purchases)


def _levels(fit: LatentDropoutFit, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Levels of acts and of purchases drawn from their priors."""
    r, s = np.exp(fit.theta[fit.layout.shapes])
    act_level = rng.gamma(s, 1.0 / s, count)
    purchase_level = rng.gamma(r, 1.0 / r, count) * act_level ** fit.levels.get("coupling", 0.0)
    return act_level, purchase_level


def _turned(
    on: BoolArray, moving: BoolArray, stay: float, turn: float, rng: np.random.Generator
) -> BoolArray:
    """The next state of the spells."""
    result: BoolArray = np.where(moving, rng.random(len(on)) < np.where(on, stay, turn), on)
    return result
