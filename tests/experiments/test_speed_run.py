"""Designs on cases by a configuration: cases of posts and the desk together, both clocks, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from attribution.effects.findings import EffectsResult
from experiments.checks import check_run
from experiments.config import RunConfig, load_config
from experiments.inputs import read_inputs
from experiments.parts.care import care_part, find_cases
from experiments.parts.costs import ChannelCosts
from experiments.parts.evidence import effect_tables, evidence_part
from experiments.parts.histories import Histories, build_histories
from experiments.parts.statement import statement_part
from histories.errors import ConfigError
from histories.simulation.desk_company import DeskCompany, simulate_care, write_care
from reports.facts import effects_of
from reports.sections.evidence import estimates_ledger

CURVE = """
[[effects]]
name = "speed"
design = "response_curve"
outcomes = ["spend", "margin", "csat"]
bins = [60, 1440]
follow_up_days = 30
"""
BUSINESS = """
[[effects]]
name = "open hours"
design = "response_curve"
outcomes = ["issues"]
bins = [60]
clock = "business"
follow_up_days = 30
"""
LANDMARK = """
[[effects]]
name = "in opening hours"
design = "landmark"
control = "slower"
treatment = { first_response_minutes = 60 }
outcomes = ["spend"]
clock = "business"
"""
QUEUE = """
[[effects]]
name = "queue"
design = "queue"
treatment = { first_response_minutes = 60 }
outcomes = ["spend"]
follow_up_days = 30
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> tuple[DeskCompany, Path]:
    made = simulate_care(customers=5_000, weeks=26, seed=1)
    return made, write_care(made, tmp_path_factory.mktemp("care"))


def configured(path: Path, effects: str) -> RunConfig:
    text = path.read_text(encoding="utf-8")
    other = path.with_name("speed.toml")
    other.write_text(text[: text.index("[[effects]]")] + effects, encoding="utf-8")
    return load_config(other)


@pytest.fixture(scope="module")
def histories(company: tuple[DeskCompany, Path]) -> Histories:
    config = configured(company[1], CURVE)
    return build_histories(config, read_inputs(config))


@pytest.fixture(scope="module")
def found(company: tuple[DeskCompany, Path], histories: Histories) -> EffectsResult:
    config = configured(company[1], CURVE + BUSINESS + QUEUE)
    check_run(config, histories.inputs)
    made = evidence_part(config, histories)
    assert made is not None
    return made


def test_every_row_says_design_estimand_bin_figure_and_why_not(found: EffectsResult) -> None:
    table = found.frame
    assert set(table["design"]) == {"response_curve", "queue"}
    curve = table.filter(pl.col("name") == "speed", pl.col("outcome") == "spend")
    assert curve["bin"].unique(maintain_order=True).to_list() == ["0-60", "60-1440", "1440-", "any"]
    assert table.filter(~pl.col("supported"))["reason"].null_count() == 0
    assert table.filter(pl.col("estimate").is_not_null())["std_error"].null_count() == 0
    queue = table.filter(pl.col("name") == "queue", pl.col("estimator") == "two_stage")
    assert queue["estimand"].item() == "LATE"
    assert queue["first_stage_f"].item() > 0
    assert queue["direct_to_zero"].item() is not None


def test_margin_is_spend_times_the_margin_where_no_purchase_has_its_own(found: EffectsResult) -> None:
    naive = found.frame.filter(
        pl.col("name") == "speed", pl.col("estimator") == "naive", pl.col("bin") == "0-60"
    )
    spend, margin = (naive.filter(outcome=name)["estimate"].item() for name in ("spend", "margin"))
    assert margin == pytest.approx(0.45 * spend)


