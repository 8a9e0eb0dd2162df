"""Covariates on purchase rate and dropout, as in CLVTools, for BG/NBD and Pareto/NBD.

With covariates z of a customer, g of purchase and h of dropout,

    Pareto/NBD   alpha_i = alpha exp(-g z)    beta_i = beta exp(-h z)
    BG/NBD       alpha_i = alpha exp(-g z)    a_i = a exp(h z),  b_i = b exp(h z)

so in both a positive g means more frequent purchases: exp(g) multiplies the mean rate. In Pareto/NBD exp(h)
multiplies the dropout rate; in BG/NBD h moves the two beta parameters together, which leaves the mean dropout
probability and changes how much customers differ (the form of CLVTools). Coefficients are searched as the
logs of positive multipliers, so the covariance of the search is theirs. Pareto/NBD takes covariates that
change over time as well (`clv.purchases.moving`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import scipy

from clv.purchases.base import PurchaseFit
from clv.purchases.beta_geometric import BgNbd, GeometricFit
from clv.purchases.maximum import Score, maximize
from clv.purchases.moving import Spells, moving_score, probability_alive, purchases_alive
from clv.purchases.observations import Observations
from clv.purchases.pareto_nbd import ParetoNbd, ParetoNbdFit
from clv.purchases.report import FitReport
from histories.arrays import Float
from histories.errors import ConfigError, DataError

__all__ = ["CovariateFit", "Covariates", "Design", "build_design", "fit_moving"]

#: Largest effect of one unit of a covariate, as a factor.
LARGEST_EFFECT = np.exp(15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Covariates as numbers.

    Attributes
    ----------
    names
        Names of the columns: the covariate itself, or "covariate=level" for each level but the first.
    matrix
        Shape (n, k).
    """

    names: tuple[str, ...]
    matrix: Float


