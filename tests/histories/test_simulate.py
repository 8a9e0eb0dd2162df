"""The simulators: the truth is exact, the tables agree with it, and the same seed gives the same company."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from benchmarks.panels.form_scenarios import FORMS
from benchmarks.panels.forms import simulate_tables
from benchmarks.panels.scenarios import SCENARIOS
from benchmarks.panels.simulate import simulate_panel
from histories.errors import ConfigError
from histories.simulation.company import simulate_company, truth_frame
from histories.simulation.files import write_company
from histories.simulation.truth import coalition_values, shapley_values
from tributary.commands.simulation import simulate

SMALL = 400


def _slow_values(
    odds: np.ndarray, mean: np.ndarray, hazard: np.ndarray, spend: np.ndarray, entry: np.ndarray
) -> np.ndarray:
    """Survivors and spend of every coalition, by the definition."""
    channels = hazard.shape[2]
    out = np.zeros((2, 2**channels))
    for mask in range(2**channels):
        on = np.array([(mask >> c) & 1 for c in range(channels)], dtype=float)
        for i in range(len(odds)):
            alive = 1.0
            for t in range(entry[i], odds.shape[1]):
                out[1, mask] += alive * mean[i, t] * np.exp(spend[i, t] @ on)
                alive /= 1.0 + odds[i, t] * np.exp(hazard[i, t] @ on)
            out[0, mask] += alive
    return out


def test_coalition_values_follow_their_definition() -> None:
    rng = np.random.default_rng(0)
    odds, mean = rng.uniform(0.02, 0.3, (7, 5)), rng.uniform(1, 9, (7, 5))
    hazard, spend = rng.normal(0, 0.5, (2, 7, 5, 3)).astype(np.float32)
    entry = rng.integers(0, 4, 7)
    found = coalition_values(odds=odds, mean=mean, hazard_effect=hazard, spend_effect=spend, entry=entry)
    expected = _slow_values(odds, mean, hazard, spend, entry)
    np.testing.assert_allclose(found[:2], expected, rtol=1e-10)


def test_shapley_values_average_over_all_orders() -> None:
    values = np.random.default_rng(1).normal(size=16)
    expected = np.zeros(4)
    for c in range(4):
        others = [k for k in range(4) if k != c]
        for size in range(4):
            for subset in combinations(others, size):
                mask = sum(1 << k for k in subset)
                weight = factorial(size) * factorial(3 - size) / factorial(4)
                expected[c] += weight * (values[mask | 1 << c] - values[mask])
    np.testing.assert_allclose(shapley_values(values), expected, rtol=1e-12)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_credit_and_baseline_of_every_scenario_add_up_to_the_total(scenario: str) -> None:
    truth = simulate_panel(scenario, n=60, periods=12, seed=3).truth
    for outcome in truth.outcomes.values():
        assert outcome.credit.sum() + outcome.baseline == pytest.approx(outcome.total, rel=1e-10)


@pytest.mark.parametrize("scenario", ["placebo", "hidden_null", "idle", "episodes_null"])
def test_no_effect_means_no_credit(scenario: str) -> None:
    truth = simulate_panel(scenario, n=SMALL, periods=12, seed=3).truth
    for outcome in truth.outcomes.values():
        assert np.abs(outcome.credit).max() < 1e-6 * outcome.total


EXPECTED = ("r7", "continuous", "segments", "slow_decay", "season", "staggered", "hidden30", "episodes")
EXPECTED_SILENT = ("hidden_segments", "hidden_slow_decay", "hidden_season", "hidden_staggered")
EXPECTED_FORMS = (
    "regular",
    "retargeting",
    "december_contract",
    "alike",
    "arrivals",
    "cut_off",
    "late_touches",
)


@pytest.mark.parametrize("scenario", [*EXPECTED, *EXPECTED_SILENT, *EXPECTED_FORMS])
def test_what_happens_is_what_the_truth_expects(scenario: str) -> None:
    company = simulate_panel(scenario, n=4_000, periods=12, seed=5)
    stayed = (company.latent["exit"] >= 12).sum()
    spent = company.panel.spend.sum()
    assert stayed == pytest.approx(company.truth.outcomes["retention"].total, rel=0.05)  # 4 sd of 4,000 coins
    assert spent == pytest.approx(company.truth.outcomes["spend"].total, rel=0.06)


@pytest.mark.parametrize("scenario", ["staggered", "hidden_staggered"])
def test_nothing_happens_in_a_panel_before_a_customer_arrives(scenario: str) -> None:
    panel = simulate_panel(scenario, n=SMALL, periods=12, seed=4).panel
    before = np.arange(12) < panel.entry[:, None]
    assert 0.35 < (panel.entry == 0).mean() < 0.65
    assert panel.entry.max() == 4
    assert panel.last.min() >= 0
    assert (panel.last >= panel.entry).all()
    for values in (panel.touches.sum(axis=2), panel.own_acts, panel.problems, panel.spend, panel.purchases):
        assert not values[before].any()


def test_a_silent_customer_arrives_with_a_purchase_that_is_nobodys_credit() -> None:
    company = simulate_panel("hidden_staggered", n=SMALL, periods=12, seed=4)
    panel, spend = company.panel, company.truth.outcomes["spend"]
    assert panel.acquisition is not None
    assert (panel.purchases[np.arange(SMALL), panel.entry] >= 1).all()
    assert spend.baseline > panel.acquisition.sum() > 0


@pytest.mark.parametrize(("scenario", "plain"), [("season", "r7"), ("hidden_season", "hidden30")])
def test_a_season_lifts_touches_and_spend_in_the_last_month_of_the_year(scenario: str, plain: str) -> None:
    lifted, level = (simulate_panel(name, n=2_000, periods=12, seed=1).panel for name in (scenario, plain))
    for values in ("touches", "spend"):
        rises = [
            getattr(panel, values)[:, 11].sum() / getattr(panel, values)[:, 5].sum()
            for panel in (lifted, level)
        ]
        assert rises[0] > 1.3 * rises[1]


@pytest.mark.parametrize(("scenario", "decay"), [("slow_decay", 0.85), ("hidden_fast_decay", 0.3)])
def test_stocks_keep_what_the_scenario_says(scenario: str, decay: float) -> None:
    found = simulate_panel(scenario, n=SMALL, periods=12, seed=1).truth
    customary = simulate_panel("r7" if decay > 0.6 else "hidden30", n=SMALL, periods=12, seed=1).truth
    assert found.parameters["decay"] == decay
    credit = [np.abs(truth.outcomes["spend"].credit).sum() for truth in (found, customary)]
    assert (credit[0] > credit[1]) == (decay > 0.6)


def test_regular_buyers_rarely_miss_a_month_while_they_stay() -> None:
    regular, plain = (simulate_panel(name, n=SMALL, periods=12, seed=1) for name in ("regular", "plain"))
    missed = []
    for company in (regular, plain):
        inside = np.arange(12) < company.latent["exit"][:, None]
        missed.append(float((company.panel.purchases[inside] == 0).mean()))
    assert missed[0] < 0.15 < missed[1]


def test_a_form_keeps_its_problems_in_the_cases_and_its_last_month_short() -> None:
    tables, _ = simulate_tables(FORMS["mixed"], n=SMALL, periods=12, seed=1)
    assert tables.cases is not None
    assert tables.cases.height > 0
    assert "case_id" not in tables.touchpoints.columns
    assert tables.observation_end.day < 30
    assert tables.transactions["timestamp"].max().date() <= tables.observation_end  # type: ignore[union-attr]


def test_late_touches_come_after_the_contract() -> None:
    tables, _ = simulate_tables(FORMS["late_touches"], n=SMALL, periods=12, seed=1)
    ended = tables.touchpoints.join(tables.customers, on="customer_id")
    late = ended.filter(pl.col("timestamp").dt.date() > pl.col("ended_at"))
    assert set(late["channel"]) == {"push"}


def test_an_experiment_withholds_its_channel_from_the_other_half() -> None:
    company = simulate_panel("experiment", n=SMALL, periods=12, seed=1)
    assert company.assignment is not None
    assert company.contrast is not None
    channel = company.panel.channels.index(str(company.experiment))
    touched = company.panel.touches[:, :, channel].sum(axis=1)
    assert not touched[~company.assignment].any()
    assert touched[company.assignment].any()
    assert company.contrast["retention"] > 0


def test_own_touches_stop_when_a_customer_leaves_and_the_firms_do_not() -> None:
    company = simulate_panel("hidden30", n=SMALL, periods=18, seed=2)
    after = np.arange(18) > company.latent["exit"][:, None]
    by_channel = company.panel.touches[after].sum(axis=0)
    origins = np.array(company.panel.origins)
    assert not by_channel[origins == "customer"].any()
    assert by_channel[origins == "firm"].all()


def test_the_same_seed_gives_the_same_company_and_another_does_not() -> None:
    first, again, other = (
        simulate_company(customers=200, months=12, seed=seed, scenario="desk") for seed in (4, 4, 5)
    )
    for field in fields(first.books):
        table = getattr(first.books, field.name)
        assert table.equals(getattr(again.books, field.name))
    assert not first.books.touchpoints.equals(other.books.touchpoints)


def test_the_books_agree_with_the_truth() -> None:
    company = simulate_company(customers=3_000, months=15, seed=1)
    books = company.books
    spent = books.transactions.filter(pl.col("customer_id").is_not_null())["amount"].sum()
    assert spent == pytest.approx(company.truth.outcomes["spend"].total, rel=0.06)
    credited = (
        truth_frame(company.truth)
        .group_by("outcome")
        .agg(pl.col("credit").sum() + pl.col("baseline").first() - pl.col("total").first())
    )
    assert credited["credit"].abs().max() < 1e-6 * spent


def test_only_some_contacts_are_answered_and_only_those_have_a_reply() -> None:
    books = simulate_company(customers=1_000, months=12, seed=1).books
    share = books.cases["first_response_at"].is_not_null().mean()
    assert 0.6 < share < 0.85
    answered = books.cases.filter(pl.col("first_response_at").is_not_null())
    assert (answered["first_response_at"] >= answered["opened_at"]).all()
    contacts = books.touchpoints.filter(pl.col("case_id").is_not_null())
    assert contacts["case_id"].n_unique() == contacts.height == books.cases.height
    assert set(contacts["direction"]) == {"inbound"}


def test_nothing_happens_before_a_customer_arrives_or_after_the_end() -> None:
    company = simulate_company(customers=500, months=12, seed=8)
    books, end = company.books, company.calendar.last_day
    arrival = books.customers.select("customer_id", "acquired_at")
    for table in (books.touchpoints, books.transactions):
        known = table.join(arrival, on="customer_id")
        assert (known["timestamp"].dt.date() >= known["acquired_at"]).all()
        assert known["timestamp"].dt.date().max() <= end


def test_the_experiment_is_a_fair_coin_and_its_control_gets_no_newsletter() -> None:
    company = simulate_company(customers=2_000, months=12, seed=1)
    arms = company.books.assignments
    control = arms.filter(pl.col("arm") == "no newsletter")
    assert control.height / arms.height == pytest.approx(0.5, abs=0.05)  # 4 sd
    start = arms["assigned_at"][0]
    sent = company.books.touchpoints.filter(
        (pl.col("channel") == "newsletter") & (pl.col("timestamp") >= start)
    )
    assert sent.join(control, on="customer_id", how="semi").is_empty()
    assert company.experiment["spend"] > 0


def test_a_contractual_company_records_who_left() -> None:
    customers = simulate_company(customers=500, months=12, seed=1, scenario="drift").books.customers
    assert 0.2 < customers["ended_at"].is_not_null().mean() < 0.9
    assert "satisfaction" in customers.columns


def test_a_written_company_brings_its_truth_and_a_configuration(tmp_path: Path) -> None:
    company = simulate_company(customers=100, months=8, seed=1)
    config = write_company(company, tmp_path, file_format="csv")
    assert "[attribution]" in config.read_text()
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert {row["outcome"] for row in truth["credits"]} == {"retention", "spend", "lifetime_value"}
    written = pl.read_csv(tmp_path / "transactions.csv")
    assert written.height == company.books.transactions.height


def test_credit_of_regions_that_respond_differently_adds_up_and_is_written(tmp_path: Path) -> None:
    company = simulate_company(customers=400, months=8, seed=2, scenario="segments")
    assert company.region_truth is not None
    share = {}
    for outcome, whole in company.truth.outcomes.items():
        parts = {name: truth.outcomes[outcome] for name, truth in company.region_truth.items()}
        assert sum(part.credit for part in parts.values()) == pytest.approx(whole.credit, rel=1e-9)
        share[outcome] = {name: part.credit.sum() / part.total for name, part in parts.items()}
    assert share["spend"]["north"] > 2 * share["spend"]["west"] > 0
    config = write_company(company, tmp_path).read_text(encoding="utf-8")
    assert 'segments = ["region"]\n\n[[effects]]' in config
    written = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))["segments"]
    assert {row["segment"] for row in written} == {f"region: {name}" for name in share["spend"]}


def test_a_misspelt_scenario_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match='did you mean "drift"'):
        simulate_company(customers=100, months=8, scenario="drif")
    with pytest.raises(ConfigError, match='did you mean "klass"'):
        simulate_panel("klas", n=50, seed=1)


def test_the_command_writes_files_and_prints_the_truth(tmp_path: Path) -> None:
    arguments = ["--customers", "60", "--months", "8", "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(simulate, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.output)["truth"][0]["outcome"] == "retention"
    assert (tmp_path / "tributary.toml").exists()
