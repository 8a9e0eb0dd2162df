"""How strong a hidden cause would have to be: published values, and a hidden cause that is really there."""

from __future__ import annotations

import numpy as np
import pytest

from attribution.effects.estimators.sensitivity import (
    bias_bounds,
    bound_omitted_variable,
    e_value,
    robustness_value,
)


def test_e_value_matches_vanderweele_ding_2017():
    # breastfeeding and respiratory death, risk ratio 3.9: E-value 7.26
    assert e_value(3.9) == pytest.approx(7.26, abs=0.005)


@pytest.mark.parametrize(("ratio", "inverse"), [(2.0, 0.5), (1.3, 1 / 1.3)])
def test_e_value_is_the_same_for_a_ratio_and_its_inverse(ratio, inverse):
    assert e_value(ratio) == pytest.approx(e_value(inverse))


def test_robustness_value_matches_cinelli_hazlett_2020():
    # Darfur, directly harmed: t 4.18, 783 degrees of freedom, RV 13.9 %
    assert robustness_value(4.18445, 783) == pytest.approx(0.1387764, abs=2e-5)


def test_bounds_match_cinelli_hazlett_2020():
    # Darfur, 1x female: partial R2 .00908 and .10903 give .00916 and .1246
    assert bias_bounds(0.00908, 0.10903) == pytest.approx((0.00916, 0.12464), abs=2e-5)


def test_a_covariate_too_strong_to_have_a_twin_bounds_nothing():
    assert bias_bounds(0.5, 0.1) == (1.0, 1.0)


def test_a_left_out_twin_of_the_strongest_covariate_is_within_the_bound():
    """z is as strong as x0 and left out: the estimate moves, and the bound says how far it can."""
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(20_000, 2)), rng.normal(size=20_000)
    treated = rng.random(20_000) < 1 / (1 + np.exp(-0.5 * x[:, 0] - 0.5 * z))
    y = x[:, 0] + 0.3 * x[:, 1] + z + rng.normal(size=20_000) + treated
    design = np.column_stack([np.ones(20_000), treated, x])
    estimate = float(np.linalg.lstsq(design, y, rcond=None)[0][1])
    bound = bound_omitted_variable(y, treated, x, ("x0", "x1"))
    assert bound is not None
    assert bound.covariate == "x0"
    assert estimate - bound.bias <= 1.0 + 0.05 < estimate
    # the twin is that strong, so the bound is nearly reached
    assert estimate - bound.bias == pytest.approx(1.0, abs=0.2)
