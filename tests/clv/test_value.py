"""Discounted value, and what a service may import to work it out."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clv.purchases import BgNbd, ParetoNbd
from clv.purchases.reference import _quiet, to_lifetimes
from clv.spend import GammaGamma
from clv.value import Horizon, discounted_purchases, distinct_pairs, predict_values
from tests.clv.data import cdnow_summary, columns


def monetary() -> np.ndarray:
    return cdnow_summary()["monetary_value"].fill_null(float("nan")).to_numpy()


@pytest.mark.parametrize("model", [BgNbd, ParetoNbd])
def test_value_equals_lifetimes_with_its_own_month(model: Callable[..., Any]) -> None:
    # lifetimes discounts at 1 % a month and takes a month as 4.345 weeks
    x, t_x, T = columns(cdnow_summary())
    fit = model().fit(cdnow_summary())
    spend = GammaGamma().fit(cdnow_summary()).predict_spend(x, monetary())
    month = 4.345
    value = np.zeros_like(x)
    cumulated = fit.predict_purchases(np.arange(13) * month, x, t_x, T)
    for m in range(1, 13):
        value += (cumulated[m] - cumulated[m - 1]) * spend / 1.01**m
    with _quiet():
        import pandas as pd
        from lifetimes.utils import _customer_lifetime_value

        theirs = _customer_lifetime_value(
            to_lifetimes(fit),
            *(pd.Series(a) for a in (x, t_x, T, spend)),
            time=12,
            discount_rate=0.01,
            freq="W",
        )
    assert value == pytest.approx(theirs.to_numpy(), rel=1e-9)
    if model is BgNbd:
        assert theirs.mean() == pytest.approx(30.34, abs=0.01)


def test_discounting_is_at_month_ends_of_30_4375_days() -> None:
    x, t_x, T = columns(cdnow_summary())
    fit = BgNbd().fit(cdnow_summary())
    horizon = Horizon(months=3, discount_rate=0.21, time_unit="week")
    ends = np.array([0.0, 1.0, 2.0, 3.0]) * 30.4375 / 7.0
    gained = np.diff(fit.predict_purchases(ends, x, t_x, T), axis=0)
    by_hand = sum(gained[m] / 1.21 ** ((m + 1) / 12.0) for m in range(3))
    plain, discounted = discounted_purchases(fit, horizon, x, t_x, T)
    assert discounted == pytest.approx(by_hand, rel=1e-12)
    assert plain == pytest.approx(gained.sum(axis=0), rel=1e-12)


def test_a_long_horizon_approaches_the_residual_value() -> None:
    fit = ParetoNbd().fit(cdnow_summary())
    x, t_x, T = (column[:20] for column in columns(cdnow_summary()))
    horizon = Horizon(months=600, discount_rate=0.15, time_unit="week")
    discounted = discounted_purchases(fit, horizon, x, t_x, T)[1]
    forever = fit.predict_residual(np.log(1.15) / (12 * horizon.month), x, t_x, T)
    # month ends come half a month later than a continuous stream
    assert discounted == pytest.approx(forever * 1.15 ** (-0.5 / 12.0), rel=2e-3)


def test_a_margin_scales_value_and_nothing_else() -> None:
    fit, spend = BgNbd().fit(cdnow_summary()), GammaGamma().fit(cdnow_summary())
    data = (*columns(cdnow_summary()), monetary())
    full, half = (predict_values(fit, spend, *data, gross_margin=g) for g in (1.0, 0.5))
    assert half["customer_lifetime_value"] == pytest.approx(0.5 * full["customer_lifetime_value"])
    for name in ("probability_alive", "expected_purchases", "expected_spend"):
        assert np.array_equal(half[name], full[name])


def test_without_a_spend_model_value_is_unknown_and_the_rest_is_not() -> None:
    values = predict_values(BgNbd().fit(cdnow_summary()), None, [2.0], [30.43], [38.86])
    assert np.isnan(values["customer_lifetime_value"]).all()
    assert values["churn_probability"][0] == pytest.approx(1.0 - 0.7266 * (1.0 - 0.0877), abs=0.5)


@pytest.mark.parametrize("n", [1, 7, 500])
def test_distinct_pairs_lead_back_to_every_row(n: int) -> None:
    rng = np.random.default_rng(n)
    for T in (rng.integers(0, 9, n).astype(float), rng.random(n)):
        x = rng.integers(0, 4, n).astype(float)
        first, inverse = distinct_pairs(x, T)
        assert np.array_equal(x[first][inverse], x)
        assert np.array_equal(T[first][inverse], T)
        assert first.size == len(set(zip(x, T, strict=True)))


def test_valuing_a_customer_imports_neither_lifetimes_nor_pandas_nor_mlflow_nor_sklearn() -> None:
    code = (
        "import sys\n"
        "from clv.value import predict_values\n"
        "from clv.purchases import fit_from_dict\n"
        "report = {'log_likelihood': 0.0, 'customers': 1, 'covariance': None}\n"
        "report |= {'at_bound': [], 'engine': 'fast'}\n"
        "parameters = {'r': .24, 'alpha': 4.4, 'a': .8, 'b': 2.4}\n"
        "fit = fit_from_dict({'model': 'bg_nbd', 'k': 1, 'parameters': parameters, 'report': report})\n"
        "predict_values(fit, None, [1.0], [2.0], [3.0])\n"
        "heavy = {'lifetimes', 'pandas', 'mlflow', 'sklearn', 'fastapi', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
