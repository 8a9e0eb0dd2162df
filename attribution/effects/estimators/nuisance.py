"""Nuisance functions: the propensity and the outcome means, cross-fitted and chosen by validation.

Three learners stand for choice: linear (or logit), curved (the same on linear splines) and boosted. Each
target keeps the simplest one unless another predicts the held-out folds better by two standard errors:
boosting was 13-21 % off on heavy-tailed spend where nothing asked for it. scikit-learn is imported when a
learner runs: it costs a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from attribution.effects.estimators.regression import drop_collinear
from histories.arrays import Flags, Float

PROPENSITY_BOUND = 0.01
"""Propensities are kept within [.01, .99]."""
N_FOLDS = 5
BOOSTING_ROWS = 2000
"""Fewest rows of a target for boosting to be tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A way to predict: how it sees the covariates, and how it fits a number or a probability.

    `basis` turns covariates (N, K) into features (N, F); `predict` takes training features, target, weights
    of nothing, and the features to predict for.
    """

    name: str
    basis: Callable[[Float], Float]
    regress: Callable[[Float, Float, Float], Float]
    classify: Callable[[Float, Float, Float], Float]
    min_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuisances:
    """Out-of-fold predictions for N units.

    Attributes
    ----------
    propensity : shape (N,)
        P(treated | covariates), within [.01, .99].
    mean_treated, mean_control : shape (N,)
        E(outcome | covariates, group).
    learners
        Names of the learners chosen for these three.
    """

    propensity: Float
    mean_treated: Float
    mean_control: Float
    learners: tuple[str, str, str]


def assign_folds(
    n: int, rng: np.random.Generator, clusters: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Random folds 0..4, shape (N,); a cluster is never split."""
    if clusters is None:
        return np.asarray(rng.permutation(n) % N_FOLDS)
    _, codes = np.unique(clusters, return_inverse=True)
    return np.asarray(rng.permutation(codes.max() + 1)[codes] % N_FOLDS)


def fit_propensity(
    treated: Flags, covariates: Float, folds: NDArray[np.int64], learners: Sequence[Learner] | None = None
) -> tuple[Float, str]:
    """Out-of-fold propensities, shape (N,), and the learner's name."""
    everywhere = np.ones(len(treated), dtype=bool)
    chosen = learners or LEARNERS
    raw, name = cross_predict(treated.astype(float), everywhere, covariates, folds, chosen, binary=True)
    return np.clip(raw, PROPENSITY_BOUND, 1 - PROPENSITY_BOUND), name


def fit_nuisances(
    outcome: Float,
    treated: Flags,
    covariates: Float,
    folds: NDArray[np.int64],
    *,
    propensity: tuple[Float, str] | None = None,
    learners: Sequence[Learner] | None = None,
) -> Nuisances:
    """Cross-fitted propensity and outcome means; a propensity fitted before may be handed in."""
    e, e_name = propensity or fit_propensity(treated, covariates, folds, learners)
    binary = set(np.unique(outcome)) == {0.0, 1.0}
    chosen = learners or LEARNERS
    m1, m1_name = cross_predict(outcome, treated, covariates, folds, chosen, binary=binary)
    m0, m0_name = cross_predict(outcome, ~treated, covariates, folds, chosen, binary=binary)
    return Nuisances(propensity=e, mean_treated=m1, mean_control=m0, learners=(e_name, m1_name, m0_name))


def cross_predict(
    target: Float,
    members: Flags,
    covariates: Float,
    folds: NDArray[np.int64],
    learners: Sequence[Learner],
    *,
    binary: bool,
) -> tuple[Float, str]:
    """Predictions for all units by fits on the members of the other folds, and the learner chosen."""
    best: Float | None = None
    best_loss, best_name = np.empty(0), ""
    for learner in learners:
        if best is not None and members.sum() < learner.min_rows:
            continue
        features = learner.basis(covariates)
        fit = learner.classify if binary else learner.regress
        predicted = np.empty(len(target))
        with _threads().limit(limits=1):  # folds are small: threads would only wait for each other
            for fold in range(N_FOLDS):
                inside = folds == fold
                train = members & ~inside
                predicted[inside] = _fit_or_mean(fit, features[train], target[train], features[inside])
        loss = _loss(target[members], predicted[members], binary=binary)
        if best is None or _clearly_smaller(loss, best_loss):
            best, best_loss, best_name = predicted, loss, learner.name
    assert best is not None
    return best, best_name


