"""A small truth benchmark: the methods in one table, judged by companies whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.panels.simulate import simulate_panel
from benchmarks.truth import error_of_shares, judge, markdown, read, run, table
from benchmarks.truth_methods import METHODS, Found, ours_alone
from histories.simulation.truth import OutcomeTruth


def test_path_methods_hand_out_several_times_the_truth_even_without_selection() -> None:
    company = simulate_panel("none", n=2_000, periods=18, seed=1)
    for method in ("last", "linear", "markov", "shapley"):
        for outcome, found in METHODS[method](company).items():
            truth = company.truth.outcomes[outcome]
            assert 3.0 < judge(found, truth)["level"] < 8.0


def test_what_a_data_team_does_first_credits_channels_that_do_nothing() -> None:
    company = simulate_panel("hidden_null", n=2_000, periods=18, seed=1)
    found = METHODS["retained~touches"](company)["retention"]
    own = np.array(company.panel.origins) == "customer"
    assert found.credit[own].sum() > 0.4 * company.truth.outcomes["retention"].total


def test_the_latent_dropout_month_does_not() -> None:
    company = simulate_panel("hidden_null", n=1_000, periods=12, seed=2)
    found = ours_alone(company)["retention"]
    own = np.array(company.panel.origins) == "customer"
    assert abs(found.credit[own].sum()) < 0.1 * company.truth.outcomes["retention"].total
    assert np.abs(found.credit).max() < 0.12 * company.truth.outcomes["retention"].total


def test_a_harmful_channel_keeps_its_sign() -> None:
    company = simulate_panel("hidden60", n=600, periods=12, seed=2)
    phone = company.panel.channels.index("phone")
    assert ours_alone(company)["retention"].credit[phone] < 0
    assert METHODS["markov"](company)["retention"].credit[phone] > 0


@pytest.mark.parametrize(
    ("credit", "truth", "error"),
    [
        ([1.0, 1.0], [5.0, 5.0], 0.0),
        ([1.0, 0.0], [0.0, 1.0], 1.0),
        ([1.0, -1.0], [1.0, 1.0], 0.5),
        ([0.0, 0.0], [1.0, 1.0], float("nan")),
    ],
)
def test_error_of_shares(credit: list[float], truth: list[float], error: float) -> None:
    assert error_of_shares(np.array(credit), np.array(truth)) == pytest.approx(error, nan_ok=True)


def test_the_judge_counts_coverage_signs_and_range() -> None:
    truth = OutcomeTruth(credit=np.array([4.0, -2.0]), baseline=8.0, total=10.0, without=np.zeros(2))
    found = Found(
        credit=np.array([3.0, 1.0]),
        low=np.array([2.0, 0.0]),
        high=np.array([5.0, 2.0]),
        range_low=np.array([2.0, -3.0]),
        range_high=np.array([5.0, 2.0]),
        total_range=(1.0, 1.9),
    )
    verdict = judge(found, truth)
    assert verdict["level"] == 2.0
    assert verdict["covered"] == 0.5
    assert verdict["signs"] == 0.5
    assert verdict["range_channels"] == 1.0
    assert verdict["range_total"] == 0.0
    assert verdict["excess"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("range_low", "stands", "wrong"),
    [
        (1.5, [True, True], 0.5),
        (1.5, [True, False], 0.0),
        (-1.1, [True, True], 0.0),
        (-0.9, [True, True], 0.5),
    ],
)
def test_a_supported_range_that_misses_the_truth_by_more_than_half_of_it_is_wrong(
    range_low: float, stands: list[bool], wrong: float
) -> None:
    truth = OutcomeTruth(credit=np.array([4.0, -2.0]), baseline=8.0, total=10.0, without=np.zeros(2))
    found = Found(
        credit=np.array([3.0, 1.0]),
        range_low=np.array([2.0, range_low]),
        range_high=np.array([5.0, 2.0]),
        stands=np.array(stands),
    )
    assert judge(found, truth)["wrong"] == wrong


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    results = tmp_path / "truth.jsonl"
    run(scenarios=["r7"], seeds=[1], methods=["last"], customers=300, results=results)
    before = results.read_text()
    run(scenarios=["r7"], seeds=[1, 2], methods=["last"], customers=300, results=results)
    after = results.read_text()
    assert after.startswith(before)
    frame = read(results)
    assert sorted(frame.filter(pl.col("outcome") == "spend")["seed"]) == [1, 2]
    summary = table(frame)
    assert summary["seeds"].to_list() == [2, 2]
    assert markdown(summary).count("| r7, 300 | last | 2 |") == 1
