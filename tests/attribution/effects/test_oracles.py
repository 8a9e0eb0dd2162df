"""The same estimates from DoubleML and EconML (extra `oracles`)."""

from __future__ import annotations

import numpy as np
import pytest

from attribution.effects.estimators.aipw import ESTIMANDS, estimate_ratio
from attribution.effects.estimators.nuisance import LINEAR, assign_folds, fit_nuisances
from benchmarks.worlds import simulate_confounded_units

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def sample():
    made = simulate_confounded_units(5000, np.random.default_rng(11))
    folds = assign_folds(5000, np.random.default_rng(0))
    t, y, x = made.treated, made.units.outcomes["y"], made.units.covariates
    return t, y, x, folds, fit_nuisances(y, t, x, folds, learners=(LINEAR,))


def splits(folds):
    return [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(5)]


@pytest.mark.parametrize(("estimand", "score"), [("ATE", "ATE"), ("ATT", "ATTE")])
def test_aipw_on_the_same_folds_equals_doubleml(sample, estimand, score):
    doubleml = pytest.importorskip("doubleml")
    from sklearn.linear_model import LinearRegression, LogisticRegression

    t, y, x, folds, nuisances = sample
    data = doubleml.DoubleMLData.from_arrays(x, y, t.astype(float))
    model = doubleml.DoubleMLIRM(
        data,
        ml_g=LinearRegression(),
        ml_m=LogisticRegression(C=1000.0, solver="newton-cholesky"),
        score=score,
        draw_sample_splitting=False,
    )
    model.set_sample_splitting([splits(folds)])
    model.fit()
    chosen = next(e for e in ESTIMANDS if e.name == estimand)
    theta, error = estimate_ratio(chosen.scores(y, t.astype(float), nuisances))
    assert theta == pytest.approx(float(model.coef[0]), abs=0.02 * error)
    assert error == pytest.approx(float(model.se[0]), rel=0.01)


def test_aipw_on_the_same_folds_equals_econml(sample):
    dr = pytest.importorskip("econml.dr")
    from sklearn.linear_model import LinearRegression, LogisticRegression

    t, y, x, folds, nuisances = sample
    model = dr.LinearDRLearner(
        model_propensity=LogisticRegression(C=1000.0, solver="newton-cholesky"),
        model_regression=LinearRegression(),
        cv=splits(folds),
        min_propensity=0.01,
    )
    model.fit(y, t.astype(int), X=None, W=x)
    theta, error = estimate_ratio(ESTIMANDS[0].scores(y, t.astype(float), nuisances))
    # EconML fits one regression of both groups, ours one for each
    assert theta == pytest.approx(float(np.ravel(model.ate())[0]), abs=0.5 * error)


def test_overlap_weights_equal_the_partially_linear_model_where_effects_are_constant():
    doubleml = pytest.importorskip("doubleml")
    from sklearn.linear_model import LinearRegression, LogisticRegression

    made = simulate_confounded_units(5000, np.random.default_rng(12))
    t, x = made.treated, made.units.covariates
    y = made.units.outcomes["y"] - t * 0.5 * x[:, 0]
    folds = assign_folds(5000, np.random.default_rng(0))
    nuisances = fit_nuisances(y, t, x, folds, learners=(LINEAR,))
    model = doubleml.DoubleMLPLR(
        doubleml.DoubleMLData.from_arrays(x, y, t.astype(float)),
        ml_l=LinearRegression(),
        ml_m=LogisticRegression(C=1000.0, solver="newton-cholesky"),
        draw_sample_splitting=False,
    )
    model.set_sample_splitting([splits(folds)])
    model.fit()
    theta, error = estimate_ratio(ESTIMANDS[1].scores(y, t.astype(float), nuisances))
    assert theta == pytest.approx(float(model.coef[0]), abs=0.3 * error)
    assert error == pytest.approx(float(model.se[0]), rel=0.05)
