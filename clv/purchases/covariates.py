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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import polars as pl
import scipy

from clv.purchases.base import FitReport, PurchaseFit
from clv.purchases.beta_geometric import BgNbd, GeometricFit
from clv.purchases.fits import fit_from_dict
from clv.purchases.maximum import Score, maximize
from clv.purchases.moving import Spells, moving_score, probability_alive, purchases_alive
from clv.purchases.observations import Observations
from clv.purchases.pareto_nbd import ParetoNbd, ParetoNbdFit
from histories.arrays import Float
from histories.errors import ConfigError, DataError

#: Largest effect of one standard deviation of a covariate, as a factor.
LARGEST_EFFECT = np.exp(5.0)


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


def design_like(frame: pl.DataFrame, names: Sequence[str]) -> Design:
    """The numbers that `build_design` named so, of other customers.

    Raises
    ------
    DataError
        When a column is missing or empty in some row.
    """
    parts = []
    for name in names:
        column, level = (name, None) if name in frame.columns else name.rsplit("=", 1)
        if column not in frame.columns:
            raise DataError(f'covariate "{column}" is not a column of customers')
        if missing := frame[column].null_count():
            raise DataError(f'covariate "{column}" is empty for {missing} of {frame.height} customers')
        values = frame[column] if level is None else frame[column].cast(pl.String) == level
        parts.append(values.cast(pl.Float64).to_numpy())
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
            "names": list(self.names),
            "purchase": _named(self.names, self.purchase, self.purchase_errors),
            "dropout": _named(self.names, self.dropout, self.dropout_errors),
            "log_likelihood_gain": self.gain,
            "p_value": self.p_value,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Undo `to_dict`, also after a trip through JSON."""
        purchase, dropout, names = fields["purchase"], fields["dropout"], tuple(fields["names"])

        def told(effects: Mapping[str, Mapping[str, float | None]], what: str) -> tuple[float, ...]:
            found = (effects[name][what] for name in names)
            return tuple(float("nan") if value is None else float(value) for value in found)

        return cls(
            base=fit_from_dict(fields["base"]),
            names=names,
            purchase=told(purchase, "estimate"),
            dropout=told(dropout, "estimate"),
            purchase_errors=told(purchase, "std_error"),
            dropout_errors=told(dropout, "std_error"),
            gain=float(fields["log_likelihood_gain"]),
            p_value=float(fields["p_value"]),
        )


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
        data, scale = Observations.from_arrays(x, t_x, T), Scale.of(design.matrix)
        return _climb(
            BgNbd().fit(data),
            lambda factor: _bg_score(data.rescale_time(factor), scale.apply(design.matrix)),
            data,
            design.names,
            scale,
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
    data, scale = Observations.from_arrays(x, t_x, T), Scale.of(spells.z)
    course, moved = replace(spells, z=scale.apply(spells.z)), (bought - x[:, None] * scale.mean) / scale.sd
    return _climb(
        ParetoNbd().fit(data),
        lambda factor: moving_score(x, course.rescaled(factor), moved, np.ones(x.size)),
        data,
        tuple(names),
        scale,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Covariates are searched with mean 0 and standard deviation 1, whatever their unit; shape (k,) each."""

    mean: Float
    sd: Float

    @classmethod
    def of(cls, z: Float) -> Self:
        """Mean and standard deviation of the rows."""
        spread = z.std(axis=0)
        return cls(mean=z.mean(axis=0), sd=np.where(spread > 0.0, spread, 1.0))

    def apply(self, z: Float) -> Float:
        """Rows on the scale of the search."""
        return np.asarray((z - self.mean) / self.sd, dtype=np.float64)

    def back(self, signs: Mapping[str, tuple[int, int]]) -> Float:
        """The matrix that takes logs of the search to logs of the model, shape (4 + 2 k, 4 + 2 k).

        `signs` says how a parameter depends on covariates: by which sign on those of purchase and dropout.
        """
        k = self.sd.size
        matrix = np.diag(np.concatenate([np.ones(4), 1.0 / self.sd, 1.0 / self.sd]))
        for row, (purchase, dropout) in enumerate(signs.values()):
            matrix[row, 4 : 4 + k] = purchase * self.mean / self.sd
            matrix[row, 4 + k :] = dropout * self.mean / self.sd
        return matrix


#: How the parameters of a model depend on the covariates that its search takes the mean from.
SIGNS = {
    "pareto_nbd": {"r": (0, 0), "alpha": (1, 0), "s": (0, 0), "beta": (0, 1)},
    "bg_nbd": {"r": (0, 0), "alpha": (1, 0), "a": (0, -1), "b": (0, -1)},
}


def _climb(
    plain: PurchaseFit,
    scored: Callable[[float], Score],
    data: Observations,
    names: tuple[str, ...],
    scale: Scale,
) -> CovariateFit:
    """From the fit without covariates to the maximum with them.

    `scored` gives the score on scaled covariates when time is multiplied by a factor.
    """
    longest = float(data.T.max())
    times = np.array([longest if n in ("alpha", "beta") else 1.0 for n in plain.parameter_names])
    k = len(names)
    effects = [f"{process} of {name}" for process in ("purchase", "dropout") for name in names]
    score = scored(1.0 / longest)
    best = maximize(
        score,
        names=[*plain.parameter_names, *effects],
        starts=[[*(plain.vector() / times), *np.ones(2 * k)]],
        lower=[*np.full(4, 1e-7), *np.full(2 * k, 1.0 / LARGEST_EFFECT)],
        upper=[*np.full(4, 1e7), *np.full(2 * k, LARGEST_EFFECT)],
        customers=data.customers,
        sample_score=score,  # a loose search, which Newton's steps finish
        sample_customers=data.customers,
        subject=f"{plain.model} with {k} covariates on {data.customers:.0f} customers",
    )
    back = scale.back(SIGNS[plain.model])
    found = back @ np.log(best.parameters)
    covariance = None if best.covariance is None else back @ best.covariance @ back.T
    shift = float(data.weights @ data.frequency) * np.log(1.0 / longest)
    gain = best.log_likelihood + shift - plain.report.log_likelihood
    report = FitReport.from_maximum(
        replace(best, covariance=None if covariance is None else covariance[:4, :4]),
        log_likelihood=best.log_likelihood + shift,
        customers=data.customers,
    )
    errors = np.full(2 * k, np.nan) if covariance is None else np.sqrt(np.diag(covariance)[4:])
    errors[[name in best.at_bound for name in effects]] = np.nan
    return CovariateFit(
        base=replace(plain.with_vector(np.exp(found[:4]) * times), report=report),
        names=names,
        purchase=tuple(found[4 : 4 + k].tolist()),
        dropout=tuple(found[4 + k :].tolist()),
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
