"""Agreement with lifetimes: likelihoods, parameters, predictions, and conversion both ways."""

import json

import numpy as np
import polars as pl
import pytest

from benchmarks.buyers import simulate_geometric, simulate_pareto_nbd
from clv.purchases import BgBb, BgNbd, MbgNbd, Observations, ParetoNbd, fit_from_dict, fit_purchases
from clv.purchases.base import UNFITTED
from clv.purchases.fits import MODELS as MODELS_BY_NAME
from clv.purchases.reference import (
    _quiet,
    check_agreement,
    fit_with_lifetimes,
    from_lifetimes,
    to_lifetimes,
)
from histories.errors import BundleError, ConfigError, ModelError
from tests.clv.data import cdnow_summary, columns, shipped

# The package promises 1e-6 of the log-likelihood; in practice the two differ in the last bits only.
LIKELIHOOD = 1e-9
PREDICTION = 1e-9

MODELS = {"bg_nbd": BgNbd, "mbg_nbd": MbgNbd, "pareto_nbd": ParetoNbd}
# (shape of rate, mean time between purchases, mean dropout, spread of dropout), in weeks
PARAMETER_SETS = [
    (r, gap, dropout, spread)
    for r, gap in [(0.25, 18.0), (0.6, 8.0), (1.5, 20.0), (4.0, 3.0), (0.9, 45.0)]
    for dropout, spread in [(0.25, 3.2), (0.05, 10.0), (0.5, 2.0), (0.15, 1.0)]
]


def test_a_stored_fit_of_every_model_finds_its_way_back() -> None:
    for name, model in MODELS_BY_NAME.items():
        assert model.fitted.__name__.endswith("Fit")
        parameters = dict.fromkeys(model.fitted.parameter_names, 1.0)
        stored = {"model": name, "k": getattr(model, "k", 1), "parameters": parameters}
        assert fit_from_dict(stored | {"report": UNFITTED.to_dict()}).model == name


@pytest.mark.parametrize("model", MODELS)
def test_lifetimes_finds_the_same_likelihood_at_our_optimum(model: str) -> None:
    agreement = check_agreement(
        fit_purchases(model, cdnow_summary()), Observations.from_summary(cdnow_summary())
    )
    assert agreement.lifetimes is not None
    assert agreement.relative_difference is not None
    assert agreement.relative_difference < LIKELIHOOD


@pytest.mark.parametrize("case", range(len(PARAMETER_SETS)))
def test_twenty_simulated_companies_agree(case: int) -> None:
    r, gap, dropout, spread = PARAMETER_SETS[case]
    rng = np.random.default_rng(case)
    T = rng.integers(180, 540, 800) / 7.0
    truth = {"r": r, "alpha": r * gap, "a": dropout * spread, "b": (1.0 - dropout) * spread}
    data = simulate_geometric(rng, T, **truth, birth=case % 2).observations
    fit = (MbgNbd if case % 2 else BgNbd)().fit(data)
    agreement = check_agreement(fit, data)
    assert agreement.relative_difference is not None
    assert agreement.relative_difference < 1e-6
    # a maximum is at least as high as the truth that made the data
    assert fit.report.log_likelihood >= fit.scorer(data)(np.array(list(truth.values())))[0]


@pytest.mark.parametrize("model", ["bg_nbd", "mbg_nbd"])
def test_the_engine_lifetimes_ends_at_the_same_parameters(model: str) -> None:
    ours = fit_purchases(model, cdnow_summary())
    theirs = fit_with_lifetimes(model, cdnow_summary())
    assert theirs.vector() == pytest.approx(ours.vector(), rel=1e-3)
    assert theirs.report.log_likelihood == pytest.approx(ours.report.log_likelihood, rel=1e-9)
    assert theirs.report.engine == "lifetimes"
    assert theirs.standard_errors() == pytest.approx(ours.standard_errors(), rel=0.02)


@pytest.mark.slow
def test_the_engine_lifetimes_fits_pareto_nbd_too() -> None:
    ours = ParetoNbd().fit(cdnow_summary())
    theirs = fit_with_lifetimes("pareto_nbd", cdnow_summary())
    assert theirs.vector() == pytest.approx(ours.vector(), rel=5e-3)
    assert theirs.report.log_likelihood <= ours.report.log_likelihood + 1e-6


@pytest.mark.parametrize("model", MODELS)
def test_predictions_equal_those_of_lifetimes(model: str) -> None:
    x, t_x, T = columns(cdnow_summary())
    fit = fit_purchases(model, cdnow_summary())
    with _quiet():
        fitter = to_lifetimes(fit)
        for t in (1.0, 39.0, 500.0):
            theirs = fitter.conditional_expected_number_of_purchases_up_to_time(t, x, t_x, T)
            assert fit.predict_purchases(np.array([t]), x, t_x, T)[0] == pytest.approx(theirs, rel=PREDICTION)
            new = fitter.expected_number_of_purchases_up_to_time(t)
            assert fit.expected_purchases(np.array([t]))[0] == pytest.approx(new, rel=PREDICTION)
        alive = fitter.conditional_probability_alive(x, t_x, T)
    assert fit.predict_alive(x, t_x, T) == pytest.approx(alive, abs=PREDICTION)