@cache
def _threads() -> Any:
    """What holds threads of linear algebra and of boosting back; looking for them takes milliseconds."""
    import sklearn.ensemble  # noqa: F401  (brings the threads of boosting)

    return ThreadpoolController()


def _fit_or_mean(
    fit: Callable[[Float, Float, Float], Float], features: Float, target: Float, ask: Float
) -> Float:
    """The fit's predictions, or the mean where there is nothing to fit."""
    if features.shape[1] == 0 or len(target) < 2 or np.ptp(target) == 0:
        return np.full(len(ask), target.mean() if len(target) else 0.0)
    return fit(features, target, ask)


def _loss(target: Float, predicted: Float, *, binary: bool) -> Float:
    """Log loss of a probability, squared error of a number, per unit."""
    if not binary:
        return np.asarray((target - predicted) ** 2)
    p = np.clip(predicted, 1e-6, 1 - 1e-6)
    return np.asarray(-(target * np.log(p) + (1 - target) * np.log(1 - p)))


def _clearly_smaller(loss: Float, than: Float) -> bool:
    """Whether the mean loss is smaller by more than two standard errors of the paired difference."""
    gain = than - loss
    return bool(gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)))


def spline_basis(covariates: Float, knots: Sequence[float] = (0.1, 0.35, 0.65, 0.9)) -> Float:
    """Linear splines: each covariate with more than five values, and its excess over these quantiles."""
    columns = []
    for column in covariates.T:
        columns.append(column)
        if len(np.unique(column[:1000])) > 5:
            columns += [np.maximum(column - knot, 0.0) for knot in np.unique(np.quantile(column, knots))]
    return drop_collinear(np.column_stack(columns)) if columns else covariates


def _regress_linear(features: Float, target: Float, ask: Float) -> Float:
    from sklearn.linear_model import LinearRegression

    return np.asarray(LinearRegression().fit(features, target).predict(ask), dtype=np.float64)


def _classify_logit(features: Float, target: Float, ask: Float) -> Float:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1000.0, solver="newton-cholesky", max_iter=100).fit(features, target)
    return np.asarray(model.predict_proba(ask)[:, 1], dtype=np.float64)


def _regress_boosted(features: Float, target: Float, ask: Float) -> Float:
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=8, min_samples_leaf=50, random_state=0)
    return np.asarray(model.fit(features, target).predict(ask), dtype=np.float64)


def _classify_boosted(features: Float, target: Float, ask: Float) -> Float:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, min_samples_leaf=50, random_state=0)
    return np.asarray(model.fit(features, target).predict_proba(ask)[:, 1], dtype=np.float64)


def own_learner(regressor: Any, classifier: Any, *, name: str = "own") -> Learner:
    """A learner from a regressor and a classifier in scikit-learn's form, cloned for every fit.

    Parameters
    ----------
    regressor
        Has `fit(X, y)` and `predict(X)`.
    classifier
        Has `fit(X, y)` and `predict_proba(X)`.
    name
        What it is called in the checks.
    """

    def regress(features: Float, target: Float, ask: Float) -> Float:
        from sklearn.base import clone

        return np.asarray(clone(regressor).fit(features, target).predict(ask), dtype=np.float64)

    def classify(features: Float, target: Float, ask: Float) -> Float:
        from sklearn.base import clone

        model = clone(classifier).fit(features, target)
        return np.asarray(model.predict_proba(ask)[:, 1], dtype=np.float64)

    return Learner(name=name, basis=drop_collinear, regress=regress, classify=classify)


LINEAR = Learner(name="linear", basis=drop_collinear, regress=_regress_linear, classify=_classify_logit)
CURVED = Learner(
    name="curved", basis=spline_basis, regress=_regress_linear, classify=_classify_logit, min_rows=200
)
BOOSTED = Learner(
    name="boosted",
    basis=drop_collinear,
    regress=_regress_boosted,
    classify=_classify_boosted,
    min_rows=BOOSTING_ROWS,
)
LEARNERS: tuple[Learner, ...] = (LINEAR, CURVED, BOOSTED)
"""From simple to flexible; ties go to the first."""
