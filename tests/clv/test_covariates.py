"""Covariates on purchase and dropout, and new customers."""

import numpy as np
import polars as pl
import pytest

from clv.newcomers import payback_months
from clv.purchases import GeometricFit, ParetoNbdFit
from clv.purchases.covariates import Covariates, build_design
from histories.errors import ConfigError, DataError

PURCHASE, DROPOUT = np.array([0.5, -0.3]), np.array([-0.6, 0.2])


def members(n: int = 4000) -> pl.DataFrame:
    """Pareto/NBD customers whose rates depend on membership and on a score."""
    rng = np.random.default_rng(11)
    z = np.column_stack([rng.random(n) < 0.4, rng.normal(size=n)]).astype(float)
    T = rng.uniform(60.0, 120.0, n)
    rate = rng.gamma(0.55, 1.0 / 10.6, n) * np.exp(z @ PURCHASE)
    leaving = rng.gamma(0.6, 1.0 / 11.7, n) * np.exp(z @ DROPOUT)
    lived = np.minimum(rng.exponential(1.0, n) / np.maximum(leaving, 1e-12), T)
    x = rng.poisson(rate * lived).astype(float)
    return pl.DataFrame(
        {
            "frequency": x,
            "recency": np.where(x > 0, lived * rng.random(n) ** (1.0 / np.maximum(x, 1.0)), 0.0),
            "T": T,
            "member": np.where(z[:, 0] > 0, "yes", "no"),
            "score": z[:, 1],
        }
    )


@pytest.fixture(scope="module")
def fitted():  # type: ignore[no-untyped-def]
    return Covariates(model="pareto_nbd", columns=("member", "score")).fit(members())


def test_effects_are_recovered_within_their_errors(fitted) -> None:  # type: ignore[no-untyped-def]
    assert fitted.names == ("member=yes", "score")
    for estimates, errors, truth in (
        (fitted.purchase, fitted.purchase_errors, PURCHASE),
        (fitted.dropout, fitted.dropout_errors, DROPOUT),
    ):
        assert np.abs((np.array(estimates) - truth) / np.array(errors)) == pytest.approx(0.0, abs=3.0)
    assert fitted.p_value < 1e-6
    assert fitted.gain > 50.0


def test_bg_nbd_finds_the_same_purchase_effects() -> None:
    fit = Covariates(model="bg_nbd", columns=("member", "score")).fit(members())
    assert isinstance(fit.base, GeometricFit)
    assert np.array(fit.purchase) == pytest.approx(PURCHASE, abs=0.2)


def test_useless_covariates_gain_nothing() -> None:
    noise = members(1500).with_columns(
        noise=pl.Series(np.random.default_rng(1).permutation(np.repeat([0.0, 1.0], 750)))
    )
    fit = Covariates(model="bg_nbd", columns=("noise",)).fit(noise)
    assert fit.p_value > 0.001
    assert abs(fit.purchase[0]) < 4.0 * fit.purchase_errors[0]


def test_a_customer_is_predicted_with_its_own_covariates(fitted) -> None:  # type: ignore[no-untyped-def]
    base = fitted.base
    assert isinstance(base, ParetoNbdFit)
    frame = members().head(30)
    design = build_design(members(), ("member", "score"))
    first = design.matrix[:30]
    x, t_x, T = (frame[c].to_numpy() for c in ("frequency", "recency", "T"))
    t = np.array([20.0])
    own = fitted.predict_purchases(t, x, t_x, T, type(design)(names=design.names, matrix=first))
    for i in range(30):
        alone = fitted.at(first[i]).predict_purchases(t, x[i : i + 1], t_x[i : i + 1], T[i : i + 1])
        assert own[0, i] == pytest.approx(alone[0, 0], rel=1e-12)
    assert fitted.at(np.zeros(2)) == base


def test_covariates_are_refused_where_they_say_nothing() -> None:
    frame = members(50)
    with pytest.raises(DataError, match='"age" is not a column'):
        build_design(frame, ("age",))
    with pytest.raises(DataError, match="one value only"):
        build_design(frame.with_columns(one=pl.lit("x")), ("one",))
    with pytest.raises(DataError, match="empty for 50 of 50"):
        build_design(frame.with_columns(gap=pl.lit(None, dtype=pl.Float64)), ("gap",))
    with pytest.raises(ConfigError, match="takes no covariates"):
        Covariates(model="mbg_nbd", columns=("score",)).fit(frame)


@pytest.mark.parametrize(
    ("cost", "first", "monthly", "months"),
    [
        (10.0, 12.0, [1.0], 0.0),
        (10.0, 4.0, [3.0, 6.0], 1.5),
        (10.0, 10.0, [], 0.0),
        (10.0, 0.0, [4.0, 4.0], None),
    ],
)
def test_payback_by_hand(cost: float, first: float, monthly: list[float], months: float | None) -> None:
    assert payback_months(cost, first, np.array(monthly)) == months