def test_silence_is_counted_by_the_curve_and_without_one_by_the_landmark(
    company: tuple[DeskCompany, Path], histories: Histories, found: EffectsResult
) -> None:
    config = configured(company[1], CURVE)
    care = care_part(config, histories)

    def lines(*, supported: bool) -> pl.DataFrame:
        rows = tuple(
            replace(e, supported=supported and e.estimator == "aipw", reason="no overlap")
            for e in found.effects
        )
        effects = replace(found, effects=rows)
        made = statement_part(config, histories, ChannelCosts(), care, effects)
        return made.tables["returns"].filter(pl.col("line") == "silence: all authors as if known")

    by_curve, without = lines(supported=True), lines(supported=False)
    assert without["value"].to_list() == [None]
    assert without["reason"].item() == "no overlap"
    bins = ["0-60", "60-1440", "1440-"]
    assert by_curve["segment"].to_list() == ["(all)", *(f"first answer in minutes: {one}" for one in bins)]
    whole = by_curve.row(0, named=True)
    truth = company[0].truth["silence"]
    assert whole["n"] == truth["matters"]
    assert whole["low"] < truth["margin_at_speed"] < whole["high"]
    fast = by_curve.row(1, named=True)
    assert fast["low"] < truth["margin"] < fast["high"]
    spend = found.frame.filter(
        pl.col("name") == "speed",
        pl.col("outcome") == "margin",
        pl.col("bin") == "0-60",
        pl.col("estimator") == "aipw",
    )
    assert fast["value"] == pytest.approx(spend["estimate"].item() * truth["matters"])


def test_cases_of_posts_and_of_the_desk_are_told_together(
    company: tuple[DeskCompany, Path], histories: Histories
) -> None:
    config = configured(company[1], CURVE)
    cases = find_cases(config, histories)
    assert cases is not None
    table = effect_tables(config, histories, cases).cases
    assert table is not None
    told = table.collect()
    assert {"email", "twitter", "facebook"} == set(told["channel"])
    assert str(told.schema["opened_at"]).endswith("time_zone='Europe/London')")
    assert told["first_response_business_minutes"].count() == told["first_response_at"].count()
    late = (told["first_response_at"] - told["waiting_since"]).dt.total_seconds() / 60
    assert (told["first_response_business_minutes"] <= late + 1e-9).all()


def test_a_case_answered_next_morning_is_fast_by_the_business_clock(found: EffectsResult) -> None:
    by = {
        name: found.frame.filter(pl.col("name") == name, pl.col("bin") == "0-60")["n_treated"][0]
        for name in ("speed", "open hours")
    }
    assert by["open hours"] > 1.3 * by["speed"]


def test_the_report_says_which_cases_the_queue_tells_of(found: EffectsResult) -> None:
    facts = [e for e in effects_of(found.frame) if e.name == "queue"]
    names = [row.name for row in estimates_ledger(facts, "GBP").rows]
    assert "By the queue, cases whose answer moved with the queue" in names
    assert "By the queue, with days of surge, cases whose answer moved with the queue" in names


@pytest.mark.parametrize(
    ("effects", "told"),
    [
        (QUEUE.replace('"spend"', '"spending"'), 'no outcome "spending" of cases; did you mean "spend"?'),
        (
            QUEUE + 'covariates = ["topics"]',
            'no column "topics" in customers or cases; did you mean "topic"?',
        ),
        (QUEUE.replace("{ first", '{ channel = "fax", first'), 'no case or post has the channel "fax"'),
        (QUEUE.replace("{ first", '{ group = "chat", first'), 'no case or post has the group "chat"'),
    ],
)
def test_a_name_that_no_case_has_is_refused_before_the_run(
    company: tuple[DeskCompany, Path], histories: Histories, effects: str, told: str
) -> None:
    config = configured(company[1], effects)
    with pytest.raises(ConfigError, match=told.replace("?", r"\?")):
        check_run(config, histories.inputs)


def test_what_a_design_on_cases_lacks_is_told_before_the_run(company: tuple[DeskCompany, Path]) -> None:
    text = company[1].read_text(encoding="utf-8")
    hours = text[text.index("[care.hours]") : text.index("[[care.promises]]")]

    def refused(drop: str, effects: str) -> str:
        lines = text[: text.index("[[effects]]")].replace(hours, "").splitlines()
        kept = "\n".join(line for line in lines if not line.startswith(tuple(drop.split())))
        other = company[1].with_name("lacks.toml")
        other.write_text(f"{kept}\n{effects}", encoding="utf-8")
        config = load_config(other)
        with pytest.raises(ConfigError) as error:
            check_run(config, read_inputs(config))
        return str(error.value)

    assert "needs inputs.cases or inputs.posts" in refused("cases posts", QUEUE)
    assert "needs inputs.transactions" in refused("transactions", QUEUE)
    assert "no case has a customer: give cases a customer_id" in refused("cases identities", QUEUE)
    assert 'clock = "business" needs [care.hours]' in refused("none", BUSINESS)
    assert 'clock = "business" needs [care.hours]' in refused("none", LANDMARK)
    assert 'outcome "csat" needs a column csat in cases' in refused("cases", CURVE)