def test_probabilities_of_n_purchases_equal_those_of_lifetimes() -> None:
    zero = np.zeros(1)
    bg = BgNbd().fit(cdnow_summary())
    pareto = ParetoNbd().fit(cdnow_summary())
    x, t_x, T = (column[:40] for column in columns(cdnow_summary()))
    with _quiet():
        for n in range(5):
            new = to_lifetimes(bg).probability_of_n_purchases_up_to_time(39.0, n)
            assert bg.predict_count(n, 39.0, zero, zero, zero)[0] == pytest.approx(new, rel=PREDICTION)
            theirs = to_lifetimes(pareto).conditional_probability_of_n_purchases_up_to_time(
                n, 39.0, x, t_x, T
            )
            assert pareto.predict_count(n, 39.0, x, t_x, T) == pytest.approx(theirs, abs=PREDICTION)


def test_bg_bb_predicts_like_lifetimes() -> None:
    donations = pl.read_csv(shipped("donations.csv")).rename({"periods": "T"})
    fit = BgBb().fit(donations)
    data = Observations.from_summary(donations)
    x, t_x, n = data.frequency, data.recency, data.T
    assert check_agreement(fit, data).relative_difference < LIKELIHOOD  # type: ignore[operator]
    with _quiet():
        fitter = to_lifetimes(fit)
        theirs = fitter.conditional_expected_number_of_purchases_up_to_time(5, x, t_x, n)
        alive = fitter.conditional_probability_alive(0, x, t_x, n)
    assert fit.predict_purchases(np.array([5.0]), x, t_x, n)[0] == pytest.approx(theirs, rel=PREDICTION)
    assert fit.predict_alive(x, t_x, n) == pytest.approx(alive, abs=PREDICTION)


@pytest.mark.parametrize("model", MODELS)
def test_a_fit_goes_to_lifetimes_and_comes_back(model: str) -> None:
    data = Observations.from_summary(cdnow_summary())
    fit = fit_purchases(model, cdnow_summary())
    back = from_lifetimes(to_lifetimes(fit, data), data)
    assert back.vector() == pytest.approx(fit.vector(), rel=1e-14)
    assert back.report.log_likelihood == pytest.approx(fit.report.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("model", ["bg_nbd", "mbg_nbd", "pareto_nbd", "mbg_cnbd_2"])
def test_a_fit_comes_back_equal_from_json(model: str) -> None:
    fit = fit_purchases(model, cdnow_summary())
    assert fit_from_dict(json.loads(json.dumps(fit.to_dict()))) == fit


def test_a_fit_of_an_unknown_model_is_refused() -> None:
    with pytest.raises(BundleError, match='did you mean "pareto_nbd"'):
        fit_from_dict({"model": "pareto-nbd"})
    with pytest.raises(ConfigError, match='did you mean "bg_nbd"'):
        fit_purchases("bgnbd", cdnow_summary())
    with pytest.raises(ConfigError, match="no model"):
        fit_with_lifetimes("mbg_cnbd_2", cdnow_summary())


def test_a_likelihood_that_disagrees_with_lifetimes_stops_the_run() -> None:
    data = Observations.from_summary(cdnow_summary())
    fit = BgNbd().fit(cdnow_summary())

    class Wrong(type(fit)):  # type: ignore[misc]
        def scorer(self, data: Observations):  # type: ignore[no-untyped-def]
            right = fit.scorer(data)
            return lambda vector: (right(vector)[0] + 1.0, right(vector)[1])

    wrong = Wrong(r=fit.r, alpha=fit.alpha, a=fit.a, b=fit.b, report=fit.report)
    with pytest.raises(ModelError, match="lifetimes finds"):
        check_agreement(wrong, data)


def test_pareto_nbd_is_right_where_lifetimes_is_not_finite() -> None:
    # heavy buyers: lifetimes' difference of hypergeometric functions cancels
    rng = np.random.default_rng(2)
    T = rng.integers(180, 540, 500) / 7.0
    drawn = simulate_pareto_nbd(rng, T, r=1.5, alpha=0.05, s=0.6, beta=11.7, horizon=39.0)
    data = drawn.observations
    fit = ParetoNbd().fit(data)
    agreement = check_agreement(fit, data)
    assert agreement.lifetimes is None
    assert "not finite" in agreement.note
    assert fit.report.log_likelihood >= fit.scorer(data)(np.array([1.5, 0.05, 0.6, 11.7]))[0]
    expected = fit.predict_purchases(np.array([39.0]), data.frequency, data.recency, data.T)[0]
    assert np.isfinite(expected).all()
    assert expected.sum() == pytest.approx(drawn.future.sum(), rel=0.1)