def build_design(frame: pl.DataFrame, columns: Sequence[str]) -> Design:
    """Numbers as they are, text and flags as indicators of every level but the most frequent.

    Raises
    ------
    DataError
        When a column is missing, empty in some row, or does not vary.
    """
    names, parts = [], []
    for column in columns:
        if column not in frame.columns:
            raise DataError(
                f'covariate "{column}" is not a column of customers; there are {", ".join(frame.columns)}'
            )
        values = frame[column]
        if values.null_count():
            raise DataError(
                f'covariate "{column}" is empty for {values.null_count()} of {frame.height} customers; '
                "fill it or leave it out"
            )
        if values.n_unique() < 2:
            raise DataError(f'covariate "{column}" has one value only, so it can explain nothing')
        if values.dtype.is_numeric():
            names.append(column)
            parts.append(values.cast(pl.Float64).to_numpy())
        else:
            counts = values.cast(pl.String).value_counts().sort("count", column, descending=[True, False])
            for level in counts[column].to_list()[1:]:
                names.append(f"{column}={level}")
                parts.append((values.cast(pl.String) == level).cast(pl.Float64).to_numpy())
    return Design(names=tuple(names), matrix=np.column_stack(parts).astype(np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class CovariateFit:
    """A purchase model whose parameters depend on covariates.

    Attributes
    ----------
    base
        The model at covariates 0; its report is that of the whole fit.
    names
        Columns of the design.
    purchase, dropout
        Coefficients, one for each name.
    purchase_errors, dropout_errors
        Their standard errors; NaN when the likelihood is flat.
    gain
        Log-likelihood above the model without covariates.
    p_value
        Of the likelihood-ratio test that no covariate matters.
    """

    base: PurchaseFit
    names: tuple[str, ...]
    purchase: tuple[float, ...]
    dropout: tuple[float, ...]
    purchase_errors: tuple[float, ...]
    dropout_errors: tuple[float, ...]
    gain: float
    p_value: float

    def at(self, z: Float) -> PurchaseFit:
        """The model of customers with covariates `z`, shape (k,)."""
        rate = float(np.exp(-np.dot(self.purchase, z)))
        dropout = float(np.exp(np.dot(self.dropout, z)))
        if isinstance(self.base, ParetoNbdFit):
            return replace(self.base, alpha=self.base.alpha * rate, beta=self.base.beta / dropout)
        assert isinstance(self.base, GeometricFit)
        return replace(
            self.base, alpha=self.base.alpha * rate, a=self.base.a * dropout, b=self.base.b * dropout
        )

    def predict_purchases(self, t: Float, x: Float, t_x: Float, T: Float, design: Design) -> Float:
        """E[purchases in (T, T + t]] of customers with their own covariates, shape (len(t), n)."""
        out = np.empty((t.size, x.size))
        patterns, inverse = np.unique(design.matrix, axis=0, return_inverse=True)
        for i, pattern in enumerate(patterns):
            rows = np.flatnonzero(inverse.ravel() == i)
            out[:, rows] = self.at(pattern).predict_purchases(t, x[rows], t_x[rows], T[rows])
        return out

    def predict_moving(self, x: Float, past: Spells, ahead: Spells) -> Float:
        """E[purchases over the spells `ahead`] of customers whose covariates change, shape (n,)."""
        assert isinstance(self.base, ParetoNbdFit)
        effects = np.array(self.purchase), np.array(self.dropout)
        alive = probability_alive(self.base.vector(), *effects, x, past)
        return alive * purchases_alive(self.base.vector(), *effects, x, past, ahead)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model card."""
        return {
            "model": self.base.model,
            "base": self.base.to_dict(),
            "purchase": _named(self.names, self.purchase, self.purchase_errors),
            "dropout": _named(self.names, self.dropout, self.dropout_errors),
            "log_likelihood_gain": self.gain,
            "p_value": self.p_value,
        }


def _named(
    names: Sequence[str], values: Sequence[float], errors: Sequence[float]
) -> dict[str, dict[str, float | None]]:
    """Estimate and standard error by name."""
    return {
        name: {"estimate": value, "std_error": error if np.isfinite(error) else None}
        for name, value, error in zip(names, values, errors, strict=True)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariates:
    """Choices for a purchase model with static covariates.

    Attributes
    ----------
    model
        "bg_nbd" or "pareto_nbd".
    columns
        Covariates, columns of the summary.
    """

    model: str
    columns: tuple[str, ...] = field(default=())

    def fit(self, summary: pl.DataFrame) -> CovariateFit:
        """Estimate the model and both sets of coefficients by maximum likelihood.

        Raises
        ------
        ConfigError
            When the model takes no covariates.
        DataError
            When a covariate is missing, empty for some customer or constant.
        ConvergenceError
            When no maximum is found.
        """
        if self.model not in ("bg_nbd", "pareto_nbd"):
            raise ConfigError(f"{self.model} takes no covariates; bg_nbd and pareto_nbd do")
        design = build_design(summary, self.columns)
        x, t_x, T = (summary[c].cast(pl.Float64).to_numpy() for c in ("frequency", "recency", "T"))
        if self.model == "pareto_nbd":
            spells = Spells.unmoved(t_x, T, design.matrix)
            return fit_moving(x, t_x, T, spells, x[:, None] * design.matrix, names=design.names)
        data = Observations.from_arrays(x, t_x, T)
        return _climb(
            BgNbd().fit(data),
            lambda factor: _bg_score(data.rescale_time(factor), design.matrix),
            data,
            design.names,
        )


def fit_moving(
    x: Float, t_x: Float, T: Float, spells: Spells, bought: Float, *, names: Sequence[str]
) -> CovariateFit:
    """Pareto/NBD with covariates that may change over time, by maximum likelihood.

    Parameters
    ----------
    x, t_x, T
        Purchase summary, shape (n,), on the clock of the spells.
    spells
        From the first purchase to T.
    bought
        Sum of the covariates at the repeat purchases, shape (n, k).
    names
        Of the covariates.

    Raises
    ------
    ConvergenceError
        When no maximum is found.
    """
    data = Observations.from_arrays(x, t_x, T)
    return _climb(
        ParetoNbd().fit(data),
        lambda factor: moving_score(x, spells.rescaled(factor), bought, np.ones(x.size)),
        data,
        tuple(names),
    )


def _climb(
    plain: PurchaseFit, scored: Callable[[float], Score], data: Observations, names: tuple[str, ...]
) -> CovariateFit:
    """From the fit without covariates to the maximum with them.

    `scored` gives the score when time is multiplied by a factor.
    """
    longest = float(data.T.max())
    times = 1.0 / np.array([longest if n in ("alpha", "beta") else 1.0 for n in plain.parameter_names])
    k = len(names)
    best = maximize(
        scored(1.0 / longest),
        names=[*plain.parameter_names, *names, *names],
        starts=[[*(plain.vector() * times), *np.ones(2 * k)]],
        lower=[*np.full(4, 1e-7), *np.full(2 * k, 1.0 / LARGEST_EFFECT)],
        upper=[*np.full(4, 1e7), *np.full(2 * k, LARGEST_EFFECT)],
        customers=data.customers,
        subject=f"{plain.model} with {k} covariates on {data.customers:.0f} customers",
    )
    shift = float(data.weights @ data.frequency) * np.log(1.0 / longest)
    gain = best.log_likelihood + shift - plain.report.log_likelihood
    core = None if best.covariance is None else best.covariance[:4, :4]
    report = FitReport.from_maximum(
        replace(best, covariance=core),
        log_likelihood=best.log_likelihood + shift,
        customers=data.customers,
    )
    coefficients = np.log(best.parameters[4:])
    errors = np.full(2 * k, np.nan) if best.covariance is None else np.sqrt(np.diag(best.covariance)[4:])
    return CovariateFit(
        base=replace(plain.with_vector(best.parameters[:4] / times), report=report),
        names=names,
        purchase=tuple(coefficients[:k].tolist()),
        dropout=tuple(coefficients[k:].tolist()),
        purchase_errors=tuple(errors[:k].tolist()),
        dropout_errors=tuple(errors[k:].tolist()),
        gain=float(gain),
        p_value=float(scipy.special.chdtrc(2 * k, max(2.0 * gain, 0.0))),
    )


def _bg_score(data: Observations, z: Float) -> Score:
    """Score of BG/NBD in (r, alpha, a, b, purchase multipliers, dropout multipliers)."""
    k = z.shape[1]
    x, w = data.frequency, data.weights
    repeat = x > 0
    psi, loggamma = scipy.special.digamma, scipy.special.gammaln

    def score(parameters: Float) -> tuple[float, Float]:
        r, alpha, a, b = map(float, parameters[:4])
        multipliers = parameters[4:]
        own_alpha = alpha * np.exp(-z @ np.log(multipliers[:k]))
        spread = np.exp(z @ np.log(multipliers[k:]))
        own_a, own_b = a * spread, b * spread
        n, age, last = r + x, own_alpha + data.T, own_alpha + data.recency
        shift = np.maximum(own_b + x - 1.0, 1e-300)
        with np.errstate(divide="ignore"):
            odds = np.where(repeat, np.log(own_a / shift) + n * np.log(age / last), -np.inf)
        gone = scipy.special.expit(odds)
        both, stay = own_a + own_b, own_b + x
        each = loggamma(n) - loggamma(r) + r * np.log(own_alpha) - n * np.log(age) + np.logaddexp(0.0, odds)
        each += loggamma(both) - loggamma(both + x) + loggamma(stay) - loggamma(own_b)
        by_r = psi(n) - psi(r) + np.log(own_alpha) - np.log(age) + gone * np.log(age / last)
        by_alpha = (r / own_alpha - n * ((1.0 - gone) / age + gone / last)) * own_alpha
        common = psi(both) - psi(both + x)
        by_a = (common + gone / own_a) * own_a
        by_b = (common + psi(stay) - psi(own_b) - np.where(repeat, gone / shift, 0.0)) * own_b
        gradient = np.concatenate(
            [
                [w @ by_r, w @ by_alpha / alpha, w @ by_a / a, w @ by_b / b],
                -(w * by_alpha) @ z / multipliers[:k],
                (w * (by_a + by_b)) @ z / multipliers[k:],
            ]
        )
        return float(w @ each), gradient

    return score
