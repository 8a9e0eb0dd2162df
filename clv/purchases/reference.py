"""The lifetimes package as a reference: its fitters, its likelihood, and conversion both ways.

It is imported inside functions only, and pandas with it: neither belongs on the path of a service.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from clv.purchases import beta_binomial
from clv.purchases.base import FitReport, PurchaseFit
from clv.purchases.fits import fit_from_dict
from clv.purchases.observations import Observations
from histories.arrays import Float
from histories.errors import ConfigError, ConvergenceError, ModelError

#: Largest relative difference between lifetimes' log-likelihood and ours that passes.
AGREEMENT = 1e-6
#: Class of lifetimes by model.
CLASSES: dict[str, str] = {
    "bg_nbd": "BetaGeoFitter",
    "mbg_nbd": "ModifiedBetaGeoFitter",
    "pareto_nbd": "ParetoNBDFitter",
    "bg_bb": "BetaGeoBetaBinomFitter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two evaluations of one likelihood at one point, in original time units.

    Attributes
    ----------
    ours, lifetimes
        Log-likelihoods; lifetimes is None where that package has no such model or no finite answer.
    relative_difference
        |ours - lifetimes| / |ours|, None when there is nothing to compare.
    note
        Why there is nothing to compare, or empty.
    """

    ours: float
    lifetimes: float | None
    relative_difference: float | None
    note: str = ""


def lifetimes_log_likelihood(fit: PurchaseFit, data: Observations) -> float | None:
    """The log-likelihood of lifetimes at our parameters, in original time units; None without the model."""
    if fit.model not in CLASSES:
        return None
    fitter = _fitter_class(fit.model)
    x = data.frequency.astype(np.int64)
    with _quiet():
        if fit.model == "pareto_nbd":
            each = fitter._conditional_log_likelihood(fit.vector(), x, data.recency, data.T)
            return float(data.weights @ np.asarray(each))
        loss = fitter._negative_log_likelihood(
            np.log(fit.vector()), x, data.recency, data.T, data.weights, 0.0
        )
    return -float(loss) * data.customers


def check_agreement(fit: PurchaseFit, data: Observations) -> Agreement:
    """Compare our log-likelihood with lifetimes' at our optimum.

    Raises
    ------
    ModelError
        When they differ by more than 1e-6 of their size.
    """
    ours = float(fit.scorer(data)(fit.vector())[0])
    theirs = lifetimes_log_likelihood(fit, data)
    if theirs is None:
        return Agreement(
            ours=ours, lifetimes=None, relative_difference=None, note="lifetimes has no such model"
        )
    if not np.isfinite(theirs):
        note = "lifetimes' likelihood is not finite on these customers"
        return Agreement(ours=ours, lifetimes=None, relative_difference=None, note=note)
    if fit.model == "bg_bb" and _swamped(fit, data):
        note = "lifetimes adds 1e-15 to every BG/BB likelihood, which is more than these long histories have"
        return Agreement(ours=ours, lifetimes=theirs, relative_difference=None, note=note)
    return _compare(fit.model, ours, theirs)


def _swamped(fit: PurchaseFit, data: Observations) -> bool:
    """Whether some BG/BB likelihood is so small that lifetimes' constant of 1e-15 shows."""
    each = beta_binomial.log_likelihoods(fit.vector(), data.frequency, data.recency, data.T)[0]
    return bool(each.min() < np.log(1e-7))


def check_spend_agreement(ours: float, vector: Float, x: Float, mean: Float, weights: Float) -> Agreement:
    """Compare our gamma-gamma log-likelihood with lifetimes' at (p, q, v).

    Raises
    ------
    ModelError
        When they differ by more than 1e-6 of their size.
    """
    with _quiet():
        from lifetimes import GammaGammaFitter

        loss = GammaGammaFitter._negative_log_likelihood(np.log(vector), x, mean, weights, 0.0)
    return _compare("gamma_gamma", ours, -float(loss) * float(weights.sum()))


def _compare(model: str, ours: float, theirs: float) -> Agreement:
    """The agreement of two finite log-likelihoods, or a refusal."""
    difference = abs(ours - theirs) / max(abs(ours), 1.0)
    if difference > AGREEMENT:
        raise ModelError(
            f"{model}: log-likelihood {ours:.6f}, but lifetimes finds {theirs:.6f} at the same parameters "
            f"(relative difference {difference:.1e}, allowed {AGREEMENT:g}). Please report this with the "
            "parameters."
        )
    return Agreement(ours=ours, lifetimes=theirs, relative_difference=difference)


