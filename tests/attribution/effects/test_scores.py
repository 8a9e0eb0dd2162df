"""Scores of the four estimands, where everything is known: whom they are about, and what they lean on."""

from __future__ import annotations

import numpy as np
import pytest

from attribution.effects.estimators.aipw import ESTIMANDS, Estimand, estimate_ratio
from attribution.effects.estimators.nuisance import Nuisances

X = np.repeat([0.0, 1.0], [40, 60])
"""A covariate; a quarter is treated where it is 0, two thirds where it is 1."""
T = np.concatenate([np.repeat([1.0, 0.0], [10, 30]), np.repeat([1.0, 0.0], [40, 20])])
E = np.where(X > 0, 2 / 3, 1 / 4)
ABOUT = {"ATE": np.ones(100), "ATT": T, "ATU": 1.0 - T, "ATO": E * (1.0 - E)}
"""Weight of each unit in the population that an estimand is about."""
every = pytest.mark.parametrize("estimand", ESTIMANDS, ids=lambda one: one.name)


def known(e: np.ndarray) -> Nuisances:
    nothing = np.zeros(len(e))
    return Nuisances(
        propensity=e, mean_treated=nothing, mean_control=nothing, learners=("known", "none", "none")
    )


@every
def test_weights_make_both_groups_the_population_that_the_estimand_is_about(estimand: Estimand) -> None:
    weights = estimand.scores(np.zeros(100), T, known(E)).weights
    target = np.average(X, weights=ABOUT[estimand.name])
    for group in (T, 1.0 - T):
        assert np.average(X, weights=weights * group) == pytest.approx(target, rel=1e-12)


@every
def test_without_outcome_models_the_effect_is_that_of_the_population(estimand: Estimand) -> None:
    y = 5.0 * X + T * (1.0 + 2.0 * X)
    found, _ = estimate_ratio(estimand.scores(y, T, known(E)))
    assert found == pytest.approx(np.average(1.0 + 2.0 * X, weights=ABOUT[estimand.name]), rel=1e-12)


@every
def test_an_estimand_says_which_propensities_it_leans_on(estimand: Estimand) -> None:
    for e, treated, leans in ((1e-6, 1.0, estimand.needs_low), (1 - 1e-6, 0.0, estimand.needs_high)):
        scores = estimand.scores(np.ones(1), np.array([treated]), known(np.array([e])))
        assert (scores.weights.item() > 1e3) == leans
