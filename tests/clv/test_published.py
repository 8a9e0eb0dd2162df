"""Published estimates, reproduced."""

import numpy as np
import polars as pl
import pytest

from clv.purchases import BgBb, BgNbd, MbgNbd, Observations, ParetoNbd
from clv.spend import GammaGamma
from tests.clv.data import cdnow_purchases, cdnow_summary, columns, shipped

# Printed to three or four digits, so agreement is asked to half a unit of the last one.
PRINTED = 5e-4


def test_bg_nbd_matches_fader_hardie_lee_2005() -> None:
    # Marketing Science 24 (2), table 2; more digits in CLVTools, tests/testthat/test_correctness_bgnbd.R
    fit = BgNbd().fit(cdnow_summary())
    assert fit.vector() == pytest.approx([0.2425945, 4.4136019, 0.7929199, 2.4258881], rel=2e-5)
    assert fit.report.log_likelihood == pytest.approx(-9582.429, abs=PRINTED)
    assert fit.report.customers == 2357


def test_pareto_nbd_matches_fader_hardie_lee_2005_and_the_standard_errors_of_clvtools() -> None:
    # Marketing Science 24 (2), table 2; CLVTools, tests/testthat/test_correctness_pnbd_nocovstaticcov.R
    fit = ParetoNbd().fit(cdnow_summary())
    assert fit.vector() == pytest.approx([0.5533, 10.5777, 0.6062, 11.6687], rel=1e-4)
    assert fit.report.log_likelihood == pytest.approx(-9594.976, abs=PRINTED)
    errors = fit.standard_errors()
    assert errors is not None
    assert list(errors.values()) == pytest.approx([0.0476264, 0.8427222, 0.1872594, 6.2105448], rel=1e-3)


def test_mbg_nbd_matches_its_known_optimum() -> None:
    fit = MbgNbd().fit(cdnow_summary())
    assert fit.vector() == pytest.approx([0.5248, 6.1831, 0.8914, 1.6140], rel=1e-4)


def test_gamma_gamma_matches_fader_and_hardie_2013() -> None:
    # http://brucehardie.com/notes/025/: p 6.25, q 3.74, gamma 15.44; CLVTools: log-likelihood -4055.9177
    fit = GammaGamma().fit(cdnow_summary())
    assert fit.report.customers == 946
    assert fit.vector() == pytest.approx([6.25, 3.74, 15.44], abs=5e-3)
    assert fit.report.log_likelihood == pytest.approx(-4055.9177, abs=PRINTED)


def test_bg_bb_matches_fader_hardie_shang_2010() -> None:
    # Marketing Science 29 (6), table 3: alpha 1.204, beta .750, gamma .657, delta 2.783, LL -33225.6
    donations = pl.read_csv(shipped("donations.csv")).rename({"periods": "T"})
    fit = BgBb().fit(donations)
    assert fit.report.customers == 11_104
    assert fit.vector() == pytest.approx([1.204, 0.750, 0.657, 2.783], abs=PRINTED)
    assert fit.report.log_likelihood == pytest.approx(-33225.6, abs=0.05)


def test_bg_nbd_on_the_whole_of_cdnow() -> None:
    fit = BgNbd().fit(cdnow_summary("master"))
    assert fit.vector() == pytest.approx([0.2516, 4.7889, 0.7234, 2.1611], rel=3e-4)
    assert fit.report.log_likelihood == pytest.approx(-95368.444, abs=PRINTED)


def test_the_holdout_forecast_is_1653_of_1882_purchases() -> None:
    x, t_x, T = columns(cdnow_summary())
    fit = BgNbd().fit(cdnow_summary())
    assert fit.predict_purchases(np.array([39.0]), x, t_x, T).sum() == pytest.approx(1653.4, abs=0.05)
    holdout = cdnow_purchases().filter(pl.col("date") > pl.date(1997, 9, 30))
    assert holdout.height == 1882


def test_bg_nbd_expects_what_the_spreadsheet_shows_for_its_first_customer() -> None:
    # http://brucehardie.com/notes/004/: x 2, t_x 30.43, T 38.86 gives 1.226 purchases in 39 weeks
    fit = BgNbd().fit(cdnow_summary())
    expected = fit.predict_purchases(np.array([39.0]), np.array([2.0]), np.array([30.43]), np.array([38.86]))
    assert expected[0, 0] == pytest.approx(1.226, abs=1e-3)


def test_a_weight_counts_as_so_many_customers() -> None:
    data = Observations.from_summary(cdnow_summary())
    once = BgNbd().fit(cdnow_summary())
    thrice = BgNbd().fit(Observations.from_arrays(data.frequency, data.recency, data.T, 3.0 * data.weights))
    assert thrice.vector() == pytest.approx(once.vector(), rel=1e-6)
    assert thrice.report.log_likelihood == pytest.approx(3.0 * once.report.log_likelihood, rel=1e-10)