def to_lifetimes(fit: PurchaseFit, data: Observations | None = None) -> Any:
    """A fitter of lifetimes that predicts with our parameters; with `data` its matrices and plots work too.

    Raises
    ------
    ConfigError
        When lifetimes has no such model.
    """
    import pandas as pd

    if fit.model not in CLASSES:
        raise ConfigError(f'lifetimes has no model "{fit.model}"; it has {", ".join(CLASSES)}')
    fitter = _fitter_class(fit.model)()
    fitter.params_ = pd.Series(fit.vector(), index=list(fit.parameter_names))
    if data is not None:
        fitter.data = pd.DataFrame(
            {
                "frequency": data.frequency.astype(np.int64),
                "recency": data.recency,
                "T": data.T,
                "weights": data.weights,
            }
        )
    fitter.predict = fitter.conditional_expected_number_of_purchases_up_to_time
    return fitter


def from_lifetimes(fitter: Any, data: Observations | None = None) -> PurchaseFit:
    """Our fit with the parameters of a fitted lifetimes fitter; with `data` its likelihood is filled in.

    Raises
    ------
    ConfigError
        When the fitter is of a class that has no counterpart here.
    """
    for model, name in CLASSES.items():
        if type(fitter).__name__ == name:
            parameters = {key: float(value) for key, value in fitter.params_.items()}
            report = FitReport(log_likelihood=float("nan"), customers=0, covariance=None, engine="lifetimes")
            fit = fit_from_dict(
                {"model": model, "k": 1, "parameters": parameters, "report": report.to_dict()}
            )
            return fit if data is None else _with_likelihood(fit, data)
    raise ConfigError(
        f"{type(fitter).__name__} of lifetimes has no counterpart here; known: {', '.join(CLASSES.values())}"
    )


def fit_with_lifetimes(model: str, summary: pl.DataFrame, *, penalizer: float = 0.0) -> PurchaseFit:
    """Fit with lifetimes' own fitter, and report its parameters with our likelihood.

    Raises
    ------
    ConfigError
        When lifetimes has no such model.
    ConvergenceError
        When its fitter does not converge, or ends at parameters that are not positive and finite.
    """
    if model not in CLASSES:
        raise ConfigError(f'engine = "lifetimes" has no model "{model}"; it has {", ".join(CLASSES)}')
    data = Observations.from_summary(summary)
    fitter = _fitter_class(model)(penalizer_coef=penalizer)
    x = data.frequency.astype(np.int64)
    try:
        with _quiet():
            fitter.fit(x, data.recency, data.T, weights=data.weights)
    except ValueError as error:  # lifetimes' ConvergenceError is a ValueError
        raise ConvergenceError(
            f"lifetimes' {type(fitter).__name__} did not converge on {data.customers:.0f} customers with "
            f'penalizer = {penalizer:g}. Try a larger one, e.g. 0.01, or engine = "fast".'
        ) from error
    if not (np.isfinite(fitter.params_).all() and (fitter.params_ > 0).all()):
        raise ConvergenceError(
            f"lifetimes' {type(fitter).__name__} ended at impossible parameters on {data.customers:.0f} "
            "customers. "
            'Use engine = "fast".'
        )
    return from_lifetimes(fitter, data)


def _with_likelihood(fit: PurchaseFit, data: Observations) -> PurchaseFit:
    """Fill in the report: likelihood, sample size, and covariance from differences of our gradient."""
    from clv.purchases.maximum import information

    score = fit.scorer(data)
    covariance = information(score, fit.vector())
    report = FitReport(
        log_likelihood=score(fit.vector())[0],
        customers=round(data.customers),
        covariance=None if covariance is None else tuple(tuple(map(float, row)) for row in covariance),
        engine="lifetimes",
    )
    return replace(fit, report=report)


def _fitter_class(model: str) -> Any:
    """The class of lifetimes that fits `model`."""
    with _quiet():
        import lifetimes
    return getattr(lifetimes, CLASSES[model])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings that lifetimes causes in its dependencies, and its overflowing logarithms."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
